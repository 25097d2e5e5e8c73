"""im2col and col2im on plain arrays: the windows of an image as the rows of a matrix."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import check
from convkit.ops.conv import planned, workers
from convkit.plan import conv as plan
from convkit.plan import geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from convkit.ops.conv import Padding, Size


def im2col(
    x: ArrayLike,
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    layout: str | None = None,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """The window of each output pixel of a convolution, as one row of numbers: a convolution is then a product of matrices.

    cols[n, i, j, (k * KW + l) * C + c] = x[n, i*s + k*d - p, j*s + l*d - p, c]

    with stride s, dilation d, padding p, and zeros outside of x; likewise for 1 and 3 spatial axes. The result is about
    prod(kernel_size) / prod(stride) times as large as x: ``conv2d`` does the same without it.

    Parameters
    ----------
    x : array_like of shape (N, *size, C)
        float32 or float64 with one to three spatial axes; (N, C, *size) for a channels-first `layout`.
    kernel_size, stride, dilation : int or one int an axis
    padding : int, tuple, pairs (lo, hi), or a name
        As for `conv2d`.
    layout : str, optional
        "NLC", "NHWC" or "NDHWC" (the default), or "NCL", "NCHW", "NCDHW".
    out : ndarray, optional
        Array for the result, of its shape and dtype and any strides, returned; may overlap x.
    threads : int, optional
        Most threads to use; see `convkit.threads`.

    Returns
    -------
    ndarray of shape (N, *out, prod(kernel_size) * C)
        In the order of filters (O, *kernel, C). (N, C * prod(kernel_size), *out) for a channels-first `layout`, in the
        order of filters (O, C, *kernel).

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    See Also
    --------
    col2im

    Examples
    --------
    >>> import convkit, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.standard_normal((2, 8, 9, 3)), rng.standard_normal((4, 3, 3, 3))
    >>> cols = convkit.im2col(x, 3, padding=1)
    >>> cols.shape
    (2, 8, 9, 27)
    >>> y = cols @ w.reshape(4, 27).T
    >>> np.allclose(y, convkit.conv2d(x, w, padding=1))
    True
    """
    op = "im2col"
    x = check.array(x, op, "x")
    rank = x.ndim - 2
    if rank not in check.LAYOUTS:
        raise ValueError(f"{op}: x must have 3 to 5 axes, got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op)
    x = check.images(x, rank, first, op)
    conv = _windows(op, x.shape, kernel_size, stride, padding, dilation)
    taps, shape = prod(conv.w_shape[1:-1]), (*conv.out_shape[:-1], prod(conv.w_shape[1:]))
    threads = workers(threads, prod(shape), op)
    given = None if out is None else check.output(out, shape, x.dtype, first, (x,), op)
    direct = given is not None and given.flags.c_contiguous and not first
    cols = given if direct else check.empty(shape, x.dtype, op)
    if cols.size:
        from convkit.ops.lowering import LOWER  # with the algorithms, for whose sake importing convkit does not wait

        cells = cols.reshape(-1, 1, taps, conv.channels)
        LOWER[x.dtype](conv.windows, check.lifted(check.readable(x, threads)), cells, 0, threads)
    if direct:
        return out
    if first:                                           # the taps of a channel side by side
        cols = np.moveaxis(cols.reshape(*shape[:-1], taps, conv.channels).swapaxes(-1, -2).reshape(shape), -1, 1)
    if out is None:
        return cols
    out[...] = cols
    return out


def col2im(
    cols: ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    layout: str | None = None,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Adds each window back to where `im2col` read it: the adjoint, <im2col(x), cols> = <x, col2im(cols)>.

    x[n, i*s + k*d - p, j*s + l*d - p, c] = sum over the windows that hold it of cols[n, i, j, (k * KW + l) * C + c]

    Parameters
    ----------
    cols : array_like
        As the result of `im2col`, float32 or float64.
    x_shape : sequence of ints
        Of the result, as `im2col` was given it.
    kernel_size, stride, padding, dilation, layout
        As for `im2col`.
    out : ndarray, optional
        Array for the result, of its shape and dtype and any strides, returned; may overlap `cols`.
    threads : int, optional
        Most threads to use; see `convkit.threads`.

    Returns
    -------
    ndarray of shape x_shape
        Sums in one order, whatever the threads.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `im2col`, and for `cols` that have another shape than those of `x_shape`.

    See Also
    --------
    im2col

    Examples
    --------
    >>> import convkit, numpy as np
    >>> cols = convkit.im2col(np.ones((1, 4, 4, 1), np.float32), 3)
    >>> convkit.col2im(cols, (1, 4, 4, 1), 3)[0, :, :, 0]
    array([[1., 2., 2., 1.],
           [2., 4., 4., 2.],
           [2., 4., 4., 2.],
           [1., 2., 2., 1.]], dtype=float32)
    """
    op = "col2im"
    cols, x_shape = check.array(cols, op, "cols"), check.shape_of(x_shape, op, "x_shape")
    rank = len(x_shape) - 2
    if rank not in check.LAYOUTS:
        raise ValueError(f"{op}: x_shape must have 3 to 5 sizes, got {x_shape}")
    first = check.channels_first(layout, rank, op)
    shape = (x_shape[0], *x_shape[2:], x_shape[1]) if first else x_shape
    conv = _windows(op, shape, kernel_size, stride, padding, dilation)
    taps, wanted = prod(conv.w_shape[1:-1]), (*conv.out_shape[:-1], prod(conv.w_shape[1:]))
    if cols.shape != check.named(wanted, first):
        raise ValueError(f"{op}: cols must have shape {check.named(wanted, first)} for x_shape {x_shape}, got {cols.shape}")
    threads = workers(threads, prod(wanted), op)
    given = None if out is None else check.output(out, shape, cols.dtype, first, (cols,), op)
    x = check.empty(shape, cols.dtype, op) if given is None else given
    if first:
        cols = np.moveaxis(cols, 1, -1).reshape(*wanted[:-1], conv.channels, taps).swapaxes(-1, -2)
    cells = np.ascontiguousarray(cols).reshape(prod(wanted[:-1]), 1, taps, conv.channels)
    x[...] = 0
    if cells.size and x.size:
        from convkit.ops.lowering import ADD

        ADD[x.dtype](conv.windows, cells, check.lifted(x), 0, threads)
    named = np.moveaxis(x, -1, 1) if first else x
    if out is None:
        return named
    if given is None:
        out[...] = named
    return out


def _windows(op: str, x_shape, kernel_size, stride, padding, dilation) -> plan.Conv:
    """A convolution with one filter of the size of the windows."""
    kernel = geometry.sizes(kernel_size, len(x_shape) - 2, op, "kernel_size")
    return planned(op, x_shape, (1, *kernel, x_shape[-1]), stride, padding, dilation)
