"""Fixtures: the instruction sets of this machine, and a random generator for each test."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import convkit
from convkit._core import cpu

# The same examples on every run and every machine; CONVKIT_EXAMPLES=10 draws ten times as many.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=False,
                                     suppress_health_check=list(hypothesis.HealthCheck))
hypothesis.settings.load_profile("ci")


def tested_isas() -> list[str]:
    forced = os.environ.get("CONVKIT_ISA")
    return [forced] if forced else list(cpu.isas())


@pytest.fixture(params=tested_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once on each instruction set of this machine, or only on the one that CONVKIT_ISA names."""
    before = convkit.isa()
    cpu.use_isa(request.param)
    yield request.param
    cpu.use_isa(before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the name of the test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
