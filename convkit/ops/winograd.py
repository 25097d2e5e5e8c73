"""Winograd's convolution on checked arrays. Where it cannot keep a promise, it hands over to the direct algorithm.

A sum that is not finite spreads over its tile, so an image with one is computed again directly; filters that are not finite
would not meet the zeros of the padding, so such a call is direct as a whole.
"""

from __future__ import annotations

import numpy as np

from convkit._core import cpu, winograd, winograd_filters, winograd_pack
from convkit.ops import check, direct, scratch
from convkit.plan import winograd as plan

RUN = {np.dtype(np.float32): winograd.run["float"], np.dtype(np.float64): winograd.run["double"]}
THROUGH = {np.dtype(np.float32): winograd.run_through["float"], np.dtype(np.float64): winograd.run_through["double"]}
GRAD = {np.dtype(np.float32): winograd_filters.grad["float"], np.dtype(np.float64): winograd_filters.grad["double"]}
SHARED = 1 << 23                                        # FLOP of a gradient of filters from which two CPUs are faster than one


class Winograd:
    """The passes, with filters at the points of F(4x4), or of F(2x2) where `exact`."""

    FILLS = KEEPS = True                                # as ops/engine.py has them

    def __init__(self, name: str, exact: bool):
        self.name, self.exact = name, exact

    def forward(self, conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
        self._run("forward", direct.forward, conv, x, packed, b, y, relu, threads, residual)

    def bind(self, conv, packed, relu: bool, threads: int):
        """As that of direct.py; None unless a call before has brought the filters to the points, and they are finite."""
        layout = plan.plan(conv, "forward", self.exact).layout(packed.w.itemsize)
        panels = packed.held((self.name, "forward", layout.once), (cpu.isa(), conv.groups))
        if panels is None or not packed.finite:
            return None
        shapes = check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)
        return winograd.Bound(layout, *shapes, panels, relu, threads or 1)

    def transposed(self, conv, x, packed, b, y, relu: bool, threads: int) -> None:
        self._run("input", direct.transposed, conv, x, packed, b, y, relu, threads)

    def grad_input(self, conv, dy, packed, dx, threads: int) -> None:
        self.transposed(conv, dy, packed, None, dx, False, threads)

    def grad_filters(self, conv, dy, x, dw, threads: int) -> None:
        threads = threads if conv.flop > SHARED else 1
        walk = plan.plan(conv, "filters", self.exact)
        x, dy = check.readable(x, threads), check.readable(dy, threads)
        chunk, target_depth = walk.chunk(x.itemsize), walk.target[0]
        size = winograd_filters.scratch_size(
            *walk.across, walk.places, chunk, conv.batch, target_depth, walk.depth, walk.cols, x.itemsize, threads
        )
        depths = walk.dilation[0], walk.offset[0], walk.source[0], target_depth
        with scratch.borrow(self.name, x.dtype, size) as (room,):
            odd = GRAD[x.dtype](
                *walk.across, walk.dilation[1:], walk.places, walk.forms, walk.kernel[1:], depths, chunk, conv.groups,
                check.lifted(dy), check.lifted(x), check.lifted(dw), room, threads,
            )  # fmt: skip
        if odd:
            direct.grad_filters(conv, dy, x, dw, threads)

    def _run(self, which: str, plainly, conv, x, packed, b, y, relu: bool, threads: int, *residual) -> None:
        """A pass, and again by `plainly`, that of the direct algorithm, what is not finite."""
        if packed.keeps and not packed.finite:          # those that are used once show in every image
            plainly(conv, x, packed, b, y, relu, threads, *residual)
            return
        for n in self._tiles(conv, which, x, packed, b, y, relu, threads, *residual).nonzero()[0]:
            image = (None if r is None else r[n : n + 1] for r in residual)
            plainly(conv.one_image, x[n : n + 1], packed, b, y[n : n + 1], relu, threads, *image)

    def _tiles(self, conv, which: str, source, packed, b, target, relu: bool, threads: int, residual=None) -> np.ndarray:
        """Which images came out not finite."""
        walk = plan.plan(conv, which, self.exact)
        layout, forms, taps = walk.layout(source.itemsize), walk.forms, walk.kernel[1:]
        source, target, residual = check.lifted(check.readable(source, threads)), check.lifted(target), check.lifted(residual)
        odd = np.zeros(conv.batch, np.uint8)
        w, key, slot = check.lifted(packed.w), (cpu.isa(), conv.groups), (self.name, which, layout.once)
        through = layout.once or (not packed.keeps and walk.through(source.itemsize))
        panels = packed.held(slot, key)
        packs = panels is None and (packed.keeps or not through)
        gathered = packed.keeps or w.strides[4 if walk.transposed else 0] != w.itemsize
        shared, each = layout.scratch(taps if through else None, gathered, threads)
        transient = layout.packed if packs and not packed.keeps else 0
        packing = threads * winograd_pack.pack_scratch(taps, source.itemsize) if packs else 0
        with scratch.borrow(self.name, source.dtype, shared + each * threads, transient, packing) as (room, now, aside):
            if packs:
                panels = packed.keep(slot, key, check.empty((layout.packed,), source.dtype, self.name)) if packed.keeps else now
                how = layout.few, layout.once
                winograd_pack.pack(forms, taps, walk.points, walk.transposed, w, conv.groups, *how, panels, aside, threads)
            if through:
                THROUGH[source.dtype](
                    layout, forms, taps, walk.transposed, source, w, panels, b, target, room, odd, relu, threads, residual
                )
            else:
                RUN[source.dtype](layout, source, panels, b, target, room, odd, relu, threads, residual)
        return odd


WINOGRAD, WINOGRAD2 = Winograd("winograd", False), Winograd("winograd2", True)
