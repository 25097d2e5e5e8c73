"""pytest-benchmark over the pooling shapes."""

from __future__ import annotations

import numpy as np
import pytest

from . import definition, peers, shapes

pytest.importorskip("pytest_benchmark")
convkit = pytest.importorskip("convkit")


@pytest.mark.parametrize("what", shapes.Pool.passes)
@pytest.mark.parametrize("case", shapes.POOL, ids=lambda case: case.name)
def test_pool(benchmark, case, what):
    run, to_numpy = peers.Convkit(threads=1).pool(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert np.abs(to_numpy(run()) - truth).max() <= definition.tolerance(case, what, "float32") * np.abs(truth).max()
    benchmark.extra_info["MB"] = case.work(what, 4) / 1e6
    benchmark(run)
