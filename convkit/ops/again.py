"""A convolution with packed filters that was made before, with arguments like these: no need to check and plan it again."""

from __future__ import annotations

from convkit._core import cpu
from convkit.ops import check
from convkit.ops.filters import PackedFilters
from convkit.plan.conv import SERIAL_FLOP


def keep(w, x, b, how: tuple, conv, runs, packed: PackedFilters) -> None:
    """Remembers a call on channels-last arrays that has passed all checks: `how` are its arguments, op to flip."""
    if type(w) is not PackedFilters or 0 in (*x.shape, *conv.out_shape):
        return
    op, activation, threads = how[0], how[6], how[8]
    shape, dtype, relu, serial = conv.out_shape, x.dtype, activation == "relu", conv.flop <= SERIAL_FLOP
    small = runs.small_call(conv, packed, relu) if serial and hasattr(runs, "small_call") else None

    def run(arrays, out):
        x, b = arrays
        y = check.empty(shape, dtype, op) if out is None else out
        runs.forward(conv, x, packed, b, y, relu, 1 if serial else cpu.thread_count(threads, op)[0])
        return y

    w.calls.keep((x, b), shape, how, small or run, w.w)
