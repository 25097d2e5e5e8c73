"""What a convolution looks like: which input each tap of each output reads, for every pass and any rank.

Everything is channels last and lifted to three spatial axes: x (N, D, H, W, C), w (O, KD, KH, KW, C / groups),
y (N, OD, OH, OW, O). The output and the gradient of the input are the same kind of pass over a source: output pixel j of
a phase reads, for tap t, source pixel j * source_step + offset[t]. The gradient of the input at stride s has s phases per
axis, each with its own taps, so that no zero is multiplied.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import groupby, product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import proxy

import numpy as np

from convkit._core import cpu, direct
from convkit.plan import geometry
from convkit.plan.geometry import Axis

if TYPE_CHECKING:
    from convkit._core.few import Windows
    from convkit._core.first import Lines

PLANS = 64                                              # kept: the layers of a network; each holds about 12 kB
SERIAL_FLOP = 1 << 20                                   # less than about 8 us: not worth waking another thread
WEIGHT_FLOP = 8                                         # as long as reading one weight takes, where few pixels use it


class Conv:
    """A checked convolution, or one whose transpose is to be computed. `axes` are its three windows (d, h, w)."""

    def __init__(
        self, batch: int, channels: int, outputs: int, groups: int, axes: tuple[Axis, Axis, Axis], rank: int,
        transposed: bool = False,
    ):  # fmt: skip
        self.batch, self.channels, self.outputs, self.groups = batch, channels, outputs, groups
        self.axes, self.rank, self.transposed = axes, rank, transposed
        self.chosen: dict[tuple, str] = {}              # by plan/choose.py
        self.tilings: dict[tuple, Any] = {}             # by plan/winograd.py
        self.schedules: dict[tuple, Any] = {}           # of _core/few.pyx and _core/depthwise.pyx

    @property
    def one_image(self) -> Conv:
        return self if self.batch == 1 else self.first_image

    @cached_property
    def first_image(self) -> Conv:
        return Conv(1, self.channels, self.outputs, self.groups, self.axes, self.rank, self.transposed)

    def is_gradient(self, which: str) -> bool:
        """Whether a pass is: its bits may depend on what else is in the batch."""
        return which != ("input" if self.transposed else "forward")

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Of y, channels last, in the caller's rank."""
        return (self.batch, *(a.out for a in self.axes[3 - self.rank :]), self.outputs)

    @cached_property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, *(a.size for a in self.axes[3 - self.rank :]), self.channels)

    @cached_property
    def w_shape(self) -> tuple[int, ...]:
        return (self.outputs, *(a.kernel for a in self.axes[3 - self.rank :]), self.channels // self.groups)

    @cached_property
    def flop(self) -> int:
        """Multiply-adds of one pass, times two; taps in the padding count."""
        window = prod(a.kernel for a in self.axes) * (self.channels // self.groups)
        return 2 * self.batch * self.outputs * prod(a.out for a in self.axes) * window

    @cached_property
    def work(self) -> int:
        """What it takes, in FLOP, to compare with SERIAL_FLOP: a Dense layer of one row only reads its weights."""
        return work(self.flop, prod(self.w_shape))

    @cached_property
    def windows(self) -> np.ndarray:
        """(3, 6): size, kernel, stride, dilation, lo, out of each axis."""
        return np.array([(a.size, a.kernel, a.stride, a.dilation, a.lo, a.out) for a in self.axes], np.intp)

    @cached_property
    def pointwise(self) -> bool:
        """Whether each output pixel reads the one input pixel of the same place."""
        return all((a.kernel, a.stride, a.lo, a.size) == (1, 1, 0, a.out) for a in self.axes)

    @cached_property
    def flat_windows(self) -> np.ndarray:
        """`windows` of a pointwise convolution with all pixels of the batch on one line."""
        pixels = self.batch * prod(a.out for a in self.axes)
        return np.array([(1, 1, 1, 1, 0, 1)] * 2 + [(pixels, 1, 1, 1, 0, pixels)], np.intp)

    def windows_over(self, which: str, itemsize: int) -> Windows:
        """The forward pass or the gradient of the input as windows that are added up, for `_core/few.pyx`."""
        key = "few", which, cpu.isa(), itemsize
        if key not in self.schedules:
            from convkit._core.few import Windows

            forward = which == "forward"
            axes = [
                (a.size, a.kernel, 1, a.dilation, (a.kernel - 1) * a.dilation - a.lo, a.out)
                if forward
                else (a.out, a.kernel, a.stride, a.dilation, a.lo, a.size)
                for a in self.axes
            ]
            depth, cols = (self.channels, self.outputs) if forward else (self.outputs, self.channels)
            self.schedules[key] = Windows(np.array(axes, np.intp), self.batch, depth, cols, itemsize)
        return self.schedules[key]

    @cached_property
    def output_pass(self) -> Pass:
        """x -> y."""
        walks = [[Phase(0, a.out, tuple((k, k * a.dilation - a.lo) for k in range(a.kernel)))] for a in self.axes]
        return Pass(self, False, walks)

    @cached_property
    def input_pass(self) -> Pass:
        """dy -> dx."""
        return Pass(self, True, [phases(a) for a in self.axes])


class Phase(NamedTuple):
    """Along one axis, target pixels first, first + step, ... that use the same taps: (tap, source offset), by rising offset."""

    first: int
    pixels: int
    taps: tuple[tuple[int, int], ...]


def phases(a: Axis) -> list[Phase]:
    """Of the gradient of the input. Pixel i takes tap k from output (i + lo - k * dilation) / stride, where that is whole.

    Phases that no tap reaches are left out: their gradient is zero.
    """
    by_phase = sorted(((k * a.dilation - a.lo) % a.stride, -k) for k in range(a.kernel))
    result = []
    for first, group in groupby(by_phase, key=lambda item: item[0]):
        if first < a.size:
            taps = tuple((-k, (first + a.lo + k * a.dilation) // a.stride) for _, k in group)
            result.append(Phase(first, -(-(a.size - first) // a.stride), taps))
    return result


class Pass:
    """Source -> target, as tables for `_core/direct.pyx` and `_core/first.pyx`.

    transposed   whether sums run over the outputs of the filters
    order        (T,) which filter tap (flat over kd, kh, kw) stands at each place of the packed filters
    separate     the tables with one tap for each filter tap
    """

    def __init__(self, conv: Conv, transposed: bool, walks: list[list[Phase]]):
        self.conv = proxy(conv)                         # which owns the pass: without a cycle both go when the plan does
        self.transposed, self.walks = transposed, walks
        self.depth, self.cols = conv.channels // conv.groups, conv.outputs // conv.groups
        self.source, self.target = [a.size for a in conv.axes], [a.out for a in conv.axes]
        self.source_step, self.target_step = np.array([a.stride for a in conv.axes], np.intp), np.ones(3, np.intp)
        if transposed:
            self.depth, self.cols, self.source, self.target = self.cols, self.depth, self.target, self.source
            self.source_step, self.target_step = self.target_step, self.source_step
        self.schedules: dict[tuple[str, str, int], direct.Schedule | Lines] = {}
        _, kh, kw = (a.kernel for a in conv.axes)
        self.order = np.array(
            [
                (d * kh + h) * kw + w
                for phase in product(*walks)
                for (d, _), (h, _), (w, _) in product(*(axis.taps for axis in phase))
            ],
            np.intp,
        )
        self.order_key = self.order.tobytes()

    def schedule(self, itemsize: int) -> direct.Schedule:
        """The pass cut into tasks for `_core/direct.pyx` and the ISA in use."""
        key = "direct", cpu.isa(), itemsize
        if key not in self.schedules:
            pixels, taps = self.conv.batch * int(prod(map(int, self.separate.runs[0, 4:7]))), len(self.order)
            block, together = tiling(pixels, taps, self.depth, self.cols, self.conv.groups, cpu.tile(itemsize), itemsize)
            self.schedules[key] = direct.Schedule(
                *self.separate, self.source_step, self.target_step, self.conv.batch, self.conv.groups, self.depth,
                self.cols, taps, block, together, itemsize, self.padded,
            )  # fmt: skip
        return self.schedules[key]

    def lines(self, itemsize: int) -> Lines:
        """The same for `_core/first.pyx`: a row of the filter is one tap."""
        key = "first", cpu.isa(), itemsize
        if key not in self.schedules:
            from convkit._core.first import Lines

            taps, runs = tables(self.walks, merge=True)
            self.schedules[key] = Lines(
                taps, runs, again(taps, runs, int(self.source_step[1])), self.source_step, self.target_step,
                self.conv.batch, self.depth, self.cols, len(self.order), itemsize,
            )  # fmt: skip
        return self.schedules[key]

    @cached_property
    def padded(self) -> bool:
        """Whether some tap reads outside of the source."""
        return any(
            offset < 0 or (phase.pixels - 1) * int(step) + offset >= size
            for walk, step, size in zip(self.walks, self.source_step, self.source, strict=True)
            for phase in walk
            for _, offset in phase.taps
        )

    @cached_property
    def covers(self) -> bool:
        """Whether the phases reach every pixel of the target."""
        return all(sum(phase.pixels for phase in walk) == size for walk, size in zip(self.walks, self.target, strict=True))

    @cached_property
    def rows_touch(self) -> bool:
        """Whether the taps of a filter's row read neighbouring pixels."""
        rows = [[offset for _, offset in phase.taps] for phase in self.walks[2]]
        return all(row == list(range(row[0], row[0] + len(row))) for row in rows)

    @cached_property
    def separate(self) -> Tables:
        return tables(self.walks, merge=False)


class Tables(NamedTuple):
    """taps (T, 3): source offsets d, h, w of each tap; runs: one row a phase, as named in `RUN`."""

    taps: np.ndarray
    runs: np.ndarray


RUN = ("first tap", "taps", "span", "filter taps before", "pixels d", "h", "w", "first pixel d", "h", "w")


def tables(walks: list[list[Phase]], merge: bool) -> Tables:
    """`walks` as arrays; `merge` makes the taps of a filter row one tap that reads `span` neighbouring pixels."""
    taps, runs, before = [], [], 0
    for d, h, w in product(*walks):
        columns = w.taps[:1] if merge else w.taps
        span = len(w.taps) if merge else 1
        mine = [(i, j, k) for (_, i), (_, j), (_, k) in product(d.taps, h.taps, columns)]
        pixels = (d.pixels, h.pixels, w.pixels)
        runs.append((len(taps), len(mine), span, before, *pixels, d.first, h.first, w.first))
        taps += mine
        before += len(mine) * span
    return Tables(np.array(taps, np.intp).reshape(-1, 3), np.array(runs, np.intp).reshape(-1, len(RUN)))


def again(taps: np.ndarray, runs: np.ndarray, step: int) -> np.ndarray:
    """For each tap, which tap of its phase read the same source line one target line before, or -1."""
    result = np.full(len(taps), -1, np.intp)
    for first_tap, count in runs[:, :2]:
        mine = [tuple(map(int, tap)) for tap in taps[first_tap : first_tap + count]]
        place = {tap: i for i, tap in enumerate(mine)}
        result[first_tap : first_tap + count] = [place.get((d, h + step, w), -1) for d, h, w in mine]
    return result


@lru_cache(maxsize=PLANS)
def conv(x_shape, w_shape, stride, padding, dilation, groups: int) -> Conv:
    """The convolution of channels-last shapes; the rest as from `geometry.sizes` and `geometry.padding_of`."""
    rank = len(x_shape) - 2
    (batch, *spatial, channels), (outputs, *kernel, depth) = x_shape, w_shape
    geometry.check_filters(kernel, groups)
    if channels % groups or outputs % groups:
        raise ValueError(f"groups must divide both channels, got groups={groups} for {channels} in and {outputs} out")
    if depth * groups != channels:
        each = f" in each of {groups} groups" if groups > 1 else ""
        raise ValueError(f"w has {depth} input channels{each}, x has {channels}")
    axes = geometry.axes(spatial, kernel, stride, padding, dilation)
    flat = (Axis(1, 1, 1, 1, 0, 0, 1),) * (3 - rank)
    return Conv(batch, channels, outputs, groups, (*flat, *axes), rank)


def work(flop: int, weights: int) -> int:
    return max(flop, WEIGHT_FLOP * weights)


BLOCK = 96                                              # target pixels of a task: whole tiles of every height
FEW_TAPS = 4                                            # for more of them half a block amortizes the tables
PANEL_BYTES = 1 << 20                                   # packed filters that a task walks over: a share of L2
TASKS = 16                                              # enough for a few threads to finish together
LEAST = 12                                              # target pixels of a task
LARGE, ONCE = 1 << 18, 2                                # bytes of a panel that so many blocks should share: it is fetched ahead


def tiling(pixels: int, taps: int, depth: int, cols: int, groups: int, tile, itemsize: int) -> tuple[int, int]:
    """Target pixels and panels of one task.

    Blocks are nearly equal: a tile of few rows reads as much of the filters as a whole one.
    """
    vector, vecs, _ = tile
    pixels, panels = max(1, pixels), max(1, -(-cols // (vector * vecs)))
    panel = taps * depth * vector * vecs * itemsize
    together = max(1, min(panels, PANEL_BYTES // max(1, panel)))
    block = BLOCK if taps <= FEW_TAPS else BLOCK // 2
    weights = taps * depth * cols * groups
    if work(2 * pixels * weights, weights) > SERIAL_FLOP:
        while together > 1 and tasks(pixels, block, panels, together) * groups < TASKS:
            together = -(-together // 2)
        least = max(2 * LEAST, -(-pixels // ONCE)) if panel >= LARGE and pixels <= ONCE * block else LEAST
        while block // 2 >= least and tasks(pixels, block, panels, together) * groups < TASKS:
            block //= 2
    blocks, batches = -(-pixels // block), -(-panels // together)
    return -(-pixels // blocks), -(-panels // batches)


def tasks(pixels: int, block: int, panels: int, together: int) -> int:
    return -(-pixels // block) * -(-panels // together)


TURN_PIXELS = 1024                                      # fewer do not pay for turning the sums back


def turns(conv: Conv, tile) -> bool:
    """Whether the gradient of the filters has the outputs in its vectors and not the inputs.

    That is so where it fills them better, or where the outputs are one panel: it is packed once for all taps, and the inputs,
    if there are more of them, are read once.
    """
    vector, vecs, _ = tile
    inputs, outputs = conv.channels // conv.groups, conv.outputs // conv.groups
    if conv.batch * prod(a.out for a in conv.axes) < TURN_PIXELS:
        return False
    mine, others = inputs * -(-outputs // vector), outputs * -(-inputs // vector)
    taps = prod(a.kernel for a in conv.axes)
    return mine < others or (mine == others and outputs <= vecs * vector and (inputs > outputs or taps > 1))
