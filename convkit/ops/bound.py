"""Passes on contiguous arrays whose sizes are known beforehand, as steps of a program: checked and planned once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convkit._core import cpu
from convkit._core.call import Fast
from convkit.ops import conv, engine, pooling
from convkit.ops.filters import PackedFilters
from convkit.plan.conv import SERIAL_FLOP

Bound = tuple[Fast, "Callable | None"]                  # and (x, residual, y), which does the same where the first cannot


def convolution(op: str, x_shape, packed: PackedFilters, b, how: dict, relu: int, dtype: np.dtype) -> Bound | None:
    """`conv` of channels-last x, and then ReLU, or ReLU6 where `relu` is 6; None where the algorithm has no such form."""
    how = dict(how)
    if how.pop("pad_mode", "constant") != "constant":
        return None
    planned = conv.planned(op, x_shape, packed.shape, **how)
    runs = engine.module(planned, "forward", "auto", dtype.itemsize, op)
    if not hasattr(runs, "bind") or 0 in (*planned.x_shape, *planned.out_shape):
        return None
    threads = cpu.thread_count(None, op)[0] if planned.work > SERIAL_FLOP else 0
    if relu == 6 and not hasattr(runs, "CLIPS"):
        return None
    fast = runs.bind(planned, packed, relu, threads)

    def plainly(x, residual, y):
        x, y = x.reshape(planned.x_shape), y.reshape(planned.out_shape)
        residual = None if residual is None else residual.reshape(planned.out_shape)
        engine.forward(runs, planned, x, packed, b, y, relu == 1, threads or 1, residual)

    return None if fast is None else (fast, plainly)


def max_pool(op: str, x_shape, kernel_size, how: dict, dtype: np.dtype) -> Bound | None:
    """The largest of each window, channels last; None for windows that are pooled in stages."""
    windows = kernel_size, *(how[name] for name in ("stride", "padding", "dilation", "ceil_mode"))
    fast = pooling.bind(op, pooling.core.MAX, pooling.core.ONE, x_shape, *windows, dtype)
    return None if fast is None else (fast, None)


def avg_pool(op: str, x_shape, kernel_size, how: dict, dtype: np.dtype) -> Bound | None:
    """The mean of each window, channels last; None as `max_pool`."""
    count = pooling.core.PADDED if how["count_include_pad"] else pooling.core.INSIDE
    windows = kernel_size, how["stride"], how["padding"], 1, how["ceil_mode"]
    fast = pooling.bind(op, pooling.core.SUM, count, x_shape, *windows, dtype)
    return None if fast is None else (fast, None)


def global_avg_pool(op: str, x_shape, dtype: np.dtype) -> Bound | None:
    """The mean of each channel."""
    how = {"stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
    return avg_pool(op, x_shape, x_shape[1:-1], how, dtype)
