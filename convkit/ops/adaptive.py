"""Adaptive pooling of any rank: check, plan, run.

Where all sizes divide it is an ordinary pooling. Else an average is a resampling with equal weights, and a maximum goes
axis by axis: windows in phase have equal sizes and distances, so each phase is a pooling along that axis.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np

from convkit._core import cpu
from convkit._core import pool as core
from convkit.ops import check, resampling
from convkit.ops import pooling as run
from convkit.plan import geometry, resample
from convkit.plan import pool as plan


def _sizes(op: str, output_size: Any, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """`output_size` as one size for each axis; None is that of the input."""
    rank = len(spatial)
    given = (output_size,) * rank if output_size is None else output_size
    if isinstance(given, (tuple, list)) and len(given) == rank:
        given = tuple(n if size is None else size for n, size in zip(spatial, given, strict=True))
    return geometry.sizes(given, rank, op, "output_size", least=0)


def _pixels(op: str, spatial: tuple[int, ...], name: str) -> None:
    if 0 in spatial:
        raise ValueError(f"{op}: the mean or maximum of no pixels is not defined, {name} has the spatial shape {spatial}")


def _divides(spatial: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...] | None:
    """The kernel, and stride, of the ordinary pooling that gives these sizes, or None."""
    whole = all(small and n % small == 0 for n, small in zip(spatial, size, strict=True))
    return tuple(n // small for n, small in zip(spatial, size, strict=True)) if whole else None


def _images(op: str, rank: int, x: Any, dtypes: Any, output_size: Any, first: bool) -> tuple[np.ndarray, tuple[int, ...]]:
    """x channels last, and the spatial shape of the result."""
    x = check.images(check.array(x, op, "x", dtypes), rank, first, op)
    size = _sizes(op, output_size, x.shape[1:-1])
    _pixels(op, x.shape[1:-1], "x")
    return x, size


def average(op, rank, x, output_size, layout, out, threads):
    first = check.channels_first(layout, rank, op)
    x, size = _images(op, rank, x, check.FLOATS, output_size, first)
    kernel = _divides(x.shape[1:-1], size)
    if kernel is not None:
        x = np.moveaxis(x, -1, 1) if first else x
        return run.avg_pool(op, rank, x, kernel, None, 0, False, True, layout, out, threads)
    y = check.result(out, (len(x), *size, x.shape[-1]), x.dtype, first, (x,), op)
    if y.size:
        tables = [resample.average(n, small).forward for n, small in zip(x.shape[1:-1], size, strict=True)]
        resampling.blend(op, x, tables, y, threads)
    return check.returned(y, out, first)


def average_grad(op, rank, dy, x_shape, layout, threads):
    first, x_shape = check.channels_first(layout, rank, op), check.shape_of(x_shape, op, "x_shape")
    if len(x_shape) != rank + 2:
        wanted = check.axes_text(check.LAYOUTS[rank][first])
        raise ValueError(f"{op}: x_shape must have {rank + 2} sizes {wanted}, got {x_shape}")
    dy = check.images(check.array(dy, op, "dy"), rank, first, op, "dy")
    last = (x_shape[0], *x_shape[2:], x_shape[1]) if first else x_shape
    _fits(op, dy, last, first, "x_shape")
    kernel = _divides(last[1:-1], dy.shape[1:-1])
    if kernel is not None:
        dy = np.moveaxis(dy, -1, 1) if first else dy
        return run.avg_pool_grad(op, rank, dy, x_shape, kernel, None, 0, False, True, layout, threads)
    dx = check.empty(last, dy.dtype, op, zeros=not dy.size)
    if dy.size:
        tables = [resample.average(n, small).backward for n, small in zip(last[1:-1], dy.shape[1:-1], strict=True)]
        resampling.blend(op, dy, tables, dx, threads)
    return check.returned(dx, None, first)


def _fits(op: str, dy: np.ndarray, shape: tuple[int, ...], first: bool, name: str) -> None:
    _pixels(op, shape[1:-1], name)
    if (dy.shape[0], dy.shape[-1]) != (shape[0], shape[-1]):
        raise ValueError(f"{op}: dy must have the images and channels of {name} {check.named(shape, first)}, "
                         f"got {check.named(dy.shape, first)}")  # fmt: skip


def maximum(op, rank, x, output_size, return_indices, layout, out, threads):
    first = check.channels_first(layout, rank, op)
    x, size = _images(op, rank, x, run.COMPARED, output_size, first)
    with_indices, kernel = check.flag(return_indices, op, "return_indices"), _divides(x.shape[1:-1], size)
    if kernel is not None:
        x = np.moveaxis(x, -1, 1) if first else x
        return run.max_pool(op, rank, x, kernel, None, 0, 1, False, with_indices, layout, out, threads)
    y = check.result(out, (len(x), *size, x.shape[-1]), x.dtype, first, (x,), op)
    flat = check.empty(y.shape, np.int64, op) if with_indices else None
    if y.size:
        values, places = _by_axis(op, x, size, with_indices, threads)
        y[...] = values
        if with_indices:
            flat[...] = places
    y = check.returned(y, out, first)
    return (y, check.returned(flat, None, first)) if with_indices else y


def _by_axis(op: str, x: np.ndarray, size: tuple[int, ...], with_indices: bool, threads: int | None):
    """The maxima and their flat indices: of lines first, so that the first of a window in row-major order wins."""
    rank, flat, unit = len(size), None, 1
    for axis in range(rank, 0, -1):
        y, places = _along(op, x, axis, size[axis - 1], with_indices, threads)
        if with_indices:
            below = 0 if flat is None else np.take_along_axis(flat, places, axis)
            flat, unit = below + places * unit, unit * x.shape[axis]
        x = y
    return x, flat


def _along(op: str, x: np.ndarray, axis: int, outputs: int, with_indices: bool, threads: int | None):
    """The maxima of the windows along one axis, and their places on it."""
    rank, size = x.ndim - 2, x.shape[axis]
    start, stop = resample.windows(size, outputs)
    period = outputs // gcd(size, outputs)
    shape = (*x.shape[:axis], outputs, *x.shape[axis + 1 :])
    y, places = np.empty(shape, x.dtype), np.empty(shape, np.int64) if with_indices else None
    for phase in range(period):
        kernel = tuple(int(stop[phase] - start[phase]) if a == axis else 1 for a in range(1, rank + 1))
        stride = tuple(size * period // outputs if a == axis else 1 for a in range(1, rank + 1))
        before = (slice(None),) * axis
        window = x[(*before, slice(int(start[phase]), int(stop[outputs - period + phase])))]
        result = run.max_pool(op, rank, window, kernel, stride, 0, 1, False, with_indices, None, None, threads)
        at = (*before, slice(phase, None, period))
        y[at] = result[0] if with_indices else result
        if with_indices:
            places[at] = _coordinate(result[1], window.shape, axis) + start[phase]
    return y, places


def _coordinate(flat: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The coordinate along one axis of flat spatial indices."""
    after = int(np.prod(shape[axis + 1 : -1], dtype=np.int64))
    return flat // after % shape[axis]


