"""Large results of convolutions are written past the caches, with the bits of small ones."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_same_bits
from cases import Conv, numbers, op
from test_bits import arrays, passes

from convkit._core import cpu

LINE = 64                                               # bytes
# Channels that are whole lines, and a few more; tiles of every width; one phase and several; two lines at once.
CASES = [
    ("direct", Conv((2, 9, 11, 24), 96, (1, 1))),
    ("direct", Conv((2, 23, 19, 16), 304, (1, 1))),
    ("direct", Conv((2, 9, 11, 32), 48, (3, 3), (2, 1), 1)),
    ("direct", Conv((1, 9, 11, 32), 32, (6, 6), 1, 2)),
    ("direct", Conv((2, 9, 11, 64), 128, (2, 3), groups=2)),
    ("depthwise", Conv((2, 13, 21, 96), 96, (3, 3), 2, 1, groups=96)),
    ("depthwise", Conv((2, 13, 21, 48), 48, (5, 5), 1, 2, groups=48)),
    ("depthwise", Conv((1, 70, 9, 32), 32, (35, 2), 1, groups=32)),
    ("depthwise", Conv((2, 13, 21, 40), 40, (3, 3), 1, 1, groups=40)),
    ("first", Conv((2, 15, 30, 3), 80, (3, 3), 2, 1)),
    ("winograd", Conv((2, 15, 18, 32), 80, (3, 3), 1, 1)),
    ("winograd", Conv((1, 15, 18, 32), 48, (5, 5), 1, 1, 2)),
]


@pytest.fixture
def all_are_large():
    before = cpu.set_large(1)
    yield before
    cpu.set_large(before)


def placed(shape: tuple, dtype: str, apart: int, off: int) -> np.ndarray:
    """An array of 77, `off` bytes behind the start of a line, whose pixels have `apart` other bytes between them."""
    size = np.dtype(dtype).itemsize
    whole = (*shape[:-1], shape[-1] + apart // size)
    room = np.full(np.prod(whole) + 2 * LINE // size, 77, dtype)
    start = (-room.ctypes.data % LINE + off) // size
    return room[start : start + np.prod(whole)].reshape(whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_large_results_have_the_bits_of_small_ones(isa, all_are_large, name, case, dtype):
    dy, x, w, b = arrays(case, dtype, 0)
    cpu.set_large(all_are_large)
    want = passes(name, case, dy, x, w, b)
    cpu.set_large(1)
    for threads in (1, 3):
        for which, got in passes(name, case, dy, x, w, b, threads=threads).items():
            assert_same_bits(got, want[which], f"{which}, {threads} threads")
    how = {"algorithm": name, "activation": "relu", **case.how}
    for apart, off in ((0, 0), (LINE, 0), (2 * LINE, 16), (16, 0)):
        whole = placed(case.y, dtype, apart, off)
        op("conv", case)(x, w, b, out=whole[..., : case.o], **how)
        cpu.set_large(all_are_large)
        assert_same_bits(whole[..., : case.o], op("conv", case)(x, w, b, **how), f"{apart} bytes apart, {off} bytes off")
        cpu.set_large(1)
        assert (whole[..., case.o :] == 77).all()


def test_a_residual_and_a_batch_are_written_past_the_caches_too(isa, all_are_large):
    case = Conv((2, 9, 11, 24), 96, (1, 1))
    _, x, w, b = arrays(case, "float32", 1)
    residual = numbers(case.y, "float32", 2)
    got = [op("conv", case)(x, w, b, residual=r, activation="relu") for r in (residual, None)]
    cpu.set_large(all_are_large)
    for y, r in zip(got, (residual, None), strict=True):
        assert_same_bits(y, op("conv", case)(x, w, b, residual=r, activation="relu"))
