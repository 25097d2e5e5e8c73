"""The gradients of convolution on plain arrays; they share `ops/conv.py`'s checks and plan."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from convkit._core import cpu
from convkit._core.call import Parts
from convkit.ops import again, border, check, direct, engine, scratch
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
    kept = type(arrays[2]) is PackedFilters
    run = _Again(how[0], how[8], conv, by, "b" in how[6], packed if kept else None, arrays[0].dtype)
    if run.serial:
        parts, rest = run.bound(0)
        run = run if rest else parts
    (packed.calls if kept else again.GRADIENTS).keep(arrays[: 2 if kept else 3], conv.x_shape, how, run)


class _Again:
    """The gradients of arrays of known sizes: passes that are bound, for each number of threads, and the others."""

    def __init__(self, op: str, threads, conv, by: dict, bias: bool, packed: PackedFilters | None, dtype: np.dtype):
        self.op, self.threads, self.conv, self.by, self.bias, self.dtype = op, threads, conv, by, bias, dtype
        self.serial = conv.work <= SERIAL_FLOP
        self.packs = None if packed is None else ref(packed)        # as in again.py
        self.kept: dict[int, tuple[Parts, dict]] = {}

    def bound(self, threads: int) -> tuple[Parts, dict]:
        """The passes that have such a form, and the modules of the others; threads is 0 for very little work."""
        if threads not in self.kept:
            conv, size, by = self.conv, self.dtype.itemsize, self.by
            dx = dw = None
            if hasattr(by.get("input"), "bind_input"):
                packed = None if self.packs is None else self.packs()
                dx = by["input"].bind_input(conv, packed, size, threads)
            if hasattr(by.get("filters"), "bind_filters"):
                dw = by["filters"].bind_filters(conv, size, threads)
            db = direct.bind_bias(conv, size, threads) if self.bias else None
            rest = {which: by[which] for which, fast in (("input", dx), ("filters", dw)) if which in by and fast is None}
            makers = tuple(check.maker(shape, self.dtype) for shape in (conv.x_shape, conv.w_shape, conv.out_shape[-1:]))
            self.kept[threads] = Parts((dx, dw, db), makers, (2 if self.packs is None else -1, 1, -1)), rest
        return self.kept[threads]

    def __call__(self, inputs: tuple, out: None) -> tuple:
        threads = 1 if self.serial else cpu.thread_count(self.threads, self.op)[0]
        parts, rest = self.bound(threads)
        found = self._through(parts, inputs)
        if found is not None and not rest:
            return found
        dy, x, *w = inputs
        packed = PackedFilters(w[0], self.conv.groups, keeps=False) if w else self.packs()
        if found is None:                               # filters are not finite
            return _gradients(self.conv, dy, x, packed, self.by, self.bias, threads, self.op)
        dx, dw, _ = _gradients(self.conv, dy, x, packed, rest, False, threads, self.op)
        return dx if "input" in rest else found[0], dw if "filters" in rest else found[1], found[2]

    def _through(self, parts: Parts, inputs: tuple) -> tuple | None:
        room, mine = scratch.CALLS.take(self.op, parts.room)
        try:
            return parts.through(inputs, room)
        finally:
            if mine:
                scratch.CALLS.give_back()


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
