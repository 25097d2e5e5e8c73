"""Layers with few channels by the algorithms made for them, each forced by name and held to the definition."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import Conv, each_dtype, examples, numbers, op, reproducible
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import convkit
from convkit.plan import choose, geometry
from convkit.plan import conv as plan

# Few input channels: "first" runs all three passes.
FIRST = [
    Conv((2, 9, 11, 1), 32, (3, 3), padding=1, name="one channel"),
    Conv((3, 28, 28, 1), 9, (3, 3), padding=1, name="lines that share a task"),
    Conv((1, 23, 21, 3), 65, (7, 7), stride=2, padding=3, name="7x7, stride 2"),
    Conv((1, 10, 237, 3), 17, (3, 3), padding=1, name="lines in pieces"),
    Conv((1, 9, 301, 2), 8, (3, 4), stride=(1, 3), padding=(0, 2), name="pieces, stride 3"),
    Conv((1, 17, 16, 4), 33, (4, 4), stride=4, name="patches"),
    Conv((2, 13, 15, 3), 16, (5, 3), stride=(3, 1), dilation=(2, 1), padding=(4, 0), name="dilated down, stride 3"),
    Conv((2, 12, 11, 2), 10, (3, 2), dilation=(4, 1), padding=((1, 6), (3, 0)), name="dilation 4 down, uneven padding"),
    Conv((1, 8, 7, 3), 12, (2, 5), stride=(5, 2), padding=(3, 4), name="stride beyond the filter down"),
    Conv((2, 1300, 1), 24, (80,), stride=4, padding=38, name="1-D, 80 taps"),
    Conv((2, 700, 2), 8, (2,), stride=2, name="1-D, windows that do not overlap"),
    Conv((1, 6, 7, 40, 3), 18, (3, 3, 3), padding=1, name="3-D"),
    Conv((2, 7, 6, 9, 2), 8, (2, 3, 3), stride=(2, 1, 3), padding=(1, 0, 2), dilation=(1, 2, 1), name="3-D, mixed"),
    Conv((2, 1, 1, 4), 20, (3, 3), padding=1, name="one pixel"),
    Conv((2, 3, 3, 3), 8, (2, 3), padding=3, stride=2, name="padding beyond the filter"),
    Conv((1, 4, 6, 6), 5, (3, 3), padding=1, name="6 channels"),
    Conv((2, 9, 8, 1), 20, (3, 1), padding=(1, 0), name="a row of one number"),
    Conv((2, 9, 8, 2), 50, (3, 1), padding=(2, 0), name="a row of two numbers"),
    Conv((1, 30, 1), 70, (4,), padding=1, name="a row of four numbers"),
    Conv((2, 7, 8, 5), 18, (2, 1), name="a row of five numbers"),
    Conv((1, 11, 10, 12), 20, (5, 5), padding=2, name="12 channels"),
]

# Few outputs, stride 1: "few" runs the forward pass and the gradient of the input.
FEW = [
    Conv((2, 9, 11, 17), 1, (3, 3), padding=1, name="one output"),
    Conv((1, 70, 12, 8), 3, (3, 3), padding=1, name="many lines"),
    Conv((1, 8, 300, 16), 3, (3, 3), padding=1, name="lines in pieces"),
    Conv((2, 12, 11, 20), 2, (7, 7), padding=3, name="7x7"),
    Conv((2, 9, 10, 9), 5, (2, 4), padding=((0, 3), (2, 0)), name="even filter, uneven padding"),
    Conv((1, 5, 4, 8), 3, (2, 2), padding=5, name="padding beyond the filter"),
    Conv((1, 14, 9, 12), 4, (3, 3), dilation=(3, 1), padding=(2, 1), name="dilated down"),
    Conv((2, 400, 24), 2, (9,), padding=4, name="1-D"),
    Conv((1, 5, 6, 7, 10), 3, (3, 2, 3), padding=1, name="3-D"),
]


def arrays(case: Conv, dtype: str, integers: bool = False) -> tuple:
    """dy, x, w, b"""
    return tuple(numbers(shape, dtype, 5, integers) for shape in (case.y, case.x, case.w, (case.o,)))


def run(case: Conv, name: str, dy, x, w, b, relu: bool = False, **options) -> dict[str, np.ndarray]:
    """The passes that the algorithm runs."""
    how = {"algorithm": name, **case.how, **options}
    needs = ("x", "w") if name == "first" else ("x",)
    dx, dw, _ = op("conv", case, "_grad")(dy, x, w, needs=needs, **how)
    results = {"y": op("conv", case)(x, w, b, activation="relu" if relu else None, **how), "dx": dx, "dw": dw}
    return {key: value for key, value in results.items() if value is not None}


@reproducible
def check(case: Conv, name: str, dtype: str, integers: bool = False) -> None:
    dy, x, w, b = given_arrays = arrays(case, dtype, integers)
    got = run(case, name, *given_arrays)
    want = dict(zip(("dx", "dw", "db"), reference.conv_grad(dy, x, w, **case.how), strict=True))
    size = dict(zip(("dx", "dw", "db"), reference.conv_grad(abs(dy), abs(x), abs(w), **case.how), strict=True))
    want["y"], size["y"] = reference.conv(x, w, b, **case.how), reference.conv(abs(x), abs(w), abs(b), **case.how)
    for key, value in got.items():
        if integers:
            assert_exact(value, want[key], dtype)
        else:
            assert_within_rounding(value, want[key], size[key], case.terms[key], dtype)


CASES = [("first", c) for c in FIRST] + [("few", c) for c in FEW]
each_case = pytest.mark.parametrize(("name", "case"), CASES, ids=lambda v: v if isinstance(v, str) else v.name)


@each_dtype
@each_case
def test_it_is_the_definition(name, case, dtype, isa):
    check(case, name, dtype)
    check(case, name, dtype, integers=True)


@each_dtype
@each_case
def test_any_number_of_threads_gives_the_same_bits(name, case, dtype, isa):
    given_arrays = arrays(case, dtype)
    want = run(case, name, *given_arrays, threads=1)
    for threads in (2, 3, 7):
        for key, got in run(case, name, *given_arrays, threads=threads).items():
            assert_same_bits(got, want[key], f"{key}, {threads} threads")


BUSY = [("first", Conv((3, 61, 150, 3), 40, (3, 3), padding=1)), ("few", Conv((1, 130, 300, 24), 3, (3, 3), padding=1))]


@pytest.mark.parametrize(("name", "case"), BUSY, ids=["first", "few"])
def test_more_tasks_than_threads_give_the_same_bits(name, case, isa):
    """Enough work for threads to start, and for a plane to be cut."""
    given_arrays = arrays(case, "float32")
    want = run(case, name, *given_arrays, threads=1)
    for threads in (2, 3, 7):
        for key, got in run(case, name, *given_arrays, threads=threads).items():
            assert_same_bits(got, want[key], f"{key}, {threads} threads")


@each_dtype
@pytest.mark.parametrize("case", FIRST, ids=lambda c: c.name)
def test_a_first_layer_has_the_bits_of_the_direct_algorithm(case, dtype, isa):
    _, x, w, b = arrays(case, dtype)
    conv = op("conv", case)
    assert_same_bits(conv(x, w, b, algorithm="first", **case.how), conv(x, w, b, algorithm="direct", **case.how))


@each_case
def test_strides_do_not_show_in_the_bits(name, case, isa):
    given_arrays = arrays(case, "float32")
    want = run(case, name, *given_arrays)

    def spread(a):
        """Every other element of a larger array, backwards along the first axis."""
        wide = np.full(tuple(2 * n for n in a.shape), 9, a.dtype)
        view = wide[tuple(slice(None, None, -2 if i == 0 else 2) for i in range(a.ndim))]
        view[...] = a
        return view

    def pixels_apart(a):
        wide = np.full((*a.shape[:-1], a.shape[-1] + 3), 9, a.dtype)
        wide[..., : a.shape[-1]] = a
        return wide[..., : a.shape[-1]]

    for view in (spread, pixels_apart):
        for key, got in run(case, name, *map(view, given_arrays[:3]), given_arrays[3]).items():
            assert_same_bits(got, want[key], key)
    out = pixels_apart(np.zeros(case.y, np.float32))
    op("conv", case)(*given_arrays[1:], algorithm=name, out=out, **case.how)
    assert_same_bits(out, want["y"], "out")
    assert (out.base[..., case.o :] == 9).all()


@each_case
def test_relu_and_no_bias(name, case, isa):
    dy, x, w, b = arrays(case, "float32")
    plain = run(case, name, dy, x, w, b)["y"]
    assert_same_bits(run(case, name, dy, x, w, b, relu=True)["y"], np.where(plain > 0, plain, 0).astype(np.float32))
    assert_same_bits(run(case, name, dy, x, w, None)["y"], run(case, name, dy, x, w, np.zeros(case.o, np.float32))["y"])


@each_case
def test_what_is_not_finite_stays_under_its_windows(name, case, isa):
    dy, x, w, b = arrays(case, "float32")
    for value in (np.nan, np.inf):
        for target, source in (("y", x), ("dx", dy)):
            place = tuple(n // 2 for n in source.shape)
            kept, source[place] = source[place], value
            with np.errstate(invalid="ignore"):
                want = reference.conv(x, w, b, **case.how) if target == "y" else reference.conv_grad(dy, x, w, **case.how)[0]
            assert not np.isfinite(want).all() or case.name == "stride beyond the filter down"
            np.testing.assert_array_equal(np.isfinite(run(case, name, dy, x, w, b)[target]), np.isfinite(want))
            source[place] = kept


@each_case
def test_a_filter_that_is_not_finite_meets_the_padding(name, case, isa):
    """Zeros around x are multiplied: zero times infinity is not a number."""
    _, x, w, b = arrays(case, "float32")
    w[(-1, *(0,) * (w.ndim - 1))] = np.inf
    conv = op("conv", case)
    for filters in (w, convkit.pack_filters(w)):
        np.testing.assert_array_equal(conv(x, filters, b, algorithm=name, **case.how),
                                      conv(x, w, b, algorithm="direct", **case.how))


@each_case
def test_batches_split(name, case, isa):
    _, x, w, b = arrays(case, "float32")
    x = np.concatenate([x, x[:1] + 1, x[:1] - 1])
    conv = op("conv", case)
    whole = conv(x, w, b, algorithm=name, **case.how)
    assert_same_bits(np.concatenate([conv(x[i : i + 1], w, b, algorithm=name, **case.how) for i in range(len(x))]), whole)


@st.composite
def thin(draw) -> Conv:
    """Few channels on one side, any geometry."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = tuple(draw(st.integers(1, {1: 12, 2: 5, 3: 3}[rank])) for _ in range(rank))
    dilation = (*(draw(st.integers(1, 3)) for _ in kernel[1:]), 1)
    stride = tuple(draw(st.integers(1, 4)) for _ in kernel)
    padding = tuple((draw(st.integers(0, k + 1)), draw(st.integers(0, k + 1))) for k in kernel)
    size = tuple((k - 1) * d + draw(st.integers(1, {1: 300, 2: 20, 3: 6}[rank])) for k, d in zip(kernel, dilation, strict=True))
    few, many = draw(st.integers(1, 8)), draw(st.integers(1, 40))
    channels, outputs = (few, many) if draw(st.booleans()) else (many, few)
    return Conv((draw(st.integers(1, 3)), *size, channels), outputs, kernel, stride, padding, dilation)


