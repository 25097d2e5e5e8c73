"""Padding with pixels of the image: which pixels the padding repeats, and how a convolution is cut so that few are copied.

Most windows lie inside the image and read it where it is. The others form frames along its borders; each frame is cut into
boxes of outputs whose pixels, copied, take little memory whatever the size of the image.
"""

from __future__ import annotations

from math import prod

import numpy as np

from convkit.plan import conv as plan
from convkit.plan.geometry import AXES, Axis, effective

MODES = ("constant", "edge", "reflect", "symmetric", "wrap")    # as np.pad names them
COPIED = 1 << 22                                        # most bytes of the pixels that one box copies

Range = tuple[int, int]                                 # of outputs along one axis


def check(conv: plan.Conv, mode: str) -> None:
    """Refuses padding that the image has no pixels for."""
    for name, a in zip(AXES[conv.rank], conv.axes[3 - conv.rank :], strict=True):
        most = {"edge": a.lo + a.hi if a.size else 0, "reflect": max(a.size - 1, 0)}.get(mode, a.size)
        if max(a.lo, a.hi) > most:
            raise ValueError(f"padding along {name} must be from 0 to {most} for pad_mode={mode!r} and {a.size} pixels, "
                             f"got {max(a.lo, a.hi)}")  # fmt: skip


def pixels(places: np.ndarray, size: int, mode: str) -> np.ndarray:
    """The pixels that stand at `places` of an axis, some of them before the first or after the last one."""
    if mode == "edge":
        return places.clip(0, size - 1)
    if mode == "wrap":
        return places % size
    period = max(2 * (size - 1), 1) if mode == "reflect" else 2 * size
    places = places % period                            # there and back again
    return np.minimum(places, period - places - (mode == "symmetric"))


def inside(a: Axis) -> Range:
    """The outputs whose windows lie inside the image."""
    start = min(-(-a.lo // a.stride), a.out)
    return start, max(start, min(a.out, (a.size + a.lo - effective(a.kernel, a.dilation)) // a.stride + 1))


def boxes(conv: plan.Conv, itemsize: int) -> list[tuple[Range, ...]]:
    """All outputs, each in one box: those that read the image where it is, then along each axis those that do not."""
    axes = conv.axes[3 - conv.rank :]
    middle, result = [inside(a) for a in axes], []
    if all(start < stop for start, stop in middle):
        result.append(tuple(middle))
    for i, a in enumerate(axes):
        start, stop = middle[i]
        frames = [(0, start), (stop, a.out)] if start < stop else [(0, a.out)]
        for frame in frames:
            box = (*middle[:i], frame, *((0, b.out) for b in axes[i + 1 :]))
            result += halves(box, axes, conv.channels * itemsize)
        if start == stop:                               # nothing is left between the frames
            break
    return result


def halves(box: tuple[Range, ...], axes: tuple[Axis, ...], pixel: int) -> list[tuple[Range, ...]]:
    """`box`, cut in two until its pixels are few enough to copy."""
    counts = [stop - start for start, stop in box]
    if 0 in counts:
        return []
    longest = max(range(len(box)), key=lambda i: counts[i])
    if counts[longest] == 1 or prod(map(length, axes, counts)) * pixel <= COPIED:
        return [box]
    start, stop = box[longest]
    cut = (start + stop) // 2
    parts = ((*box[:longest], part, *box[longest + 1 :]) for part in ((start, cut), (cut, stop)))
    return [piece for part in parts for piece in halves(part, axes, pixel)]


def length(a: Axis, count: int) -> int:
    """Pixels that `count` neighbouring windows read: all in between, or only theirs where that is less."""
    return min((count - 1) * a.stride + effective(a.kernel, a.dilation), count * a.kernel)


def source(a: Axis, outputs: Range, mode: str) -> tuple[slice | np.ndarray, int, int]:
    """The pixels that a range of outputs reads, and the stride and dilation with which it reads them."""
    start, stop = outputs
    first, count = start * a.stride - a.lo, stop - start
    total = (count - 1) * a.stride + effective(a.kernel, a.dilation)
    if first >= 0 and first + total <= a.size:
        return slice(first, first + total), a.stride, a.dilation
    if length(a, count) == total:
        return pixels(np.arange(first, first + total), a.size, mode), a.stride, a.dilation
    windows = first + np.arange(count)[:, None] * a.stride + np.arange(a.kernel) * a.dilation
    return pixels(windows.ravel(), a.size, mode), a.kernel, 1
