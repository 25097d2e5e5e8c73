"""The grouped algorithm on checked arrays: a pass over a source, and the gradient of the filters."""

from __future__ import annotations

import numpy as np

from convkit._core import cpu, grouped
from convkit.ops import check
from convkit.ops.filters import PackedFilters
from convkit.plan import conv as plan
from convkit.plan import grouped as tables

DTYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
RUN = {dtype: grouped.run[name] for dtype, name in DTYPES.items()}
GRAD = {dtype: grouped.grad[name] for dtype, name in DTYPES.items()}


def run(walk: plan.Pass, source, packed: PackedFilters, b, target, relu: bool, threads: int, residual=None) -> None:
    """One pass, all of the target's pixels."""
    source, target = check.lifted(check.readable(source, threads)), check.lifted(target)
    if not walk.covers:
        target[...] = 0
    if not len(walk.order):                             # no phase of the gradient has a tap
        return
    schedule = tables.schedule(walk, source.itemsize, False)
    filters = packed_for(walk, schedule, packed, threads)
    RUN[source.dtype](schedule, source, filters, b, target, relu, threads, check.lifted(residual))


def packed_for(walk: plan.Pass, schedule, packed: PackedFilters, threads: int) -> np.ndarray:
    """The filters in the order of `walk`, for the ISA in use."""

    def pack() -> np.ndarray:
        result = check.empty((schedule.packed,), packed.w.dtype, "pack_filters")
        grouped.pack(schedule, walk.transposed, check.lifted(np.ascontiguousarray(packed.w)), result, threads)
        return result

    return packed.of(("grouped", walk.transposed), (cpu.isa(), walk.order_key), pack)


def bind(conv: plan.Conv, packed: PackedFilters, relu: int, threads: int):
    """As that of direct.py."""
    schedule = tables.schedule(conv.output_pass, packed.w.itemsize, False)
    filters = packed_for(conv.output_pass, schedule, packed, threads or 1)
    shapes = check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)
    return grouped.Bound(schedule, *shapes, filters, relu, threads or 1)


def forward(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    run(conv.output_pass, x, packed, b, y, relu, threads, residual)


def grad_input(conv: plan.Conv, dy, packed, dx, threads: int) -> None:
    run(conv.input_pass, dy, packed, None, dx, False, threads)


def grad_filters(conv: plan.Conv, dy, x, dw, threads: int) -> None:
    """Fills `dw`."""
    x, dy = check.lifted(check.readable(x, threads)), check.lifted(check.readable(dy, threads))
    schedule = tables.schedule(conv.output_pass, x.itemsize, True)
    sums = check.empty((schedule.chunks, schedule.packed), x.dtype, "convkit", zeros=True)
    GRAD[x.dtype](schedule, x, dy, sums, check.lifted(dw), threads)
