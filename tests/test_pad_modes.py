"""Padding that repeats pixels is np.pad and a convolution without padding; one image needs no batch; filters may be flipped."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import reference
import strategies
from bounds import assert_exact, assert_same_bits, assert_within_rounding
from cases import CONVS, Conv, each_dtype, examples, from_layout, numbers, op, reproducible, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit
from convkit.plan import border

MODES = border.MODES[1:]
each_mode = pytest.mark.parametrize("mode", MODES)

CASES = [
    Conv((2, 6, 7, 5), 9, (3, 3), padding=1, name="3x3"),
    Conv((2, 6, 7, 3), 4, (3, 3), padding=((2, 0), (0, 3)), name="a different padding on each side"),
    Conv((1, 11, 12, 6), 5, (3, 3), stride=2, padding=1, name="stride 2"),
    Conv((2, 9, 8, 3), 7, (2, 2), stride=3, padding=2, name="stride over kernel"),
    Conv((1, 6, 7, 2), 3, (2, 3), stride=5, padding=5, name="windows in the padding alone"),
    Conv((1, 13, 12, 4), 10, (3, 3), stride=2, padding="same", dilation=2, name="same, stride and dilation"),
    Conv((1, 9, 9, 3), 2, (2, 2), dilation=7, padding=4, name="dilation over kernel"),
    Conv((2, 7, 6, 4), 8, (3, 5), padding="full", name="full"),
    Conv((1, 4, 5, 2), 3, (7, 9), padding=(3, 4), name="a filter larger than the image"),
    Conv((2, 6, 6, 4), 6, (3, 3), groups=2, padding=2, name="groups"),
    Conv((2, 6, 7, 16), 16, (3, 3), groups=16, padding=1, name="depthwise"),
    Conv((2, 20, 20, 8), 16, (5, 5), padding=2, name="5x5"),
    Conv((2, 5, 6, 3), 4, (3, 3), name="no padding"),
    Conv((2, 12, 3), 5, (3,), padding="causal", dilation=2, name="1-D, causal"),
    Conv((1, 33, 2), 6, (9,), stride=4, padding=((5, 7),), name="1-D, stride 4"),
    Conv((1, 4, 5, 4, 3), 4, (3, 2, 3), padding=(1, 1, 2), stride=(1, 2, 1), name="3-D"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def most(size: int, mode: str) -> float:
    """Pixels that one border may have."""
    return {"edge": np.inf, "reflect": size - 1}.get(mode, size)


def fits(case: Conv, mode: str) -> bool:
    return all(max(pads) <= most(size, mode) for size, _, _, pads, _, _ in case.axes)


def without_padding(case: Conv, x: np.ndarray, mode: str) -> tuple[np.ndarray, dict]:
    padded = np.pad(x, ((0, 0), *(axis[3] for axis in case.axes), (0, 0)), mode=mode)
    return padded, {**case.how, "padding": 0}


@reproducible
def check_forward(case: Conv, mode: str, dtype: str, layout: str, integers: bool, seed: int = 0, **options) -> np.ndarray:
    x, w, b = (numbers(shape, dtype, seed, integers) for shape in (case.x, case.w, (case.o,)))
    y = op("conv", case)(to_layout(x, layout), to_layout(w, layout), b, layout=layout, pad_mode=mode, **case.how, **options)
    got, (padded, how) = from_layout(y, layout), without_padding(case, x, mode)
    want = reference.conv(padded, w, b, **how)
    if integers:
        assert_exact(got, want, dtype)
    else:
        magnitude = reference.conv(abs(padded), abs(w), abs(b), **how)
        assert_within_rounding(got, want, magnitude, case.terms["y"], dtype)
    return y


@reproducible
def check_adjoint(case: Conv, mode: str, dtype: str, layout: str, seed: int = 0, threads: int = 1, flip: bool = False) -> None:
    """<conv(x, w), g> == <x, dx> == <w, dw>: in integers, so exactly."""
    g, x, w = (to_layout(numbers(shape, dtype, seed, integers=True), layout) for shape in (case.y, case.x, case.w))
    how = dict(layout=layout, algorithm="direct", pad_mode=mode, threads=threads, flip=flip, **case.how)
    y = op("conv", case)(x, w, **how)
    dx, dw, _ = op("conv", case, "_grad")(g, x, w, **how)
    assert (dx.shape, dw.shape) == (x.shape, w.shape)
    want = inner(y, g)
    assert (inner(x, dx), inner(w, dw)) == (want, want)


def inner(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


def refused(case: Conv, mode: str, dtype: str) -> None:
    axis = next(a for a in case.axes if max(a[3]) > most(a[0], mode))
    for suffix, shapes in (("", (case.x, case.w)), ("_grad", (case.y, case.x, case.w))):
        with pytest.raises(ValueError, match=rf"^conv\dd{suffix}: padding along . must be from 0 to {most(axis[0], mode)} for"):
            op("conv", case, suffix)(*(numbers(s, dtype, 0) for s in shapes), pad_mode=mode, **case.how)


@each_dtype
@each_mode
@each_case
def test_it_is_np_pad_and_a_convolution(case, mode, dtype, isa):
    if not fits(case, mode):
        refused(case, mode, dtype)
        return
    for layout in case.layouts():
        check_forward(case, mode, dtype, layout, False)
        check_forward(case, mode, dtype, layout, True, algorithm="direct")
        check_adjoint(case, mode, dtype, layout)


@settings(max_examples=examples(200))
@given(case=strategies.convs(), mode=st.sampled_from(MODES), dtype=strategies.dtypes, seed=strategies.seeds,
       first=st.booleans(), threads=strategies.threads, flip=st.booleans())
def test_a_random_one_is_np_pad_and_a_convolution(isa, case, mode, dtype, seed, first, threads, flip):
    if not fits(case, mode):
        refused(case, mode, dtype)
        return
    check_forward(case, mode, dtype, case.layouts()[first], True, seed, algorithm="direct", threads=threads)
    check_adjoint(case, mode, dtype, case.layouts()[first], seed, threads, flip)


def everything(case: Conv, mode: str, arrays: tuple, **options) -> tuple:
    dy, x, w = arrays
    return (op("conv", case)(x, w, pad_mode=mode, **case.how, **options),
            *op("conv", case, "_grad")(dy, x, w, pad_mode=mode, **case.how, **options))


@each_mode
@each_case
def test_bits_depend_neither_on_threads_nor_memory_nor_how_it_is_cut(case, mode, isa, monkeypatch):
    if not fits(case, mode):
        return
    case = Conv((5, *case.x[1:]), *(getattr(case, f) for f in ("o", "k", "stride", "padding", "dilation", "groups")))
    arrays = tuple(numbers(shape, "float32", 1) for shape in (case.y, case.x, case.w))
    want = everything(case, mode, arrays, threads=1)
    for threads in (2, 3, 7):
        for got, expected in zip(everything(case, mode, arrays, threads=threads), want, strict=True):
            assert_same_bits(got, expected)
    spread = tuple(np.repeat(a, 2, axis=-1)[..., ::2] for a in arrays)
    for got, expected in zip(everything(case, mode, spread), want, strict=True):
        assert_same_bits(got, expected)
    part = op("conv", case)(arrays[1][2:], arrays[2], pad_mode=mode, **case.how)
    assert_same_bits(part, want[0][2:])
    monkeypatch.setattr(border, "COPIED", 600)
    assert_same_bits(op("conv", case)(arrays[1], arrays[2], pad_mode=mode, **case.how), want[0])
    check_adjoint(case, mode, "float64", case.layouts()[0])


@each_mode
def test_a_large_image_is_not_copied(mode):
    x, w = np.ones((1, 2500, 1800, 3), np.float32), np.ones((1, 3, 3, 3), np.float32)
    out = np.empty((1, 2500, 1800, 1), np.float32)
    tracemalloc.start()
    convkit.conv2d(x, w, padding=1, pad_mode=mode, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (out == 27).all()
    assert peak < x.nbytes / 10


def test_padding_is_only_as_large_as_memory():
    x, w = np.ones((1, 4, 4, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)
    assert (convkit.conv2d(x, w, padding=2**31, stride=2**31, pad_mode="edge") == 4).all()
    with pytest.raises(MemoryError):
        convkit.conv2d(x, w, padding=2**29, pad_mode="edge")


@pytest.mark.parametrize("name", ["conv2d", "conv2d_grad"])
def test_another_mode_is_refused(name):
    args = [np.zeros((1, 4, 4, 1), np.float32)] * (1 + name.endswith("grad")) + [np.zeros((1, 1, 1, 1), np.float32)]
    for error, value in ((ValueError, "mirror"), (ValueError, "zeros"), (TypeError, None), (TypeError, 1)):
        with pytest.raises(error, match=rf"^{name}: pad_mode must be one of 'constant', 'edge'"):
            getattr(convkit, name)(*args, pad_mode=value)
    for value in (1, None, "yes"):
        with pytest.raises(TypeError, match=rf"^{name}: flip must be True or False"):
            getattr(convkit, name)(*args, flip=value)


# --- flipped filters, one image, "same" and "causal" ----------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("case", CONVS[::5] + CONVS[-9:], ids=lambda c: c.name)
def test_flip_is_the_convolution_with_filters_turned_around(case, dtype, isa):
    dy, x, w = (numbers(shape, dtype, 2) for shape in (case.y, case.x, case.w))
    conv, grad, axes = op("conv", case), op("conv", case, "_grad"), tuple(range(1, w.ndim - 1))
    turned = np.ascontiguousarray(np.flip(w, axes))
    packed = convkit.pack_filters(w, groups=case.groups)
    for layout in case.layouts():
        there, filters = (to_layout(a, layout) for a in (x, w))
        want = from_layout(conv(there, to_layout(turned, layout), layout=layout, **case.how), layout)
        assert_same_bits(from_layout(conv(there, filters, flip=True, layout=layout, **case.how), layout), want)
        assert_same_bits(from_layout(conv(there, packed, flip=True, layout=layout, **case.how), layout), want)
    dx, dw, db = grad(dy, x, packed, flip=True, **case.how)
    for got, want in zip((dx, np.flip(dw, axes), db), grad(dy, x, turned, **case.how), strict=True):
        assert_same_bits(got, want)


def test_flip_is_numpys_convolve(rng):
    a, v = rng.standard_normal(30), rng.standard_normal(7)
    for mode, padding in (("full", "full"), ("same", 3), ("valid", 0)):
        got = convkit.conv1d(a[:, None], v[None, :, None], flip=True, padding=padding)
        np.testing.assert_allclose(got[:, 0], np.convolve(a, v, mode), rtol=1e-12, atol=1e-12)


def test_flipped_filters_are_packed_once(isa):
    x, w = numbers((1, 5, 5, 3), "float32", 0), convkit.pack_filters(numbers((4, 3, 3, 3), "float32", 0))
    convkit.conv2d(x, w, flip=True)
    size = w.nbytes
    assert size > w.w.nbytes
    convkit.conv2d(x, w, flip=True)
    assert w.nbytes == size


@each_dtype
@pytest.mark.parametrize("case", CONVS[::4] + CONVS[-9:], ids=lambda c: c.name)
def test_one_image_needs_no_batch(case, dtype, isa):
    dy, x, w, b = (numbers(shape, dtype, 2) for shape in (case.y, case.x, case.w, (case.o,)))
    conv, grad = op("conv", case), op("conv", case, "_grad")
    for layout in case.layouts():
        one, filters, slope = to_layout(x[:1], layout), to_layout(w, layout), to_layout(dy[:1], layout)
        want = conv(one, filters, b, layout=layout, **case.how)
        assert_same_bits(conv(one[0], filters, b, layout=layout, **case.how), want[0])
        out = np.empty_like(want[0])
        assert conv(one[0], filters, b, layout=layout, out=out, **case.how) is out
        assert_same_bits(out, want[0])
        wants, gots = (grad(d, a, filters, layout=layout, **case.how) for d, a in ((slope, one), (slope[0], one[0])))
        assert_same_bits(gots[0], wants[0][0])
        assert_same_bits(gots[1], wants[1])
        assert_same_bits(gots[2], wants[2])
        assert grad(slope[0], one[0], filters, layout=layout, needs=("w",), **case.how)[0] is None


def test_a_batch_and_one_image_do_not_mix():
    x, w, dy = (np.zeros(shape, np.float32) for shape in ((2, 4, 4, 1), (1, 3, 3, 1), (2, 2, 2, 1)))
    for args in ((dy[0], x, w), (dy, x[0], w)):
        with pytest.raises(ValueError, match=r"^conv2d_grad: (x|dy) must be 4-D"):
            convkit.conv2d_grad(*args)
    with pytest.raises(ValueError, match=r"^conv2d: out must have shape"):
        convkit.conv2d(x[0], w, out=dy)
    with pytest.raises(TypeError, match=r"^conv2d: out must be a numpy array"):
        convkit.conv2d(x[0], w, out=[1.0])


@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_causal_convolution_never_looks_ahead(stride, dilation, isa):
    case = Conv((2, 23, 3), 5, (4,), stride=stride, padding="causal", dilation=dilation)
    x, w = numbers(case.x, "float64", 0), numbers(case.w, "float64", 1)
    y = convkit.conv1d(x, w, **case.how)
    assert y.shape[1] == -(-23 // stride)
    want = reference.conv(np.pad(x, ((0, 0), (3 * dilation, 0), (0, 0))), w, stride=stride, dilation=dilation)
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
    for i in range(y.shape[1]):
        changed = x.copy()
        changed[:, i * stride + 1:] += 1
        assert_same_bits(convkit.conv1d(changed, w, **case.how)[:, :i + 1], y[:, :i + 1])
    check_adjoint(case, "constant", "float64", "NLC")


@pytest.mark.parametrize("size", [5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_same_padding_with_a_stride_puts_the_extra_pixel_at_the_end(size, stride, k):
    x, w = numbers((1, size, 1), "float64", 0), numbers((1, k, 1), "float64", 1)
    total = max((-(-size // stride) - 1) * stride + k - size, 0)
    want = convkit.conv1d(x, w, stride=stride, padding=((total // 2, total - total // 2),))
    assert want.shape[1] == -(-size // stride)
    assert_same_bits(convkit.conv1d(x, w, stride=stride, padding="same"), want)
