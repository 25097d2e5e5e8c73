"""Runs a pass of a convolution on checked arrays by the algorithm that the plan chose: one place knows them all.

The module of an algorithm has up to three functions, which fill arrays that have at least one element:

forward(conv, x, packed, b, y, relu, threads)
grad_input(conv, dy, packed, dx, threads)
grad_filters(conv, dy, x, dw, threads)

All arrays are channels last, of any strides; the module calls `check.readable` where it needs neighbouring channels.
"""

from __future__ import annotations

import numpy as np

from convkit._core import cpu
from convkit.ops import check, direct, few, first
from convkit.plan import choose

MODULES = {"first": first, "few": few, "direct": direct}


def module(conv, which: str, algorithm: str, itemsize: int, op: str):
    """What runs a pass; an algorithm that cannot is an error."""
    return MODULES[check.planned(op, choose.algorithm, conv, which, algorithm, itemsize, cpu.strict())]


def forward(runs, conv, x, packed, b, y, relu: bool, threads: int) -> None:
    if y.size and conv.channels:
        runs.forward(conv, x, packed, b, y, relu, threads)
    elif y.size:
        y[...] = 0 if b is None else np.maximum(b, 0) if relu else b


def grad_input(runs, conv, dy, packed, threads: int, op: str) -> np.ndarray:
    dx = check.empty(conv.x_shape, dy.dtype, op)
    if dx.size and dy.size:
        runs.grad_input(conv, dy, packed, dx, threads)
    elif dx.size:
        dx[...] = 0
    return dx


def grad_filters(runs, conv, dy, x, threads: int, op: str) -> np.ndarray:
    dw = check.empty(conv.w_shape, dy.dtype, op, zeros=True)
    if dw.size and dy.size and x.size:
        runs.grad_filters(conv, dy, x, dw, threads)
    return dw
