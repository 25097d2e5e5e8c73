"""What every op means: float64 loops over output positions, nothing clever, channels last.

    conv      y[n, p, o] = b[o] + sum over taps t and channels c of  x[n, p*stride + t*dilation - pad, c] * w[o, t, c]
    max pool  y[n, p, c] = the first largest (or first NaN) of x over the taps of the window at p that lie inside x
    avg pool  y[n, p, c] = the sum of x over the window at p / the number of counted taps

A position `p` and a tap `t` have one coordinate per spatial axis; x is zero outside itself. Each gradient is written from the
same windows: what the forward pass reads with weight w, the gradient adds to with weight w. Python loops run over the
positions, NumPy over batch, taps and channels. Integer-valued data below 2**53 gives exact results, in any order of summation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

Pairs = tuple[tuple[int, int], ...]


def per_axis(value: Any, rank: int) -> tuple[int, ...]:
    """3 -> (3, 3) for rank 2; a tuple stays as it is."""
    return tuple(value) if isinstance(value, tuple) else (value,) * rank


def pads(padding: Any, size: tuple[int, ...], kernel: tuple[int, ...], stride: Any = 1, dilation: Any = 1) -> Pairs:
    """The (before, after) padding of each axis, from any of the forms a caller may write."""
    rank = len(size)
    reach = [(k - 1) * d for k, d in zip(kernel, per_axis(dilation, rank), strict=True)]
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "full":
        return tuple((r, r) for r in reach)
    if padding == "causal":
        return tuple((r, 0) for r in reach)
    if padding == "same":
        steps = per_axis(stride, rank)
        total = [max((-(-n // s) - 1) * s + r + 1 - n, 0) for n, s, r in zip(size, steps, reach, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple(p if isinstance(p, tuple) else (p, p) for p in per_axis(padding, rank))


def output_size(size: Any, kernel: Any, stride: Any, pad: Pairs, dilation: Any, ceil_mode: bool = False) -> tuple[int, ...]:
    """The number of windows along each axis; with ceil_mode a last window that starts beyond the input is dropped."""
    counts = []
    for n, k, s, (lo, hi), d in zip(size, kernel, stride, pad, dilation, strict=True):
        room = n + lo + hi - ((k - 1) * d + 1)
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + lo:
            count -= 1
        counts.append(count)
    return tuple(counts)


# --- convolution ----------------------------------------------------------------------------------------------------------


class _Conv:
    """The windows of one convolution: x padded with zeros, and for every position the slices that read its taps."""

    def __init__(self, x_shape: Any, w_shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
        self.batch, *size, self.channels = x_shape
        self.outputs, *kernel, self.depth = w_shape
        rank = len(size)
        self.size, self.kernel, self.groups = tuple(size), tuple(kernel), groups
        self.stride, self.dilation = per_axis(stride, rank), per_axis(dilation, rank)
        self.pad = pads(padding, self.size, self.kernel, stride, dilation)
        self.out = output_size(self.size, self.kernel, self.stride, self.pad, self.dilation)
        self.taps = int(np.prod(self.kernel))

    def padded(self, x: np.ndarray) -> np.ndarray:
        return np.pad(np.asarray(x, np.float64), ((0, 0), *self.pad, (0, 0)))

    def inside(self, padded: np.ndarray) -> np.ndarray:
        return padded[(slice(None), *(slice(lo, lo + n) for (lo, _), n in zip(self.pad, self.size, strict=True)))]

    def positions(self) -> Iterator[tuple[Any, Any]]:
        """For every output position: the index of (N, channels) there, and the index of its window in the padded input."""
        for position in itertools.product(*map(range, self.out)):
            taps = (slice(p * s, p * s + (k - 1) * d + 1, d)
                    for p, s, k, d in zip(position, self.stride, self.kernel, self.dilation, strict=True))
            yield (slice(None), *position), (slice(None), *taps)

    def grouped_filters(self, w: np.ndarray) -> np.ndarray:
        """(O, *kernel, C/groups) -> (groups, O/groups, taps*C/groups)"""
        return np.asarray(w, np.float64).reshape(self.groups, self.outputs // self.groups, self.taps * self.depth)

    def grouped_window(self, window: np.ndarray) -> np.ndarray:
        """(N, *kernel, C) -> (groups, N, taps*C/groups)"""
        split = window.reshape(self.batch, self.taps, self.groups, self.depth)
        return split.transpose(2, 0, 1, 3).reshape(self.groups, self.batch, self.taps * self.depth)

    def whole_window(self, grouped: np.ndarray) -> np.ndarray:
        """(groups, N, taps*C/groups) -> (N, *kernel, C)"""
        split = grouped.reshape(self.groups, self.batch, self.taps, self.depth)
        return split.transpose(1, 2, 0, 3).reshape(self.batch, *self.kernel, self.channels)

    def grouped_outputs(self, y: np.ndarray) -> np.ndarray:
        """(N, O) -> (groups, N, O/groups)"""
        return y.reshape(self.batch, self.groups, self.outputs // self.groups).transpose(1, 0, 2)


def conv(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> np.ndarray:
    """x (N, *size, C), w (O, *kernel, C/groups), b (O,) -> y (N, *out, O)."""
    c = _Conv(np.shape(x), np.shape(w), stride, padding, dilation, groups)
    padded, filters = c.padded(x), c.grouped_filters(w)
    y = np.zeros((c.batch, *c.out, c.outputs))
    for position, window in c.positions():
        products = c.grouped_window(padded[window]) @ filters.transpose(0, 2, 1)
        y[position] = products.transpose(1, 0, 2).reshape(c.batch, c.outputs)
    return y if b is None else y + np.asarray(b, np.float64)


def conv_grad(dy: Any, x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
              groups: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (N, *out, O) -> dx like x, dw like w, db (O,)."""
    c = _Conv(np.shape(x), np.shape(w), stride, padding, dilation, groups)
    dy = np.asarray(dy, np.float64)
    padded, filters = c.padded(x), c.grouped_filters(w)
    dx, dw = np.zeros_like(padded), np.zeros_like(filters)
    for position, window in c.positions():
        g = c.grouped_outputs(dy[position])
        dx[window] += c.whole_window(g @ filters)
        dw += g.transpose(0, 2, 1) @ c.grouped_window(padded[window])
    return c.inside(dx), dw.reshape(np.shape(w)), dy.sum(axis=tuple(range(dy.ndim - 1)))


