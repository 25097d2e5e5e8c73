"""The grouped algorithm: it is the definition, exact on integers, keeps groups apart, and its bits depend on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from bounds import assert_same_bits
from cases import Conv, each_dtype, examples, from_layout, numbers, op, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bits import arrays, everything
from test_conv import check_forward
from test_conv_arrays import VIEWS
from test_conv_grad import check_gradients

import convkit
from convkit._core import cpu

SIZES = (2, 3, 4, 5, 6, 8, 12, 16)
CASES = [
    *(Conv((1, 4, 5, 5 * n), 5 * n, (3, 3), padding=1, groups=5, name=f"{n} channels a group") for n in SIZES),
    *(Conv((1, 4, 5, 3 * n), 12, (3, 3), padding=1, groups=3, name=f"{n} to 4 channels") for n in SIZES),
    *(Conv((1, 4, 5, 12), 3 * n, (3, 3), padding=1, groups=3, name=f"4 to {n} channels") for n in SIZES),
    *(Conv((2, 5, 6, c), c * n, (3, 3), padding=1, stride=s, groups=c, name=f"{c} channels, {n} outputs each, stride {s}")
      for c, n, s in ((2, 2, 1), (33, 2, 2), (7, 3, 1), (5, 8, 2), (3, 13, 1), (4, 16, 1))),
    *(Conv((1, 2, n, 8), 8, (1, 3), padding=(0, 1), groups=2, name=f"width {n}") for n in (1, 2, 13, 14, 15, 29)),
    *(Conv((2, 5, 6, 4 * n), 4 * n, (3, 3), padding=1, groups=n, name=f"{n} groups of 4") for n in (2, 4, 7, 8)),
    *(Conv((1, 1, 17, 8), 8, (1, n), padding="same", groups=2, name=f"{n} taps") for n in (1, 2, 4, 5, 7)),
    Conv((2, 11, 18, 12), 12, (3, 3), stride=2, padding=1, groups=3, name="stride 2"),
    Conv((1, 13, 17, 8), 16, (3, 3), stride=3, padding=2, groups=4, name="stride 3, 2 to 4 channels"),
    Conv((1, 9, 10, 8), 8, (2, 2), stride=3, groups=2, name="stride over kernel"),
    Conv((1, 13, 18, 12), 8, (3, 3), dilation=(2, 3), padding=3, groups=4, name="dilation 2 by 3"),
    Conv((1, 19, 18, 8), 8, (3, 3), stride=2, dilation=3, padding="same", groups=2, name="stride 2, dilation 3"),
    Conv((1, 6, 30, 8), 8, (2, 3), stride=(1, 3), dilation=(1, 2), padding="full", groups=2, name="full padding"),
    Conv((1, 3, 4, 8), 8, (7, 9), padding="same", groups=2, name="a filter larger than the image"),
    Conv((2, 40, 8), 12, (5,), padding=((4, 0),), groups=4, name="1-D, 2 to 3 channels"),
    Conv((1, 4, 5, 6, 12), 8, (3, 2, 3), stride=(2, 1, 2), padding=1, groups=4, name="3-D"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@st.composite
def grouped_convs(draw):
    """Any geometry, with groups that the algorithm takes."""
    case = draw(strategies.convs())
    groups, depth, outputs = draw(st.integers(2, 9)), draw(st.integers(1, 16)), draw(st.integers(1, 16))
    return Conv((*case.x[:-1], groups * depth), groups * outputs, case.k, case.stride, case.padding, case.dilation, groups)


def by_name(case: Conv) -> str:
    """The algorithm, or the one that takes its place where the filters reach too far."""
    dy, x, w, _ = arrays(case, "float32", 0)
    try:
        op("conv", case, "_grad")(dy, x, w, **case.how, algorithm="grouped")
        op("conv", case)(x, w, **case.how, algorithm="grouped")
    except ValueError:
        return "auto"
    return "grouped"


@each_dtype
@each_case
def test_every_pass_is_its_definition(case, dtype, isa):
    check_forward(case, dtype, case.layouts()[0], algorithm="grouped")
    check_gradients(case, dtype, case.layouts()[0], algorithm="grouped")


@each_dtype
@each_case
def test_integers_are_exact(case, dtype, isa):
    check_forward(case, dtype, case.layouts()[1], integers=True, algorithm="grouped")
    check_gradients(case, dtype, case.layouts()[1], integers=True, algorithm="grouped")


@settings(max_examples=examples(150))
@given(case=grouped_convs(), dtype=strategies.dtypes, seed=strategies.seeds, threads=strategies.threads)
def test_a_random_case_is_exact(isa, case, dtype, seed, threads):
    how = {"integers": True, "seed": seed, "threads": threads, "algorithm": by_name(case)}
    check_forward(case, dtype, case.layouts()[0], **how)
    check_gradients(case, dtype, case.layouts()[0], **how)


BUSY = [
    Conv((3, 30, 31, 24), 24, (3, 3), padding=1, groups=6, name="4 channels"),
    Conv((3, 29, 30, 32), 16, (3, 3), stride=2, padding=1, groups=4, name="8 to 4 channels, stride 2"),
    Conv((2, 41, 40, 18), 27, (3, 3), padding="same", dilation=2, groups=9, name="2 to 3 channels, dilation 2"),
]
each_busy = pytest.mark.parametrize("case", BUSY, ids=lambda c: c.name)


@each_dtype
@each_busy
def test_any_number_of_threads_gives_the_same_bits(case, dtype, isa):
    given_arrays = arrays(case, dtype, 0)
    want = everything(case, *given_arrays, threads=1, algorithm="grouped")
    for threads in (2, 3, 7):
        for name, got in everything(case, *given_arrays, threads=threads, algorithm="grouped").items():
            assert_same_bits(got, want[name], f"{name}, {threads} threads")


@each_busy
def test_splitting_a_batch_does_not_change_the_result(case, isa):
    _, x, w, b = arrays(case, "float32", 0)
    parts = [convkit.conv2d(part, w, b, **case.how, algorithm="grouped") for part in (x[:1], x[1:])]
    assert_same_bits(np.concatenate(parts), convkit.conv2d(x, w, b, **case.how, algorithm="grouped"))


@pytest.mark.parametrize("name", sorted(VIEWS.keys() - {"byte-swapped"}))
@pytest.mark.parametrize("case", [BUSY[1], CASES[1]], ids=lambda c: c.name)
def test_any_memory_gives_the_same_bits(case, name, isa):
    dy, x, w, b = arrays(case, "float32", 0)
    want = everything(case, dy, x, w, b, algorithm="grouped")
    for layout in case.layouts():
        viewed = [VIEWS[name](to_layout(a, layout)) for a in (dy, x, w)]
        got = everything(case, *viewed, b, layout=layout, algorithm="grouped")
        for key, value in got.items():
            assert_same_bits(from_layout(value, layout) if value.ndim > 1 else value, want[key], f"{key}, {name}, {layout}")
        out = np.full(to_layout(want["y"], layout).shape, 77, "float32")[..., ::-1]
        convkit.conv2d(*viewed[1:], b, layout=layout, out=out, **case.how, algorithm="grouped")
        assert_same_bits(from_layout(out, layout), want["y"], "out")


@each_dtype
@pytest.mark.parametrize("each", [2, 3, 4, 8, 12])
def test_a_nan_stays_in_its_group_and_window(each, dtype, isa):
    case = Conv((1, 6, 19, 6 * each), 6 * each, (3, 3), padding=1, groups=6)
    dy, x, w, b = arrays(case, dtype, 0)
    x[0, 2, 5, 3 * each + 1] = np.nan
    reached = np.zeros(case.y, bool)
    reached[0, 1:4, 4:7, 3 * each : 4 * each] = True
    assert (np.isnan(convkit.conv2d(x, w, b, **case.how, algorithm="grouped")) == reached).all()
    dx, dw, _ = convkit.conv2d_grad(dy, x, w, **case.how, algorithm="grouped")
    assert np.isfinite(dx).all()
    assert (np.isnan(dw).any(axis=(1, 2, 3)) == reached.any(axis=(0, 1, 2))).all()
    assert np.isnan(dw).sum() == each * 9                # every tap of the one channel that is not a number
    dy[0, 2, 5, 2 * each] = np.inf
    dx, _, _ = convkit.conv2d_grad(dy, np.nan_to_num(x), w, **case.how, algorithm="grouped")
    reached = np.zeros(case.x, bool)
    reached[0, 1:4, 4:7, 2 * each : 3 * each] = True
    assert (~np.isfinite(dx) == reached).all()


@each_dtype
def test_an_infinite_filter_over_padding_gives_nan_as_zeros_would(dtype, isa):
    case = Conv((1, 5, 16, 8), 8, (3, 3), padding=1, groups=2)
    _, x, w, b = arrays(case, dtype, 0)
    w[3, 0, 2, 1] = np.inf                               # reads the line above and the pixel on the right
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = convkit.conv2d(padded, w, b, groups=2, algorithm="direct")
    got = convkit.conv2d(x, w, b, **case.how, algorithm="grouped")
    assert np.isnan(want[0, 0, :, 3]).all()
    assert np.isnan(want[0, :, -1, 3]).all()
    assert (np.isnan(got) == np.isnan(want)).all()


def test_identical_groups_and_filters_give_identical_bits(isa):
    x, one = numbers((2, 7, 15, 3), "float32", 1), numbers((1, 3, 3, 3), "float32", 2)
    y = convkit.conv2d(np.tile(x, 11), np.repeat(one, 44, axis=0), padding=1, groups=11, algorithm="grouped")
    assert_same_bits(y, np.repeat(y[..., :1], 44, axis=-1))


def test_packed_filters_give_the_same_bits_and_follow_the_instruction_set(isa):
    case = BUSY[0]
    dy, x, w, b = arrays(case, "float32", 0)
    want, packed = everything(case, dy, x, w, b, algorithm="grouped"), convkit.pack_filters(w, groups=case.groups)
    for name in (isa, *cpu.isas(), isa):
        cpu.use_isa(name)
        got = everything(case, dy, x, packed, b, algorithm="grouped")
    for key, value in got.items():
        assert_same_bits(value, want[key], key)


def test_relu_is_fused(isa):
    case = CASES[0]
    _, x, w, b = arrays(case, "float32", 0)
    plain = convkit.conv2d(x, w, b, **case.how, algorithm="grouped")
    got = convkit.conv2d(x, w, b, **case.how, activation="relu", algorithm="grouped")
    assert_same_bits(got, np.where(plain > 0, plain, 0).astype("float32"))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Conv((1, 5, 5, 8), 8, (3, 3)), "it is not grouped"),
        (Conv((1, 5, 5, 8), 8, (3, 3), groups=8), "groups of 1 to 1 channels"),
        (Conv((1, 5, 5, 34), 8, (3, 3), groups=2), "groups of 17 to 4 channels"),
        (Conv((1, 70, 70, 8), 8, (65, 5), groups=2), "its filters reach too far"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_cannot_run_is_an_error_and_left_to_others(case, reason):
    _, x, w, _ = arrays(case, "float32", 0)
    with pytest.raises(ValueError, match=f"conv2d: algorithm 'grouped' cannot run this convolution: {reason}"):
        convkit.conv2d(x, w, **case.how, algorithm="grouped")
    check_forward(case, "float32", "NHWC")
