"""Lp pooling and its gradient: sums of powers by the loops of average pooling."""

from __future__ import annotations

import itertools
import math
import numbers
from typing import Any

import numpy as np

from convkit._core import pool as core
from convkit.ops import check
from convkit.ops import pooling as run
from convkit.plan import pool as plan

__all__ = ["lp_pool1d", "lp_pool1d_grad", "lp_pool2d", "lp_pool2d_grad", "lp_pool3d", "lp_pool3d_grad"]

CACHED = 1 << 20                                        # bytes


def lp_pool2d(
    x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """p-norm of each window: ``y = (sum of |x|**p over the window)**(1/p)``, the windows being those of `max_pool2d`.

    Computed as written in the dtype of `x`: powers that overflow give inf, powers that underflow count as 0.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32 or float64
    p : float >= 1, default 2
    kernel_size, stride, padding, dilation, ceil_mode, layout, out, threads
        As in `max_pool2d`; padding counts as zeros.

    Returns
    -------
    ndarray (N, OH, OW, C)

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`; integers are a TypeError, a `p` below 1, infinite or NaN is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import lp_pool2d
    >>> lp_pool2d(np.array([3.0, 0.0, -4.0, 0.0]).reshape(1, 2, 2, 1), 2).ravel()
    array([5.])
    """
    return _pool("lp_pool2d", 2, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, out, threads)


def lp_pool2d_grad(
    dy: Any, x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, layout: str = "NHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of lp_pool2d: ``dx[m] = sign(x[m]) * |x[m]|**(p - 1) * sum of dy * y**(1 - p)`` over the windows with element m.

    A window whose norm is 0 adds nothing.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C)
        Gradient of the result.
    x : array_like (N, H, W, C), float32 or float64
        What lp_pool2d was given; so are the other arguments.
    kernel_size, p, stride, padding, dilation, ceil_mode, layout, threads
        As in `lp_pool2d`.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `lp_pool2d`, and if `dy` and `x` differ in dtype or `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import lp_pool2d_grad
    >>> x = np.array([3.0, 0.0, -4.0, 0.0]).reshape(1, 2, 2, 1)
    >>> lp_pool2d_grad(np.full((1, 1, 1, 1), 5.0), x, 2)[0, :, :, 0]
    array([[ 3.,  0.],
           [-4.,  0.]])
    """
    return _grad("lp_pool2d_grad", 2, dy, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, threads)


def lp_pool1d(
    x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """p-norm of each window along one axis: x (N, L, C) -> y (N, OL, C); see `lp_pool2d`."""
    return _pool("lp_pool1d", 1, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, out, threads)


def lp_pool1d_grad(
    dy: Any, x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, layout: str = "NLC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of lp_pool1d: dy (N, OL, C), x (N, L, C) -> dx like x; see `lp_pool2d_grad`."""
    return _grad("lp_pool1d_grad", 1, dy, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, threads)


def lp_pool3d(
    x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """p-norm of each window along three axes: x (N, D, H, W, C) -> y (N, OD, OH, OW, C); see `lp_pool2d`."""
    return _pool("lp_pool3d", 3, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, out, threads)


def lp_pool3d_grad(
    dy: Any, x: Any, kernel_size: Any, *, p: float = 2, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, layout: str = "NDHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of lp_pool3d: dy (N, OD, OH, OW, C), x (N, D, H, W, C) -> dx like x; see `lp_pool2d_grad`."""
    return _grad("lp_pool3d_grad", 3, dy, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, threads)


def exponent(p: Any, op: str) -> float:
    """`p` as a float that a norm can have."""
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real):
        raise TypeError(f"{op}: p must be a number, got {p!r}")
    if not 1 <= p < math.inf:
        raise ValueError(f"{op}: p must be >= 1 and finite, got {p}")
    return float(p)


def _pool(op, rank, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, out, threads):
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    pool = run._plan(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    p, threads = exponent(p, op), run._workers(threads, pool, op)
    y = check.result(out, pool.out_shape, x.dtype, first, (x,), op)
    if y.size:
        _norms(pool, x, p, y, threads)
    return check.returned(y, out, first)


def _norms(pool: plan.Pool, x: np.ndarray, p: float, y: np.ndarray, threads: int) -> None:
    """y = the norms of the windows of x, a few images at a time: their powers stay in the cache."""
    together = max(1, CACHED // max(x[:1].size * x.itemsize, 1))
    for start in range(0, len(x), together):
        images, norms = x[start : start + together], y[start : start + together]
        few = plan.Pool(len(images), pool.channels, pool.windows, pool.rank)
        sums = np.empty(norms.shape, x.dtype)           # contiguous, for the same bits whatever the strides of y
        run._walk(core.SUM, few, _power(np.abs(np.ascontiguousarray(images)), p), sums, threads)
        norms[...] = _power(sums, 1 / p)


def _power(x: np.ndarray, p: float) -> np.ndarray:
    """x**p, in place; the usual powers exactly rounded."""
    if p == 2:
        return np.square(x, out=x)
    if p == 0.5:
        return np.sqrt(x, out=x)
    return x if p == 1 else np.power(x, x.dtype.type(p), out=x)


def _grad(op, rank, dy, x, kernel_size, p, stride, padding, dilation, ceil_mode, layout, threads):
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    pool = run._plan(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    dy = run._gradient(op, rank, dy, pool, first)
    check.same_dtype(op, dy=dy, x=x)
    p, threads = exponent(p, op), run._workers(threads, pool, op)
    dx = check.empty(pool.x_shape, x.dtype, op, zeros=True)
    if dx.size:
        norms = np.empty(pool.out_shape, x.dtype)
        _norms(pool, x, p, norms, threads)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(norms == 0, norms, dy * (_power(norms.copy(), p - 1) ** -1))
        _cover(pool, shares, dx, threads)
        x = np.ascontiguousarray(x)
        dx *= np.sign(x) if p == 1 else np.copysign(_power(np.abs(x), p - 1), x)
    return check.returned(dx, None, first)


def _cover(pool: plan.Pool, shares: np.ndarray, dx: np.ndarray, threads: int) -> None:
    """dx += the shares of all windows that cover an element; dx is zero when it comes."""
    if all(window.dilation == 1 for window in pool.windows):
        run._walk(core.COVER, pool, shares, dx, threads)
        return
    source, target = check.lifted(shares), check.lifted(dx)
    for taps in itertools.product(*map(_taps, pool.windows)):
        reads, writes = zip(*taps, strict=True)
        target[(slice(None), *writes)] += source[(slice(None), *reads)]


def _taps(window: Any) -> list[tuple[slice, slice]]:
    """For each tap that meets the input: the outputs that read it, and the pixels they read."""
    size, kernel, stride, dilation, lo, _, out = window
    found = []
    for tap in range(max(0, -((-lo + (out - 1) * stride) // dilation)), min(kernel - 1, (size - 1 + lo) // dilation) + 1):
        place = tap * dilation - lo                     # of the first output
        start, stop = max(0, -(place // stride)), min(out, (size - 1 - place) // stride + 1)
        if start < stop:
            pixels = slice(place + start * stride, place + (stop - 1) * stride + 1, stride)
            found.append((slice(start, stop), pixels))
    return found
