"""Pooling of any rank on plain arrays: check, plan, allocate, run. The public faces are in pool.py."""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod

import numpy as np

from convkit._core import cpu
from convkit._core import pool as core
from convkit._core.call import Calls
from convkit.ops import act, check, direct, pool_stages
from convkit.plan import geometry
from convkit.plan import pool as plan

COMPARED = (*check.FLOATS, *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)), np.dtype(bool))
CALLS = Calls(32)                                       # the last ones: the layers of a network


def _plan(op: str, x_shape, kernel_size, stride, padding, dilation, ceil_mode) -> plan.Pool:
    """The checked pooling of a channels-last shape."""
    rank = len(x_shape) - 2
    kernel = geometry.sizes(kernel_size, rank, op, "kernel_size")
    return check.planned(
        op,
        plan.pool,
        tuple(x_shape),
        kernel,
        kernel if stride is None else geometry.sizes(stride, rank, op, "stride"),
        geometry.padding_of(padding, rank, op),
        geometry.sizes(dilation, rank, op, "dilation"),
        check.flag(ceil_mode, op, "ceil_mode"),
    )


def _workers(threads, pool: plan.Pool, op: str) -> int:
    serial = pool.reads <= plan.SERIAL_READS
    if serial and threads is None:
        return 1
    count = cpu.thread_count(threads, op)[0]
    return 1 if serial else count


def _walk(
    op: int, pool: plan.Pool, source, target, threads: int, *, count=core.ONE, labels=None, flat=None, spread=None, sums=None,
    rectified=False,
):  # fmt: skip
    """One pass of the core over checked arrays, channels last in the caller's rank."""
    piece, panel = pool.backward_tasks if op == core.COVER else pool.forward_tasks
    kind = source.dtype.kind
    source = check.readable(source)
    core.walk(op, count, pool.core, piece, panel, kind, source, target, labels, flat, spread, threads, sums, rectified)


def _keep(inputs, shape, how: tuple, first: bool, pool: plan.Pool, work, walk: tuple[int, int] | None) -> None:
    """Remembers a call that has passed all checks; `how` are its arguments, op to threads.

    `walk` is what one walk is told that does it all, op and count, or None: then it is work(*inputs, y, threads).
    """
    if first or 0 in shape or not inputs[0].size:
        return
    op, threads, dtype, serial = how[0], how[-1], inputs[0].dtype, pool.reads <= plan.SERIAL_READS
    new = check.maker(shape, dtype)

    def run(arrays, out):
        y = new() if out is None else out
        work(*arrays, y, 1 if serial else cpu.thread_count(threads, op)[0])
        return y

    bound = None if walk is None else _bound(pool, *walk, dtype, 0 if serial else threads)
    CALLS.keep(inputs, shape, how, bound or run, new=new)


def _bound(pool: plan.Pool, op: int, count: int, dtype: np.dtype, threads: int | None) -> core.Bound:
    shapes = [check.lifted_shape(shape) for shape in (pool.x_shape, pool.out_shape)]
    tasks = pool.backward_tasks if op == core.COVER else pool.forward_tasks
    ends = reversed(shapes) if op == core.COVER else shapes
    return core.Bound(op, count, pool.core, *tasks, dtype.kind, dtype.itemsize, *ends, threads)


def bind(
    op: str, what: int, count: int, x_shape, kernel_size, stride, padding, dilation, ceil_mode, dtype
) -> core.Bound | None:  # fmt: skip
    """A forward pass on contiguous floats, channels last, checked and planned once; None if it is made in stages."""
    pool = _plan(op, x_shape, kernel_size, stride, padding, dilation, ceil_mode)
    if pool.in_stages:
        return None
    return _bound(pool, what, count, dtype, cpu.thread_count(None, op)[0] if pool.reads > plan.SERIAL_READS else 0)


