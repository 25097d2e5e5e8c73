"""Overlapping windows in two stages give what one walk gives, however the bands between the stages are cut."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Pool, each_dtype
from test_pool import check_average, check_max

import convkit
from convkit.ops import pool_stages
from convkit.ops.pooling import _plan, max_pool_in_training
from convkit.plan import pool as plan

CASES = [
    Pool((3, 7, 8, 5), 3, stride=1, padding=1, name="3x3"),
    Pool((2, 13, 12, 3), 5, stride=2, padding=(4, 0), ceil_mode=True, include=False, name="5x5, stride 2, padding of four"),
    Pool((1, 9, 30, 2), (2, 21), stride=(1, 3), padding=(0, 13), name="a long window"),
    Pool((2, 12, 9, 3), 5, stride=2, name="rows that no window reads"),
    Pool((2, 5, 6, 7, 4), 3, stride=1, padding=1, name="3-D"),
    Pool((1, 20, 19, 2), 17, stride=1, padding=8, name="17x17: more taps than a byte can label"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@pytest.fixture(params=[1, 1000, pool_stages.BAND], ids=lambda size: f"bands of {size} bytes")
def _bands(request, monkeypatch):
    monkeypatch.setattr(pool_stages, "BAND", request.param)
    monkeypatch.setattr(plan, "STAGES", 1)
    plan.pool.cache_clear()                             # plans remember whether stages pay
    yield
    plan.pool.cache_clear()


@pytest.mark.usefixtures("_bands")
@each_dtype
@each_case
def test_stages_are_their_definition(case, dtype):
    assert _plan("op", case.x, case.k, **case.max_how).labelled_stages
    for threads, ties in ((1, False), (2, True)):
        check_max(case, dtype, case.layouts()[0], ties=ties, threads=threads)
    check_average(case, dtype, case.layouts()[1], threads=2)


@pytest.mark.usefixtures("_bands")
@each_case
def test_what_a_layer_keeps_leads_to_the_same_gradient(case, rng):
    x = rng.integers(0, 4, case.x).astype(np.float32)
    x[rng.random(case.x) < 0.02] = np.nan
    op = f"max_pool{len(case.x) - 2}d"
    y, backward = max_pool_in_training(op, len(case.x) - 2, x, case.k, **case.max_how)
    want, where = getattr(convkit, op)(x, case.k, return_indices=True, **case.max_how)
    np.testing.assert_array_equal(y, want)
    dy, dx = rng.integers(0, 9, y.shape).astype(np.float32), np.zeros((x.shape[0], x[0, ..., 0].size, x.shape[-1]), np.float32)
    places = np.indices(where.shape)
    np.add.at(dx, (places[0], where, places[-1]), dy)
    np.testing.assert_array_equal(backward(dy), dx.reshape(x.shape))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_stages_of_integers_are_their_definition(dtype):
    for case in CASES:
        check_max(case, dtype, case.layouts()[0])
