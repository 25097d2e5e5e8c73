"""Layers with few outputs on checked arrays."""

from __future__ import annotations

from convkit.ops import direct
from convkit.ops.first import LINES, run_lines, run_windows


def forward(conv, x, packed, b, y, relu: bool, threads: int, residual=None) -> None:
    if not run_windows(conv, "forward", x, packed, b, y, relu, threads, residual):
        direct.forward(conv, x, packed, b, y, relu, threads, residual)


def bind_input(conv, packed, itemsize: int, threads: int):
    """As that of direct.py, which has the same bits and is faster where lines are short."""
    return direct.bind_input(conv, packed, itemsize, threads) if conv.flop < LINES else None


def grad_input(conv, dy, packed, dx, threads: int) -> None:
    run_lines(conv.input_pass, dy, packed, None, dx, False, threads)
