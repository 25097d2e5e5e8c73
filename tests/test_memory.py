"""What a process keeps of the convolutions that it ran: plans of the last few shapes, one buffer of scratch, nothing else."""

from __future__ import annotations

import gc
import os
import tracemalloc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from cases import CONVS, Conv, numbers, op
from test_processes import run

import convkit
from convkit.ops import again
from convkit.plan import choose, conv, transpose
from convkit.plan import winograd as tiles

SOME = [case for case in CONVS if np.prod(case.x) * np.prod(case.k) * case.o < 10**6][::4]


def run_all(case) -> None:
    """Every pass by every algorithm that has it."""
    dy, x, w, b = (numbers(shape, "float32", 0) for shape in (case.y, case.x, case.w, (case.o,)))
    for name in ("auto", *choose.ALGORITHMS):
        for call in (
            lambda how: op("conv", case)(x, w, b, **how),
            lambda how: op("conv", case, "_grad")(dy, x, w, needs=("x",), **how),
            lambda how: op("conv", case, "_grad")(dy, x, w, needs=("w", "b"), **how),
        ):
            try:
                call({"algorithm": name, **case.how})
            except ValueError:
                continue                                # it has no such pass


def plans() -> list[str]:
    return sorted(repr(case) for case in gc.get_objects() if type(case) in (conv.Conv, conv.Pass, tiles.Plan))


def test_a_plan_that_is_not_kept_goes_at_once(monkeypatch):
    """No cycle of references makes it wait for the garbage collector, no other cache holds on to it."""
    forgets = SimpleNamespace(again=lambda *call: None, keep=lambda *call: None)      # no calls, and so no plans
    for name in ("PLAIN", "GRADIENTS"):
        monkeypatch.setattr(again, name, forgets)
    run_all(SOME[0])
    conv.conv.cache_clear()
    transpose.conv_transpose.cache_clear()
    gc.collect()
    before = plans()                                    # those of calls that are remembered
    gc.disable()
    try:
        for case in SOME:
            run_all(case)
            assert len(plans()) > len(before)
            conv.conv.cache_clear()
            assert plans() == before, case
    finally:
        gc.enable()


def test_the_plans_of_many_shapes_are_bounded():
    """Their number, and the bytes of those that are kept."""
    gc.disable()
    tracemalloc.start()
    try:
        for n in range(3 * conv.PLANS):
            run_all(Conv((1, 3 + n // 3, 4, 4), 4, (3, 3), padding=1, groups=(1, 2, 4)[n % 3]))
        many = len([1 for case in gc.get_objects() if type(case) is conv.Conv])
        held, _ = tracemalloc.get_traced_memory()
        conv.conv.cache_clear()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert many <= 2 * conv.PLANS                       # some know the plan of their first image
    assert held - left < conv.PLANS * 30_000


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_resident_memory_is_flat_over_random_shapes():
    """All ranks, groups, types and passes; the algorithms are those that the shapes choose."""
    program = """
numbers = rng.standard_normal(1 << 18)
arrays = {8: numbers, 4: numbers.astype(np.float32)}
def array(shape, size):
    return arrays[size][: int(np.prod(shape))].reshape(shape)
def call():
    rank, groups, size = int(rng.integers(1, 4)), int(rng.choice([1, 1, 1, 2, 8])), int(rng.choice([4, 4, 8]))
    kernel = tuple(int(n) for n in rng.integers(1, {1: 10, 2: 6, 3: 4}[rank], rank))
    pixels = tuple(int(n) + k for n, k in zip(rng.integers(0, {1: 100, 2: 12, 3: 5}[rank], rank), kernel))
    c, o = (groups * int(rng.integers(1, 33 // groups)) for _ in range(2))
    o = c if groups == 8 else o
    groups = c if groups == 8 else groups
    image, filters = array((2, *pixels, c), size), array((o, *kernel, c // groups), size)
    how = dict(stride=int(rng.choice([1, 1, 2])), padding=int(rng.integers(0, 2)), groups=groups, threads=1)
    y = getattr(convkit, f"conv{rank}d")(image, filters, **how)
    getattr(convkit, f"conv{rank}d_grad")(y, image, filters, **how)
for i in range(1000):
    call()
before = resident()
for i in range(2000):
    call()
print((resident() - before) // 1024)
"""
    assert int(run(program)) <= 1024


@pytest.mark.parametrize("size", [8, 40])
def test_packed_filters_go_with_their_last_reference(size):
    """Without a garbage collector: the calls that they remember do not hold them."""
    packed = convkit.pack_filters(np.ones((8, 3, 3, 8), np.float32))
    x = np.ones((1, size, size, 8), np.float32)
    there = weakref.ref(packed)
    gc.disable()
    try:
        for _ in range(3):
            convkit.conv2d(x, packed, padding=1, flip=True)
            convkit.conv2d_grad(convkit.conv2d(x, packed, padding=1), x, packed, padding=1)
        del packed
        assert there() is None
    finally:
        gc.enable()
