"""The gradients of convolution on plain arrays; they share `ops/conv.py`'s checks and plan."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from convkit._core import cpu
from convkit._core.call import Parts
from convkit.ops import again, border, check, direct, engine
from convkit.ops.conv import ALGORITHMS, chosen, packed_or_plain, planned, workers
from convkit.ops.filters import PackedFilters
from convkit.plan.conv import SERIAL_FLOP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from convkit.ops.conv import Padding, Size

NEEDS = ("x", "w", "b")
GRADIENTS = (("input", "x"), ("filters", "w"))


def _conv_grad(op, rank, dy, x, w, stride, padding, dilation, groups, layout, needs, algorithm, threads, pad_mode, flip):
    how = op, stride, padding, dilation, groups, layout, needs, algorithm, threads, pad_mode, flip
    arrays = dy, x, w
    found = w.calls.again((dy, x), None, how) if type(w) is PackedFilters else again.GRADIENTS.again(arrays, None, how)
    if found is not None:
        return found
    first = check.channels_first(layout, rank, op)
    check.choice(algorithm, ALGORITHMS, op, "algorithm")
    check.choice(pad_mode, border.MODES, op, "pad_mode")
    needs = needed(needs, op)
    x, dy = check.array(x, op, "x"), check.array(dy, op, "dy")
    if x.ndim == dy.ndim == rank + 1:
        dx, dw, db = _conv_grad(op, rank, dy[None], x[None], w, *how[1:])
        return None if dx is None else dx[0], dw, db
    x, dy = check.images(x, rank, first, op), check.images(dy, rank, first, op, "dy")
    packed = packed_or_plain(w, rank, first, groups, op, flip)
    conv = planned(op, x.shape, packed.w.shape, stride, padding, dilation, groups)
    check.same_dtype(op, dy=dy, x=x, w=packed.w)
    check.gradient(dy, conv.out_shape, first, op)
    threads = workers(threads, conv.work, op)
    by = {which: chosen(conv, which, pad_mode, algorithm, x.itemsize, op) for which, name in GRADIENTS if name in needs}
    if not first and not flip:
        _keep(arrays, how, conv, by, packed)
    dx, dw, db = _gradients(conv, dy, x, packed, by, "b" in needs, threads, op)
    if flip and dw is not None:
        dw = np.ascontiguousarray(np.flip(dw, tuple(range(1, rank + 1))))
    if first:
        dx, dw = (None if d is None else np.moveaxis(d, -1, 1) for d in (dx, dw))
    return dx, dw, db


def _gradients(conv, dy, x, packed: PackedFilters, by: dict, bias: bool, threads: int, op: str):
    """dx, dw and db of checked arrays, each by the module of its pass in `by`, or None."""
    dx = engine.grad_input(by["input"], conv, dy, packed, threads, op) if "input" in by else None
    dw = engine.grad_filters(by["filters"], conv, dy, x, threads, op) if "filters" in by else None
    return dx, dw, direct.grad_bias(dy, threads) if bias else None


def _keep(arrays: tuple, how: tuple, conv, by: dict, packed: PackedFilters) -> None:
    """Remembers a call on channels-last arrays dy, x and w that has passed all checks, as `again.keep` does."""
    if 0 in (*conv.x_shape, *conv.out_shape):
        return
    op, groups, threads, bias, serial = how[0], how[4], how[8], "b" in how[6], conv.work <= SERIAL_FLOP

    parts = _parts(conv, by, packed, bias, arrays[0].dtype) if serial else None

    def run(dy_and_x, filters):
        count = 1 if serial else cpu.thread_count(threads, op)[0]
        return _gradients(conv, *dy_and_x, filters, by, bias, count, op)

    dy, x, w = arrays
    if type(w) is PackedFilters:
        packs = ref(packed)                             # as in again.py
        w.calls.keep((dy, x), conv.x_shape, how, parts or (lambda a, out: run(a, packs())))
    else:
        anew = parts or (lambda a, out: run(a[:2], PackedFilters(a[2], groups, keeps=False)))
        again.GRADIENTS.keep(arrays, conv.x_shape, how, anew)


def _parts(conv, by: dict, packed: PackedFilters, bias: bool, dtype: np.dtype) -> Parts | None:
    """The gradients without a function of Python, if there is such a form of all of them."""
    bound: list = [None, None, direct.bind_bias(conv, dtype.itemsize) if bias else None]
    if "input" in by:
        bound[0] = hasattr(by["input"], "bind_input") and by["input"].bind_input(conv, packed, dtype.itemsize)
    if "filters" in by:
        bound[1] = hasattr(by["filters"], "bind_filters") and by["filters"].bind_filters(conv, dtype.itemsize)
    if not all(fast for fast, wanted in zip(bound, ("input" in by, "filters" in by), strict=False) if wanted):
        return None
    makers = tuple(check.maker(shape, dtype) for shape in (conv.x_shape, conv.w_shape, conv.out_shape[-1:]))
    return Parts(tuple(bound), makers, (-1 if packed.keeps else 2, 1, -1))


def needed(needs, op: str) -> tuple[str, ...]:
    if isinstance(needs, str) or not all(isinstance(item, str) for item in needs):
        raise TypeError(f"{op}: needs must be a tuple of 'x', 'w', 'b', got {needs!r}")
    for item in needs:
        check.choice(item, NEEDS, op, "needs")
    return tuple(needs)


def conv1d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    layout: str = "NLC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv1d`; see `conv2d_grad`.

    Parameters
    ----------
    dy, x, w : array_like
        Gradient by the output of ``conv1d(x, w, ...)``, and the arguments of that call.
    stride, padding, dilation, groups, pad_mode, flip, layout, needs, algorithm, threads
        As for `conv2d_grad`.

    Returns
    -------
    dx, dw, db : ndarray or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d_grad`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 4, 1), np.float32), np.ones((1, 2, 1), np.float32)
    >>> dx, dw, db = convkit.conv1d_grad(np.ones((1, 3, 1), np.float32), x, w)
    >>> dx.ravel(), dw.ravel(), db
    (array([1., 2., 2., 1.], dtype=float32), array([3., 3.], dtype=float32), array([3.], dtype=float32))
    """
    return _conv_grad(
        "conv1d_grad", 1, dy, x, w, stride, padding, dilation, groups, layout, needs, algorithm, threads, pad_mode, flip
    )


