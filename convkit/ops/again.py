"""A convolution that was made before, with arguments like these: no need to check and plan it again."""

from __future__ import annotations

from convkit._core import cpu
from convkit._core.call import Calls
from convkit.ops import check, direct, engine
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


def keep_grad(arrays: tuple, how: tuple, conv, modules: dict, packed: PackedFilters) -> None:
    """Remembers a call for gradients: of `arrays`, dy, x and w, by the module of each pass in the order of the results."""
    if 0 in (*conv.x_shape, *conv.out_shape):
        return
    op, groups, threads, bias = how[0], how[4], how[8], "b" in how[6]
    serial, plain = conv.flop <= SERIAL_FLOP, type(arrays[-1]) is not PackedFilters
    by_input, by_filters = modules.get("input"), modules.get("filters")

    def run(arrays, out):
        dy, x = arrays[:2]
        count = 1 if serial else cpu.thread_count(threads, op)[0]
        filters = PackedFilters(arrays[2], groups, keeps=False) if plain else packed
        dx = None if by_input is None else engine.grad_input(by_input, conv, dy, filters, count, op)
        dw = None if by_filters is None else engine.grad_filters(by_filters, conv, dy, x, count, op)
        return dx, dw, direct.grad_bias(dy, count) if bias else None

    if plain:
        GRADIENTS.keep(arrays, conv.x_shape, how, run)
    else:
        arrays[-1].calls.keep(arrays[:2], conv.x_shape, how, run)
