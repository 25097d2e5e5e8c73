"""The gradients of convolution are the adjoint of the forward pass, and what finite differences say."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import Conv, each_conv, each_dtype, each_empty_conv, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit

NAMES = ("dx", "dw", "db")


@functools.lru_cache(maxsize=2048)
def definition(case: Conv, dtype: str, integers: bool, seed: int) -> tuple[tuple, tuple, tuple]:
    """The arrays (dy, x, w), the three gradients, and the same sums of absolute values."""
    dy, x, w = arrays = tuple(numbers(shape, dtype, seed, integers) for shape in (case.y, case.x, case.w))
    return arrays, reference.conv_grad(dy, x, w, **case.how), reference.conv_grad(abs(dy), abs(x), abs(w), **case.how)


@reproducible
def check_gradients(case: Conv, dtype: str, layout: str, integers: bool = False, seed: int = 0, **options) -> None:
    arrays, wants, magnitudes = definition(case, dtype, integers, seed)
    got = op("conv", case, "_grad")(*(to_layout(a, layout) for a in arrays), layout=layout, **case.how, **options)
    dx, dw, db = from_layout(got[0], layout), from_layout(got[1], layout), got[2]
    for name, grad, want, magnitude in zip(NAMES, (dx, dw, db), wants, magnitudes, strict=True):
        try:
            if integers:
                assert_exact(grad, want, dtype)
            else:
                assert_within_rounding(grad, want, magnitude, max(case.terms[name], 1), dtype)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@reproducible
def check_adjoint(case: Conv, dtype: str, layout: str, seed: int = 0, threads: int = 1) -> None:
    """<conv(x, w), g> == <x, dx> == <w, dw>, and <b, db> likewise: in integers, so exactly."""
    g, x, w = (to_layout(numbers(shape, dtype, seed, integers=True), layout) for shape in (case.y, case.x, case.w))
    how = dict(layout=layout, algorithm="direct", threads=threads, **case.how)
    y = op("conv", case)(x, w, **how)
    dx, dw, db = op("conv", case, "_grad")(g, x, w, **how)
    want = inner(y, g)
    assert (inner(x, dx), inner(w, dw)) == (want, want)
    assert db.tolist() == from_layout(g, layout).astype(np.float64).reshape(-1, case.o).sum(axis=0).tolist()


def inner(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


@each_dtype
@each_conv
def test_gradients_are_their_definition(case, dtype, isa):
    for layout in case.layouts():
        check_gradients(case, dtype, layout)


@each_dtype
@each_conv
def test_gradients_of_integers_are_exact(case, dtype, isa):
    for layout in case.layouts():
        check_gradients(case, dtype, layout, integers=True, algorithm="direct")


@each_dtype
@each_conv
def test_gradients_are_the_adjoint(case, dtype, isa):
    for layout in case.layouts():
        check_adjoint(case, dtype, layout)


@settings(max_examples=examples(300))
@given(case=strategies.convs(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(), threads=strategies.threads)
def test_gradients_of_a_random_conv_are_their_definition(isa, case, dtype, seed, first, threads):
    check_gradients(case, dtype, case.layouts()[first], seed=seed, threads=threads)


@settings(max_examples=examples(200))
@given(case=strategies.convs(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(), threads=strategies.threads)
def test_gradients_of_a_random_conv_are_the_adjoint(isa, case, dtype, seed, first, threads):
    check_adjoint(case, dtype, case.layouts()[first], seed=seed, threads=threads)


@settings(max_examples=examples(60))
@given(case=strategies.busy_convs(), seed=strategies.seeds, first=st.booleans())
def test_gradients_of_a_busy_conv_are_the_adjoint(isa, case, seed, first):
    """Large enough for several threads and several blocks of every loop; needs no slow definition."""
    check_adjoint(case, "float32", case.layouts()[first], seed=seed, threads=2)


@each_empty_conv
def test_gradients_of_nothing_have_their_shapes(case):
    for layout in case.layouts():
        check_gradients(case, "float32", layout)


DIFFERENTIABLE = [
    Conv((2, 5, 6, 3), 4, (3, 3), padding=1),
    Conv((1, 7, 7, 4), 4, (3, 2), stride=2, padding=((1, 0), (0, 2)), groups=2),
    Conv((2, 12, 2), 3, (3,), dilation=2, padding="same"),
    Conv((1, 4, 5, 4, 2), 3, (2, 3, 2), stride=(1, 2, 1)),
    Conv((2, 6, 6, 5), 10, (3, 3), groups=5),
]


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=repr)
def test_gradients_agree_with_finite_differences(case, isa):
    """The op is linear in each argument, so a central difference has no truncation error and the step may be 1."""
    (g, x, w), _, _ = definition(case, "float64", False, 5)
    b, how = numbers((case.o,), "float64", 6), case.how
    conv = op("conv", case)
    grads = op("conv", case, "_grad")(g, x, w, **how)
    rng = np.random.default_rng(7)
    for i, grad in enumerate(grads):
        arrays = [x, w, b]
        for at in rng.integers(0, arrays[i].size, 12):
            step = np.zeros(arrays[i].size)
            step[at] = 1
            up, down = ([*arrays[:i], arrays[i] + sign * step.reshape(arrays[i].shape), *arrays[i + 1:]] for sign in (1, -1))
            slope = ((conv(*up, **how) - conv(*down, **how)) * g).sum() / 2
            np.testing.assert_allclose(grad.ravel()[at], slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("needs", [(), ("x",), ("w",), ("b",), ("x", "w"), ("b", "x"), ("w", "b")], ids=str)
def test_only_the_gradients_asked_for_are_computed(needs, isa):
    case = Conv((2, 9, 8, 5), 7, (3, 3), stride=2, padding=1)
    arrays, _, _ = definition(case, "float32", False, 0)
    every = convkit.conv2d_grad(*arrays, **case.how)
    some = convkit.conv2d_grad(*arrays, needs=needs, **case.how)
    for name, all_of_them, grad in zip("xwb", every, some, strict=True):
        if name in needs:
            assert_same_bits(grad, all_of_them)
        else:
            assert grad is None


def test_a_one_by_one_stride_2_filter_gradient_is_right_for_1_to_4_threads(isa):
    for threads in (1, 2, 3, 4):
        check_gradients(Conv((4, 28, 26, 4), 16, (1, 1), stride=2), "float32", "NHWC", threads=threads)


def test_the_gradient_of_an_nchw_input_is_a_view_of_channels_last_memory():
    x, w = np.zeros((2, 3, 8, 9), np.float32), np.zeros((5, 3, 3, 3), np.float32)
    dx, dw, _ = convkit.conv2d_grad(np.zeros((2, 5, 6, 7), np.float32), x, w, layout="NCHW")
    assert (dx.shape, dw.shape) == (x.shape, w.shape)
    assert np.moveaxis(dx, 1, -1).flags.c_contiguous
