"""Layers with few input channels on checked arrays, and the two passes that a layer with few outputs shares with them."""

from __future__ import annotations

from math import prod

import numpy as np

from convkit._core import cpu, few, filters, first
from convkit._core import direct as core
from convkit.ops import check, direct

FILLS = True                                            # grad_filters needs no zeros
LINES = 1 << 18                                         # FLOP from which lines, which need scratch, are faster than `direct`
WINDOWS = {np.dtype(np.float32): few.run["float"], np.dtype(np.float64): few.run["double"]}
TURN = {np.dtype(np.float32): filters.turn["float"], np.dtype(np.float64): filters.turn["double"]}
RUN = {np.dtype(np.float32): first.run["float"], np.dtype(np.float64): first.run["double"]}


def run_lines(walk, source, packed, b, target, relu: bool, threads: int, residual=None) -> None:
    """A pass over a source with few channels."""
    source, target = check.lifted(check.readable(source, threads)), check.lifted(target)
    if not walk.covers:
        target[...] = 0
    lines = walk.lines(source.itemsize)
    panels = direct.panels(walk, packed, lines.packed, threads)
    scratch = np.empty(threads * lines.scratch, source.dtype)
    RUN[source.dtype](lines, source, panels, b, target, scratch, relu, threads, check.lifted(residual))


def run_windows(conv, which: str, source, packed, b, target, relu: bool, threads: int, residual=None) -> bool:
    """A pass whose target has few channels; False, and nothing done, where filters are not finite.

    Padding is never multiplied here, and zero times infinity is not zero; for a gradient there is no padding.
    """
    if which == "forward" and not packed.finite:
        return False
    windows = conv.windows_over(which, source.itemsize)

    def pack() -> np.ndarray:
        return packed_taps(packed.w, which == "forward", windows.packed, threads)

    panels = packed.of(("few", which), cpu.isa(), pack)
    source, target = check.lifted(check.readable(source, threads)), check.lifted(target)
    scratch = np.empty(threads * windows.scratch, source.dtype)
    WINDOWS[source.dtype](windows, source, panels, b, target, scratch, relu, threads, check.lifted(residual))
    return True


def packed_taps(w: np.ndarray, forward: bool, size: int, threads: int) -> np.ndarray:
    """All taps of a plane of the filters side by side; forward from last to first."""
    w = check.lifted(w)
    if forward:
        w = w[:, ::-1, ::-1, ::-1].transpose(4, 1, 2, 3, 0)
    w = np.ascontiguousarray(w)
    depth, planes = w.shape[:2]
    result = check.empty((size,), w.dtype, "pack_filters")
    w = w.reshape(depth, planes, 1, 1, -1)
    core.pack(np.arange(planes, dtype=np.intp), depth, w.shape[4], 1, True, w, result, threads)
    return result


def forward(conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    run_lines(conv.output_pass, x, packed, b, y, relu, threads, residual)


def bind(conv, packed, relu: bool, threads: int):
    """As `direct.bind`, which has the same bits."""
    threads = threads or 1
    lines = conv.output_pass.lines(packed.w.itemsize)
    shapes = check.lifted_shape(conv.x_shape), check.lifted_shape(conv.out_shape)
    return first.Bound(lines, *shapes, direct.panels(conv.output_pass, packed, lines.packed, threads), relu, threads)


def grad_input(conv, dy, packed, dx, threads: int) -> None:
    run_windows(conv, "input", dy, packed, None, dx, False, threads)


def grad_filters(conv, dy, x, dw, threads: int) -> None:
    x, dy = check.lifted(check.readable(x, threads)), check.lifted(check.readable(dy, threads))
    vector, (places, rows) = cpu.tile(x.itemsize)[0], first.sums_rows(prod(conv.w_shape[1:-2]), prod(conv.w_shape[-2:]))
    parts = first.parts(conv.windows, conv.batch, conv.outputs, x.itemsize, conv.flop)
    partial = np.zeros((parts, rows, -(-conv.outputs // vector) * vector), x.dtype)
    scratch = np.empty(threads * first.sums_scratch(conv.windows, conv.channels, conv.outputs, x.itemsize), x.dtype)
    first.sum_filters(conv.windows, dy, x, partial, scratch, threads)
    sums = partial[0] if parts == 1 else partial.sum(axis=0)
    TURN[dw.dtype](sums[places, : conv.outputs], dw.reshape(conv.outputs, -1, conv.channels), 1, threads)
