"""Convolution on plain arrays, for 1, 2 and 3 spatial axes: check, plan, allocate, run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit._core import cpu
from convkit.ops import again, border, check, engine
from convkit.ops.filters import PackedFilters
from convkit.plan import border as pads
from convkit.plan import choose, geometry
from convkit.plan import conv as plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

ACTIVATIONS = (None, "relu")
ALGORITHMS = ("auto", *choose.ALGORITHMS)
SERIAL_FLOP = plan.SERIAL_FLOP


def workers(threads, flop: int, op: str) -> int:
    """How many threads a call with so much work uses."""
    count = cpu.thread_count(threads, op)[0]
    return count if flop > SERIAL_FLOP else 1


def planned(op: str, x_shape, w_shape, stride=1, padding=0, dilation=1, groups=1) -> plan.Conv:
    """The checked convolution of channels-last shapes."""
    rank = len(x_shape) - 2
    return check.planned(
        op,
        plan.conv,
        x_shape,
        w_shape,
        geometry.sizes(stride, rank, op, "stride"),
        geometry.padding_of(padding, rank, op),
        geometry.sizes(dilation, rank, op, "dilation"),
        geometry.integer(groups, op, "groups"),
    )


def packed_or_plain(w, rank: int, first: bool, groups, op: str, flip=False) -> PackedFilters:
    """`w` as filters that know their packed form; plain ones forget it after the call."""
    if flip is not False and check.flag(flip, op, "flip"):
        return packed_or_plain(w, rank, first, groups, op).flipped
    if isinstance(w, PackedFilters):
        if w.rank != rank:
            raise ValueError(f"{op}: w must be packed from {rank + 2}-D filters, got {w.rank + 2}-D")
        if w.groups != groups:
            raise ValueError(f"{op}: w was packed for groups={w.groups}, got groups={groups}")
        return w
    w = check.images(check.array(w, op, "w"), rank, first, op, "w")
    return PackedFilters(w, groups, keeps=False)


def chosen(conv: plan.Conv, which: str, pad_mode: str, algorithm: str, itemsize: int, op: str):
    """What runs a pass."""
    if pad_mode == "constant":
        return engine.module(conv, which, algorithm, itemsize, op)
    return border.Boxes(conv, which, pad_mode, algorithm, itemsize, op)


def _conv(rank, x, w, b, residual, out, how):
    """`how` are the other arguments, op to flip, in one piece: they are what a call is known by."""
    y = None
    if residual is None:
        y = w.calls.again((x, b), out, how) if type(w) is PackedFilters else again.PLAIN.again((x, b, w), out, how)
    if y is not None:
        return y
    op, stride, padding, dilation, groups, layout, activation, algorithm, threads, pad_mode, flip = how
    first = check.channels_first(layout, rank, op)
    check.choice(activation, ACTIVATIONS, op, "activation")
    check.choice(algorithm, ALGORITHMS, op, "algorithm")
    check.choice(pad_mode, border.MODES, op, "pad_mode")
    x = check.array(x, op, "x")
    if x.ndim == rank + 1:
        residual = None if residual is None else check.array(residual, op, "residual")[None]
        y = _conv(rank, x[None], w, b, residual, check.batch_of_one(out), how)
        return y[0] if out is None else out
    x = check.images(x, rank, first, op)
    packed = packed_or_plain(w, rank, first, groups, op, flip)
    conv = planned(op, x.shape, packed.w.shape, stride, padding, dilation, groups)
    b = None if b is None else check.bias(b, conv.outputs, op)
    residual = None if residual is None else check.residual(residual, conv.out_shape, first, op)
    check.same_dtype(op, x=x, w=packed.w, b=b, residual=residual)
    threads = workers(threads, conv.work, op)
    y = check.result(out, conv.out_shape, x.dtype, first, (x, packed.w, b, residual), op)
    runs = chosen(conv, "forward", pad_mode, algorithm, x.itemsize, op)
    if not first and residual is None:
        again.keep(x, w, b, how, conv, runs, packed)
    engine.forward(runs, conv, x, packed, b, y, activation == "relu", threads, residual)
    return check.returned(y, out, first)


def conv1d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    residual: ArrayLike | None = None,
    layout: str = "NLC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """1-D cross-correlation of a batch with filters: `conv2d` with one spatial axis.

    Parameters
    ----------
    x : array_like of shape (N, L, C)
        float32 or float64; channels second for a channels-first `layout`.
    w : array_like of shape (O, K, C / groups), or PackedFilters
        Filters; the input channels second for a channels-first `layout`.
    b, stride, padding, dilation, groups, pad_mode, flip, residual, layout, activation, algorithm, out, threads
        As for `conv2d`, for one axis; padding may also be "causal" (all of it before the start).

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> signal = np.array([1, 2, 4, 8], np.float32).reshape(1, 4, 1)
    >>> difference = np.array([-1, 1], np.float32).reshape(1, 2, 1)
    >>> convkit.conv1d(signal, difference).ravel()
    array([1., 2., 4.], dtype=float32)
    """
    how = "conv1d", stride, padding, dilation, groups, layout, activation, algorithm, threads, pad_mode, flip
    return _conv(1, x, w, b, residual, out, how)


def conv2d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    residual: ArrayLike | None = None,
    layout: str = "NHWC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """2-D cross-correlation of a batch of images with filters, as in every neural-net library.

    y[n, i, j, o] = b[o] + sum over k, l, c of x[n, i*s + k*d - p, j*s + l*d - p, c] * w[o, k, l, c]

    with stride s, dilation d, padding p, and zeros outside of x; for groups > 1, c runs over the channels of o's group.
    Each output is summed in one order (k, l, c), so the bits depend neither on the threads nor on the batch around it.

    Parameters
    ----------
    x : array_like of shape (N, H, W, C)
        float32 or float64, of any strides; (N, C, H, W) for layout "NCHW". One image without the axis N gives one.
    w : array_like of shape (O, KH, KW, C / groups), or PackedFilters
        Filters; (O, C / groups, KH, KW) for layout "NCHW". `pack_filters` saves packing them in each call.
    b : array_like of shape (O,), optional
        Bias.
    stride, dilation : int or 2 ints
        Pixels between windows, and between the taps of a window; at least 1.
    padding : int, 2 ints, 2 pairs (lo, hi), or "valid", "same", "full"
        Pixels around x, zeros unless `pad_mode` says otherwise. "same" gives ceil(size / stride) outputs and pads more at
        the end.
    groups : int
        Divides C and O; group g of the outputs sees group g of the inputs.
    pad_mode : "constant", "edge", "reflect", "symmetric" or "wrap"
        What the padding holds, as in ``np.pad``: zeros, the pixel at the border, the image mirrored at that pixel or behind
        it, or the other end of the image. x is not copied, only strips along its borders are.
    flip : bool
        Convolution as in mathematics: the filters are turned around along the spatial axes.
    residual : array_like of the shape of the result, optional
        Added to it before the activation, as at the end of a residual block; of any strides, as `x` is.
    layout : "NHWC" or "NCHW"
        Names of the caller's axes. Memory is channels last: an NCHW-shaped array whose channels are neighbours in memory,
        as the result of an NCHW call is, is read where it lies; any other one is converted once.
    activation : None or "relu"
        Applied to the result before it is stored.
    algorithm : str
        "auto" is the fastest one that is right for the shape. By name: "direct" sums in registers; "winograd" and "winograd2"
        are F(4x4) and F(2x2), fewer products for 3 and 5 taps at stride 1; "first" is for few input channels, "few" for few
        outputs, "depthwise" for groups of one channel, "grouped" for small groups; "im2col" multiplies a matrix of windows,
        block by block; "fft" is for large filters, with an error that follows the largest values around.
    out : ndarray, optional
        Array for the result, of its shape and dtype and any strides, returned; may overlap the inputs.
    threads : int, optional
        Most threads to use; see `convkit.threads`.

    Returns
    -------
    ndarray of shape (N, OH, OW, O)
        OH = floor((H + lo + hi - dilation * (KH - 1) - 1) / stride) + 1; an NCHW-shaped view for layout "NCHW".

    Raises
    ------
    TypeError
        A dtype other than float32 and float64 or mixed ones, a masked or sparse array, a size that is not an int.
    ValueError
        Shapes that do not fit, a stride or dilation below 1, a kernel larger than the padded input.
    MemoryError
        No room for the result. Errors come before any work: `out` is untouched.

    See Also
    --------
    conv2d_grad, conv_output_shape, pack_filters, explain

    Notes
    -----
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), draws what the arguments mean.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> blur = np.ones((1, 3, 3, 1), np.float32)
    >>> convkit.conv2d(image, blur, padding="same")[0, :, :, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]], dtype=float32)
    """
    how = "conv2d", stride, padding, dilation, groups, layout, activation, algorithm, threads, pad_mode, flip
    return _conv(2, x, w, b, residual, out, how)


def conv3d(
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    residual: ArrayLike | None = None,
    layout: str = "NDHWC",
    activation: str | None = None,
    algorithm: str = "auto",
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """3-D cross-correlation of a batch with filters: `conv2d` with three spatial axes.

    Parameters
    ----------
    x : array_like of shape (N, D, H, W, C)
        float32 or float64; channels second for a channels-first `layout`.
    w : array_like of shape (O, KD, KH, KW, C / groups), or PackedFilters
        Filters; the input channels second for a channels-first `layout`.
    b, stride, padding, dilation, groups, pad_mode, flip, residual, layout, activation, algorithm, out, threads
        As for `conv2d`, for three axes.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> volume = np.ones((1, 4, 4, 4, 2), np.float32)
    >>> convkit.conv3d(volume, np.ones((5, 3, 3, 3, 2), np.float32), padding=1).shape
    (1, 4, 4, 4, 5)
    """
    how = "conv3d", stride, padding, dilation, groups, layout, activation, algorithm, threads, pad_mode, flip
    return _conv(3, x, w, b, residual, out, how)


def conv_output_shape(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    layout: str | None = None,
) -> tuple[int, ...]:
    """Shape of a convolution's result, from the shapes alone.

    Along each spatial axis: floor((size + lo + hi - dilation * (kernel - 1) - 1) / stride) + 1.

    Parameters
    ----------
    x_shape, w_shape : sequence of ints
        As `conv1d`, `conv2d` or `conv3d` would be given, channels last unless `layout` says otherwise.
    stride, padding, dilation, groups, pad_mode, layout
        As for `conv2d`; the pad mode matters only where the image has too few pixels for it.

    Returns
    -------
    tuple of ints

    Raises
    ------
    TypeError, ValueError
        As the convolution itself.

    Examples
    --------
    >>> import convkit
    >>> convkit.conv_output_shape((8, 224, 224, 3), (64, 7, 7, 3), stride=2, padding=3)
    (8, 112, 112, 64)
    """
    op = "conv_output_shape"
    first, x_shape, w_shape = check.shapes(x_shape, w_shape, layout, op)
    conv = planned(op, x_shape, w_shape, stride, padding, dilation, groups)
    if check.choice(pad_mode, border.MODES, op, "pad_mode") != "constant":
        check.planned(op, pads.check, conv, pad_mode)
    return check.named(conv.out_shape, first)
