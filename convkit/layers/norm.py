"""Normalisation layers, channels last: batch, layer, group, instance, root mean square and local response."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape, positive
from convkit.ops.norm import checked_eps, checked_share

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


class _Norm(Layer):
    """Normalisation with a learned weight `w` and bias `b`, unless not `affine`."""

    def __init__(self, eps: float | None, affine: bool) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(affine, (bool, np.bool_)):
            raise TypeError(f"{name}: affine must be True or False, got {affine!r}")
        self.eps, self.affine = None if eps is None else checked_eps(eps, name), bool(affine)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"w": input_shape[-1:], "b": input_shape[-1:]} if self.affine else {}

    def _start(self, name: str, shape: Shape, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.full(shape, name == "w", dtype)

    def config(self) -> dict[str, Any]:
        return {"eps": self.eps, "affine": self.affine}

    def _affine(self) -> list[np.ndarray]:
        """Weight and bias, as far as there are any."""
        return [param.value for param in self.params.values()]

    def _learn(self, *gradients: np.ndarray) -> None:
        for param, gradient in zip(self.learning.values(), gradients, strict=False):
            param.learn(gradient)


class BatchNorm(_Norm):
    """Batch normalisation of (N, ..., C), ``y = (x - mean) / sqrt(var + eps) * w + b``, each channel over the batch.

    In training mean and variance are those of the batch, and the running ones follow them,
    ``running = (1 - momentum) * running + momentum * new``; otherwise the running ones count. They are in `buffers`, are
    saved with a model, and are not trained. A frozen layer (`trainable` is False) uses the running ones in training too.

    Parameters
    ----------
    momentum : float in [0, 1], default 0.1
        Weight of the new value.
    eps : float >= 0, default 1e-5
    affine : bool, default True
        Whether there are `w` and `b`.
    activation : None, "relu" or "relu6"
        Applied in the same pass, backward too.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import BatchNorm
    >>> layer = BatchNorm(activation="relu")
    >>> layer.build((1,), np.random.default_rng(0), np.float64)
    (1,)
    >>> y, _ = layer.forward(np.array([[1.0], [3.0]]), training=True)
    >>> y.round(3), layer.buffers["mean"]
    (array([[0.],
           [1.]]), array([0.2]))
    """

    def __init__(
        self, momentum: float = 0.1, *, eps: float = 1e-5, affine: bool = True, activation: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(eps, affine)
        self.momentum = checked_share(momentum, "BatchNorm", "momentum")
        if activation not in (None, "relu", "relu6"):
            raise ValueError(f'BatchNorm: activation must be None, "relu" or "relu6", got {activation!r}')
        self.activation = activation

    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"mean": input_shape[-1:], "var": input_shape[-1:]}

    def _start(self, name: str, shape: Shape, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.full(shape, name in ("w", "var"), dtype)

    def config(self) -> dict[str, Any]:
        return {"momentum": self.momentum, **super().config(), "activation": self.activation}

    def _forward(
        self, x: np.ndarray, training: bool, activation: str | None = None, residual: np.ndarray | None = None
    ) -> tuple[np.ndarray, Backward | None]:
        affine, how = self._affine(), {"eps": self.eps, "activation": activation or self.activation}
        new, plus = training and self.trainable, residual is not None  # statistics of this batch
        how_forward = {"momentum": self.momentum, "residual": residual, "return_stats": True, **how}
        y, stats = ops.batch_norm(x, *self.buffers.values(), *affine, training=new, **how_forward)
        mask = y if plus and how["activation"] else None

        def backward(dy: np.ndarray, needs_input: bool) -> Any:
            dx, *gradients = ops.batch_norm_grad(dy, x, *affine, stats=stats, training=new, y=mask, residual=plus, **how)
            self._learn(*gradients[:2])
            return (dx, gradients[2]) if plus else dx

        return y, backward if training else None


class InstanceNorm(_Norm):
    """Normalisation of each channel of each image of (N, ..., C) over its pixels; see `convkit.instance_norm`."""

    def __init__(self, *, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__(eps, affine)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        affine = self._affine()
        y, stats = ops.instance_norm(x, *affine, eps=self.eps, return_stats=True)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            dx, *gradients = ops.instance_norm_grad(dy, x, *affine[:1], stats=stats, eps=self.eps)
            self._learn(*gradients)
            return dx

        return y, backward if training else None


class GroupNorm(_Norm):
    """Normalisation of groups of neighbouring channels of each image of (N, ..., C); see `convkit.group_norm`."""

    def __init__(self, num_groups: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(eps, affine)
        self.num_groups = positive(num_groups, "GroupNorm", "num_groups")

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[-1] % self.num_groups:
            raise ValueError(f"GroupNorm: num_groups={self.num_groups} must divide the {input_shape[-1]} channels")
        return input_shape

    def config(self) -> dict[str, Any]:
        return {"num_groups": self.num_groups, **super().config()}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        affine = self._affine()
        y, stats = ops.group_norm(x, self.num_groups, *affine, eps=self.eps, return_stats=True)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            dx, *gradients = ops.group_norm_grad(dy, x, self.num_groups, *affine[:1], stats=stats, eps=self.eps)
            self._learn(*gradients)
            return dx

        return y, backward if training else None


class LayerNorm(_Norm):
    """Normalisation over the channels of each position of (N, ..., C); see `convkit.layer_norm`."""

    def __init__(self, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(eps, affine)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        affine = self._affine()
        y, stats = ops.layer_norm(x, x.shape[-1], *affine, eps=self.eps, return_stats=True)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            dx, *gradients = ops.layer_norm_grad(dy, x, x.shape[-1], *affine[:1], stats=stats, eps=self.eps)
            self._learn(*gradients)
            return dx

        return y, backward if training else None


class RMSNorm(_Norm):
    """Division by the root mean square over the channels of each position of (N, ..., C); see `convkit.rms_norm`."""

    def __init__(self, *, eps: float | None = None, affine: bool = True) -> None:
        super().__init__(eps, affine)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"w": input_shape[-1:]} if self.affine else {}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        affine = self._affine()
        y, stats = ops.rms_norm(x, x.shape[-1], *affine, eps=self.eps, return_stats=True)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            dx, *gradients = ops.rms_norm_grad(dy, x, x.shape[-1], *affine, stats=stats, eps=self.eps)
            self._learn(*gradients)
            return dx

        return y, backward if training else None


class LocalResponseNorm(Layer):
    """Division by the squares of `size` neighbouring channels of (N, ..., C); see `convkit.local_response_norm`."""

    def __init__(self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = positive(size, "LocalResponseNorm", "size")
        self.how = {"alpha": alpha, "beta": beta, "k": k}
        ops.local_response_norm(np.empty((0, 1), np.float32), self.size, **self.how)  # checks the arguments

    def config(self) -> dict[str, Any]:
        return {"size": self.size, **{name: float(value) for name, value in self.how.items()}}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.local_response_norm_grad(dy, x, self.size, **self.how)

        return ops.local_response_norm(x, self.size, **self.how), backward if training else None