def maximum_grad(op, rank, dy, x, layout, threads):
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    dy = check.images(check.array(dy, op, "dy"), rank, first, op, "dy")
    check.same_dtype(op, dy=dy, x=x)
    _fits(op, dy, x.shape, first, "x")
    kernel = _divides(x.shape[1:-1], dy.shape[1:-1])
    if kernel is not None:
        dx = run.max_pool_grad(op, rank, dy, x, kernel, None, 0, 1, False, None, threads)
        return check.returned(dx, None, first)
    dx = check.empty(x.shape, x.dtype, op, zeros=True)
    if dy.size:
        _, flat = _by_axis(op, x, dy.shape[1:-1], True, threads)
        scatter(dy, flat, dx, threads, op)
    return check.returned(dx, None, first)


def scatter(dy: np.ndarray, flat: np.ndarray, dx: np.ndarray, threads: int | None, op: str) -> None:
    """dx += each dy at its flat index; dx and flat are contiguous."""
    count = cpu.thread_count(threads, op)[0]
    count = count if dy.size > plan.SERIAL_READS else 1
    lines = (a.reshape(a.shape[0], -1, a.shape[-1]) for a in (np.ascontiguousarray(dy), flat, dx))
    core.scatter(*lines, plan.PANEL, count)


def maximum_in_training(op, rank, x, output_size):
    """adaptive_max_pool, channels last, and a function dy -> dx that keeps places instead of x."""
    x, size = _images(op, rank, x, check.FLOATS, output_size, False)
    kernel = _divides(x.shape[1:-1], size)
    if kernel is not None:
        return run.max_pool_in_training(op, rank, x, kernel, None, 0, 1, False)
    shape, dtype = x.shape, x.dtype
    y, flat = maximum(op, rank, x, size, True, None, None, None)

    def backward(dy):
        dx = check.empty(shape, dtype, op, zeros=True)
        if dy.size:
            scatter(dy, flat, dx, None, op)
        return dx

    return y, backward
