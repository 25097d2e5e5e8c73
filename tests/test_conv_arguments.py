"""Wrong arguments of the convolutions: one clear error that names the op and the argument, before anything is written."""

from __future__ import annotations

import re

import numpy as np
import pytest

import convkit

X, W, B, DY = (2, 8, 9, 6), (4, 3, 3, 6), (4,), (2, 6, 7, 4)
HUGE = 2**62


def zeros(*shapes) -> list[np.ndarray]:
    return [np.zeros(shape, np.float32) for shape in shapes]


def refused(op: str, error: type, *words: str, args=None, **how) -> None:
    """`op` raises `error` with a message that starts with the op's name and has `words`; arguments stay as they were."""
    if args is None:
        args = zeros(DY, X, W) if op.endswith("_grad") else zeros(X, W, B)
    out = how.pop("out", None)
    if out is None and not op.endswith("_grad"):
        out = np.full(DY, 77, np.float32)
    before = None if out is None else out.tobytes()
    with pytest.raises(error) as raised:
        getattr(convkit, op)(*args, **how) if out is None else getattr(convkit, op)(*args, out=out, **how)
    message = str(raised.value)
    assert type(raised.value) is error
    assert message.startswith(f"{op}: "), message
    for word in words:
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message), f"{word!r} is not in {message!r}"
    assert out is None or out.tobytes() == before, "a failed call wrote to out"


def both(test):
    """The same for the forward pass and for the gradients."""
    return pytest.mark.parametrize("op", ["conv2d", "conv2d_grad"])(test)


# --- sizes ----------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("name", ["stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, (1, 0), (-3, 2), -HUGE, -(10**30)], ids=str)
def test_strides_and_dilations_below_1_are_refused(op, name, value):
    bad = min(value) if isinstance(value, tuple) else value
    refused(op, ValueError, name, str(bad), **{name: value})


@both
@pytest.mark.parametrize("value", [-1, (0, -2), ((0, 0), (1, -1)), -HUGE], ids=str)
def test_negative_padding_is_refused(op, value):
    refused(op, ValueError, "padding", padding=value)


@both
@pytest.mark.parametrize("value", [0, -1, 10**30], ids=str)
def test_groups_below_1_are_refused(op, value):
    refused(op, ValueError, "groups", str(value), groups=value)


@both
@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups"])
@pytest.mark.parametrize("value", [1.0, np.float64(2), True, np.bool_(True), b"1", 1j, Ellipsis], ids=repr)
def test_a_size_that_is_no_integer_is_refused(op, name, value):
    refused(op, TypeError, name, **{name: value})


@both
def test_a_number_in_a_string_is_refused(op):
    for name in ("stride", "dilation", "groups"):
        refused(op, TypeError, name, **{name: "1"})
    refused(op, ValueError, "padding", "same", padding="1")  # a string, but none of the names


@both
@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups"])
def test_none_is_no_size(op, name):
    refused(op, TypeError, name, **{name: None})


@both
@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
@pytest.mark.parametrize("value", [(1,), (1, 1, 1), ()], ids=str)
def test_a_tuple_of_another_length_is_refused(op, name, value):
    refused(op, ValueError, name, "2", **{name: value})


@both
@pytest.mark.parametrize("value", [((1, 1),), ((1, 1, 1), (1, 1, 1)), ((1,), (1,)), ((1, 1), (1, 1), (1, 1))], ids=str)
def test_padding_pairs_of_another_length_are_refused(op, value):
    refused(op, ValueError, "padding", padding=value)


@both
@pytest.mark.parametrize("item", [1.0, "1", None, True], ids=repr)
def test_a_tuple_that_holds_no_integers_is_refused(op, item):
    for name in ("stride", "padding", "dilation"):
        refused(op, TypeError, name, **{name: (1, item)})


@pytest.mark.parametrize("value", [np.int8(2), np.array(2), np.uint64(2), np.array([2, 2]), [2, 2], (np.int16(2), 2)], ids=repr)
def test_every_kind_of_integer_is_accepted(value):
    x, w, b = zeros(X, W, B)
    for name in ("stride", "padding", "dilation"):
        got, want = (convkit.conv2d(x, w, b, **{name: v}).shape for v in (value, 2))
        assert got == want


def test_groups_may_be_any_kind_of_integer():
    x, w = zeros(X, (4, 3, 3, 3))
    assert convkit.conv2d(x, w, groups=np.int8(2)).shape == convkit.conv2d(x, w, groups=np.array(2)).shape == DY


