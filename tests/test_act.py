"""relu, softmax, log_softmax and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import ops

UNARY = [ops.relu, ops.softmax, ops.log_softmax]
GRADS = [ops.relu_grad, ops.softmax_grad, ops.log_softmax_grad]
PAIRS = list(zip(UNARY, GRADS, strict=True))
every = pytest.mark.parametrize("op", UNARY)
every_pair = pytest.mark.parametrize(("op", "grad"), PAIRS)
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def definition(op, x: np.ndarray, axis: int = -1) -> np.ndarray:
    x = x.astype(np.float64)
    if op is ops.relu:
        return np.where(x > 0, x, 0)
    y = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    return y if op is ops.softmax else np.log(y)


@every
@floats
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 4, 5), (0, 4), (4, 0), (1, 1)])
def test_each_is_its_definition(op, dtype, shape, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = op(x)
    assert y.dtype == dtype
    assert y.shape == shape
    np.testing.assert_allclose(y, definition(op, x), rtol=20 * np.finfo(dtype).eps, atol=1e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("op", [ops.softmax, ops.log_softmax])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis(op, axis, rng):
    x = rng.standard_normal((3, 4, 5))
    np.testing.assert_allclose(op(x, axis), definition(op, x, axis), rtol=1e-13)


@every_pair
def test_gradients_are_finite_differences(op, grad, rng):
    x, dy, h = rng.standard_normal((3, 6)), rng.standard_normal((3, 6)), 1e-5
    dx = grad(dy, op(x))
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        assert dx[i] == pytest.approx(np.vdot(op(x + step) - op(x - step), dy) / (2 * h), rel=1e-6, abs=1e-9)


@floats
def test_softmax_of_large_and_infinite_numbers(dtype):
    x = np.array([[1e4, 1e4, 0], [-1e4, 0, 1e4], [-np.inf, 0, 0]], dtype)
    y = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 0.5, 0.5]], dtype)
    np.testing.assert_allclose(ops.softmax(x), y, rtol=1e-6)
    np.testing.assert_allclose(ops.log_softmax(x)[1], [-2e4, -1e4, 0])
    assert ops.log_softmax(x)[2, 0] == -np.inf


@pytest.mark.parametrize("op", [ops.softmax, ops.log_softmax])
def test_a_row_without_softmax_is_nan_and_the_others_are_not(op):
    x = np.array([[-np.inf, -np.inf], [0, np.inf], [0, np.nan], [0, 0]])
    assert np.array_equal(np.isnan(op(x)).any(axis=1), [True, True, True, False])
    assert np.isnan(op(x)[0]).all()


def test_relu_keeps_nan_and_its_gradient_does_not_make_one():
    y = ops.relu(np.array([np.nan, -np.inf, np.inf, -0.0]))
    assert np.isnan(y[0])
    assert list(y[1:]) == [0, np.inf, 0]
    assert list(ops.relu_grad(np.array([np.inf, np.nan, 1.0]), np.array([0.0, 0.0, 2.0]))) == [0, 0, 1]


@every
def test_any_strides_and_byte_order_give_the_same_bits(op, rng):
    base = rng.standard_normal((8, 10))
    for x in (base[::2], base[:, ::-1], base.T, np.broadcast_to(base[0], (4, 10)), base.astype(">f8")):
        before = x.copy()
        np.testing.assert_array_equal(op(x), op(np.ascontiguousarray(x, np.float64)))
        np.testing.assert_array_equal(x, before)


@every
def test_out_is_returned_and_may_be_the_input(op, rng):
    x = rng.standard_normal((6, 5))
    y = op(x)
    out = np.full((6, 10), 7.0)[:, ::2]
    assert op(x, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert (out.base[:, 1::2] == 7).all()
    both = np.zeros(7 * 5)
    both[:30] = x.reshape(-1)
    shifted = both[5:].reshape(6, 5)
    op(both[:30].reshape(6, 5), out=shifted)
    np.testing.assert_array_equal(shifted, y)
    assert op(x, out=x) is x
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("grad", GRADS)
def test_out_of_a_gradient_may_be_either_input(grad, rng):
    dy, y = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    dx = grad(dy, y)
    for i in range(2):
        pair = [dy.copy(), y.copy()]
        assert grad(*pair, out=pair[i]) is pair[i]
        np.testing.assert_array_equal(pair[i], dx)


@every
@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, bool, complex, object, "U1", "M8[s]", np.longdouble])
def test_other_dtypes_are_refused(op, dtype):
    with pytest.raises(TypeError, match=f"{op.__name__}: x must be"):
        op(np.zeros((2, 2), dtype) if dtype is not object else np.array([[None]]))


def test_the_cast_to_write_is_named():
    for dtype in (np.uint8, np.float16):
        with pytest.raises(TypeError, match=r"\.astype\(np\.float32\)"):
            ops.relu(np.zeros(3, dtype))


@every
def test_wrong_arguments_are_one_clear_error(op):
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="masked"):
        op(np.ma.masked_array(x))
    with pytest.raises(TypeError, match="out must be"):
        op(x, out=np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"out must have shape \(2, 3\), got \(3, 2\)"):
        op(x, out=np.zeros((3, 2)))
    locked = np.zeros((2, 3))
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        op(x, out=locked)
    with pytest.raises(ValueError, match="out overlaps itself"):
        op(x, out=np.lib.stride_tricks.as_strided(np.zeros(3), (2, 3), (0, 8)))


@pytest.mark.parametrize("op", [ops.softmax, ops.log_softmax])
def test_wrong_axes(op):
    with pytest.raises(ValueError, match="axis 2 is not an axis"):
        op(np.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="axis"):
        op(np.float64(1))
    for axis in (1.0, None, True, "1"):
        with pytest.raises(TypeError, match="axis"):
            op(np.zeros((2, 3)), axis)


@pytest.mark.parametrize("grad", GRADS)
def test_gradients_want_two_alike(grad):
    with pytest.raises(ValueError, match="same shape"):
        grad(np.zeros((2, 3)), np.zeros((3,)))
    with pytest.raises(TypeError, match="same dtype"):
        grad(np.zeros(3), np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="dy must be"):
        grad(np.zeros(3, int), np.zeros(3))


@every
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
def test_lists_and_scalars_of_floats_are_arrays(op):
    assert op([1.0, 2.0]).dtype == np.float64
    assert type(op(np.matrix([[1.0, 2.0]]))) is np.ndarray
