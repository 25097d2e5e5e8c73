"""Repeated calls of activations and softmax are known by their arguments, and give the bits of the first."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_same_bits

import convkit
from convkit.ops import pointwise


def numbers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


OPS = {
    "relu": (convkit.relu, convkit.relu_grad), "gelu": (convkit.gelu, convkit.gelu_grad),
    "softmax": (convkit.softmax, convkit.softmax_grad), "log_softmax": (convkit.log_softmax, convkit.log_softmax_grad),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 10), (3, 7, 11), (5, 97, 67)])
@pytest.mark.parametrize("op", OPS)
def test_a_repeated_call_has_the_bits_of_the_first(op, shape, dtype, isa):
    function, gradient = OPS[op]
    x, dy = numbers(*shape, dtype=dtype), numbers(*shape, dtype=dtype, seed=1)
    first, back = function(x[::-1], threads=1)[::-1], gradient(dy[::-1], x[::-1])[::-1]         # never known: not contiguous
    for threads in (None, 1, 3):
        function(x, threads=threads)
        before, y = pointwise.CALLS.count, np.empty_like(x)
        assert_same_bits(function(x, threads=threads), first)
        assert function(x, out=y, threads=threads) is y
        assert pointwise.CALLS.count == before + 2
        assert_same_bits(y, first)
        y[...] = x
        assert function(y, out=y, threads=threads) is y                                         # in its own place
        assert_same_bits(y, first)
        for _ in range(2):
            assert_same_bits(gradient(dy, x, threads=threads), back)


def test_what_differs_from_the_repeated_call_is_seen():
    x, room = numbers(4, 6), np.zeros(30, np.float32)
    for _ in range(2):
        convkit.leaky_relu(x, negative_slope=0.0)
        convkit.gelu(x)
        convkit.softmax(x)
        convkit.relu_grad(x, x)
    x[0] = np.inf
    x[1] = -1
    assert np.isnan(convkit.leaky_relu(-x, negative_slope=0.0)[0]).all()
    assert np.signbit(convkit.leaky_relu(x, negative_slope=0.0)[1]).all()
    assert not np.signbit(convkit.leaky_relu(x, negative_slope=-0.0)[1]).any()
    assert not np.array_equal(convkit.gelu(x), convkit.gelu(x, approximate="tanh"))
    np.testing.assert_allclose(convkit.softmax(x[1:], 0).sum(0), 1, rtol=1e-6)
    shifted = room[2:26].reshape(4, 6)
    room[:24].reshape(4, 6)[...] = x                    # `out` begins inside of x
    want = convkit.gelu(room[:24].reshape(4, 6).copy())
    assert convkit.gelu(room[:24].reshape(4, 6), out=shifted) is shifted
    assert_same_bits(shifted, want)
    for wrong in (lambda: convkit.softmax(x, 2), lambda: convkit.relu(x, threads=0), lambda: convkit.relu_grad(x, x[:2]),
                  lambda: convkit.gelu(x, out=x[:2]), lambda: convkit.leaky_relu(x, negative_slope=np.nan)):  # fmt: skip
        with pytest.raises(ValueError, match=r"axis 2|>= 1|same shape|have shape|finite"):
            wrong()
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        convkit.gelu(x, out=x)
    with pytest.raises(TypeError):
        convkit.relu(np.ones((4, 6), np.int32))
