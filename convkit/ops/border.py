"""Convolutions whose padding repeats pixels of the image: the windows inside run on the image, the others on copies of strips.

`Boxes` has the functions of an algorithm (ops/engine.py) and runs other algorithms box by box.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from convkit.ops import check, engine
from convkit.plan import border
from convkit.plan import conv as plan

MODES = border.MODES


class Part(NamedTuple):
    """A box of outputs of some images, which is a convolution without padding of the pixels picked from them."""

    conv: plan.Conv
    outputs: tuple[slice, ...]                          # of y, with the images
    images: slice
    picks: tuple[slice | np.ndarray, ...]               # of x, along each spatial axis

    @property
    def copies(self) -> bool:
        return not all(isinstance(pick, slice) for pick in self.picks)


class Boxes:
    """A pass ("forward", "input", "filters") of `conv`, with the pad mode `mode`, by `algorithm`."""

    def __init__(self, conv: plan.Conv, which: str, mode: str, algorithm: str, itemsize: int, op: str):
        self.op = op
        self.parts = [
            (part, engine.module(part.conv, which, algorithm, itemsize, op)) for part in cut(conv, mode, itemsize, op)
        ]

    def forward(self, conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
        for part, runs in self.parts:
            images, added = pick(x[part.images], part.picks), None if residual is None else residual[part.outputs]
            engine.forward(runs, part.conv, images, packed, b, y[part.outputs], relu, threads, added)

    def grad_input(self, conv, dy, packed, dx, threads: int) -> None:
        dx[...] = 0
        for part, runs in self.parts:                   # the only one that does not copy is the first
            if part.copies:
                share = engine.grad_input(runs, part.conv, dy[part.outputs], packed, threads, self.op)
                fold(dx[part.images], part.picks, share)
            else:
                runs.grad_input(part.conv, dy[part.outputs], packed, pick(dx, part.picks), threads)

    def grad_filters(self, conv, dy, x, dw, threads: int) -> None:
        for part, runs in self.parts:
            images = pick(x[part.images], part.picks)
            dw += engine.grad_filters(runs, part.conv, dy[part.outputs], images, threads, self.op)


def cut(conv: plan.Conv, mode: str, itemsize: int, op: str) -> list[Part]:
    """The parts of a convolution, checked; the first is the inside of the image, where there is one."""
    check.planned(op, border.check, conv, mode)
    boxes = border.boxes(conv, itemsize) if conv.batch else ()
    return [part for box in boxes for part in parts(conv, box, mode, itemsize)]


def parts(conv: plan.Conv, box, mode: str, itemsize: int) -> Iterator[Part]:
    """A box of outputs, of as many images at a time as may be copied."""
    picks, strides, dilations = zip(*map(border.source, conv.axes[3 - conv.rank :], box, [mode] * conv.rank), strict=True)
    sizes = tuple(p.stop - p.start if isinstance(p, slice) else len(p) for p in picks)
    together = conv.batch
    if not all(isinstance(p, slice) for p in picks):
        together = max(1, border.COPIED // max(1, int(np.prod(sizes)) * conv.channels * itemsize))
    for start in range(0, conv.batch, together):
        images = slice(start, min(start + together, conv.batch))
        x_shape, none = (images.stop - start, *sizes, conv.channels), ((0, 0),) * conv.rank
        one = plan.conv(x_shape, conv.w_shape, strides, none, dilations, conv.groups)
        yield Part(one, (images, *(slice(*outputs) for outputs in box)), images, picks)


def pick(x: np.ndarray, picks) -> np.ndarray:
    """The pixels `picks` along each spatial axis: a view where they are slices."""
    along = [(slice(None),) * axis + (places,) for axis, places in enumerate(picks, 1)]
    for index in sorted(along, key=lambda index: isinstance(index[-1], np.ndarray)):    # views first: less to copy
        x = x[index]
    return x


def fold(x: np.ndarray, picks, shares: np.ndarray, axis: int = 1) -> None:
    """Adds `shares` to the pixels `picks`, some of them more than once: the adjoint of `pick`."""
    if axis > len(picks):
        x += shares
        return
    before, places = (slice(None),) * axis, picks[axis - 1]
    if isinstance(places, slice):
        fold(x[(*before, places)], picks, shares, axis + 1)
        return
    for start, stop, step in runs(places):
        lo, hi = sorted((int(places[start]), int(places[stop - 1])))
        share = shares[(*before, slice(start, stop))]
        share = share.sum(axis, keepdims=True) if step == 0 else np.flip(share, axis) if step < 0 else share
        fold(x[(*before, slice(lo, hi + 1, abs(step) or 1))], picks, share, axis + 1)


def runs(places: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Ranges of `places` with equal steps, which are one slice each: (start, stop, step)."""
    steps, start = np.diff(places), 0
    while start < len(places):
        changes = np.flatnonzero(steps[start + 1 :] != steps[start]) if start < len(steps) else ()
        stop = start + 2 + int(changes[0]) if len(changes) else len(places)
        yield start, stop, int(steps[start]) if start < len(steps) else 1
        start = stop
