"""Named shapes, each a small frozen dataclass, and the data that goes with them. Shapes are channels last throughout."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import hypothesis
import numpy as np
import pytest
import reference

import convkit

LAST = {1: "NLC", 2: "NHWC", 3: "NDHWC"}
FIRST = {1: "NCL", 2: "NCHW", 3: "NCDHW"}
EDGES = (7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 97)  # around the multiples of every tile size


class _Case:
    """A one-line repr without the defaults, so that a failure can be pasted into a command line."""

    def __repr__(self) -> str:
        shown = [f for f in fields(self) if f.compare and getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    @property
    def rank(self) -> int:
        return len(self.x) - 2

    def layouts(self) -> tuple[str, str]:
        return LAST[self.rank], FIRST[self.rank]


@dataclass(frozen=True, repr=False)
class Conv(_Case):
    """x (N, *size, C), o filters of size k."""

    x: tuple
    o: int
    k: tuple
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    name: str = field(default="", compare=False)

    @property
    def w(self) -> tuple:
        return (self.o, *self.k, self.x[-1] // self.groups)

    @property
    def how(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def axes(self) -> list[tuple]:
        """(size, kernel, stride, (before, after), dilation, outputs) of each axis."""
        size, (stride, dilation) = self.x[1:-1], (reference.per_axis(v, self.rank) for v in (self.stride, self.dilation))
        pad = reference.pads(self.padding, size, self.k, self.stride, self.dilation)
        outputs = reference.output_size(size, self.k, stride, pad, dilation)
        return list(zip(size, self.k, stride, pad, dilation, outputs, strict=True))

    @property
    def y(self) -> tuple:
        return (self.x[0], *(axis[-1] for axis in self.axes), self.o)

    @property
    def terms(self) -> dict[str, int]:
        """The largest number of roundings behind one element of each result; the forward pass also adds a bias."""
        pixels, taps = int(np.prod(self.y[:-1])), int(np.prod(self.k))
        return {"y": taps * self.w[-1] + 1, "dx": taps * self.o // max(self.groups, 1), "dw": pixels, "db": pixels}

    def reached(self) -> float:
        """The share of the outputs whose window holds at least one element of x."""
        share = 1.0
        for n, k, s, (lo, _), d, outputs in self.axes:
            share *= sum(any(0 <= p * s + t * d - lo < n for t in range(k)) for p in range(outputs)) / max(outputs, 1)
        return share


@dataclass(frozen=True, repr=False)
class Pool(_Case):
    """x (N, *size, C), windows of size k; dilation is for max pooling, include (count_include_pad) for average pooling."""

    x: tuple
    k: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    include: bool = True
    name: str = field(default="", compare=False)

    @property
    def max_how(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "ceil_mode": self.ceil_mode}

    @property
    def avg_how(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "ceil_mode": self.ceil_mode, "count_include_pad": self.include}

    @property
    def kernel(self) -> tuple:
        return reference.per_axis(self.k, self.rank)

    @property
    def taps(self) -> int:
        return int(np.prod(self.kernel))

    @property
    def pairs(self) -> tuple:
        return reference.pads(self.padding, self.x[1:-1], self.kernel, self.stride or self.kernel, self.dilation)

    @property
    def y(self) -> tuple:
        stride = self.kernel if self.stride is None else reference.per_axis(self.stride, self.rank)
        dilation = reference.per_axis(self.dilation, self.rank)
        size = reference.output_size(self.x[1:-1], self.kernel, stride, self.pairs, dilation, self.ceil_mode)
        return (self.x[0], *size, self.x[-1])


def numbers(shape: tuple, dtype: Any, seed: int, integers: bool = False) -> np.ndarray:
    """Normal numbers, or non-zero integers from -2 to 4, mostly positive so that short sums seldom cancel."""
    rng = np.random.default_rng([seed, *shape])
    if integers:
        return (rng.integers(1, 3, shape) * rng.choice([-1, 1, 1, 2], shape)).astype(dtype)
    return rng.standard_normal(shape, dtype=dtype)


def to_layout(a: np.ndarray, layout: str) -> np.ndarray:
    """A channels-last array of images or filters as a contiguous one with the axes of `layout`."""
    return np.ascontiguousarray(np.moveaxis(a, -1, 1)) if layout[1] == "C" else a


def from_layout(a: np.ndarray, layout: str) -> np.ndarray:
    """The channels-last view of an array in `layout`."""
    return np.moveaxis(a, 1, -1) if layout[1] == "C" else a


def op(kind: str, case: _Case, suffix: str = "") -> Callable:
    """The public function for a case: op("conv", case, "_grad") is convkit.conv2d_grad for a case with two spatial axes."""
    return getattr(convkit, f"{kind}{case.rank}d{suffix}")


def reproducible(check: Callable) -> Callable:
    """Make a failing check print the command that repeats it alone."""
    @functools.wraps(check)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            check(*args, **kwargs)
        except Exception:
            call = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
            line = (f"CONVKIT_ISA={convkit.isa()} PYTHONPATH=tests python -c "
                    f"\"from {check.__module__} import *; {check.__name__}({call})\"")
            if hypothesis.currently_in_test_context():
                hypothesis.note(line)  # only the smallest failure is printed
            else:
                print("reproduce:", line)
            raise
    return run


def examples(usual: int) -> int:
    """How many random configurations a test draws; CONVKIT_EXAMPLES multiplies all of them."""
    return int(usual * float(os.environ.get("CONVKIT_EXAMPLES", "1")))


# --- convolutions ---------------------------------------------------------------------------------------------------------

CONVS = [
    *(Conv((2, 4, 5, 3), n, (3, 3), padding=1, name=f"{n} output channels") for n in EDGES),
    *(Conv((2, 3, 4, n), 5, (2, 3), padding=1, name=f"{n} input channels") for n in EDGES),
    *(Conv((1, 2, n, 2), 9, (1, 3), padding=(0, 1), name=f"width {n}") for n in EDGES),
    *(Conv((1, 3, n, n), n, (1, 1), name=f"1x1 filters, everything {n}") for n in (8, 17, 33)),
    *(Conv((n, 1, 1, 24), 40, (1, 1), name=f"a dense layer, batch {n}") for n in (1, 6, 31)),
    Conv((1, 1, 1, 1), 1, (1, 1), name="everything of size 1"),
    Conv((1, 1, 1, 5), 3, (3, 3), padding=1, name="one pixel under a 3x3 filter"),
    Conv((5, 4, 4, 3), 4, (4, 4), name="a filter as large as the image"),
    Conv((2, 9, 8, 3), 7, (2, 2), stride=3, name="stride over kernel"),
    Conv((2, 10, 9, 4), 6, (1, 1), stride=(3, 4), name="1x1 filters, stride 3 by 4"),
    Conv((3, 9, 9, 4), 8, (1, 1), stride=2, name="1x1 filters, stride 2, 4 input channels"),
    Conv((2, 11, 12, 6), 5, (3, 3), stride=2, padding=1, name="3x3 filters, stride 2"),
    Conv((2, 11, 10, 3), 9, (3, 2), dilation=(2, 3), name="dilation 2 by 3"),
    Conv((1, 13, 12, 4), 10, (3, 3), stride=2, padding="same", dilation=2, name="stride 2 with dilation 2"),
    Conv((2, 6, 7, 3), 5, (3, 3), padding=((0, 2), (1, 0)), name="a different padding on each side"),
    Conv((2, 7, 6, 4), 8, (3, 5), padding="full", name="full padding"),
    Conv((2, 7, 6, 4), 8, (3, 5), padding="valid", name="valid padding"),
    Conv((1, 10, 11, 3), 5, (2, 4), padding="same", dilation=3, name="same padding, even kernels, dilation 3"),
    Conv((1, 10, 11, 3), 5, (2, 4), padding="same", stride=(3, 2), name="same padding, even kernels, strides"),
    Conv((2, 5, 5, 6), 7, (9, 9), padding=4, name="a filter larger than the image"),
    Conv((1, 3, 4, 2), 5, (7, 11), padding="same", name="7x11 filters on 3x4"),
    Conv((2, 1, 6, 5), 4, (125, 3), padding=(63, 1), name="kernel 125 on height 1 with padding 63"),
    Conv((2, 3, 3, 4), 6, (2, 2), padding=3, stride=2, name="padding beyond the filter"),
    Conv((2, 6, 6, 4), 6, (3, 3), groups=2, padding=1, name="2 groups"),
    Conv((2, 6, 5, 51), 33, (3, 2), groups=3, padding=1, stride=2, name="3 groups of 17 to 11 channels"),
    *(Conv((2, 6, 7, n), n, (3, 3), groups=n, padding=1, name=f"depthwise, {n} channels") for n in (1, 5, 8, 16, 17, 40)),
    Conv((2, 7, 6, 9), 18, (3, 3), groups=9, padding=1, stride=2, name="depthwise, multiplier 2"),
    Conv((1, 9, 9, 6), 6, (3, 3), groups=6, dilation=2, padding=2, name="depthwise, dilation 2"),
    Conv((2, 12, 14, 1), 32, (3, 3), padding=1, name="first layer, 1 channel, 3x3"),
    Conv((1, 17, 16, 3), 20, (3, 3), stride=2, padding=1, name="first layer, 3 channels, 3x3 stride 2"),
    Conv((1, 23, 21, 3), 33, (7, 7), stride=2, padding=3, name="first layer, 3 channels, 7x7 stride 2"),
    Conv((1, 27, 31, 3), 17, (11, 11), stride=4, padding=2, name="first layer, 3 channels, 11x11 stride 4"),
    Conv((1, 14, 15, 2), 8, (5, 5), padding=2, name="first layer, 2 channels, 5x5"),
    Conv((1, 16, 13, 4), 12, (4, 4), stride=4, name="first layer, 4 channels, 4x4 patches"),
    Conv((3, 1, 1), 2, (1,), name="1-D, one sample"),
    Conv((2, 50, 3), 17, (5,), padding=2, name="1-D, 5 taps"),
    Conv((1, 61, 7), 6, (9,), stride=4, padding=((3, 5),), dilation=2, name="1-D, stride 4, dilation 2, uneven padding"),
    Conv((2, 33, 8), 8, (3,), groups=8, padding="same", name="1-D, depthwise"),
    Conv((1, 5, 6, 7, 3), 9, (3, 3, 3), padding=1, name="3-D, 3x3x3"),
    Conv((2, 4, 7, 5, 4), 6, (2, 3, 1), stride=(1, 2, 3), padding=(1, 0, 0), name="3-D, mixed strides"),
    Conv((1, 5, 4, 6, 6), 4, (2, 2, 2), groups=2, dilation=(2, 1, 3), padding="same", name="3-D, groups, dilation"),
]

EMPTY_CONVS = [
    Conv((0, 6, 7, 4), 5, (3, 3), padding=1, name="no images"),
    Conv((0, 9, 3), 4, (3,), name="no sequences"),
    Conv((2, 6, 6, 0), 4, (3, 3), padding=1, name="no input channels"),
    Conv((2, 6, 6, 4), 0, (3, 3), padding=1, name="no output channels"),
    Conv((2, 0, 8, 3), 4, (3, 3), padding=2, name="no rows, but padding"),
    Conv((1, 4, 0, 3, 2), 3, (1, 1, 1), padding=(0, 1, 0), stride=1, name="3-D, no rows, but padding"),
]

# --- pooling --------------------------------------------------------------------------------------------------------------

POOLS = [
    *(Pool((2, 5, 6, n), 2, name=f"{n} channels") for n in EDGES),
    *(Pool((1, 3, n, 5), (2, 3), stride=1, padding=1, name=f"width {n}") for n in EDGES),
    Pool((1, 1, 1, 1), 1, name="everything of size 1"),
    Pool((2, 8, 8, 3), 2, name="2x2"),
    Pool((2, 9, 8, 5), 3, stride=2, padding=1, name="3x3, stride 2, padding 1"),
    Pool((1, 9, 10, 4), 3, stride=1, padding=1, name="3x3, overlapping"),
    Pool((1, 7, 7, 17), 7, name="the whole image"),
    Pool((2, 6, 7, 18), (3, 7), stride=1, name="one window along a row"),
    Pool((1, 5, 9, 5), (2, 6), stride=(2, 9), padding=(0, 2), include=False, name="one window that leaves pixels out"),
    Pool((2, 9, 9, 3), 2, stride=3, name="stride over kernel"),
    Pool((3, 11, 1), 2, stride=3, name="1-D, stride over kernel, rows in pieces"),
    Pool((3, 15, 19, 7), (1, 3), stride=(12, 6), name="stride over kernel, rows in pieces"),
    Pool((2, 7, 8, 3), 1, stride=2, name="kernel 1, stride 2"),
    Pool((2, 6, 8, 3), 1, stride=2, ceil_mode=True, name="kernel 1, stride 2, ceil"),
    Pool((2, 6, 7, 9), (3, 2), stride=2, ceil_mode=True, name="ceil, uneven"),
    Pool((1, 5, 6, 4), 3, stride=3, padding=1, ceil_mode=True, name="ceil, a window that starts in the padding is dropped"),
    Pool((1, 4, 4, 4), 3, stride=2, padding=(1, 0), ceil_mode=True, name="ceil, padding on one axis"),
    Pool((1, 6, 6, 4), 3, stride=2, padding=1, ceil_mode=True, include=False, name="ceil, padding not counted"),
    Pool((2, 6, 7, 4), 3, stride=2, padding=1, include=False, name="padding not counted"),
    Pool((2, 5, 6, 8), 3, padding=2, name="padding over half the kernel"),
    Pool((2, 5, 6, 8), 3, padding=2, include=False, name="padding over half the kernel, not counted"),
    Pool((2, 10, 11, 5), (2, 3), stride=1, dilation=(3, 2), name="dilation 3 by 2"),
    Pool((1, 9, 8, 33), 3, stride=2, padding=2, dilation=2, ceil_mode=True, name="dilation 2, padding 2, ceil"),
    Pool((1, 3, 3, 20), (5, 3), stride=1, padding=(2, 1), name="a kernel larger than the image"),
    Pool((2, 21, 6), 4, stride=3, padding=2, name="1-D"),
    Pool((1, 17, 3), 3, stride=2, padding=1, dilation=2, ceil_mode=True, name="1-D, dilation 2, ceil"),
    Pool((1, 5, 6, 7, 9), 2, name="3-D"),
    Pool((2, 4, 5, 6, 3), (2, 3, 1), stride=(1, 2, 2), padding=(1, 1, 0), ceil_mode=True, name="3-D, mixed"),
    Pool((1, 4, 5, 3, 3), 3, stride=2, padding=1, include=False, name="3-D, padding not counted"),
]

EMPTY_POOLS = [
    Pool((0, 6, 6, 3), 2, name="no images"),
    Pool((2, 6, 6, 0), 2, name="no channels"),
]

each_conv = pytest.mark.parametrize("case", CONVS, ids=lambda c: c.name)
each_empty_conv = pytest.mark.parametrize("case", EMPTY_CONVS, ids=lambda c: c.name)
each_pool = pytest.mark.parametrize("case", POOLS, ids=lambda c: c.name)
each_empty_pool = pytest.mark.parametrize("case", EMPTY_POOLS, ids=lambda c: c.name)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
