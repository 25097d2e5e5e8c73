"""im2col is the windows, col2im its adjoint, and the algorithm of that name has the bits of the direct one."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from bounds import assert_exact, assert_same_bits
from cases import CONVS, Conv, each_conv, each_dtype, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conv import check_forward
from test_conv_grad import check_gradients

import convkit
from convkit.ops import lowering


def windows(case: Conv) -> dict:
    return {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}


def definition(case: Conv, x: np.ndarray) -> np.ndarray:
    """Each tap of each window, from the padded image."""
    padded = np.pad(x, ((0, 0), *(axis[3] for axis in case.axes), (0, 0)))
    cols = np.empty((*case.y[:-1], *case.k, x.shape[-1]), x.dtype)
    for tap in np.ndindex(*case.k):
        places = (slice(t * d, t * d + (out - 1) * s + 1, s) for t, (_, _, s, _, d, out) in zip(tap, case.axes, strict=True))
        cols[(Ellipsis, *tap, slice(None))] = padded[(slice(None), *places)]
    return cols.reshape(*case.y[:-1], -1)


@reproducible
def check_columns(case: Conv, dtype: str, seed: int, threads: int) -> None:
    x = numbers(case.x, dtype, seed, integers=True)
    want = definition(case, x)
    g = numbers(want.shape, dtype, seed + 1, integers=True)
    for layout in case.layouts():
        how = {"layout": layout, "threads": threads, **windows(case)}
        cols = convkit.im2col(to_layout(x, layout), case.k, **how)
        taps, channels = int(np.prod(case.k)), case.x[-1]
        assert_same_bits(in_filter_order(cols, layout, taps, channels), want)
        back = convkit.col2im(in_layout(g, layout, taps, channels), to_layout(x, layout).shape, case.k, **how)
        assert (want.astype(np.float64) * g).sum() == (from_layout(back, layout).astype(np.float64) * x).sum()
        assert back.dtype == dtype


def in_filter_order(cols: np.ndarray, layout: str, taps: int, channels: int) -> np.ndarray:
    if layout[1] != "C":
        return cols
    last = np.moveaxis(cols, 1, -1)
    return last.reshape(*last.shape[:-1], channels, taps).swapaxes(-1, -2).reshape(last.shape)


def in_layout(cols: np.ndarray, layout: str, taps: int, channels: int) -> np.ndarray:
    if layout[1] != "C":
        return cols
    return np.moveaxis(cols.reshape(*cols.shape[:-1], taps, channels).swapaxes(-1, -2).reshape(cols.shape), -1, 1)


@each_dtype
@each_conv
def test_columns_are_the_windows_and_col2im_the_adjoint(case, dtype):
    check_columns(case, dtype, 0, 2)


@settings(max_examples=examples(100))
@given(case=strategies.convs(), dtype=strategies.dtypes, seed=strategies.seeds, threads=strategies.threads)
def test_random_columns_are_the_windows_and_col2im_the_adjoint(case, dtype, seed, threads):
    check_columns(case, dtype, seed, threads)


def test_col2im_by_hand():
    cols = np.array([[[1.0, 2], [3, 4], [5, 6]]])
    assert convkit.col2im(cols, (1, 4, 1), 2).ravel().tolist() == [1, 5, 9, 6]
    assert convkit.col2im(cols, (1, 5, 1), 2, stride=2, padding=((1, 0),)).ravel().tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("case", [c for c in CONVS if c.groups == 1][::4], ids=lambda c: c.name)
def test_a_convolution_is_a_product_of_matrices(case):
    x, w = numbers(case.x, "float64", 0, integers=True), numbers(case.w, "float64", 1, integers=True)
    for layout in case.layouts():
        a, filters = to_layout(x, layout), to_layout(w, layout)
        want = from_layout(op("conv", case)(a, filters, layout=layout, **windows(case)), layout)
        cols = from_layout(convkit.im2col(a, case.k, layout=layout, **windows(case)), layout)
        assert_exact(cols @ filters.reshape(case.o, -1).T, want, "float64")


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_out_of_any_memory_is_filled(layout):
    case = Conv((2, 5, 6, 3), 1, (3, 2), padding=1)
    x = to_layout(numbers(case.x, "float32", 0), layout)
    want = convkit.im2col(x, case.k, padding=1, layout=layout)
    back = convkit.col2im(want, x.shape, case.k, padding=1, layout=layout)
    for function, args, expected in ((convkit.im2col, (x,), want), (convkit.col2im, (want, x.shape), back)):
        for out in (np.empty_like(expected), np.empty((*expected.shape, 2), np.float32)[..., 1],
                    np.empty((*expected.shape[:-1], expected.shape[-1] + 2), np.float32)[..., 1:-1]):
            assert function(*args, case.k, padding=1, layout=layout, out=out) is out
            assert_same_bits(out, expected)
    spread = np.repeat(x, 2, axis=-1)[..., ::2]
    assert_same_bits(convkit.im2col(spread, case.k, padding=1, layout=layout), want)


def test_col2im_has_the_same_bits_for_any_number_of_threads():
    case = Conv((3, 30, 31, 7), 1, (3, 3), stride=2, padding=1)
    cols = numbers((*case.y[:-1], 63), "float32", 0)
    want = convkit.col2im(cols, case.x, 3, stride=2, padding=1, threads=1)
    for threads in (2, 3, 7):
        assert_same_bits(convkit.col2im(cols, case.x, 3, stride=2, padding=1, threads=threads), want)


# --- the algorithm --------------------------------------------------------------------------------------------------------


@each_dtype
@each_conv
def test_the_algorithm_is_its_definition(case, dtype, isa, monkeypatch):
    monkeypatch.setattr(lowering, "BLOCK", 1 << 14)  # several blocks even of small arrays
    for layout in case.layouts():
        check_forward(case, dtype, layout, algorithm="im2col")
        check_forward(case, dtype, layout, integers=True, algorithm="im2col")
        check_gradients(case, dtype, layout, integers=True, algorithm="im2col")


@settings(max_examples=examples(100))
@given(case=strategies.convs() | strategies.busy_convs(), dtype=strategies.dtypes, seed=strategies.seeds,
       threads=st.sampled_from([2, 3, 7]))
def test_the_algorithm_has_the_bits_of_the_direct_one_and_of_one_thread(isa, case, dtype, seed, threads):
    dy, x, w, b = (numbers(shape, dtype, seed) for shape in (case.y, case.x, case.w, (case.o,)))
    conv, grad = op("conv", case), op("conv", case, "_grad")
    y = conv(x, w, b, algorithm="im2col", threads=threads, **case.how)
    assert_same_bits(y, conv(x, w, b, algorithm="direct", **case.how))
    one, many = (grad(dy, x, w, algorithm="im2col", threads=n, **case.how) for n in (1, threads))
    for got, want in zip(many, one, strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("case", CONVS[::9], ids=lambda c: c.name)
def test_the_algorithm_takes_packed_filters_relu_and_any_out(case, isa):
    x, w, b = (numbers(shape, "float32", 3) for shape in (case.x, case.w, (case.o,)))
    conv, packed = op("conv", case), convkit.pack_filters(w, groups=case.groups)
    want = conv(x, w, b, activation="relu", **case.how)
    out = np.empty((*want.shape[:-1], want.shape[-1] + 3), np.float32)[..., 1:-2]
    for _ in range(2):
        conv(x, packed, b, activation="relu", algorithm="im2col", out=out, **case.how)
        assert_same_bits(out, want)
    size = packed.nbytes
    conv(x, packed, b, algorithm="im2col", **case.how)
    assert packed.nbytes == size


# --- wrong arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "how", "error", "words"),
    [
        ((np.zeros((4, 4)), 3), {}, ValueError, ["x", "3 to 5 axes", "2-D"]),
        ((np.zeros((1, 4, 4, 1)), 0), {}, ValueError, ["kernel_size", ">= 1"]),
        ((np.zeros((1, 4, 4, 1)), (3, 3, 3)), {}, ValueError, ["kernel_size", "2 ints"]),
        ((np.zeros((1, 4, 4, 1)), 2.0), {}, TypeError, ["kernel_size"]),
        ((np.zeros((1, 4, 4, 1)), 5), {}, ValueError, ["larger", "5", "4"]),
        ((np.zeros((1, 4, 4, 1)), 3), {"stride": 0}, ValueError, ["stride"]),
        ((np.zeros((1, 4, 4, 1)), 3), {"layout": "NLC"}, ValueError, ["layout"]),
        ((np.zeros((1, 4, 4, 1), "i4"), 3), {}, TypeError, ["x", "astype"]),
        ((np.zeros((1, 4, 4, 1)), 3), {"out": np.zeros((1, 2, 2, 8))}, ValueError, ["out", "(1, 2, 2, 9)"]),
    ],
    ids=str,
)
def test_wrong_arguments_of_im2col_are_one_clear_error(args, how, error, words):
    with pytest.raises(error, match=r"^im2col: ") as raised:
        convkit.im2col(*args, **how)
    assert all(word in str(raised.value) for word in words), raised.value


def test_columns_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"^col2im: cols must have shape \(1, 2, 2, 9\) for x_shape \(1, 4, 4, 1\), got"):
        convkit.col2im(np.zeros((1, 2, 2, 8)), (1, 4, 4, 1), 3)
    with pytest.raises(ValueError, match=r"^col2im: x_shape must have 3 to 5 sizes"):
        convkit.col2im(np.zeros((1, 2, 2, 8)), (4, 4), 3)
    with pytest.raises(TypeError, match=r"^col2im: x_shape"):
        convkit.col2im(np.zeros((1, 2, 2, 8)), (1, 4.0, 4, 1), 3)
