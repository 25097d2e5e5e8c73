"""The im2col algorithm: a block of patches is lowered to a matrix that stays in the cache, and multiplied by the filters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from convkit._core import im2col
from convkit.ops import check, direct
from convkit.ops.filters import PackedFilters
from convkit.plan import conv as plan

LOWER = {check.FLOATS[0]: im2col.lower["float"], check.FLOATS[1]: im2col.lower["double"]}
ADD = {check.FLOATS[0]: im2col.add["float"], check.FLOATS[1]: im2col.add["double"]}
BLOCK = 1 << 19                                         # bytes of a lowered block: a share of L2
PIXELS = 48                                             # of a block, at least: whole tiles of every height


def block_pixels(conv: plan.Conv, itemsize: int) -> int:
    """Output pixels of a block; chosen by the shapes alone, because the gradients add up block by block."""
    return max(PIXELS, BLOCK // (prod(conv.w_shape[1:]) * conv.groups * itemsize))


def blocks(conv: plan.Conv, dtype) -> Iterator[tuple[int, int, np.ndarray, plan.Conv]]:
    """First and last output pixel, the room for their patches, and the product with the filters as a pointwise convolution.

    Whole images, or parts of one: what is added up for an image does not depend on the others.
    """
    image, patch = prod(conv.out_shape[1:-1]), prod(conv.w_shape[1:])
    most = block_pixels(conv, dtype.itemsize)
    most, pixels = (min(most // image, conv.batch) * image, conv.batch * image) if image <= most else (most, image)
    room = check.empty((most, conv.groups, prod(conv.w_shape[1:-1]), conv.w_shape[-1]), dtype, "im2col")
    for start, part in product(range(0, conv.batch * image, pixels), range(0, pixels, most)):
        first, count = start + part, min(most, pixels - part)
        shapes = (1, count, conv.groups * patch), (conv.outputs, 1, patch)
        yield first, first + count, room[:count], plan.conv(*shapes, (1,), ((0, 0),), (1,), conv.groups)


def lowered(conv: plan.Conv, packed: PackedFilters) -> PackedFilters:
    """The filters, each as one row of numbers."""
    rows = conv.outputs, 1, prod(conv.w_shape[1:])
    return packed.of(("im2col",), conv.groups, lambda: PackedFilters(packed.w.reshape(rows), conv.groups))


def forward(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    x, filters = check.lifted(check.readable(x, threads)), lowered(conv, packed)
    whole = y if y.flags.c_contiguous else check.empty(y.shape, y.dtype, "im2col")
    flat, added = whole.reshape(1, -1, conv.outputs), None
    if residual is not None:
        residual = np.ascontiguousarray(residual).reshape(flat.shape)
    for first, last, cols, one in blocks(conv, x.dtype):
        LOWER[x.dtype](conv.windows, x, cols, first, threads)
        if residual is not None:
            added = residual[:, first:last]
        direct.run(one.output_pass, cols.reshape(one.x_shape), filters, b, flat[:, first:last], relu, threads, added)
    if whole is not y:
        y[...] = whole


def grad_input(conv: plan.Conv, dy, packed, dx, threads: int) -> None:
    dx[...] = 0
    dx, filters, flat = check.lifted(dx), lowered(conv, packed), np.ascontiguousarray(dy).reshape(1, -1, conv.outputs)
    for first, last, cols, one in blocks(conv, dx.dtype):
        direct.run(one.input_pass, flat[:, first:last], filters, None, cols.reshape(one.x_shape), False, threads)
        ADD[dx.dtype](conv.windows, cols, dx, first, threads)


def grad_filters(conv: plan.Conv, dy, x, dw, threads: int) -> None:
    x, flat = check.lifted(check.readable(x, threads)), np.ascontiguousarray(dy).reshape(1, -1, conv.outputs)
    for first, last, cols, one in blocks(conv, x.dtype):
        LOWER[x.dtype](conv.windows, x, cols, first, threads)
        rows = dw.reshape(one.w_shape)
        direct.grad_filters(one, flat[:, first:last], cols.reshape(one.x_shape), rows, threads, adds=True)
