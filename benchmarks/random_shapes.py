"""Ordinary convolutions drawn at random: is there a shape, among those nobody tuned for, that is slow?

The shapes follow from the seed alone, and the first n of them do not depend on how many are drawn.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, prod
from random import Random

from .shapes import Conv

SEED, COUNT = 2026, 200
LEAST_WORK, SMALL_WORK, MOST_WORK = 1e5, 2e6, 1.5e9     # FLOP; under SMALL_WORK a pass is of the class "small"
MOST_ELEMENTS, MOST_WEIGHTS = 4_000_000, 2_500_000      # of the maps, of the filters

# Class: (its share, rank, kernels, strides, dilations).
CLASSES = {
    "3x3": (22, 2, (3,), (1,), (1,)),
    "1x1": (18, 2, (1,), (1,), (1,)),
    "depthwise": (12, 2, (3, 3, 5, 7), (1, 1, 2), (1, 1, 1, 2)),
    "first": (8, 2, (3, 3, 5, 7), (1, 2), (1,)),
    "3x3_s2": (8, 2, (3,), (2,), (1,)),
    "5x5": (8, 2, (5,), (1, 1, 1, 2), (1,)),
    "grouped": (8, 2, (1, 3, 3, 3, 5), (1, 1, 2), (1,)),
    "7x7": (4, 2, (7,), (1, 2), (1,)),
    "dilated": (4, 2, (3, 3, 5), (1,), (2,)),
    "1x1_s2": (3, 2, (1,), (2,), (1,)),
    "conv1d": (6, 1, (3, 5, 7, 9, 15), (1, 1, 2), (1, 1, 1, 2)),
    "conv3d": (3, 3, (1, 3, 3, 3), (1, 1, 2), (1,)),
}
CHANNELS = (8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)
SIZES = {1: (64, 100, 250, 256, 500, 1000, 1024, 4000, 8000), 2: (4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 224),
         3: (4, 7, 8, 14, 16, 28)}  # fmt: skip
LONGEST = {1: 8000, 2: 224, 3: 32}
GROUP = (2, 4, 8, 16, 32)                               # channels of a group


def random_shapes(count: int = COUNT, seed: int = SEED) -> list[Conv]:
    """Shapes of the suite "random", no two of one name."""
    source, found = Source(seed), {}
    while len(found) < count:
        family = source.family()
        while (case := source.shape(family)) is None or case.name in found:
            pass
        found[case.name] = case
    return list(found.values())


class Source:
    """A stream of shapes; of `Random` only `random()`, which stays the same from one Python to the next."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed).random

    def pick(self, values):
        return values[int(self.random() * len(values))]

    def between(self, low: int, high: int) -> int:
        """Any whole number, the small ones as likely as the large ones."""
        return min(high, int(exp(log(low) + self.random() * (log(high + 1) - log(low)))))

    def family(self) -> str:
        return self.pick([name for name, (share, *_) in CLASSES.items() for _ in range(share)])

    def channels(self) -> int:
        return self.pick(CHANNELS) if self.random() < 0.7 else self.between(5, 512)

    def sizes(self, rank: int) -> tuple[int, ...]:
        """Mostly square and usual, at times neither."""
        each = [self.pick(SIZES[rank]) if self.random() < 0.6 else self.between(4, LONGEST[rank]) for _ in range(rank)]
        return tuple(each) if self.random() < 0.2 else (each[0],) * rank

    def shape(self, family: str) -> Conv | None:
        """One draw; None where it is out of bounds."""
        _, rank, kernels, strides, dilations = CLASSES[family]
        kernel, stride, dilation = self.pick(kernels), self.pick(strides), self.pick(dilations)
        spatial, batch = self.sizes(rank), 1 if self.random() < 0.5 else self.between(2, 16)
        channels, filters, groups = self.channels(), self.channels(), 1
        if family == "first":
            channels = self.pick((1, 3, 3, 4))
        elif family == "depthwise":
            filters, groups = channels * self.pick((1, 1, 1, 1, 2)), channels
        elif family == "grouped":
            groups = self.pick((2, 4, 8, 16, 32))
            channels, filters = groups * self.pick(GROUP), groups * self.pick(GROUP)
        padding = 0 if self.random() < 0.2 else dilation * (kernel - 1) // 2
        if dilation * (kernel - 1) >= min(spatial) + 2 * padding:
            return None
        case = Conv(family, batch, spatial, channels, filters, (kernel,) * rank, stride, padding, dilation, groups,
                    f"random, seed {self.seed}, padding {padding}", suite="random")  # fmt: skip
        return self.bounded(case)

    def bounded(self, case: Conv) -> Conv | None:
        """The case in its class; None where it is too small or too large."""
        work = case.work("fwd", 4)
        maps = max(case.channels * prod(case.spatial), case.filters * prod(case.out_spatial)) * case.batch
        weights = case.filters * case.channels // case.groups * prod(case.kernel)
        if not LEAST_WORK <= work <= MOST_WORK or maps > MOST_ELEMENTS or weights > MOST_WEIGHTS:
            return None
        return replace(case, family="small") if work < SMALL_WORK else case
