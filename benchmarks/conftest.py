"""`--benchmark-compare` fails on a regression, unless `--benchmark-compare-fail` says on which."""

from __future__ import annotations

# By the fastest runs, which noise touches least; where a machine wanders by more, `convkit bench --compare` knows its peak.
LIMIT = "min:25%"


def pytest_configure(config) -> None:
    if config.getoption("benchmark_compare", None) and not config.getoption("benchmark_compare_fail", None):
        from pytest_benchmark.utils import parse_compare_fail

        config.option.benchmark_compare_fail = [parse_compare_fail(LIMIT)]
