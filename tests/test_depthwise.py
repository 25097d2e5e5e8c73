"""The depthwise algorithm, named: its definition in every pass, exact integers, bits, and what lies in the padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
from bounds import assert_same_bits
from cases import Conv, each_dtype, examples, numbers, op
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bits import everything
from test_conv import check_forward
from test_conv_arrays import VIEWS
from test_conv_grad import check_gradients

import convkit


def depthwise(size: tuple, channels: int, k: tuple, times: int = 1, name: str = "", batch: int = 2, **how: Any) -> Conv:
    return Conv((batch, *size, channels), channels * times, k, groups=channels, name=name, **how)


CASES = [
    *(depthwise((6, 7), n, (3, 3), padding=1, name=f"{n} channels")
      for n in (1, 3, 4, 7, 8, 9, 15, 16, 17, 20, 31, 33, 40, 65)),
    *(depthwise((3, n), 17, (3, 3), padding=1, batch=1, name=f"width {n}") for n in (*range(1, 12), 15, 16, 17, 18, 25)),
    *(depthwise((19, 20), 5, (k, k), padding=k // 2, stride=s, name=f"{k}x{k}, stride {s}")
      for k in (1, 2, 3, 4, 5, 6, 7, 8, 9) for s in (1, 2, 3)),
    *(depthwise((9, 10), 6, (3, 3), m, padding=1, stride=s, name=f"multiplier {m}, stride {s}")
      for m in (2, 3, 8) for s in (1, 2)),
    depthwise((12, 13), 18, (3, 3), dilation=2, padding=2, name="dilation 2"),
    depthwise((12, 13), 18, (3, 3), dilation=2, padding=2, stride=2, name="dilation 2, stride 2"),
    depthwise((13, 12), 9, (3, 5), dilation=(3, 2), stride=(2, 3), padding=((0, 3), (4, 1)), name="everything uneven"),
    depthwise((7, 7), 20, (7, 7), padding=3, name="7x7 on 7x7"),
    depthwise((3, 4), 9, (7, 11), padding="same", name="a filter larger than the image"),
    depthwise((2, 2), 4, (2, 2), padding=3, stride=2, name="windows in the padding alone"),
    depthwise((9, 8), 10, (2, 2), stride=3, name="stride over kernel"),
    depthwise((1, 9), 5, (41, 3), padding=(20, 1), name="more filter lines than a table holds"),
    depthwise((70, 4), 3, (37, 2), name="more filter lines than a table holds, all of them inside"),
    depthwise((90,), 20, (31,), padding=15, name="1-D, 31 taps"),
    depthwise((91,), 4, (9,), 2, stride=4, dilation=2, padding=((3, 5),), name="1-D, stride 4, dilation 2, multiplier 2"),
    depthwise((5, 6, 7), 17, (3, 3, 3), padding=1, name="3-D"),
    depthwise((4, 7, 6), 5, (2, 3, 1), stride=(1, 2, 3), padding=(1, 0, 0), name="3-D, mixed strides"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@st.composite
def convs(draw: Any) -> Conv:
    """Any geometry, any number of channels and any multiplier."""
    case = draw(strategies.convs())
    channels, times = draw(st.sampled_from(strategies.CHANNELS)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    return Conv((*case.x[:-1], channels), channels * times, case.k, case.stride, case.padding, case.dilation, channels)


@each_dtype
@each_case
def test_depthwise_is_its_definition(case, dtype, isa):
    check_forward(case, dtype, case.layouts()[0], algorithm="depthwise")
    check_gradients(case, dtype, case.layouts()[0], algorithm="depthwise")


@each_case
def test_depthwise_of_integers_is_exact(case, isa):
    check_forward(case, "float32", case.layouts()[1], integers=True, algorithm="depthwise")
    check_gradients(case, "float32", case.layouts()[1], integers=True, algorithm="depthwise")


@settings(max_examples=examples(80))
@given(case=convs(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(), threads=strategies.threads)
def test_a_random_depthwise_conv_is_exact_for_integers(isa, case, dtype, seed, first, threads):
    how = {"integers": True, "seed": seed, "algorithm": "depthwise", "threads": threads}
    check_forward(case, dtype, case.layouts()[first], **how)
    check_gradients(case, dtype, case.layouts()[first], **how)


BUSY = [
    depthwise((40, 41), 33, (3, 3), padding=1, name="3x3"),
    depthwise((60, 61), 20, (5, 5), padding=2, stride=2, name="5x5, stride 2"),
    depthwise((3000,), 24, (9,), 2, padding=4, name="1-D, multiplier 2"),
    depthwise((14, 14), 200, (3, 3), padding=1, batch=3, name="many channels"),
    depthwise((96, 96), 40, (3, 3), padding=1, batch=1, name="large"),
]
each_busy_case = pytest.mark.parametrize("case", BUSY, ids=lambda c: c.name)


def arrays(case: Conv, dtype: str = "float32") -> tuple:
    """dy, x, w, b"""
    return tuple(numbers(shape, dtype, 3) for shape in (case.y, case.x, case.w, (case.o,)))


@each_busy_case
def test_any_number_of_threads_gives_the_same_bits(case, isa):
    want = everything(case, *arrays(case), algorithm="depthwise", threads=1)
    for threads in (2, 3, 7):
        for name, got in everything(case, *arrays(case), algorithm="depthwise", threads=threads).items():
            assert_same_bits(got, want[name], f"{name}, {threads} threads")


@each_busy_case
def test_splitting_a_batch_does_not_change_the_result(case, isa):
    _, x, w, b = arrays(case)
    conv, how = op("conv", case), {"algorithm": "depthwise", **case.how}
    parts = [conv(x[i : i + 1], w, b, **how) for i in range(len(x))]
    assert_same_bits(np.concatenate(parts), conv(x, w, b, **how))


@pytest.mark.parametrize("view", sorted(VIEWS.keys()))
def test_any_memory_gives_the_same_bits(view, isa):
    case = depthwise((9, 11), 21, (3, 3), padding=1, stride=2)
    dy, x, w, b = arrays(case)
    want = everything(case, dy, x, w, b, algorithm="depthwise")
    for name, got in everything(case, *map(VIEWS[view], (dy, x, w)), b, algorithm="depthwise").items():
        assert_same_bits(got, want[name], name)


@pytest.mark.parametrize("times", [1, 2])
def test_packed_filters_serve_both_passes_with_one_pack(times, isa):
    case = depthwise((9, 11), 21, (3, 3), times, padding=1)
    dy, x, w, b = arrays(case)
    packed = convkit.pack_filters(w, groups=case.groups)
    want = everything(case, dy, x, w, b, algorithm="depthwise")
    held = []
    for _ in range(2):
        for name, got in everything(case, dy, x, packed, b, algorithm="depthwise").items():
            assert_same_bits(got, want[name], name)
        held.append(packed.nbytes)
    words = -(-case.o // 4) * 4                         # a multiple of the shortest word, at least
    assert held[0] == held[1]
    assert w.nbytes + 9 * words * 4 <= held[0] <= w.nbytes + 9 * (case.o + 15) * 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_strange_pixel_reaches_the_outputs_whose_windows_cover_it(value, isa):
    case = depthwise((12, 13), 20, (3, 3), padding=1)
    _, x, w, b = arrays(case)
    x[0, 5, 6, 18] = value
    strange = ~np.isfinite(convkit.conv2d(x, w, b, algorithm="depthwise", **case.how))
    want = np.zeros(case.y, bool)
    want[0, 4:7, 5:8, 18] = True
    assert np.array_equal(strange, want)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_strange_weight_times_the_padding_is_nan(value, isa):
    """Padding is zeros, and zero times Inf is NaN: as the direct algorithm has it."""
    case = depthwise((6, 7), 20, (3, 3), padding=1)
    dy, x, w, b = arrays(case)
    w[18, 0, 0, 0] = value
    got, want = (everything(case, dy, x, w, b, algorithm=name) for name in ("depthwise", "direct"))
    assert np.isnan(got["y"][:, 0, :, 18]).all()
    for name in ("y", "dx"):
        assert np.array_equal(np.isnan(got[name]), np.isnan(want[name]))
        assert np.array_equal(np.isinf(got[name]), np.isinf(want[name]))


def test_subnormal_numbers_are_kept_where_accuracy_is_strict(isa):
    x, w = np.full((1, 4, 4, 20), 1e-39, np.float32), np.ones((20, 3, 3, 1), np.float32)
    how = {"groups": 20, "algorithm": "depthwise"}
    with convkit.accuracy("strict"):
        np.testing.assert_allclose(convkit.conv2d(x, w, **how), 9e-39, rtol=1e-5)


def test_depthwise_refuses_what_it_cannot_run():
    x, w = np.zeros((1, 5, 5, 4), np.float32), np.zeros((4, 3, 3, 2), np.float32)
    with pytest.raises(ValueError, match=r"conv2d: algorithm 'depthwise' cannot run this convolution: .*4 channels.*groups=2"):
        convkit.conv2d(x, w, groups=2, algorithm="depthwise")
