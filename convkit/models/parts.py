"""What the networks are put together from."""

from __future__ import annotations

from typing import Any

from convkit.layers import BatchNorm, Conv2D, ReLU
from convkit.layers.tensor import Tensor

__all__ = ["conv_norm", "conv_norm_relu"]


def conv_norm(x: Tensor, channels: int, kernel_size: int, name: str, **how: Any) -> Tensor:
    """A convolution without bias, padded so that stride 1 keeps the size, and batch norm."""
    x = Conv2D(channels, kernel_size, padding=kernel_size // 2, bias=False, name=f"{name}_conv", **how)(x)
    return BatchNorm(name=f"{name}_norm")(x)


def conv_norm_relu(x: Tensor, channels: int, kernel_size: int, name: str, **how: Any) -> Tensor:
    """As `conv_norm`, with a ReLU at its end, which runs in the pass of batch norm."""
    return ReLU(name=f"{name}_relu")(conv_norm(x, channels, kernel_size, name, **how))