@both
def test_groups_that_do_not_divide_the_channels_are_refused(op):
    for groups, words in [(4, ("6", "4")), (3, ("4", "3"))]:
        refused(op, ValueError, "groups", *words, groups=groups)


@both
def test_a_kernel_larger_than_the_padded_input_is_refused(op):
    low = (2, 2, 9, 6)
    refused(op, ValueError, "3", "2", args=zeros(DY, low, W) if op.endswith("_grad") else zeros(low, W, B))
    refused(op, ValueError, "13", "8", dilation=(6, 1))
    refused(op, ValueError, "13", "12", dilation=(6, 1), padding=(2, 0))


def test_an_output_size_is_a_true_floor_division():
    """(4 - 5)//2 + 1 is 0 outputs; C's division would round it up to 1."""
    for stride in (1, 2, 3, 100, 2**31, HUGE):
        refused("conv1d", ValueError, args=zeros((1, 4, 3), (2, 5, 3)), stride=stride, out=np.zeros((1, 1, 2), np.float32))


@both
def test_an_empty_kernel_is_refused(op):
    args = zeros(DY, X, (4, 0, 3, 6)) if op.endswith("_grad") else zeros(X, (4, 0, 3, 6), B)
    refused(op, ValueError, "w", "kernel", args=args)


@both
def test_an_input_without_rows_and_without_padding_is_refused(op):
    args = zeros(DY, (2, 0, 9, 6), W) if op.endswith("_grad") else zeros((2, 0, 9, 6), W, B)
    refused(op, ValueError, args=args)


@pytest.mark.parametrize("stride", [2**31, HUGE, 2**63 - 1, 2**63, 10**30])
def test_a_huge_stride_gives_one_output(stride):
    x, w, b = zeros(X, W, B)
    assert convkit.conv2d(x + 1, w + 1, b, stride=stride).tolist() == [[[[54.0] * 4]]] * 2
    dx, dw, _ = convkit.conv2d_grad(*zeros((2, 1, 1, 4), X, W), stride=stride)
    assert (dx.shape, dw.shape) == (X, W)


@both
def test_a_huge_dilation_is_refused_with_the_effective_size(op):
    refused(op, ValueError, "9223372036854775809", dilation=HUGE)
    refused(op, ValueError, dilation=10**30)
    args = zeros((1, 8, 1), (1, 8, 1), (1, 2, 1)) if op.endswith("_grad") else zeros((1, 8, 1), (1, 2, 1))
    refused(op.replace("2", "1"), ValueError, "9223372036854775808", args=args, dilation=2**63 - 1, out=None)


def test_a_huge_dilation_of_a_single_tap_is_irrelevant():
    x, w = zeros((1, 4, 5, 3), (2, 1, 1, 3))
    assert (convkit.conv2d(x + 1, w + 1, dilation=HUGE) == 3).all()
    assert convkit.conv2d_grad(np.zeros((1, 4, 5, 2), np.float32), x, w, dilation=HUGE)[0].shape == x.shape


@pytest.mark.parametrize("padding", [2**40, 2**61, HUGE, 2**63 - 1, 2**63, 10**30])
def test_padding_that_no_memory_could_hold_is_refused_at_once(padding):
    with pytest.raises(ValueError, match=r"^conv2d: "):
        convkit.conv2d(*zeros(X, W, B), padding=padding)


def test_an_output_too_large_for_memory_is_a_memory_error_before_any_work():
    with pytest.raises(MemoryError):
        convkit.conv1d(*zeros((1, 8, 3), (4, 3, 3)), padding=2**56)
    w = np.broadcast_to(np.float32(1), (2**45, 3, 3, 6))
    with pytest.raises(MemoryError):
        convkit.conv2d(np.zeros(X, np.float32), w)


def test_huge_padding_with_a_huge_stride_reaches_only_the_middle():
    x, w, b = zeros(X, W, B)
    y = convkit.conv2d(x + 1, w + 1, b + 5, padding=2**31, stride=2**31)
    want = np.full((2, 3, 3, 4), 5.0)
    want[:, 1, 1] += 54
    assert np.array_equal(y, want)
    dx, dw, db = convkit.conv2d_grad(np.ones((2, 3, 3, 4), np.float32), x + 1, w + 1, padding=2**31, stride=2**31)
    assert (dx[:, :3, :3] == 4).all()
    assert dx.sum() == 4 * 9 * 6 * 2
    assert (dw == 2).all()
    assert (db == 18).all()


