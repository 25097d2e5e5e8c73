"""Padding is np.pad, cropping is slicing, and pixel shuffle moves every number to its place; gradients are adjoints."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_exact, assert_same_bits
from cases import FIRST, LAST, each_dtype, from_layout, numbers, to_layout
from test_conv_arrays import OUTS, each_view

import convkit

MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
STATISTICS = ("maximum", "mean", "median", "minimum")
PADS = [((2, 5, 7, 3), ((1, 2), (3, 0))), ((1, 4, 2), ((9, 7),)), ((1, 3, 4, 5, 2), ((0, 1), (2, 2), (3, 1))),
        ((1, 1, 6, 1), ((2, 2), (0, 0))), ((0, 4, 3), ((1, 1),)), ((2, 4, 0), ((1, 1),))]  # fmt: skip
each_mode = pytest.mark.parametrize("mode", MODES)


@each_dtype
@each_mode
@pytest.mark.parametrize(("shape", "pads"), PADS, ids=str)
def test_pad_is_numpys_and_its_gradient_is_the_adjoint(shape, pads, mode, dtype):
    x = numbers(shape, dtype, 0, integers=True)
    x[x == 4] = -0.0
    by = {"constant_values": 1.5} if mode == "constant" else {}
    want = np.pad(x, ((0, 0), *pads, (0, 0)), mode=mode, **by)
    dy = numbers(want.shape, dtype, 1, integers=True)
    spread = np.zeros((shape[0], int(np.prod(shape[1:-1])), shape[-1]))
    source = np.pad(np.arange(spread.shape[1]).reshape(shape[1:-1]), pads, mode=mode,
                    **({"constant_values": -1} if by else {})).ravel()
    for place, share in zip(source, np.moveaxis(dy.reshape(shape[0], len(source), shape[-1]), 1, 0), strict=True):
        if place >= 0:
            spread[:, place] += share
    for layout in (LAST[len(shape) - 2], FIRST[len(shape) - 2]):
        y = convkit.pad(to_layout(x, layout), pads, mode=mode, value=1.5, layout=layout)
        assert_same_bits(from_layout(y, layout), want)
        dx = convkit.pad_grad(to_layout(dy, layout), pads, mode=mode, layout=layout)
        assert_exact(from_layout(dx, layout), spread.reshape(shape), dtype)
        cut = convkit.crop(y, pads, layout=layout)
        assert_same_bits(from_layout(cut, layout), x)
        assert not np.shares_memory(cut, y)


@each_dtype
@pytest.mark.parametrize(
    ("mode", "stat"),
    [("linear_ramp", None), *((mode, stat) for mode in STATISTICS for stat in (None, 2, ((1, 3), (2, 9))))],
    ids=str,
)
def test_computed_padding_is_numpys_and_its_gradient_its_slope(mode, stat, dtype):
    x, pads = numbers((2, 5, 6, 3), dtype, 0), ((1, 3), (4, 0))
    how = {"stat_length": stat} if stat else {}
    by = {"end_values": 1.5} if mode == "linear_ramp" else {}
    by |= {"stat_length": ((1, 1), *np.broadcast_to(stat, (2, 2)), (1, 1))} if stat else {}
    want = np.pad(x, ((0, 0), *pads, (0, 0)), mode=mode, **by)
    dy = numbers(want.shape, dtype, 1)
    for layout in ("NHWC", "NCHW"):
        y = convkit.pad(to_layout(x, layout), pads, mode=mode, value=1.5, layout=layout, **how)
        assert_same_bits(from_layout(y, layout), want)
        dx = from_layout(convkit.pad_grad(to_layout(dy, layout), pads, to_layout(x, layout), mode=mode, layout=layout, **how),
                         layout)  # fmt: skip
        assert dx.dtype == dtype
    if dtype == "float64":                              # linear where no order changes
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[i] = 1e-6
            ends = (convkit.pad(x + sign * step, pads, mode=mode, value=1.5, **how) for sign in (1, -1))
            slope = np.vdot(np.subtract(*ends), dy) / 2e-6
            np.testing.assert_allclose(dx[i], slope, rtol=1e-6, atol=1e-7)


def test_empty_padding_keeps_the_image_and_has_no_gradient():
    x = numbers((2, 3, 4, 2), "float32", 0)
    assert_same_bits(convkit.pad(x, 2, mode="empty")[:, 2:-2, 2:-2], x)
    assert_same_bits(convkit.pad_grad(convkit.pad(x, 2, value=7), 2, mode="empty"), x)
    assert convkit.pad(x[:, :0], 1, mode="empty").shape == (2, 2, 6, 2)


def test_padding_of_one_number_for_all_axes_or_one_for_each():
    x = numbers((1, 3, 4, 2), "float32", 0)
    assert_same_bits(convkit.pad(x, 1), convkit.pad(x, ((1, 1), (1, 1))))
    assert_same_bits(convkit.pad(x, (1, 2)), convkit.pad(x, ((1, 1), (2, 2))))
    assert_same_bits(convkit.pad(np.zeros((1, 0, 2)), 2, value=3), np.full((1, 4, 2), 3.0))
    assert np.isnan(convkit.pad(x, 1, value=np.nan)).sum() == 2 * (5 * 6 - 3 * 4)


@each_dtype
@pytest.mark.parametrize("shape", [(2, 3, 4, 12), (1, 2, 2, 9), (0, 2, 2, 4), (1, 1, 1, 4)], ids=str)
@pytest.mark.parametrize("order", ["CRD", "DCR"])
def test_pixel_shuffle_is_its_definition_and_unshuffle_its_inverse(order, shape, dtype):
    r = 3 if shape[-1] == 9 else 2
    n, h, w, c = shape[0], shape[1] * r, shape[2] * r, shape[3] // r**2
    x = numbers(shape, dtype, 0)
    want = np.zeros((n, h, w, c), dtype)
    for i, j, k in np.ndindex(h, w, c):
        channel = (k * r + i % r) * r + j % r if order == "CRD" else ((i % r) * r + j % r) * c + k
        want[:, i, j, k] = x[:, i // r, j // r, channel]
    for layout in ("NHWC", "NCHW"):
        y = convkit.pixel_shuffle(to_layout(x, layout), r, order=order, layout=layout)
        assert_same_bits(from_layout(y, layout), want)
        assert_same_bits(from_layout(convkit.pixel_unshuffle(y, r, order=order, layout=layout), layout), x)


@each_view
def test_any_view_gives_the_bits_of_its_contiguous_copy(view):
    x = numbers((2, 8, 6, 8), "float32", 5)
    before = view(x).tobytes()
    for run in (lambda a: convkit.pad(a, 2, mode="reflect"), lambda a: convkit.pad_grad(a, 2, mode="reflect"),
                lambda a: convkit.crop(a, 1), lambda a: convkit.pixel_shuffle(a, 2), lambda a: convkit.pixel_unshuffle(a, 2)):
        assert_same_bits(run(view(x)), run(x))
    assert view(x).tobytes() == before


@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS.keys())
def test_out_is_returned_and_filled(make):
    x = numbers((2, 8, 6, 8), "float32", 6)
    for run in (lambda **how: convkit.pad(x, 2, mode="wrap", **how), lambda **how: convkit.crop(x, 1, **how),
                lambda **how: convkit.pixel_shuffle(x, 2, **how), lambda **how: convkit.pixel_unshuffle(x, 2, **how)):
        want = run()
        out = make(want.shape)
        assert run(out=out) is out
        assert_same_bits(np.ascontiguousarray(out), want)


X = np.zeros((1, 4, 4, 4))
WRONG = [
    (lambda: convkit.pad(X, -1), ValueError, "pad: padding must be >= 0, got -1"),
    (lambda: convkit.pad(X, (1, 2, 3)), ValueError, "pad: padding must be an int or 2 ints"),
    (lambda: convkit.pad(X, ((1, 2),)), ValueError, "pad: padding must have 2 pairs"),
    (lambda: convkit.pad(X, 1.0), TypeError, "pad: padding must be"),
    (lambda: convkit.pad(X, True), TypeError, "pad: padding must be"),
    (lambda: convkit.pad(X, "same"), TypeError, "pad: padding must be"),
    (lambda: convkit.pad(X, 2**62), ValueError, "pad: output .* needs .* bytes"),
    (lambda: convkit.pad(X, 1, mode="middle"), ValueError, "pad: mode must be one of"),
    (lambda: convkit.pad(X, 1, mode="edge", stat_length=2), ValueError, "stat_length is for the modes maximum, mean"),
    (lambda: convkit.pad(X, 1, mode="mean", stat_length=0), ValueError, "pad: stat_length must be >= 1, got 0"),
    (lambda: convkit.pad(X, 1, mode="mean", stat_length=((1, 2),)), ValueError, "stat_length must have 2 pairs"),
    (lambda: convkit.pad(X[:, :0], 1, mode="median"), ValueError, "there is none along h"),
    (lambda: convkit.pad_grad(X, 1, mode="maximum"), ValueError, "pad_grad: mode='maximum' needs x"),
    (lambda: convkit.pad_grad(X, 1, X, mode="minimum"), ValueError, "pad_grad: x must have the shape"),
    (lambda: convkit.pad(X, 1, value="0"), TypeError, "pad: value must be a number"),
    (lambda: convkit.pad(X[:, :0], 1, mode="edge"), ValueError, "there is none along h"),
    (lambda: convkit.pad(X[0, 0], 1), ValueError, "pad: x must be 3-D, 4-D or 5-D"),
    (lambda: convkit.pad(X.astype(int), 1), TypeError, r"astype\(np.float32\)"),
    (lambda: convkit.pad(X, 1, layout="NCL"), ValueError, "pad: layout must be"),
    (lambda: convkit.pad_grad(X, 3), ValueError, "pad_grad: dy must be at least as large as the padding"),
    (lambda: convkit.crop(X, 2), ValueError, "crop: cropping 2 leaves nothing"),
    (lambda: convkit.crop(X, -1), ValueError, "crop: cropping must be >= 0"),
    (lambda: convkit.pixel_shuffle(X, 3), ValueError, "9 must divide the 4 channels"),
    (lambda: convkit.pixel_shuffle(X, 0), ValueError, "pixel_shuffle: factor must be >= 1"),
    (lambda: convkit.pixel_shuffle(X, 2.0), TypeError, "pixel_shuffle: factor must be"),
    (lambda: convkit.pixel_shuffle(X, 2, order="RCD"), ValueError, "pixel_shuffle: order must be"),
    (lambda: convkit.pixel_unshuffle(X, 3), ValueError, "factor 3 must divide the height 4 and the width 4"),
    (lambda: convkit.pixel_unshuffle(X[0], 2), ValueError, "x must be 4-D"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_a_wrong_argument_is_one_clear_error(call, error, words):
    with pytest.raises(error, match=words):
        call()
