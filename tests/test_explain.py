"""What `explain` says of a call is what the call does."""

from __future__ import annotations

import numpy as np
import pytest

import convkit

FORWARD = {
    "direct": ((2, 9, 8, 40), (48, 4, 4, 40), {"stride": 2, "padding": 1}),
    "first": ((1, 20, 20, 3), (32, 7, 7, 3), {"padding": 3}),
    "few": ((1, 20, 20, 16), (3, 5, 5, 16), {"padding": 2}),
    "depthwise": ((2, 9, 8, 24), (24, 3, 3, 1), {"groups": 24}),
    "grouped": ((2, 9, 8, 16), (32, 3, 3, 4), {"groups": 4}),
    "winograd": ((1, 12, 13, 24), (40, 3, 3, 24), {"padding": 1}),
    "im2col": ((2, 9, 8, 5), (33, 3, 3, 5), {"stride": 2}),
}


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_packed_filters_take_what_it_says(name, dtype):
    x_shape, w_shape, how = FORWARD[name]
    x, w = np.ones(x_shape, dtype), np.ones(w_shape, dtype)
    packed = convkit.pack_filters(w, groups=how.get("groups", 1))
    y = convkit.conv2d(x, packed, algorithm=name, **how)
    told = convkit.explain("conv2d", x, w, algorithm=name, **how)
    assert (told.algorithm, told.out_shape) == (name, y.shape)
    # im2col keeps the filters as rows, too
    assert packed.nbytes - w.nbytes == told.packed_bytes + (w.nbytes if name == "im2col" else 0)

    dy, back = np.ones(y.shape, dtype), convkit.pack_filters(w, groups=how.get("groups", 1))
    dx = convkit.conv_transpose2d(dy, back, algorithm=name, **how)
    told = convkit.explain("conv_transpose2d", dy, w, algorithm=name, **how)
    assert (told.algorithm, told.out_shape) == (name, dx.shape)
    assert back.nbytes - w.nbytes == told.packed_bytes + (w.nbytes if name == "im2col" else 0)
    assert str(told).startswith("conv_transpose2d -> ")


def test_work_shape_and_choice_of_a_transposed_convolution():
    x, w = np.zeros((8, 14, 15, 64), np.float32), np.zeros((64, 4, 4, 32), np.float32)
    told = convkit.explain("conv_transpose2d", x, w, stride=2, padding=1, output_padding=1)
    assert told.out_shape == convkit.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1).shape
    assert told.flop == 2 * x.size * 4 * 4 * 32
    how = {"stride": 2, "padding": 1, "output_padding": 1, "layout": "NCHW"}
    first = convkit.explain("conv_transpose2d", (8, 64, 14, 15), (64, 32, 4, 4), **how)
    assert first.out_shape == (8, 32, 29, 31)
    assert told.tasks == first.tasks


def test_a_pad_mode_counts_the_boxes_at_the_border():
    x, w = (2, 40, 41, 16), (32, 3, 3, 16)
    plain = convkit.explain("conv2d", x, w, padding=1)
    told = convkit.explain("conv2d", x, w, padding=1, pad_mode="reflect")
    assert (told.algorithm, told.out_shape, told.flop) == (plain.algorithm, plain.out_shape, plain.flop)
    assert "4 boxes" in told.why
    assert told.tasks > convkit.explain("conv2d", x, w).tasks
    assert convkit.explain("conv2d", x, w, pad_mode="reflect") == convkit.explain("conv2d", x, w)


@pytest.mark.parametrize("shapes", [((0, 9, 8, 5), (4, 3, 3, 5)), ((2, 9, 8, 0), (4, 3, 3, 0)), ((2, 9, 8, 5), (0, 3, 3, 5))])
@pytest.mark.parametrize("algorithm", ["auto", "direct", "first", "few", "winograd", "im2col"])
def test_without_elements_there_is_nothing_to_do(shapes, algorithm):
    for mode in ("constant", "edge"):
        told = convkit.explain("conv2d", *shapes, padding=1, pad_mode=mode, algorithm=algorithm)
        assert (told.flop, told.tasks, told.packed_bytes, told.scratch_bytes) == (0, 0, 0, 0)
        assert told.out_shape == (shapes[0][0], 9, 8, shapes[1][0])


def test_the_packed_forms_of_all_boxes_are_counted():
    x, w = np.zeros((1, 40, 41, 16), np.float32), np.zeros((32, 3, 3, 16), np.float32)
    packed = convkit.pack_filters(w)
    convkit.conv2d(x, packed, padding=1, pad_mode="wrap")
    assert packed.nbytes - w.nbytes == convkit.explain("conv2d", x, w, padding=1, pad_mode="wrap").packed_bytes


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: convkit.explain("max_pool2d", (1, 4, 4, 1), (1, 2, 2, 1)), "op must be one of"),
        (lambda: convkit.explain("conv_transpose1d", (1, 4, 4, 1), (1, 2, 2, 1)), "takes a 3-D x"),
        (lambda: convkit.explain("conv2d", (1, 4, 4, 1), (1, 3, 3, 1), padding=4, pad_mode="reflect"), "padding along h"),
        (lambda: convkit.explain("conv2d", (1, 4, 4, 1), (1, 3, 3, 1), pad_mode="mirror"), "pad_mode must be one of"),
        (lambda: convkit.explain("conv_transpose2d", (1, 4, 4, 1), (2, 3, 3, 1)), "w has 2 input channels"),
    ],
)
def test_what_it_cannot_explain_is_an_error(call, error):
    with pytest.raises(ValueError, match=error):
        call()
