"""Resizing is its definition: weights by the rules of interpolation, axis by axis; its gradient is the adjoint."""

from __future__ import annotations

import numpy as np
import pytest
import reference_more
from bounds import assert_same_bits, assert_within_rounding
from cases import FIRST, LAST, each_dtype, examples, from_layout, numbers, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conv_arrays import OUTS, each_view

import convkit

CASES = [
    ((2, 5, 7, 3), (10, 14), {}),
    ((1, 6, 5, 17), (3, 4), {}),
    ((1, 6, 5, 64), (12, 5), {"coordinates": "align_corners"}),
    ((2, 4, 9, 33), (7, 1), {"coordinates": "pytorch_half_pixel"}),
    ((1, 5, 6, 2), (9, 3), {"coordinates": "asymmetric", "mode": "cubic"}),
    ((2, 5, 7, 16), (10, 14), {"mode": "cubic"}),
    ((1, 7, 8, 5), (3, 11), {"mode": "cubic", "cubic_a": -0.5, "exclude_outside": True}),
    ((1, 20, 31, 4), (3, 7), {"antialias": True}),
    ((1, 20, 31, 4), (3, 40), {"antialias": True, "mode": "cubic", "exclude_outside": True}),
    ((1, 90, 2), (1,), {"antialias": True}),
    ((2, 11, 5), (23,), {}),
    ((1, 11, 1), (1,), {"coordinates": "align_corners"}),
    ((1, 3, 4, 5, 7), (5, 3, 8), {}),
    ((1, 3, 4, 5, 2), (6, 8, 10), {"mode": "cubic"}),
    ((1, 24, 26, 3, 2), (2, 3, 3), {"antialias": True}),
    *(((2, 5, 7, 3), (8, 3), {"mode": "nearest", "rounding": r, "coordinates": c})
      for r in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil") for c in ("half_pixel", "asymmetric")),
]  # fmt: skip
each_case = pytest.mark.parametrize(("shape", "size", "how"), CASES, ids=str)


def matrices(shape, size, how, scale=None):
    scales = (None,) * len(size) if scale is None else scale
    return [reference_more.resize_matrix(n, o, s, **how) for n, o, s in zip(shape[1:-1], size, scales, strict=True)]


def check(shape, size, how, dtype, layout, scale=None, seed=0, threads=None):
    x, along = numbers(shape, dtype, seed), matrices(shape, size, how, scale)
    terms = sum(int((m != 0).sum(axis=axis).max()) for m in along for axis in (0, 1)) + 2 * len(along) + 6
    by = {"layout": layout, "threads": threads, **how}
    y = convkit.resize(to_layout(x, layout), **({"size": size} if scale is None else {"scale": scale}), **by)
    # Weights are worked out in float64, of coordinates as large as the axis: their error counts beside those of the sums.
    sizes = [abs(m) + (len(m[0]) * (m != 0) if dtype == "float64" else 0) for m in along]
    want, magnitude = (reference_more.along_axes(a, m) for a, m in ((x, along), (abs(x), sizes)))
    assert_within_rounding(from_layout(y, layout), want, magnitude, terms, dtype)
    dy = numbers(want.shape, dtype, seed + 1)
    dx = convkit.resize_grad(to_layout(dy, layout), to_layout(x, layout).shape, scale=scale, **by)
    back, sizes = [m.T for m in along], [m.T for m in sizes]
    want, magnitude = (reference_more.along_axes(a, m) for a, m in ((dy, back), (abs(dy), sizes)))
    assert_within_rounding(from_layout(dx, layout), want, magnitude, terms, dtype)


@each_dtype
@each_case
def test_resize_and_its_gradient_are_their_definition(shape, size, how, dtype, isa):
    for layout in (LAST[len(shape) - 2], FIRST[len(shape) - 2]):
        check(shape, size, how, dtype, layout)


@settings(max_examples=examples(150))
@given(st.data())
def test_a_random_resize_is_its_definition(isa, data):
    rank = data.draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(1, {1: 60, 2: 14, 3: 6}[rank])] * rank)
    shape = (data.draw(st.integers(1, 2)), *data.draw(sizes), data.draw(st.sampled_from([1, 2, 3, 8, 15, 16, 17, 33])))
    mode = data.draw(st.sampled_from(["nearest", "linear", "cubic"]))
    how = {"mode": mode, "coordinates": data.draw(st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners"]))}
    if mode != "nearest":
        how |= {"antialias": data.draw(st.booleans()), "exclude_outside": data.draw(st.booleans())}
    layout = data.draw(st.sampled_from([LAST[rank], FIRST[rank]]))
    check(shape, data.draw(sizes), how, data.draw(st.sampled_from(["float32", "float64"])), layout,
          seed=data.draw(st.integers(0, 2**31)), threads=data.draw(st.sampled_from([1, 2])))


@pytest.mark.parametrize("coordinates", ["half_pixel", "half_pixel_symmetric", "asymmetric"])
def test_a_scale_gives_the_size_rounded_down_and_the_coordinates(coordinates):
    how = {"coordinates": coordinates}
    assert convkit.resize(np.zeros((1, 7, 5, 2)), scale=(1.5, 0.5), **how).shape == (1, 10, 2, 2)
    check((1, 7, 5, 2), (10, 2), how, "float64", "NHWC", scale=(1.5, 0.5))


def test_by_hand():
    """So that the definition itself is held to something."""
    x = np.array([0.0, 4, 8]).reshape(1, 3, 1)
    assert convkit.resize(x, 6).ravel().tolist() == [0, 1, 3, 5, 7, 8]
    assert convkit.resize(x, 5, coordinates="align_corners").ravel().tolist() == [0, 2, 4, 6, 8]
    assert convkit.resize(x, 6, mode="nearest").ravel().tolist() == [0, 0, 4, 4, 8, 8]
    assert convkit.resize(np.arange(4.0).reshape(1, 4, 1), 2).ravel().tolist() == [0.5, 2.5]
    np.testing.assert_allclose(convkit.resize(np.ones((1, 9, 1)), 4, mode="cubic", antialias=True), 1, rtol=1e-15)


@each_dtype
def test_the_nearest_pixel_is_copied_bit_by_bit(dtype, isa):
    x = numbers((1, 4, 5, 6), dtype, 0)
    x[0, 1] = [np.nan, np.inf, -0.0, np.finfo(dtype).tiny / 4, -np.inf, 1]
    assert_same_bits(convkit.resize(x, scale=2, mode="nearest"), x.repeat(2, axis=1).repeat(2, axis=2))
    assert_same_bits(convkit.resize(x, (4, 5), mode="cubic"), x)


@each_dtype
def test_a_nan_reaches_the_outputs_that_read_it_and_no_others(dtype, isa):
    for mode, size in (("linear", (9, 11)), ("cubic", (9, 11)), ("linear", (3, 2))):
        how = {"mode": mode, "coordinates": "align_corners"}     # every second output meets a pixel exactly
        x = numbers((1, 5, 6, 17), dtype, 0)
        x[0, 2, 3] = np.nan
        reads = matrices((1, 5, 6, 1), size, how)
        want = np.outer(reads[0][:, 2] != 0, reads[1][:, 3] != 0)
        assert np.array_equal(np.isnan(convkit.resize(x, size, **how)), np.broadcast_to(want[None, ..., None], (1, *size, 17)))


@each_dtype
def test_bits_do_not_depend_on_threads_or_the_rest_of_the_batch(dtype):
    for mode in ("nearest", "linear", "cubic"):
        x = numbers((3, 40, 30, 19), dtype, 0)
        y = convkit.resize(x, scale=2, mode=mode, threads=1)
        dx = convkit.resize_grad(y, x.shape, mode=mode, threads=1)
        for threads in (2, 3, 7):
            assert_same_bits(convkit.resize(x, scale=2, mode=mode, threads=threads), y)
            assert_same_bits(convkit.resize_grad(y, x.shape, mode=mode, threads=threads), dx)
        assert_same_bits(convkit.resize(x[1:], scale=2, mode=mode), y[1:])


@pytest.mark.parametrize("channels", [1, 700, 5000, 40000])
def test_lines_that_fit_no_cache_go_in_pieces(channels):
    """Pieces of lines; a piece of one pixel at last."""
    x = np.random.default_rng(0).integers(-9, 9, (1, 2, 13 if channels > 1 else 20000, channels)).astype(np.float32)
    y = convkit.resize(x, (4, x.shape[2] * 2))
    want = reference_more.along_axes(x[:, :, :13], matrices((1, 2, 13, 1), (4, 26), {}))
    assert np.array_equal(y[:, :, :24], want[:, :, :24])


@each_view
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_view_gives_the_bits_of_its_contiguous_copy(dtype, view):
    x = numbers((2, 8, 9, 6), dtype, 5)
    before = view(x).tobytes()
    assert_same_bits(convkit.resize(view(x), (5, 20)), convkit.resize(x, (5, 20)))
    assert_same_bits(convkit.resize_grad(view(x), (2, 3, 30, 6)), convkit.resize_grad(x, (2, 3, 30, 6)))
    assert view(x).tobytes() == before


@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS.keys())
def test_out_is_returned_and_filled(make):
    x = numbers((2, 8, 9, 6), "float32", 6)
    want = convkit.resize(x, (4, 4))
    out = make(want.shape)
    assert convkit.resize(x, (4, 4), out=out) is out
    assert_same_bits(np.ascontiguousarray(out), want)
    same = x.copy()
    assert_same_bits(convkit.resize(same, (8, 9), coordinates="asymmetric", out=same), x)


def test_empty_batches_and_no_channels():
    for shape in ((0, 4, 4, 3), (2, 4, 4, 0)):
        y = convkit.resize(np.zeros(shape), scale=2)
        assert y.shape == (shape[0], 8, 8, shape[-1])
        assert convkit.resize_grad(y, shape).shape == shape


WRONG = [
    (ValueError, "give size or scale, one of them", {}),
    (ValueError, "give size or scale, not both", {"size": 4, "scale": 2}),
    (ValueError, "size must be >= 1", {"size": 0}),
    (ValueError, "size must be an int or 2 ints", {"size": (4, 4, 4)}),
    (TypeError, "size must be", {"size": 4.0}),
    (TypeError, "size must be", {"size": True}),
    (ValueError, "needs .* bytes", {"size": 2**62}),
    (ValueError, "scale must be > 0", {"scale": -1}),
    (ValueError, "scale must be > 0", {"scale": (1, float("inf"))}),
    (ValueError, "scale must be > 0", {"scale": float("nan")}),
    (ValueError, "scale must be a number or 2 numbers", {"scale": (1, 2, 3)}),
    (ValueError, "leaves no pixels", {"scale": 0.1}),
    (TypeError, "scale must be", {"scale": "2"}),
    (TypeError, "scale must be", {"scale": True}),
    (ValueError, "mode must be one of 'nearest', 'linear', 'cubic', got 'bilinear'", {"size": 4, "mode": "bilinear"}),
    (TypeError, "mode must be", {"size": 4, "mode": 1}),
    (ValueError, "coordinates must be", {"size": 4, "coordinates": "half"}),
    (ValueError, "rounding must be", {"size": 4, "rounding": "up"}),
    (ValueError, "antialias is for", {"size": 4, "mode": "nearest", "antialias": True}),
    (TypeError, "antialias must be True or False", {"size": 4, "antialias": 1}),
    (TypeError, "exclude_outside must be", {"size": 4, "exclude_outside": None}),
    (TypeError, "cubic_a must be a number", {"size": 4, "cubic_a": "0"}),
    (ValueError, "cubic_a must be finite", {"size": 4, "cubic_a": float("inf")}),
    (ValueError, "layout must be", {"size": 4, "layout": "NCL"}),
    (ValueError, "threads", {"size": 4, "threads": 0}),
    (ValueError, "out must have shape", {"size": 4, "out": np.zeros((1, 5, 4, 2))}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words", "how"), WRONG)
def test_a_wrong_argument_is_one_clear_error(error, words, how):
    with pytest.raises(error, match=f"(resize: .*)?{words}"):
        convkit.resize(np.zeros((1, 5, 5, 2)), **how)


def test_wrong_arrays_are_one_clear_error():
    for shape in ((), (4,), (4, 4), (1,) * 6):
        with pytest.raises(ValueError, match="resize: x must be 3-D, 4-D or 5-D"):
            convkit.resize(np.zeros(shape), 4)
    with pytest.raises(ValueError, match="x has no pixels"):
        convkit.resize(np.zeros((1, 0, 4, 2)), 4)
    with pytest.raises(TypeError, match=r"astype\(np.float32\)"):
        convkit.resize(np.zeros((1, 4, 4, 2), np.uint8), 8)
    with pytest.raises(ValueError, match="x_shape must have 4 sizes like dy"):
        convkit.resize_grad(np.zeros((1, 4, 4, 2)), (1, 4, 2))
    with pytest.raises(ValueError, match="dy must have the shape of the output"):
        convkit.resize_grad(np.zeros((1, 4, 4, 2)), (1, 2, 2, 3))
    with pytest.raises(ValueError, match="dy must have the shape of the output"):
        convkit.resize_grad(np.zeros((1, 4, 4, 2)), (1, 2, 2, 2), scale=3)


def test_scipy_and_pillow_agree():
    interpolate = pytest.importorskip("scipy.interpolate")
    image = pytest.importorskip("PIL.Image")
    x = numbers((1, 9, 12, 1), "float32", 0)
    at = [np.linspace(0, n - 1, o) for n, o in ((9, 14), (12, 5))]
    want = interpolate.RegularGridInterpolator((np.arange(9), np.arange(12)), x[0, ..., 0].astype(float))(
        np.stack(np.meshgrid(*at, indexing="ij"), -1))
    np.testing.assert_allclose(convkit.resize(x, (14, 5), coordinates="align_corners")[0, ..., 0], want, rtol=1e-5, atol=1e-6)
    for mode, filter_, a in (("linear", image.Resampling.BILINEAR, -0.5), ("cubic", image.Resampling.BICUBIC, -0.5)):
        for size in ((4, 5), (20, 30), (3, 30)):
            want = np.asarray(image.fromarray(x[0, ..., 0]).resize(size[::-1], filter_))
            y = convkit.resize(x, size, mode=mode, cubic_a=a, antialias=True, exclude_outside=True)
            np.testing.assert_allclose(y[0, ..., 0], want, rtol=1e-5, atol=2e-6)
