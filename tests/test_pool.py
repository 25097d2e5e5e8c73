"""Pooling and its gradients are their definitions; NaN, infinities and ties go where NumPy's argmax puts them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import (
    POOLS,
    Pool,
    each_dtype,
    each_empty_pool,
    each_pool,
    examples,
    from_layout,
    numbers,
    op,
    reproducible,
    to_layout,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit

INTEGERS = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]


@functools.lru_cache(maxsize=1024)
def max_definition(case: Pool, dtype: str, seed: int, ties: bool) -> tuple[np.ndarray, ...]:
    """The arrays x and dy, the values, the indices, the gradient."""
    x, dy = pooled_numbers(case.x, dtype, seed, ties), numbers(case.y, dtype, seed + 1, integers=True)
    return x, dy, *reference.max_pool(x, case.k, **case.max_how), reference.max_pool_grad(dy, x, case.k, **case.max_how)


@reproducible
def check_max(case: Pool, dtype: str, layout: str, seed: int = 0, ties: bool = False, **options) -> None:
    """Values, indices and gradient; with ties, from few different numbers."""
    x, dy, want, where, gradient = max_definition(case, dtype, seed, ties)
    how = dict(layout=layout, **case.max_how, **options)
    y, indices = op("max_pool", case)(to_layout(x, layout), case.k, return_indices=True, **how)
    y, indices = from_layout(y, layout), from_layout(indices, layout)
    assert_same_bits(y, want)
    assert indices.dtype == np.int64
    assert np.array_equal(indices[where >= 0], where[where >= 0])
    assert_same_bits(from_layout(op("max_pool", case)(to_layout(x, layout), case.k, **how), layout), y)
    if np.dtype(dtype).kind == "f":
        dx = op("max_pool", case, "_grad")(to_layout(dy, layout), to_layout(x, layout), case.k, **how)
        assert_exact(from_layout(dx, layout), gradient, dtype)


@reproducible
def check_average(case: Pool, dtype: str, layout: str, seed: int = 0, **options) -> None:
    x, dy = numbers(case.x, dtype, seed), numbers(case.y, dtype, seed + 1)
    how = dict(layout=layout, **case.avg_how, **options)
    y = op("avg_pool", case)(to_layout(x, layout), case.k, **how)
    want, size = (reference.avg_pool(a, case.k, **case.avg_how) for a in (x, abs(x)))
    assert_within_rounding(from_layout(y, layout), want, size, case.taps + 2, dtype)  # + the reciprocal and the product
    dx = op("avg_pool", case, "_grad")(to_layout(dy, layout), to_layout(x, layout).shape, case.k, **how)
    want, size = (reference.avg_pool_grad(a, case.x, case.k, **case.avg_how) for a in (dy, abs(dy)))
    assert_within_rounding(from_layout(dx, layout), want, size, case.taps + 2, dtype)


def pooled_numbers(shape: tuple, dtype: str, seed: int, ties: bool) -> np.ndarray:
    if np.dtype(dtype).kind == "f" and not ties:
        return numbers(shape, dtype, seed)
    rng = np.random.default_rng([seed, *shape])
    if dtype == "bool":
        return rng.random(shape) < 0.2
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" and not ties else None
    low, high = (limits.min, limits.max) if limits else (0, 3)
    return rng.integers(low, high, shape, dtype=dtype if limits else np.int64, endpoint=True).astype(dtype)


def averageable(case: Pool) -> bool:
    return case.dilation == 1


@each_dtype
@each_pool
def test_max_pool_and_its_gradient_are_their_definition(case, dtype, isa):
    for layout in case.layouts():
        check_max(case, dtype, layout)


@each_dtype
@pytest.mark.parametrize("case", [case for case in POOLS if averageable(case)], ids=lambda c: c.name)
def test_avg_pool_and_its_gradient_are_their_definition(case, dtype, isa):
    for layout in case.layouts():
        check_average(case, dtype, layout)


@settings(max_examples=examples(250))
@given(case=strategies.pools(), dtype=st.sampled_from(["float32", "float64", *INTEGERS]), seed=strategies.seeds,
       first=st.booleans(), ties=st.booleans(), threads=strategies.threads)
def test_a_random_max_pool_is_its_definition(isa, case, dtype, seed, first, ties, threads):
    check_max(case, dtype, case.layouts()[first], seed=seed, ties=ties, threads=threads)


@settings(max_examples=examples(250))
@given(case=strategies.pools(dilated=False), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(),
       threads=strategies.threads)
def test_a_random_avg_pool_is_its_definition(isa, case, dtype, seed, first, threads):
    check_average(case, dtype, case.layouts()[first], seed=seed, threads=threads)


@pytest.mark.parametrize("dtype", INTEGERS)
@each_pool
def test_max_pool_of_integers_is_its_definition(case, dtype):
    check_max(case, dtype, case.layouts()[0])
    check_max(case, dtype, case.layouts()[1], ties=True)


@each_empty_pool
def test_pooling_of_nothing_has_its_shape(case):
    for layout in case.layouts():
        check_max(case, "float32", layout)
        check_average(case, "float32", layout)


@each_dtype
def test_the_first_of_several_maxima_is_taken_and_gets_the_gradient(dtype, isa):
    for case in POOLS:
        check_max(case, dtype, case.layouts()[0], ties=True)


@each_dtype
@pytest.mark.parametrize("channels", [1, 3, 8, 17])
def test_nan_is_the_maximum_and_the_first_one_gets_the_gradient(channels, dtype, isa):
    """Every place in the window, then every number of NaNs in it: a vectorised maximum loses one or the other."""
    how = {"stride": 1, "padding": 1}
    for count in range(1, 10):
        rng = np.random.default_rng(count)
        x = rng.standard_normal((1, 6, 7, channels)).astype(dtype)
        x[rng.permuted(np.arange(x.size)).reshape(x.shape) < count * x.size // 9] = np.nan
        y, indices = convkit.max_pool2d(x, 3, return_indices=True, **how)
        want, where = reference.max_pool(x, 3, **how)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(indices, where)
        dy = numbers(y.shape, dtype, 1, integers=True)
        np.testing.assert_array_equal(convkit.max_pool2d_grad(dy, x, 3, **how), reference.max_pool_grad(dy, x, 3, **how))


def test_a_nan_in_any_single_place_of_a_window_wins(isa):
    for place in range(9):
        x = np.full((1, 3, 3, 33), np.inf, np.float32)
        x.reshape(9, 33)[place] = np.nan
        y, indices = convkit.max_pool2d(x, 3, return_indices=True)
        assert np.isnan(y).all()
        assert (indices == place).all()


@each_dtype
def test_a_maximum_of_minus_infinity_has_its_first_place_inside_the_input(dtype, isa):
    """Never in the padding, and never -1."""
    for case in POOLS:
        x = np.full(case.x, -np.inf, dtype)
        y, indices = op("max_pool", case)(x, case.k, return_indices=True, **case.max_how)
        where = reference.max_pool(x, case.k, **case.max_how)[1]
        assert (y == -np.inf).all()
        assert np.array_equal(indices[where >= 0], where[where >= 0])


@each_dtype
def test_the_sign_of_the_first_zero_is_kept(dtype, isa):
    for case in POOLS:
        x = np.where(numbers(case.x, dtype, 3) > 0, 0.0, -0.0).astype(dtype)
        y = op("max_pool", case)(x, case.k, **case.max_how)
        assert_same_bits(y, reference.max_pool(x, case.k, **case.max_how)[0])


@each_dtype
def test_a_window_of_padding_alone_gives_minus_infinity_and_takes_no_gradient(dtype, isa):
    x = np.ones((1, 1, 1), dtype)
    y, indices = convkit.max_pool1d(x, 2, padding=1, dilation=2, return_indices=True)
    assert y.tolist() == [[[-np.inf]]]
    assert indices.shape == y.shape
    assert convkit.max_pool1d_grad(np.ones_like(y), x, 2, padding=1, dilation=2).tolist() == [[[0.0]]]


def test_a_window_of_padding_alone_gives_the_smallest_integer():
    for dtype in INTEGERS:
        lowest = False if dtype == "bool" else np.iinfo(dtype).min
        assert convkit.max_pool1d(np.ones((1, 1, 1), dtype), 2, padding=1, dilation=2).tolist() == [[[lowest]]]


def test_stride_is_the_kernel_when_not_given():
    x = numbers((1, 8, 9, 3), "float32", 0)
    assert_same_bits(convkit.max_pool2d(x, (2, 3)), convkit.max_pool2d(x, (2, 3), stride=(2, 3)))
    assert_same_bits(convkit.avg_pool2d(x, (2, 3)), convkit.avg_pool2d(x, (2, 3), stride=(2, 3)))


def test_pooling_by_hand():
    """So that the definition itself is held to something."""
    x = np.array([1.0, 5, 2, 4, 3]).reshape(1, 5, 1)
    assert convkit.max_pool1d(x, 2).ravel().tolist() == [5, 4]
    assert convkit.max_pool1d(x, 2, ceil_mode=True).ravel().tolist() == [5, 4, 3]
    assert convkit.avg_pool1d(x, 3, stride=2, padding=1).ravel().tolist() == [2, 11 / 3, 7 / 3]
    assert convkit.avg_pool1d(x, 3, stride=2, padding=1, count_include_pad=False).ravel().tolist() == [3, 11 / 3, 3.5]
    assert convkit.avg_pool1d(x, 2, ceil_mode=True).ravel().tolist() == [3, 3, 3]
    assert convkit.max_pool1d(x, 3, return_indices=True)[1].ravel().tolist() == [1]


def test_average_of_a_constant_is_the_constant(isa):
    """Sums of a few bits and a power of two of taps, so without any rounding."""
    x = np.full((2, 8, 8, 19), 0.375, np.float32)
    assert (convkit.avg_pool2d(x, 4) == np.float32(0.375)).all()


def test_kernel_1_with_stride_2_picks_pixels(isa):
    x = numbers((2, 7, 8, 5), "float32", 0)
    for ceil_mode in (False, True):
        assert_same_bits(convkit.avg_pool2d(x, 1, stride=2, ceil_mode=ceil_mode), np.ascontiguousarray(x[:, ::2, ::2]))
        assert_same_bits(convkit.max_pool2d(x, 1, stride=2, ceil_mode=ceil_mode), np.ascontiguousarray(x[:, ::2, ::2]))


def test_indices_beyond_31_bits_are_right():
    """Two gigabytes of zeros that are never touched but at their end."""
    x = np.zeros((1, 2**31 + 16, 1), np.uint8)
    x[0, -1] = 7
    y, indices = convkit.max_pool1d(x, 16, stride=2**31, return_indices=True)
    assert y.ravel().tolist() == [0, 7]
    assert indices.ravel().tolist() == [0, 2**31 + 15]


def test_a_broadcast_array_larger_than_memory_is_not_copied():
    x = np.broadcast_to(np.float32(3), (1, 2**32, 1))
    assert (convkit.avg_pool1d(x, 2, stride=2**20) == 3).all()
    y, indices = convkit.max_pool1d(x, 2, stride=2**20, return_indices=True)
    assert (y == 3).all()
    assert np.array_equal(indices.ravel(), np.arange(4096) * 2**20)
