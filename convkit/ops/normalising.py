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
        return np.repeat(values, self.channels // self.groups, axis=1)

    def per_group(self, values: np.ndarray) -> np.ndarray:
        """The sums of (batches, channels) over each group."""
        return values.reshape(self.batches, self.groups, -1).sum(axis=2)


def columns(x: np.ndarray, groups: int | None = None, together: bool = False) -> Columns:
    """`x` (N, ..., C) with a group for each channel unless said; `together` makes all images one batch."""
    batches = 1 if together else x.shape[0]
    return Columns(batches, prod(x.shape[:-1]) // max(batches, 1), x.shape[-1], groups or x.shape[-1])


def _sums(op: int, see: Columns, relu: bool, x, dy, y, lines, threads: int) -> np.ndarray:
    """Figures of each chunk, in double: (batches, chunks, figures, pixels of a row, channels); and the rows of each."""
    batches, rows, cols, rest = see.walked
    whole = core.chunks(rows, cols)
    figures = np.empty((batches, whole + (rest > 0), 3 if op == core.MOMENTS else 2, cols), x.dtype)
    core.walk(op, batches, rows, cols, rest, relu, x, dy, y, None, None, lines, figures, threads)
    if rest:
        figures[:, -1, :, rest:] = 0
    return figures.astype(np.float64).reshape(*figures.shape[:3], see.fold, see.channels)


def _rows_of_chunks(see: Columns) -> np.ndarray:
    """How many values each figure of a chunk is made of: (chunks, pixels of a row, channels)."""
    _, rows, cols, rest = see.walked
    whole = core.chunks(rows, cols)
    counts = np.zeros((whole + (rest > 0), cols))
    if whole:
        counts[:whole] = chunk = core.chunk_rows(cols)
        counts[whole - 1] = rows - (whole - 1) * chunk
    counts[whole:, :rest] = 1
    return counts.reshape(-1, see.fold, see.channels)


def moments(x: np.ndarray, see: Columns, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each group, (batches, groups), put together from those of the chunks."""
    about, first, second = np.moveaxis(_sums(core.MOMENTS, see, False, x, None, None, None, threads), 2, 0)
    counts = _rows_of_chunks(see)
    with np.errstate(invalid="ignore", over="ignore"):
        share = first / np.maximum(counts, 1)
        mean = (counts * (about + share)).sum(axis=(1, 2)) / see.pixels
        spread = second - first * share + counts * (about + share - mean[:, None, None]) ** 2
        of_channels = spread.sum(axis=(1, 2))
        size = see.channels // see.groups
        mean_of_groups = see.per_group(mean) / size
        off = mean - see.per_channel(mean_of_groups)
        return mean_of_groups, see.per_group(of_channels + see.pixels * off * off) / see.count


def _tiled(see: Columns, lines: list[np.ndarray], dtype) -> np.ndarray:
    """Coefficients (batches, channels) as the core wants them: (batches, 6, columns)."""
    stacked = np.zeros((see.batches, 6, see.fold, see.channels), dtype)
    for i, line in enumerate(lines):
        stacked[:, i] = line.reshape(-1, 1, see.channels)
    return stacked.reshape(see.batches, 6, -1)


def _coefficients(see: Columns, stats, weight, bias, eps: float, dtype) -> tuple[np.ndarray, ...]:
    """1 / deviation, center, scale and shift of y = (x - center) * scale + shift, (batches, channels) in double.

    The center is the mean as x can hold it, so that x - center is exact near it; the shift makes up for the difference.
    """
    mean, var = (see.per_channel(np.asarray(a, np.float64).reshape(see.batches, see.groups)) for a in stats)
    with np.errstate(invalid="ignore", over="ignore"):
        inverse = 1 / np.sqrt(var + eps)
        center = mean.astype(dtype).astype(np.float64)
        scale = inverse * (1.0 if weight is None else weight.astype(np.float64))
        shift = (center - mean) * scale + (0.0 if bias is None else bias.astype(np.float64))
    return inverse, center, scale, shift


def normalised(x, see: Columns, stats, weight, bias, eps: float, relu: bool, residual, y, threads: int) -> None:
    """y = relu((x - mean) / sqrt(var + eps) * weight + bias + residual), in one pass."""
    _, *lines = _coefficients(see, stats, weight, bias, eps, x.dtype)
    core.walk(core.APPLY, *see.walked, relu, x, None, residual, y, None, _tiled(see, lines, x.dtype), None, threads)


def gradients(dy, x, see: Columns, stats, weight, bias, eps: float, relu: bool, y, fixed: bool, dx, dresidual, threads: int):
    """Fills dx, and dresidual if there is one; returns the gradients of weight and bias, (channels,) in double.

    With `fixed` statistics they do not depend on x. The mask of the relu is y > 0, or is worked out from x again.
    """
    inverse, center, scale, shift = _coefficients(see, stats, weight, bias, eps, x.dtype)
    lines = _tiled(see, [center, scale, shift], x.dtype)
    sums = _sums(core.SUMS, see, relu, x, dy, y, lines, threads).sum(axis=(1, 3))
    mean = see.per_channel(np.asarray(stats[0], np.float64).reshape(see.batches, see.groups))
    with np.errstate(invalid="ignore", over="ignore"):
        off = mean - center
        first, second = sums[:, 0], sums[:, 1] - off * sums[:, 0]
        gain = 1.0 if weight is None else weight.astype(np.float64)
        b = d = np.zeros_like(first)
        if not fixed:
            b = -(inverse**3) * see.per_channel(see.per_group(gain * second) / see.count)
            d = -inverse * see.per_channel(see.per_group(gain * first) / see.count) - b * off
        lines = _tiled(see, [center, scale, shift, scale, b, d], x.dtype)
    core.walk(core.GRAD, *see.walked, relu, x, dy, y, dx, dresidual, lines, None, threads)
    return (inverse * second).sum(axis=0), first.sum(axis=0)


def empty_like(x: np.ndarray, op: str) -> np.ndarray:
    return check.empty(x.shape, x.dtype, op)


def threads_for(threads, x: np.ndarray, op: str) -> int:
    return workers(threads, x.size, op)
