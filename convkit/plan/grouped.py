"""The grouped algorithm: groups of 1 to 16 channels, several of them in a SIMD word; its tables for `_core/grouped.pyx`.

A task walks down a column of the target, `strip` pixels wide, for the channels of one word.
"""

from __future__ import annotations

from itertools import product
from math import ceil, gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convkit._core import cpu, grouped

if TYPE_CHECKING:
    from convkit.plan.conv import Conv, Pass, Phase

CHANNELS = range(1, 17)                                 # of a group
SPAN = 3                                                # most taps of a run, as CK_GROUP_SPAN
LINES, WIDTH, PIXELS = 64, 512, 4096                    # most that a row reads, as in _core/grouped.pyx
SUMS_STRIP = 56                                         # pixels of a strip in the gradient of the filters
TASKS = 64                                              # enough for the threads to finish together
LEAST_ROWS = 8                                          # of a task: its first lines are fetched for it alone


def refusal(conv: Conv, which: str) -> str | None:
    if conv.groups == 1:
        return "it is not grouped"
    each = conv.channels // conv.groups, conv.outputs // conv.groups
    if not all(n in CHANNELS for n in each) or each == (1, 1):
        return f"groups of {each[0]} to {each[1]} channels, wanted 1 to 16, and more than 1 on one side"
    return too_large(conv.input_pass if which == "input" else conv.output_pass)


def too_large(walk: Pass) -> str | None:
    """Why not, where a row reads too many lines or pixels."""
    if not len(walk.order):
        return None
    lines = most_taps(walk.walks[0]) * most_taps(walk.walks[1])
    width = len(columns(walk.walks[2], int(walk.source_step[2]), SUMS_STRIP)[0])
    return "its filters reach too far" if lines > LINES or width > WIDTH or lines * width > PIXELS else None


# To try it again: `convkit bench --suite algorithms --only grouped --what fwd,dx,dw`, `3x3 g32 128->128 @56 b1` and
# `3x3 g32 512->512 @14 b1`.
def pays(conv: Conv, which: str, itemsize: int) -> bool:
    """Measured against direct on 3x3 layers of 28x28 pixels: only a word that is partly empty loses, in the filter gradient.

    Groups of one channel are those that `depthwise` left: its rivals are direct and itself.
    """
    return which != "filters" or conv.outputs // conv.groups in (*range(2, 9), 16) or conv.groups == conv.channels


class Tables(NamedTuple):
    """What `_core/grouped.pyx` reads. A row of `phases` is: first tap, taps, pixels, first target pixel.

    columns   (P,) source pixel of each pixel of a line, from that of the strip's first target pixel
    runs      (n, 2) first pixel and span of each run of taps, phase after phase
    rows      (n,) target rows of a phase, those that share lines one after the other
    planes    (n, 3) target plane, its phase, its pixel in the phase
    places    (phases d, h, w) taps before those of a combination in the packed filters
    entries   (T, 3) filter tap, place of its first word over the depth, words from channel to channel
    """

    columns: np.ndarray
    runs: np.ndarray
    rows: np.ndarray
    planes: np.ndarray
    d: np.ndarray
    h: np.ndarray
    w: np.ndarray
    d_offsets: np.ndarray
    h_offsets: np.ndarray
    places: np.ndarray
    entries: np.ndarray


