"""A plain loop written by hand beside the suite: does the machinery report what anybody would measure?

Five forward layers in PyTorch, contiguous, as its users would time them: nothing of this package but the shapes. Each loop
runs in a process of its own right before the suite does, and the best times of both are compared. As in the suite the process
keeps the memory that it frees; the last column is a loop that does not, where each result is written to fresh pages first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from . import layers, shapes
from .processes import KEEP, ROOT, Worker
from .tables import print_table

LAYERS = ("3x3 64->64 @56 b4", "1x1 64->256 @56 b4", "7x7 s2 3->64 @224 b1", "3x3 g144 144->144 @56 b4", "3x3 1->32 @28 b64")
LOOP = """
import json, sys, time
import torch
x_shape, w_shape, stride, padding, groups, threads, seconds = json.loads(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(0)
x, w, b = torch.randn(x_shape), torch.randn(w_shape), torch.randn(w_shape[0])
with torch.inference_mode():
    for _ in range(10):
        torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
        times.append(time.perf_counter() - start)
times.sort()
print(json.dumps([times[0], times[len(times) // 2]]))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has PyTorch (default: this one)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a loop and of a sample (default: %(default)s)")
    parser.add_argument("--most", type=float, default=0.1, help="exit 1 if a layer differs by more (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    lines, worst = [], 0.0
    worker = Worker("torch", args.threads, args.peer_python)
    try:
        for case in (case for case in layers.CONV if case.name in LAYERS):
            suite, loop = [], []
            prepared = worker.ask("prepare", case=shapes.to_json(case), what="fwd", dtype="float32", file=os.devnull)
            if "error" in prepared:
                raise SystemExit(f"loops: {prepared['error']}")
            for _ in range(args.rounds):
                loop.append(by_hand(case, args, KEEP))
                answer = worker.ask("time", seconds=args.seconds)
                suite.append((answer["best"], answer["median"]))
            best, theirs = (min(each[0] for each in times) for times in (suite, loop))
            medians = [sorted(each[1] for each in times)[args.rounds // 2] for times in (suite, loop)]
            worst = max(worst, abs(best / theirs - 1))
            figures = [f"{t * 1e3:.3f}" for t in (best, theirs, *medians, by_hand(case, args, {})[0])]
            lines.append([case.name, "fwd", *figures[:4], f"{best / theirs:.3f}", figures[4]])
    finally:
        worker.close()
    names = [f"{which} {of} ms" for of in ("best", "median") for which in ("suite", "loop")]
    print_table(["layer", "pass", *names, "suite / loop", "fresh memory ms"], lines, False)
    print(f"\nat most {worst:.1%} apart")
    return int(worst > args.most)


def by_hand(case: shapes.Conv, args: argparse.Namespace, allocator: dict[str, str]) -> tuple[float, float]:
    """Best and median seconds of the loop above."""
    x = case.batch, case.channels, *case.spatial
    w = case.filters, case.channels // case.groups, *case.kernel
    given = json.dumps([x, w, case.stride, case.padding, case.groups, args.threads, args.seconds])
    cpus = sorted(os.sched_getaffinity(0))[: args.threads] if hasattr(os, "sched_setaffinity") else []
    done = subprocess.run([args.peer_python, "-c", LOOP, given], cwd=ROOT, capture_output=True, text=True, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": str(args.threads)} | allocator,
                          preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)  # fmt: skip
    return tuple(json.loads(done.stdout))
