"""Runs a pass of a convolution on checked arrays by the algorithm that the plan chose: one place knows them all.

The module of an algorithm has these functions, which fill arrays that have at least one element:

forward(conv, x, packed, b, y, relu, threads, residual=None)
grad_input(conv, dy, packed, dx, threads)
grad_filters(conv, dy, x, dw, threads)              dw is zero, unless the module says FILLS
transposed(conv, x, packed, b, y, relu, threads)    optional: grad_input with what follows it in a transposed convolution

`residual` is added before ReLU; it has the strides of y, and may be y itself unless the module says KEEPS: what it computes may
have to be computed again. A module with ADDS_LATER does not take one.

All arrays are channels last, of any strides; the module calls `check.readable` where it needs neighbouring channels.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from convkit._core import cpu
from convkit.ops import check
from convkit.plan import choose


@cache
def modules() -> dict[str, Any]:
    """What runs the algorithms, by their names; imported for the first convolution, as in plan/choose.py."""
    from convkit.ops import depthwise, direct, few, fft, first, grouped, lowering, winograd

    return {
        "depthwise": depthwise,
        "grouped": grouped,
        "first": first,
        "few": few,
        "winograd": winograd.WINOGRAD,
        "winograd2": winograd.WINOGRAD2,
        "fft": fft,
        "direct": direct,
        "im2col": lowering,
    }


def module(conv, which: str, algorithm: str, itemsize: int, op: str):
    """What runs a pass; an algorithm that cannot is an error."""
    return modules()[check.planned(op, choose.algorithm, conv, which, algorithm, itemsize, cpu.strict())]


def forward(runs, conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    if residual is not None and not (conv.channels and y.size and fuses(runs, y, residual)):
        forward(runs, conv, x, packed, b, y, False, threads)
        add(y, residual, relu)
    elif residual is not None:
        if residual.strides != y.strides:
            y[...] = residual
            residual = y
        runs.forward(conv, x, packed, b, y, relu, threads, residual)
    elif y.size and conv.channels:
        runs.forward(conv, x, packed, b, y, relu, threads)
    elif y.size:
        y[...] = of_nothing(b, relu)


def fuses(runs, y, residual) -> bool:
    return not hasattr(runs, "ADDS_LATER") and (residual.strides == y.strides or not hasattr(runs, "KEEPS"))


def add(y, residual, relu: bool) -> None:
    """The residual of an algorithm that cannot add it on the way."""
    with np.errstate(all="ignore"):
        y += residual
        if relu:
            np.maximum(y, 0, out=y)


def transposed(runs, conv, x, packed, b, y, relu: bool, threads: int) -> None:
    """y, the input of `conv`, from x, its output."""
    if y.size and x.size and hasattr(runs, "transposed"):
        runs.transposed(conv, x, packed, b, y, relu, threads)
    elif y.size and x.size:
        runs.grad_input(conv, x, packed, y, threads)
        if b is not None:
            y += b
        if relu:
            np.maximum(y, 0, out=y)
    elif y.size:
        y[...] = of_nothing(b, relu)


def of_nothing(b, relu: bool):
    """The result where nothing is summed."""
    return 0 if b is None else np.maximum(b, 0) if relu else b


def grad_input(runs, conv, dy, packed, threads: int, op: str) -> np.ndarray:
    dx = check.empty(conv.x_shape, dy.dtype, op)
    if dx.size and dy.size:
        runs.grad_input(conv, dy, packed, dx, threads)
    elif dx.size:
        dx[...] = 0
    return dx


def grad_filters(runs, conv, dy, x, threads: int, op: str) -> np.ndarray:
    some = dy.size and x.size
    dw = check.empty(conv.w_shape, dy.dtype, op, zeros=not (some and getattr(runs, "FILLS", False)))
    if dw.size and some:
        runs.grad_filters(conv, dy, x, dw, threads)
    return dw
