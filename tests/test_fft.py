"""The algorithm by Fourier transforms: within its bound of the definition, and direct sums where numbers are not finite."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from bounds import assert_not_trivial, assert_same_bits
from cases import EMPTY_CONVS, Conv, each_dtype, from_layout, numbers, op, reproducible, to_layout

import convkit
from convkit._core import cpu
from convkit.ops.conv import planned
from convkit.plan import choose, fft

CASES = [
    Conv((2, 40, 37, 1), 1, (31, 31), padding=15, name="31x31"),
    Conv((1, 30, 30, 3), 4, (9, 12), padding=((3, 0), (11, 2)), name="a different padding on each side"),
    Conv((1, 30, 35, 2), 3, (15, 1), padding="full", name="full padding, one column"),
    Conv((1, 33, 30, 2), 2, (8, 8), name="valid"),
    Conv((1, 12, 10, 1), 2, (7, 7), padding=9, name="padding beyond the filter"),
    Conv((1, 6, 5, 2), 1, (13, 11), padding=8, name="a filter larger than the image"),
    Conv((2, 30, 31, 6), 6, (9, 9), padding=4, groups=6, name="depthwise"),
    Conv((1, 20, 31, 6), 4, (9, 9), padding="same", groups=2, name="groups"),
    Conv((3, 300, 1), 2, (65,), padding="causal", name="1-D, causal"),
    Conv((2, 400, 17), 18, (33,), padding=16, name="1-D, many channels"),
    Conv((1, 5, 1), 1, (1,), name="1-D, one tap"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks along each axis, and several turns."""
    monkeypatch.setattr(fft, "MOST", {1: 160, 2: 64})
    monkeypatch.setattr(fft, "SCRATCH", 1 << 16)


def assert_within_bound(got: np.ndarray, want: np.ndarray, x: np.ndarray, w: np.ndarray, magnitude: np.ndarray) -> None:
    """That of plan/fft.py, with the norms of all of x and of all filters, and the rounding of the result."""
    assert (got.shape, got.dtype) == (want.shape, x.dtype)
    double = 10 * np.log2(1 << 16) * 2.0**-53 * np.linalg.norm(x.astype("d")) * np.linalg.norm(w.astype("d"))
    allowed = double + float(np.finfo(x.dtype).eps) * abs(want)
    assert (abs(got - want) <= allowed).all(), abs(got - want).max() / double
    assert_not_trivial(want, magnitude)


@reproducible
def check(case: Conv, dtype: str, layout: str) -> None:
    dy, x, w, b = (numbers(shape, dtype, 0) for shape in (case.y, case.x, case.w, (case.o,)))
    there, filters = (to_layout(a, layout) for a in (x, w))
    y = op("conv", case)(there, filters, b, algorithm="fft", layout=layout, **case.how)
    magnitude = reference.conv(abs(x), abs(w), abs(b), **case.how)
    assert_within_bound(from_layout(y, layout), reference.conv(x, w, b, **case.how), x, w, magnitude)
    grad = op("conv", case, "_grad")
    dx, _, _ = grad(to_layout(dy, layout), there, filters, needs=("x",), algorithm="fft", layout=layout, **case.how)
    want, magnitude = (reference.conv_grad(g, a, f, **case.how)[0] for g, a, f in ((dy, x, w), map(abs, (dy, x, w))))
    assert_within_bound(from_layout(dx, layout), want, dy, w, magnitude)


@each_dtype
@each_case
def test_it_is_the_definition(case, dtype, isa):
    check(case, dtype, case.layouts()[0])


@each_dtype
@each_case
def test_it_is_the_definition_in_many_blocks(case, dtype, small_blocks):
    for layout in case.layouts():
        check(case, dtype, layout)


@each_case
def test_bits_depend_neither_on_threads_nor_on_the_batch_nor_on_memory(case, isa, small_blocks):
    case = Conv((3, *case.x[1:]), case.o, case.k, 1, case.padding, 1, case.groups)
    dy, x, w = (numbers(shape, "float32", 1) for shape in (case.y, case.x, case.w))
    conv, grad, how = op("conv", case), op("conv", case, "_grad"), dict(algorithm="fft", **case.how)
    packed = convkit.pack_filters(w, groups=case.groups)
    y, dx = conv(x, w, threads=1, **how), grad(dy, x, w, threads=1, needs=("x",), **how)[0]
    for threads in (2, 3, 7):
        assert_same_bits(conv(x, packed, threads=threads, **how), y)
        assert_same_bits(grad(dy, x, packed, threads=threads, needs=("x",), **how)[0], dx)
    held = packed.nbytes
    out = np.empty((*y.shape[:-1], y.shape[-1] + 2), np.float32)[..., 1:-1]
    conv(np.repeat(x, 2, axis=-1)[..., ::2], packed, out=out, **how)
    assert_same_bits(out, y)
    assert_same_bits(np.concatenate([conv(part, w, **how) for part in (x[:1], x[1:])]), y)
    assert packed.nbytes == held


