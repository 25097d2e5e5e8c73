"""What `residual=` adds to a convolution before its activation, by every algorithm that can run it."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import CONVS, EMPTY_CONVS, Conv, from_layout, numbers, op, to_layout
from test_conv_arrays import each_view
from test_special import each_algorithm

import convkit

EXACT = {"direct", "im2col", "depthwise", "grouped", "first", "few", "winograd2"}
MORE = [
    Conv((1, 9, 9, 3), 20, (6, 7), padding=3, name="more taps than a table of pointers holds"),
    Conv((1, 7, 7, 5, 3), 6, (6, 6, 2), padding=2, groups=3, name="depthwise with more lines than are summed at once"),
    Conv((2, 5, 700, 5), 2, (3, 5), padding=(1, 4), name="few outputs, lines in pieces"),
    Conv((1, 12, 30, 24), 24, (3, 3), padding=1, groups=6, name="groups of 4"),
]
CASE = Conv((2, 9, 10, 6), 10, (3, 3), padding=1)


def arguments(case: Conv, dtype: str, integers: bool = False) -> tuple:
    """x, w, b, residual"""
    return tuple(numbers(shape, dtype, seed, integers) for seed, shape in enumerate((case.x, case.w, (case.o,), case.y)))


def check(case: Conv, dtype: str) -> None:
    conv = op("conv", case)
    x, w, b, residual = arguments(case, dtype, integers=True)
    want = reference.conv(x, w, b, **case.how) + residual
    for name, y in each_algorithm(case, conv, x, w, b, residual=residual):
        if name in EXACT:
            assert_exact(y, want, dtype)
    for name, y in each_algorithm(case, conv, x, w, residual=residual, activation="relu"):
        if name in EXACT:
            assert_exact(y, np.maximum(reference.conv(x, w, **case.how) + residual, 0), dtype)
    x, w, b, residual = arguments(case, dtype)
    for name, y in each_algorithm(case, conv, x, w, b, residual=residual, activation="relu"):
        plain = conv(x, w, b, algorithm=name, **case.how).astype(np.float64)
        want, magnitude = np.maximum(plain + residual, 0), abs(residual) + reference.conv(abs(x), abs(w), abs(b), **case.how)
        error = abs(y - want) / (np.finfo(dtype).eps * magnitude * (case.terms["y"] + 2))
        assert error.max() <= 1, name


@pytest.mark.parametrize("case", CONVS[1::2], ids=lambda c: c.name)
def test_every_algorithm_adds_it_before_the_activation(case, isa):
    check(case, "float32")


@pytest.mark.parametrize("case", MORE, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_sums_start_from_it_once(case, dtype, isa):
    check(case, dtype)


@pytest.mark.parametrize("case", CONVS[::5], ids=lambda c: c.name)
def test_it_is_the_definition_in_float64(case, isa):
    x, w, b, residual = arguments(case, "float64")
    want, magnitude = (reference.conv(*map(f, (x, w, b)), **case.how) + f(residual) for f in (np.asarray, abs))
    y = op("conv", case)(x, w, b, residual=residual, algorithm="direct", **case.how)
    assert_within_rounding(y, want, magnitude, case.terms["y"] + 1, "float64")


@pytest.mark.parametrize("case", [CASE, *MORE], ids=lambda c: c.name or "plain")
def test_threads_and_a_split_of_the_batch_do_not_change_the_bits(case, isa):
    x, w, b, residual = arguments(case, "float32")
    for name, want in each_algorithm(case, op("conv", case), x, w, b, residual=residual, threads=1):
        how = {"algorithm": name, **case.how}
        for threads in (2, 3, 7):
            assert_same_bits(op("conv", case)(x, w, b, residual=residual, threads=threads, **how), want, name)
        parts = [op("conv", case)(x[i : i + 1], w, b, residual=residual[i : i + 1], **how) for i in range(len(x))]
        assert_same_bits(np.concatenate(parts), want, name)


@each_view
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_any_view_of_it_gives_the_same_bits(view, layout, isa):
    x, w, b, residual = arguments(CASE, "float32")
    want = convkit.conv2d(x, w, b, residual=residual, **CASE.how)
    viewed = view(to_layout(residual, layout))
    before = viewed.copy()
    y = convkit.conv2d(to_layout(x, layout), to_layout(w, layout), b, residual=viewed, layout=layout, **CASE.how)
    assert_same_bits(from_layout(y, layout), want)
    assert np.array_equal(viewed, before)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_out_may_be_the_residual_or_overlap_it(layout, isa):
    x, w, b, residual = arguments(CASE, "float32")
    x, w, residual = (to_layout(a, layout) for a in (x, w, residual))
    for name, want in each_algorithm(CASE, convkit.conv2d, x, w, b, residual=residual, layout=layout):
        how = {"algorithm": name, "layout": layout, **CASE.how}
        out = residual.copy()
        assert convkit.conv2d(x, w, b, residual=out, out=out, **how) is out
        assert_same_bits(out, want, name)
        room = np.zeros((3, *residual.shape[1:]), np.float32)
        room[1:] = residual
        convkit.conv2d(x, w, b, residual=room[1:], out=room[:2], **how)
        assert_same_bits(room[:2], want, name)


def test_it_stays_as_it_is_and_packed_filters_do_not_remember_it(isa):
    x, w, b, residual = arguments(CASE, "float32")
    packed, kept = convkit.pack_filters(w), residual.copy()
    for _ in range(2):
        plain = convkit.conv2d(x, packed, b, **CASE.how)
        assert_same_bits(convkit.conv2d(x, w, b, residual=residual, **CASE.how),
                         convkit.conv2d(x, packed, b, residual=residual, **CASE.how))
        assert_same_bits(convkit.conv2d(x, packed, b, **CASE.how), plain)
    assert np.array_equal(residual, kept)


def test_one_image_takes_a_residual_without_the_axis_of_the_batch(isa):
    x, w, b, residual = arguments(CASE, "float32")
    want = convkit.conv2d(x[:1], w, b, residual=residual[:1], **CASE.how)[0]
    assert_same_bits(convkit.conv2d(x[0], w, b, residual=residual[0], **CASE.how), want)
    with pytest.raises(ValueError, match="residual"):
        convkit.conv2d(x[0], w, b, residual=residual[:1], **CASE.how)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_every_pad_mode_takes_it(mode, isa):
    x, w, b, residual = arguments(CASE, "float32", integers=True)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode)
    want = np.maximum(reference.conv(padded, w, b) + residual, 0)
    how = {"algorithm": "direct", "pad_mode": mode, "padding": 1, "activation": "relu"}
    assert_exact(convkit.conv2d(x, w, b, residual=residual, **how), want, "float32")


@pytest.mark.parametrize("case", EMPTY_CONVS, ids=lambda c: c.name)
def test_where_nothing_is_summed_it_is_the_result(case, isa):
    x, w, b, residual = arguments(case, "float32", integers=True)
    want = np.maximum(reference.conv(x, w, b, **case.how) + residual, 0)
    assert_exact(op("conv", case)(x, w, b, residual=residual, activation="relu", **case.how), want, "float32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_it_reaches_its_own_output_alone(value, isa):
    x, w, b, residual = arguments(CASE, "float32")
    residual[1, 4, 5, 3] = value
    for name, y in each_algorithm(CASE, convkit.conv2d, x, w, b, residual=residual):
        assert np.array_equal(y[1, 4, 5, 3], value, equal_nan=True), name
        assert np.isfinite(np.delete(y.ravel(), np.ravel_multi_index((1, 4, 5, 3), y.shape))).all(), name
        relu = convkit.conv2d(x, w, b, residual=residual, algorithm=name, activation="relu", **CASE.how)
        assert np.array_equal(relu[1, 4, 5, 3], np.maximum(np.float32(value), 0), equal_nan=True), name


def test_infinite_filters_and_a_residual(isa):
    x, w, b, residual = arguments(CASE, "float32")
    w[2, 1, 1, 3] = np.inf
    with np.errstate(invalid="ignore"):
        want = reference.conv(x, w, b, **CASE.how) + residual
    for name, y in each_algorithm(CASE, convkit.conv2d, x, w, b, residual=residual):
        for kind in (np.isfinite, np.isnan, np.isposinf):
            assert np.array_equal(kind(y), kind(want)), name


@pytest.mark.parametrize("shape", [(1, 9, 10, 10), (2, 9, 10, 1), (2, 10, 9, 10)])
def test_a_residual_of_another_shape_is_refused(shape):
    x, w, b, _ = arguments(CASE, "float32")
    out = np.full(CASE.y, 7, np.float32)
    message = r"conv2d: residual must have the shape of the output \(2, 9, 10, 10\), got \("
    with pytest.raises(ValueError, match=message):
        convkit.conv2d(x, w, b, residual=np.zeros(shape, np.float32), out=out, **CASE.how)
    assert (out == 7).all()


def test_wrong_kinds_of_residual_are_refused():
    x, w, b, residual = arguments(CASE, "float32")
    with pytest.raises(TypeError, match="conv2d: x and residual must have the same dtype, got float32 and float64"):
        convkit.conv2d(x, w, b, residual=residual.astype(np.float64), **CASE.how)
    with pytest.raises(TypeError, match="conv2d: residual must be float32 or float64, got int64"):
        convkit.conv2d(x, w, b, residual=residual.astype(np.int64), **CASE.how)
    with pytest.raises(ValueError, match="conv2d: residual must be 4-D"):
        convkit.conv2d(x, w, b, residual=np.float32(1), **CASE.how)
    with pytest.raises(TypeError, match="conv2d: residual is a masked array"):
        convkit.conv2d(x, w, b, residual=np.ma.masked_array(residual), **CASE.how)