@settings(max_examples=examples(80))
@given(case=thin(), name=st.sampled_from(["first", "few"]), dtype=strategies.dtypes, integers=st.booleans())
def test_random_layers_are_their_definition(isa, case, name, dtype, integers):
    shapes = plan.conv(case.x, case.w, geometry.sizes(case.stride, case.rank, "", ""),
                       geometry.padding_of(case.padding, case.rank, ""), geometry.sizes(case.dilation, case.rank, "", ""), 1)
    passes = ("forward", "input", "filters") if name == "first" else ("forward", "input")
    assume(all(choose.modules()[name].refusal(shapes, which) is None for which in passes))
    check(case, name, dtype, integers)


REFUSED = [
    ("first", Conv((1, 9, 9, 4), 4, (3, 3), groups=2), "it has groups"),
    ("first", Conv((1, 9, 9, 3), 8, (3, 3), dilation=2), "neighbours"),
    ("first", Conv((1, 9, 29, 3), 8, (3, 3), stride=4), "stride is longer"),
    ("first", Conv((1, 70, 9, 3), 8, (65, 1)), "64 rows"),
    ("first", Conv((1, 1, 70000, 8), 8, (1, 300000), padding=(0, 150000)), "too large"),
    ("few", Conv((1, 9, 9, 16), 3, (3, 3), stride=2), "stride is not 1"),
]


