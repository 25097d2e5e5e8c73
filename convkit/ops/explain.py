"""What a call would do, before it does it."""

from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from convkit._core import cpu
from convkit.ops import check, conv, engine
from convkit.plan import choose
from convkit.plan import conv as plan


class Explanation(NamedTuple):
    """How one call runs; printed, it says so in words."""

    op: str
    algorithm: str
    why: str
    isa: str
    tile: str                                           # register tile: rows x columns
    tasks: int                                          # pieces of work that the threads share out
    threads: int
    threads_why: str
    flop: int                                           # multiply-adds times two, taps in the padding included
    packed_bytes: int                                   # packed filters
    scratch_bytes: int                                  # besides them, for all threads together
    out_shape: tuple[int, ...]

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.op} -> {self.out_shape}",
                f"  algorithm  {self.algorithm} ({self.why})",
                f"  tile       {self.tile} on {self.isa}, {self.tasks} tasks",
                f"  threads    {self.threads} ({self.threads_why})",
                f"  work       {self.flop / 1e6:,.2f} MFLOP",
                f"  memory     {self.packed_bytes / 1024:,.1f} KiB packed, {self.scratch_bytes / 1024:,.1f} KiB scratch",
            )
        )


def explain(
    op: str,
    x,
    w,
    *,
    algorithm: str = "auto",
    threads: int | None = None,
    dtype=np.float32,
    layout: str | None = None,
    **how,
) -> Explanation:
    """Says which algorithm, tile, threads, memory and work a convolution will use, without running it.

    Parameters
    ----------
    op : "conv1d", "conv2d", "conv3d"
        The function that would be called.
    x, w : array_like or sequence of ints
        Its arguments, or only their shapes.
    algorithm, threads
        As for the function.
    dtype : dtype
        Where `x` is a shape: float32 or float64.
    layout, **how
        As for the function: stride, padding, dilation, groups.

    Returns
    -------
    Explanation
        ``print`` it, or read its fields.

    Raises
    ------
    TypeError, ValueError
        As the function itself.

    Examples
    --------
    >>> import convkit
    >>> plan = convkit.explain("conv2d", (8, 56, 56, 64), (64, 3, 3, 64), padding=1)
    >>> plan.algorithm, plan.out_shape, plan.flop
    ('winograd', (8, 56, 56, 64), 1849688064)
    """
    check.choice(op, ("conv1d", "conv2d", "conv3d"), "explain", "op")
    dtype = np.dtype(getattr(x, "dtype", dtype))
    if dtype not in check.FLOATS:
        raise TypeError(f"explain: dtype must be float32 or float64, got {dtype}")
    first, x_shape, w_shape = check.shapes(getattr(x, "shape", x), getattr(w, "shape", w), layout, "explain")
    if op != f"conv{len(x_shape) - 2}d":
        raise ValueError(f"explain: {op} takes a {int(op[4]) + 2}-D x, got {len(x_shape)} sizes")
    check.choice(algorithm, conv.ALGORITHMS, "explain", "algorithm")
    planned = conv.planned(op, x_shape, w_shape, **how)
    name = check.planned("explain", choose.algorithm, planned, "forward", algorithm, dtype.itemsize, cpu.strict())
    count, reason = cpu.thread_count(threads)
    if planned.flop <= conv.SERIAL_FLOP and count > 1:
        count, reason = 1, "too little work to share"
    return Explanation(
        op=op,
        algorithm=name,
        isa=cpu.isa(),
        threads=count,
        threads_why=reason,
        flop=planned.flop,
        out_shape=check.named(planned.out_shape, first),
        **ABOUT[name](planned, dtype.itemsize, count),
    )


def told(why: str, itemsize: int, tasks: int, packed: int, scratch: int = 0, cols: int | None = None, tile: str = "") -> dict:
    """Fields of an Explanation; packed and scratch are in elements, `cols` the columns of the products."""
    vector, vecs, rows = cpu.tile(itemsize)
    if cols is not None:
        words = -(-cols // vector)
        widest = -(-words // max(1, -(-words // vecs)))
        tile = f"{rows[widest]}x{widest * vector}"
    return {"why": why, "tile": tile, "tasks": tasks, "packed_bytes": packed * itemsize, "scratch_bytes": scratch * itemsize}


def direct(c: plan.Conv, size: int, threads: int) -> dict:
    schedule = c.output_pass.schedule(size)
    return told("register tiles over pointers to the input", size, schedule.tasks, schedule.packed, cols=c.output_pass.cols)


def first(c: plan.Conv, size: int, threads: int) -> dict:
    lines = c.output_pass.lines(size)
    why = "few input channels: a row of the filter is read as one"
    return told(why, size, lines.tasks, lines.packed, threads * lines.scratch, c.outputs)


def few(c: plan.Conv, size: int, threads: int) -> dict:
    windows = c.windows_over("forward", size)
    why, cols = "few outputs: every pixel times all taps at once", c.outputs * c.axes[1].kernel * c.axes[2].kernel
    return told(why, size, windows.tasks(threads), windows.packed, threads * windows.scratch, cols)


def depthwise(c: plan.Conv, size: int, threads: int) -> dict:
    schedule = choose.modules()["depthwise"].schedule(c, "forward", cpu.isa(), size)
    return told("channels that never mix", size, schedule.tasks, schedule.packed, tile=f"8x{cpu.tile(size)[0]}")


def grouped(c: plan.Conv, size: int, threads: int) -> dict:
    schedule = choose.modules()["grouped"].schedule(c.output_pass, size, False)
    tile = f"{cpu.tile(size)[2][1]}x{cpu.tile(size)[0]}"
    return told("small groups share a SIMD word", size, schedule.tasks, schedule.packed, tile=tile)


def winograd(c: plan.Conv, size: int, threads: int, small: bool = False) -> dict:
    walk = choose.modules()["winograd"].plan(c, "forward", small)
    layout = walk.layout(size)
    why = f"tiles of up to {'2' if small else '4'} outputs an axis by fewer products"
    return told(why, size, layout.tasks, layout.packed, threads * layout.scratch, walk.cols)


def im2col(c: plan.Conv, size: int, threads: int) -> dict:
    block = min(engine.modules()["im2col"].block_pixels(c, size), prod(c.out_shape[:-1])) * prod(c.w_shape[1:]) * c.groups
    vector = cpu.tile(size)[0]
    packed = c.groups * prod(c.w_shape[1:]) * -(-c.output_pass.cols // vector) * vector
    return told("windows lowered to a matrix, block by block", size, 1, packed, block, c.output_pass.cols)


# By algorithm: what it does, how its work is cut, and the memory that it takes.
ABOUT = {
    "direct": direct,
    "first": first,
    "few": few,
    "depthwise": depthwise,
    "grouped": grouped,
    "winograd": winograd,
    "winograd2": partial(winograd, small=True),
    "fft": lambda c, size, threads: choose.modules()["fft"].about(c, "forward"),
    "im2col": im2col,
}
