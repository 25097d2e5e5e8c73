"""What a call would do, before it does it."""

from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from convkit._core import cpu
from convkit.ops import border, check, conv, engine, transpose
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
    op : "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"
        The function that would be called.
    x, w : array_like or sequence of ints
        Its arguments, or only their shapes.
    algorithm, threads
        As for the function.
    dtype : dtype
        Where `x` is a shape: float32 or float64.
    layout, **how
        As for the function: stride, padding, dilation, groups; pad_mode and flip, or output_padding of a transposed one.

    Returns
    -------
    Explanation
        ``print`` it, or read its fields. For a pad_mode that repeats pixels, `algorithm` and `tile` are those of the windows
        inside the image; tasks and memory count the windows over its border, too.

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
    >>> convkit.explain("conv_transpose2d", (8, 14, 14, 64), (64, 4, 4, 32), stride=2, padding=1).out_shape
    (8, 28, 28, 32)
    """
    check.choice(op, OPS, "explain", "op")
    dtype = np.dtype(getattr(x, "dtype", dtype))
    if dtype not in check.FLOATS:
        raise TypeError(f"explain: dtype must be float32 or float64, got {dtype}")
    first, x_shape, w_shape = check.shapes(getattr(x, "shape", x), getattr(w, "shape", w), layout, "explain")
    if int(op[-2]) != len(x_shape) - 2:
        raise ValueError(f"explain: {op} takes a {int(op[-2]) + 2}-D x, got {len(x_shape)} sizes")
    check.choice(algorithm, conv.ALGORITHMS, "explain", "algorithm")
    count, reason = cpu.thread_count(threads)
    read = transposed if op.startswith("conv_transpose") else plainly
    planned, which, parts = read(op, x_shape, w_shape, dtype.itemsize, **how)
    if planned.work <= conv.SERIAL_FLOP and count > 1:
        count, reason = 1, "too little work to share"
    name, about = told_of(parts or [(planned, 0)], which, algorithm, dtype.itemsize, count)
    return Explanation(
        op=op,
        algorithm=name,
        isa=cpu.isa(),
        threads=count,
        threads_why=reason,
        flop=planned.flop,
        out_shape=check.named(planned.out_shape if which == "forward" else planned.x_shape, first),
        **about,
    )


OPS = tuple(f"{name}{rank}d" for name in ("conv", "conv_transpose") for rank in (1, 2, 3))


def plainly(op: str, x_shape, w_shape, itemsize: int, pad_mode: str = "constant", flip: bool = False, **how):
    """The convolution, its pass, and the convolutions that it is cut into with the bytes that each copies."""
    planned = conv.planned(op, x_shape, w_shape, **how)
    check.flag(flip, "explain", "flip")
    if check.choice(pad_mode, border.MODES, "explain", "pad_mode") == "constant":
        return planned, "forward", []
    return planned, "forward", [
        (part.conv, prod(part.conv.x_shape) * itemsize if part.copies else 0)
        for part in border.cut(planned, pad_mode, itemsize, op)
    ]


def transposed(op: str, x_shape, w_shape, itemsize: int, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    return transpose.planned(op, x_shape, w_shape, stride, padding, output_padding, dilation, groups), "input", []


def told_of(parts: list, which: str, algorithm: str, itemsize: int, threads: int) -> tuple[str, dict]:
    """The algorithm of the part with the most work, and what all of them take: they run one after the other."""
    names = [
        check.planned("explain", choose.algorithm, part, which, algorithm, itemsize, cpu.strict()) for part, _ in parts
    ]
    if not all(part.flop for part, _ in parts):         # an array without elements: no pass runs
        return names[0], told("nothing is multiplied", itemsize, 0, 0, tile="none")
    abouts = [ABOUT[name](part, which, itemsize, threads) for name, (part, _) in zip(names, parts, strict=True)]
    main = max(range(len(parts)), key=lambda i: parts[i][0].flop)
    about, each = abouts[main], {name: about["packed_bytes"] for name, about in zip(names, abouts, strict=True)}
    if len(parts) > 1:
        about["why"] += f"; {len(parts) - 1} boxes of windows over the border read copies of their pixels"
    about["tasks"] = sum(about["tasks"] for about in abouts)
    about["packed_bytes"] = sum(each.values())
    about["scratch_bytes"] = max(about["scratch_bytes"] + copied for about, (_, copied) in zip(abouts, parts, strict=True))
    return names[main], about


def told(why: str, itemsize: int, tasks: int, packed: int, scratch: int = 0, cols: int | None = None, tile: str = "") -> dict:
    """Fields of an Explanation; packed and scratch are in elements, `cols` the columns of the products."""
    vector, vecs, rows = cpu.tile(itemsize)
    if cols is not None:
        words = -(-cols // vector)
        widest = -(-words // max(1, -(-words // vecs)))
        tile = f"{rows[widest]}x{widest * vector}"
    return {"why": why, "tile": tile, "tasks": tasks, "packed_bytes": packed * itemsize, "scratch_bytes": scratch * itemsize}


def walk_of(c: plan.Conv, which: str) -> plan.Pass:
    return c.output_pass if which == "forward" else c.input_pass


def direct(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    walk = walk_of(c, which)
    schedule = walk.schedule(size)
    return told("register tiles over pointers to the input", size, schedule.tasks, schedule.packed, cols=walk.cols)


def few_sources(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    walk = walk_of(c, which)
    lines = walk.lines(size)
    why = "few input channels: a row of the filter is read as one"
    return told(why, size, lines.tasks, lines.packed, threads * lines.scratch, walk.cols)


def few_targets(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    windows = c.windows_over(which, size)
    why, cols = "few outputs: every pixel times all taps at once", walk_of(c, which).cols * c.axes[1].kernel * c.axes[2].kernel
    return told(why, size, windows.tasks(threads), windows.packed, threads * windows.scratch, cols)


def thin(c: plan.Conv, which: str, size: int, threads: int, forward) -> dict:
    """Both are the gradient of the input of the other one."""
    backward = few_targets if forward is few_sources else few_sources
    return (forward if which == "forward" else backward)(c, which, size, threads)


def depthwise(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    schedule = choose.modules()["depthwise"].schedule(c, which, cpu.isa(), size)
    return told("channels that never mix", size, schedule.tasks, schedule.packed, tile=f"8x{cpu.tile(size)[0]}")


def grouped(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    schedule = choose.modules()["grouped"].schedule(walk_of(c, which), size, False)
    tile = f"{cpu.tile(size)[2][1]}x{cpu.tile(size)[0]}"
    return told("small groups share a SIMD word", size, schedule.tasks, schedule.packed, tile=tile)


def winograd(c: plan.Conv, which: str, size: int, threads: int, small: bool = False) -> dict:
    walk = choose.modules()["winograd"].plan(c, which, small)
    layout = walk.layout(size)
    why = f"tiles of up to {'2' if small else '4'} outputs an axis by fewer products"
    shared, each = layout.scratch(None, False, threads)
    return told(why, size, layout.tasks, layout.packed, shared + threads * each, walk.cols)


def im2col(c: plan.Conv, which: str, size: int, threads: int) -> dict:
    block = min(engine.modules()["im2col"].block_pixels(c, size), prod(c.out_shape[:-1])) * prod(c.w_shape[1:]) * c.groups
    vector, rows = cpu.tile(size)[0], prod(c.w_shape[1:])
    depth, cols = (rows, c.outputs // c.groups) if which == "forward" else (c.outputs // c.groups, rows)
    packed = c.groups * depth * -(-cols // vector) * vector
    return told("windows lowered to a matrix, block by block", size, 1, packed, block, cols)


# By algorithm: what it does, how its work is cut, and the memory that it takes.
ABOUT = {
    "direct": direct,
    "first": partial(thin, forward=few_sources),
    "few": partial(thin, forward=few_targets),
    "depthwise": depthwise,
    "grouped": grouped,
    "winograd": winograd,
    "winograd2": partial(winograd, small=True),
    "fft": lambda c, which, size, threads: choose.modules()["fft"].about(c, which),
    "im2col": im2col,
}
