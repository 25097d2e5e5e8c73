"""Convolution with large filters by Fourier transforms of NumPy, block by block; the products are a pointwise convolution.

For one frequency the outputs are sums over the channels of complex products: a pointwise convolution with a group for each
frequency, in which a complex number is two channels and a complex weight a matrix of 2 x 2.
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from convkit.ops import check, direct
from convkit.ops.filters import PackedFilters
from convkit.plan import conv as plan
from convkit.plan import fft

ADDS_LATER = True                                       # what it computes is put right before anything is added


def forward(conv: plan.Conv, x, packed, b, y, relu: bool, threads: int) -> None:
    spectra = packed.of(("fft", "forward"), key(conv, "forward"), lambda: transformed(conv, "forward", packed.w))
    margins = [a.lo for a in conv.axes[3 - conv.rank :]]
    for image in range(conv.batch):
        result = y[image]
        run(conv, "forward", x[image], spectra, margins, b, result, relu, threads)
        if not np.isfinite(result).all():               # what is not finite spreads over its block
            direct.forward(single(conv), x[image, None], packed, b, result[None], relu, threads)


def grad_input(conv: plan.Conv, dy, packed, dx, threads: int) -> None:
    spectra = packed.of(("fft", "input"), key(conv, "input"), lambda: transformed(conv, "input", packed.w))
    margins = [a.kernel - 1 - a.lo for a in conv.axes[3 - conv.rank :]]
    for image in range(conv.batch):
        result = dx[image]
        run(conv, "input", dy[image], spectra, margins, None, result, False, threads)
        if not np.isfinite(result).all():
            direct.grad_input(single(conv), dy[image, None], packed, result[None], threads)


def single(conv: plan.Conv) -> plan.Conv:
    """The same convolution of one image."""
    axes = conv.axes[3 - conv.rank :]
    pads, ones = tuple((a.lo, a.hi) for a in axes), (1,) * conv.rank
    return plan.conv((1, *conv.x_shape[1:]), conv.w_shape, ones, pads, ones, conv.groups)


def key(conv: plan.Conv, which: str) -> tuple:
    return conv.groups, *fft.lengths(conv, which)


def transformed(conv: plan.Conv, which: str, w: np.ndarray) -> PackedFilters:
    """The filters at each frequency, as those of a grouped pointwise convolution."""
    sizes, axes, groups = fft.lengths(conv, which), tuple(range(1, conv.rank + 1)), conv.groups
    w = w.reshape(groups, conv.outputs // groups, *w.shape[1:])
    if which == "input":
        w = np.flip(w.swapaxes(1, -1), tuple(axis + 1 for axis in axes))
    with np.errstate(all="ignore"):
        numbers = flushed(w.astype(np.float64), w.dtype)
        spectrum = np.fft.rfftn(numbers, sizes, tuple(axis + 1 for axis in axes)).conj()    # conj: a correlation
    each, depth = w.shape[1], w.shape[-1]
    spectrum = spectrum.reshape(groups, each, -1, depth).transpose(2, 0, 1, 3)      # frequency, group, output, input
    pairs = np.empty((*spectrum.shape[:3], 2, depth, 2))
    pairs[..., 0, :, 0] = pairs[..., 1, :, 1] = spectrum.real
    pairs[..., 1, :, 0] = spectrum.imag
    np.negative(spectrum.imag, out=pairs[..., 0, :, 1])
    return PackedFilters(pairs.reshape(-1, 1, 2 * depth), len(spectrum) * groups)


def run(conv: plan.Conv, which: str, x, spectra: PackedFilters, margins, b, y, relu: bool, threads: int) -> None:
    """y = the correlation of x (*size, C), padded by `margins` in front, with the filters of `spectra`."""
    sizes, steps, axes = fft.lengths(conv, which), fft.steps(conv, which), tuple(range(1, conv.rank + 1))
    places = list(product(*(range(0, out, step) for out, step in zip(y.shape, steps, strict=False))))
    frequencies = prod(sizes[:-1]) * (sizes[-1] // 2 + 1)
    together = max(1, fft.SCRATCH // (16 * frequencies * (x.shape[-1] + y.shape[-1])))
    for first in range(0, len(places), together):
        some = places[first : first + together]
        blocks = np.zeros((len(some), *sizes, x.shape[-1]))
        for block, place in zip(blocks, some, strict=True):
            copy(x, [p - m for p, m in zip(place, margins, strict=True)], block)
        with np.errstate(all="ignore"):
            numbers = np.fft.rfftn(flushed(blocks, x.dtype), axes=axes)
            numbers = np.ascontiguousarray(numbers).view(np.float64).reshape(1, len(some), -1)
            sums = check.empty((1, len(some), spectra.shape[0]), np.float64, "fft")
            one = plan.conv(numbers.shape, spectra.shape, (1,), ((0, 0),), (1,), spectra.groups)
            direct.run(one.output_pass, numbers, spectra, None, sums, False, threads)
            shape = (len(some), *sizes[:-1], sizes[-1] // 2 + 1, y.shape[-1])
            results = np.fft.irfftn(sums.view(np.complex128).reshape(shape), sizes, axes)
            if b is not None:
                results += b
            if relu:
                np.maximum(results, 0, out=results)
            flushed(results, y.dtype)
            for result, place in zip(results, some, strict=True):
                part = y[tuple(slice(p, p + step) for p, step in zip(place, steps, strict=True))]
                part[...] = result[tuple(map(slice, part.shape[:-1]))]


def flushed(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Those that are subnormal in `dtype` become zero, in place: as in the other algorithms, though float64 holds them."""
    numbers[np.abs(numbers) < np.finfo(dtype).tiny] = 0
    return numbers


def copy(x: np.ndarray, place: list[int], block: np.ndarray) -> None:
    """The pixels of x from `place` on into a block of zeros; some of it may lie outside of x."""
    source = tuple(slice(max(p, 0), max(min(p + n, size), 0)) for p, n, size in zip(place, block.shape, x.shape, strict=False))
    target = tuple(slice(s.start - p, s.start - p + max(s.stop - s.start, 0)) for s, p in zip(source, place, strict=True))
    if all(s.stop > s.start for s in source):
        block[target] = x[source]