def max_pool(op, rank, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads):
    how = op, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, threads
    y = CALLS.again((x,), out, how)
    if y is not None:
        return y
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x", COMPARED), rank, first, op)
    pool = _plan(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = check.flag(return_indices, op, "return_indices")
    threads = _workers(threads, pool, op)
    y = check.result(out, pool.out_shape, x.dtype, first, (x,), op)
    flat = check.empty(pool.out_shape, np.int64, op) if with_indices else None
    if not with_indices:
        walk = None if pool.in_stages else (core.MAX, core.ONE)
        _keep((x,), pool.out_shape, how, first, pool, partial(_maxima, pool), walk)
    if y.size and with_indices:
        _walk(core.MAX_FLAT, pool, x, y, threads, flat=flat)
    elif y.size:
        _maxima(pool, x, y, threads)
    y = check.returned(y, out, first)
    return (y, check.returned(flat, None, first)) if with_indices else y


def _maxima(pool: plan.Pool, x, y, threads: int) -> None:
    if pool.in_stages:
        pool_stages.forward(core.MAX, pool, x, y, threads)
    else:
        _walk(core.MAX, pool, x, y, threads)


def max_pool_grad(op, rank, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads):
    how = op, kernel_size, stride, padding, dilation, ceil_mode, layout, threads
    dx = CALLS.again((dy, x), None, how)
    if dx is not None:
        return dx
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    pool = _plan(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    dy = _gradient(op, rank, dy, pool, first)
    check.same_dtype(op, dy=dy, x=x)
    threads = _workers(threads, pool, op)
    if pool.labelled or pool.labelled_stages:
        dx = check.empty(pool.x_shape, x.dtype, op)
        walk = (core.SPREAD, core.ONE) if pool.tiles else None
        _keep((dy, x), pool.x_shape, how, first, pool, partial(_find_and_spread, pool), walk)
        if dx.size:
            _find_and_spread(pool, dy, x, dx, threads)
        return check.returned(dx, None, first)
    y, flat = np.empty(pool.out_shape, x.dtype), np.empty(pool.out_shape, np.int64)
    if y.size:
        _walk(core.MAX_FLAT, pool, x, y, threads, flat=flat)
    return check.returned(_scatter(op, pool.x_shape, dy, flat, threads), None, first)


def _scatter(op: str, x_shape: tuple[int, ...], dy, flat: np.ndarray, threads: int) -> np.ndarray:
    """dx of a maximum: each dy where its flat index says."""
    dx = check.empty(x_shape, dy.dtype, op, zeros=True)
    if dx.size:
        lines = (a.reshape(a.shape[0], -1, a.shape[-1]) for a in (np.ascontiguousarray(dy), flat, dx))
        core.scatter(*lines, plan.PANEL, threads)
    return dx


def spread_by_indices(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """dx of a maximum, channels last, by the indices that the same maximum returned."""
    return _scatter("max_pool_grad", x_shape, dy, indices, cpu.thread_count(None, "max_pool_grad")[0])


def _find_and_spread(pool: plan.Pool, dy, x, dx, threads: int) -> None:
    if pool.tiles:
        _walk(core.SPREAD, pool, np.ascontiguousarray(x), check.readable(dy), threads, spread=dx)
        return
    if pool.labelled_stages:
        marks = pool_stages.new_labels(pool)
        pool_stages.forward(core.MAX, pool, x, None, threads, marks)
        pool_stages.backward(pool, dy, dx, threads, marks)
        return
    labels = np.empty(pool.out_shape, np.uint8)
    _walk(core.MAX, pool, x, None, threads, labels=labels)
    _walk(core.COVER, pool, np.ascontiguousarray(dy), dx, threads, labels=labels)


_plan_of_layer = lru_cache(64)(_plan)                   # whose arguments are known to be good


def max_pool_in_training(op, rank, x, kernel_size, stride, padding, dilation, ceil_mode, of_relu=False):
    """max_pool, channels last, and a function dy -> dx: it keeps where each maximum was, not x.

    That is a byte an output, its place in the window, or, where that may not do, its place in the image in as few as hold it.
    If x is the result of a ReLU, the function is dy -> dx, db: the gradient before the ReLU, and its sum for each channel.
    """
    x = check.images(check.array(x, op, "x"), rank, False, op)
    pool = _plan_of_layer(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y = check.empty(pool.out_shape, x.dtype, op)
    if pool.labelled_stages:
        spread = _in_stages(op, rank, pool, x, y)
        return y, _rectified(op, y, spread) if of_relu else spread
    labels = np.empty(pool.out_shape, np.uint8 if pool.labelled else np.int64)
    at_once = of_relu and pool.tiles
    if y.size:
        where = {"labels" if pool.labelled else "flat": labels, "rectified": at_once}
        _walk(core.MAX if pool.labelled else core.MAX_FLAT, pool, x, y, _workers(None, pool, op), **where)
    if not pool.labelled:
        labels = (labels + 1).astype(np.min_scalar_type(prod(pool.x_shape[1:-1])))          # 0 is none

    def backward(dy):
        dy = _gradient(op, rank, dy, pool, False)
        check.same_dtype(op, dy=dy, y=y)
        if pool.tiles:
            return _place(op, pool, dy, labels, at_once)
        if pool.labelled:
            return _spread(op, pool, dy, labels, _workers(None, pool, op))
        return _scatter(op, pool.x_shape, dy, labels.astype(np.int64) - 1, _workers(None, pool, op))

    return y, _rectified(op, y, backward) if of_relu and not at_once else backward


def _rectified(op: str, y, spread):
    """dy -> dx, db, where x was the result of a ReLU: the zeros of its gradient are those of the few numbers of dy."""

    def backward(dy):
        dy = act.relu_grad(dy, y)
        return spread(dy), direct.grad_bias(dy, cpu.thread_count(None, op)[0])

    return backward


def _place(op: str, pool: plan.Pool, dy, labels, summed: bool):
    """dx of maxima of windows that tile x, each dy where its label says; with `summed`, db too."""
    dx, threads = check.empty(pool.x_shape, dy.dtype, op), _workers(None, pool, op)
    sums = np.zeros((*pool.pieces, pool.channels), dy.dtype) if summed else None
    if dx.size:
        _walk(core.SPREAD, pool, dx, np.ascontiguousarray(dy), threads, labels=labels, spread=dx, sums=sums)
    return (dx, direct.grad_bias(sums, threads)) if summed else dx


def _in_stages(op: str, rank: int, pool: plan.Pool, x, y):
    """Fills y, and dy -> dx."""
    marks = pool_stages.new_labels(pool)
    if y.size:
        pool_stages.forward(core.MAX, pool, x, y, _workers(None, pool, op), marks)

    def backward(dy):
        dy = _gradient(op, rank, dy, pool, False)
        check.same_dtype(op, dy=dy, y=y)
        dx = check.empty(pool.x_shape, dy.dtype, op)
        if dx.size:
            pool_stages.backward(pool, dy, dx, _workers(None, pool, op), marks)
        return dx

    return backward


def _spread(op: str, pool: plan.Pool, dy, labels, threads: int) -> np.ndarray:
    """dx of a maximum: each dy where its label says."""
    dx = check.empty(pool.x_shape, dy.dtype, op)
    if dx.size:
        _walk(core.COVER, pool, np.ascontiguousarray(dy), dx, threads, labels=labels)
    return dx


def avg_pool(op, rank, x, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, out, threads):
    how = op, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
    y = CALLS.again((x,), out, how)
    if y is not None:
        return y
    first = check.channels_first(layout, rank, op)
    x = check.images(check.array(x, op, "x"), rank, first, op)
    pool = _plan(op, x.shape, kernel_size, stride, padding, 1, ceil_mode)
    count = _count(op, count_include_pad)
    threads = _workers(threads, pool, op)
    y = check.result(out, pool.out_shape, x.dtype, first, (x,), op)
    walk = None if pool.in_stages else (core.SUM, count)
    _keep((x,), pool.out_shape, how, first, pool, partial(_means, pool, count), walk)
    if y.size:
        _means(pool, count, x, y, threads)
    return check.returned(y, out, first)


def _means(pool: plan.Pool, count: int, x, y, threads: int) -> None:
    if pool.in_stages:
        pool_stages.forward(core.SUM, pool, x, y, threads)
        _walk(core.SHARE, pool, y, y, threads, count=count)
    else:
        _walk(core.SUM, pool, x, y, threads, count=count)


def avg_pool_grad(op, rank, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads):
    how = op, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
    dx = CALLS.again((dy,), None, how)
    if dx is not None:
        return dx
    first = check.channels_first(layout, rank, op)
    x_shape = check.shape_of(x_shape, op, "x_shape")
    if len(x_shape) != rank + 2:
        wanted = check.axes_text(check.LAYOUTS[rank][first])
        raise ValueError(f"{op}: x_shape must have {rank + 2} sizes {wanted}, got {x_shape}")
    x_shape = (x_shape[0], *x_shape[2:], x_shape[1]) if first else x_shape
    pool = _plan(op, x_shape, kernel_size, stride, padding, 1, ceil_mode)
    count = _count(op, count_include_pad)
    dy = _gradient(op, rank, dy, pool, first)
    threads = _workers(threads, pool, op)
    dx = check.empty(pool.x_shape, dy.dtype, op)
    walk = None if _shares(pool) or pool.in_stages else (core.COVER, count)
    _keep((dy,), pool.x_shape, how, first, pool, partial(_share_and_cover, pool, count), walk)
    if dx.size:
        _share_and_cover(pool, count, dy, dx, threads)
    return check.returned(dx, None, first)


def _shares(pool: plan.Pool) -> bool:
    """Whether each dy is divided before it is spread: few divisions, not one a pixel."""
    return not pool.apart or prod(window.kernel for window in pool.windows) >= 9


def _share_and_cover(pool: plan.Pool, count: int, dy, dx, threads: int) -> None:
    if _shares(pool):
        shares = np.empty(pool.out_shape, dy.dtype)
        _walk(core.SHARE, pool, dy, shares, threads, count=count)
        dy, count = shares, core.ONE
    if pool.in_stages:
        pool_stages.backward(pool, dy, dx, threads)
        return
    _walk(core.COVER, pool, dy, dx, threads, count=count)


def _count(op: str, count_include_pad):
    return core.PADDED if check.flag(count_include_pad, op, "count_include_pad") else core.INSIDE


def _gradient(op: str, rank: int, dy, pool: plan.Pool, first: bool) -> np.ndarray:
    dy, wanted = check.array(dy, op, "dy"), check.named(pool.out_shape, first)
    if dy.shape != wanted:
        raise ValueError(f"{op}: dy must have the shape of the output {wanted}, got {dy.shape}")
    return check.images(dy, rank, first, op, "dy")
