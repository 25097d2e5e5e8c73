"""A plain loop written by hand beside the suite: does the machinery report what anybody would measure?

Five forward layers in PyTorch, contiguous, as its users would time them: nothing of this package but the shapes. Each loop
runs in a process of its own; the suite and the loop take turns, and their ratio is taken within a turn, median over turns,
so that a slow second falls on both. As in the suite the process keeps the memory that it frees; the last column is a loop that
does not, where each result is written to fresh pages first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from . import layers, shapes
from .processes import KEEP, ROOT, Worker, settle
from .tables import print_table

LAYERS = ("3x3 64->64 @56 b4", "1x1 64->256 @56 b4", "7x7 s2 3->64 @224 b1", "3x3 g144 144->144 @56 b4", "3x3 1->32 @28 b64")
LOOP = """
import json, sys, time
import torch
x_shape, w_shape, stride, padding, groups, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(0)
x, w, b = torch.randn(x_shape), torch.randn(w_shape), torch.randn(w_shape[0])
with torch.inference_mode():
    for _ in range(10):
        torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
    print(flush=True)
    for seconds in sys.stdin:
        torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
        times = []
        end = time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            start = time.perf_counter()
            torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
            times.append(time.perf_counter() - start)
        times.sort()
        print(json.dumps([times[0], times[len(times) // 2]]), flush=True)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has PyTorch (default: this one)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=21, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.03, help="of a loop and of a sample (default: %(default)s)")
    parser.add_argument("--most", type=float, default=0.1, help="exit 1 if a layer differs by more (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    lines, worst = [], 0.0
    worker = Worker("torch", args.threads, args.peer_python)
    try:
        for case in (case for case in layers.CONV if case.name in LAYERS):
            prepared = worker.ask("prepare", case=shapes.to_json(case), what="fwd", dtype="float32", file=os.devnull)
            if "error" in prepared:
                raise SystemExit(f"loops: {prepared['error']}")
            with by_hand(case, args, KEEP) as plain, by_hand(case, args, {}) as fresh:
                turns = [turn(args, number, worker, plain, fresh) for number in range(args.rounds)]
            suite, loop, other = ([each[which] for each in turns] for which in range(3))
            ratio = statistics.median(s[1] / p[1] for s, p in zip(suite, loop, strict=True))
            worst = max(worst, abs(ratio - 1))
            seconds = [min(each[0] for each in which) for which in (suite, loop)]
            seconds += [statistics.median(each[1] for each in which) for which in (suite, loop, other)]
            figures = [f"{each * 1e3:.3f}" for each in seconds]
            lines.append([case.name, "fwd", *figures[:4], f"{ratio:.3f}", figures[4]])
    finally:
        worker.close()
    names = [f"{which} {of} ms" for of in ("best", "median") for which in ("suite", "loop")]
    print_table(["layer", "pass", *names, "suite / loop", "fresh memory ms"], lines, False)
    print(f"\nat most {worst:.1%} apart")
    return int(worst > args.most)


def turn(args: argparse.Namespace, number: int, worker: Worker, plain, fresh) -> list[tuple[float, float]]:
    """Best and median seconds of the suite and of both loops, right after each other, in another order each time."""
    def suite() -> tuple[float, float]:
        answer = worker.ask("time", seconds=args.seconds)
        return answer["best"], answer["median"]

    found, asked = {}, [suite, *(lambda loop=loop: told(loop, args.seconds) for loop in (plain, fresh))]
    for place in range(3):
        which = (place + number) % 3
        found[which] = asked[which]()
        settle(args.threads)
    return [found[which] for which in range(3)]


def told(loop: subprocess.Popen, seconds: float) -> tuple[float, float]:
    loop.stdin.write(f"{seconds}\n")
    loop.stdin.flush()
    return tuple(json.loads(loop.stdout.readline()))


@contextmanager
def by_hand(case: shapes.Conv, args: argparse.Namespace, allocator: dict[str, str]) -> Iterator[subprocess.Popen]:
    """The loop above in a process, which measures for as many seconds as each line tells it to."""
    x = case.batch, case.channels, *case.spatial
    w = case.filters, case.channels // case.groups, *case.kernel
    given = json.dumps([x, w, case.stride, case.padding, case.groups, args.threads])
    cpus = sorted(os.sched_getaffinity(0))[: args.threads] if hasattr(os, "sched_setaffinity") else []
    process = subprocess.Popen([args.peer_python, "-c", LOOP, given], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": str(args.threads)} | allocator,
                               preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)  # fmt: skip
    with process:
        process.stdout.readline()
        yield process
        process.stdin.close()
