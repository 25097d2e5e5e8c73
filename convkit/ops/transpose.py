"""Transposed convolution on plain arrays, for 1, 2 and 3 spatial axes: the same passes as a convolution, exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import check, engine
from convkit.ops.conv import ACTIVATIONS, ALGORITHMS, packed_or_plain, workers
from convkit.plan import geometry, transpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from convkit.ops.conv import Padding, Size
    from convkit.ops.filters import PackedFilters


def planned(op: str, x_shape, w_shape, stride, padding, output_padding, dilation, groups):
    """The checked convolution that this is the transpose of; shapes are channels last."""
    rank = len(x_shape) - 2
    return check.planned(
        op,
        transpose.conv_transpose,
        x_shape,
        w_shape,
        geometry.sizes(stride, rank, op, "stride"),
        geometry.padding_of(padding, rank, op, transposed=True),
        geometry.sizes(output_padding, rank, op, "output_padding", least=0),
        geometry.sizes(dilation, rank, op, "dilation"),
        geometry.integer(groups, op, "groups"),
    )


def _transpose(
    op, rank, x, w, b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out, threads
):
    first = check.channels_first(layout, rank, op)
    check.choice(activation, ACTIVATIONS, op, "activation")
    check.choice(algorithm, ALGORITHMS, op, "algorithm")
    x = check.array(x, op, "x")
    if x.ndim == rank + 1:
        how = stride, padding, output_padding, dilation, groups, layout, activation, algorithm
        y = _transpose(op, rank, x[None], w, b, *how, check.batch_of_one(out), threads)
        return y[0] if out is None else out
    x = check.images(x, rank, first, op)
    packed = packed_or_plain(w, rank, first, groups, op)
    conv = planned(op, x.shape, packed.w.shape, stride, padding, output_padding, dilation, groups)
    b = None if b is None else check.bias(b, conv.channels, op)
    check.same_dtype(op, x=x, w=packed.w, b=b)
    runs = engine.module(conv, "input", algorithm, x.itemsize, op)
    threads = workers(threads, conv.work, op)
    y = check.result(out, conv.x_shape, x.dtype, first, (x, packed.w, b), op)
    engine.transposed(runs, conv, x, packed, b, y, activation == "relu", threads)
    return check.returned(y, out, first)


def conv_transpose1d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NLC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """1-D transposed convolution of a batch with filters: `conv_transpose2d` with one spatial axis.

    Parameters
    ----------
    x : array_like of shape (N, L, I)
        float32 or float64; channels second for a channels-first `layout`.
    w : array_like of shape (I, K, O / groups), or PackedFilters
        Filters; the output channels second for a channels-first `layout`.
    b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out, threads
        As for `conv_transpose2d`, for one axis.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x = np.array([1, 2, 3], np.float32).reshape(1, 3, 1)
    >>> w = np.array([1, 10], np.float32).reshape(1, 2, 1)
    >>> convkit.conv_transpose1d(x, w).ravel()
    array([ 1., 12., 23., 30.], dtype=float32)
    >>> convkit.conv_transpose1d(x, w, stride=3).ravel()
    array([ 1., 10.,  0.,  2., 20.,  0.,  3., 30.], dtype=float32)
    """
    return _transpose(
        "conv_transpose1d", 1, x, w, b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out,
        threads,
    )  # fmt: skip


def conv_transpose2d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NHWC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """2-D transposed convolution ("deconvolution"), as in PyTorch: every pixel of x adds a filter, scaled by it, to y.

    y[n, i*s + k*d - p, j*s + l*d - p, o] = b[o] + sum over i, k, j, l, c of x[n, i, j, c] * w[c, k, l, o]

    with stride s, dilation d, padding p; for groups > 1, c runs over the channels of o's group. It is the gradient of the
    input of `conv2d` with the same filters and arguments, and runs on the same kernels: no zeros are put between pixels.

    Parameters
    ----------
    x : array_like of shape (N, H, W, I)
        float32 or float64, of any strides; (N, I, H, W) for layout "NCHW". One image without the axis N gives one.
    w : array_like of shape (I, KH, KW, O / groups), or PackedFilters
        Filters; (I, O / groups, KH, KW) for layout "NCHW". `pack_filters` saves packing them in each call.
    b : array_like of shape (O,), optional
        Bias.
    stride, dilation : int or 2 ints
        Pixels of y between pixels of x, and between the taps of a filter; at least 1.
    padding : int, 2 ints, 2 pairs (lo, hi), or "valid", "same"
        Pixels cut off at the borders of y: the padding of the convolution that leads back. "same" gives size * stride.
    output_padding : int or 2 ints
        Pixels more at the end of y, less than the larger of stride and dilation: a convolution with a stride gives one size
        for several inputs, this says which of them it was.
    groups : int
        Divides I; group g of the outputs sees group g of the inputs.
    layout : "NHWC" or "NCHW"
        Names of the caller's axes; as for `conv2d`.
    activation : None or "relu"
        Applied to the result.
    algorithm : str
        As for the gradient of the input of `conv2d`.
    out : ndarray, optional
        Array for the result, of its shape and dtype and any strides, returned; may overlap the inputs.
    threads : int, optional
        Most threads to use; see `convkit.threads`.

    Returns
    -------
    ndarray of shape (N, OH, OW, O)
        OH = (H - 1) * stride - lo - hi + dilation * (KH - 1) + 1 + output_padding; an NCHW-shaped view for layout "NCHW".

    Raises
    ------
    TypeError
        A dtype other than float32 and float64 or mixed ones, a masked or sparse array, a size that is not an int.
    ValueError
        Shapes that do not fit, a stride or dilation below 1, an output_padding that is too large, an output without pixels.
    MemoryError
        No room for the result. Errors come before any work: `out` is untouched.

    See Also
    --------
    conv_transpose2d_grad, conv_transpose_output_shape, conv2d

    Notes
    -----
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4, draws what the arguments mean.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    >>> w = np.ones((1, 2, 2, 1), np.float32)
    >>> convkit.conv_transpose2d(x, w, stride=2)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [3., 3., 4., 4.],
           [3., 3., 4., 4.]], dtype=float32)
    """
    return _transpose(
        "conv_transpose2d", 2, x, w, b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out,
        threads,
    )  # fmt: skip


def conv_transpose3d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NDHWC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """3-D transposed convolution of a batch with filters: `conv_transpose2d` with three spatial axes.

    Parameters
    ----------
    x : array_like of shape (N, D, H, W, I)
        float32 or float64; channels second for a channels-first `layout`.
    w : array_like of shape (I, KD, KH, KW, O / groups), or PackedFilters
        Filters; the output channels second for a channels-first `layout`.
    b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out, threads
        As for `conv_transpose2d`, for three axes.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 4, 4, 4, 2), np.float32), np.ones((2, 2, 2, 2, 5), np.float32)
    >>> convkit.conv_transpose3d(x, w, stride=2).shape
    (1, 8, 8, 8, 5)
    """
    return _transpose(
        "conv_transpose3d", 3, x, w, b, stride, padding, output_padding, dilation, groups, layout, activation, algorithm, out,
        threads,
    )  # fmt: skip


def conv_transpose_output_shape(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str | None = None,
) -> tuple[int, ...]:
    """Shape of a transposed convolution's result, from the shapes alone.

    Along each spatial axis: (size - 1) * stride - lo - hi + dilation * (kernel - 1) + 1 + output_padding.

    Parameters
    ----------
    x_shape, w_shape : sequence of ints
        As the function would be given, channels last unless `layout` says otherwise.
    stride, padding, output_padding, dilation, groups, layout
        As for `conv_transpose2d`.

    Returns
    -------
    tuple of ints

    Raises
    ------
    TypeError, ValueError
        As the transposed convolution itself.

    Examples
    --------
    >>> import convkit
    >>> convkit.conv_transpose_output_shape((8, 7, 7, 64), (64, 3, 3, 32), stride=2, padding=1, output_padding=1)
    (8, 14, 14, 32)
    """
    op = "conv_transpose_output_shape"
    first, x_shape, w_shape = check.shapes(x_shape, w_shape, layout, op)
    conv = planned(op, x_shape, w_shape, stride, padding, output_padding, dilation, groups)
    return check.named(conv.x_shape, first)
