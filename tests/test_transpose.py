"""Transposed convolution is its definition, the adjoint of a convolution, and its gradients are its own adjoint."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import _Case, each_dtype, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit


@dataclass(frozen=True, repr=False)
class Transpose(_Case):
    """x (N, *size, C), filters (C, *k, o / groups)."""

    x: tuple
    o: int
    k: tuple
    stride: Any = 1
    padding: Any = 0
    output_padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    name: str = field(default="", compare=False)

    @property
    def w(self) -> tuple:
        return (self.x[-1], *self.k, self.o // self.groups)

    @property
    def how(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "output_padding": self.output_padding,
                "dilation": self.dilation, "groups": self.groups}

    @property
    def y(self) -> tuple:
        return tuple(convkit.conv_transpose_output_shape(self.x, self.w, **self.how))


CASES = [
    Transpose((2, 3, 4, 5), 7, (3, 3), name="plain"),
    Transpose((1, 1, 1, 1), 1, (1, 1), name="everything of size 1"),
    Transpose((1, 1, 1, 3), 2, (4, 4), stride=7, name="one pixel"),
    Transpose((2, 5, 6, 17), 33, (4, 4), stride=2, padding=1, name="4x4, stride 2"),
    Transpose((2, 5, 6, 8), 9, (3, 3), stride=2, padding=1, output_padding=1, name="3x3, stride 2, output padding"),
    Transpose((1, 4, 5, 6), 8, (2, 2), stride=2, name="no overlap"),
    Transpose((1, 4, 5, 6), 8, (2, 2), stride=3, output_padding=2, name="gaps between the filters, and after them"),
    Transpose((2, 4, 4, 4), 6, (3, 2), stride=(1, 3), padding=((2, 0), (0, 1)), dilation=(2, 1), name="mixed"),
    Transpose((1, 5, 4, 3), 4, (3, 3), dilation=3, output_padding=2, name="output padding under the dilation, over the stride"),
    Transpose((1, 5, 4, 3), 4, (3, 3), stride=2, dilation=4, output_padding=(3, 2), padding=3, name="the same, with a stride"),
    Transpose((2, 4, 5, 6), 9, (3, 3), stride=2, padding="same", groups=3, name="same, groups"),
    Transpose((2, 4, 5, 3), 4, (2, 1), stride=3, padding="same", name="same, stride over kernel"),
    Transpose((2, 5, 5, 8), 8, (3, 3), groups=8, padding=1, name="depthwise"),
    Transpose((2, 5, 5, 4), 12, (3, 3), stride=2, groups=4, padding=1, name="depthwise, multiplier 3"),
    Transpose((3, 7, 6, 1), 3, (3, 3), padding=2, name="padding that cuts off all that is not whole"),
    Transpose((2, 9, 5), 6, (4,), stride=3, padding=1, name="1-D"),
    Transpose((1, 30, 2), 17, (9,), stride=4, padding=((3, 1),), output_padding=3, name="1-D, stride 4"),
    Transpose((1, 2, 3, 4, 5), 6, (2, 3, 2), stride=(2, 1, 2), padding=(0, 1, 0), name="3-D"),
    Transpose((1, 2, 3, 2, 4), 4, (3, 3, 3), stride=2, padding=1, output_padding=1, groups=2, name="3-D, groups"),
    Transpose((2, 3, 4, 0), 3, (3, 3), name="no input channels"),
    Transpose((0, 3, 4, 2), 3, (3, 3), name="no images"),
    Transpose((2, 3, 4, 2), 0, (3, 3), name="no output channels"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@st.composite
def transposes(draw: Any) -> Transpose:
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    strides, dilations = (tuple(draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(2))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True))
    size = tuple(draw(st.integers(1, 12 // rank)) for _ in range(rank))
    room = [(n - 1) * s + (k - 1) * d + e for n, s, k, d, e in zip(size, strides, kernel, dilations, extra, strict=True)]
    padding = tuple((draw(st.integers(0, min(r // 3, 4))), draw(st.integers(0, min(r // 3, 4)))) for r in room)
    groups = draw(st.sampled_from([1, 1, 1, 2, 4]))
    channels, outputs = (groups * draw(st.sampled_from([1, 2, 3, 8, 17])) for _ in range(2))
    return Transpose((draw(st.integers(1, 2)), *size, channels), outputs, kernel, strides, padding, extra, dilations, groups)


@reproducible
def check_forward(case: Transpose, dtype: str, layout: str, integers: bool, seed: int = 0, **options: Any) -> np.ndarray:
    x, w, b = (numbers(shape, dtype, seed, integers) for shape in (case.x, case.w, (case.o,)))
    y = op("conv_transpose", case)(to_layout(x, layout), to_layout(w, layout), b, layout=layout, **case.how, **options)
    got, want = from_layout(y, layout), reference.conv_transpose(x, w, b, **case.how)
    if integers:
        assert_exact(got, want, dtype)
    else:
        magnitude = reference.conv_transpose(abs(x), abs(w), abs(b), **case.how)
        assert_within_rounding(got, want, magnitude, int(np.prod(case.w[:-1])) + 2, dtype)
    return y


@reproducible
def check_adjoint(case: Transpose, dtype: str, layout: str, seed: int = 0, threads: int = 1) -> None:
    """<y, g> == <x, dx> == <w, dw>, and <b, db> likewise: in integers, so exactly."""
    g, x, w = (to_layout(numbers(shape, dtype, seed, integers=True), layout) for shape in (case.y, case.x, case.w))
    how = dict(layout=layout, algorithm="direct", threads=threads, **case.how)
    y = op("conv_transpose", case)(x, w, **how)
    dx, dw, db = op("conv_transpose", case, "_grad")(g, x, w, **how)
    assert (dx.shape, dw.shape, dx.dtype, dw.dtype, db.dtype) == (x.shape, w.shape, x.dtype, w.dtype, x.dtype)
    want = inner(y, g)
    assert (inner(x, dx), inner(w, dw)) == (want, want)
    assert db.tolist() == from_layout(g, layout).astype(np.float64).sum(axis=tuple(range(g.ndim - 1))).tolist()


def inner(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


@each_dtype
@each_case
def test_it_is_its_definition(case, dtype, isa):
    for layout in case.layouts():
        check_forward(case, dtype, layout, False)
        check_forward(case, dtype, layout, True, algorithm="direct")


@each_dtype
@each_case
def test_its_gradients_are_its_adjoint(case, dtype, isa):
    for layout in case.layouts():
        check_adjoint(case, dtype, layout)


@settings(max_examples=examples(150))
@given(case=transposes(), dtype=strategies.dtypes, seed=strategies.seeds, first=st.booleans(), threads=strategies.threads)
def test_a_random_one_is_its_definition(isa, case, dtype, seed, first, threads):
    check_forward(case, dtype, case.layouts()[first], True, seed, algorithm="direct", threads=threads)
    check_adjoint(case, dtype, case.layouts()[first], seed, threads)


@settings(max_examples=examples(60))
@given(case=transposes(), dtype=strategies.dtypes, seed=strategies.seeds)
def test_gradients_of_real_numbers_are_within_rounding(isa, case, dtype, seed):
    """dx is a convolution of dy; dw and db are held to it by linearity in `test_a_random_one_is_its_definition`."""
    g, x, w = (numbers(shape, dtype, seed) for shape in (case.y, case.x, case.w))
    dx, dw, _ = op("conv_transpose", case, "_grad")(g, x, w, **case.how)
    wide = [a.astype(np.float64) for a in (g, x, w)]
    exact = op("conv_transpose", case, "_grad")(*wide, **case.how, algorithm="direct")
    sizes = op("conv_transpose", case, "_grad")(*map(abs, wide), **case.how, algorithm="direct")
    terms = int(np.prod(case.k)) * case.o, int(np.prod(case.x[:-1]))
    for got, want, magnitude, n in zip((dx, dw), exact, sizes, terms, strict=False):
        assert_within_rounding(got, want, magnitude, 2 * n + 2, dtype)


def test_it_is_the_gradient_of_the_input_of_a_convolution_for_every_size_that_a_stride_gives():
    """Each size of y that a convolution takes to the size of x is reached by one output_padding."""
    for h, k, s, d, p in itertools.product((13, 14, 17), (2, 3, 4), (1, 2, 3), (1, 2, 3), (0, 1, 2)):
        x = numbers((1, h, 2), "float64", 1, integers=True)
        w = numbers((3, k, 2), "float64", 2, integers=True)
        how = {"stride": s, "dilation": d, "padding": p}
        y = convkit.conv1d(x, w, **how)
        extra = h - ((y.shape[1] - 1) * s - 2 * p + (k - 1) * d + 1)
        assert 0 <= extra < s
        dx, _, _ = convkit.conv1d_grad(y, x, w, **how, needs=("x",))
        assert_same_bits(convkit.conv_transpose1d(y, w, output_padding=extra, **how), dx)


def test_by_hand():
    x, w = np.array([[[1.0], [2.0], [3.0]]]), np.array([[[1.0], [10.0], [100.0]]])
    assert convkit.conv_transpose1d(x, w).ravel().tolist() == [1, 12, 123, 230, 300]
    assert convkit.conv_transpose1d(x, w, padding=1).ravel().tolist() == [12, 123, 230]
    assert convkit.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1).ravel().tolist() == [10, 102, 20, 203, 30, 300]
    assert convkit.conv_transpose1d(x, w[:, :1], stride=3, output_padding=2).ravel().tolist() == [1, 0, 0, 2, 0, 0, 3, 0, 0]
    clipped = convkit.conv_transpose1d(x, w[:, :1], np.array([-2.0]), stride=2, activation="relu")
    assert clipped.ravel().tolist() == [0, 0, 0, 0, 1]


@each_dtype
@pytest.mark.parametrize("case", [c for c in CASES if 0 not in c.x and c.o], ids=lambda c: c.name)
def test_relu_out_packed_filters_and_one_image_change_nothing(case, dtype, isa):
    x, w, b = (numbers(shape, dtype, 3) for shape in (case.x, case.w, (case.o,)))
    transpose, grad, how = op("conv_transpose", case), op("conv_transpose", case, "_grad"), case.how
    plain = transpose(x, w, b, **how)
    assert_same_bits(transpose(x, w, b, activation="relu", **how), np.where(plain < 0, 0, plain).astype(dtype))
    packed, out = convkit.pack_filters(w, groups=case.groups), np.full((*case.y[:-1], case.o + 3), 7, dtype)[..., 1:-2]
    assert transpose(x, packed, b, out=out, **how) is out
    assert_same_bits(out, plain)
    assert (out.base[..., 0] == 7).all()
    assert_same_bits(transpose(x[0], packed, b, **how), plain[0])
    dy = numbers(case.y, dtype, 4)
    dx, dw, db = grad(dy[0], x[0], w, **how)
    for got, want in zip((dx[None], dw, db), grad(dy[:1], x[:1], packed, **how), strict=True):
        assert_same_bits(got, want)
    assert grad(dy, x, w, needs=("b",), **how)[:2] == (None, None)


@settings(max_examples=examples(60))
@given(case=transposes(), dtype=strategies.dtypes, seed=strategies.seeds)
def test_bits_depend_neither_on_threads_nor_on_the_batch(isa, case, dtype, seed):
    case = Transpose((7, *case.x[1:]), *(getattr(case, f) for f in ("o", "k", "stride", "padding", "output_padding",
                                                                    "dilation", "groups")))  # fmt: skip
    dy, x, w = (numbers(shape, dtype, seed) for shape in (case.y, case.x, case.w))
    transpose, grad = op("conv_transpose", case), op("conv_transpose", case, "_grad")
    y, grads = transpose(x, w, threads=1, **case.how), grad(dy, x, w, threads=1, **case.how)
    for threads in (2, 3, 7):
        assert_same_bits(transpose(x, w, threads=threads, **case.how), y)
        for got, want in zip(grad(dy, x, w, threads=threads, **case.how), grads, strict=True):
            assert_same_bits(got, want)
    assert_same_bits(np.concatenate([transpose(x[:3], w, **case.how), transpose(x[3:], w, **case.how)]), y)


# --- wrong arguments ------------------------------------------------------------------------------------------------------


X, W = (2, 4, 5, 6), (6, 3, 3, 4)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"output_padding": 1}, ["output_padding", "0 to 0", "stride 1", "got 1"]),
        ({"output_padding": (0, 2), "stride": 2}, ["output_padding", "along w", "0 to 1"]),
        ({"output_padding": 3, "dilation": 3}, ["output_padding", "0 to 2"]),
        ({"output_padding": -1}, ["output_padding", ">= 0", "-1"]),
        ({"output_padding": 1, "stride": 2, "padding": "same"}, ["output_padding", "same"]),
        ({"padding": 3}, ["output size along h would be 0", "at most 5"]),
        ({"padding": 2**62}, ["output size", "at most 5"]),
        ({"padding": "full"}, ["padding", "valid", "same"]),
        ({"padding": "causal"}, ["padding"]),
        ({"padding": -1}, ["padding"]),
        ({"groups": 4}, ["groups", "4", "6"]),
        ({"groups": 0}, ["groups", "0"]),
        ({"stride": 0}, ["stride", "0"]),
        ({"dilation": 2**62}, ["9223372036854775809"]),
        ({"layout": "NLC"}, ["layout"]),
        ({"algorithm": "fastest"}, ["algorithm"]),
    ],
    ids=str,
)
def test_wrong_sizes_are_one_clear_error(how, words):
    x, w = np.zeros(X, np.float32), np.zeros(W, np.float32)
    for name, args in (("conv_transpose2d", (x, w)), ("conv_transpose2d_grad", (x, x, w))):
        with pytest.raises(ValueError, match=rf"^{name}: ") as raised:
            getattr(convkit, name)(*args, **how)
        assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize("value", [1.0, "1", None, True])
def test_an_output_padding_that_is_no_integer_is_refused(value):
    with pytest.raises(TypeError, match=r"^conv_transpose2d: output_padding"):
        convkit.conv_transpose2d(np.zeros(X, np.float32), np.zeros(W, np.float32), output_padding=value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((X, (5, 3, 3, 4)), ["w has 5 input channels, x has 6"]),
        ((X, (6, 0, 3, 4)), ["empty kernel"]),
        (((2, 0, 5, 6), W), ["at least one pixel along h"]),
        (((2, 5, 5, 5, 6), W), ["x must be 4-D"]),
        ((X, (6, 3, 4)), ["w must be 4-D"]),
        ((X, W, (3,)), ["bias must have shape (4,)"]),
        ((X, W, (6,)), ["bias must have shape (4,)"]),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_one_clear_error(args, words):
    with pytest.raises(ValueError, match=r"^conv_transpose2d: ") as raised:
        convkit.conv_transpose2d(*(np.zeros(shape, np.float32) for shape in args))
    assert all(word in str(raised.value) for word in words), raised.value


def test_a_gradient_of_another_shape_is_refused():
    x, w = np.zeros(X, np.float32), np.zeros(W, np.float32)
    with pytest.raises(ValueError, match=r"conv_transpose2d_grad: dy .*\(2, 6, 7, 4\).*\(2, 4, 5, 4\)"):
        convkit.conv_transpose2d_grad(np.zeros((2, 4, 5, 4), np.float32), x, w)


def test_mixed_dtypes_and_integers_are_refused():
    x, w = np.zeros(X, np.float32), np.zeros(W, np.float32)
    for args in ((x, w.astype("d")), (x.astype("i4"), w), (x, w, np.zeros(4))):
        with pytest.raises(TypeError, match=r"^conv_transpose2d: "):
            convkit.conv_transpose2d(*args)


def test_huge_strides_cost_nothing_but_their_output():
    x, w = np.ones((1, 1, 1, 6), np.float32), np.ones(W, np.float32)
    assert (convkit.conv_transpose2d(x, w, stride=2**62) == 6).all()
    with pytest.raises((ValueError, MemoryError), match="conv_transpose2d"):
        convkit.conv_transpose2d(np.ones(X, np.float32), w, stride=2**60)
