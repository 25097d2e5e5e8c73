"""The depthwise algorithm on checked arrays."""

from __future__ import annotations

import numpy as np

from convkit._core import cpu, depthwise
from convkit.ops import check, direct
from convkit.ops.filters import PackedFilters
from convkit.plan import conv as plan
from convkit.plan import depthwise as tables

CLIPS = True                                            # `bind` takes relu=6
RUN = {np.dtype(np.float32): depthwise.run["float"], np.dtype(np.float64): depthwise.run["double"]}


class Filters:
    """Packed filters, and whether all of them are finite: where not, taps in the padding cannot be left out."""

    def __init__(self, w: np.ndarray, schedule, threads: int):
        self.array = check.empty((schedule.packed,), w.dtype, "pack_filters")
        self.finite = depthwise.pack(check.lifted(w)[..., 0], self.array, threads)
        self.nbytes = self.array.nbytes


def filters(packed: PackedFilters, schedule, isa: str, threads: int) -> Filters:
    return packed.of(("depthwise",), isa, lambda: Filters(packed.w, schedule, threads))


def forward(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    isa, times = cpu.isa(), conv.outputs // conv.channels
    schedule = tables.schedule(conv, "forward", isa, x.itemsize)
    w = filters(packed, schedule, isa, threads)
    if not w.finite:
        direct.forward(conv, x, packed, b, y, relu, threads, residual)
        return
    run, x, y, residual = RUN[x.dtype], check.lifted(check.readable(x, threads)), check.lifted(y), check.lifted(residual)
    if times == 1:
        run(schedule, x, w.array, b, y, relu, threads, residual)
        return
    for n in range(conv.batch):                         # an image at a time, each channel repeated for its outputs
        added = None if residual is None else residual[n : n + 1]
        run(schedule, np.repeat(x[n : n + 1], times, axis=4), w.array, b, y[n : n + 1], relu, threads, added)


def bind(conv: plan.Conv, packed, relu: int, threads: int):
    """As that of direct.py; None for filters that are not finite, and for several outputs of a channel."""
    isa = cpu.isa()
    schedule = tables.schedule(conv, "forward", isa, packed.w.itemsize)
    w = filters(packed, schedule, isa, threads or 1)
    if not w.finite or conv.outputs != conv.channels:
        return None
    shapes = check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)
    return depthwise.Bound(schedule, *shapes, w.array, relu, threads or 1)


def bind_plain(conv: plan.Conv, relu: bool, itemsize: int, threads: int):
    """As that of direct.py."""
    return _packing(conv, "forward", relu, itemsize, threads)


def bind_input(conv: plan.Conv, packed, itemsize: int, threads: int):
    """As that of direct.py."""
    if not conv.input_pass.covers:
        return None
    if packed is None:
        return _packing(conv, "input", False, itemsize, threads)
    isa = cpu.isa()
    schedule = tables.schedule(conv, "input", isa, itemsize)
    w = filters(packed, schedule, isa, max(threads, 1))
    fits = w.finite and conv.outputs == conv.channels and schedule.tasks
    return depthwise.Bound(schedule, *_shapes(conv, "input"), w.array, False, threads or 1) if fits else None


def bind_filters(conv: plan.Conv, itemsize: int, threads: int):
    """As that of direct.py."""
    if conv.outputs != conv.channels:
        return None
    return depthwise.BoundGrad(tables.schedule(conv, "filters", cpu.isa(), itemsize), *_shapes(conv, "input"), threads)


def _packing(conv: plan.Conv, which: str, relu: bool, itemsize: int, threads: int):
    schedule = tables.schedule(conv, which, cpu.isa(), itemsize)
    if conv.outputs != conv.channels or not schedule.tasks:
        return None
    w = check.lifted_shape(conv.w_shape)
    return depthwise.Plain(schedule, *_shapes(conv, which), (1, *w[:4]), relu, threads)


def _shapes(conv: plan.Conv, which: str) -> list[tuple[int, ...]]:
    """Of source and target."""
    shapes = [check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)]
    return shapes[::-1] if which == "input" else shapes


def grad_input(conv: plan.Conv, dy, packed, dx, threads: int) -> None:
    isa, times = cpu.isa(), conv.outputs // conv.channels
    schedule = tables.schedule(conv, "input", isa, dy.itemsize)
    w = filters(packed, schedule, isa, threads)
    if not w.finite:
        direct.grad_input(conv, dy, packed, dx, threads)
        return
    if not conv.input_pass.covers:
        dx[...] = 0
    if not schedule.tasks:                              # no phase has a tap
        return
    run, dy, dx = RUN[dy.dtype], check.lifted(check.readable(dy, threads)), check.lifted(dx)
    if times == 1:
        run(schedule, dy, w.array, None, dx, False, threads)
        return
    each = np.zeros((1, *dx.shape[1:4], conv.outputs), dy.dtype)
    for n in range(conv.batch):                         # what each output gives to its channel
        run(schedule, dy[n : n + 1], w.array, None, each, False, threads)
        each.reshape(*dx.shape[1:], times).sum(axis=-1, out=dx[n])


def grad_filters(conv: plan.Conv, dy, x, dw, threads: int) -> None:
    schedule = tables.schedule(conv, "filters", cpu.isa(), x.itemsize)
    x, dy = check.lifted(check.readable(x, threads)), check.lifted(check.readable(dy, threads))
    if conv.outputs > conv.channels:
        x = np.repeat(x, conv.outputs // conv.channels, axis=4)
    sums = np.empty((schedule.chunks, schedule.packed), x.dtype)
    depthwise.grad(schedule, dy, x, sums, dw.reshape(conv.outputs, -1), threads)
