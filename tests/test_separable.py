"""Separable convolution is the two convolutions it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import each_dtype, numbers, to_layout

import convkit

X, D, P = (2, 7, 8, 5), (10, 3, 3, 1), (6, 1, 1, 10)


@each_dtype
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("how", [{}, {"padding": "same", "stride": 2}, {"padding": 2, "dilation": 2, "pad_mode": "edge"},
                                 {"flip": True}], ids=str)  # fmt: skip
def test_it_is_two_convolutions(how, layout, dtype, isa):
    x, d, p = (to_layout(numbers(shape, dtype, 0), layout) for shape in (X, D, P))
    b = numbers((6,), dtype, 1)
    between = convkit.conv2d(x, d, groups=5, layout=layout, **how)
    want = convkit.conv2d(between, p, b, layout=layout, activation="relu")
    got = convkit.separable_conv2d(x, d, p, b, layout=layout, activation="relu", **how)
    assert_same_bits(got, want)
    out = np.empty(want.shape, dtype)
    packed = convkit.pack_filters(d, groups=5, layout=layout), convkit.pack_filters(p, layout=layout)
    assert convkit.separable_conv2d(x, *packed, b, layout=layout, activation="relu", out=out, threads=2, **how) is out
    assert_same_bits(out, want)
    assert_same_bits(convkit.separable_conv2d(x[1], d, p, b, layout=layout, activation="relu", **how), want[1])


@pytest.mark.parametrize(
    ("place", "value", "error", "words"),
    [
        (0, np.zeros((7, 8), np.float32), ValueError, "x must be 4-D"),
        (0, np.zeros((2, 7, 8, 0), np.float32), ValueError, "a multiple of the 0 channels"),
        (1, np.zeros((7, 3, 3, 1), np.float32), ValueError, "a multiple of the 5 channels of x as filters, got 7"),
        (1, np.zeros((10, 3, 3), np.float32), ValueError, "depthwise_w must be 4-D"),
        (1, np.zeros(D), TypeError, "x and depthwise_w must have the same dtype, got float32 and float64"),
        (2, np.zeros((6, 1, 1, 5), np.float32), ValueError, "pointwise_w must have 10 input channels"),
        (2, np.zeros((6, 3, 1, 10), np.float32), ValueError, "pointwise_w must have 1x1 filters, got 3x1"),
        (2, np.zeros(P, "i4"), TypeError, "pointwise_w must be float32 or float64, got int32"),
        (1, convkit.pack_filters(np.zeros(D, np.float32)), ValueError, "packed from 4-D filters for groups=5, got 4-D ones"),
        (1, np.zeros((10, 9, 3, 1), np.float32), ValueError, "larger than the padded input along h: 9 (effective) and 7"),
        (3, np.zeros(5, np.float32), ValueError, "bias must have shape (6,), got (5,)"),
    ],
)
def test_wrong_arguments_are_one_clear_error(place, value, error, words):
    args = [np.zeros(shape, np.float32) for shape in (X, D, P, (6,))]
    args[place] = value
    with pytest.raises(error, match=r"^separable_conv2d: ") as raised:
        convkit.separable_conv2d(*args)
    assert words in str(raised.value)
