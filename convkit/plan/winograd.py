"""Winograd's convolution: maps of any size as tiles of 4, 3 and 2 outputs, and when it pays.

An axis with 3 taps is cut into tiles of 4 outputs by 6 products, and one of 3 or 2 (by 5 or 4) at its end, so that no output
is computed that nobody wants: n outputs cost n + 2 * ceil(n / 4) products instead of 3n. Five taps give 2 outputs by 6
products. A dilated axis is as many maps between each other; an axis with one tap is left alone; taps along depth are summed.
"""

from __future__ import annotations

from functools import cached_property
from math import prod
from weakref import proxy

import numpy as np

from convkit._core import cpu, winograd
from convkit.plan import few, first
from convkit.plan import winograd_costs as costs

PLAIN, SMALL, FOUR, FIVE, SIX = 1, 2, 4, 5, 6           # forms of a tile, as in csrc/convkit.h
PIXELS = {PLAIN: 1, SMALL: 4, FOUR: 4, FIVE: 5, SIX: 6}
PLACES = {PLAIN: 1, SMALL: 4, FOUR: 6, FIVE: 6, SIX: 6}
LONGEST = 1 << 20                                       # of an axis: its tiles are listed
TILES = 64                                              # of a block or a chunk, at most: their source and target are near, too
SLICES = 8                                              # taps along depth, at most


