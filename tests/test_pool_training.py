"""Pooling in training keeps where each maximum was, and long pixels take their own way through the kernels."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import Pool, each_dtype, each_pool, numbers, op

import convkit
from convkit.ops import pooling


def in_training(case: Pool, x: np.ndarray):
    how = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False} | case.max_how
    return pooling.max_pool_in_training("max_pool", x.ndim - 2, x, case.k, **how)


@each_pool
@each_dtype
def test_a_kept_label_gives_the_gradient_of_a_search(case, dtype, isa):
    x, dy = numbers(case.x, dtype, 0), numbers(case.y, dtype, 1)
    y, spread = in_training(case, x)
    assert_same_bits(y, op("max_pool", case)(x, case.k, **case.max_how))
    assert_same_bits(spread(dy), op("max_pool", case, "_grad")(dy, x, case.k, **case.max_how))


@each_pool
@each_dtype
def test_after_a_relu_its_zeros_and_the_sum_for_the_bias_come_with_the_gradient(case, dtype, isa):
    x, dy = np.maximum(numbers(case.x, dtype, 0), 0), numbers(case.y, dtype, 1)
    how = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False} | case.max_how
    wanted, spread = in_training(case, x)
    results = []
    for threads in (1, 2, 3, 7):
        with convkit.threads(threads):
            y, backward = pooling.max_pool_in_training("max_pool", x.ndim - 2, x, case.k, **how, of_relu=True)
            results.append(backward(dy))
    assert_same_bits(y, wanted)
    dx, db = results[0]
    np.testing.assert_array_equal(dx, spread(np.where(y > 0, dy, 0).astype(dtype)))
    np.testing.assert_allclose(db, dx.sum(axis=tuple(range(x.ndim - 1)), dtype=np.float64), rtol=1e-5, atol=1e-4)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert_same_bits(one, other)


@pytest.mark.parametrize("dilation", [1, 2])
def test_labels_are_kept_instead_of_the_input(dilation):
    x = np.ones((1, 4, 4, 2), np.float32)
    kept = weakref.ref(x)
    y, spread = pooling.max_pool_in_training("max_pool2d", 2, x, 2, 2, dilation - 1, dilation, False)
    del x
    assert kept() is None
    assert spread(np.ones_like(y)).sum() == y.size


@pytest.mark.parametrize(("dy", "error"), [(np.ones((1, 2, 2, 1)), TypeError), (np.ones((1, 2, 1, 1), np.float32), ValueError)])
def test_a_gradient_that_does_not_fit_the_labels_is_refused(dy, error):
    _, spread = pooling.max_pool_in_training("max_pool2d", 2, np.ones((1, 4, 4, 1), np.float32), 2, 2, 0, 1, False)
    with pytest.raises(error, match="max_pool2d: "):
        spread(dy)


@pytest.mark.parametrize("channels", [512, 600, 1031, 2048])
@pytest.mark.parametrize("shift", [0, 1, 4, 15])
def test_long_pixels_have_the_same_mean_wherever_they_lie(channels, shift, isa):
    for dtype in (np.float32, np.float64):
        room = np.random.default_rng(3).integers(-9, 9, 2 * 15 * channels + 16).astype(dtype)
        x = room[shift : shift + 2 * 15 * channels].reshape(2, 3, 5, channels)
        y = convkit.avg_pool2d(x, (3, 5))
        assert_same_bits(y, (x.sum((1, 2), keepdims=True) / dtype(15)).astype(dtype))
        assert_same_bits(convkit.avg_pool2d(x, (3, 5), threads=3), y)
        dx = convkit.avg_pool2d_grad(y, x.shape, (3, 5), threads=2)
        assert_same_bits(dx, np.broadcast_to(y / dtype(15), x.shape))
