"""Winograd's convolution: numbers that are not finite, and when it runs at all."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import Conv, each_dtype, op
from test_bits import arrays, everything

import convkit

BOTH = ("winograd", "winograd2")
each_algorithm = pytest.mark.parametrize("name", BOTH)


# --- numbers that are not finite ------------------------------------------------------------------------------------------

ODD = Conv((3, 10, 11, 9), 18, (3, 3), padding=1)


@each_algorithm
@each_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(0, 0), (4, 5), (9, 10)])
def test_one_odd_pixel_reaches_its_window_and_no_more(at, value, dtype, name, isa):
    dy, x, w, b = arrays(ODD, dtype, 0)
    want = everything(ODD, dy, x, w, b, algorithm=name)
    near = np.zeros(ODD.y[:3], bool)
    near[1, max(at[0] - 1, 0) : at[0] + 2, max(at[1] - 1, 0) : at[1] + 2] = True
    for key, index in (("y", 1), ("dx", 0)):
        bad = [dy.copy(), x.copy(), w, b]
        bad[index][(1, *at, 3)] = value
        got, direct = (everything(ODD, *bad, algorithm=by) for by in (name, "direct"))
        assert (~np.isfinite(got[key]) == near[..., None]).all()
        assert_same_bits(got[key][1], direct[key][1], f"the odd image, {key}")
        assert_same_bits(got[key][::2], want[key][::2], f"the others, {key}")
        assert_same_bits(got["dw"], direct["dw"], "dw")
        assert not np.isfinite(got["dw"]).all()


@each_algorithm
@each_dtype
def test_an_infinite_filter_gives_what_direct_gives(dtype, name, isa):
    dy, x, w, b = arrays(ODD, dtype, 0)
    w[3, 0, 2, 1] = np.inf
    got, want = (everything(ODD, dy, x, w, b, algorithm=by) for by in (name, "direct"))
    assert np.isnan(want["y"][:, 0, :, 3]).all()         # above the image there are zeros
    for key in ("y", "dx"):
        assert_same_bits(got[key], want[key], key)


@each_algorithm
@each_dtype
def test_what_overflows_in_the_transform_alone_is_still_right(dtype, name, isa):
    """Neighbours of opposite signs near the largest number: their differences are infinite, the outputs are not."""
    case = Conv((2, 4, 5, 4), 5, (3, 3), padding=1)
    rng, most = np.random.default_rng(0), float(np.finfo(dtype).max)
    large = {key: (rng.choice([-0.7, 0.7], shape) * most).astype(dtype) for key, shape in (("x", case.x), ("dy", case.y))}
    dy, x, w, b = (a * np.dtype(dtype).type(0.001) for a in arrays(case, dtype, 0))
    for key, given_arrays in (("y", (dy, large["x"], w, b)), ("dx", (large["dy"], x, w, b)), ("dw", (large["dy"], x, w, b)),
                              ("dw", (dy, large["x"], w, b))):
        needs = {} if key == "y" else {"needs": (key[1],)}
        call = op("conv", case) if key == "y" else op("conv", case, "_grad")
        got, want = (call(*(given_arrays[1:] if key == "y" else given_arrays[:3]), **case.how, **needs, algorithm=by)
                     for by in (name, "direct"))
        if key != "y":
            got, want = got["xw".index(key[1])], want["xw".index(key[1])]
        assert np.isfinite(want).all()
        assert_same_bits(got, want, key)


# --- when it runs ---------------------------------------------------------------------------------------------------------

LAYER = Conv((2, 28, 28, 64), 64, (3, 3), padding=1)


def test_strict_accuracy_never_chooses_it_and_refuses_it(isa):
    dy, x, w, b = arrays(LAYER, "float32", 0)
    usual, named, direct = (everything(LAYER, dy, x, w, b, algorithm=by) for by in ("auto", "winograd", "direct"))
    for key in ("y", "dx"):
        assert_same_bits(usual[key], named[key], key)    # else this layer proves nothing
        assert not np.array_equal(named[key], direct[key])
    with convkit.accuracy("strict"):
        strict = everything(LAYER, dy, x, w, b)
        direct = everything(LAYER, dy, x, w, b, algorithm="direct")
        for name in BOTH:
            with pytest.raises(ValueError, match=r"conv2d: algorithm .* accuracy is 'strict'"):
                convkit.conv2d(x, w, b, padding=1, algorithm=name)
    for key in ("y", "dx", "dw"):
        assert_same_bits(strict[key], direct[key], key)


@pytest.mark.parametrize(("name", "case", "reason"), [
    *((name, Conv((1, 9, 9, 8), 8, (3, 3), stride=2), "the stride must be 1") for name in BOTH),
    *((name, Conv((1, 9, 9, 8), 8, (3, 3), stride=(1, 2)), "the stride must be 1") for name in BOTH),
    *((name, Conv((1, 9, 9, 8), 8, (7, 7)), "the kernel must be 3 or 5") for name in BOTH),
    *((name, Conv((1, 9, 9, 8), 8, (1, 1)), "the kernel must be 3 or 5") for name in BOTH),
    ("winograd", Conv((1, 9, 9, 8), 8, (3, 2)), "the kernel must be 3 or 5"),
    ("winograd", Conv((1, 9, 4, 4, 8), 8, (9, 3, 3)), "the kernel must be at most 8 along depth"),
    ("winograd2", Conv((1, 9, 9, 8), 8, (5, 5)), "the kernel must have 1 or 3 taps"),
], ids=str)
def test_what_it_cannot_run_is_an_error_before_any_work(name, case, reason):
    dy, x, w, _ = arrays(case, "float32", 0)
    out = np.full(case.y, 77, "float32")
    with pytest.raises(ValueError, match=f"algorithm '{name}' cannot run this convolution: {reason}"):
        op("conv", case)(x, w, **case.how, algorithm=name, out=out)
    assert (out == 77).all()
    for needs, which in (("x", "input"), ("w", "filters")):
        with pytest.raises(ValueError, match=f"algorithm '{name}' cannot run this gradient of the {which}: {reason}"):
            op("conv", case, "_grad")(dy, x, w, **case.how, algorithm=name, needs=(needs,))
