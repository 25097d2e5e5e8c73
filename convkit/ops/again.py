"""A convolution that was made before, with arguments like these: no need to check and plan it again."""

from __future__ import annotations

from convkit._core import cpu
from convkit._core.call import Calls
from convkit.ops import check
from convkit.ops.filters import PackedFilters
from convkit.plan.conv import SERIAL_FLOP

# With filters that are packed at each call, since they may have changed.
PLAIN, GRADIENTS = Calls(64), Calls(64)


def keep(x, w, b, how: tuple, conv, runs, packed: PackedFilters) -> None:
    """Remembers a call on channels-last arrays that has passed all checks; `how` are the other arguments, op to flip."""
    if 0 in (*x.shape, *conv.out_shape):
        return
    op, groups, activation, threads, flip = how[0], how[4], how[6], how[8], how[10]
    shape, dtype, relu, serial = conv.out_shape, x.dtype, activation == "relu", conv.flop <= SERIAL_FLOP

    def run(x, b, filters, out):
        y = check.empty(shape, dtype, op) if out is None else out
        runs.forward(conv, x, filters, b, y, relu, 1 if serial else cpu.thread_count(threads, op)[0])
        return y

    if type(w) is PackedFilters:
        small = runs.small_call(conv, packed, relu) if serial and hasattr(runs, "small_call") else None
        w.calls.keep((x, b), shape, how, small or (lambda arrays, out: run(*arrays, packed, out)), w.w)
    elif not flip:
        PLAIN.keep((x, b, w), shape, how, lambda a, out: run(a[0], a[1], PackedFilters(a[2], groups, keeps=False), out))
