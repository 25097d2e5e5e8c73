"""The forward convolution is its definition: named shapes, random ones, every layout, dtype and instruction set."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import (
    CONVS,
    Conv,
    each_conv,
    each_dtype,
    each_empty_conv,
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


@functools.lru_cache(maxsize=2048)
def definition(case: Conv, dtype: str, integers: bool, seed: int) -> tuple[tuple, np.ndarray, np.ndarray]:
    """The arrays (x, w, b), the answer, and the same sum of absolute values."""
    x, w, b = arrays = tuple(numbers(shape, dtype, seed, integers) for shape in (case.x, case.w, (case.o,)))
    return arrays, reference.conv(x, w, b, **case.how), reference.conv(abs(x), abs(w), abs(b), **case.how)


@reproducible
def check_forward(case: Conv, dtype: str, layout: str, integers: bool = False, seed: int = 0, **options: Any) -> None:
    (x, w, b), want, magnitude = definition(case, dtype, integers, seed)
    y = op("conv", case)(to_layout(x, layout), to_layout(w, layout), b, layout=layout, **case.how, **options)
    got = from_layout(y, layout)
    if integers:
        assert_exact(got, want, dtype)
    else:
        assert_within_rounding(got, want, magnitude, case.terms["y"], dtype)


@each_dtype
@each_conv
def test_conv_is_its_definition(case, dtype, isa):
    for layout in case.layouts():
        check_forward(case, dtype, layout)


@each_dtype
@each_conv
def test_conv_of_integers_is_exact(case, dtype, isa):
    for layout in case.layouts():
        check_forward(case, dtype, layout, integers=True, algorithm="direct")


@settings(max_examples=examples(300))
@given(case=strategies.convs(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(), threads=strategies.threads)
def test_a_random_conv_is_its_definition(isa, case, dtype, seed, first, threads):
    check_forward(case, dtype, case.layouts()[first], seed=seed, threads=threads)


@settings(max_examples=examples(200))
@given(case=strategies.convs(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans())
def test_a_random_conv_of_integers_is_exact(isa, case, dtype, seed, first):
    check_forward(case, dtype, case.layouts()[first], integers=True, seed=seed, algorithm="direct")


@each_empty_conv
def test_conv_of_nothing_has_its_shape_and_bias(case):
    for layout in case.layouts():
        check_forward(case, "float32", layout)


@pytest.mark.parametrize("case", [c for c in CONVS if c.name != "padding beyond the filter"], ids=lambda c: c.name)
def test_every_case_reaches_half_of_its_outputs(case):
    assert case.reached() >= 0.5


def test_conv_is_a_cross_correlation():
    """By hand, so that the definition itself is held to something."""
    x, w = np.array([[[1.0], [2.0], [3.0], [5.0]]]), np.array([[[1.0], [10.0]]])
    assert convkit.conv1d(x, w).ravel().tolist() == [21, 32, 53]
    assert convkit.conv1d(x, w, padding="same").ravel().tolist() == [21, 32, 53, 5]  # the extra zero at the end
    assert convkit.conv1d(x, w, np.array([0.5]), stride=2, padding="full").ravel().tolist() == [10.5, 32.5, 5.5]
    image = np.arange(9.0).reshape(1, 3, 3, 1)
    square = np.array([[1.0, 10], [100, 1000]]).reshape(1, 2, 2, 1)
    assert convkit.conv2d(image, square).ravel().tolist() == [4310, 5421, 7643, 8754]


@each_dtype
def test_bias_is_zero_when_not_given(dtype, isa):
    case = Conv((2, 6, 7, 5), 11, (3, 3), padding=1)
    x, w = numbers(case.x, dtype, 0), numbers(case.w, dtype, 0)
    assert_same_bits(convkit.conv2d(x, w, padding=1), convkit.conv2d(x, w, np.zeros(11, dtype), padding=1))


@each_dtype
@pytest.mark.parametrize("outputs", [1, 7, 16, 33, 65])
def test_relu_is_the_plain_result_with_negatives_set_to_zero(outputs, dtype, isa):
    case = Conv((2, 6, 7, 5), outputs, (3, 3), padding=1)
    (x, w, b), _, _ = definition(case, dtype, False, 0)
    plain = convkit.conv2d(x, w, b, **case.how)
    assert 0 < np.count_nonzero(plain > 0) < plain.size
    assert_same_bits(convkit.conv2d(x, w, b, activation="relu", **case.how), np.where(plain > 0, plain, 0).astype(dtype))
    assert_same_bits(convkit.conv2d(x, w, activation="relu", **case.how) > 0, convkit.conv2d(x, w, **case.how) > 0)


NAMED_PADDINGS = [Conv((1, 9, 8, 3), 4, (2, 5), stride=(2, 1), dilation=(3, 1)), Conv((2, 12, 2), 3, (4,), stride=3)]


@pytest.mark.parametrize("name", ["valid", "same", "full"])
@pytest.mark.parametrize("case", NAMED_PADDINGS, ids=repr)
def test_a_padding_name_is_the_pairs_it_stands_for(case, name, isa):
    x, w = numbers(case.x, "float32", 0), numbers(case.w, "float32", 0)
    how = {"stride": case.stride, "dilation": case.dilation}
    pairs = reference.pads(name, case.x[1:-1], case.k, **how)
    assert_same_bits(op("conv", case)(x, w, padding=name, **how), op("conv", case)(x, w, padding=pairs, **how))


def test_identical_filters_give_identical_bits(isa):
    """Whatever place in a tile, or in its tail, a channel has."""
    x, one = numbers((2, 7, 9, 6), "float32", 1), numbers((1, 3, 3, 6), "float32", 2)
    y = convkit.conv2d(x, np.repeat(one, 71, axis=0), padding=1)
    assert_same_bits(y, np.repeat(y[..., :1], 71, axis=-1))


def test_identical_images_give_identical_bits(isa):
    one, w = numbers((1, 7, 9, 6), "float32", 1), numbers((19, 3, 3, 6), "float32", 2)
    y = convkit.conv2d(np.repeat(one, 7, axis=0), w, padding=1)
    assert_same_bits(y, np.repeat(y[:1], 7, axis=0))


@settings(max_examples=examples(200))
@given(case=strategies.convs(), first=st.booleans())
def test_conv_output_shape_is_the_shape_of_the_result(case, first):
    layout = case.layouts()[first]
    x, w = to_layout(np.zeros(case.x), layout), to_layout(np.zeros(case.w), layout)
    shape = convkit.conv_output_shape(x.shape, w.shape, layout=layout, **case.how)
    assert tuple(shape) == to_layout(np.zeros(case.y), layout).shape
    assert all(type(n) is int for n in shape)


@each_dtype
@pytest.mark.parametrize("case", [c for c in CONVS if c.groups > 1 or c.rank != 2 or "layer" in c.name], ids=lambda c: c.name)
def test_packed_filters_give_the_same_bits(case, dtype, isa):
    (x, w, b), _, _ = definition(case, dtype, False, 0)
    for layout in case.layouts():
        packed = convkit.pack_filters(to_layout(w, layout), groups=case.groups, layout=layout)
        how = {"layout": layout, **case.how}
        plain = op("conv", case)(to_layout(x, layout), to_layout(w, layout), b, **how)
        assert_same_bits(op("conv", case)(to_layout(x, layout), packed, b, **how), plain)


def test_packed_filters_do_not_follow_later_changes_of_the_array(isa):
    x, w = numbers((1, 5, 5, 3), "float32", 0), numbers((4, 3, 3, 3), "float32", 0)
    want, packed = convkit.conv2d(x, w), convkit.pack_filters(w)
    w[...] = 0
    assert_same_bits(convkit.conv2d(x, packed), want)


def test_explain_names_the_algorithm_for_arrays_and_for_shapes():
    x, w = np.zeros((1, 8, 8, 3), np.float32), np.zeros((4, 3, 3, 3), np.float32)
    assert "first" in str(convkit.explain("conv2d", x, w, padding=1))
    assert str(convkit.explain("conv2d", x.shape, w.shape, padding=1)) == str(convkit.explain("conv2d", x, w, padding=1))


def test_the_result_of_an_nchw_call_is_a_view_of_channels_last_memory():
    y = convkit.conv2d(np.zeros((2, 3, 8, 9), np.float32), np.zeros((5, 3, 3, 3), np.float32), layout="NCHW")
    assert y.shape == (2, 5, 6, 7)
    assert np.moveaxis(y, 1, -1).flags.c_contiguous
