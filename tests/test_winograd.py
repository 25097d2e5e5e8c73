"""Winograd's convolution: F(4x4) within the bound of its transforms, F(2x2) exact on integers, and what both promise."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
import strategies
from bounds import (
    WINOGRAD_ROUNDINGS,
    assert_exact,
    assert_near,
    assert_same_bits,
    winograd_matrices,
    winograd_spread,
)
from cases import Conv, each_dtype, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bits import arrays, everything
from test_conv_arrays import VIEWS

import convkit
from convkit._core import cpu
from convkit.plan import conv as plan_conv
from convkit.plan import winograd as plan

BOTH = ("winograd", "winograd2")
each_algorithm = pytest.mark.parametrize("name", BOTH)
RAGGED = [Conv((1, n, 18 - n, 3), 4, (3, 3), padding=1, name=f"{n} by {18 - n}") for n in range(1, 18)]
CASES = [
    *(Conv((2, 5, 6, n), 3, (3, 3), padding=1, name=f"{n} input channels") for n in (1, 7, 8, 9, 15, 16, 17, 33)),
    *(Conv((2, 5, 6, 3), n, (3, 3), padding=1, name=f"{n} output channels") for n in (1, 7, 8, 9, 15, 17, 49, 65)),
    *(Conv((2, n, 4), 5, (3,), padding=1, name=f"1-D, {n} pixels") for n in (1, 2, 5, 9, 40)),
    Conv((1, 3, 9, 4), 5, (1, 3), name="one row"),
    Conv((1, 9, 3, 4), 5, (3, 1), padding=(1, 0), name="one column"),
    Conv((2, 9, 10, 4), 5, (3, 3), padding=((0, 2), (1, 0)), name="a different padding on each side"),
    Conv((1, 5, 4, 3), 5, (3, 3), padding="full", name="full padding"),
    Conv((2, 4, 5, 3), 4, (3, 3), padding=((4, 3), (0, 4)), name="padding beyond the filter"),
    Conv((2, 11, 12, 4), 5, (3, 3), padding=2, dilation=2, name="dilation 2"),
    Conv((1, 8, 13, 3), 4, (3, 3), padding="same", dilation=(5, 3), name="dilation 5 by 3"),
    Conv((2, 7, 6, 12), 9, (3, 3), padding=1, groups=3, name="3 groups"),
    Conv((1, 6, 7, 34), 36, (3, 3), padding=1, groups=2, name="2 groups of 17 to 18 channels"),
    Conv((1, 4, 5, 6, 4), 5, (3, 3, 3), padding=1, name="3-D"),
    Conv((2, 5, 4, 7, 6), 4, (2, 1, 3), padding=((0, 2), (0, 0), (1, 0)), dilation=(2, 1, 1), groups=2, name="3-D, mixed"),
]
FIVES = [
    *(Conv((1, n, 8 - n, 3), 4, (5, 5), padding=2, name=f"5x5 on {n} by {8 - n}") for n in range(1, 8)),
    Conv((2, 9, 10, 5), 4, (3, 5), padding=((0, 1), (3, 0)), name="3x5"),
    Conv((2, 10, 6, 17), 9, (5, 1), padding=(4, 0), dilation=(2, 1), name="5x1, dilation 2"),
    Conv((1, 33, 8), 6, (5,), padding="same", dilation=3, groups=2, name="1-D, 5 taps, dilation 3, 2 groups"),
    Conv((1, 5, 6, 7, 3), 4, (5, 5, 3), padding=(2, 2, 1), name="3-D, 5x5x3"),
]


def runs(name: str, cases: list) -> list:
    return [pytest.param(name, case, id=f"{name}, {case.name}") for case in cases]


each_run = pytest.mark.parametrize(
    ("name", "case"), [*runs("winograd", RAGGED + CASES + FIVES), *runs("winograd2", RAGGED + CASES)])


# --- against the definition -----------------------------------------------------------------------------------------------


class Wide:
    """A convolution with filters so wide that they cover the tile of an output, wherever it is in it (see bounds.py)."""

    def __init__(self, case: Conv, small: bool) -> None:
        first = max(case.rank - 2, 0)                    # taps along depth are only summed
        taps = [1] * first + list(case.k[first:])
        self.first, self.spreads = first, {f: [winograd_spread(k, small, f) for k in taps] for f in (False, True)}
        more = [(s.shape[1] - s.shape[0]) // 2 for s in self.spreads[False]]
        pad = tuple((lo + e * d, hi + e * d) for (_, _, _, (lo, hi), d, _), e in zip(case.axes, more, strict=True))
        self.how = {**case.how, "padding": pad}

    def widen(self, w: np.ndarray) -> np.ndarray:
        for axis, spread in list(enumerate(self.spreads[False], 1))[self.first:]:
            w = np.moveaxis(np.tensordot(w, spread, (axis, 0)), -1, axis)
        return w

    def narrow(self, dw: np.ndarray) -> np.ndarray:
        for axis, spread in list(enumerate(self.spreads[True], 1))[self.first:]:
            dw = np.moveaxis(np.tensordot(dw, spread, (axis, 1)), -1, axis)
        return dw


@functools.lru_cache(maxsize=2048)
def definition(case: Conv, dtype: str, integers: bool, seed: int) -> tuple[tuple, dict]:
    """The arrays (dy, x, w, b), and what must come out."""
    given_arrays = dy, x, w, b = tuple(numbers(s, dtype, seed, integers) for s in (case.y, case.x, case.w, (case.o,)))
    dx, dw, _ = reference.conv_grad(dy, x, w, **case.how)
    return given_arrays, {"y": reference.conv(x, w, b, **case.how), "dx": dx, "dw": dw}


@functools.lru_cache(maxsize=2048)
def magnitudes(case: Conv, dtype: str, small: bool, seed: int) -> dict:
    dy, x, w, b = (abs(a).astype(np.float64) for a in definition(case, dtype, False, seed)[0])
    wide, turn = Wide(case, small), functools.partial(np.flip, axis=tuple(range(1, case.rank + 1)))
    dx, dw, _ = reference.conv_grad(dy, x, turn(wide.widen(turn(w))), **wide.how)
    return {"y": reference.conv(x, wide.widen(w), b, **wide.how), "dx": dx, "dw": wide.narrow(dw)}


def passes(case: Conv, given_arrays: tuple, name: str, layout: str, **options) -> dict[str, np.ndarray]:
    """y, dx and dw, channels last."""
    dy, x, w = (to_layout(a, layout) for a in given_arrays[:3])
    how = {**case.how, "layout": layout, "algorithm": name, **options}
    y = op("conv", case)(x, w, given_arrays[3], **how)
    dx, dw, _ = op("conv", case, "_grad")(dy, x, w, needs=("x", "w"), **how)
    return {key: from_layout(a, layout) for key, a in (("y", y), ("dx", dx), ("dw", dw))}


@reproducible
def check_bound(case: Conv, name: str, dtype: str, layout: str, seed: int = 0, **options) -> None:
    given_arrays, wants = definition(case, dtype, False, seed)
    sizes = magnitudes(case, dtype, name == "winograd2", seed)
    slices = int(np.prod(case.k[: max(case.rank - 2, 0)]))
    sums = {"y": slices * case.w[-1] + 1, "dx": slices * case.o // case.groups, "dw": int(np.prod(case.y[:-1]))}
    for key, got in passes(case, given_arrays, name, layout, **options).items():
        assert_near(got, wants[key], sizes[key], sums[key] + WINOGRAD_ROUNDINGS, dtype)


@reproducible
def check_exact(case: Conv, dtype: str, layout: str, seed: int = 0, **options) -> None:
    given_arrays, wants = definition(case, dtype, True, seed)
    for key, got in passes(case, given_arrays, "winograd2", layout, **options).items():
        assert_exact(got, wants[key], dtype)


@pytest.mark.parametrize(("points", "outputs", "taps"), [((0.0, 5 / 8, -5 / 8, 1.5, -1.5), 4, 3), ((0.0, 1.0, -1.0), 2, 3)])
def test_the_transforms_of_the_bound_give_a_convolution(points, outputs, taps, rng):
    a, g, b = winograd_matrices(points, outputs, taps)
    d, w = rng.standard_normal(outputs + taps - 1), rng.standard_normal(taps)
    assert np.allclose(a @ ((g @ w) * (b @ d)), np.correlate(d, w), rtol=1e-12, atol=1e-12)


def test_every_case_reaches_half_of_its_outputs():
    assert min(case.reached() for case in RAGGED + CASES + FIVES if case.name != "padding beyond the filter") >= 0.5


@each_dtype
@each_run
def test_every_pass_is_its_definition(name, case, dtype, isa):
    check_bound(case, name, dtype, case.layouts()[0])


@each_dtype
@pytest.mark.parametrize("case", RAGGED + CASES, ids=lambda c: c.name)
def test_small_tiles_are_exact_on_integers(case, dtype, isa):
    check_exact(case, dtype, case.layouts()[1])


@st.composite
def fitting_convs(draw, taps):
    """Any geometry that the transforms cover."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = (*[draw(st.integers(1, 3))] * (rank - 2), *(draw(st.sampled_from(taps)) for _ in range(min(rank, 2) - 1)), 3)
    dilation = tuple(draw(st.integers(1, 3)) for _ in kernel)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in kernel)
    most = {1: 40, 2: 11, 3: 5}[rank]
    size = tuple(max(draw(st.integers(1, most)), (k - 1) * d + 1 - sum(p))
                 for k, d, p in zip(kernel, dilation, padding, strict=True))
    groups, depth, outputs = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 19)), draw(st.integers(1, 19))
    return Conv((draw(st.integers(1, 3)), *size, groups * depth), groups * outputs, kernel, 1, padding, dilation, groups)


