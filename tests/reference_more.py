"""What the ops between convolutions mean: float64 loops, nothing clever, channels last. `reference.py` has the rest."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import reference

HALF = Fraction(1, 2)


def lp_pool(x: Any, kernel_size: Any, *, p: float = 2, **how: Any) -> np.ndarray:
    """(the sum of |x|**p over each window) ** (1/p)."""
    x = np.abs(np.asarray(x, np.float64)) ** p
    how = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False} | how
    windows = reference._Pool(x.shape, kernel_size, **how)
    pixels = x.reshape(windows.batch, -1, windows.channels)
    y = np.zeros((windows.batch, *windows.out, windows.channels))
    for position, taps, _ in windows.positions():
        y[position] = pixels[:, taps].sum(axis=1) ** (1 / p)
    return y


def adaptive_windows(spatial: tuple, size: tuple) -> list:
    """For each output position, its index and the slices of x that it pools."""
    result = []
    for position in itertools.product(*map(range, size)):
        window = tuple(slice(math.floor(i * n / o), math.ceil((i + 1) * n / o))
                       for i, n, o in zip(position, spatial, size, strict=True))
        result.append(((slice(None), *position), (slice(None), *window)))
    return result


def adaptive_avg_pool(x: Any, size: tuple) -> np.ndarray:
    x = np.asarray(x, np.float64)
    y = np.zeros((len(x), *size, x.shape[-1]))
    for position, window in adaptive_windows(x.shape[1:-1], size):
        y[position] = x[window].mean(axis=tuple(range(1, x.ndim - 1)))
    return y


def adaptive_max_pool(x: Any, size: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The maxima and the flat spatial index of the first one of each window in row-major order."""
    x = np.asarray(x)
    spatial = x.shape[1:-1]
    y, indices = np.zeros((len(x), *size, x.shape[-1]), x.dtype), np.zeros((len(x), *size, x.shape[-1]), np.int64)
    places = np.arange(math.prod(spatial)).reshape(spatial)
    for position, window in adaptive_windows(spatial, size):
        pixels = x[window].reshape(len(x), -1, x.shape[-1])
        first = pixels.argmax(axis=1)
        indices[position] = places[window[1:]].ravel()[first]
        y[position] = np.take_along_axis(pixels, first[:, None], axis=1)[:, 0]
    return y, indices


def coordinate(o: int, n: int, size: int, scale: Fraction, how: str) -> Fraction:
    """Where output o lies on an axis of n pixels, exactly."""
    if how == "align_corners":
        return Fraction(o * (n - 1), size - 1) if size > 1 else Fraction(0)
    if how == "asymmetric":
        return o / scale
    if how == "pytorch_half_pixel" and size == 1:
        return Fraction(0)
    middle = (o + HALF) / scale - HALF
    return middle + n * HALF * (1 - size / (scale * n)) if how == "half_pixel_symmetric" else middle


def kernel(d: Fraction, mode: str, a: float) -> float:
    """The weight of a pixel at a distance."""
    d = abs(d)
    if mode == "linear":
        return float(max(1 - d, Fraction(0)))
    a = Fraction(a)
    if d <= 1:
        return float((a + 2) * d**3 - (a + 3) * d**2 + 1)
    return float(a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a) if d < 2 else 0.0


def taps(o: int, n: int, size: int, scale: Fraction, mode: str = "linear", coordinates: str = "half_pixel",
         rounding: str = "round_prefer_floor", antialias: bool = False, cubic_a: float = -0.75,
         exclude_outside: bool = False) -> dict[int, float]:
    """Pixel: weight, of output o."""
    x = coordinate(o, n, size, scale, coordinates)
    if mode == "nearest":
        below = math.floor(x)
        nearest = {"floor": below, "ceil": math.ceil(x), "round_prefer_floor": below + (x - below > 0.5),
                   "round_prefer_ceil": below + (x - below >= 0.5)}[rounding]
        return {min(max(nearest, 0), n - 1): 1.0}
    shrink = min(scale, Fraction(1)) if antialias else Fraction(1)
    reach = math.ceil(2 / shrink) + 1
    near = {i: kernel((i - x) * shrink, mode, cubic_a) for i in range(math.floor(x) - reach, math.floor(x) + reach + 2)}
    if exclude_outside:
        near = {i: w for i, w in near.items() if 0 <= i < n}
    total = sum(near.values()) if exclude_outside or shrink < 1 else 1.0
    found: dict[int, float] = {}
    for i, w in near.items():
        inside = min(max(i, 0), n - 1)
        found[inside] = found.get(inside, 0.0) + w / total
    return {i: w for i, w in found.items() if w != 0}


def resize_matrix(n: int, size: int, scale: float | None = None, **how: Any) -> np.ndarray:
    """(size, n): the weights of one axis."""
    matrix = np.zeros((size, n))
    for o in range(size):
        for i, w in taps(o, n, size, Fraction(size, n) if scale is None else Fraction(scale), **how).items():
            matrix[o, i] = w
    return matrix


def along_axes(x: Any, matrices: list[np.ndarray]) -> np.ndarray:
    """Each spatial axis of x multiplied by its matrix."""
    x = np.asarray(x, np.float64)
    for axis, matrix in enumerate(matrices, 1):
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


def slopes(function: Any, at: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of function() with respect to each element of `at`, which is changed in place meanwhile."""
    result = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        before = at[i]
        at[i] = before + h
        high = function()
        at[i] = before - h
        result[i] = (high - function()) / (2 * h)
        at[i] = before
    return result
