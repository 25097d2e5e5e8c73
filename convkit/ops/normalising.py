"""Normalisation by columns on checked arrays: moments, coefficients, and the two passes of each direction.

An array is contiguous and channels last, seen as (batches, rows, channels): all pixels of all images are the rows of one
batch for batch_norm, those of an image the rows of its own batch for instance_norm and group_norm. Each group of channels
shares a mean and a variance, which are float64 of shape (batches, groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from convkit._core import norm as core
from convkit.ops import check
from convkit.ops.pointwise import workers

FEW, FOLD = 32, 16                                      # below so many channels, so many pixels make a row


@dataclass(frozen=True)
class Columns:
    """How an array is seen."""

    batches: int
    pixels: int
    channels: int
    groups: int

    @property
    def fold(self) -> int:
        return FOLD if self.channels < FEW else 1

    @property
    def walked(self) -> tuple[int, int, int, int]:
        """Batches, rows of a batch, columns, and numbers after the last whole row."""
        rows, rest = divmod(self.pixels, self.fold)
        return self.batches, rows, self.channels * self.fold, rest * self.channels

    @property
    def count(self) -> int:
        """Values that share a mean."""
        return self.pixels * self.channels // self.groups

    def per_channel(self, values: np.ndarray) -> np.ndarray:
        """(batches, groups) as (batches, channels)."""
        return values if self.groups == self.channels else np.repeat(values, self.channels // self.groups, axis=1)

    def per_group(self, values: np.ndarray) -> np.ndarray:
        """The sums of (batches, channels) over each group."""
        return values if self.groups == self.channels else values.reshape(self.batches, self.groups, -1).sum(axis=2)


def columns(x: np.ndarray, groups: int | None = None, together: bool = False) -> Columns:
    """`x` (N, ..., C) with a group for each channel unless said; `together` makes all images one batch."""
    batches = 1 if together else x.shape[0]
    return Columns(batches, prod(x.shape[:-1]) // max(batches, 1), x.shape[-1], groups or x.shape[-1])


def _figures(op: int, see: Columns, relu: int, x, dy, y, lines, threads: int) -> np.ndarray:
    """What the core finds out about each chunk: (batches, chunks, figures, columns)."""
    batches, rows, cols, rest = see.walked
    each = core.chunks(rows, cols) + (rest > 0)
    figures = np.empty((batches, each, 3 if op == core.MOMENTS else 2, cols), x.dtype)
    core.walk(op, batches, rows, cols, rest, relu, x, dy, y, None, None, lines, figures, threads)
    return figures


def moments(x: np.ndarray, see: Columns, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each group, (batches, groups), put together from those of the chunks."""
    _, rows, _, rest = see.walked
    mean, var = np.empty((2, see.batches, see.groups))
    figures = _figures(core.MOMENTS, see, False, x, None, None, None, threads)
    core.moments(figures, mean, var, rows, rest, see.pixels, see.channels)
    return mean, var


def _tiled(see: Columns, lines: list[np.ndarray], dtype, tiled: np.ndarray | None = None) -> np.ndarray:
    """Coefficients (batches, channels) as the core wants them: (batches, 6, columns), or the last ones of `tiled`."""
    start = 0 if tiled is None else 6 - len(lines)
    tiled = np.empty((see.batches, 6, see.fold * see.channels), dtype) if tiled is None else tiled
    stacked = tiled.reshape(see.batches, 6, see.fold, see.channels)
    for i, line in enumerate(lines, start):
        stacked[:, i] = line[:, None]
    return tiled


def _coefficients(see: Columns, stats, weight, bias, eps: float, dtype) -> np.ndarray:
    """1 / deviation, center, scale and shift of y = (x - center) * scale + shift: (4, batches, channels) in double."""
    mean, var = (np.ascontiguousarray(a, np.float64).reshape(see.batches, see.groups) for a in stats)
    weight, bias = (None if a is None else np.ascontiguousarray(a, np.float64) for a in (weight, bias))
    lines = np.empty((4, see.batches, see.channels))
    core.coefficients(mean, var, weight, bias, eps, dtype.itemsize == 4, lines)
    return lines


def normalised(x, see: Columns, stats, weight, bias, eps: float, relu: int, residual, y, threads: int) -> None:
    """y = relu((x - mean) / sqrt(var + eps) * weight + bias + residual), in one pass."""
    _, *lines = _coefficients(see, stats, weight, bias, eps, x.dtype)
    core.walk(core.APPLY, *see.walked, relu, x, None, residual, y, None, _tiled(see, lines, x.dtype), None, threads)


def gradients(dy, x, see: Columns, stats, weight, bias, eps: float, relu: int, y, fixed: bool, dx, dresidual, threads: int):
    """Fills dx, and dresidual if there is one; returns the gradients of weight and bias, (channels,) in double.

    With `fixed` statistics they do not depend on x. The mask of the relu is y > 0, or is worked out from x again.
    """
    inverse, center, scale, shift = _coefficients(see, stats, weight, bias, eps, x.dtype)
    lines = _tiled(see, [center, scale, shift], x.dtype)
    sums = np.zeros((see.batches, 2, see.channels))
    core.sums(_figures(core.SUMS, see, relu, x, dy, y, lines, threads), sums, see.walked[1], see.walked[3])
    mean = see.per_channel(np.asarray(stats[0], np.float64).reshape(see.batches, see.groups))
    with np.errstate(invalid="ignore", over="ignore"):
        off = mean - center
        first, second = sums[:, 0], sums[:, 1] - off * sums[:, 0]
        slope = inverse * second                        # of the weight
        if fixed:
            b = d = np.zeros_like(first)
        else:
            both = (slope, first) if weight is None else (weight * slope, weight * first)
            each = [see.per_channel(see.per_group(a)) * (inverse / -see.count) for a in both]
            b = each[0] * inverse
            d = each[1] - b * off
        _tiled(see, [scale, b, d], x.dtype, lines)
    core.walk(core.GRAD, *see.walked, relu, x, dy, y, dx, dresidual, lines, None, threads)
    return (slope[0], first[0]) if see.batches == 1 else (slope.sum(axis=0), first.sum(axis=0))


def empty_like(x: np.ndarray, op: str) -> np.ndarray:
    return check.empty(x.shape, x.dtype, op)


def threads_for(threads, x: np.ndarray, op: str) -> int:
    return workers(threads, x.size, op)
