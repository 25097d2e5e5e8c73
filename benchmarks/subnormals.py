"""Subnormal numbers, 1e-39 in float32 and 1e-310 in float64, against ordinary ones: every algorithm by name, every pass.

Rounds of both are interleaved, in the same memory, and their best times compared. Plain filters are given, so that what a
call looks for in them is measured as well; forward also packed ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from .report import print_table

# Algorithms, and x (N, H, W, C), outputs, kernel, groups of a layer for them: some tenths of a millisecond each.
LAYERS = [
    (("direct", "im2col", "winograd", "winograd2"), (1, 28, 28, 64), 64, (3, 3), 1),
    (("winograd",), (1, 28, 28, 32), 32, (5, 5), 1),
    (("direct", "im2col"), (1, 28, 28, 256), 64, (1, 1), 1),
    (("first",), (1, 112, 112, 3), 32, (3, 3), 1),
    (("few",), (1, 112, 112, 32), 3, (3, 3), 1),
    (("depthwise",), (1, 56, 56, 128), 128, (3, 3), 128),
    (("grouped",), (1, 56, 56, 128), 128, (3, 3), 32),
    (("fft",), (1, 64, 64, 1), 1, (31, 31), 1),
    (("auto",), (1, 14, 14, 256), 256, (3, 3), 1),
    (("auto",), (1, 7, 7, 16), 16, (3, 3), 1),
]
SUBNORMAL = {"float32": 1e-39, "float64": 1e-310}
CLEAR = 1.1                                             # a ratio that needs no more rounds
# What is subnormal, of the arrays of each pass.
KINDS = {"fwd": ("x", "w", "packed w", "x and w"), "dx": ("dy", "w", "dy and w"), "dw": ("x", "dy", "x and dy")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--what", default="fwd,dx,dw", help="passes (default: %(default)s)")
    parser.add_argument("--algorithms", help="only these, by comma (default: all)")
    parser.add_argument("--dtypes", default="float32,float64", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--most", type=float, metavar="RATIO", help="exit 1 if a call takes more times as long")


def main(args: argparse.Namespace) -> int:
    lines, worst = [], 0.0
    for layer, what, dtype, kind, pair in passes(args):
        plain, slow = (min(times) for times in pair)
        worst = max(worst, slow / plain)
        lines.append([layer, f"{what} {dtype}, {kind}", f"{plain * 1e3:.3f}", f"{slow * 1e3:.3f}", f"{slow / plain:.2f}"])
    print_table(["layer", "subnormal", "ordinary ms", "subnormal ms", "times as long"], lines, False)
    print(f"\nat most {worst:.2f} times as long, over {len(lines)} calls")
    return int(args.most is not None and worst > args.most)


def passes(args: argparse.Namespace) -> Iterator[tuple[str, str, str, str, list[list[float]]]]:
    """Names, and the times with ordinary and with subnormal numbers, of all that an algorithm runs."""
    wanted = args.algorithms.split(",") if args.algorithms else None
    for algorithms, x, outputs, kernel, groups in LAYERS:
        shapes = {"x": x, "w": (outputs, *kernel, x[-1] // groups), "dy": (*x[:-1], outputs)}
        how = {"padding": tuple(k // 2 for k in kernel), "groups": groups, "threads": args.threads}
        layer = f"{kernel[0]}x{kernel[1]} {x[-1]}->{outputs} @{x[1]}" + (f" g{groups}" if groups > 1 else "")
        some = [name for name in algorithms if wanted is None or name in wanted]
        for name, dtype, what in product(some, args.dtypes.split(","), args.what.split(",")):
            for kind in KINDS[what]:
                try:
                    pair = compared(shapes, dtype, what, kind, how | {"algorithm": name}, args.rounds)
                except ValueError:
                    break                               # it has no such pass
                yield f"{name} {layer}", what, dtype, kind, pair


def compared(shapes: dict[str, tuple], dtype: str, what: str, kind: str, how: dict, rounds: int) -> list[list[float]]:
    """Seconds of single calls, with ordinary numbers and with those subnormal that `kind` names, in the same memory."""
    rng = np.random.default_rng(0)
    ordinary = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    arrays, times = {name: a.copy() for name, a in ordinary.items()}, [[], []]
    for turn in range(8 * rounds):
        if turn >= 2 * rounds and turn % 2 == 0 and min(times[1]) < CLEAR * min(times[0]):
            break                                       # only what looks slow is measured for longer
        for name in kind.replace("packed", "").replace("and", "").split():
            arrays[name][...] = SUBNORMAL[dtype] if turn % 2 else ordinary[name]
        times[turn % 2] += timed(call(what, arrays, kind, how))
    return times


def call(what: str, a: dict[str, np.ndarray], kind: str, how: dict) -> Callable[[], object]:
    import convkit

    if what == "fwd":
        w = convkit.pack_filters(a["w"], groups=how["groups"]) if "packed" in kind else a["w"]
        return lambda: convkit.conv2d(a["x"], w, **how)
    return lambda: convkit.conv2d_grad(a["dy"], a["x"], a["w"], needs=(what[1],), **how)


def timed(run: Callable[[], object], seconds: float = 0.003) -> Iterator[float]:
    run()
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        run()
        yield time.perf_counter() - start
