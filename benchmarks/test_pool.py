"""pytest-benchmark over the pooling shapes."""

from __future__ import annotations

import pytest

from . import definition, layers, shapes
from .libraries.ours import Convkit

pytest.importorskip("pytest_benchmark")
convkit = pytest.importorskip("convkit")


@pytest.mark.parametrize("what", shapes.Pool.passes)
@pytest.mark.parametrize("case", layers.POOL, ids=lambda case: case.name)
def test_pool(benchmark, case, what):
    run, to_numpy = Convkit(threads=1).pool(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, "float32")
    benchmark.extra_info["MB"] = case.work(what, 4) / 1e6
    benchmark(run)
