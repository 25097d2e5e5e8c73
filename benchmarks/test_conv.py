"""pytest-benchmark over the convolution shapes: `pytest benchmarks/ --benchmark-only`, compared by `--benchmark-compare`."""

from __future__ import annotations

import numpy as np
import pytest

from . import definition, peers, shapes

pytest.importorskip("pytest_benchmark")
convkit = pytest.importorskip("convkit")

CASES = shapes.matching(shapes.CONV, ["quick", "tiny", "3x3_thin"])


@pytest.mark.parametrize("what", shapes.Conv.passes)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conv(benchmark, case, what):
    run, to_numpy = peers.Convkit(threads=1).conv(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert np.abs(to_numpy(run()) - truth).max() <= definition.tolerance(case, what, "float32") * np.abs(truth).max()
    benchmark.extra_info["GFLOP"] = case.work(what, 4) / 1e9
    benchmark(run)
