"""Max and average pooling layers of 1, 2 and 3 dimensions: one implementation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape
from convkit.layers.conv import frozen, plain
from convkit.ops import check
from convkit.ops.pooling import max_pool_in_training, spread_by_indices
from convkit.plan.geometry import sizes

__all__ = ["AvgPool1D", "AvgPool2D", "AvgPool3D", "MaxPool1D", "MaxPool2D", "MaxPool3D"]


class _Pool(Layer):
    rank = 0
    _op: Callable

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(ceil_mode, (bool, np.bool_)):
            raise TypeError(f"{name}: ceil_mode must be True or False, got {ceil_mode!r}")
        self.kernel_size = sizes(kernel_size, self.rank, name, "kernel_size")
        self.how: dict[str, Any] = {
            "stride": self.kernel_size if stride is None else sizes(stride, self.rank, name, "stride"),
            "padding": frozen(padding),
            "ceil_mode": bool(ceil_mode),
        }

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.rank + 1:
            axes = ("length", "height, width", "depth, height, width")[self.rank - 1]
            raise ValueError(f"{type(self).__name__}: the input must be ({axes}, channels), got {input_shape}")
        nothing = np.empty((0, *input_shape), np.float32)  # an empty batch costs no work and passes every check
        return type(self)._op(nothing, self.kernel_size, **self.how).shape[1:]

    @property
    def receptive_field(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(zip(self.kernel_size, self.how["stride"], self.how.get("dilation", (1,) * self.rank), strict=True))

    def config(self) -> dict[str, Any]:
        return plain({"kernel_size": self.kernel_size, **self.how})


class _MaxPool(_Pool):
    """Maximum of each window, of any rank, channels last; the first maximum takes the gradient.

    Parameters
    ----------
    kernel_size : int or tuple of int, default 2
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, tuple or pairs ``((lo, hi), ...)``, default 0
        Padded positions count as -inf.
    dilation : int or tuple of int, default 1
    ceil_mode : bool, default False
        Keep a last window that is only partly inside.
    return_indices : bool, default False
        Give a second result, the flat spatial index of each maximum, for a `MaxUnpool2D`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import MaxPool2D
    >>> MaxPool2D(2).output_shape((28, 28, 8))
    (14, 14, 8)
    """

    _kind, _in_training = "max", staticmethod(max_pool_in_training)

    def __init__(
        self,
        kernel_size: Any = 2,
        *,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.how["dilation"] = sizes(dilation, self.rank, type(self).__name__, "dilation")
        self.return_indices = check.flag(return_indices, type(self).__name__, "return_indices")

    def config(self) -> dict[str, Any]:
        return {**super().config(), **({"return_indices": True} if self.return_indices else {})}

    def output_shape(self, input_shape: Shape) -> Any:
        shape = super().output_shape(input_shape)
        return (shape, shape) if self.return_indices else shape

    def of_relu(self, x: np.ndarray) -> tuple[np.ndarray, Callable]:
        """The result for the result of a ReLU, and dy -> dx, db: the gradient before the ReLU, and its sum for each channel."""
        name = f"{self._kind}_pool{self.rank}d"
        return max_pool_in_training(name, self.rank, x, self.kernel_size, **self.how, of_relu=True)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[Any, Backward | None]:
        if not training:
            return type(self)._op(x, self.kernel_size, **self.how, return_indices=self.return_indices), None
        if self.return_indices:
            y, indices = type(self)._op(x, self.kernel_size, **self.how, return_indices=True)
            result, spread = (y, indices), partial(spread_by_indices, indices=indices, x_shape=x.shape)
        else:
            name = f"{self._kind}_pool{self.rank}d"
            result, spread = type(self)._in_training(name, self.rank, x, self.kernel_size, **self.how)

        def backward(dy: Any, needs_input: bool) -> np.ndarray | None:
            dy = dy[0] if self.return_indices else dy   # nothing comes back through indices
            return None if dy is None else spread(dy)

        return result, backward


class _AvgPool(_Pool):
    """Mean of each window, of any rank, channels last.

    Parameters
    ----------
    kernel_size : int or tuple of int, default 2
    stride : int or tuple of int, optional
        The kernel size if not given.
    padding : int, tuple or pairs ``((lo, hi), ...)``, default 0
    ceil_mode : bool, default False
        Keep a last window that is only partly inside.
    count_include_pad : bool, default True
        Count padded positions as zeros; if False, leave them out of the mean.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import AvgPool2D
    >>> AvgPool2D(4, stride=2).output_shape((28, 28, 8))
    (13, 13, 8)
    """

    _grad: Callable

    def __init__(
        self,
        kernel_size: Any = 2,
        *,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        if not isinstance(count_include_pad, (bool, np.bool_)):
            raise TypeError(f"{type(self).__name__}: count_include_pad must be True or False, got {count_include_pad!r}")
        self.how["count_include_pad"] = bool(count_include_pad)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shape = x.shape  # the gradient needs no more of x

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, shape, self.kernel_size, **self.how)

        return type(self)._op(x, self.kernel_size, **self.how), backward if training else None


class MaxPool1D(_MaxPool):
    __doc__ = _MaxPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op = 1, ops.max_pool1d


class MaxPool2D(_MaxPool):
    __doc__ = _MaxPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op = 2, ops.max_pool2d


class MaxPool3D(_MaxPool):
    __doc__ = _MaxPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op = 3, ops.max_pool3d


class AvgPool1D(_AvgPool):
    __doc__ = _AvgPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.avg_pool1d, ops.avg_pool1d_grad


class AvgPool2D(_AvgPool):
    __doc__ = _AvgPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.avg_pool2d, ops.avg_pool2d_grad


class AvgPool3D(_AvgPool):
    __doc__ = _AvgPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.avg_pool3d, ops.avg_pool3d_grad
