"""Min, Lp, global and adaptive pooling and max unpooling are their definitions, and so are their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import reference_more
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import FIRST, LAST, POOLS, each_dtype, each_pool, from_layout, numbers, op, to_layout
from test_conv_arrays import each_view
from test_pool import INTEGERS, pooled_numbers

import convkit

SIZES = [((2, 7, 10, 5), (3, 4)), ((1, 6, 9, 17), (2, 3)), ((2, 5, 7, 3), (5, 9)), ((1, 4, 4, 33), (7, 1)), ((3, 11, 6), (4,)),
         ((1, 3, 5, 4, 9), (2, 5, 3)), ((2, 8, 8, 2), (8, 3))]  # fmt: skip
each_size = pytest.mark.parametrize(("shape", "size"), SIZES, ids=str)


def layouts(shape: tuple) -> tuple[str, str]:
    return LAST[len(shape) - 2], FIRST[len(shape) - 2]


def function(kind: str, shape: tuple, suffix: str = ""):
    return getattr(convkit, f"{kind}{len(shape) - 2}d{suffix}")


# --- min ------------------------------------------------------------------------------------------------------------------


@each_dtype
@each_pool
def test_min_pool_and_its_gradient_are_their_definition(case, dtype, isa):
    for layout in case.layouts():
        x, dy = numbers(case.x, dtype, 0, integers=True), numbers(case.y, dtype, 1, integers=True)
        want, where = reference.max_pool(-x, case.k, **case.max_how)
        how = dict(layout=layout, **case.max_how)
        y, indices = op("min_pool", case)(to_layout(x, layout), case.k, return_indices=True, **how)
        assert_same_bits(from_layout(y, layout), -want)
        assert np.array_equal(from_layout(indices, layout)[where >= 0], where[where >= 0])
        assert_same_bits(from_layout(op("min_pool", case)(to_layout(x, layout), case.k, **how), layout), -want)
        dx = op("min_pool", case, "_grad")(to_layout(dy, layout), to_layout(x, layout), case.k, **how)
        assert_exact(from_layout(dx, layout), reference.max_pool_grad(dy, -x, case.k, **case.max_how), dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_min_pool_of_integers_goes_from_end_to_end_of_their_range(dtype):
    for case in POOLS:
        x = pooled_numbers(case.x, dtype, 0, ties=False)
        y, indices = op("min_pool", case)(x, case.k, return_indices=True, **case.max_how)
        want, where = reference.max_pool(~x, case.k, **case.max_how)
        assert_same_bits(y, ~want)
        assert np.array_equal(indices[where >= 0], where[where >= 0])


@each_dtype
def test_nan_and_the_first_of_equal_numbers_are_the_minimum(dtype, isa):
    x = np.array([0.0, -0.0, 3, np.nan, -np.inf, np.nan, np.inf, np.inf]).astype(dtype).reshape(1, 8, 1)
    y, indices = convkit.min_pool1d(x, 2, return_indices=True)
    assert_same_bits(y.ravel(), np.array([0.0, np.nan, np.nan, np.inf], dtype))
    assert indices.ravel().tolist() == [0, 3, 5, 6]
    assert convkit.min_pool1d(np.ones((1, 1, 1), dtype), 2, padding=1, dilation=2).tolist() == [[[np.inf]]]


def test_min_pool_writes_to_out_and_not_to_x():
    x = numbers((2, 8, 9, 6), "float32", 6)
    x.flags.writeable = False
    out = np.empty((2, 6, 4, 4), np.float32)
    assert convkit.min_pool2d(to_layout(x, "NCHW"), 2, layout="NCHW", out=out) is out
    assert_same_bits(from_layout(out, "NCHW"), convkit.min_pool2d(x, 2))
    overlapping = x.copy()
    want = convkit.min_pool2d(x, 3, stride=1, padding=1)
    assert_same_bits(convkit.min_pool2d(overlapping, 3, stride=1, padding=1, out=overlapping), want)


# --- Lp -------------------------------------------------------------------------------------------------------------------


@each_dtype
@each_pool
def test_lp_pool_is_its_definition(case, dtype, isa):
    x = numbers(case.x, dtype, 0)
    how = case.max_how
    for layout, p in zip((*case.layouts(), case.layouts()[0]), (2, 1, 3.5), strict=True):
        y = op("lp_pool", case)(to_layout(x, layout), case.k, p=p, layout=layout, **how)
        want = reference_more.lp_pool(x, case.k, p=p, **how)
        # powers and roots of NumPy: a few units each, beside the sum
        assert_within_rounding(from_layout(y, layout), want, want, case.taps + 12, dtype)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("name", ["3x3, stride 2, padding 1", "dilation 3 by 2", "1-D, dilation 2, ceil", "3-D, mixed",
                                  "dilation 2, padding 2, ceil", "ceil, uneven"])
def test_the_gradient_of_lp_pool_is_finite_differences(p, name):
    case = next(case for case in POOLS if case.name == name)
    x = numbers((1, *case.x[1:-1], 2), "float64", 0)
    y = op("lp_pool", case)(x, case.k, p=p, **case.max_how)
    dy = numbers(y.shape, "float64", 1)
    dx = op("lp_pool", case, "_grad")(dy, x, case.k, p=p, **case.max_how)
    slope = reference_more.slopes(lambda: np.vdot(op("lp_pool", case)(x, case.k, p=p, **case.max_how), dy), x)
    np.testing.assert_allclose(dx, slope, rtol=1e-6, atol=1e-8)


def test_a_window_of_zeros_has_no_gradient_and_a_nan_stays_in_its_windows():
    x = np.zeros((1, 4, 1))
    assert convkit.lp_pool1d_grad(np.ones((1, 2, 1)), x, 2, p=3).ravel().tolist() == [0, 0, 0, 0]
    x[0, 0] = np.nan
    x[0, 3] = 2
    assert np.isnan(convkit.lp_pool1d(x, 2)).ravel().tolist() == [True, False]
    dx = convkit.lp_pool1d_grad(np.ones((1, 2, 1)), x, 2)
    assert np.isnan(dx).ravel().tolist() == [True, True, False, False]
    assert dx.ravel()[2:].tolist() == [0, 1]


def test_a_huge_kernel_of_lp_pool_takes_no_longer():
    x = numbers((1, 9, 2), "float64", 0)
    how = {"stride": 2**39, "padding": 2**39}
    y = convkit.lp_pool1d(x, 2**40, **how)
    np.testing.assert_allclose(y, np.sqrt((x * x).sum(axis=1, keepdims=True)), rtol=1e-14)
    np.testing.assert_allclose(convkit.lp_pool1d_grad(np.ones_like(y), x, 2**40, **how), x / y, rtol=1e-14)


@pytest.mark.parametrize(("p", "error"), [(0.5, ValueError), (np.inf, ValueError), (np.nan, ValueError), (True, TypeError),
                                          ("2", TypeError), (None, TypeError)])
def test_a_norm_has_a_finite_exponent_of_at_least_1(p, error):
    x = np.ones((1, 4, 4, 1))
    with pytest.raises(error, match="lp_pool2d: p must be"):
        convkit.lp_pool2d(x, 2, p=p)
    with pytest.raises(error, match="lp_pool2d_grad: p must be"):
        convkit.lp_pool2d_grad(x[:, :2, :2], x, 2, p=p)


# --- global ---------------------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("shape", [(2, 7, 7, 5), (1, 9, 33), (3, 2, 3, 4, 17), (0, 4, 4, 3), (2, 4, 4, 0)], ids=str)
def test_global_pooling_is_pooling_with_the_window_of_the_image(shape, dtype, isa):
    axes, x = tuple(range(1, len(shape) - 1)), numbers(shape, dtype, 0, integers=True)
    count = int(np.prod(shape[1:-1]))
    for layout in layouts(shape):
        seen = to_layout(x, layout)
        mean = function("global_avg_pool", shape)(seen, layout=layout)
        most, where = function("global_max_pool", shape)(seen, layout=layout, return_indices=True)
        np.testing.assert_allclose(mean, x.mean(axis=axes), rtol=1e-6 if dtype == "float32" else 1e-14, atol=1e-6)
        if x.size:
            assert_same_bits(most, x.max(axis=axes))
            assert np.array_equal(where, x.reshape(len(x), count, -1).argmax(axis=1))
        dy = numbers(mean.shape, dtype, 1, integers=True)
        dx = from_layout(function("global_avg_pool", shape, "_grad")(dy, seen.shape, layout=layout), layout)
        np.testing.assert_allclose(dx, np.broadcast_to(np.expand_dims(dy, axes) / count, shape), rtol=1e-6)
        dx = from_layout(function("global_max_pool", shape, "_grad")(dy, seen, layout=layout), layout)
        spread = reference.max_pool_grad(np.expand_dims(dy, axes), x, shape[1:-1]) if x.size else np.zeros(shape)
        assert_exact(dx, spread, dtype)
        kept = function("global_avg_pool", shape)(seen, layout=layout, keepdims=True)
        assert_same_bits(kept.reshape(mean.shape), mean)
        assert from_layout(kept, layout).shape == (shape[0], *(1,) * len(axes), shape[-1])


def test_global_pooling_writes_to_out():
    x = numbers((2, 3, 4, 5), "float32", 0)
    for run in (convkit.global_avg_pool2d, convkit.global_max_pool2d):
        out = np.empty((2, 10), np.float32)[:, ::2]
        assert run(x, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), run(x))
        with pytest.raises(ValueError, match=r"out must have shape \(2, 5\), got \(2, 4\)"):
            run(x, out=np.empty((2, 4), np.float32))
        with pytest.raises(TypeError, match="out must"):
            run(x, out=[[0] * 5] * 2)


@pytest.mark.parametrize("kind", ["global_avg_pool2d", "global_max_pool2d"])
def test_global_pooling_of_no_pixels_or_of_other_ranks_is_refused(kind):
    run, grad = getattr(convkit, kind), getattr(convkit, f"{kind}_grad")
    second = (lambda shape: shape) if "avg" in kind else (lambda shape: np.zeros(shape))
    for shape in ((2, 0, 4, 3), (2, 4, 3), ()):
        with pytest.raises(ValueError, match=f"{kind}: "):
            run(np.zeros(shape))
        with pytest.raises(ValueError, match=f"{kind}_grad: "):
            grad(np.zeros((2, 3)), second(shape))
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3\), got \(2, 4\)"):
        grad(np.zeros((2, 4)), second((2, 4, 4, 3)))
    with pytest.raises(TypeError, match="keepdims must be True or False"):
        run(np.zeros((2, 4, 4, 3)), keepdims=1)


# --- adaptive -------------------------------------------------------------------------------------------------------------


@each_dtype
@each_size
def test_adaptive_average_and_its_gradient_are_their_definition(shape, size, dtype, isa):
    x, terms = numbers(shape, dtype, 0), int(np.prod(shape[1:-1])) + 8
    want, magnitude = (reference_more.adaptive_avg_pool(a, size) for a in (x, abs(x)))
    dy = numbers(want.shape, dtype, 1)
    grads = [np.zeros(shape), np.zeros(shape)]
    for position, window in reference_more.adaptive_windows(shape[1:-1], size):
        for grad, g in zip(grads, (dy, abs(dy)), strict=True):
            count = grad[window][0, ..., 0].size
            grad[window] += np.expand_dims(g[position].astype(np.float64), tuple(range(1, len(shape) - 1))) / count
    for layout in layouts(shape):
        y = function("adaptive_avg_pool", shape)(to_layout(x, layout), size, layout=layout)
        assert_within_rounding(from_layout(y, layout), want, magnitude, terms, dtype)
        dx = function("adaptive_avg_pool", shape, "_grad")(to_layout(dy, layout), to_layout(x, layout).shape, layout=layout)
        assert_within_rounding(from_layout(dx, layout), grads[0], grads[1], terms, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@each_size
def test_adaptive_maximum_and_its_gradient_are_their_definition(shape, size, dtype, isa):
    x = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)
    if x.dtype.kind == "f":
        x[0, 1] = np.nan
    want, where = reference_more.adaptive_max_pool(x, size)
    dy = numbers(want.shape, dtype, 1, integers=True)
    for layout in layouts(shape):
        y, indices = function("adaptive_max_pool", shape)(to_layout(x, layout), size, return_indices=True, layout=layout)
        np.testing.assert_array_equal(from_layout(y, layout), want)
        np.testing.assert_array_equal(from_layout(indices, layout), where)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(function("adaptive_max_pool", shape)(to_layout(x, layout), size, layout=layout), y)
        if x.dtype.kind == "f":
            dx = function("adaptive_max_pool", shape, "_grad")(to_layout(dy, layout), to_layout(x, layout), layout=layout)
            expected = np.zeros((len(x), int(np.prod(shape[1:-1])), shape[-1]))
            for n, c in np.ndindex(len(x), shape[-1]):
                np.add.at(expected[n, :, c], where[n, ..., c], dy[n, ..., c])
            assert_exact(from_layout(dx, layout), expected.reshape(shape), dtype)


def test_sizes_of_adaptive_pooling():
    x = numbers((2, 6, 5, 3), "float32", 0)
    assert convkit.adaptive_avg_pool2d(x, (None, 2)).shape == (2, 6, 2, 3)
    assert_same_bits(convkit.adaptive_max_pool2d(x, None), x)
    assert convkit.adaptive_max_pool2d(x, (0, 4)).shape == (2, 0, 4, 3)
    assert not convkit.adaptive_avg_pool2d_grad(np.zeros((2, 0, 4, 3), np.float32), x.shape).any()
    assert convkit.adaptive_avg_pool2d(x[:0], (4, 4)).shape == (0, 4, 4, 3)
    out = np.empty((2, 4, 4, 6), np.float32)[..., ::2]
    assert convkit.adaptive_avg_pool2d(x, 4, out=out) is out
    assert_same_bits(np.ascontiguousarray(out), convkit.adaptive_avg_pool2d(x, 4))


@pytest.mark.parametrize("kind", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (2.0, TypeError), (True, TypeError), ((2, 2, 2), ValueError),
                                             ("3", TypeError), (2**62, ValueError), ((None, 1.5), TypeError)])
def test_a_wrong_size_of_adaptive_pooling_is_refused(kind, size, error):
    with pytest.raises(error, match=f"{kind}: "):
        getattr(convkit, kind)(np.zeros((2, 5, 5, 3)), size)


def test_adaptive_pooling_of_no_pixels_or_with_another_gradient_is_refused():
    for run in (convkit.adaptive_avg_pool2d, convkit.adaptive_max_pool2d):
        with pytest.raises(ValueError, match="no pixels"):
            run(np.zeros((2, 0, 4, 3)), 2)
        with pytest.raises(ValueError, match="must be 4-D"):
            run(np.zeros((4, 4, 3)), 2)
    with pytest.raises(ValueError, match="images and channels of x"):
        convkit.adaptive_max_pool2d_grad(np.zeros((2, 2, 2, 4)), np.zeros((2, 5, 5, 3)))
    with pytest.raises(TypeError, match="same dtype"):
        convkit.adaptive_max_pool2d_grad(np.zeros((2, 2, 2, 3), np.float32), np.zeros((2, 5, 5, 3)))
    with pytest.raises(ValueError, match="x_shape must have 4 sizes"):
        convkit.adaptive_avg_pool2d_grad(np.zeros((2, 2, 2, 3)), (2, 5, 3))


# --- unpooling ------------------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("shape", [(2, 7, 8, 5), (1, 9, 3), (1, 3, 4, 5, 2)], ids=str)
def test_unpooling_puts_back_what_pooling_found(shape, dtype):
    x = numbers(shape, dtype, 0)
    y, indices = function("max_pool", shape)(x, 2, return_indices=True)
    want = np.zeros((len(x), int(np.prod(shape[1:-1])), shape[-1]), dtype)
    for n, c in np.ndindex(len(x), shape[-1]):
        want[n, indices[n, ..., c], c] = y[n, ..., c]
    for layout in layouts(shape):
        given = [to_layout(a, layout) for a in (y, indices)]
        u = function("max_unpool", shape)(*given, 2, output_size=shape[1:-1], layout=layout)
        assert_same_bits(from_layout(u, layout), want.reshape(shape))
        dx = function("max_unpool", shape, "_grad")(to_layout(x, layout), given[1], layout=layout)
        assert_same_bits(from_layout(dx, layout), y)


def test_of_equal_indices_the_last_value_stays_and_takes_the_gradient():
    x, indices = np.array([1.0, 2, 3, 4]).reshape(1, 2, 2, 1), np.array([3, 3, 0, 3]).reshape(1, 2, 2, 1)
    y = convkit.max_unpool2d(x, indices, 2)
    assert y[0, :, :, 0].ravel().tolist()[:4] == [3, 0, 0, 4]
    dy = np.arange(16.0).reshape(1, 4, 4, 1) + 1
    dx = convkit.max_unpool2d_grad(dy, indices)
    assert dx.ravel().tolist() == [0, 0, 1, 4]
    slope = reference_more.slopes(lambda: np.vdot(convkit.max_unpool2d(x, indices, 2), dy), x)
    np.testing.assert_allclose(dx, slope, rtol=1e-6)


@pytest.mark.parametrize("index", [-1, 16, 99, 2**40])
def test_every_index_is_checked(index):
    indices = np.zeros((1, 2, 2, 1), np.int64)
    indices[0, 1, 1] = index
    with pytest.raises(ValueError, match=f"max_unpool2d: index {index} out of range for an output of 4x4"):
        convkit.max_unpool2d(np.ones((1, 2, 2, 1)), indices, 2)
    with pytest.raises(ValueError, match=f"max_unpool2d_grad: index {index} out of range for an output of 4x4"):
        convkit.max_unpool2d_grad(np.ones((1, 4, 4, 1)), indices)


def test_wrong_arguments_of_unpooling_are_refused():
    x, indices = np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1), np.int64)
    with pytest.raises(TypeError, match="indices must be integers"):
        convkit.max_unpool2d(x, indices.astype(float), 2)
    for shape in ((0, 2, 2, 1), (1, 2, 1, 1)):
        with pytest.raises(ValueError, match="indices must have the shape of x"):
            convkit.max_unpool2d(x, np.zeros(shape, np.int64), 2)
    with pytest.raises(ValueError, match="output size along h must be from 3 to 5, got 6"):
        convkit.max_unpool2d(x, indices, 2, output_size=6)
    with pytest.raises(ValueError, match="same images and channels"):
        convkit.max_unpool2d_grad(np.ones((1, 4, 4, 2)), indices)
    with pytest.raises(ValueError, match="padding must be"):
        convkit.max_unpool2d(x, indices, 2, padding="same")
    out = np.full((1, 4, 4, 2), 7.0)[..., ::2]
    assert convkit.max_unpool2d(x, indices, 2, out=out) is out
    assert out.sum() == 1


# --- all ------------------------------------------------------------------------------------------------------------------


def results(x: np.ndarray, dy: np.ndarray, threads: int | None) -> list[np.ndarray]:
    how = {"stride": 2, "padding": 1, "threads": threads}
    return [
        convkit.min_pool2d(x, 3, **how), convkit.min_pool2d_grad(dy, x, 3, **how),
        convkit.lp_pool2d(x, 3, p=3, **how), convkit.lp_pool2d_grad(dy, x, 3, p=3, **how),
        convkit.lp_pool2d_grad(dy[:, :-1, :-1], x, 2, dilation=2, stride=2, padding=0, threads=threads),
        convkit.global_avg_pool2d(x, threads=threads), convkit.global_max_pool2d(x, threads=threads),
        convkit.adaptive_avg_pool2d(x, (7, 5), threads=threads), convkit.adaptive_max_pool2d(x, (7, 5), threads=threads),
        convkit.adaptive_avg_pool2d_grad(dy, x.shape, threads=threads),
        convkit.adaptive_max_pool2d_grad(dy, x, threads=threads),
    ]  # fmt: skip


@each_dtype
def test_bits_do_not_depend_on_threads(dtype):
    x, dy = numbers((3, 32, 29, 20), dtype, 0), numbers((3, 16, 15, 20), dtype, 1)
    want = results(x, dy, 1)
    for threads in (2, 3, 7):
        for got, one in zip(results(x, dy, threads), want, strict=True):
            assert_same_bits(got, one)
    for got, one in zip(results(x[1:], dy[1:], None)[::2][:4], want[::2][:4], strict=True):
        assert_same_bits(got, one[1:])


@each_view
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_view_gives_the_bits_of_its_contiguous_copy(dtype, view):
    x, dy = numbers((2, 8, 9, 6), dtype, 5), numbers((2, 4, 5, 6), dtype, 6)
    before = view(x).tobytes()
    for got, want in zip(results(view(x), view(dy), None), results(x, dy, None), strict=True):
        assert_same_bits(got, want)
    assert view(x).tobytes() == before
