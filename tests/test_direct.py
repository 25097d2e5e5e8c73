"""The direct algorithm where it takes ways of its own: pixels that are one line, sums of filters that are turned."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import Conv, each_dtype, numbers, op

from convkit import ops
from convkit._core import cpu
from convkit.plan import conv as plan
from convkit.plan import geometry

# Maps of more than two blocks, whose pixels are read as one line.
POINTWISE = [
    Conv((2, 17, 23, 9), 70, (1, 1), name="three panels"),
    Conv((1, 33, 32, 65), 24, (1, 1), name="a panel that is not full"),
    Conv((3, 1, 300, 12), 10, (1, 1), groups=2, name="groups"),
    Conv((1, 4, 25, 11, 5), 33, (1, 1, 1), name="3-D"),
    Conv((2, 601, 34), 3, (1,), name="1-D, few outputs"),
]
# With 1024 output pixels and more the outputs may lie in the vectors of the gradient of the filters.
TURNED = [
    Conv((2, 23, 24, 10), 34, (3, 3), padding=1, name="3x3"),
    Conv((1, 68, 77, 7), 16, (3, 2), stride=2, padding=1, name="stride 2"),
    Conv((1, 40, 27, 33), 16, (1, 1), name="more inputs than outputs"),
    Conv((2, 260, 3, 6), 32, (3, 1), dilation=(4, 1), padding=(2, 0), groups=2, name="groups, dilated down"),
    Conv((1, 9, 240, 5), 8, (2, 3), padding=1, name="lines of several chunks"),
    Conv((1, 6, 10, 20, 4), 8, (3, 3, 2), padding=1, name="3-D"),
]
CASES = POINTWISE + TURNED
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def arrays(case: Conv, dtype: str, integers: bool = False) -> tuple:
    """dy, x, w, b"""
    return tuple(numbers(shape, dtype, 5, integers) for shape in (case.y, case.x, case.w, (case.o,)))


def run(case: Conv, dy, x, w, b, **options) -> dict[str, np.ndarray]:
    how = {"algorithm": "direct", **case.how, **options}
    dx, dw, _ = op("conv", case, "_grad")(dy, x, w, needs=("x", "w"), **how)
    return {"y": op("conv", case)(x, w, b, **how), "dx": dx, "dw": dw}


def planned(case: Conv) -> plan.Conv:
    stride, dilation = (geometry.sizes(v, case.rank, "", "") for v in (case.stride, case.dilation))
    return plan.conv(case.x, case.w, stride, geometry.padding_of(case.padding, case.rank, ""), dilation, case.groups)


@each_dtype
@each_case
def test_it_is_the_definition(case, dtype, isa):
    for integers in (False, True):
        dy, x, w, b = given_arrays = arrays(case, dtype, integers)
        got = run(case, *given_arrays)
        want = dict(zip(("dx", "dw", "db"), reference.conv_grad(dy, x, w, **case.how), strict=True))
        size = dict(zip(("dx", "dw", "db"), reference.conv_grad(abs(dy), abs(x), abs(w), **case.how), strict=True))
        want["y"], size["y"] = reference.conv(x, w, b, **case.how), reference.conv(abs(x), abs(w), abs(b), **case.how)
        for key, value in got.items():
            if integers:
                assert_exact(value, want[key], dtype)
            else:
                assert_within_rounding(value, want[key], size[key], case.terms[key], dtype)


@each_case
def test_neither_threads_nor_strides_show_in_the_bits(case, isa):
    """Arrays whose pixels lie apart take tables of pointers, where neighbours are a line."""
    given_arrays = arrays(case, "float32")
    want = run(case, *given_arrays, threads=1)

    def lines_apart(a):
        wide = np.full((a.shape[0], *(n + 2 for n in a.shape[1:-1]), a.shape[-1] + 1), 9, a.dtype)
        view = wide[tuple(slice(n) for n in a.shape)]
        view[...] = a
        return view

    for threads in (2, 3, 7):
        for key, got in run(case, *given_arrays, threads=threads).items():
            assert_same_bits(got, want[key], f"{key}, {threads} threads")
    for key, got in run(case, *map(lines_apart, given_arrays[:2]), *given_arrays[2:]).items():
        assert_same_bits(got, want[key], f"{key} of arrays with gaps")


def test_the_cases_reach_both_ways_of_the_filters_gradient(isa):
    turned = [plan.turns(planned(case), cpu.tile(4)) for case in CASES]
    assert all(turned[len(POINTWISE) :])
    assert not all(turned)
    assert any(turned)


def test_blocks_are_nearly_equal_and_enough():
    tile = (16, 4, (0, 14, 12, 8, 6))
    for pixels in (1, 13, 49, 97, 196, 784, 3136, 12544):
        for taps, depth, cols in ((1, 64, 256), (9, 64, 64), (1, 2048, 512), (1, 1024, 256)):
            block, together = plan.tiling(pixels, taps, depth, cols, 1, tile, 4)
            blocks = -(-pixels // block)
            assert 1 <= together <= -(-cols // 64)
            assert 1 <= block <= plan.BLOCK
            assert blocks * block - pixels < blocks
    assert plan.tiling(49, 1, 2048, 512, 1, tile, 4) == (25, 1)


@each_dtype
@pytest.mark.parametrize("case", [(4, 3000, 130, 1), (7, 1500, 600, 2), (190, 513, 257, 1)], ids=str)
def test_large_filters_that_are_used_once_give_the_bits_of_packed_ones(case, dtype, isa, rng):
    pixels, channels, outputs, groups = case
    x, dy, added = (rng.standard_normal((1, pixels, n)).astype(dtype) for n in (channels, outputs, outputs))
    w, b = rng.standard_normal((outputs, 1, channels // groups)).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    packed = ops.pack_filters(w, groups=groups)
    for how in ({}, {"activation": "relu"}, {"residual": added}):
        want = ops.conv1d(x, packed, b, groups=groups, **how)
        for threads in (1, 2, 3, 7):
            np.testing.assert_array_equal(ops.conv1d(x, w, b, groups=groups, threads=threads, **how), want)
    want = ops.conv1d_grad(dy, x, packed, groups=groups, needs=("x",))[0]
    for threads in (1, 2, 3, 7):
        got = ops.conv1d_grad(dy, x, w, groups=groups, needs=("x",), threads=threads)[0]
        np.testing.assert_array_equal(got, want)