def schedule(walk: Pass, itemsize: int, sums: bool) -> grouped.Schedule:
    """The pass cut into tasks, for the ISA in use; `sums` is for the gradient of the filters."""
    key = "grouped", cpu.isa(), itemsize, sums
    if key not in walk.schedules:
        conv, (vector, _, heights) = walk.conv, cpu.tile(itemsize)
        pixels = max(phase.pixels for phase in walk.walks[2])
        strips = ceil(pixels / (SUMS_STRIP if sums else heights[1]))
        strip = ceil(pixels / strips)
        together = max(1, min(vector // walk.depth, vector // walk.cols))
        words = ceil(conv.groups / together) * (1 if together > 1 else ceil(walk.cols / vector))
        made = tables(walk, strip)
        around = conv.batch * len(made.planes) * strips
        parts = max(1, min(TASKS // max(1, words * (1 if sums else around)), len(made.rows) // LEAST_ROWS))
        geometry = {
            "groups": conv.groups, "depth": walk.depth, "cols": walk.cols, "together": together, "words": words,
            "images": conv.batch, "strip": strip, "strips": strips, "pixels": pixels,
            "row_chunk": ceil(len(made.rows) / parts), "row_step": row_step(walk), "taps": len(walk.order),
        }  # fmt: skip
        chunks = max(1, min(TASKS // words, around * parts))
        walk.schedules[key] = grouped.Schedule(
            geometry, tuple(made), walk.source_step, walk.target_step, np.array(walk.source, np.intp),
            lanes(vector, walk.depth, walk.cols, together), chunks, itemsize,
        )  # fmt: skip
    return walk.schedules[key]


def lanes(vector: int, depth: int, cols: int, together: int) -> np.ndarray:
    """(depth, vector) the element of a source word that each element of a target word reads for channel k of its group."""
    group = np.minimum(np.arange(vector) // cols, together - 1)
    return (group * depth + np.arange(depth)[:, None]).astype(np.int32)


def most_taps(axis: list[Phase]) -> int:
    return max(len(phase.taps) for phase in axis)


def row_step(walk: Pass) -> int:
    """The least step between the lines that a target row reads."""
    offsets = [offset for phase in walk.walks[1] for _, offset in phase.taps]
    return gcd(*(offset - offsets[0] for offset in offsets)) or 1


def columns(axis: list[Phase], step: int, strip: int) -> tuple[list[int], dict[int, int]]:
    """The source pixels of a line, and the place of each tap offset: target pixel r of the strip reads place + r.

    Pixels that lie `step` apart are neighbours in the line, so a strided tap reads neighbours too.
    """
    pixels, places, start, last = [], {}, 0, None
    for offset in sorted({o for phase in axis for _, o in phase.taps}, key=lambda o: (o % step, o)):
        if last is None or (offset - last) % step or (offset - last) // step > strip:
            start, missing = len(pixels), strip
        else:
            start, missing = start + (offset - last) // step, (offset - last) // step
        pixels += [offset + i * step for i in range(strip - missing, strip)]
        places[offset], last = start, offset
    return pixels, places


def runs_of(phase: Phase, places: dict[int, int]) -> list[tuple[int, list[int]]]:
    """Neighbouring taps together, at most SPAN: place of the first, and the filter taps."""
    result = []
    for tap, place in sorted(((tap, places[offset]) for tap, offset in phase.taps), key=lambda item: item[1]):
        if result and place == result[-1][0] + len(result[-1][1]) and len(result[-1][1]) < SPAN:
            result[-1][1].append(tap)
        else:
            result.append((place, [tap]))
    return result


def tables(walk: Pass, strip: int) -> Tables:
    pixels, places = columns(walk.walks[2], int(walk.source_step[2]), strip)
    runs = [runs_of(phase, places) for phase in walk.walks[2]]
    before, entries = entries_of(walk, runs)
    height, jump = max(phase.pixels for phase in walk.walks[1]), row_step(walk)
    jump //= gcd(jump, int(walk.source_step[1]))
    planes = [
        (phase.first + j * int(walk.target_step[0]), i, j) for i, phase in enumerate(walk.walks[0]) for j in range(phase.pixels)
    ]
    return Tables(
        array(pixels),
        array([(place, len(taps)) for each in runs for place, taps in each]),
        array([j for first in range(min(jump, height)) for j in range(first, height, jump)]),
        array(planes),
        phases([len(phase.taps) for phase in walk.walks[0]], walk.walks[0]),
        phases([len(phase.taps) for phase in walk.walks[1]], walk.walks[1]),
        phases([len(each) for each in runs], walk.walks[2]),
        array([offset for phase in walk.walks[0] for _, offset in phase.taps]),
        array([offset for phase in walk.walks[1] for _, offset in phase.taps]),
        before,
        entries,
    )


def entries_of(walk: Pass, runs: list) -> tuple[np.ndarray, np.ndarray]:
    """`places` and `entries` of the tables: filters lie by phases, lines of taps, runs, depth, taps."""
    _, kh, kw = (a.kernel for a in walk.conv.axes)
    before, entries = np.zeros([len(axis) for axis in walk.walks], np.intp), []
    for at in product(*(range(len(axis)) for axis in walk.walks)):
        before[at] = len(entries)
        lines = product(*(walk.walks[i][at[i]].taps for i in (0, 1)))
        for ((d, _), (h, _)), (_, taps) in product(lines, runs[at[2]]):
            place = len(entries) * walk.depth
            entries += [((d * kh + h) * kw + tap, place + i, len(taps)) for i, tap in enumerate(taps)]
    return before, array(entries)


def phases(counts: list[int], axis: list[Phase]) -> np.ndarray:
    firsts = np.cumsum([0, *counts[:-1]])
    return array([(first, n, phase.pixels, phase.first) for first, n, phase in zip(firsts, counts, axis, strict=True)])


def array(values: list) -> np.ndarray:
    return np.array(values, np.intp)

