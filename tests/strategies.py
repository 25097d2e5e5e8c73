"""Random configurations for hypothesis: every rank, stride, dilation, form of padding, groups; small enough for the definition.

They shrink towards one axis, size 1, no options. `busy_convs` are larger, so that several threads really take part.
"""

from __future__ import annotations

from math import prod
from typing import Any

import reference
from cases import Conv, Pool
from hypothesis import strategies as st

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33)
SIZES = {1: 40, 2: 10, 3: 5}  # the largest side for each rank
KERNELS = {1: 9, 2: 5, 3: 3}
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64"])
threads = st.sampled_from([1, 2])


def axes(values: st.SearchStrategy, rank: int) -> st.SearchStrategy:
    """One value for all axes, or a tuple."""
    return values | st.tuples(*[values] * rank)


@st.composite
def _paddings(draw: Any, kernel: tuple, dilation: Any, named: bool = True) -> Any:
    """An int, a tuple, pairs, or a name; mostly less than the effective kernel."""
    reach = [(k - 1) * d for k, d in zip(kernel, reference.per_axis(dilation, len(kernel)), strict=True)]
    kind = draw(st.sampled_from(["zero", "int", "tuple", "pairs"] + ["valid", "same", "full"] * named))
    if kind in ("valid", "same", "full"):
        return kind
    if kind == "int":
        return draw(st.integers(0, max(min(reach), 1 if named else 0)))
    if kind == "tuple":
        return tuple(draw(st.integers(0, r)) for r in reach)
    if kind == "pairs":
        return tuple((draw(st.integers(0, r)), draw(st.integers(0, r))) for r in reach)
    return 0


@st.composite
def convs(draw: Any, ranks: tuple = (1, 2, 3)) -> Conv:
    """A valid convolution of which at least half of the outputs read some of x."""
    rank = draw(st.sampled_from(ranks))
    kernel = tuple(draw(st.integers(1, KERNELS[rank])) for _ in range(rank))
    stride, dilation = draw(axes(st.integers(1, 4), rank)), draw(axes(st.integers(1, 3), rank))
    padding = draw(_paddings(kernel, dilation))
    size = tuple(draw(st.integers(1, SIZES[rank])) for _ in range(rank))
    groups = draw(st.sampled_from([1, 1, 1, 1, 2, 3, 5, 8]))
    depth = draw(st.sampled_from(CHANNELS if groups == 1 else (1, 1, 2, 3, 4, 8)))
    outputs = draw(st.sampled_from(CHANNELS if groups == 1 else (1, 1, 2, 3, 4, 8, 9)))
    batch = draw(st.integers(1, 3))
    case = Conv((batch, *size, groups * depth), groups * outputs, kernel, stride, padding, dilation, groups)
    return _roomy(case)


def _roomy(case: Conv) -> Conv:
    """The same with each axis large enough for one window, and for padding to reach no more than half of the windows."""
    size = tuple(max(n, (k - 1) * d + 1 - lo - hi) for n, k, _, (lo, hi), d, _ in case.axes)
    case = Conv((case.x[0], *size, case.x[-1]), case.o, case.k, case.stride, case.padding, case.dilation, case.groups)
    while case.reached() < 0.5:
        grown = tuple(n + 1 for n in case.x[1:-1])
        case = Conv((case.x[0], *grown, case.x[-1]), case.o, case.k, case.stride, case.padding, case.dilation, case.groups)
    return case


@st.composite
def busy_convs(draw: Any) -> Conv:
    """From 0.6 to some tens of millions of multiply-adds: enough work for several threads."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    kernel = tuple(draw(st.integers(1, {1: 9, 2: 4, 3: 2}[rank])) for _ in range(rank))
    stride, dilation = draw(axes(st.integers(1, 2), rank)), draw(axes(st.integers(1, 2), rank))
    padding = draw(_paddings(kernel, dilation))
    size = tuple(draw(st.integers(*{1: (100, 400), 2: (10, 30), 3: (5, 9)}[rank])) for _ in range(rank))
    groups = draw(st.sampled_from([1, 1, 1, 2, 4, 16]))
    depth = draw(st.integers(1, 48 // groups)) if groups > 1 else draw(st.integers(1, 70))
    outputs = draw(st.integers(1, 48 // groups)) if groups > 1 else draw(st.integers(16, 70))
    one = _roomy(Conv((1, *size, groups * depth), groups * outputs, kernel, stride, padding, dilation, groups))
    work = prod(one.y) * prod(kernel) * depth
    batch = draw(st.integers(1, 4)) + 6 * 10**5 // work
    return Conv((batch, *one.x[1:]), one.o, one.k, one.stride, one.padding, one.dilation, one.groups)


@st.composite
def convs_for(draw: Any, name: str) -> Conv:
    """A convolution that the algorithm `name` can run in some pass, small or large."""
    case = draw(convs() | busy_convs())
    channels, o, k, stride, dilation, groups = case.x[-1], case.o, case.k, case.stride, case.dilation, case.groups
    if name == "depthwise":
        groups = channels = draw(st.integers(2, 40))
        o = channels * draw(st.sampled_from([1, 1, 2, 3]))
    elif name == "grouped":
        groups = draw(st.integers(2, 9))
        channels, o = (groups * draw(st.integers(2, 16)) for _ in range(2))
    elif name == "first":
        groups, channels, o = 1, draw(st.integers(1, 8)), draw(st.integers(1, 70))
    elif name == "few":
        groups, channels, o, stride, dilation = 1, draw(st.integers(1, 70)), draw(st.integers(1, 8)), 1, 1
    elif name in ("winograd", "winograd2"):
        stride, longest = 1, 3 if name == "winograd2" else 5
        k = (*(draw(st.sampled_from([1, 3, longest])) for _ in k[1:]), draw(st.sampled_from([3, longest])))
    elif name == "fft":
        stride = dilation = 1
    one = _roomy(Conv((1, *case.x[1:-1], channels), o, k, stride, case.padding, dilation, groups))
    work = prod(one.y) * prod(k) * channels // groups
    batch = draw(st.integers(1, 4)) + min(draw(st.sampled_from([0, 6 * 10**5])) // work, 300)
    return Conv((batch, *one.x[1:]), o, k, stride, case.padding, dilation, groups)


@st.composite
def pools(draw: Any, dilated: bool = True, ranks: tuple = (1, 2, 3)) -> Pool:
    """A valid pooling."""
    rank = draw(st.sampled_from(ranks))
    kernel = draw(axes(st.integers(1, 4), rank))
    kernels = reference.per_axis(kernel, rank)
    dilation = draw(axes(st.integers(1, 3), rank)) if dilated else 1
    dilations = reference.per_axis(dilation, rank)
    stride = draw(st.none() | axes(st.integers(1, 4), rank))
    padding = draw(_paddings(kernels, dilation, named=False))
    pairs = Pool((1, *kernels, 1), kernel, padding=padding).pairs
    size = tuple(max(draw(st.integers(1, SIZES[rank])), (k - 1) * d + 1 - lo - hi)
                 for k, d, (lo, hi) in zip(kernels, dilations, pairs, strict=True))
    channels, batch = draw(st.sampled_from(CHANNELS)), draw(st.integers(1, 3))
    return Pool((batch, *size, channels), kernel, stride, padding, dilation, draw(st.booleans()), draw(st.booleans()))