def lengths(outputs: int, taps: int, small: bool) -> list[tuple[int, int, int]]:
    """The tiles of an axis, larger forms first: (form, outputs kept, how many such tiles)."""
    if taps == 1:
        runs = [(PLAIN, 1, outputs)]
    elif small or taps == 5:
        runs = [(SMALL if small else SIX, 2, outputs // 2), (SMALL if small else FIVE, 1, outputs % 2)]
    elif outputs % 4 == 1 and outputs > 1:              # 4 + 1 cost as much as 3 + 2
        runs = [(SIX, 4, outputs // 4 - 1), (FIVE, 3, 1), (FOUR, 2, 1)]
    else:
        runs = [(SIX, 4, outputs // 4), ((0, FOUR, FOUR, FIVE)[outputs % 4], outputs % 4, int(outputs % 4 > 0))]
    return [run for run in runs if run[2]]


def maps(target: int, dilation: int) -> list[tuple[int, int]]:
    """The maps between each other that a dilated axis is: (outputs, how many of them)."""
    each, more = divmod(target, dilation)
    return [run for run in ((each + 1, more), (each, dilation - more)) if min(run) > 0]


def points_along(target: int, taps: int, dilation: int, small: bool) -> int:
    """Products of an axis."""
    return sum(
        many * sum(PIXELS[form] * count for form, _, count in lengths(outputs, taps, small))
        for outputs, many in maps(target, dilation)
    )


def tiles(target: int, source: int, taps: int, dilation: int, offset: int, small: bool) -> np.ndarray:
    """One row a tile: first target, first source, form, outputs, those kept, inside from, to; larger forms first.

    Target pixel i reads source pixels i + offset + k * dilation.
    """
    parts = []
    for phase in range(min(dilation, target)):
        first = phase
        for form, keep, count in lengths(-(-(target - phase) // dilation), taps, small):
            start = first + dilation * keep * np.arange(count) + offset
            lo, hi = (np.clip(-((start - edge) // dilation), 0, PIXELS[form]) for edge in (0, source))
            rows = (start - offset, start, form, PIXELS[form] - taps + 1, keep, lo, hi)
            parts.append(np.stack(np.broadcast_arrays(*rows), axis=1))
            first += keep * count * dilation
    table = np.concatenate(parts).astype(np.intp)
    return np.ascontiguousarray(table[np.argsort(-table[:, 2], kind="stable")])


class Plan:
    """One pass of a convolution as tiles: x -> y, or transposed dy -> dx."""

    def __init__(self, conv, transposed: bool, small: bool):
        self.conv, self.transposed, self.small = proxy(conv), transposed, small
        self.kernel = [a.kernel for a in conv.axes]
        self.dilation = [a.dilation for a in conv.axes]
        self.source, self.target = [a.size for a in conv.axes], [a.out for a in conv.axes]
        self.offset = [-a.lo for a in conv.axes]
        self.depth, self.cols = conv.channels // conv.groups, conv.outputs // conv.groups
        if self.transposed:
            self.source, self.target, self.depth, self.cols = self.target, self.source, self.cols, self.depth
            self.offset = [a.lo - (a.kernel - 1) * a.dilation for a in conv.axes]
        self.layouts: dict[tuple, winograd.Layout] = {}

    @cached_property
    def forms(self) -> tuple[int, int]:
        """Of the filters along h and w."""
        return tuple(PLAIN if k == 1 else SMALL if self.small else SIX for k in self.kernel[1:])

    @cached_property
    def places(self) -> list[int]:
        return [PLACES[form] for form in self.forms]

    @cached_property
    def points(self) -> int:
        return prod(self.places)

    @cached_property
    def across(self) -> list[np.ndarray]:
        return [
            tiles(self.target[i], self.source[i], self.kernel[i], self.dilation[i], self.offset[i], self.small)
            for i in (1, 2)
        ]

    def layout(self, itemsize: int) -> winograd.Layout:
        key = cpu.isa(), itemsize
        if key not in self.layouts:
            slices = (self.kernel[0], self.dilation[0], self.offset[0], self.source[0], self.target[0])
            self.layouts[key] = winograd.Layout(
                *self.across, *self.dilation[1:], self.places, slices, self.conv.batch, self.conv.groups, self.depth, self.cols,
                self.block(itemsize), self.few(itemsize), itemsize,
            )  # fmt: skip
        return self.layouts[key]

    def block(self, itemsize: int) -> tuple[int, int]:
        """Tiles of a block along h (over images) and w."""
        lines, columns = len(self.across[0]) * self.target[0] * self.conv.batch, len(self.across[1])
        wanted = self.wanted(itemsize)
        pieces = -(-columns // wanted)
        columns = -(-columns // pieces)
        return min(max(1, wanted // columns), lines), columns

    def chunk(self, itemsize: int) -> tuple[int, int]:
        """Of the gradient of the filters: lines and columns of tiles in a chunk."""
        lines, columns = len(self.across[0]) * self.target[0] * self.conv.batch, len(self.across[1])
        each = self.points * (self.depth + self.cols) * itemsize
        sums = self.points * self.depth * self.cols * itemsize
        wanted = max(24, min(TILES, CACHE // each) if sums <= CACHE else FAR // each)
        if sums > CACHE and lines * columns <= 2 * wanted:
            wanted = lines * columns
        pieces = -(-columns // wanted)
        columns = -(-columns // pieces)
        return min(-(-wanted // columns), lines), columns

    def wanted(self, itemsize: int) -> int:
        """Tiles of a block: their points fit a cache, unless so few of them would make too little of each filter read."""
        each = self.points * (self.kernel[0] * self.depth + self.cols) * itemsize
        filters = self.points * self.kernel[0] * self.depth * self.cols * itemsize
        fit = CACHE // each
        return max(28 if filters < WIDE else 48, min(TILES, fit))

    def few(self, itemsize: int) -> bool:
        """Whether an image has so few tiles, and filters are so large, that they are brought to the points in each call."""
        tiles = len(self.across[0]) * len(self.across[1]) * self.target[0]
        filters = self.points * self.kernel[0] * self.depth * self.cols * itemsize
        return self.forms == (SIX, SIX) and self.kernel[1:] == [3, 3] and tiles <= FEW and filters >= WIDE

    def through(self, itemsize: int) -> bool:
        """Whether filters that are used once are brought to the points on the way: where they are large, and the tiles few."""
        tiles = len(self.across[0]) * len(self.across[1]) * self.target[0] * self.conv.batch
        filters = self.points * self.kernel[0] * self.depth * self.cols * itemsize
        source = self.points * self.kernel[0] * self.depth * tiles * itemsize
        return filters >= CACHE and source <= FAR and 2 * tiles <= self.cols


CACHE = 3 << 18                                         # bytes: a share of a second-level cache
WIDE = 1 << 24                                          # bytes of filters that leave even a third-level cache slowly
FAR = 1 << 24                                           # bytes of points of tiles, in a third-level cache
FEW = 4                                                 # tiles of csrc/kernels/wino_few.h, as in `3x3 512->512 @7 b1`


def plan(conv, which: str, small: bool) -> Plan:
    """The tiles of a pass; the gradient of the filters has those of the forward pass."""
    key = which == "input", small
    if key not in conv.tilings:
        conv.tilings[key] = Plan(conv, *key)
    return conv.tilings[key]


def refusal(conv, which: str) -> str | None:
    """Why the transforms do not cover it."""
    kernel = [a.kernel for a in conv.axes]
    if any(a.stride != 1 for a in conv.axes):
        return "the stride must be 1"
    if not all(k in (1, 3, 5) for k in kernel[1:]) or max(kernel[1:]) == 1:
        return f"the kernel must be 3 or 5 along some axis and 1, 3 or 5 along the others, got {tuple(kernel[3 - conv.rank:])}"
    if kernel[0] > SLICES:
        return f"the kernel must be at most {SLICES} along depth, got {kernel[0]}"
    if max(conv.batch, *(max(a.size, a.out) for a in conv.axes)) > LONGEST:
        return f"no axis may be longer than {LONGEST}"
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    """Against the other algorithms, for one image; of a gradient, with its share of what is done once for all images."""
    if min(conv.channels, conv.outputs) < 8 * conv.groups:
        return False
    walk = plan(conv, which, False)
    points = prod(points_along(walk.target[i], walk.kernel[i], walk.dilation[i], False) for i in (1, 2)) * walk.target[0]
    rivals = [costs.direct(conv, walk, which, itemsize)]
    runs = first if which == "input" else few
    if which != "filters" and runs.refusal(conv, which) is None and runs.pays(conv, which, itemsize):
        rivals.append(costs.windows(walk, itemsize))
    return costs.winograd(conv, walk, points, which, itemsize) < min(rivals)
