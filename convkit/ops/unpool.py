"""Max unpooling and its gradient: values go back to where max pooling found them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.plan import geometry

__all__ = [
    "max_unpool1d", "max_unpool1d_grad", "max_unpool2d", "max_unpool2d_grad", "max_unpool3d", "max_unpool3d_grad",
]  # fmt: skip


def max_unpool2d(
    x: Any, indices: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, output_size: Any = None,
    layout: str = "NHWC", out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Puts each value at its index in an image of zeros: ``y[n, indices[n, i, j, c], c] = x[n, i, j, c]``.

    Of several values with the same index the last one in row-major order stays.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32 or float64
        Usually what max_pool2d returned.
    indices : array_like (N, H, W, C) of integers
        ``h*OW + w`` for each value, as max_pool2d returns them.
    kernel_size, stride, padding
        Of the max_pool2d that is undone; they give the size of the result, ``(H - 1)*stride - 2*padding + kernel_size``.
    output_size : int or 2 ints, optional
        Another size, less than a stride away: that of the input of max_pool2d, which several sizes lead to.
    layout : "NHWC" or "NCHW"
    out : ndarray of the result's shape and dtype, optional

    Returns
    -------
    ndarray (N, OH, OW, C)

    Raises
    ------
    TypeError
        If an argument has the wrong type, `x` another dtype, or `indices` are not integers.
    ValueError
        If shapes do not fit, an index is outside of the result, or `output_size` cannot be reached.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import max_pool2d, max_unpool2d
    >>> y, indices = max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2, return_indices=True)
    >>> max_unpool2d(y, indices, 2)[0, :, :, 0]
    array([[ 0.,  0.,  0.,  0.],
           [ 0.,  5.,  0.,  7.],
           [ 0.,  0.,  0.,  0.],
           [ 0., 13.,  0., 15.]])
    """
    return _unpool("max_unpool2d", 2, x, indices, kernel_size, stride, padding, output_size, layout, out)


def max_unpool2d_grad(dy: Any, indices: Any, *, layout: str = "NHWC") -> np.ndarray:
    """Gradient of max_unpool2d: ``dx[n, i, j, c] = dy[n, indices[n, i, j, c], c]``, or 0 where another value took the place.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C), float32 or float64
        Gradient of the result.
    indices : array_like (N, H, W, C) of integers
        What max_unpool2d was given.
    layout : "NHWC" or "NCHW"

    Returns
    -------
    ndarray of the shape of `indices`

    Raises
    ------
    TypeError, ValueError
        As in `max_unpool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import max_unpool2d_grad
    >>> max_unpool2d_grad(np.arange(4.0).reshape(1, 2, 2, 1), np.array([2, 2]).reshape(1, 1, 2, 1)).ravel()
    array([0., 2.])
    """
    return _grad("max_unpool2d_grad", 2, dy, indices, layout)