random = {"dtype": strategies.dtypes, "seed": strategies.seeds, "first": st.booleans(), "threads": strategies.threads}


@settings(max_examples=examples(40))
@given(case=fitting_convs((1, 3, 5)), **random)
def test_a_random_case_is_its_definition(isa, case, dtype, seed, first, threads):
    check_bound(case, "winograd", dtype, case.layouts()[first], seed, threads=threads)


@settings(max_examples=examples(40))
@given(case=fitting_convs((1, 3)), **random)
def test_a_random_case_is_exact(isa, case, dtype, seed, first, threads):
    check_exact(case, dtype, case.layouts()[first], seed, threads=threads)


@pytest.mark.parametrize("channels", [64, 256])
def test_the_error_is_two_and_a_half_times_that_of_direct(channels, isa, rng):
    """The median, at most; and no output is off by more than 16 units of its own sum of absolute values."""
    case = Conv((1, 12, 12, channels), 32, (3, 3), padding=1)
    given_arrays = tuple(rng.standard_normal(s).astype("float32") for s in (case.y, case.x, case.w, (case.o,)))
    dy, x, w, b = given_arrays
    dx, dw, _ = reference.conv_grad(dy, x, w, **case.how)
    wants = {"y": reference.conv(x, w, b, **case.how), "dx": dx, "dw": dw}
    off = {name: {key: abs(got - wants[key]) for key, got in passes(case, given_arrays, name, "NHWC").items()}
           for name in (*BOTH, "direct")}
    for key in ("y", "dx"):
        assert np.median(off["winograd"][key]) <= 2.5 * np.median(off["direct"][key]), key
        assert np.median(off["winograd2"][key]) <= 1.25 * np.median(off["direct"][key]), key
    assert np.median(off["winograd"]["dw"]) <= 4 * np.median(off["direct"]["dw"])     # both of its operands are transformed
    assert (off["winograd"]["y"] <= 16 * 2.0**-24 * reference.conv(abs(x), abs(w), abs(b), **case.how)).all()


