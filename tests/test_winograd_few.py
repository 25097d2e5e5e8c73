"""Winograd's convolution of few tiles by large filters, which are brought to the points in each call."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import Conv, each_dtype, numbers, op
from test_bits import arrays
from test_program import agrees
from test_winograd import check_bound, walk_of

import convkit
from convkit.plan import winograd as plan

FEW = [                                                  # tiles of an image; of most, more of all images
    Conv((1, 7, 6, 20), 37, (3, 3), padding=1, name="one image"),
    Conv((6, 3, 6, 35), 38, (3, 3), padding=2, dilation=(2, 1), name="dilation"),
    Conv((5, 4, 3, 34), 36, (3, 3), padding=1, groups=2, name="groups"),
    Conv((5, 2, 4, 5, 9), 18, (3, 3, 3), padding=1, name="3-D"),
]


@each_dtype
@pytest.mark.parametrize("case", FEW, ids=lambda c: c.name)
def test_every_way_gives_the_same_bits(case, dtype, isa, monkeypatch):
    """One image and all of them, filters that are packed and those that are used once."""
    monkeypatch.setattr(plan, "WIDE", 0)                 # bytes of filters from which on these ways are taken
    assert all(walk_of(case, which, False).few(4) for which in ("forward", "input"))
    check_bound(case, "winograd", dtype, case.layouts()[0], threads=2)
    dy, x, w, b = arrays(case, dtype, 0)
    packed, how = convkit.pack_filters(w, groups=case.groups), case.how | {"algorithm": "winograd"}
    forward, grad = op("conv", case), functools.partial(op("conv", case, "_grad"), needs=("x",))
    y, dx = forward(x, packed, b, **how), grad(dy, x, w, **how)[0]
    for filters in (w, packed):
        for threads in (1, 3):
            assert_same_bits(forward(x, filters, b, **how, threads=threads), y)
            assert_same_bits(grad(dy, x, filters, **how, threads=threads)[0], dx)
        for n in range(len(x)):
            at = slice(n, n + 1)
            assert_same_bits(forward(x[at], filters, b, **how, threads=2), y[at])
            assert_same_bits(grad(dy[at], x[at], filters, **how)[0], dx[at])


def test_the_error_is_two_and_a_half_times_that_of_direct(isa):
    """The median, at most, though filters are transformed in the arithmetic of the products."""
    case = Conv((1, 7, 7, 360), 328, (3, 3), padding=1)
    assert walk_of(case, "forward", False).few(4)
    x, w = numbers(case.x, "float32", 0), numbers(case.w, "float32", 1)
    padded = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = sum(padded[:, i : i + 7, j : j + 7] @ w[:, i, j].T.astype(float) for i in range(3) for j in range(3))
    off = {name: abs(convkit.conv2d(x, w, padding=1, algorithm=name) - want) for name in ("winograd", "direct")}
    assert np.median(off["winograd"]) <= 2.5 * np.median(off["direct"])


def test_a_program_takes_the_same_ways(isa, monkeypatch, rng):
    """For one image and for a batch."""
    monkeypatch.setattr(plan, "WIDE", 0)
    monkeypatch.setattr(plan, "pays", lambda *_: True)
    model = convkit.Sequential([convkit.layers.Conv2D(36, 3, padding=1, activation="relu")], input_shape=(6, 7, 19), rng=0)
    x = rng.standard_normal((6, 6, 7, 19)).astype(np.float32)
    assert convkit.explain("conv2d", x, (36, 3, 3, 19), padding=1).algorithm == "winograd"
    agrees(model, x)
    agrees(model, x[:1])


def test_memory_that_is_not_packed_gives_the_same_bits(isa, monkeypatch):
    monkeypatch.setattr(plan, "WIDE", 0)
    case = Conv((1, 5, 7, 21), 35, (3, 3), padding=1)
    _, x, w, b = arrays(case, "float32", 0)
    want = convkit.conv2d(x, w, b, padding=1, algorithm="winograd")
    for strange in (np.asfortranarray(w), np.flip(np.flip(w, 3).copy(), 3), np.repeat(w, 2, 0)[::2]):
        assert_same_bits(convkit.conv2d(x[:, ::-1].copy()[:, ::-1], strange, b, padding=1, algorithm="winograd"), want)
    infinite = x.copy()
    infinite[0, 2, 3, 4] = np.inf                        # the image is computed again directly
    got, direct = (convkit.conv2d(infinite, w, b, padding=1, algorithm=name) for name in ("winograd", "direct"))
    assert_same_bits(got, direct)
