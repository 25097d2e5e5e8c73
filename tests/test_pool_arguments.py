"""Arguments of the pooling ops: any array memory, and one clear error for what is wrong."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import numbers, to_layout
from test_conv_arrays import OUTS, Subclass, each_view, offset

import convkit

X, DY = (2, 8, 9, 6), (2, 4, 4, 6)
OPS = ("max_pool2d", "avg_pool2d", "max_pool2d_grad", "avg_pool2d_grad")
HUGE = 2**62

each_op = pytest.mark.parametrize("op", OPS)
each_max = pytest.mark.parametrize("op", ["max_pool2d", "max_pool2d_grad"])


def leading(op: str, x: tuple = X, dy: tuple = DY) -> list:
    """The arguments before kernel_size."""
    zeros = np.zeros(x, np.float32)
    return {"max_pool2d": [zeros], "avg_pool2d": [zeros], "max_pool2d_grad": [np.zeros(dy, np.float32), zeros],
            "avg_pool2d_grad": [np.zeros(dy, np.float32), x]}[op]


def refused(op: str, error: type, *words: str, args: list | None = None, kernel=2, **how) -> None:
    args = leading(op) if args is None else args
    if not op.endswith("_grad"):
        how.setdefault("out", np.full(DY, 77, np.float32))
    before = how["out"].tobytes() if "out" in how else None
    with pytest.raises(error) as raised:
        getattr(convkit, op)(*args, kernel, **how)
    message = str(raised.value)
    assert type(raised.value) is error
    assert message.startswith(f"{op}: "), message
    for word in words:
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message), f"{word!r} is not in {message!r}"
    assert before is None or how["out"].tobytes() == before, "a failed call wrote to out"


# --- sizes ----------------------------------------------------------------------------------------------------------------


@each_op
@pytest.mark.parametrize("value", [0, -1, (2, 0), -HUGE], ids=str)
def test_kernels_and_strides_below_1_are_refused(op, value):
    bad = str(min(value) if isinstance(value, tuple) else value)
    refused(op, ValueError, "kernel_size", bad, kernel=value)
    refused(op, ValueError, "stride", bad, stride=value)


@each_max
@pytest.mark.parametrize("value", [0, -1, (2, 0)], ids=str)
def test_dilations_below_1_are_refused(op, value):
    refused(op, ValueError, "dilation", dilation=value)


@each_op
@pytest.mark.parametrize("value", [1.0, "2", np.float64(2), True, Ellipsis, (2, 1.0), (2, None)], ids=repr)
def test_a_size_that_is_no_integer_is_refused(op, value):
    refused(op, TypeError, "kernel_size", kernel=value)
    refused(op, TypeError, "stride", stride=value)


@each_op
def test_a_padding_that_is_no_integer_is_refused(op):
    for value in (1.0, None, True, (1, 1.0)):
        refused(op, TypeError, "padding", padding=value)


@each_op
@pytest.mark.parametrize("value", [(2,), (2, 2, 2), ()], ids=str)
def test_a_tuple_of_another_length_is_refused(op, value):
    refused(op, ValueError, "kernel_size", "2", kernel=value)
    refused(op, ValueError, "stride", "2", stride=value)
    refused(op, ValueError, "padding", padding=value)


@each_op
def test_padding_must_be_less_than_the_kernel(op):
    refused(op, ValueError, "padding", "kernel", kernel=3, padding=3)
    refused(op, ValueError, "padding", padding=-1)
    refused(op, ValueError, "padding", kernel=2, padding=HUGE)


@each_max
def test_padding_must_be_less_than_the_effective_kernel(op):
    refused(op, ValueError, "padding", "kernel", kernel=2, dilation=3, padding=4)
    args = leading(op, dy=(2, 6, 6, 6))
    getattr(convkit, op)(*args, 2, stride=2, dilation=3, padding=3)  # an effective kernel of 4


@each_op
def test_padding_over_half_the_kernel_is_accepted(op):
    getattr(convkit, op)(*leading(op, dy=(2, 10, 11, 6)), 3, stride=1, padding=2)


@each_op
def test_a_kernel_larger_than_the_padded_input_is_refused(op):
    refused(op, ValueError, "9", "8", kernel=(9, 2))
    refused(op, ValueError, kernel=HUGE)
    refused(op, ValueError, kernel=10**30)


@each_max
def test_an_output_size_is_a_true_floor_division(op):
    for stride in (1, 2, 100, HUGE):
        refused(op, ValueError, kernel=2, dilation=(8, 1), stride=stride)
    refused(op, ValueError, kernel=3, dilation=HUGE)


@each_op
def test_an_input_without_rows_is_refused(op):
    refused(op, ValueError, args=leading(op, x=(2, 0, 9, 6)))


@each_op
@pytest.mark.parametrize("stride", [2**31, HUGE, 2**63 - 1])
def test_a_huge_stride_gives_one_output(op, stride):
    result = getattr(convkit, op)(*leading(op, dy=(2, 1, 1, 6)), 2, stride=stride)
    assert result.shape == (X if op.endswith("_grad") else (2, 1, 1, 6))


def test_loops_are_clipped_to_the_input_under_a_huge_kernel():
    x = numbers((1, 9, 5), "float32", 0)
    started = time.perf_counter()
    y, indices = convkit.max_pool1d(x, 2**40, stride=2**39, padding=2**39, return_indices=True)
    mean = convkit.avg_pool1d(x, 2**40, stride=2**39, padding=2**39, count_include_pad=False)
    dx = convkit.max_pool1d_grad(np.ones_like(y), x, 2**40, stride=2**39, padding=2**39)
    assert time.perf_counter() - started < 1
    assert np.array_equal(y, x.max(axis=1, keepdims=True))
    assert np.array_equal(indices[:, 0], x.argmax(axis=1))
    assert np.allclose(mean, x.mean(axis=1, keepdims=True))
    assert dx.sum() == 5


# --- arrays ---------------------------------------------------------------------------------------------------------------


@each_op
@pytest.mark.parametrize("shape", [(), (6,), (8, 9, 6), (1, 1, 8, 9, 6)], ids=str)
def test_an_input_of_another_rank_is_refused(op, shape):
    name = "x_shape" if op == "avg_pool2d_grad" else "x"
    refused(op, ValueError, name, args=leading(op, x=shape))


@pytest.mark.parametrize("op", OPS[2:])
@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (1, 4, 4, 6), (0, 4, 4, 6), (2, 4, 3, 6), (4, 4, 6), ()], ids=str)
def test_a_gradient_of_another_shape_is_refused(op, shape):
    refused(op, ValueError, "dy", str(DY), str(shape), args=leading(op, dy=shape))


@pytest.mark.parametrize("dtype", ["f2", "c8", "O", "U1", "M8[s]", "f4,f4", *(["g"] if np.dtype("g") != np.dtype("d") else [])])
def test_other_dtypes_are_refused(dtype):
    for op in OPS[:3]:
        args = leading(op)
        args[-1] = args[-1].astype(dtype) if dtype != "f4,f4" else np.zeros(X, dtype)
        refused(op, TypeError, "x", args=args)


@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "?"])
def test_integers_can_be_compared_but_not_averaged_or_differentiated(dtype):
    x = np.zeros(X, dtype)
    assert convkit.max_pool2d(x, 2).dtype == x.dtype
    refused("avg_pool2d", TypeError, "x", args=[x])
    refused("max_pool2d_grad", TypeError, args=[np.zeros(DY, dtype), x])
    refused("avg_pool2d_grad", TypeError, "dy", args=[np.zeros(DY, dtype), X])


def test_mixed_dtypes_are_refused():
    refused("max_pool2d_grad", TypeError, "dy", "float32", "float64", args=[np.zeros(DY), np.zeros(X, np.float32)])


@pytest.mark.parametrize("op", OPS[:3])
def test_masked_arrays_are_refused(op):
    args = leading(op)
    args[-1] = np.ma.masked_equal(args[-1], 1)
    refused(op, TypeError, "x", "masked", args=args)


@pytest.mark.parametrize("shape", [(2, 8, 9, 6.0), "x", None, 5, (2, 8, 9, -6)], ids=repr)
def test_a_shape_that_is_no_shape_is_refused(shape):
    error = ValueError if shape == (2, 8, 9, -6) else TypeError
    refused("avg_pool2d_grad", error, "x_shape", args=[np.zeros(DY, np.float32), shape])


@each_op
def test_another_layout_is_refused(op):
    refused(op, ValueError, "layout", "NHWC", layout="NLC")
    refused(op, TypeError, "layout", layout=3)


@each_op
def test_threads_are_a_positive_integer(op):
    refused(op, ValueError, "threads", threads=0)
    refused(op, TypeError, "threads", threads=1.0)


@each_op
def test_options_must_be_named(op):
    with pytest.raises(TypeError):
        getattr(convkit, op)(*leading(op), 2, 2)


@each_view
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_view_gives_the_bits_of_its_contiguous_copy(dtype, layout, view, isa):
    x, dy = (to_layout(numbers(shape, dtype, 5), layout) for shape in (X, (2, 4, 5, 6)))
    how = {"stride": 2, "padding": 1, "layout": layout}
    seen, dseen = view(x), view(dy)
    before = seen.tobytes()
    y, indices = convkit.max_pool2d(x, 3, return_indices=True, **how)
    got, places = convkit.max_pool2d(seen, 3, return_indices=True, **how)
    assert type(got) is np.ndarray
    assert_same_bits(got, y)
    assert_same_bits(places, indices)
    assert_same_bits(convkit.avg_pool2d(seen, 3, **how), convkit.avg_pool2d(x, 3, **how))
    assert_same_bits(convkit.max_pool2d_grad(dseen, seen, 3, **how), convkit.max_pool2d_grad(dy, x, 3, **how))
    assert_same_bits(convkit.avg_pool2d_grad(dseen, x.shape, 3, **how), convkit.avg_pool2d_grad(dy, x.shape, 3, **how))
    assert seen.tobytes() == before, "the argument was written to"


@pytest.mark.parametrize("dtype", ["i1", ">i2", ">u4", "i8", "?"])
def test_any_view_of_integers_gives_the_same_maxima(dtype):
    x = np.random.default_rng(0).integers(0, 100, X).astype(dtype)
    want = convkit.max_pool2d(np.ascontiguousarray(x), 3, stride=2)
    assert want.dtype == x.dtype.newbyteorder("=")
    for seen in (np.asfortranarray(x), offset(x, 1), x[:, ::-1, ::-1].copy()[:, ::-1, ::-1], x.view(Subclass)):
        assert_same_bits(convkit.max_pool2d(seen, 3, stride=2), want)


# --- out= -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS[:2])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS.keys())
def test_out_is_returned_and_filled(make, layout, op, isa):
    x = to_layout(numbers(X, "float32", 6), layout)
    want = getattr(convkit, op)(x, 2, layout=layout)
    out = make(want.shape)
    assert getattr(convkit, op)(x, 2, layout=layout, out=out) is out
    assert_same_bits(np.ascontiguousarray(out), np.ascontiguousarray(want))


@pytest.mark.parametrize("op", OPS[:2])
def test_out_may_overlap_the_input(op, isa):
    x = numbers(X, "float32", 6)
    want = getattr(convkit, op)(x, 3, stride=1, padding=1)
    assert getattr(convkit, op)(x, 3, stride=1, padding=1, out=x) is x
    assert_same_bits(x, want)


@pytest.mark.parametrize("op", OPS[:2])
def test_a_wrong_out_is_refused(op):
    refused(op, ValueError, "out", str(DY), out=np.zeros((2, 4, 4, 5), np.float32))
    refused(op, TypeError, "out", out=np.zeros(DY))
    locked = np.zeros(DY, np.float32)
    locked.flags.writeable = False
    refused(op, ValueError, "out", "read-only", out=locked)
    refused(op, ValueError, "out", "overlaps", out=np.lib.stride_tricks.as_strided(np.zeros(6, np.float32), DY, (0, 0, 0, 4)))