@pytest.mark.parametrize("case", EMPTY_CONVS, ids=lambda c: c.name)
def test_nothing_has_its_shape(case):
    if case.rank == 3:
        return
    dy, x, w, b = (numbers(shape, "float32", 1) for shape in (case.y, case.x, case.w, (case.o,)))
    conv, grad = op("conv", case), op("conv", case, "_grad")
    got, want = (conv(x, w, b, algorithm=a, **case.how) for a in ("fft", "direct"))
    assert_same_bits(got, want)
    got, want = (grad(dy, x, w, needs=("x",), algorithm=a, **case.how)[0] for a in ("fft", "direct"))
    assert_same_bits(got, want)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_its_windows_are(value, isa):
    case = Conv((3, 40, 37, 2), 3, (9, 11), padding=4)
    x, w, b = (numbers(shape, "float32", 2) for shape in (case.x, case.w, (3,)))
    clean = convkit.conv2d(x, w, b, algorithm="fft", **case.how)
    x[1, 20, 18, 0] = value
    y = convkit.conv2d(x, w, b, algorithm="fft", **case.how)
    assert_same_bits(y[[0, 2]], clean[[0, 2]])
    assert_same_bits(y[1], convkit.conv2d(x, w, b, algorithm="direct", **case.how)[1])
    assert 0 < np.count_nonzero(~np.isfinite(y)) == 9 * 11 * 3
    w[0, 0, 0, 0] = value
    dy = numbers(case.y, "float32", 3)
    direct, fast = (convkit.conv2d_grad(dy, x, w, needs=("x",), algorithm=a, **case.how)[0] for a in ("direct", "fft"))
    assert_same_bits(fast, direct)


def test_sums_beyond_the_largest_number_are_those_of_the_direct_algorithm():
    x, w = np.full((1, 64, 1), 3e38, np.float32), np.ones((1, 9, 1), np.float32)
    assert np.isinf(convkit.conv1d(x, w, algorithm="fft")).all()
    signs = np.array([1, -1, 1, -1, 1, -1, 1, -1, 1], np.float32).reshape(1, 9, 1)
    assert (convkit.conv1d(x, signs, algorithm="fft") == np.float32(3e38)).all()


def test_relu_pad_modes_and_transposed_convolution_take_it():
    x, w, b = (numbers(shape, "float64", 4) for shape in ((2, 30, 28, 2), (3, 9, 9, 2), (3,)))
    for how in ({"activation": "relu", "padding": 4}, {"pad_mode": "wrap", "padding": 4}, {"flip": True}):
        got, want = (convkit.conv2d(x, w, b, algorithm=a, **how) for a in ("fft", "direct"))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)
    back = numbers((2, 9, 9, 5), "float64", 5)
    got, want = (convkit.conv_transpose2d(x, back, padding=3, algorithm=a) for a in ("fft", "direct"))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)


def choice(x: tuple, w: tuple, which: str = "forward", name: str = "auto", strict=False, itemsize: int = 4, **how) -> str:
    return choose.algorithm(planned("test", x, w, **how), which, name, itemsize, strict)


def test_it_is_chosen_for_large_filters_and_never_where_results_must_round_least():
    for itemsize in (4, 8):
        for which in ("forward", "input"):
            large = (1, 512, 512, 1), (1, 31, 31, 1), which, "auto"
            assert choice(*large, itemsize=itemsize, padding=15) == "fft"
            assert choice((7, *large[0][1:]), *large[1:], itemsize=itemsize, padding=15) == "fft"
            assert choice(*large, True, itemsize, padding=15) != "fft"
        for x, w in (((1, 512, 512, 1), (1, 3, 3, 1)), ((8, 56, 56, 64), (64, 3, 3, 64)), ((1, 20, 20, 1), (1, 15, 15, 1))):
            assert choice(x, w, itemsize=itemsize) != "fft"


def test_explain_says_so():
    told = convkit.explain("conv2d", (2, 512, 512, 1), (1, 31, 31, 1), padding=15)
    assert (told.algorithm, told.tile, told.tasks) == ("fft", "blocks of 160x160 pixels", 2 * 16)
    assert told.packed_bytes == 160 * 81 * 32
    assert convkit.explain("conv2d", (2, 512, 512, 1), (1, 3, 3, 1)).algorithm != "fft"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (Conv((1, 40, 40, 1), 1, (9, 9), stride=2), "stride and dilation must be 1"),
        (Conv((1, 40, 40, 1), 1, (9, 9), dilation=(1, 2)), "stride and dilation must be 1"),
        (Conv((1, 9, 9, 9, 1), 1, (3, 3, 3)), "no transforms of 3 axes"),
        (Conv((1, 200, 200, 1), 1, (130, 3)), "may be at most 128 long"),
        (Conv((1, 40, 40, 64), 64, (31, 31)), "filters for 64 channels in, 64 out and 1 groups may be at most 15 long"),
    ],
    ids=repr,
)
def test_what_it_cannot_run_is_an_error(case, why):
    x, w = np.zeros(case.x, np.float32), np.zeros(case.w, np.float32)
    with pytest.raises(ValueError, match=rf"^conv.d: algorithm 'fft' cannot run this convolution: .*{why}"):
        op("conv", case)(x, w, algorithm="fft", **case.how)


def test_it_has_no_gradient_of_the_filters():
    x, w = np.zeros((1, 40, 40, 1), np.float32), np.zeros((1, 9, 9, 1), np.float32)
    with pytest.raises(ValueError, match="cannot run this gradient of the filters: it has no gradient of the filters"):
        convkit.conv2d_grad(np.zeros((1, 32, 32, 1), np.float32), x, w, algorithm="fft")
    with convkit.accuracy("strict"), pytest.raises(ValueError, match="accuracy is 'strict'"):
        convkit.conv2d(x, w, algorithm="fft")
    assert not cpu.strict()