def conv2d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    layout: str = "NHWC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv2d`: what a change of x, w and b does to a loss whose gradient by the output is dy.

    dx[n, h, w, c] = sum over the outputs that read that pixel of dy * w, and likewise dw of dy * x, db of dy: the adjoint
    of the convolution, <conv2d(x, w), dy> = <x, dx> = <w, dw>.

    Parameters
    ----------
    dy : array_like of shape (N, OH, OW, O)
        Gradient by the output of ``conv2d(x, w, ...)``. Where the convolution applied an activation, dy is the gradient
        before it.
    x, w : array_like
        The arguments of that call; `w` may be packed.
    stride, padding, dilation, groups, pad_mode, flip, layout, algorithm, threads
        As in that call.
    needs : sequence of "x", "w", "b"
        The gradients to compute.

    Returns
    -------
    dx, dw, db : ndarray or None
        In the shapes of x, w and b; None for what was not asked.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`, and for a dy that has not the shape of the output.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 3, 2), np.float32)
    >>> dy = np.ones((1, 2, 2, 3), np.float32)
    >>> dx, dw, db = convkit.conv2d_grad(dy, x, w)
    >>> dx[0, :, :, 0]
    array([[ 3.,  6.,  6.,  3.],
           [ 6., 12., 12.,  6.],
           [ 6., 12., 12.,  6.],
           [ 3.,  6.,  6.,  3.]], dtype=float32)
    >>> convkit.conv2d_grad(dy, x, w, needs=("b",))
    (None, None, array([4., 4., 4.], dtype=float32))
    """
    return _conv_grad(
        "conv2d_grad", 2, dy, x, w, stride, padding, dilation, groups, layout, needs, algorithm, threads, pad_mode, flip
    )


def conv3d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    layout: str = "NDHWC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv3d`; see `conv2d_grad`.

    Parameters
    ----------
    dy, x, w : array_like
        Gradient by the output of ``conv3d(x, w, ...)``, and the arguments of that call.
    stride, padding, dilation, groups, pad_mode, flip, layout, needs, algorithm, threads
        As for `conv2d_grad`.

    Returns
    -------
    dx, dw, db : ndarray or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d_grad`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 3, 3, 3, 1)), np.ones((1, 3, 3, 3, 1))
    >>> dx, dw, db = convkit.conv3d_grad(np.full((1, 1, 1, 1, 1), 2.0), x, w)
    >>> float(dx.sum()), float(dw.sum()), float(db[0])
    (54.0, 54.0, 2.0)
    """
    return _conv_grad(
        "conv3d_grad", 3, dy, x, w, stride, padding, dilation, groups, layout, needs, algorithm, threads, pad_mode, flip
    )
