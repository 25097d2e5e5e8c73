"""One pass of the resampling loops: tables for each axis, scratch for each thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convkit._core import cpu
from convkit._core import resize as core
from convkit.ops import scratch
from convkit.plan import resample as plan

SERIAL = 1 << 14                                        # elements of the result below which one thread is enough
UNUSED = plan.average(1, 1)                             # an axis of one pixel


def blend(op: str, x: np.ndarray, tables: Sequence[core.Table], y: np.ndarray, threads: int | None) -> None:
    """y = x (channels last, any strides) resampled along its spatial axes; all shapes and sizes are checked."""
    count = cpu.thread_count(threads, op)[0]
    count = count if y.size > SERIAL else 1
    source = np.ascontiguousarray(x)
    target = y if y.flags.c_contiguous else np.empty(y.shape, y.dtype)
    d, h, w = (UNUSED.forward,) * (3 - len(tables)) + tuple(tables)
    piece = plan.piece(w, x.shape[-1], x.itemsize)
    with scratch.borrow(op, x.dtype, count * w.reach(piece) * x.shape[-1]) as (room,):
        core.resample(d, h, w, source, target, piece, room, count)
    if target is not y:
        y[...] = target