def max_unpool1d(
    x: Any, indices: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, output_size: Any = None,
    layout: str = "NLC", out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Puts each value at its index in a sequence of zeros: x, indices (N, L, C) -> y (N, OL, C); see `max_unpool2d`."""
    return _unpool("max_unpool1d", 1, x, indices, kernel_size, stride, padding, output_size, layout, out)


def max_unpool1d_grad(dy: Any, indices: Any, *, layout: str = "NLC") -> np.ndarray:
    """Gradient of max_unpool1d: dy (N, OL, C), indices (N, L, C) -> dx like indices; see `max_unpool2d_grad`."""
    return _grad("max_unpool1d_grad", 1, dy, indices, layout)


def max_unpool3d(
    x: Any, indices: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, output_size: Any = None,
    layout: str = "NDHWC", out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Puts each value at its index in a volume of zeros: x, indices (N, D, H, W, C) -> y; see `max_unpool2d`."""
    return _unpool("max_unpool3d", 3, x, indices, kernel_size, stride, padding, output_size, layout, out)


def max_unpool3d_grad(dy: Any, indices: Any, *, layout: str = "NDHWC") -> np.ndarray:
    """Gradient of max_unpool3d: dy (N, OD, OH, OW, C), indices (N, D, H, W, C) -> dx like indices; see `max_unpool2d_grad`."""
    return _grad("max_unpool3d_grad", 3, dy, indices, layout)


def size(op: str, spatial: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> tuple[int, ...]:
    """Spatial shape of the result."""
    rank = len(spatial)
    kernel = geometry.sizes(kernel_size, rank, op, "kernel_size")
    steps = kernel if stride is None else geometry.sizes(stride, rank, op, "stride")
    if isinstance(padding, str):
        raise ValueError(f"{op}: padding must be an int, {rank} ints or {rank} pairs, got {padding!r}")
    pads = geometry.padding_of(padding, rank, op)
    usual = [(n - 1) * s - lo - hi + k for n, s, (lo, hi), k in zip(spatial, steps, pads, kernel, strict=True)]
    found = tuple(usual) if output_size is None else geometry.sizes(output_size, rank, op, "output_size")
    for name, got, middle, step in zip(geometry.AXES[rank], found, usual, steps, strict=True):
        if not max(middle - step, 0) < got < middle + step:
            allowed = f"{max(middle - step, 0) + 1} to {middle + step - 1}"
            raise ValueError(f"{op}: the output size along {name} must be from {allowed}, got {got}")
    return found


def _indices(op: str, rank: int, indices: Any, first: bool, sizes: tuple[int, ...]) -> np.ndarray:
    """Indices, channels last, each of them inside an image of spatial shape `sizes`; (N, pixels, C) of int64."""
    indices = check.as_array(indices, op, "indices")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{op}: indices must be integers, got {indices.dtype}")
    indices = check.images(indices, rank, first, op, "indices")
    pixels = int(np.prod(sizes, dtype=object))
    if indices.size and not (indices.min() >= 0 and indices.max() < pixels):
        wrong = indices[(indices < 0) | (indices >= pixels)][0]
        raise ValueError(f"{op}: index {wrong} out of range for an output of {'x'.join(map(str, sizes))}")
    flat = np.ascontiguousarray(indices, np.int64)
    return flat.reshape(len(flat), -1 if flat.size else 0, flat.shape[-1])


def _unpool(op, rank, x, indices, kernel_size, stride, padding, output_size, layout, out):
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    spatial = size(op, x.shape[1:-1], kernel_size, stride, padding, output_size)
    flat = _indices(op, rank, indices, first, spatial)
    if np.shape(indices) != check.named(x.shape, first):
        raise ValueError(f"{op}: indices must have the shape of x {check.named(x.shape, first)}, got {np.shape(indices)}")
    shape = (len(x), *spatial, x.shape[-1])
    y = check.result(out, shape, x.dtype, first, (x,), op)
    plane = y if y.flags.c_contiguous else np.empty(shape, x.dtype)
    plane[...] = 0
    if x.size:
        lines = plane.reshape(len(x), -1, shape[-1])
        np.put_along_axis(lines, flat, x.reshape(flat.shape), axis=1)
    if plane is not y:
        y[...] = plane
    return check.returned(y, out, first)


def _grad(op, rank, dy, indices, layout):
    first = check.channels_first(layout, rank, op)
    dy = check.images(check.array(dy, op, "dy"), rank, first, op, "dy")
    flat = _indices(op, rank, indices, first, dy.shape[1:-1])
    shape = check.named(np.shape(indices), False) if not first else (len(flat), *np.shape(indices)[2:], np.shape(indices)[1])
    if (shape[0], shape[-1]) != (dy.shape[0], dy.shape[-1]):
        raise ValueError(f"{op}: dy and indices must have the same images and channels, got the shapes "
                         f"{check.named(dy.shape, first)} and {np.shape(indices)}")  # fmt: skip
    dx = check.empty(shape, dy.dtype, op)
    if dx.size:
        lines = dy.reshape(len(dy), -1, dy.shape[-1])
        last = np.empty(lines.shape, np.int64)          # which value stayed
        order = np.broadcast_to(np.arange(flat.shape[1])[:, None], flat.shape)
        np.put_along_axis(last, flat, order, axis=1)
        stayed = np.take_along_axis(last, flat, axis=1) == order
        dx[...] = np.where(stayed, np.take_along_axis(lines, flat, axis=1), 0).reshape(shape)
    return check.returned(dx, None, first)
