"""The suites under pytest-benchmark: `pytest benchmarks/ -k 'conv and fwd'`; see README.md for histories and comparisons."""

from __future__ import annotations

import pytest

from . import definition
from .suites import SUITES

pytest.importorskip("pytest_benchmark")
pytest.importorskip("convkit")

# The definition of a large network's step takes minutes, and says nothing that `convkit bench --suite train` does not.
CASES = [case for name in ("conv", "pool", "ops", "small", "models", "train") for case in SUITES[name].cases
         if name != "train" or "quick" in case.tags]  # fmt: skip
PASSES = [pytest.param(case, what, id=f"{case.suite} {case.name} {what}") for case in CASES for what in case.passes]


@pytest.mark.parametrize(("case", "what"), PASSES)
def test_pass(benchmark, case, what):
    from .libraries.ours import Convkit

    run, to_numpy = getattr(Convkit(threads=1), case.kind)(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, "float32")
    benchmark.extra_info["work"] = case.work(what, 4)   # FLOP, or bytes for pooling and ops
    benchmark(run)
