"""Batch, instance, group, layer, root-mean-square and local response normalisation against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import ops

floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(2, 1), (3, 5), (7, 4, 3), (2, 5, 6, 16), (1, 9, 7, 33), (2, 3, 4, 5, 6), (3, 40, 30, 64), (2, 2, 2, 1100),
          (1, 333, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def normalised(x, axes, w, b, eps=1e-5, groups=None):
    """In higher precision on channels-last x."""
    x = x.astype(np.longdouble)
    shape = x.shape
    if groups:
        x, axes = x.reshape(*shape[:-1], groups, -1), (*range(1, len(shape) - 1), len(shape))
    mean = x.mean(axis=axes, keepdims=True)
    y = (x - mean) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return (y.reshape(shape) * w.astype(np.longdouble) + b.astype(np.longdouble)).astype(np.float64)


def draws(rng, shape, dtype):
    x, dy, residual = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    w, b = rng.uniform(0.5, 2, shape[-1]).astype(dtype), rng.standard_normal(shape[-1]).astype(dtype)
    return x, dy, residual, w, b


def slopes(function, at, h=1e-5):
    result = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        before = at[i]
        at[i] = before + h
        high = function()
        at[i] = before - h
        result[i] = (high - function()) / (2 * h)
        at[i] = before
    return result


@every_shape
@floats
def test_batch_norm_is_its_formula(shape, dtype, isa, rng):
    x, _, residual, w, b = draws(rng, shape, dtype)
    axes = tuple(range(len(shape) - 1))
    want = normalised(x, axes, w, b)
    close = {"rtol": 0, "atol": 60 * np.finfo(dtype).eps}
    y, (mean, var) = ops.batch_norm(x, None, None, w, b, training=True, return_stats=True)
    np.testing.assert_allclose(y, want, **close)
    np.testing.assert_allclose(mean, x.mean(axis=axes, dtype=np.float64), atol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(var, x.astype(np.float64).var(axis=axes), rtol=20 * np.finfo(dtype).eps)
    both = ops.batch_norm(x, None, None, w, b, training=True, activation="relu", residual=residual)
    np.testing.assert_allclose(both, np.maximum(want + residual, 0), **close)
    fixed = ops.batch_norm(x, mean.astype(dtype), var.astype(dtype), w, b)
    np.testing.assert_allclose(fixed, want, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_a_mean_far_above_the_deviation_costs_no_digits(scale, isa, rng):
    x = (scale + rng.standard_normal((4, 30, 30, 20)) * (1 + scale * 1e-6)).astype(np.float32)
    w, b = np.ones(20, np.float32), np.zeros(20, np.float32)
    want = normalised(x, (0, 1, 2), w, b)
    y = ops.batch_norm(x, training=True)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5)
    rows = x.reshape(4, -1)
    want = normalised(rows, 1, np.ones(1), np.zeros(1))
    np.testing.assert_allclose(ops.layer_norm(rows, rows.shape[1]), want, rtol=0, atol=1e-5)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    wide = ops.batch_norm_grad(dy.astype(np.float64), x.astype(np.float64))
    for got, want in zip(ops.batch_norm_grad(dy, x), wide, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * abs(want).max())


@every_shape
@floats
def test_instance_and_group_norm_are_their_formulas(shape, dtype, isa, rng):
    x, _, _, w, b = draws(rng, shape, dtype)
    close = {"rtol": 0, "atol": 60 * np.finfo(dtype).eps}
    if len(shape) > 2:
        np.testing.assert_allclose(ops.instance_norm(x, w, b), normalised(x, tuple(range(1, len(shape) - 1)), w, b), **close)
    for groups in (g for g in (1, 2, 3, 11) if shape[-1] % g == 0 and np.prod(shape[1:]) > g):
        np.testing.assert_allclose(ops.group_norm(x, groups, w, b), normalised(x, None, w, b, groups=groups), **close)


@pytest.mark.parametrize("shape", [(3, 1), (4, 7), (2, 3, 65), (5, 2000)], ids=str)
@floats
def test_layer_and_rms_norm_are_their_formulas(shape, dtype, isa, rng):
    x, _, _, w, b = draws(rng, shape, dtype)
    close = {"rtol": 0, "atol": 60 * np.finfo(dtype).eps}
    np.testing.assert_allclose(ops.layer_norm(x, shape[-1], w, b), normalised(x, -1, w, b), **close)
    wide = x.astype(np.float64)
    want = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + np.finfo(dtype).eps) * w
    np.testing.assert_allclose(ops.rms_norm(x, shape[-1], w), want, **close)
    whole = ops.layer_norm(x, shape[1:])
    np.testing.assert_allclose(whole, normalised(x.reshape(len(x), -1), 1, np.ones(1), np.zeros(1)).reshape(shape), **close)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 2, 3, 4), (1, 37, 18)], ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("residual", [False, True])
def test_batch_norm_gradients_are_finite_differences(shape, activation, residual, isa, rng):
    x, dy, r, w, b = draws(rng, shape, np.float64)
    how = {"training": True, "activation": activation, "residual": r if residual else None}

    def loss():
        return np.vdot(ops.batch_norm(x, None, None, w, b, **how), dy)

    y, stats = ops.batch_norm(x, None, None, w, b, **how, return_stats=True)
    back = {"activation": activation, "residual": residual}
    dx, dw, db, *dr = ops.batch_norm_grad(dy, x, w, b, stats=stats, y=y, **back)
    for got, at in zip((dx, dw, db, *dr), (x, w, b, r), strict=False):
        np.testing.assert_allclose(got, slopes(loss, at), rtol=1e-6, atol=1e-7)
    if not residual:
        for got, again in zip((dx, dw, db), ops.batch_norm_grad(dy, x, w, b, **back), strict=True):
            np.testing.assert_array_equal(got, again)


def test_gradients_with_fixed_statistics(isa, rng):
    x, dy, _, w, b = draws(rng, (2, 3, 4, 5), np.float64)
    mean, var = rng.standard_normal(5), rng.uniform(0.5, 2, 5)

    def loss():
        return np.vdot(ops.batch_norm(x, mean, var, w, b, activation="relu"), dy)

    for got, at in zip(ops.batch_norm_grad(dy, x, w, b, stats=(mean, var), training=False, activation="relu"), (x, w, b),
                       strict=True):
        np.testing.assert_allclose(got, slopes(loss, at), rtol=1e-6, atol=1e-8)


GRADS = {
    "instance_norm": (lambda x, w, b: ops.instance_norm(x, w, b), lambda dy, x, w: ops.instance_norm_grad(dy, x, w)),
    "group_norm": (lambda x, w, b: ops.group_norm(x, 2, w, b), lambda dy, x, w: ops.group_norm_grad(dy, x, 2, w)),
    "layer_norm": (lambda x, w, b: ops.layer_norm(x, 6, w, b), lambda dy, x, w: ops.layer_norm_grad(dy, x, 6, w)),
    "rms_norm": (lambda x, w, b: ops.rms_norm(x, 6, w), lambda dy, x, w: ops.rms_norm_grad(dy, x, 6, w)),
    "local_response_norm": (lambda x, w, b: ops.local_response_norm(x, 3, alpha=0.5),
                            lambda dy, x, w: (ops.local_response_norm_grad(dy, x, 3, alpha=0.5),)),
}


@pytest.mark.parametrize("name", GRADS)
def test_other_gradients_are_finite_differences(name, isa, rng):
    forward, backward = GRADS[name]
    x, dy, _, w, b = draws(rng, (2, 3, 3, 6), np.float64)

    def loss():
        return np.vdot(forward(x, w, b), dy)

    for got, at in zip(backward(dy, x, w), (x, w, b), strict=False):
        np.testing.assert_allclose(got, slopes(loss, at), rtol=1e-6, atol=1e-7)


@floats
def test_bits_depend_on_neither_threads_strides_nor_layout(dtype, isa, rng):
    for shape in ((4, 30, 31, 3), (3, 20, 30, 40)):
        x, dy, _, w, b = draws(rng, shape, dtype)
        calls = [
            lambda x, dy, t, w=w, b=b, **how: ops.batch_norm(x, None, None, w, b, training=True, threads=t, **how),
            lambda x, dy, t, w=w, b=b, **how: ops.batch_norm_grad(dy, x, w, b, activation="relu", threads=t, **how)[0],
            lambda x, dy, t, w=w, b=b, **how: ops.instance_norm(x, w, b, threads=t, **how),
            lambda x, dy, t, w=w, b=b, **how: ops.instance_norm_grad(dy, x, w, threads=t, **how)[0],
        ]
        for call in calls:
            y = call(x, dy, 1)
            for threads in (2, 3, 7):
                np.testing.assert_array_equal(call(x, dy, threads), y)
            first = [np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, dy)]
            np.testing.assert_array_equal(np.moveaxis(call(*first, 2, layout="NCHW"), 1, -1), y)
            np.testing.assert_array_equal(call(np.asfortranarray(x), dy[::-1].copy()[::-1], 1), y)
        for n in range(3):
            np.testing.assert_array_equal(ops.instance_norm(x[n : n + 1]), ops.instance_norm(x)[n : n + 1])


def test_row_norms_give_the_same_bits_for_any_number_of_threads(isa, rng):
    x, dy, _, w, _ = draws(rng, (300, 201), np.float32)
    one = ops.layer_norm_grad(dy, x, 201, w, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(ops.layer_norm(x, 201, w, threads=threads), ops.layer_norm(x, 201, w, threads=1))
        for got, want in zip(ops.layer_norm_grad(dy, x, 201, w, threads=threads), one, strict=True):
            np.testing.assert_array_equal(got, want)


def test_running_statistics_move_towards_those_of_the_batch(rng):
    x = rng.standard_normal((5, 4, 3))
    mean, var = np.ones(3), np.full(3, 2.0)
    ops.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.75 + 0.25 * x.mean(axis=(0, 1)))
    np.testing.assert_allclose(var, 1.5 + 0.25 * x.reshape(-1, 3).var(axis=0, ddof=1))
    before = mean.copy(), var.copy()
    for bad in ({"momentum": 2.0}, {"eps": -1.0}, {"weight": np.ones(2)}, {"out": np.zeros((5, 4, 2))}, {"threads": 0}):
        with pytest.raises(ValueError, match="batch_norm"):
            ops.batch_norm(x, mean, var, training=True, **bad)
    np.testing.assert_array_equal((mean, var), before)


@floats
def test_nan_stays_in_its_channel(dtype, isa, rng):
    x = rng.standard_normal((2, 5, 5, 20)).astype(dtype)
    clean = ops.batch_norm(x, training=True)
    x[1, 2, 3, 7] = np.nan
    y = ops.batch_norm(x, training=True)
    assert np.isnan(y[..., 7]).all()
    np.testing.assert_array_equal(np.delete(y, 7, axis=3), np.delete(clean, 7, axis=3))
    x[1, 2, 3, 7] = np.inf
    assert np.isnan(ops.batch_norm(x, training=True)[1, 2, 3, 7])


def test_constant_channels_are_finite_and_empty_batches_empty():
    x = np.full((2, 3, 4), 7.0)
    np.testing.assert_array_equal(ops.batch_norm(x, training=True), 0)
    np.testing.assert_array_equal(ops.layer_norm(x, 4), 0)
    empty = np.zeros((0, 3, 4))
    for y in (ops.batch_norm(empty, training=True), ops.layer_norm(empty, 4), ops.group_norm(empty, 2)):
        assert y.shape == (0, 3, 4)
    dx, dw, db = ops.batch_norm_grad(empty, empty)
    assert dx.shape == (0, 3, 4)
    assert not dw.any()
    assert not db.any()


def test_out_is_filled_even_where_it_lies_across_x(rng):
    x = rng.standard_normal((4, 5, 6))
    y = ops.batch_norm(x, training=True)
    out = np.full((4, 10, 6), 9.0)
    assert ops.batch_norm(x, training=True, out=out[:, ::2]).base is out
    np.testing.assert_array_equal(out[:, ::2], y)
    assert (out[:, 1::2] == 9).all()
    assert ops.batch_norm(x, training=True, out=x) is x
    np.testing.assert_array_equal(x, y)


X = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.batch_norm(X[:1, :1], training=True), ValueError, "training needs more than 1 value per channel"),
        (lambda: ops.batch_norm(X), ValueError, "batch_norm: running_mean and running_var are needed unless training"),
        (lambda: ops.batch_norm(X, np.zeros(3), np.ones(4)), ValueError, r"running_mean must have shape \(4,\), got \(3,\)"),
        (lambda: ops.batch_norm(X, np.zeros(4, np.float32), np.ones(4)), TypeError, "running_mean must have the same dtype"),
        (lambda: ops.batch_norm(X, [0.0] * 4, np.ones(4), training=True), TypeError, "running_mean is updated in training"),
        (lambda: ops.batch_norm(X, training=True, momentum=1.5), ValueError, r"momentum must be in \[0, 1\], got 1.5"),
        (lambda: ops.batch_norm(X, training=True, momentum=float("nan")), ValueError, "momentum must be in"),
        (lambda: ops.batch_norm(X, training=True, momentum=None), TypeError, "momentum must be a number"),
        (lambda: ops.batch_norm(X, training=True, eps=-1e-5), ValueError, "eps must be >= 0 and finite, got -1e-05"),
        (lambda: ops.batch_norm(X, training=1), TypeError, "training must be True or False"),
        (lambda: ops.batch_norm(X, training=True, activation="tanh"), ValueError, "must be one of None, 'relu', 'relu6'"),
        (lambda: ops.batch_norm(X, training=True, residual=X[:1]), ValueError, "residual must have the shape of x"),
        (lambda: ops.batch_norm(X, training=True, weight=np.ones((1, 4))), ValueError, r"weight must have shape \(4,\)"),
        (lambda: ops.batch_norm(X.astype(int), training=True), TypeError, "batch_norm: x must be float32 or float64"),
        (lambda: ops.batch_norm(X[0, 0], training=True), ValueError, "x must be 2-D to 5-D"),
        (lambda: ops.batch_norm(X, training=True, layout="NCHW"), ValueError, "layout must be 'NLC' or 'NCL'"),
        (lambda: ops.batch_norm_grad(X, X, activation="relu", residual=True), ValueError, "needs y, the result"),
        (lambda: ops.batch_norm_grad(X, X, training=False), ValueError, "stats must be the running mean and variance"),
        (lambda: ops.batch_norm_grad(X[:1], X), ValueError, "dy must have the shape of x"),
        (lambda: ops.batch_norm_grad(X, X, stats=3), TypeError, "stats must be a pair"),
        (lambda: ops.group_norm(X, 3), ValueError, "num_groups must divide the 4 channels, got 3"),
        (lambda: ops.group_norm(X, 0), ValueError, "num_groups must divide"),
        (lambda: ops.group_norm(X, 2.0), TypeError, "num_groups must be an int"),
        (lambda: ops.instance_norm(X[:, :1]), ValueError, "needs more than 1 value per mean"),
        (lambda: ops.layer_norm(X, 3), ValueError, r"x must end in the normalized_shape \(3,\), got \(2, 3, 4\)"),
        (lambda: ops.layer_norm(X, ()), ValueError, "normalized_shape"),
        (lambda: ops.layer_norm(X, 4.0), TypeError, "normalized_shape must be an int"),
        (lambda: ops.layer_norm(X, 4, np.ones(3)), ValueError, r"weight must have shape \(4,\)"),
        (lambda: ops.layer_norm_grad(X, X, 4, stats=np.zeros((1, 2))), ValueError, "stats must be what the forward pass"),
        (lambda: ops.rms_norm(X, 4, eps=-1), ValueError, "eps must be"),
        (lambda: ops.local_response_norm(X, 0), ValueError, "size must be >= 1, got 0"),
        (lambda: ops.local_response_norm(X, 2, beta="1"), TypeError, "beta must be a number"),
    ],
)
def test_wrong_arguments_are_one_clear_error(call, error, words):
    with pytest.raises(error, match=words):
        call()