# --- arrays ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (6,), (8, 6), (8, 9, 6), (1, 1, 8, 9, 6)], ids=str)
def test_an_input_of_another_rank_is_refused(shape):
    if len(shape) != 3:  # that is one image
        refused("conv2d", ValueError, "x", f"{len(shape)}-D", "4-D", args=zeros(shape, W, B))
    refused("conv2d", ValueError, "w", f"{len(shape)}-D", "4-D", args=zeros(X, shape, B))
    refused("conv2d_grad", ValueError, "x", f"{len(shape)}-D", args=zeros(DY, shape, W))


def test_a_scalar_is_no_image():
    refused("conv2d", ValueError, "x", "0-D", args=[1.0, *zeros(W)])


@pytest.mark.parametrize("shape", [(), (3,), (5,), (1,), (4, 1), (1, 4)], ids=str)
def test_a_bias_of_another_shape_is_refused(shape):
    refused("conv2d", ValueError, "bias", "(4,)", str(shape), args=zeros(X, W, shape))


@both
def test_filters_for_another_number_of_channels_are_refused(op):
    args = zeros(DY, X, (4, 3, 3, 5)) if op.endswith("_grad") else zeros(X, (4, 3, 3, 5), B)
    refused(op, ValueError, "w", "5", "6", args=args)
    refused(op, ValueError, "w", "6", groups=2)


@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 6, 7, 4), (0, 6, 7, 4), (2, 7, 6, 4), (2, 6, 4), ()], ids=str)
def test_a_gradient_of_another_shape_is_refused(shape):
    refused("conv2d_grad", ValueError, "dy", str(shape), args=zeros(shape, X, W))


REFUSED = ["f2", "i1", "i4", "i8", "u1", "u8", "?", "c8", "c16", "O", "U1", "S1", "M8[s]", "m8[s]", "f4,f4"]
REFUSED += ["g"] * (np.dtype("g") != np.dtype("d"))  # a long double of its own


@pytest.mark.parametrize(("place", "name"), list(enumerate(["x", "w", "b"])))
@pytest.mark.parametrize("dtype", REFUSED)
def test_other_dtypes_are_refused_and_never_cast(place, name, dtype):
    args = zeros(X, W, B)
    args[place] = np.zeros(args[place].shape, dtype)
    refused("conv2d", TypeError, name, args=args)
    if name != "b":
        grads = [*zeros(DY), *args[:2]]
        refused("conv2d_grad", TypeError, name, args=grads)


@pytest.mark.parametrize("dtype", ["f2", "i4", "u1", "?"])
def test_the_message_about_a_dtype_names_the_cast_to_write(dtype):
    x, w, b = zeros(X, W, B)
    refused("conv2d", TypeError, "x", np.dtype(dtype).name, ".astype(np.float32", args=[x.astype(dtype), w, b])


def test_mixed_dtypes_are_refused():
    x, w, b = zeros(X, W, B)
    refused("conv2d", TypeError, "x", "w", "float32", "float64", args=[x, w.astype("d"), b])
    refused("conv2d", TypeError, "x", "w", "float32", "float64", args=[x.astype("d"), w, b])
    refused("conv2d", TypeError, "b", "float32", "float64", args=[x, w, b.astype("d")])
    refused("conv2d_grad", TypeError, "dy", "float32", "float64", args=[np.zeros(DY), x, w])


def test_ragged_and_integer_lists_are_refused():
    refused("conv2d", ValueError, "x", args=[[[[[1.0], [2.0, 3.0]]]], *zeros(W)])
    refused("conv2d", TypeError, "x", args=[[[[[1, 2, 3]]]], *zeros(W)])


@pytest.mark.parametrize(("place", "name"), list(enumerate(["x", "w", "b"])))
def test_masked_arrays_are_refused(place, name):
    """np.asarray would silently drop the mask."""
    args = zeros(X, W, B)
    args[place] = np.ma.masked_equal(args[place], 1)
    refused("conv2d", TypeError, name, "masked", ".filled", args=args)


