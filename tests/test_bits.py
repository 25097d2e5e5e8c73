"""Equal bits whatever the number of threads, the split of the batch, the memory of arguments and result."""

from __future__ import annotations

import os

import numpy as np
import pytest
import strategies
from bounds import assert_same_bits
from cases import Conv, Pool, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_conv_arrays import VIEWS

import convkit
from convkit.ops.conv import planned
from convkit.plan import choose

THREADS = (1, 2, 3, 7)
some_convs = strategies.convs() | strategies.busy_convs() | strategies.busy_convs()
views = st.sampled_from(sorted(VIEWS.keys() - {"byte-swapped"}))


def arrays(case: Conv, dtype: str, seed: int) -> tuple:
    """dy, x, w, b"""
    return tuple(numbers(shape, dtype, seed) for shape in (case.y, case.x, case.w, (case.o,)))


def everything(case: Conv, dy, x, w, b, **options) -> dict[str, np.ndarray]:
    """The result and the three gradients."""
    y = op("conv", case)(x, w, b, **case.how, **options)
    dx, dw, db = op("conv", case, "_grad")(dy, x, w, **case.how, **options)
    return {"y": y, "dx": dx, "dw": dw, "db": db}


@reproducible
def check_threads(case: Conv, dtype: str, seed: int) -> None:
    given_arrays = arrays(case, dtype, seed)
    want = everything(case, *given_arrays, threads=1)
    for threads in THREADS[1:]:
        for name, got in everything(case, *given_arrays, threads=threads).items():
            assert_same_bits(got, want[name], f"{name}, {threads} threads")


@reproducible
def check_split(case: Conv, dtype: str, seed: int, at: int) -> None:
    _, x, w, b = arrays(case, dtype, seed)
    conv = op("conv", case)
    parts = [conv(part, w, b, **case.how) for part in (x[:at], x[at:])]
    assert_same_bits(np.concatenate(parts), conv(x, w, b, **case.how))


@reproducible
def check_memory(case: Conv, dtype: str, seed: int, name: str, first: bool) -> None:
    """Views in either layout, and a result written to a given place, against contiguous channels last."""
    dy, x, w, b = arrays(case, dtype, seed)
    want = everything(case, dy, x, w, b)
    layout, view = case.layouts()[first], VIEWS[name]
    viewed = [view(to_layout(a, layout)) for a in (dy, x, w)]
    got = everything(case, *viewed, b, layout=layout)
    for key, value in got.items():
        assert_same_bits(from_layout(value, layout) if value.ndim > 1 else value, want[key], f"{key}, {name}, {layout}")
    out = np.full(got["y"].shape, 77, dtype)
    op("conv", case)(*viewed[1:], b, layout=layout, out=out, **case.how)
    assert_same_bits(from_layout(out, layout), want["y"], "out")


def passes(name: str, case: Conv, dy, x, w, b, **options) -> dict[str, np.ndarray]:
    """What the algorithm `name` computes: those of y, dx and dw that it can run."""
    conv = planned("conv", case.x, case.w, *case.how.values())
    able = [which for which in choose.PASSES if choose.modules()[name].refusal(conv, which) is None]
    forward, grad, how = op("conv", case), op("conv", case, "_grad"), {"algorithm": name, **case.how, **options}
    runs = {
        "forward": lambda: forward(x, w, b, **how),
        "input": lambda: grad(dy, x, w, needs=("x",), **how)[0],
        "filters": lambda: grad(dy, x, w, needs=("w",), **how)[1],
    }
    return {which: runs[which]() for which in able}


@reproducible
def check_algorithm(name: str, case: Conv, dtype: str, seed: int, at: int, view: str) -> None:
    """Threads, memory, and a split of the batch for the passes that have a result for each image."""
    dy, x, w, b = arrays(case, dtype, seed)
    want = passes(name, case, dy, x, w, b, threads=1)
    assert want
    for threads in THREADS[1:]:
        for which, got in passes(name, case, dy, x, w, b, threads=threads).items():
            assert_same_bits(got, want[which], f"{which}, {threads} threads")
    for which, got in passes(name, case, *(VIEWS[view](a) for a in (dy, x, w, b))).items():
        assert_same_bits(got, want[which], f"{which}, {view}")
    parts = [passes(name, Conv(some.shape, *fields_of(case)), gradient, some, w, b)
             for gradient, some in ((dy[:at], x[:at]), (dy[at:], x[at:]))]
    for which in want.keys() - {"filters"}:
        assert_same_bits(np.concatenate([part[which] for part in parts]), want[which], f"{which}, split at {at}")