@pytest.mark.parametrize(("name", "case", "reason"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_shape_that_it_cannot_run_is_an_error_that_says_why(name, case, reason):
    with pytest.raises(ValueError, match=reason):
        convkit.conv2d(np.zeros(case.x, np.float32), np.zeros(case.w, np.float32), algorithm=name, **case.how)


def test_few_has_no_gradient_of_the_filters():
    dy, x, w, _ = arrays(FEW[0], "float32")
    with pytest.raises(ValueError, match="gradient of the filters"):
        convkit.conv2d_grad(dy, x, w, algorithm="few", **FEW[0].how)


def test_they_are_chosen_where_they_pay():
    def chosen(x, w, **how):
        return convkit.explain("conv2d", x, w, **how).algorithm

    assert chosen((1, 224, 224, 3), (64, 7, 7, 3), stride=2, padding=3) == "first"
    assert chosen((64, 28, 28, 1), (32, 3, 3, 1), padding=1) == "first"
    assert chosen((1, 224, 224, 64), (3, 3, 3, 64), padding=1) == "few"
    assert chosen((4, 28, 28, 12), (20, 5, 5, 12), padding=2) == "first"
    assert chosen((1, 28, 28, 16), (3, 5, 5, 16), padding=2) == "few"
    assert chosen((1, 56, 56, 64), (64, 1, 1, 64)) not in ("first", "few")
    assert chosen((1, 56, 56, 64), (1, 1, 1, 64)) not in ("first", "few")


def test_the_gradient_of_the_filters_has_in_the_vector_what_fills_it():
    def chosen(channels: int, outputs: int, itemsize: int = 4) -> str:
        none, ones = ((0, 0),) * 2, (1, 1)
        conv = plan.conv((64, 14, 14, channels), (outputs, 7, 7, channels), ones, none, ones, 1)
        return choose.algorithm(conv, "filters", "auto", itemsize, False)

    assert chosen(6, 16) == chosen(3, 64) == chosen(1, 8) == "first"
    assert chosen(16, 16) == chosen(16, 6) == chosen(64, 80) == "direct"


def test_scratch_is_stated_and_bounded():
    for x, w in (((1, 224, 224, 3), (64, 7, 7, 3)), ((1, 500, 500, 64), (3, 9, 9, 64)), ((1, 64, 9, 4), (8, 60, 3, 4))):
        plan = convkit.explain("conv2d", x, w, threads=2, padding=1)
        assert plan.algorithm in ("first", "few")
        assert 0 < plan.scratch_bytes <= 2 * (32 << 20)
