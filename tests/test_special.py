"""NaN, infinities and subnormal numbers: what every algorithm must do with them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
from cases import CONVS, Conv, numbers, op

import convkit
from convkit.plan import choose

FEW = [case for case in CONVS if np.prod(case.x) * np.prod(case.k) * case.o < 10**6][::2]
each_case = pytest.mark.parametrize("case", FEW, ids=lambda c: c.name)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def each_algorithm(case: Conv, call, *arguments, **options):
    """The results of all algorithms that can run a call."""
    results = []
    for name in choose.ALGORITHMS:
        try:
            results.append((name, call(*arguments, algorithm=name, **case.how, **options)))
        except ValueError:
            continue  # it refuses the shape
    assert "direct" in dict(results)
    return results


def assert_same_kinds(got: np.ndarray, want: np.ndarray, name: str) -> None:
    """Finite, NaN and infinite numbers in the same places."""
    for kind in (np.isfinite, np.isnan, np.isposinf):
        assert np.array_equal(kind(got), kind(want)), f"{name}: {kind.__name__}"


def with_some(a: np.ndarray, value: float, count: int = 1) -> np.ndarray:
    """A copy with `value` in a few places."""
    a = a.copy()
    a.flat[np.random.default_rng(a.size).choice(a.size, min(count, a.size), replace=False)] = value
    return a


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@each_dtype
@each_case
def test_exactly_the_outputs_whose_window_covers_it_are_not_finite(case, dtype, value, isa):
    x, w = with_some(numbers(case.x, dtype, 0), value), numbers(case.w, dtype, 1)
    with np.errstate(invalid="ignore"):
        want = reference.conv(x, w, **case.how)
    for name, y in each_algorithm(case, op("conv", case), x, w):
        assert_same_kinds(y, want, name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_dtype
@each_case
def test_filters_that_are_not_finite_meet_the_zeros_of_the_padding(case, dtype, value, isa):
    """0 * inf is NaN, at the border as inside."""
    x, w = numbers(case.x, dtype, 0), with_some(numbers(case.w, dtype, 1), value)
    with np.errstate(invalid="ignore"):
        want = reference.conv(x, w, **case.how)
    for name, y in each_algorithm(case, op("conv", case), x, w):
        assert_same_kinds(y, want, name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_dtype
@each_case
def test_gradients_are_not_finite_where_a_term_of_theirs_is_not(case, dtype, value, isa):
    x, w, dy = (numbers(shape, dtype, 0) for shape in (case.x, case.w, case.y))
    bad_dy, bad_x, grad = with_some(dy, value), with_some(x, value), op("conv", case, "_grad")
    with np.errstate(invalid="ignore"):
        want_dx, _, want_db = reference.conv_grad(bad_dy, x, w, **case.how)
        want_dw = reference.conv_grad(dy, bad_x, w, **case.how)[1]
    for name, (dx, _, db) in each_algorithm(case, grad, bad_dy, x, w, needs=("x", "b")):
        assert_same_kinds(dx, want_dx, f"{name} dx")
        assert_same_kinds(db, want_db, f"{name} db")
    for name, (_, dw, _) in each_algorithm(case, grad, dy, bad_x, w, needs=("w",)):
        assert_same_kinds(dw, want_dw, f"{name} dw")


# --- subnormal numbers ----------------------------------------------------------------------------------------------------


def small(shape: tuple, dtype: str) -> np.ndarray:
    """All subnormal, and so small that sums of thousands of them are exact."""
    return (np.random.default_rng(1).integers(1, 100, shape) * np.finfo(dtype).smallest_subnormal).astype(dtype)


def powers(shape: tuple, dtype: str) -> np.ndarray:
    """1, 2 and 4, so that a product with them is exact."""
    return np.random.default_rng(2).choice([1.0, 2.0, 4.0], shape).astype(dtype)


def mode_is_as_found() -> bool:
    """Whether this thread still has subnormal numbers, as operands and as results."""
    tiny = [np.full(40, np.finfo(dtype).tiny, dtype) for dtype in ("float32", "float64")]
    halves = [a * a.dtype.type(0.5) for a in tiny]
    return all(half.all() and (half * half.dtype.type(1)).all() for half in halves)


@each_dtype
@each_case
def test_subnormal_numbers_are_zero_by_default(case, dtype, isa):
    x, w, dy = (powers(shape, dtype) for shape in (case.x, case.w, case.y))
    low_x, low_w, low_dy = (small(a.shape, dtype) for a in (x, w, dy))
    low = np.dtype(dtype).type(np.sqrt(np.finfo(dtype).tiny) / 1000)        # whose square is subnormal
    results = [each_algorithm(case, op("conv", case), *arguments)
               for arguments in ((low_x, w), (x, low_w), (np.full_like(x, low), np.full_like(w, low)))]
    for index, *arguments in ((0, low_dy, x, w), (0, dy, x, low_w), (1, low_dy, x, w), (1, dy, low_x, w), (2, low_dy, x, w)):
        gradients = each_algorithm(case, op("conv", case, "_grad"), *arguments, needs=("xwb"[index],))
        results.append([(name, gradient[index]) for name, gradient in gradients])
    for name, got in itertools.chain(*results):
        if name != "fft":                               # works in float64, where these are ordinary numbers
            assert np.count_nonzero(got) == 0, name
    assert mode_is_as_found()


@each_dtype
@each_case
def test_subnormal_numbers_are_kept_and_exact_when_strict(case, dtype, isa):
    x, w, dy = (powers(shape, dtype) for shape in (case.x, case.w, case.y))
    low_x, low_w, low_dy = (small(a.shape, dtype) for a in (x, w, dy))
    scale = 2.0**100 if dtype == "float32" else 2.0**500                    # for the definition: normal numbers in float64
    with convkit.accuracy("strict"):
        results = [*(op("conv", case)(*arguments, **case.how) for arguments in ((low_x, w), (x, low_w))),
                   *op("conv", case, "_grad")(low_dy, x, w, **case.how)]
    high_x, high_w, high_dy = (a.astype(float) * scale for a in (low_x, low_w, low_dy))
    wants = [reference.conv(high_x, w, **case.how), reference.conv(x, high_w, **case.how),
             *reference.conv_grad(high_dy, x, w, **case.how)]
    for got, want in zip(results, wants, strict=True):
        assert np.array_equal(got.astype(float) * scale, want)
        assert want.any()
    assert mode_is_as_found()


@each_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_averages_of_subnormal_numbers_are_zero_unless_strict_and_maxima_never(dtype, threads, isa):
    x, dy = small((2, 40, 41, 24), dtype), small((2, 20, 20, 24), dtype)
    x, dy = x * 8, dy * 8                                                   # large enough for a quarter not to be zero
    for average in (lambda: convkit.avg_pool2d(x, 2, threads=threads),
                    lambda: convkit.avg_pool2d_grad(dy, x.shape, 2, threads=threads)):
        for _ in range(2):
            assert not average().any()
            with convkit.accuracy("strict"):
                assert average()[:, :40, :40].all()
    assert convkit.max_pool2d(x, 2, threads=threads).all()
    assert np.array_equal(convkit.max_pool2d(x, 2), reference.max_pool(x, 2)[0])
    assert mode_is_as_found()


def test_the_sum_of_an_average_may_overflow(isa):
    """Sum, then divide, in the type of x."""
    x = np.full((1, 2, 2, 5), 3e38, np.float32)
    assert np.isposinf(convkit.avg_pool2d(x, 2)).all()
    assert np.isfinite(convkit.avg_pool2d(x.astype(np.float64), 2)).all()