@pytest.mark.parametrize("value", [None, Ellipsis, "image", {}], ids=repr)
def test_something_that_is_no_array_is_refused(value):
    refused("conv2d", TypeError, "x", args=[value, *zeros(W)])
    refused("conv2d", TypeError, "w", args=[*zeros(X), value])


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise ZeroDivisionError("mine")

    def __index__(self):
        raise ZeroDivisionError("mine")


def test_an_exception_of_an_argument_is_passed_on_unchanged():
    x, w = zeros(X, W)
    for call in (lambda: convkit.conv2d(Broken(), w), lambda: convkit.conv2d(x, w, stride=Broken())):
        with pytest.raises(ZeroDivisionError, match=r"^mine$"):
            call()


# --- options --------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("layout", ["nhwc", "NWHC", "NLC", "NDHWC", "", "channels_last"])
def test_another_layout_is_refused(op, layout):
    refused(op, ValueError, "layout", "NHWC", "NCHW", layout=layout)


@pytest.mark.parametrize(
    ("name", "value"),
    [("activation", "tanh"), ("activation", "ReLU"), ("algorithm", "fastest"), ("padding", "SAME"), ("padding", "reflect")])
def test_another_name_is_refused(name, value):
    refused("conv2d", ValueError, name, value, **{name: value})


@both
@pytest.mark.parametrize("name", ["layout", "algorithm"])
def test_an_option_of_another_type_is_refused(op, name):
    for value in (3, b"NHWC", ["NHWC"]):
        refused(op, TypeError, name, **{name: value})


@both
def test_threads_are_a_positive_integer(op):
    for value in (0, -1, -HUGE):
        refused(op, ValueError, "threads", threads=value)
    for value in (1.0, "2", True):
        refused(op, TypeError, "threads", threads=value)


def test_the_gradients_needed_are_x_w_and_b():
    refused("conv2d_grad", ValueError, "needs", "y", needs=("x", "y"))


def test_options_must_be_named():
    with pytest.raises(TypeError):
        convkit.conv2d(*zeros(X, W, B), 2)
    with pytest.raises(TypeError):
        convkit.conv2d_grad(*zeros(DY, X, W), 2)


@pytest.mark.parametrize(("groups", "layout", "shape"), [(2, None, (3, 3, 3, 6)), (0, None, W), (1, "NLC", W)])
def test_filters_that_cannot_be_packed_are_refused(groups, layout, shape):
    with pytest.raises(ValueError, match=r"^pack_filters: "):
        convkit.pack_filters(np.zeros(shape, np.float32), groups=groups, layout=layout)


def test_filters_packed_for_other_groups_or_dtype_are_refused():
    x, w, b = zeros(X, W, B)
    refused("conv2d", TypeError, "w", "float64", args=[x, convkit.pack_filters(w.astype("d")), b])
    refused("conv2d", ValueError, "groups", args=[x, convkit.pack_filters(np.zeros((4, 3, 3, 3), "f"), groups=2), b])


# --- out= -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (2, 7, 6, 4), (1, 6, 7, 4), (6, 7, 4), (1, 2, 6, 7, 4), ()], ids=str)
def test_out_of_another_shape_is_refused(shape):
    refused("conv2d", ValueError, "out", str(DY), str(shape), out=np.full(shape, 77, np.float32))


@pytest.mark.parametrize("dtype", ["f8", "f2", "i4", np.dtype("f4").newbyteorder()])
def test_out_of_another_dtype_is_refused(dtype):
    refused("conv2d", TypeError, "out", out=np.full(DY, 77, dtype))


def test_out_that_is_no_array_is_refused():
    for out in ([1.0], memoryview(np.zeros(DY, np.float32)), "out"):
        with pytest.raises(TypeError, match=r"^conv2d: out"):
            convkit.conv2d(*zeros(X, W, B), out=out)


def test_a_read_only_out_is_refused():
    out = np.full(DY, 77, np.float32)
    out.flags.writeable = False
    refused("conv2d", ValueError, "out", "read-only", out=out)


def test_out_that_overlaps_itself_is_refused():
    row = np.full(4, 77, np.float32)
    refused("conv2d", ValueError, "out", "overlaps", out=np.lib.stride_tricks.as_strided(row, DY, (0, 0, 0, 4)))
    strip = np.full(2 * 6 * 7 * 4, 77, np.float32)
    refused("conv2d", ValueError, "out", "overlaps", out=np.lib.stride_tricks.as_strided(strip, DY, (4 * 28, 4 * 28, 16, 4)))