def conv_transpose(x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                   dilation: Any = 1, groups: int = 1) -> np.ndarray:
    """x (N, *size, I), w (I, *kernel, O/groups) -> y (N, *out, O): each tap adds x times its weight, every stride pixels.

    y[n, p*stride + t*dilation - pad, o] += sum over channels c of  x[n, p, c] * w[c, t, o]
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    batch, *size, channels = x.shape
    rank, kernel, depth = len(size), w.shape[1:-1], w.shape[-1]
    steps, gaps, extra = (per_axis(v, rank) for v in (stride, dilation, output_padding))
    pad = pads(padding, tuple(n * s for n, s in zip(size, steps, strict=True)), kernel, stride, dilation)
    whole = [(n - 1) * s + (k - 1) * d + 1 + e for n, s, k, d, e in zip(size, steps, kernel, gaps, extra, strict=True)]
    if padding == "same":
        whole = [max(n, c * s + lo + hi) for n, c, s, (lo, hi) in zip(whole, size, steps, pad, strict=True)]
    y = np.zeros((batch, *whole, groups, depth))
    grouped = x.reshape(*x.shape[:-1], groups, channels // groups)
    for tap in itertools.product(*map(range, kernel)):
        place = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, gaps, size, steps, strict=True))
        filters = w[(slice(None), *tap)].reshape(groups, channels // groups, depth)
        y[(slice(None), *place)] += np.einsum("...gc,gco->...go", grouped, filters)
    inside = tuple(slice(lo, n - hi) for (lo, hi), n in zip(pad, whole, strict=True))
    y = y[(slice(None), *inside)].reshape(batch, *(s.stop - s.start for s in inside), groups * depth)
    return y if b is None else y + np.asarray(b, np.float64)


# --- pooling --------------------------------------------------------------------------------------------------------------


class _Pool:
    """The windows of one pooling, each as the list of its taps inside x and the number of taps inside x and its padding."""

    def __init__(self, x_shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> None:
        self.batch, *size, self.channels = x_shape
        rank = len(size)
        self.size, self.kernel = tuple(size), per_axis(kernel, rank)
        self.stride = self.kernel if stride is None else per_axis(stride, rank)
        self.dilation = per_axis(dilation, rank)
        self.pad = pads(padding, self.size, self.kernel, self.stride, dilation)
        self.out = output_size(self.size, self.kernel, self.stride, self.pad, self.dilation, ceil_mode)

    def positions(self) -> Iterator[tuple[Any, list[int], int]]:
        """For every output position: its index, the flat indices of its taps in x in row-major order, its taps in padded x."""
        for position in itertools.product(*map(range, self.out)):
            inside, counted = [], 1
            axes = zip(position, self.stride, self.kernel, self.dilation, self.size, self.pad, strict=True)
            for p, s, k, d, n, (lo, hi) in axes:
                reached = [p * s + t * d - lo for t in range(k)]
                inside.append([i for i in reached if 0 <= i < n])
                counted *= sum(-lo <= i < n + hi for i in reached)
            flat = [int(np.ravel_multi_index(tap, self.size)) for tap in itertools.product(*inside)]
            yield (slice(None), *position), flat, counted


def max_pool(x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1,
             ceil_mode: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """x (N, *size, C) -> y (N, *out, C) and the flat spatial index of each maximum; -1 where the window holds padding only."""
    x = np.asarray(x)
    p = _Pool(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    pixels = x.reshape(p.batch, int(np.prod(p.size)), p.channels)
    y = np.full((p.batch, *p.out, p.channels), _lowest(x.dtype), x.dtype)
    indices = np.full(y.shape, -1, np.int64)
    for position, taps, _ in p.positions():
        if taps and p.batch and p.channels:
            first = pixels[:, taps].argmax(axis=1)  # NumPy takes the first NaN, else the first of the largest
            indices[position] = np.array(taps)[first]
            y[position] = np.take_along_axis(pixels, indices[position][:, None], axis=1)[:, 0]
    return y, indices


def max_pool_grad(dy: Any, x: Any, kernel_size: Any, **how: Any) -> np.ndarray:
    """dy (N, *out, C) goes to the element that was the maximum; a window of padding only gives its share to nobody."""
    _, indices = max_pool(x, kernel_size, **how)
    batch, *size, channels = np.shape(x)
    dx = np.zeros((batch, int(np.prod(size)), channels))
    real = np.nonzero(indices >= 0)
    np.add.at(dx, (real[0], indices[real], real[-1]), np.asarray(dy, np.float64)[real])
    return dx.reshape(np.shape(x))


def avg_pool(x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
             count_include_pad: bool = True) -> np.ndarray:
    """x (N, *size, C) -> y (N, *out, C)."""
    x = np.asarray(x, np.float64)
    p = _Pool(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    pixels = x.reshape(p.batch, int(np.prod(p.size)), p.channels)
    y = np.zeros((p.batch, *p.out, p.channels))
    for position, taps, counted in p.positions():
        y[position] = pixels[:, taps].sum(axis=1) / (counted if count_include_pad else len(taps))
    return y


def avg_pool_grad(dy: Any, x_shape: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                  count_include_pad: bool = True) -> np.ndarray:
    """dy (N, *out, C) is shared out equally over the taps its window counted."""
    dy = np.asarray(dy, np.float64)
    p = _Pool(x_shape, kernel_size, stride, padding, 1, ceil_mode)
    dx = np.zeros((p.batch, int(np.prod(p.size)), p.channels))
    for position, taps, counted in p.positions():
        dx[:, taps] += (dy[position] / (counted if count_include_pad else len(taps)))[:, None]
    return dx.reshape(x_shape)


def _lowest(dtype: np.dtype) -> Any:
    """What an empty maximum gives: -inf, the smallest integer, False."""
    if dtype.kind == "f":
        return -np.inf
    return np.iinfo(dtype).min if dtype.kind in "iu" else False
