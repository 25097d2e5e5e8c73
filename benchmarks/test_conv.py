"""pytest-benchmark over the convolution shapes: `pytest benchmarks/ --benchmark-only`, compared by `--benchmark-compare`."""

from __future__ import annotations

import pytest

from . import definition, layers, shapes
from .libraries.ours import Convkit

pytest.importorskip("pytest_benchmark")
convkit = pytest.importorskip("convkit")

CASES = [case for case in shapes.matching([*layers.CONV, *layers.SMALL], ["quick", "small", "3x3_thin"]) if case.kind == "conv"]


@pytest.mark.parametrize("what", shapes.Conv.passes)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conv(benchmark, case, what):
    run, to_numpy = Convkit(threads=1).conv(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, "float32")
    benchmark.extra_info["GFLOP"] = case.work(what, 4) / 1e9
    benchmark(run)
