"""Dropout: the mask is that of the published generator, and depends on the seed and on positions alone."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import ops

OPS = [ops.dropout, ops.alpha_dropout, ops.spatial_dropout]
every = pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)


def threefry(counter, seed, rounds):
    """Threefry-2x32 as its authors define it, on Python's ints."""
    mask = 2**32 - 1
    keys = [seed & mask, seed >> 32]
    keys.append(0x1BD11BDA ^ keys[0] ^ keys[1])
    a, b = (counter + keys[0]) & mask, ((counter >> 32) + keys[1]) & mask
    for r in range(rounds):
        a = (a + b) & mask
        by = ROTATIONS[r % 8]
        b = ((b << by | b >> (32 - by)) & mask) ^ a
        if r % 4 == 3:
            n = r // 4 + 1
            a, b = (a + keys[n % 3]) & mask, (b + keys[(n + 1) % 3] + n) & mask
    return a, b


def draws(n, seed):
    result = []
    for start in range(0, n, 32):
        pairs = [threefry(start // 2 + i, seed, 13) for i in range(16)]
        result += [a for a, _ in pairs] + [b for _, b in pairs]
    return np.array(result[:n])


def test_the_reference_gives_the_known_answers():
    assert threefry(0, 0, 20) == (0x6B200159, 0x99BA4EFE)
    assert threefry(0, 0, 13) == (0x9D1C5EC6, 0x8BD50731)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("p", "seed"), [(0.5, 0), (0.25, 1), (0.9, 2**64 - 1), (1e-9, 12345678901)])
def test_the_mask_is_that_of_the_generator(dtype, p, seed, isa):
    keep = draws(1003, seed) >= round(p * 2**32)
    x = np.random.default_rng(0).standard_normal(1003).astype(dtype)
    np.testing.assert_array_equal(ops.dropout(x, p, seed=seed), np.where(keep, x * dtype(1 / (1 - p)), 0))


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_on_neither_threads_nor_strides(op, dtype, isa, rng):
    x = rng.standard_normal((20, 70, 40)).astype(dtype)
    y = op(x, 0.3, seed=5, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(op(x, 0.3, seed=5, threads=threads), y)
    np.testing.assert_array_equal(op(np.asfortranarray(x), 0.3, seed=5), y)
    np.testing.assert_array_equal(op(x[:7], 0.3, seed=5), y[:7])
    again = x.copy()
    assert op(again, 0.3, seed=5, out=again) is again
    np.testing.assert_array_equal(again, y)
    assert not np.array_equal(op(x, 0.3, seed=6), y)


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "spatial_dropout"])
def test_gradients_have_the_mask_of_the_forward_pass(name, rng):
    op, grad = getattr(ops, name), getattr(ops, name + "_grad")
    x, dy = rng.standard_normal((2, 4, 5, 30))
    h = 1e-3
    slope = (op(x + h, 0.4, seed=9) - op(x - h, 0.4, seed=9)) / (2 * h)
    np.testing.assert_allclose(grad(dy, 0.4, seed=9), dy * slope, rtol=1e-9, atol=1e-9)


@every
def test_none_and_all(op, rng):
    x = rng.standard_normal((3, 4, 5))
    x[0, 0, 0], x[1, 1, 1] = np.inf, -0.0
    np.testing.assert_array_equal(op(x, 0, seed=1), x)
    np.testing.assert_array_equal(op(x, 1, seed=1), np.zeros_like(x))
    assert op(np.zeros((0, 2, 3)), 0.5, seed=1).shape == (0, 2, 3)


def test_dropped_infinities_leave_no_nan():
    x = np.full((1, 8, 64), np.inf)
    for op in (ops.dropout, ops.spatial_dropout):
        assert set(np.unique(op(x, 0.5, seed=2))) == {0.0, np.inf}


def test_spatial_dropout_drops_whole_channels_of_either_layout(rng):
    x = rng.standard_normal((3, 4, 5, 64)) + 10
    y = ops.spatial_dropout(x, 0.5, seed=4)
    kept = (y != 0).all(axis=(1, 2))
    np.testing.assert_array_equal(kept, (y != 0).any(axis=(1, 2)))
    assert 0.3 < kept.mean() < 0.7
    first = ops.spatial_dropout(np.moveaxis(x, -1, 1), 0.5, seed=4, layout="NCHW")
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), y)


def test_the_share_and_the_moments_are_right():
    x = np.random.default_rng(0).standard_normal(400_000, dtype=np.float32)
    for p in (0.1, 0.5, 0.8):
        assert abs((ops.dropout(x, p, seed=1) == 0).mean() - p) < 0.005
        y = ops.alpha_dropout(x, p, seed=1)
        assert abs(y.mean()) < 0.01
        assert abs(y.std() - 1) < 0.01


@every
@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"p": -0.1, "seed": 0}, ValueError, r"p must be in \[0, 1\], got -0.1"),
        ({"p": float("nan"), "seed": 0}, ValueError, "p must be in"),
        ({"p": "1", "seed": 0}, TypeError, "p must be a number"),
        ({"seed": -1}, ValueError, r"seed must be in 0\.\.2\*\*64-1, got -1"),
        ({"seed": 2**64}, ValueError, "seed must be in"),
        ({"seed": 1.0}, TypeError, "seed must be an int"),
        ({"seed": 0, "out": np.zeros((2, 3), np.float32)}, TypeError, "out must be"),
        ({"seed": 0, "threads": 0}, ValueError, "threads must be >= 1"),
    ],
)
def test_wrong_arguments_are_one_clear_error(op, how, error, words):
    with pytest.raises(error, match=f"{op.__name__}: {words}"):
        op(np.zeros((2, 3)), **how)
