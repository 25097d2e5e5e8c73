"""Pooling of overlapping windows in two stages: along the last axis, and then along the others what that left.

A k x k window costs 2k taps then instead of k*k. Of equal elements the first one in row-major order still wins: the first row
that holds the maximum gives it, and within the row its first place. So each stage has labels of its own, and the gradient goes
back through both. They take turns band by band, so that what lies between them stays in the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from convkit._core import pool as core
from convkit.ops import check, scratch
from convkit.plan import pool as plan
from convkit.plan.geometry import Axis, effective

BAND = 1 << 19                                          # bytes between the stages, about: a part of the second cache

Labels = tuple[np.ndarray, np.ndarray]                  # of the stages


class Band(NamedTuple):
    """Some images and some rows of them: those of the target, and those that they read."""

    images: slice
    rows: slice
    reads: slice


def new_labels(pool: plan.Pool) -> Labels:
    """A byte for each result of each stage: its place in the window."""
    n, d, h, w, c = _shape(pool, False)
    return np.empty((n, *(a.size for a in pool.windows[:2]), w, c), np.uint8), np.empty((n, d, h, w, c), np.uint8)


def forward(op: int, pool: plan.Pool, x: np.ndarray, y: np.ndarray | None, threads: int, labels: Labels | None = None) -> None:
    """y = the maxima of x (op MAX) or the sums (SUM); of maxima `labels` is filled, if given, and y may be None then."""
    x, y = _lifted(check.readable(x)), None if y is None else _lifted(y)
    deep, high, wide = pool.windows
    for images, rows, reads in _bands(pool, x.itemsize, False):
        source, target = x[images, :, reads], None if y is None else y[images, :, rows]
        shape = (*source.shape[:3], wide.out, pool.channels)
        start = rows.start * high.stride - high.lo
        part = high._replace(size=source.shape[2], lo=reads.start - start, out=rows.stop - rows.start)
        along, across = (None, None) if labels is None else (labels[0][images, :, reads], labels[1][images, :, rows])
        with scratch.borrow("pooling", x.dtype, prod(shape)) as (room,):
            between = room.reshape(shape)
            _stage(op, (None, None, wide), source, between, along, threads)
            _stage(op, (deep, part, None), between, target, across, threads)


def backward(pool: plan.Pool, dy: np.ndarray, dx: np.ndarray, threads: int, labels: Labels | None = None) -> None:
    """dx of sums or, with their labels, of maxima."""
    dy, dx = _lifted(np.ascontiguousarray(dy)), _lifted(dx)
    deep, high, wide = pool.windows
    for images, rows, _ in _bands(pool, dy.itemsize, True):
        source, target = dy[images], dx[images, :, rows]
        shape = (*target.shape[:3], wide.out, pool.channels)
        part = high._replace(size=target.shape[2], lo=high.lo + rows.start)
        along, across = (None, None) if labels is None else (labels[0][images, :, rows], labels[1][images])
        with scratch.borrow("pooling", dy.dtype, prod(shape)) as (room,):
            between = room.reshape(shape)
            _stage(core.COVER, (deep, part, None), source, between, across, threads)
            _stage(core.COVER, (None, None, wide), between, target, along, threads)


def _stage(op: int, windows, source: np.ndarray, target: np.ndarray | None, labels: np.ndarray | None, threads: int) -> None:
    """One walk of the core; an axis without a window is passed through."""
    shape = labels.shape if target is None else target.shape
    axes = [Axis(n, 1, 1, 1, 0, 0, n) if a is None else a for a, n in zip(windows, shape[1:4], strict=True)]
    piece, panel = plan.tasks(*shape)
    core.walk(op, core.ONE, core.Windows(axes), piece, panel, source.dtype.kind, source, target, labels, None, None, threads)


def _bands(pool: plan.Pool, itemsize: int, back: bool) -> Iterator[Band]:
    """Groups of images whose lines between the stages take a BAND, or rows of one image; labels of either are one piece."""
    n, depth, height, _, channels = _shape(pool, back)
    axis, wide = pool.windows[1], pool.windows[2]
    line = wide.out * channels * itemsize
    together = max(1, BAND // (pool.windows[0].size * axis.size * line))
    rows = height
    if together == 1 and depth == pool.windows[0].size == 1:
        rows = max(BAND // line // (1 if back else axis.stride), effective(axis.kernel, axis.dilation))
    for image in range(0, n, together):
        for row in range(0, height, rows):
            stop = min(row + rows, height)
            start, last = row * axis.stride - axis.lo, (stop - 1) * axis.stride - axis.lo
            end = min(last + effective(axis.kernel, axis.dilation), axis.size)
            reads = slice(max(start, 0), end) if rows < height else slice(0, axis.size)
            yield Band(slice(image, min(image + together, n)), slice(row, stop), reads)


def _shape(pool: plan.Pool, back: bool) -> tuple[int, ...]:
    """(N, D, H, W, C) of the target of a pass."""
    return (pool.batch, *(a.size if back else a.out for a in pool.windows), pool.channels)


def _lifted(a: np.ndarray) -> np.ndarray:
    """(N, ..., C) as (N, D, H, W, C)."""
    return a[(slice(None), *(None,) * (5 - a.ndim))]
