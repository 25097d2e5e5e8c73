"""A gradient like an earlier one is known by its arguments, as other calls are (test_calls.py)."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_same_bits
from test_calls import CALLS, filters, images

import convkit
from convkit.ops import again

GRADIENTS = [
    *CALLS,
    ((3, 30, 20, 16), 33, 1, {"padding": 1, "threads": 3}),
    ((2, 40, 30, 40), 40, 40, {"padding": 1, "threads": 7}),
    ((1, 8, 8, 32), 24, 1, {"padding": 1}),
    ((2, 9, 7, 12), 4, 2, {"stride": 3, "padding": 1}),
    ((1, 12, 12, 2), 3, 1, {"stride": 2}),
    ((40, 1, 1, 24), 10, 1, {}),
    ((3, 6, 6, 20), 20, 20, {"stride": 2, "padding": 1}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("needs", [("x", "w", "b"), ("b", "x")])
@pytest.mark.parametrize(("shape", "outputs", "groups", "how"), GRADIENTS)
def test_repeated_gradients_have_the_bits_of_an_ordinary_call(shape, outputs, groups, how, needs, packs, dtype, isa):
    kernel, how = (1, 1) if shape[1] == 1 else (3, 3), {**how, "groups": groups}
    how.pop("activation", None)
    w, first = filters(shape[-1], outputs, kernel, dtype, groups), images(*shape, dtype=dtype)
    dy_shape = convkit.conv2d(first, w, **how).shape
    given = convkit.pack_filters(w, groups=groups) if packs else w
    table = given.calls if packs else again.GRADIENTS
    for seed, value in ((1, 0), (2, 1), (3, np.inf), (4, np.nan), (5, 1)):
        x, dy = images(*shape, dtype=dtype, seed=seed), images(*dy_shape, dtype=dtype, seed=seed + 10)
        dy[0, 0, 0, 0] = value
        before = table.count
        found = convkit.conv2d_grad(dy, x, given, needs=needs, **how)
        assert table.count == before + 1 or seed == 1
        wanted = convkit.conv2d_grad(np.asfortranarray(dy), np.asfortranarray(x), w, needs=needs, **how)
        for one, other in zip(found, wanted, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_same_bits(one, other)


def test_repeated_gradients_see_new_filters_and_give_new_arrays():
    x, dy, w = images(1, 8, 8, 8), images(1, 6, 6, 8), filters()
    results = [convkit.conv2d_grad(dy, x, w * scale) for scale in (1, 2, 4)]
    for (dx, dw, db), scale in zip(results, (1, 2, 4), strict=True):
        assert_same_bits(dx, results[0][0] * np.float32(scale))
        assert_same_bits(dw, results[0][1])
        assert_same_bits(db, results[0][2])
    assert not any(np.shares_memory(a, b) for a, b in zip(results[1], results[2], strict=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_repeated_depthwise_calls_look_at_their_filters(value):
    x, dy, w = images(1, 6, 6, 32), images(1, 6, 6, 32), filters(32, 32, groups=32)
    how = {"padding": 1, "groups": 32}
    for _ in range(2):
        results = [convkit.conv2d(x, w, **how), *convkit.conv2d_grad(dy, x, w, **how)]
    w[3, 1, 2] = value
    changed = [convkit.conv2d(x, w, **how), *convkit.conv2d_grad(dy, x, w, **how)]
    for y, before in zip(changed[:2], results, strict=False):
        assert_same_bits(np.delete(y, 3, -1), np.delete(before, 3, -1))
        assert not np.isfinite(y[..., 3]).any()
    for y, before in zip(changed[2:], results[2:], strict=True):
        assert_same_bits(y, before)
