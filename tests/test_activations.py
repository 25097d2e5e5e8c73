"""Each activation against its formula in higher precision, to a few units in the last place; and its gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest

import convkit
from convkit import ops

erfc = np.vectorize(math.erfc, otypes=[np.float64])
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


def normal(x):
    """The normal distribution by erfc in double, with the rounding of its argument made good."""
    wide = -np.asarray(x, np.longdouble) / np.sqrt(np.longdouble(2))
    z = wide.astype(np.float64)
    return 0.5 * erfc(z) - np.exp(-(wide**2)) / np.sqrt(np.longdouble(np.pi)) * (wide - z)


def sigmoid(x):
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def mish(x):
    e = np.exp(np.minimum(x, 50))
    return x * (e * (e + 2) / (e * (e + 2) + 2))


def gelu_tanh(x):
    return x * sigmoid(2 * np.sqrt(np.longdouble(2) / np.pi) * (x + np.longdouble("0.044715") * x**3))


# name, arguments, formula, units in the last place that it may be off, whether the gradient takes the result
TABLE = [
    ("relu", {}, lambda x: np.maximum(x, 0), 0, True),
    ("relu6", {}, lambda x: np.clip(x, 0, 6), 0, False),
    ("leaky_relu", {"negative_slope": 0.25}, lambda x: np.where(x > 0, x, x / 4), 0, False),
    ("elu", {"alpha": 0.75}, lambda x: np.where(x > 0, x, 0.75 * np.expm1(np.minimum(x, 0))), 4, False),
    ("selu", {}, lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))), 4, False),
    ("celu", {"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)), 4, False),
    ("gelu", {}, lambda x: x * normal(x), 8, False),
    ("gelu", {"approximate": "tanh"}, gelu_tanh, 8, False),
    ("silu", {}, lambda x: x * sigmoid(x), 4, False),
    ("mish", {}, mish, 6, False),
    ("sigmoid", {}, sigmoid, 3, True),
    ("hard_sigmoid", {}, lambda x: np.clip(x / 6 + 0.5, 0, 1), 2, False),
    ("hard_swish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 2, False),
    ("tanh", {}, np.tanh, 4, True),
    ("softplus", {"beta": 2.0}, lambda x: softplus(2 * x) / 2, 4, False),
    ("softsign", {}, lambda x: x / (1 + abs(x)), 2, False),
]
every = pytest.mark.parametrize(("name", "how", "formula", "ulp", "of_result"), TABLE,
                                ids=[name + str(i) for i, (name, *_) in enumerate(TABLE)])
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])
UNBOUNDED = {"relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hard_swish", "softplus"}


def grid(dtype) -> np.ndarray:
    """Dense around 0, reaching to where results vanish or overflow; with small numbers of each size."""
    reach = 105 if dtype == np.float32 else 750
    small = np.logspace(-30, 0, 200)
    x = np.concatenate([np.linspace(-12, 12, 30001), np.linspace(-reach, reach, 4001), small, -small])
    return x.astype(dtype)


def gradient(name):
    return getattr(ops, name + "_grad")


@every
@floats
@pytest.mark.parametrize("level", ["fast", "strict"])
def test_each_is_its_formula(name, how, formula, ulp, of_result, level, dtype, isa):
    x = grid(dtype)
    with convkit.accuracy(level):
        got = getattr(ops, name)(x, **how)
    want = formula(x.astype(np.longdouble))
    assert got.dtype == dtype
    unit = np.spacing(abs(want).astype(dtype)).astype(np.longdouble)
    bound = np.full(x.shape, float(ulp))
    if name == "gelu":                                  # the density's exponent, and for tanh the cube, carry over
        bound = bound + x.astype(np.float64) ** 2
    if how.get("approximate"):
        bound = bound + abs(x.astype(np.float64)) ** 3
    if name in ("hard_sigmoid", "hard_swish"):          # cancellation near x = -3
        unit = np.maximum(unit, np.finfo(dtype).eps * np.maximum(abs(x), 1))
    lost = np.finfo(dtype).tiny * (1 if level == "strict" else np.maximum(abs(x), 1))     # a subnormal factor counts as zero
    off = abs(got.astype(np.longdouble) - want) - lost
    worst = np.argmax(off - (bound + 0.5) * unit)
    assert off[worst] <= (bound[worst] + 0.5) * unit[worst], (x[worst], got[worst], want[worst], off[worst] / unit[worst])


@every
@floats
def test_special_numbers(name, how, formula, ulp, of_result, dtype, isa):
    op = getattr(ops, name)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], dtype)
    y = op(x, **how)
    assert np.isnan(y[0])
    assert not np.isnan(y[1:]).any()
    limit = formula(np.array([1000.0, -1000.0], np.longdouble)).astype(dtype)
    if name in UNBOUNDED:
        assert y[1] == np.inf
    else:
        assert y[1] == pytest.approx(limit[0], rel=2e-3)
    if name == "leaky_relu":
        assert y[2] == -np.inf
    else:
        assert y[2] == pytest.approx(limit[1], rel=2e-3, abs=1e-30)
    assert y[3] == y[4] == formula(np.zeros(1, np.longdouble)).astype(dtype)[0]
    dx = gradient(name)(np.ones_like(x[1:]), y[1:] if of_result else x[1:], **how)
    assert np.isfinite(dx).all()


@every
def test_gradients_are_finite_differences(name, how, formula, ulp, of_result, isa, rng):
    op = getattr(ops, name)
    x = rng.uniform(-8, 8, 3001)
    x = x[(abs(x) > 1e-3) & (abs(abs(x) - 3) > 1e-3) & (abs(x - 6) > 1e-3)]        # away from kinks
    dy, h = rng.standard_normal(x.shape), np.longdouble(1e-5)
    if name == "gelu" and not how:                      # erfc is known in double only
        slope = normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    else:
        wide = x.astype(np.longdouble)
        slope = (formula(wide + h) - formula(wide - h)) / (2 * h)
    dx = gradient(name)(dy, op(x, **how) if of_result else x, **how)
    np.testing.assert_allclose(dx, (dy * slope).astype(np.float64), rtol=1e-6, atol=1e-9)


@every
@floats
def test_bits_depend_on_neither_length_strides_nor_threads(name, how, formula, ulp, of_result, dtype, isa, rng):
    op, grad = getattr(ops, name), gradient(name)
    x, dy = rng.standard_normal((2, 41, 1001)).astype(dtype)
    y, dx = op(x, **how, threads=1), grad(dy, x, **how, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(op(x, **how, threads=threads), y)
        np.testing.assert_array_equal(grad(dy, x, **how, threads=threads), dx)
    for n in range(40):
        np.testing.assert_array_equal(op(x[0, 3 : 3 + n], **how), y[0, 3 : 3 + n])
        np.testing.assert_array_equal(grad(dy[0, :n], x[0, :n], **how), dx[0, :n])
    np.testing.assert_array_equal(op(x[::2, ::-1], **how), y[::2, ::-1])
    np.testing.assert_array_equal(op(x.T, **how), y.T)
    np.testing.assert_array_equal(grad(dy.T, np.asfortranarray(x).T, **how), dx.T)


@every
def test_out_may_be_an_input_or_lie_across_it(name, how, formula, ulp, of_result, rng):
    op, grad = getattr(ops, name), gradient(name)
    x, dy = rng.standard_normal((2, 30, 20))
    y, dx = op(x, **how), grad(dy, x, **how)
    assert op(x, **how, out=x) is x
    np.testing.assert_array_equal(x, y)
    both = np.concatenate([dy.ravel(), np.zeros(7)])
    x = rng.standard_normal((30, 20))
    dx, out = grad(dy, x, **how), both[7:].reshape(30, 20)
    assert grad(both[:600].reshape(30, 20), x, **how, out=out) is out
    np.testing.assert_array_equal(out, dx)


def test_a_large_result_past_the_caches_has_the_same_bits(isa, rng):
    x = rng.standard_normal(3_000_001, dtype=np.float32)
    for name in ("silu", "relu"):
        op = getattr(ops, name)
        np.testing.assert_array_equal(op(x), np.concatenate([op(part) for part in np.array_split(x, 7)]))


@floats
def test_prelu_has_a_slope_for_each_channel_or_one(dtype, rng):
    x, dy = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    for a in (rng.standard_normal(5), rng.standard_normal(1), rng.standard_normal(())):
        a = np.asarray(a, dtype)
        np.testing.assert_array_equal(ops.prelu(x, a), np.where(x > 0, x, a * x))
        dx, da = ops.prelu_grad(dy, x, a)
        np.testing.assert_array_equal(dx, np.where(x > 0, dy, a * dy))
        want = np.where(x > 0, 0, dy * x).astype(np.float64)
        np.testing.assert_allclose(da, want.sum(axis=(0, 1)) if a.size > 1 else want.sum().reshape(a.shape), rtol=1e-5)
    with pytest.raises(ValueError, match=r"prelu: a must have shape \(1,\) or \(5,\), got \(4,\)"):
        ops.prelu(x, np.zeros(4, dtype))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: ops.gelu(x, approximate="exact"), ValueError, "gelu: approximate must be one of 'none', 'tanh'"),
        (lambda x: ops.gelu(x, approximate=1), TypeError, "gelu: approximate must be one of"),
        (lambda x: ops.leaky_relu(x, negative_slope="1"), TypeError, "leaky_relu: negative_slope must be a number, got '1'"),
        (lambda x: ops.elu(x, alpha=float("nan")), ValueError, "elu: alpha must be finite"),
        (lambda x: ops.elu(x, alpha=True), TypeError, "elu: alpha must be a number"),
        (lambda x: ops.celu(x, alpha=0), ValueError, "celu: alpha must be > 0, got 0"),
        (lambda x: ops.softplus(x, beta=-1.0), ValueError, "softplus: beta must be > 0"),
        (lambda x: ops.silu(x.astype(np.float16)), TypeError, r"silu: x must be float32 .* write \.astype"),
        (lambda x: ops.silu(x, threads=0), ValueError, "silu: threads must be >= 1, got 0"),
        (lambda x: ops.silu(x, out=np.zeros(2)), ValueError, r"silu: out must have shape \(3,\), got \(2,\)"),
        (lambda x: ops.silu_grad(x, x[:2]), ValueError, "silu_grad: dy and x must have the same shape"),
        (lambda x: ops.tanh_grad(x, x.astype(np.float32)), TypeError, "tanh_grad: dy and y must have the same dtype"),
    ],
)
def test_wrong_arguments_are_one_clear_error(call, error, words):
    with pytest.raises(error, match=words):
        call(np.zeros(3))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 1000, 20001])
@floats
def test_softmax_of_any_length_is_its_formula(n, dtype, isa, rng):
    x = (rng.standard_normal((5, n)) * 4).astype(dtype)
    wide = x.astype(np.longdouble)
    e = np.exp(wide - wide.max(axis=1, keepdims=True))
    y, total = e / e.sum(axis=1, keepdims=True), e.sum(axis=1, keepdims=True)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(ops.softmax(x), y.astype(np.float64), rtol=40 * eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(ops.log_softmax(x), (wide - wide.max(axis=1, keepdims=True) - np.log(total)).astype(np.float64),
                               rtol=8 * eps, atol=8 * eps)
    for op in (ops.softmax, ops.log_softmax):
        np.testing.assert_array_equal(op(x, threads=1), op(x, threads=3))
        np.testing.assert_array_equal(op(x)[3:], op(x[3:]))