# --- larger maps: blocks, chunks, threads ---------------------------------------------------------------------------------

BUSY = [
    Conv((3, 30, 31, 20), 37, (3, 3), padding=1, name="ragged"),
    Conv((2, 26, 29, 16), 70, (3, 3), padding=2, dilation=2, groups=2, name="dilation, groups"),
    Conv((2, 7, 7, 96), 130, (3, 3), padding=1, name="small maps, wide"),
    Conv((3, 13, 14, 16), 16, (3, 3), padding=1, name="a word of filters"),
    Conv((3, 900, 9), 17, (3,), padding=1, name="1-D"),
    Conv((2, 5, 14, 13, 12), 16, (3, 3, 3), padding=1, name="3-D"),
]
CHUNKS = [                                               # and how many chunks the gradient of the filters takes
    Conv((2, 70, 66, 16), 24, (3, 3), padding=1, name="many chunks of lines"),
    Conv((1, 2, 1500, 16), 24, (3, 3), padding=1, name="many chunks of columns"),
    Conv((1, 8, 9, 130), 128, (3, 3), padding=1, name="one chunk"),
]
each_busy = pytest.mark.parametrize("case", BUSY, ids=lambda c: c.name)


def walk_of(case: Conv, which: str, small: bool) -> plan.Plan:
    how = [reference.per_axis(value, case.rank) for value in (1, case.dilation)]
    conv = plan_conv.conv(case.x, case.w, how[0], tuple(axis[3] for axis in case.axes), how[1], case.groups)
    return plan.plan(conv, which, small)


