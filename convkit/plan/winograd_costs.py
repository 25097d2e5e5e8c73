"""What Winograd's algorithm and its rivals take for a pass, in cycles: sums of a few terms, fitted to trials of random shapes.

The first fit was by least squares of the relative error, over those of the first 600 random shapes that Winograd can run; terms
that choose badly were then moved until the choices of those shapes lost least.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from convkit._core import cpu
from convkit.plan import conv as plan


class Costs(NamedTuple):
    start: float                                        # more than the rivals' before there is any work
    source: float                                       # a point of a word of channels, of what is read
    target: float                                       # and of what comes out
    product: float                                      # of words
    filters: float                                      # a byte of the points of filters of at most 3x3 taps
    larger: float                                       # and of others
    direct: float                                       # a product of words of the direct algorithm
    narrow: float                                       # more for it where a tile is one word wide
    packed: float                                       # a byte of filters, for the direct algorithm


# To try them again: `convkit bench --suite random --only 3x3,5x5,dilated,small --what fwd,dx,dw --algorithm direct`, and so on
# for `winograd`, `first` and `few`. Rows that they decide: fwd of `3x3 160->18 @7 b11` and of `3x3 512->512 @7 b1`, dx of
# `3x3 96->160 @7 b1` and of `5x5 32->48 @8 b1`, dw of `3x3 13->256 @16 b1`, of `5x5 d2 160->32 @10 b13` and, of few
# channels and outputs, of `3x3 8->16 @28 b16`.
# And dx of `3x3 64->64 @8 b64`, which Winograd halves, and of `3x3 384->384 @6 b1`, which it does not.
COSTS = {
    "forward": Costs(3_000, 8.5, 7.5, 0.66, 0.2, 0.2, 0.57, 0.14, 0),
    "input": Costs(6_000, 10, 9, 1.0, 0.18, 0.5, 0.66, 0.2, 0.09),
    "filters": Costs(9_000, 2, 19, 1.0, 0.12, 0.39, 0.75, 0.4, 0.06),
}
USES = 4                                                # images that share the filters, where it may not be seen
TALLER = 1.25                                           # more for all of it with 5 taps and dw, as in `5x5 24->24 @177 b1`
WINDOWS, ADDED = 0.64, 5.5                              # a product of words of `first.py`; a word of a window that is added


def words(channels: int, vector: int) -> int:
    return -(-channels // vector)


def uses(conv, which: str) -> int:
    """How many images a pass brings its filters to the points, or packs them, for."""
    return max(conv.batch, 1) if conv.is_gradient(which) else USES


def winograd(conv, walk, points: int, which: str, itemsize: int) -> float:
    """An image by tiles of so many points."""
    costs, vector = COSTS[which], cpu.tile(itemsize)[0]
    source, target, slices = words(walk.depth, vector), words(walk.cols, vector), walk.kernel[0]
    products = walk.depth * target if which != "filters" else min(walk.depth * target, walk.cols * source)
    each = costs.source * source * slices + costs.target * target + costs.product * slices * products
    filters = walk.points * slices * walk.depth * walk.cols * itemsize / uses(conv, which)
    small = prod(walk.kernel) <= 9 * slices
    if which == "filters" and not small:
        each *= TALLER
    return costs.start + conv.groups * (points * each + filters * (costs.filters if small else costs.larger))


def direct(conv, walk, which: str, itemsize: int) -> float:
    """An image by the plain sums of the direct algorithm."""
    costs, tile, taps = COSTS[which], cpu.tile(itemsize), prod(walk.kernel)
    packed = costs.packed * taps * walk.depth * walk.cols * itemsize / uses(conv, which)
    if which == "filters":
        full, others = (walk.cols, walk.depth) if plan.turns(conv, tile) else (walk.depth, walk.cols)
        share = prod(inside(a) for a in conv.axes)
    else:
        full, others, share = walk.cols, walk.depth, 1
    products = prod(walk.target) * taps * share * words(full, tile[0]) * others
    return conv.groups * (products * (costs.direct + (costs.narrow if full <= tile[0] else 0)) + packed)


def inside(axis) -> float:
    """The share of an axis's products that do not read the padding: the direct gradient of the filters makes no others."""
    starts = axis.dilation * np.arange(axis.kernel) - axis.lo
    first, last = np.maximum(-starts, 0), np.minimum(axis.size - starts, axis.out)
    return float(np.maximum(last - first, 0).sum() / (axis.kernel * axis.out))


def windows(walk, itemsize: int) -> float:
    """An image by all taps at once."""
    vector, taps = cpu.tile(itemsize)[0], prod(walk.kernel)
    products = prod(walk.source) * walk.kernel[0] * words(taps // walk.kernel[0] * walk.cols, vector) * walk.depth
    return WINDOWS * products + ADDED * prod(walk.target) * taps * words(walk.cols, vector)
