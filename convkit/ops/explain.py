"""What a call would do, before it does it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convkit._core import cpu
from convkit.ops import check, conv
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


def explain(op: str, x, w, *, threads: int | None = None, dtype=np.float32, layout: str | None = None, **how) -> Explanation:
    """Says which algorithm, tile, threads, memory and work a convolution will use, without running it.

    Parameters
    ----------
    op : "conv1d", "conv2d", "conv3d"
        The function that would be called.
    x, w : array_like or sequence of ints
        Its arguments, or only their shapes.
    threads : int, optional
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
    ('direct', (8, 56, 56, 64), 1849688064)
    """
    check.choice(op, ("conv1d", "conv2d", "conv3d"), "explain", "op")
    dtype = np.dtype(getattr(x, "dtype", dtype))
    if dtype not in check.FLOATS:
        raise TypeError(f"explain: dtype must be float32 or float64, got {dtype}")
    first, x_shape, w_shape = check.shapes(getattr(x, "shape", x), getattr(w, "shape", w), layout, "explain")
    if op != f"conv{len(x_shape) - 2}d":
        raise ValueError(f"explain: {op} takes a {int(op[4]) + 2}-D x, got {len(x_shape)} sizes")
    planned = conv.planned(op, x_shape, w_shape, **how)
    count, reason = cpu.thread_count(threads)
    if planned.flop <= conv.SERIAL_FLOP and count > 1:
        count, reason = 1, "too little work to share"
    return _of(op, planned, dtype.itemsize, count, reason, first)


def _of(op: str, planned: plan.Conv, itemsize: int, threads: int, reason: str, first: bool) -> Explanation:
    name = choose.algorithm(planned, "forward", "auto", itemsize, cpu.strict())
    schedule, cols, why = SCHEDULES[name](planned, itemsize)
    tasks = schedule.tasks(threads) if name == "few" else schedule.tasks
    vector, vecs, rows = cpu.tile(itemsize)
    words = -(-cols // vector)
    panels = max(1, -(-words // vecs))
    widest = max(1, -(-words // panels))
    return Explanation(
        op=op,
        algorithm=name,
        why=why,
        isa=cpu.isa(),
        tile=f"{rows[widest]}x{widest * vector}",
        tasks=tasks,
        threads=threads,
        threads_why=reason,
        flop=planned.flop,
        packed_bytes=schedule.packed * itemsize,
        scratch_bytes=threads * schedule.scratch * itemsize,
        out_shape=check.named(planned.out_shape, first),
    )


# By algorithm: the forward pass cut into tasks, the columns of its products, and what it does.
SCHEDULES = {
    "direct": lambda c, size: (c.output_pass.schedule(size), c.output_pass.cols, "register tiles over pointers to the input"),
    "first": lambda c, size: (c.output_pass.lines(size), c.outputs, "few input channels: a row of the filter is read as one"),
    "few": lambda c, size: (
        c.windows_over("forward", size),
        c.outputs * c.axes[1].kernel * c.axes[2].kernel,
        "few outputs: every pixel times all taps at once",
    ),
}
