"""The direct engine on checked arrays: a pass over a source, and the gradients of filters and bias."""

from __future__ import annotations

from math import prod

import numpy as np

from convkit._core import cpu, direct, filters
from convkit._core.call import Fast
from convkit.ops import check, scratch
from convkit.ops.filters import PackedFilters
from convkit.plan import conv as plan

FILLS = True                                            # grad_filters needs no zeros
CLIPS = True                                            # `bind` takes relu=6
ASIDE = 1 << 20                                         # bytes of packed filters that small calls keep room for, at most
THROUGH = {np.dtype(np.float32): direct.run_through["float"], np.dtype(np.float64): direct.run_through["double"]}
RUN = {np.dtype(np.float32): direct.run["float"], np.dtype(np.float64): direct.run["double"]}


def run(walk: plan.Pass, source, packed: PackedFilters, b, target, relu: bool, threads: int, residual=None) -> None:
    """One pass of the direct engine, all of the target's pixels; `residual` has the strides of the target."""
    source, target = check.lifted(check.readable(source, threads)), check.lifted(target)
    if not walk.covers:                                 # no phase of the gradient reaches some pixels
        target[...] = 0 if b is None else np.maximum(b, 0) if relu else b
    if not len(walk.order):
        return
    schedule, residual = walk.schedule(source.itemsize), check.lifted(residual)
    if schedule.pays_through(threads) and not packed.keeps:
        through(walk, schedule, source, packed, b, target, relu, threads, residual)
        return
    filters = panels(walk, packed, schedule.packed, threads)
    RUN[source.dtype](schedule, source, filters, b, target, relu, threads, residual)


def through(walk: plan.Pass, schedule, source, packed: PackedFilters, b, target, relu: bool, threads: int, residual) -> None:
    """The same for filters that are used once and large beside the pixels, without writing their packed form to memory."""
    with scratch.borrow("convolution", source.dtype, threads * schedule.piece(walk.transposed)) as (room,):
        w, room = check.lifted(packed.w), room.reshape(threads, -1)
        THROUGH[source.dtype](schedule, source, w, walk.order, walk.transposed, b, target, room, relu, threads, residual)


def panels(walk: plan.Pass, packed: PackedFilters, size: int, threads: int) -> np.ndarray:
    """The filters in the order of `walk`, for the ISA in use, in `size` elements."""

    def pack():
        w, result = packed.w, check.empty((size,), packed.w.dtype, "pack_filters")
        direct.pack(walk.order, walk.depth, walk.cols, walk.conv.groups, walk.transposed, check.lifted(w), result, threads)
        return result

    return packed.of(("direct", walk.transposed), (cpu.isa(), walk.order_key, walk.conv.groups), pack)


def forward(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    run(conv.output_pass, x, packed, b, y, relu, threads, residual)


def grad_input(conv: plan.Conv, dy, packed, dx, threads: int) -> None:
    run(conv.input_pass, dy, packed, None, dx, False, threads)


def transposed(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int) -> None:
    run(conv.input_pass, x, packed, b, y, relu, threads)


def grad_filters(conv: plan.Conv, dy, x, dw, threads: int, adds: bool = False) -> None:
    """dw = the gradient of the filters, whatever it held, or += with `adds`."""
    windows, turned, rows = conv.windows, None, conv.outputs // conv.groups
    if not adds and plan.turns(conv, cpu.tile(x.itemsize)):
        turned = check.empty((dw.size // rows, rows), dw.dtype, "convolution")
    x, dy = check.readable(x, threads), check.readable(dy, threads)
    if conv.pointwise:                                  # one long run of pixels instead of many
        x, dy = np.ascontiguousarray(x).reshape(1, -1, conv.channels), np.ascontiguousarray(dy).reshape(1, -1, conv.outputs)
        windows = conv.flat_windows
    dw = dw.reshape(conv.outputs, -1, conv.channels // conv.groups)
    others = check.empty((filters.parts(windows, len(x), dw.nbytes) - 1, dw.size), dw.dtype, "convolution")
    filters.grad(windows, conv.groups, check.lifted(dy), check.lifted(x), dw, turned, others, adds, threads)


def grad_bias(dy, threads: int):
    db = np.zeros(dy.shape[-1], dy.dtype)
    if dy.size:
        dy = check.lifted(check.readable(dy, threads))
        partial = np.zeros((filters.bias_chunks(int(np.prod(dy.shape[:3])), dy.shape[3]), dy.shape[4]), dy.dtype)
        filters.sum_bias(dy, partial, db, threads)
    return db


def bind(conv: plan.Conv, packed: PackedFilters, relu: int, threads: int) -> direct.Small:
    """The forward pass of contiguous arrays, as cheap as it can be called; threads is 0 for very little work."""
    schedule = conv.output_pass.schedule(packed.w.itemsize)
    shapes = check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)
    return direct.Small(schedule, *shapes, panels(conv.output_pass, packed, schedule.packed, max(threads, 1)), relu, threads)


def bind_plain(conv: plan.Conv, relu: bool, itemsize: int, threads: int) -> Fast | None:
    """The forward pass of contiguous arrays and filters, which are packed first, or None; threads as for `bind`."""
    return _packing(conv.output_pass, relu, itemsize, threads)


def bind_input(conv: plan.Conv, packed: PackedFilters | None, itemsize: int, threads: int) -> Fast | None:
    """The gradient of the input, likewise, or with filters that are packed."""
    walk = conv.input_pass
    if packed is None:
        return _packing(walk, False, itemsize, threads)
    if not walk.covers or not len(walk.order):
        return None
    schedule = walk.schedule(itemsize)
    return direct.Small(schedule, *_shapes(walk), panels(walk, packed, schedule.packed, max(threads, 1)), False, threads)


def bind_filters(conv: plan.Conv, itemsize: int, threads: int) -> Fast | None:
    """The gradient of the filters, likewise."""
    windows, dy, x = conv.windows, check.lifted_shape(conv.out_shape), check.lifted_shape(conv.x_shape)
    if conv.pointwise:
        windows = conv.flat_windows
        dy, x = ((1, 1, 1, conv.batch * prod(shape[1:4]), shape[4]) for shape in (dy, x))
    size = prod(conv.w_shape)
    if plan.turns(conv, cpu.tile(itemsize)) or filters.parts(windows, x[0], size * itemsize) > 1:
        return None
    taps = prod(conv.w_shape[1:-1])
    return filters.Bound(windows, conv.groups, dy, x, taps, itemsize, threads)


def bind_bias(conv: plan.Conv, itemsize: int, threads: int) -> Fast:
    """The gradient of the bias of a contiguous dy, likewise."""
    return filters.BoundBias(check.lifted_shape(conv.out_shape), itemsize, threads)


def _packing(walk: plan.Pass, relu: bool, itemsize: int, threads: int) -> Fast | None:
    if not walk.covers or not len(walk.order):
        return None
    conv, schedule = walk.conv, walk.schedule(itemsize)
    if schedule.pays_through(max(threads, 1)) or (not threads and schedule.packed * itemsize > ASIDE):
        return None
    w = check.lifted_shape(conv.w_shape)
    return direct.Plain(schedule, *_shapes(walk), w, walk.order, conv.groups, walk.transposed, relu, threads)


def _shapes(walk: plan.Pass) -> list[tuple[int, ...]]:
    """Of source and target."""
    shapes = [check.lifted_shape(walk.conv.x_shape), check.lifted_shape(walk.conv.out_shape)]
    return shapes[::-1] if walk.transposed else shapes
