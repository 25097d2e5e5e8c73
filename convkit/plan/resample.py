"""What each output of a resampled axis reads: places of the source and their weights, by the rules of interpolation.

An output lies at a coordinate of the source that a rule gives, named as ONNX names it; taps beyond the ends of the axis read
its first or last pixel. Weights are worked out in float64. Taps of weight 0, but for the rounding of the coordinate, are left
out, so that a NaN beside a pixel which is met exactly does not spread; taps on the same pixel are one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from convkit._core.resize import Table

MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
KEPT = 1 << 13                                          # positions of an axis whose tables are remembered
ROOM = 1 << 15                                          # bytes of the source line that a task blends: less than L1


class Rule(NamedTuple):
    """How an axis is interpolated."""

    mode: str
    coordinates: str
    rounding: str
    antialias: bool
    cubic_a: float
    exclude_outside: bool


class Tables(NamedTuple):
    """Of one axis: from the source to the outputs, and back."""

    forward: Table
    backward: Table


def coordinates(sources: int, outputs: int, scale: float, how: str) -> np.ndarray:
    """Where the outputs lie on the axis of the source, whose first pixel is at 0."""
    x = np.arange(outputs, dtype=np.float64)
    if how == "align_corners":
        return x * (sources - 1) / (outputs - 1) if outputs > 1 else x
    exact = scale == outputs / sources                  # then products of integers, so that ties are ties
    if how == "asymmetric":
        return x * sources / outputs if exact else x / scale
    if how == "pytorch_half_pixel" and outputs == 1:
        return x
    x = ((2 * x + 1) * sources - outputs) / (2 * outputs) if exact else (x + 0.5) / scale - 0.5
    if how == "half_pixel_symmetric":
        x += sources / 2 * (1 - outputs / (scale * sources))
    return x


def nearest(x: np.ndarray, rounding: str) -> np.ndarray:
    """The pixel that stands for each coordinate."""
    if rounding == "floor":
        return np.floor(x)
    if rounding == "ceil":
        return np.ceil(x)
    return np.ceil(x - 0.5) if rounding == "round_prefer_floor" else np.floor(x + 0.5)


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel: cubic convolution of four pixels (IEEE Trans. ASSP 29, 1981)."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def interpolated(sources: int, outputs: int, scale: float, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Places (outputs, taps), some outside of the axis, and their weights."""
    x = coordinates(sources, outputs, scale, rule.coordinates)
    if rule.mode == "nearest":
        places = nearest(x, rule.rounding)[:, None]
        return places, np.ones_like(places)
    stretch = min(scale, 1.0) if rule.antialias else 1.0                    # of the kernel, where it also smooths
    radius = (1 if rule.mode == "linear" else 2) / stretch
    places = np.floor(x)[:, None] + np.arange(1 - np.ceil(radius), np.ceil(radius) + 1)
    distance = (places - x[:, None]) * stretch
    weights = np.maximum(1 - np.abs(distance), 0) if rule.mode == "linear" else cubic(distance, rule.cubic_a)
    if rule.exclude_outside:
        weights = np.where((places >= 0) & (places < sources), weights, 0)
    if rule.exclude_outside or stretch < 1:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return places, weights


def windows(sources: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last + 1 pixel of the windows of adaptive pooling."""
    at = np.arange(outputs)
    return at * sources // outputs, -(-(at + 1) * sources // outputs)


def averaged(sources: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (outputs, taps) of the windows of adaptive pooling, and their weights."""
    start, stop = windows(sources, outputs)
    places = start[:, None] + np.arange((stop - start).max())
    inside = places < stop[:, None]
    return places, inside / (stop - start)[:, None]


def tables(places: np.ndarray, weights: np.ndarray, sources: int) -> Tables:
    """The tables of taps (outputs, taps): those on the same pixel added up, those of weight 0 left out."""
    outputs = len(places)
    key = np.arange(outputs)[:, None] * sources + np.clip(places, 0, sources - 1).astype(np.int64)
    real = np.abs(weights) > 4 * np.finfo(np.float64).eps * sources
    key, which = np.unique(key[real], return_inverse=True)
    weight = np.bincount(which, weights[real])
    reads, place = np.divmod(key, sources)
    back = np.lexsort((reads, place))
    return Tables(_table(reads, place, weight, outputs, sources),
                  _table(place[back], reads[back], weight[back], sources, outputs))  # fmt: skip


def _table(rows: np.ndarray, places: np.ndarray, weights: np.ndarray, outputs: int, sources: int) -> Table:
    first = np.zeros(outputs + 1, np.intp)
    np.cumsum(np.bincount(rows, minlength=outputs), out=first[1:])
    return Table(first, places.astype(np.intp), np.ascontiguousarray(weights, np.float64), sources)


def interpolation(sources: int, outputs: int, scale: float, rule: Rule) -> Tables:
    """Of one interpolated axis."""
    make = _interpolation if max(sources, outputs) <= KEPT else _interpolation.__wrapped__
    return make(sources, outputs, scale, rule)


def average(sources: int, outputs: int) -> Tables:
    """Of one axis of adaptive average pooling."""
    make = _average if max(sources, outputs) <= KEPT else _average.__wrapped__
    return make(sources, outputs)


@lru_cache(maxsize=32)
def _interpolation(sources: int, outputs: int, scale: float, rule: Rule) -> Tables:
    return tables(*interpolated(sources, outputs, scale, rule), sources)


@lru_cache(maxsize=32)
def _average(sources: int, outputs: int) -> Tables:
    return tables(*averaged(sources, outputs), sources)


def piece(table: Table, channels: int, itemsize: int) -> int:
    """Outputs of a line that a task takes: as many as read a line of the source that fits the cache."""
    most = ROOM // max(channels * itemsize, 1) * table.outputs // max(table.sources, 1)
    pieces = -(-table.outputs // max(most, 1))
    return -(-table.outputs // pieces)
