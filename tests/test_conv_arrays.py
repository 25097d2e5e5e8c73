"""Arrays of every kind: whatever the memory of an argument looks like, the answer has the bits of its contiguous copy."""

from __future__ import annotations

import array
import mmap

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import Conv, numbers, to_layout

import convkit

CASE = Conv((2, 7, 9, 6), 10, (3, 3), stride=(2, 1), padding=1)


def spaced(a: np.ndarray, axis: int) -> np.ndarray:
    """The same values, every second element of a larger array."""
    wide = np.full(tuple(n * 2 if i == axis % a.ndim else n for i, n in enumerate(a.shape)), 77, a.dtype)
    view = wide[tuple(slice(None, None, 2) if i == axis % a.ndim else slice(None) for i in range(a.ndim))]
    view[...] = a
    return view


def reversed_memory(a: np.ndarray, axis: int) -> np.ndarray:
    return np.flip(np.flip(a, axis).copy(), axis)


def transposed_memory(a: np.ndarray) -> np.ndarray:
    return a.transpose().copy().transpose()


def offset(a: np.ndarray, nbytes: int) -> np.ndarray:
    """The same values, starting `nbytes` after an address that suits them."""
    raw = np.zeros(a.nbytes + nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64 + nbytes
    moved = np.ndarray(a.shape, a.dtype, raw.data, start)
    moved[...] = a
    return moved


def odd_unit_strides(a: np.ndarray) -> np.ndarray:
    """Axes of size 1 may have any stride: nobody may walk along them."""
    strides = [12345 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(a, a.shape, strides)


def byte_swapped(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder())


def read_only(a: np.ndarray) -> np.ndarray:
    return np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)


def mapped(a: np.ndarray) -> np.ndarray:
    memory = mmap.mmap(-1, a.nbytes)
    memory.write(a.tobytes())
    return np.frombuffer(memory, a.dtype).reshape(a.shape)


class Subclass(np.ndarray):
    pass


VIEWS = {
    "Fortran order": np.asfortranarray,
    "every second channel": lambda a: spaced(a, -1),
    "every second column": lambda a: spaced(a, max(-2, -a.ndim)),
    "every second image": lambda a: spaced(a, 0),
    "negative channel stride": lambda a: reversed_memory(a, -1),
    "negative row stride": lambda a: reversed_memory(a, min(1, a.ndim - 1)),
    "transposed": transposed_memory,
    "one byte off": lambda a: offset(a, 1),
    "one item off": lambda a: offset(a, a.itemsize),
    "odd strides on axes of size 1": odd_unit_strides,
    "read-only bytes": read_only,
    "a memory map": mapped,
    "byte-swapped": byte_swapped,
    "a subclass": lambda a: a.view(Subclass),
}
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())


def arguments(layout: str, dtype: str = "float32", case: Conv = CASE) -> dict[str, np.ndarray]:
    shapes = {"dy": case.y, "x": case.x, "w": case.w, "b": (case.o,)}
    return {name: placed(numbers(shape, dtype, 3), layout) for name, shape in shapes.items()}


def placed(a: np.ndarray, layout: str) -> np.ndarray:
    return to_layout(a, layout) if a.ndim > 1 else a


def forward(a: dict, layout: str, **options) -> np.ndarray:
    return convkit.conv2d(a["x"], a["w"], a["b"], layout=layout, stride=(2, 1), padding=1, **options)


def gradients(a: dict, layout: str) -> tuple:
    return convkit.conv2d_grad(a["dy"], a["x"], a["w"], layout=layout, stride=(2, 1), padding=1)


