"""Min, Lp, global and adaptive pooling layers of 1, 2 and 3 dimensions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape
from convkit.layers.conv import plain
from convkit.layers.pool import _MaxPool, _Pool
from convkit.ops import check, pool_lp, pool_min
from convkit.ops.adaptive import maximum_in_training
from convkit.plan import resample
from convkit.plan.geometry import sizes

__all__ = [
    "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D",
    "GlobalMaxPool3D", "LpPool1D", "LpPool2D", "LpPool3D", "MinPool1D", "MinPool2D", "MinPool3D",
]  # fmt: skip

AXES = ("length", "height, width", "depth, height, width")


class _MinPool(_MaxPool):
    """Minimum of each window, of any rank, channels last; the first minimum takes the gradient.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As for `MaxPool2D`; padded positions count as inf.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import MinPool2D
    >>> MinPool2D(2).output_shape((28, 28, 8))
    (14, 14, 8)
    """

    _kind, _in_training = "min", staticmethod(pool_min.in_training)


class _LpPool(_Pool):
    """p-norm of each window, of any rank, channels last: ``y = (sum |x|**p)**(1/p)``.

    Parameters
    ----------
    kernel_size : int or tuple of int, default 2
    p : float >= 1, default 2
    stride, padding, dilation, ceil_mode
        As for `MaxPool2D`; padded positions count as 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import LpPool2D
    >>> LpPool2D(2, p=3).output_shape((28, 28, 8))
    (14, 14, 8)
    """

    _grad: Callable

    def __init__(
        self, kernel_size: Any = 2, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode)
        name = type(self).__name__
        self.how["dilation"] = sizes(dilation, self.rank, name, "dilation")
        self.how["p"] = pool_lp.exponent(p, name)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, x, self.kernel_size, **self.how)

        return type(self)._op(x, self.kernel_size, **self.how), backward if training else None


class _Whole(Layer):
    """What pools without a window of a given size share."""

    rank = 0
    _op: Callable
    _grad: Callable

    def _checked(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.rank + 1:
            raise ValueError(f"{type(self).__name__}: the input must be ({AXES[self.rank - 1]}, channels), got {input_shape}")
        if 0 in input_shape[:-1]:
            raise ValueError(f"{type(self).__name__}: the input has no pixels, its shape is {input_shape}")
        return input_shape


class _GlobalPool(_Whole):
    def __init__(self, *, keepdims: bool = False) -> None:
        super().__init__()
        self.keepdims = check.flag(keepdims, type(self).__name__, "keepdims")

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = self._checked(input_shape)[-1]
        return (1,) * self.rank * self.keepdims + (channels,)

    @property
    def receptive_field(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return {"keepdims": self.keepdims}


class _GlobalAvgPool(_GlobalPool):
    """Mean of each channel over all positions, of any rank, channels last.

    Parameters
    ----------
    keepdims : bool, default False
        Keep the spatial axes with size 1.

    Raises
    ------
    TypeError, ValueError
        If `keepdims` is no bool, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import GlobalAvgPool2D
    >>> GlobalAvgPool2D().output_shape((7, 7, 512))
    (512,)
    """

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shape = x.shape  # the gradient needs no more of x

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, shape, keepdims=self.keepdims)

        return type(self)._op(x, keepdims=self.keepdims), backward if training else None


class _GlobalMaxPool(_GlobalPool):
    __doc__ = _GlobalAvgPool.__doc__.replace("Mean", "Maximum").replace("Avg", "Max")

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, x, keepdims=self.keepdims)

        return type(self)._op(x, keepdims=self.keepdims), backward if training else None


class _AdaptivePool(_Whole):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.rank
        sizes([1 if size is None else size for size in given], self.rank, type(self).__name__, "output_size")
        self.output_size = tuple(None if size is None else int(size) for size in given)

    def output_shape(self, input_shape: Shape) -> Shape:
        *spatial, channels = self._checked(input_shape)
        return (*(n if size is None else size for n, size in zip(spatial, self.output_size, strict=True)), channels)

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction, int], ...] | None:
        """The largest window, and the mean distance of two; known once the layer is built."""
        if self.input_shape is None:
            return None
        steps = []
        for n, size in zip(self.input_shape, self.output_shape(self.input_shape)[:-1], strict=False):
            start, stop = resample.windows(n, size)
            steps.append((int((stop - start).max()), Fraction(n, size), 1))
        return tuple(steps)

    def config(self) -> dict[str, Any]:
        return {"output_size": [None if size is None else plain(size) for size in self.output_size]}


class _AdaptiveAvgPool(_AdaptivePool):
    """Mean of each of the windows that share out the positions evenly, of any rank, channels last.

    Parameters
    ----------
    output_size : int, or a tuple of int and None
        Windows along each axis; None keeps the size.

    Raises
    ------
    TypeError, ValueError
        If `output_size` is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import AdaptiveAvgPool2D
    >>> AdaptiveAvgPool2D((3, None)).output_shape((28, 20, 8))
    (3, 20, 8)
    """

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shape = x.shape  # the gradient needs no more of x

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, shape)

        return type(self)._op(x, self.output_size), backward if training else None


class _AdaptiveMaxPool(_AdaptivePool):
    __doc__ = _AdaptiveAvgPool.__doc__.replace("Mean", "Maximum").replace("Avg", "Max")

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        if not training:
            return type(self)._op(x, self.output_size), None
        y, spread = maximum_in_training(f"adaptive_max_pool{self.rank}d", self.rank, x, self.output_size)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return spread(dy)

        return y, backward


class MinPool1D(_MinPool):
    __doc__ = _MinPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op = 1, ops.min_pool1d


class MinPool2D(_MinPool):
    __doc__ = _MinPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op = 2, ops.min_pool2d


class MinPool3D(_MinPool):
    __doc__ = _MinPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op = 3, ops.min_pool3d


class LpPool1D(_LpPool):
    __doc__ = _LpPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.lp_pool1d, ops.lp_pool1d_grad


class LpPool2D(_LpPool):
    __doc__ = _LpPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.lp_pool2d, ops.lp_pool2d_grad


class LpPool3D(_LpPool):
    __doc__ = _LpPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.lp_pool3d, ops.lp_pool3d_grad


class GlobalAvgPool1D(_GlobalAvgPool):
    __doc__ = _GlobalAvgPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.global_avg_pool1d, ops.global_avg_pool1d_grad


class GlobalAvgPool2D(_GlobalAvgPool):
    __doc__ = _GlobalAvgPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.global_avg_pool2d, ops.global_avg_pool2d_grad


class GlobalAvgPool3D(_GlobalAvgPool):
    __doc__ = _GlobalAvgPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.global_avg_pool3d, ops.global_avg_pool3d_grad


class GlobalMaxPool1D(_GlobalMaxPool):
    __doc__ = _GlobalMaxPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.global_max_pool1d, ops.global_max_pool1d_grad


class GlobalMaxPool2D(_GlobalMaxPool):
    __doc__ = _GlobalMaxPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.global_max_pool2d, ops.global_max_pool2d_grad


class GlobalMaxPool3D(_GlobalMaxPool):
    __doc__ = _GlobalMaxPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.global_max_pool3d, ops.global_max_pool3d_grad


class AdaptiveAvgPool1D(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.adaptive_avg_pool1d, ops.adaptive_avg_pool1d_grad


class AdaptiveAvgPool2D(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.adaptive_avg_pool2d, ops.adaptive_avg_pool2d_grad


class AdaptiveAvgPool3D(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.adaptive_avg_pool3d, ops.adaptive_avg_pool3d_grad


class AdaptiveMaxPool1D(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op = 1, ops.adaptive_max_pool1d


class AdaptiveMaxPool2D(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op = 2, ops.adaptive_max_pool2d


class AdaptiveMaxPool3D(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op = 3, ops.adaptive_max_pool3d
