"""A convolution that was made before, with arguments like these: no need to check and plan it again."""

from __future__ import annotations

from weakref import ref

from convkit._core import cpu
from convkit._core.call import Calls, Fast, through
from convkit.ops import check, direct, scratch
from convkit.ops.filters import PackedFilters
from convkit.plan.conv import SERIAL_FLOP

# With filters that are packed at each call, since they may have changed.
PLAIN, GRADIENTS = Calls(64), Calls(64)


def keep(x, w, b, how: tuple, conv, runs, packed: PackedFilters) -> None:
    """Remembers a call on channels-last arrays that has passed all checks; `how` are the other arguments, op to flip."""
    if 0 in (*x.shape, *conv.out_shape):
        return
    op, groups, activation, threads, flip = how[0], how[4], how[6], how[8], how[10]
    shape, dtype, relu, serial = conv.out_shape, x.dtype, activation == "relu", conv.work <= SERIAL_FLOP
    new, small, simple = check.maker(shape, dtype), None, serial and _simple(conv, runs)

    def run(x, b, filters, out, bound=None):
        y = new() if out is None else out
        count = 1 if serial else cpu.thread_count(threads, op)[0]
        if bound is None or not bound(count, x, b, y):
            runs.forward(conv, x, filters, b, y, relu, count)
        return y

    if type(w) is PackedFilters:
        if simple is direct:
            small = direct.bind(conv, packed, relu, 0)
        packs = ref(packed)                             # they hold their calls: a cycle would wait for the garbage collector
        bound = _Bound(conv, runs, packs, relu, op)
        w.calls.keep((x, b), shape, how, small or (lambda arrays, out: run(*arrays, packs(), out, bound)), w.w)
    elif not flip:
        if simple:
            small = simple.bind_plain(conv, relu, dtype.itemsize, 0)
        anew = small or (lambda a, out: run(a[0], a[1], PackedFilters(a[2], groups, keeps=False), out))
        PLAIN.keep((x, b, w), shape, how, anew)


def _simple(conv, runs):
    """What runs small calls, if it has a form for them: what lines (`first`, of the bits of `direct`) gain, they lose."""
    from convkit.ops import first

    if runs is first and conv.flop < first.LINES:
        return direct
    return runs if hasattr(runs, "bind_plain") else None


class _Bound:
    """The forward pass of an algorithm on arrays of known sizes, for each number of threads that it was called with."""

    def __init__(self, conv, runs, packs: ref[PackedFilters], relu: bool, op: str):
        self.conv, self.runs, self.packs, self.relu, self.op = conv, runs, packs, relu, op
        self.kept: dict[int, Fast] = {}

    def __call__(self, threads: int, x, b, y) -> bool:
        """Whether it is done; not where the algorithm has no such form, or the result is not finite."""
        fast = self.kept.get(threads)
        if fast is None:
            fast = self.runs.bind(self.conv, self.packs(), self.relu, threads) if hasattr(self.runs, "bind") else None
            if fast is None:
                return False
            self.kept[threads] = fast
        if not fast.room:
            return through(fast, x, b, y, None)
        room, mine = scratch.CALLS.take(self.op, fast.room)
        try:
            return through(fast, x, b, y, room)
        finally:
            if mine:
                scratch.CALLS.give_back()
