"""The pad modes whose padding is computed, not copied: ramps and statistics, by `numpy.pad`, and their gradients.

Axis by axis, as `numpy.pad` goes: what it puts before and after the pixels of an axis is a linear function of them once it is
settled which of them are the largest, or in the middle, and its gradient goes back through the axes in reverse order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.plan import geometry

STATISTICS = ("maximum", "mean", "median", "minimum")
MODES = ("linear_ramp", *STATISTICS, "empty")
NEED_X = ("maximum", "median", "minimum")               # their gradient goes to the pixels that were chosen

Pairs = tuple[tuple[int, int], ...]


def lengths(value: Any, mode: str, rank: int, op: str) -> Pairs | None:
    """stat_length as a pair (before, after) for each axis, or None for whole axes."""
    if value is None:
        return None
    if mode not in STATISTICS:
        raise ValueError(f"{op}: stat_length is for the modes {', '.join(STATISTICS)}, got mode={mode!r}")
    if not isinstance(value, (str, bytes)) and hasattr(value, "__len__") and any(hasattr(item, "__len__") for item in value):
        if len(value) != rank:
            raise ValueError(f"{op}: stat_length must have {rank} pairs (before, after), got {value!r}")
        return tuple(geometry.sizes(pair, 2, op, "stat_length") for pair in value)
    return tuple((n, n) for n in geometry.sizes(value, rank, op, "stat_length"))


def fill(x: np.ndarray, pairs: Pairs, mode: str, value: float, stat: Pairs | None, y: np.ndarray) -> None:
    """y = x, padded; `value` is what a ramp ends with."""
    if mode == "empty":
        y[(slice(None), *(slice(lo, lo + n) for n, (lo, _) in zip(x.shape[1:-1], pairs, strict=True)))] = x
    else:
        y[...] = _padded(x, pairs, mode, value, stat)


def _padded(x: np.ndarray, pairs: Pairs, mode: str, value: float, stat: Pairs | None) -> np.ndarray:
    how: dict[str, Any] = {"end_values": value} if mode == "linear_ramp" else {}
    if stat is not None:
        how["stat_length"] = ((1, 1), *stat, (1, 1))
    with np.errstate(all="ignore"):
        return np.pad(x, ((0, 0), *pairs, (0, 0)), mode=mode, **how)


def grad(dy: np.ndarray, x: np.ndarray | None, pairs: Pairs, mode: str, stat: Pairs | None) -> np.ndarray:
    """dx, from the last axis to the first."""
    none = ((0, 0),) * len(pairs)
    for axis in reversed(range(len(pairs))):
        before = _padded(x, pairs[:axis] + none[axis:], mode, 0.0, stat) if mode in NEED_X else None
        dy = np.moveaxis(_fold(
            np.moveaxis(dy, axis + 1, 0), None if before is None else np.moveaxis(before, axis + 1, 0), pairs[axis], mode,
            None if stat is None else stat[axis],
        ), 0, axis + 1)  # fmt: skip
    return dy


def _fold(dy: np.ndarray, x: np.ndarray | None, pads: tuple[int, int], mode: str, stat: tuple[int, int] | None) -> np.ndarray:
    """The gradient of one axis, which comes first."""
    lo, hi = pads
    n = len(dy) - lo - hi
    dx = dy[lo : lo + n].copy()
    for end, pad in enumerate(pads):
        share = dy[:lo] if end == 0 else dy[lo + n :]
        if pad and mode == "linear_ramp":
            weights = (np.arange(pad) / pad).astype(dy.dtype)
            dx[-end] += np.tensordot(weights if end == 0 else weights[::-1], share, 1)
        elif pad and mode in STATISTICS:
            length = n if stat is None else min(stat[end], n)
            part = slice(0, length) if end == 0 else slice(n - length, n)
            _give(dx[part], None if x is None else x[part], share.sum(0, keepdims=True), mode)
    return dx


def _give(dx: np.ndarray, x: np.ndarray | None, share: np.ndarray, mode: str) -> None:
    """Adds the gradient of a statistic of x, along the first axis, to dx."""
    if mode == "mean":
        dx += share / len(dx)
        return
    if mode == "median":
        order, middle = np.argsort(x, 0, kind="stable"), len(x) // 2
        chosen = order[middle : middle + 1] if len(x) % 2 else order[middle - 1 : middle + 1]
    else:
        chosen = (np.argmax if mode == "maximum" else np.argmin)(x, 0)[None]
    for place in chosen:
        at = place[None]
        np.put_along_axis(dx, at, np.take_along_axis(dx, at, 0) + share / len(chosen), 0)


def given(op: str, x: Any, mode: str, shape: tuple[int, ...], dtype: np.dtype, rank: int, first: bool) -> np.ndarray | None:
    """The x that `pad` was given, channels last, for the modes whose gradient asks for it."""
    if mode not in NEED_X:
        return None
    if x is None:
        raise ValueError(f"{op}: mode={mode!r} needs x, which says where its gradient goes")
    x = check.images(check.array(x, op, "x"), rank, first, op)
    if x.shape != shape or x.dtype != dtype:
        raise ValueError(f"{op}: x must have the shape {check.named(shape, first)} and dtype {dtype}, "
                         f"got {check.named(x.shape, first)} and {x.dtype}")  # fmt: skip
    return x
