"""Max unpooling layers of 1, 2 and 3 dimensions: values go back to where a max pooling found them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Shape, check_array
from convkit.layers.conv import frozen, plain
from convkit.layers.merge import Arrays, _Merge
from convkit.ops import unpool
from convkit.plan.geometry import sizes

__all__ = ["MaxUnpool1D", "MaxUnpool2D", "MaxUnpool3D"]


class _MaxUnpool(_Merge):
    """Undoes a max pooling as far as that can be, of any rank, channels last: values at their places, and zeros.

    A layer of two tensors, the values and their indices, which max pooling gives with ``return_indices=True``.

    Parameters
    ----------
    kernel_size, stride, padding
        Of the max pooling.
    output_size : int or tuple of int, optional
        Size of the result, where several lead to that of the input; by default the smallest that all windows lie in.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, at build if the inputs do not fit, or if an index lies outside of the result.

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import MaxPool2D, MaxUnpool2D
    >>> y, indices = MaxPool2D(2, return_indices=True)(convkit.Input((28, 28, 8)))
    >>> y.shape, MaxUnpool2D(2)(y, indices).shape
    ((14, 14, 8), (28, 28, 8))
    """

    rank = 0

    def __init__(self, kernel_size: Any = 2, *, stride: Any = None, padding: Any = 0, output_size: Any = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = sizes(kernel_size, self.rank, name, "kernel_size")
        self.how: dict[str, Any] = {
            "stride": self.kernel_size if stride is None else sizes(stride, self.rank, name, "stride"),
            "padding": frozen(padding),
            "output_size": None if output_size is None else sizes(output_size, self.rank, name, "output_size"),
        }

    def config(self) -> dict[str, Any]:
        return plain({"kernel_size": self.kernel_size, **self.how})

    def _merged(self, shapes: tuple[Shape, ...]) -> Shape:
        values, indices, name = shapes[0], shapes[1], type(self).__name__
        if len(shapes) != 2 or values != indices or len(values) != self.rank + 1:
            axes = f"values and indices with {self.rank + 1} axes"
            raise ValueError(f"{name}: needs two inputs of one shape, {axes}, got {shapes}")
        return (*unpool.size(name, values[:-1], self.kernel_size, **self.how), values[-1])

    def check_input(self, x: Any) -> None:
        if not isinstance(x, (tuple, list)) or len(x) != 2:
            raise TypeError(f"{self.label}: x must be a tuple of values and indices, got {type(x).__name__}")
        check_array(self.label, "x[0]", x[0], self.input_shape[0], self.dtype)

    def _forward(self, x: Arrays, training: bool) -> tuple[np.ndarray, Backward | None]:
        name, indices = f"max_unpool{self.rank}d", x[1]
        y = getattr(ops, name)(x[0], indices, self.kernel_size, **self.how)

        def backward(dy: np.ndarray, needs_input: bool) -> tuple[np.ndarray, None]:
            return getattr(ops, name + "_grad")(dy, indices), None

        return y, backward if training else None


class MaxUnpool1D(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class MaxUnpool2D(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class MaxUnpool3D(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3