def chunks(case: Conv, small: bool) -> tuple[int, int]:
    """Of lines and columns of tiles."""
    walk = walk_of(case, "filters", small)
    lines, columns = walk.chunk(4)
    return -(-len(walk.across[0]) * walk.target[0] * case.x[0] // lines), -(-len(walk.across[1]) // columns)


def by_taps(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dw of 3x3 filters with padding 1, whole images at a time."""
    padded, (_, rows, cols, _) = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0))), dy.shape
    flat = dy.reshape(-1, dy.shape[-1]).astype(float).T
    taps = [flat @ padded[:, i : i + rows, j : j + cols].reshape(-1, x.shape[-1]) for i in range(3) for j in range(3)]
    return np.stack(taps, axis=1).reshape(len(flat), 3, 3, -1)


@pytest.mark.parametrize("case", CHUNKS, ids=lambda c: c.name)
def test_the_gradient_of_the_filters_sums_many_chunks(case, isa):
    dy, x, w, _ = (numbers(shape, "float32", 0, integers=True) for shape in (case.y, case.x, case.w, (1,)))
    for threads in (1, 2):
        _, dw, _ = convkit.conv2d_grad(dy, x, w, **case.how, needs=("w",), algorithm="winograd2", threads=threads)
        assert_exact(dw, by_taps(dy, x), "float32")
    _, dw, _ = convkit.conv2d_grad(dy, x, w, **case.how, needs=("w",), algorithm="winograd")
    assert abs(dw - by_taps(dy, x)).max() <= 1e-5 * by_taps(abs(dy), abs(x)).max()


def test_those_maps_do_have_many_chunks(isa):
    for small in (False, True):
        lines, columns, one = (chunks(case, small) for case in CHUNKS)
        assert lines[0] > 2
        assert columns[1] > 2
        assert one == (1, 1)


THROUGH = [                                              # few tiles and many filters
    Conv((1, 7, 9, 100), 130, (3, 3), padding=1, name="2-D"),
    Conv((2, 5, 6, 270), 140, (3, 3), padding=2, dilation=2, groups=2, name="dilation, groups"),
    Conv((1, 3, 4, 5, 72), 100, (3, 3, 3), padding=1, name="3-D"),
]


@pytest.mark.parametrize("case", THROUGH, ids=lambda c: c.name)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_plain_filters_take_another_way_to_the_same_bits(case, threads, isa):
    """Filters that are used once are brought to the points while they are multiplied."""
    dy, x, w, b = (numbers(shape, "float32", 2) for shape in (case.y, case.x, case.w, (case.o,)))
    packed, how = convkit.pack_filters(w, groups=case.groups), case.how | {"algorithm": "winograd", "threads": threads}
    assert walk_of(case, "forward", False).through(4)
    assert walk_of(case, "input", False).through(4)
    assert np.array_equal(op("conv", case)(x, w, b, **how), op("conv", case)(x, packed, b, **how))
    got, want = (op("conv", case, "_grad")(dy, x, each, needs=("x",), **how)[0] for each in (w, packed))
    assert np.array_equal(got, want)


@each_busy
def test_gradients_are_the_adjoint_exactly(case, isa):
    dy, x, w = (numbers(shape, "float32", 1, integers=True) for shape in (case.y, case.x, case.w))
    y = op("conv", case)(x, w, **case.how, algorithm="winograd2", threads=2)
    dx, dw, _ = op("conv", case, "_grad")(dy, x, w, **case.how, algorithm="winograd2", threads=2)
    products = [float((a.astype(float) * b).sum()) for a, b in ((y, dy), (x, dx), (w, dw))]
    assert products[0] == products[1] == products[2]


@each_algorithm
@each_busy
def test_any_number_of_threads_gives_the_same_bits(case, name, isa):
    given_arrays = arrays(case, "float32", 0)
    want = everything(case, *given_arrays, threads=1, algorithm=name)
    for threads in (2, 3, 7):
        for key, got in everything(case, *given_arrays, threads=threads, algorithm=name).items():
            assert_same_bits(got, want[key], f"{key}, {threads} threads")


@each_algorithm
@each_busy
def test_splitting_a_batch_does_not_change_the_result(case, name, isa):
    dy, x, w, b = arrays(case, "float32", 0)
    how = {**case.how, "algorithm": name}
    want, want_dx = op("conv", case)(x, w, b, **how), op("conv", case, "_grad")(dy, x, w, needs=("x",), **how)[0]
    for at in range(1, case.x[0]):
        parts = [(x[:at], dy[:at]), (x[at:], dy[at:])]
        assert_same_bits(np.concatenate([op("conv", case)(part, w, b, **how) for part, _ in parts]), want)
        grads = [op("conv", case, "_grad")(d, part, w, needs=("x",), **how)[0] for part, d in parts]
        assert_same_bits(np.concatenate(grads), want_dx)


MEMORY = Conv((2, 9, 10, 17), 18, (3, 3), padding=1)


@each_algorithm
@pytest.mark.parametrize("view", sorted(VIEWS.keys() - {"byte-swapped"}))
def test_any_memory_gives_the_same_bits(view, name, isa):
    dy, x, w, b = arrays(MEMORY, "float32", 0)
    want = everything(MEMORY, dy, x, w, b, algorithm=name)
    for layout in MEMORY.layouts():
        viewed = [VIEWS[view](to_layout(a, layout)) for a in (dy, x, w)]
        for key, got in everything(MEMORY, *viewed, b, layout=layout, algorithm=name).items():
            assert_same_bits(from_layout(got, layout) if got.ndim > 1 else got, want[key], f"{key}, {view}, {layout}")
        room = np.full((2, *to_layout(want["y"], layout).shape), 77, "float32")
        for out in (room[0], room[1, ..., ::-1]):
            assert convkit.conv2d(*viewed[1:], b, layout=layout, out=out, **MEMORY.how, algorithm=name) is out
            assert_same_bits(from_layout(out, layout), want["y"], "out")


@each_algorithm
@each_dtype
def test_relu_and_bias_are_fused(dtype, name, isa):
    case = Conv((2, 7, 9, 5), 19, (3, 3), padding=1)
    _, x, w, b = arrays(case, dtype, 0)
    plain = convkit.conv2d(x, w, b, **case.how, algorithm=name)
    assert 0 < np.count_nonzero(plain > 0) < plain.size
    got = convkit.conv2d(x, w, b, **case.how, activation="relu", algorithm=name)
    assert_same_bits(got, np.where(plain > 0, plain, 0).astype(dtype))
    assert_same_bits(convkit.conv2d(x, w, np.zeros_like(b), **case.how, algorithm=name),
                     convkit.conv2d(x, w, **case.how, algorithm=name))


@each_algorithm
@each_dtype
def test_packed_filters_give_the_same_bits_and_follow_the_instruction_set(dtype, name, isa):
    case = Conv((2, 9, 8, 14), 26, (3, 3), padding=1, groups=2)
    dy, x, w, b = arrays(case, dtype, 0)
    packed = convkit.pack_filters(w, groups=2)
    for level in (isa, isa, *cpu.isas(), isa):
        cpu.use_isa(level)
        want = everything(case, dy, x, w, b, algorithm=name)
        for key, value in everything(case, dy, x, packed, b, algorithm=name).items():
            assert_same_bits(value, want[key], f"{key}, {level}")
        held = packed.nbytes
    everything(case, dy, x, packed, b, algorithm=name)
    assert packed.nbytes == held


@each_algorithm
def test_python_threads_at_once_get_bits_of_their_own(name, isa):
    """They share one scratch buffer, or find it taken."""
    work = [(case, arrays(case, "float32", seed)) for seed in range(2) for case in (BUSY[0], BUSY[2], MEMORY, CASES[0])]
    want = [everything(case, *given_arrays, algorithm=name) for case, given_arrays in work]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(2):
            together = pool.map(lambda one: everything(one[0], *one[1], algorithm=name, threads=2), work)
            for got, expected in zip(together, want, strict=True):
                for key, value in got.items():
                    assert_same_bits(value, expected[key], key)
