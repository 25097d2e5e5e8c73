"""The gradients of transposed convolution on plain arrays; they share `ops/transpose.py`'s checks and plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import check, direct, engine
from convkit.ops.conv import ALGORITHMS, packed_or_plain, workers
from convkit.ops.conv_grad import NEEDS, needed
from convkit.ops.transpose import planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from convkit.ops.conv import Padding, Size
    from convkit.ops.filters import PackedFilters


def _grad(op, rank, dy, x, w, stride, padding, output_padding, dilation, groups, layout, needs, algorithm, threads):
    first = check.channels_first(layout, rank, op)
    check.choice(algorithm, ALGORITHMS, op, "algorithm")
    needs = needed(needs, op)
    x, dy = check.array(x, op, "x"), check.array(dy, op, "dy")
    if x.ndim == dy.ndim == rank + 1:
        how = stride, padding, output_padding, dilation, groups, layout, needs, algorithm, threads
        dx, dw, db = _grad(op, rank, dy[None], x[None], w, *how)
        return None if dx is None else dx[0], dw, db
    x, dy = check.images(x, rank, first, op), check.images(dy, rank, first, op, "dy")
    packed = packed_or_plain(w, rank, first, groups, op)
    conv = planned(op, x.shape, packed.w.shape, stride, padding, output_padding, dilation, groups)
    check.same_dtype(op, dy=dy, x=x, w=packed.w)
    check.gradient(dy, conv.x_shape, first, op)
    threads = workers(threads, conv.work, op)
    dx = dw = db = None
    if "x" in needs:
        runs = engine.module(conv, "forward", algorithm, x.itemsize, op)
    if "w" in needs:
        sums = engine.module(conv, "filters", algorithm, x.itemsize, op)
    if "x" in needs:
        dx = check.empty(conv.out_shape, dy.dtype, op)
        engine.forward(runs, conv, dy, packed, None, dx, False, threads)
    if "w" in needs:
        dw = engine.grad_filters(sums, conv, x, dy, threads, op)
    if "b" in needs:
        db = direct.grad_bias(dy, threads)
    if first:
        dx, dw = (None if d is None else np.moveaxis(d, -1, 1) for d in (dx, dw))
    return dx, dw, db


def conv_transpose1d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NLC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv_transpose1d`; see `conv_transpose2d_grad`.

    Parameters
    ----------
    dy, x, w : array_like
        Gradient by the output of ``conv_transpose1d(x, w, ...)``, and the arguments of that call.
    stride, padding, output_padding, dilation, groups, layout, needs, algorithm, threads
        As for `conv_transpose2d_grad`.

    Returns
    -------
    dx, dw, db : ndarray or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d_grad`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 3, 1), np.float32), np.ones((1, 2, 1), np.float32)
    >>> dy = np.array([1, 2, 4, 8], np.float32).reshape(1, 4, 1)
    >>> dx, dw, db = convkit.conv_transpose1d_grad(dy, x, w)
    >>> dx.ravel(), dw.ravel(), db
    (array([ 3.,  6., 12.], dtype=float32), array([ 7., 14.], dtype=float32), array([15.], dtype=float32))
    """
    return _grad(
        "conv_transpose1d_grad", 1, dy, x, w, stride, padding, output_padding, dilation, groups, layout, needs, algorithm,
        threads,
    )  # fmt: skip


def conv_transpose2d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NHWC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv_transpose2d`: what a change of x, w and b does to a loss whose gradient by the output is dy.

    dx is `conv2d` of dy with the same filters, dw its gradient of the filters with x and dy exchanged, db the sum of dy: the
    adjoint, <conv_transpose2d(x, w), dy> = <x, dx> = <w, dw>.

    Parameters
    ----------
    dy : array_like of shape (N, OH, OW, O)
        Gradient by the output of ``conv_transpose2d(x, w, ...)``; before the activation, where one was applied.
    x, w : array_like
        The arguments of that call; `w` may be packed.
    stride, padding, output_padding, dilation, groups, layout, algorithm, threads
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
        As `conv_transpose2d`, and for a dy that has not the shape of the output.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 2, 2, 3), np.float32), np.ones((3, 2, 2, 1), np.float32)
    >>> dy = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    >>> dx, dw, db = convkit.conv_transpose2d_grad(dy, x, w, stride=2)
    >>> dx[0, :, :, 0]
    array([[10., 18.],
           [42., 50.]], dtype=float32)
    >>> dw.shape, db
    ((3, 2, 2, 1), array([120.], dtype=float32))
    """
    return _grad(
        "conv_transpose2d_grad", 2, dy, x, w, stride, padding, output_padding, dilation, groups, layout, needs, algorithm,
        threads,
    )  # fmt: skip


def conv_transpose3d_grad(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike | PackedFilters,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    layout: str = "NDHWC",
    needs: Sequence[str] = NEEDS,
    algorithm: str = "auto",
    threads: int | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv_transpose3d`; see `conv_transpose2d_grad`.

    Parameters
    ----------
    dy, x, w : array_like
        Gradient by the output of ``conv_transpose3d(x, w, ...)``, and the arguments of that call.
    stride, padding, output_padding, dilation, groups, layout, needs, algorithm, threads
        As for `conv_transpose2d_grad`.

    Returns
    -------
    dx, dw, db : ndarray or None

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d_grad`.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x, w = np.ones((1, 2, 2, 2, 1)), np.ones((1, 2, 2, 2, 1))
    >>> dx, dw, db = convkit.conv_transpose3d_grad(np.ones((1, 4, 4, 4, 1)), x, w, stride=2)
    >>> float(dx.sum()), float(dw.sum()), float(db[0])
    (64.0, 64.0, 64.0)
    """
    return _grad(
        "conv_transpose3d_grad", 3, dy, x, w, stride, padding, output_padding, dilation, groups, layout, needs, algorithm,
        threads,
    )  # fmt: skip