def fields_of(case: Conv) -> tuple:
    return case.o, case.k, case.stride, case.padding, case.dilation, case.groups


@pytest.mark.parametrize("name", choose.ALGORITHMS)
@settings(max_examples=examples(25))
@given(data=st.data(), dtype=strategies.dtypes, seed=strategies.seeds, cut=st.integers(0, 10**6), view=views)
def test_every_algorithm_by_name_gives_the_same_bits(name, isa, data, dtype, seed, cut, view):
    """Over any number of threads, any memory, any split of the batch. 2,000 configurations: CONVKIT_EXAMPLES=3."""
    case = data.draw(strategies.convs_for(name))
    conv = planned("conv", case.x, case.w, *case.how.values())
    assume(any(choose.modules()[name].refusal(conv, which) is None for which in choose.PASSES))
    check_algorithm(name, case, dtype, seed, cut % (case.x[0] + 1), view)


@settings(max_examples=examples(200))
@given(case=some_convs, dtype=strategies.dtypes, seed=strategies.seeds)
def test_any_number_of_threads_gives_the_same_bits(isa, case, dtype, seed):
    check_threads(case, dtype, seed)


@settings(max_examples=examples(150))
@given(case=some_convs, dtype=strategies.dtypes, seed=strategies.seeds, cut=st.integers(0, 10**6))
def test_splitting_a_batch_does_not_change_the_result(isa, case, dtype, seed, cut):
    check_split(case, dtype, seed, cut % (case.x[0] + 1))


@settings(max_examples=examples(150))
@given(case=some_convs, dtype=strategies.dtypes, seed=strategies.seeds, view=views, first=st.booleans())
def test_any_memory_gives_the_same_bits(isa, case, dtype, seed, view, first):
    check_memory(case, dtype, seed, view, first)


@settings(max_examples=examples(100))
@given(case=strategies.pools(dilated=False), batch=st.integers(1, 40), dtype=strategies.dtypes, seed=strategies.seeds)
def test_any_number_of_threads_gives_the_same_bits_of_pooling(isa, case, batch, dtype, seed):
    case = Pool((batch, *case.x[1:]), case.k, case.stride, case.padding, 1, case.ceil_mode, case.include)
    x, dy = numbers(case.x, dtype, seed), numbers(case.y, dtype, seed + 1)

    def pooled(threads: int) -> list[np.ndarray]:
        return [op("max_pool", case)(x, case.k, threads=threads, **case.max_how),
                op("max_pool", case, "_grad")(dy, x, case.k, threads=threads, **case.max_how),
                op("avg_pool", case)(x, case.k, threads=threads, **case.avg_how),
                op("avg_pool", case, "_grad")(dy, case.x, case.k, threads=threads, **case.avg_how)]

    want = pooled(1)
    for threads in THREADS[1:]:
        for got, expected in zip(pooled(threads), want, strict=True):
            assert_same_bits(got, expected, f"{threads} threads")


LARGE = Conv((6, 40, 41, 24), 40, (3, 3), padding=1)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads through /proc")
@pytest.mark.skipif(convkit.show_config("dict")["openmp"] == "no", reason="built without OpenMP")
def test_a_large_call_really_starts_threads():
    """Else the tests above would compare one thread with itself."""
    everything(LARGE, *arrays(LARGE, "float32", 0), threads=7)
    assert len(os.listdir("/proc/self/task")) >= 7


def test_the_context_manager_sets_the_threads_and_puts_them_back(isa):
    given_arrays = arrays(LARGE, "float32", 0)
    want = everything(LARGE, *given_arrays, threads=1)
    with convkit.threads(3):
        with convkit.threads(2):
            inner = everything(LARGE, *given_arrays)
        outer = everything(LARGE, *given_arrays)
    for got in (inner, outer, everything(LARGE, *given_arrays)):
        for name in want:
            assert_same_bits(got[name], want[name], name)


def test_the_same_call_twice_gives_the_same_bits(isa):
    given_arrays = arrays(LARGE, "float32", 1)
    once, twice = (everything(LARGE, *given_arrays) for _ in range(2))
    for name in once:
        assert_same_bits(once[name], twice[name], name)
