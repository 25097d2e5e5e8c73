"""MobileNetV2: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018."""

from __future__ import annotations

from typing import Any

from convkit.layers import Add, BatchNorm, Conv2D, Dense, Dropout, GlobalAvgPool2D, ReLU6
from convkit.layers.tensor import Input, Tensor
from convkit.model import Model

__all__ = ["mobilenet_v2"]

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# expansion, channels, blocks, stride of the first one: table 2 of the paper


def mobilenet_v2(
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    width: float = 1.0,
    rng: Any = None,
    dtype: Any = "float32",
) -> Model:
    """MobileNetV2: blocks that widen, filter each channel on its own, and narrow again; 3,504,872 parameters.

    Parameters
    ----------
    classes : int, default 1000
    input_shape : (height, width, channels), default (224, 224, 3)
    width : float, default 1
        Multiplies the number of channels, which is then rounded to a multiple of 8.
    rng : int or numpy.random.Generator, optional
    dtype : float32 or float64, default float32

    Returns
    -------
    Model
        Built; it gives logits (N, classes).

    Examples
    --------
    >>> import convkit
    >>> convkit.models.mobilenet_v2(10, (32, 32, 3), width=0.25, rng=0).output_shape()
    (10,)
    """
    image = Input(input_shape, name="image")
    x, number = _conv(image, _eights(32 * width), 3, "stem", stride=2), 0
    for expansion, channels, blocks, stride in STAGES:
        for place in range(blocks):
            number += 1
            x = _block(x, expansion, _eights(channels * width), 1 if place else stride, f"block{number}")
    x = GlobalAvgPool2D(name="pool")(_conv(x, _eights(1280 * max(width, 1.0)), 1, "last"))
    logits = Dense(classes, name="classes")(Dropout(0.2, name="dropout")(x))
    return Model(image, logits, rng=rng, dtype=dtype)


def _block(x: Tensor, expansion: int, channels: int, stride: int, name: str) -> Tensor:
    wide = x.shape[-1] * expansion
    y = _conv(x, wide, 1, f"{name}_expand") if expansion > 1 else x
    y = _conv(y, wide, 3, f"{name}_depthwise", stride=stride, groups=wide)
    y = _conv(y, channels, 1, f"{name}_project", activation=False)
    return Add(name=f"{name}_add")(x, y) if x.shape == y.shape else y


def _conv(x: Tensor, channels: int, kernel_size: int, name: str, activation: bool = True, **how: Any) -> Tensor:
    x = Conv2D(channels, kernel_size, padding=kernel_size // 2, bias=False, name=f"{name}_conv", **how)(x)
    x = BatchNorm(name=f"{name}_norm")(x)
    return ReLU6(name=f"{name}_relu6")(x) if activation else x


def _eights(channels: float) -> int:
    """The nearest multiple of 8, not less than 90 % of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