@each_view
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["x", "w", "b", "dy"])
def test_any_view_gives_the_bits_of_its_contiguous_copy(name, dtype, layout, view, isa):
    plain = arguments(layout, dtype)
    viewed = dict(plain, **{name: view(plain[name])})
    assert np.array_equal(viewed[name], plain[name])
    before = viewed[name].tobytes()
    assert_same_bits(forward(viewed, layout), forward(plain, layout), "forward")
    if name != "b":
        for what, got, want in zip(("dx", "dw", "db"), gradients(viewed, layout), gradients(plain, layout), strict=True):
            assert_same_bits(got, want, what)
    assert viewed[name].tobytes() == before, "the argument was written to"


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_axes_of_size_1_with_odd_strides_are_never_walked(layout, isa):
    x, w = numbers((1, 5, 1, 1), "float32", 0), numbers((1, 3, 1, 1), "float32", 1)
    x, w = to_layout(x, layout), to_layout(w, layout)
    want = convkit.conv2d(x, w, layout=layout)
    assert_same_bits(convkit.conv2d(odd_unit_strides(x), odd_unit_strides(w), layout=layout), want)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_broadcast_arrays_are_read_in_place_or_copied_but_right(groups, layout, isa):
    """The filters come from `expand` in the report this stands for: strides 0, with groups."""
    one = to_layout(numbers((1, 3, 3, 1), "float32", 1), layout)
    w = np.broadcast_to(one, to_layout(np.zeros((6, 3, 3, 6 // groups)), layout).shape)
    x = np.broadcast_to(np.float32(0.7), to_layout(np.zeros((2, 7, 9, 6)), layout).shape)
    dy = np.broadcast_to(np.float32(0.3), to_layout(np.zeros((2, 5, 7, 6)), layout).shape)
    b = np.broadcast_to(np.float32(0.1), (6,))
    how = {"layout": layout, "groups": groups}
    copies = [a.copy() for a in (x, w, b, dy)]
    assert_same_bits(convkit.conv2d(x, w, b, **how), convkit.conv2d(*copies[:3], **how))
    wants = convkit.conv2d_grad(copies[3], *copies[:2], **how)
    for got, want in zip(convkit.conv2d_grad(dy, x, w, **how), wants, strict=True):
        assert_same_bits(got, want)


def test_every_second_filter_of_a_larger_array_in_a_large_call(isa):
    x, w = numbers((64, 16, 16, 16), "float32", 0), numbers((8, 3, 3, 32), "float32", 1)
    assert_same_bits(convkit.conv2d(x, w[..., ::2]), convkit.conv2d(x, w[..., ::2].copy()))
    x, w = np.moveaxis(x, -1, 1), numbers((8, 16, 3, 6), "float32", 1)
    assert_same_bits(convkit.conv2d(x, w[..., ::2], layout="NCHW"), convkit.conv2d(x.copy(), w[..., ::2].copy(), layout="NCHW"))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_transposed_single_channel_image(layout, isa):
    base = numbers((2, 3, 321, 201), "float32", 0)
    x = base[:, :1].transpose(0, 1, 3, 2) if layout == "NCHW" else base[:, :1].transpose(0, 3, 2, 1)
    w = to_layout(numbers((4, 3, 3, 1), "float32", 1), layout)
    assert_same_bits(convkit.conv2d(x, w, layout=layout), convkit.conv2d(x.copy(), w, layout=layout))


def test_a_channel_stride_of_one_item_needs_no_channels_first_memory(isa):
    """An NCHW view of channels-last memory, as a chain of NCHW calls passes it on."""
    plain = arguments("NHWC")
    views = {name: np.moveaxis(a, -1, 1) if a.ndim > 1 else a for name, a in plain.items()}
    assert_same_bits(np.moveaxis(forward(views, "NCHW"), 1, -1), forward(plain, "NHWC"))
    dx, dw, db = gradients(views, "NCHW")
    moved = (np.moveaxis(dx, 1, -1), np.moveaxis(dw, 1, -1), db)
    for got, want in zip(moved, gradients(plain, "NHWC"), strict=True):
        assert_same_bits(got, want)


class ArrayLike:
    """What pandas, xarray and dask objects offer."""

    def __init__(self, a: np.ndarray) -> None:
        self.a = a

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.a


class Interface:
    def __init__(self, a: np.ndarray) -> None:
        self.a, self.__array_interface__ = a, a.__array_interface__


@pytest.mark.parametrize("wrap", [ArrayLike, Interface, memoryview, np.ndarray.tolist], ids=lambda f: f.__name__)
def test_anything_that_is_an_array_to_numpy_is_accepted(wrap):
    plain = arguments("NHWC", "float64")
    y = forward({name: wrap(a) for name, a in plain.items()}, "NHWC")
    assert_same_bits(y, forward(plain, "NHWC"))


def test_an_array_from_the_standard_library_is_accepted():
    plain = arguments("NHWC")
    assert_same_bits(forward(dict(plain, b=array.array("f", plain["b"].tolist())), "NHWC"), forward(plain, "NHWC"))


def test_a_subclass_goes_in_and_a_plain_array_comes_out():
    plain = arguments("NHWC")
    viewed = {name: a.view(Subclass) for name, a in plain.items()}
    results = [forward(viewed, "NHWC"), *gradients(viewed, "NHWC")]
    assert [type(r) for r in results] == [np.ndarray] * 4


# --- out= -----------------------------------------------------------------------------------------------------------------

OUTS = {
    "contiguous": lambda shape: np.empty(shape, np.float32),
    "every second channel": lambda shape: spaced(np.zeros(shape, np.float32), -1),
    "every second row": lambda shape: spaced(np.zeros(shape, np.float32), 1),
    "negative strides": lambda shape: np.zeros(shape, np.float32)[..., ::-1, ::-1],
    "Fortran order": lambda shape: np.zeros(shape, np.float32, order="F"),
    "part of a larger array": lambda shape: np.zeros([n + 3 for n in shape], np.float32)[tuple(slice(1, n + 1) for n in shape)],
    "one byte off": lambda shape: offset(np.zeros(shape, np.float32), 1),
}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS.keys())
def test_out_is_returned_and_filled_and_nothing_beside_it(make, layout, isa):
    plain = arguments(layout)
    want = forward(plain, layout)
    out = make(want.shape)
    owner = out if out.base is None else out.base
    while isinstance(owner, np.ndarray) and isinstance(owner.base, np.ndarray):
        owner = owner.base
    memory = np.asarray(owner)
    memory.view(memory.dtype)[...] = 77
    out[...] = 0
    outside = memory.copy()
    result = forward(plain, layout, out=out)
    assert result is out
    assert_same_bits(np.ascontiguousarray(out), np.ascontiguousarray(want))
    out[...] = 0
    assert np.array_equal(memory, outside), "memory outside out was written to"


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("name", ["x", "w", "b"])
def test_out_may_overlap_an_input(name, layout, isa):
    """As for a ufunc: the result is what it would be without the overlap."""
    case = Conv((1, 6, 7, 8), 8, (3, 3), padding=1)
    shapes = {"x": case.x, "w": case.w, "b": (8,)}
    for shift in (0, 3, 16):
        plain = {n: placed(numbers(s, "float32", 4), layout) for n, s in shapes.items()}
        want = convkit.conv2d(*plain.values(), layout=layout, padding=1)
        memory = np.zeros(want.size + plain[name].size + shift, np.float32)
        overlapping = memory[shift:shift + plain[name].size].reshape(plain[name].shape)
        overlapping[...] = plain[name]
        out = memory[:want.size].reshape(want.shape)
        result = convkit.conv2d(*dict(plain, **{name: overlapping}).values(), layout=layout, padding=1, out=out)
        assert result is out
        assert_same_bits(out, np.ascontiguousarray(want))


def test_a_one_by_one_conv_may_write_over_its_own_input(isa):
    x, w = numbers((3, 9, 8, 16), "float32", 0), numbers((16, 1, 1, 16), "float32", 1)
    want = convkit.conv2d(x, w)
    assert convkit.conv2d(x, w, out=x) is x
    assert_same_bits(x, want)


def test_an_array_that_says_it_is_far_larger_than_memory_is_not_copied():
    """8 GiB of one broadcast number; a stride of 2**20 makes the answer small."""
    x = np.broadcast_to(np.float32(3), (1, 2**31 + 16, 1))
    y = convkit.conv1d(x, np.float32([[[1], [10]]]), stride=2**20)
    assert y.shape == (1, 2049, 1)
    assert (y == 33).all()
