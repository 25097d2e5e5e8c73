"""What there is to measure, by the names that `run --suite` takes."""

from __future__ import annotations

from dataclasses import replace

from . import shapes
from .random_shapes import random_shapes

SUITES = ("conv", "pool", "random", "algorithms", "startup")

# Rows where two algorithms are near each other: what the constants in convkit/plan were fitted to, or are held to.
RIVALS = (
    "3x3 64->64 @56 b1", "3x3 128->128 @28 b1", "3x3 256->256 @14 b1", "3x3 512->512 @7 b1", "3x3 16->16 @32 b64",
    "3x3 8->16 @28 b16", "5x5 32->96 @28 b4", "5x5 6->16 @14 b64", "3x3 d2 128->128 @28 b1", "3x3 g32 128->128 @56 b1",
    "3x3 g32 512->512 @14 b1", "7x7 s2 3->64 @224 b1", "3x3 3->64 @224 b1", "3x3 1->32 @28 b64", "k3 64->64 @1000 b8",
    "k80 s4 1->64 @16000 b8", "3x3x3 64->128 @8x28x28 b1", "3x3x3 3->32 @16x112x112 b1", "31x31 1->1 @512 b1",
    "11x11 1->1 @512 b1", "k255 1->1 @100000 b1", "3x3 g32 32->32 @112 b1",
)  # fmt: skip


def cases(suites: list[str], patterns: list[str], count: int, seed: int) -> list[shapes.Case]:
    """The cases of the suites that one of the patterns matches (all of them without a pattern)."""
    found = [case for case in (*shapes.CONV, *shapes.POOL) if case.suite in suites]
    if "random" in suites:
        found += random_shapes(count, seed)
    if "algorithms" in suites:
        found += [replace(case, suite="algorithms") for case in shapes.CONV if case.name in RIVALS]
    return shapes.matching(found, patterns)
