"""Functions of each number on its own, for arrays of any strides: what memory order to walk, and where results go."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from convkit._core import act as core
from convkit._core import cpu, layout
from convkit._core.call import Calls
from convkit.ops import check
from convkit.plan import geometry

SERIAL = 1 << 14                                        # elements; less than about 8 us: not worth waking another thread
CALLS = Calls(32)                                       # the last ones: the layers of a network


def workers(threads: Any, elements: int, op: str) -> int:
    """How many threads a pass over so many elements is worth."""
    count = cpu.thread_count(threads, op)[0]
    return count if elements > SERIAL else 1


def number(value: Any, op: str, name: str) -> float:
    """`value` as a finite float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{op}: {name} must be finite, got {value}")
    return float(value)


def pair(op: str, dy: Any, x: Any, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """A gradient and the array that it belongs to, alike in dtype and shape."""
    dy, x = check.array(dy, op, "dy"), check.array(x, op, name)
    check.same_dtype(op, **{"dy": dy, name: x})
    if dy.shape != x.shape:
        raise ValueError(f"{op}: dy and {name} must have the same shape, got {dy.shape} and {x.shape}")
    return dy, x


def check_out(op: str, out: Any, like: np.ndarray) -> None:
    """Refuses an `out` that cannot hold a result like `like`."""
    if not isinstance(out, np.ndarray) or out.dtype != like.dtype:
        got = getattr(out, "dtype", type(out).__name__)
        raise TypeError(f"{op}: out must be an ndarray of dtype {like.dtype}, got {got}")
    if out.shape != like.shape:
        raise ValueError(f"{op}: out must have shape {like.shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{op}: out is read-only")
    if out.size > 1 and check.overlaps_itself(out):
        raise ValueError(f"{op}: out overlaps itself (strides {out.strides})")


def in_memory_order(x: np.ndarray) -> tuple[int, ...] | None:
    """The order of axes in which the elements of `x` follow each other in memory, None if they do not."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    axes = tuple(sorted(range(x.ndim), key=lambda i: -x.strides[i]))
    return axes if x.transpose(axes).flags.c_contiguous else None


def target(out: np.ndarray | None, shape, dtype, axes: tuple[int, ...], inputs, op: str) -> np.ndarray:
    """Where results of a contiguous `shape` go: `out`, with its axes in this order, if it may be written while the inputs are
    read, each element after it was read; else a new array."""
    if out is not None:
        y = out.view(np.ndarray).transpose(axes)
        apart = all(not np.may_share_memory(y, x) or layout.address(y) == layout.address(x) for x in inputs if x is not None)
        if y.flags.c_contiguous and y.flags.aligned and apart:
            return y
    return check.empty(shape, dtype, op)


def returned(y: np.ndarray, out: np.ndarray | None, axes: tuple[int, ...]) -> np.ndarray:
    """What `target` gave, now filled, with the axes of the caller; in `out` if there is one."""
    y = y.transpose(np.argsort(axes)) if axes != tuple(range(len(axes))) else y
    if out is None:
        return y
    if not np.may_share_memory(y, out):
        out[...] = y
    return out


def apply(op: str, act: str, x: Any, dy: Any, out: Any, threads: Any, *how: float, name: str = "x") -> np.ndarray:
    """An activation of x, or its gradient where dy is given, of x or of the result, as `name` tells."""
    arguments = op, act, threads, *how
    y = CALLS.again((x, dy), out, arguments)
    if y is not None:
        return y
    if dy is None:
        x = check.array(x, op, "x")
    else:
        dy, x = pair(op, dy, x, name)
    if out is not None:
        check_out(op, out, x)
    workers(threads, x.size, op)
    axes = in_memory_order(x)
    if axes is None:
        axes, x = tuple(range(x.ndim)), np.ascontiguousarray(x)
    given, x = (x, dy), x.transpose(axes)
    dy = None if dy is None else np.ascontiguousarray(dy.transpose(axes))
    y = target(out, x.shape, x.dtype, axes, (x, dy), op)
    if y.size:
        run = core.Pass(act, x.size, 1, x.itemsize, threads if x.size > SERIAL else 0, *how)
        _keep(given, arguments, run)
        run(x.reshape(-1), None if dy is None else dy.reshape(-1), y.reshape(-1))
    return returned(y, out, axes)


def rows(op: str, kind: str, a: Any, b: Any, axis: Any, out: Any, threads: Any) -> np.ndarray:
    """A softmax along an axis, or its gradient where b, the result, is given."""
    arguments = op, kind, axis, threads
    y = CALLS.again((a, b), out, arguments)
    if y is not None:
        return y
    if b is None:
        a = check.array(a, op, "x")
    else:
        a, b = pair(op, a, b, "y")
    axis = geometry.integer(axis, op, "axis")
    if not -a.ndim <= axis < a.ndim:
        raise ValueError(f"{op}: axis {axis} is not an axis of x of shape {a.shape}")
    if out is not None:
        check_out(op, out, a)
    workers(threads, a.size, op)
    axes = (*(i for i in range(a.ndim) if i != axis % a.ndim), axis % a.ndim)
    given, a = (a, b), np.ascontiguousarray(a.transpose(axes))
    b = None if b is None else np.ascontiguousarray(b.transpose(axes))
    y = target(out, a.shape, a.dtype, axes, (a, b), op)
    if y.size:
        step = a.shape[-1]
        run = core.Pass(kind, a.size // step, step, a.itemsize, threads if a.size > SERIAL else 0)
        if axis % a.ndim == a.ndim - 1:
            _keep(given, arguments, run)
        run(a.reshape(-1, step), None if b is None else b.reshape(-1, step), y.reshape(-1, step))
    return returned(y, out, axes)


def _keep(given: tuple[np.ndarray, np.ndarray | None], arguments: tuple, run: core.Pass) -> None:
    """Remembers a call on arrays that have passed all checks."""
    x = given[0]
    CALLS.keep(given, x.shape, arguments, run, new=check.maker(x.shape, x.dtype), in_place=True)


def cross_entropy(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, each: np.ndarray | None, share: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Losses, in double, of contiguous rows (n, k), n and k >= 1, and `factor` times the gradient of their sum.

    The class of a row (none if its label is below 0) weighs share * weights[class]; `each` is what every class weighs besides.
    """
    gradient, losses = check.empty(logits.shape, logits.dtype, "cross_entropy"), np.empty(len(logits))
    total = 0.0 if each is None else float(each.sum(dtype=np.float64))
    count = workers(None, logits.size, "cross_entropy")
    core.cross_entropy(logits, labels, weights, each, share, total, factor, gradient, losses, count)
    return losses, gradient


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b of one shape and dtype, as a new array."""
    if not (a.size and a.flags.c_contiguous and b.flags.c_contiguous):
        return a + b
    y = check.empty(a.shape, a.dtype, "add")
    core.add(a.reshape(-1), b.reshape(-1), y.reshape(-1), workers(None, y.size, "add"))
    return y
