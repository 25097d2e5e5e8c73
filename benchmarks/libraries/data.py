"""The same data in every process, drawn from a seed, channels first; nobody writes into it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sqrt

import numpy as np

from ..shapes import Conv, Op, Pool

LINE = 64                                               # bytes

# What computes one pass and is timed, and what brings its result into channels-first NumPy order for the check.
Prepared = tuple[Callable[[], object], Callable[[object], np.ndarray]]


@lru_cache(maxsize=1)
def arrays(case: Conv | Pool | Op, dtype: str) -> dict[str, np.ndarray]:
    """x and dy; for a convolution also w and b, for an op a weight and a bias of each channel, and labels."""
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return aligned(rng.standard_normal(shape).astype(dtype))

    if isinstance(case, Op):
        spatial = tuple(2 * n for n in case.shape[2:]) if case.scale > 1 else case.shape[2:]
        rows, channels = case.shape[:2]
        data = {"x": normal(*case.shape), "dy": normal(rows, channels, *spatial)}
        return data | {"w": normal(channels), "b": normal(channels), "labels": rng.integers(0, channels, rows)}
    outputs = case.filters if isinstance(case, Conv) else case.channels
    data = {"x": normal(case.batch, case.channels, *case.spatial), "dy": normal(case.batch, outputs, *case.out_spatial)}
    if isinstance(case, Conv):
        w = normal(case.filters, case.channels // case.groups, *case.kernel)
        data |= {"w": w / np.asarray(sqrt(case.terms("fwd")), dtype), "b": normal(case.filters)}
    return data


def aligned(a: np.ndarray) -> np.ndarray:
    """A contiguous copy that starts on a cache line, as the arrays that most libraries make for themselves do."""
    buffer = np.empty(a.nbytes + LINE, np.uint8)
    start = -buffer.ctypes.data % LINE
    copy = buffer[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def last(a: np.ndarray) -> np.ndarray:
    """Channels last, contiguous."""
    return aligned(np.moveaxis(a, 1, -1)) if a.ndim > 1 else a


def first(a: np.ndarray) -> np.ndarray:
    """Channels first again."""
    return np.moveaxis(a, -1, 1) if a.ndim > 1 else a
