"""The runner: every library in a process of its own; which passes, how long, what is kept. measure.py measures one of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import machine, random_shapes, report, shapes, startup
from .libraries import INSTALL, LIMITS
from .measure import measure
from .processes import Worker
from .ratios import KEY
from .suites import SUITES, cases

SECONDS_TO_SAVE = 20.0
PEERS = [name for name in INSTALL if name != "convkit"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", default="conv,pool", help=f"of {','.join(SUITES)} (default: %(default)s)")
    parser.add_argument("--what", default="fwd", help="passes: fwd, dx, dw (default: %(default)s)")
    parser.add_argument("--threads", default="1", help="numbers of threads (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(PEERS), help="libraries to compare with, or none (default: %(default)s)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter of the peers (default: this one)")
    parser.add_argument("--isa", default="", help="instruction sets of convkit (default: the best)")
    parser.add_argument("--peer-isa", choices=LIMITS, help="keep the peers to it, too; those that cannot are left out")
    parser.add_argument("--dtype", default="float32", help="float32, float64 (default: %(default)s)")
    parser.add_argument("--algorithm", default="auto", help="convkit's algorithm for convolutions (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="families, tags, names: 'peak' or '1x1 *'")
    parser.add_argument("--count", type=int, default=random_shapes.COUNT, help="random shapes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random_shapes.SEED, help="of the random shapes (default: %(default)s)")
    parser.add_argument("--no-convkit", action="store_true", help="measure the peers alone (no fraction of the peak)")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved samples of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.05, help="of one sample (default: %(default)s)")
    parser.add_argument("--doubt", type=float, metavar="RATIO", help="up to 3 times the rounds for a pass whose ratio may "
                        "lie on either side of it (default: 0.9 for random shapes)")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write the results there, also when interrupted")
    parser.add_argument("--resume", action="store_true", help="keep what is in the JSON file, measure what is missing")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin no pass after so many (see --resume)")
    report.add_limits(parser)


def main(args: argparse.Namespace) -> int:
    suites, threads = parts(args.suite), [int(n) for n in parts(args.threads)]
    check(args, suites, threads)
    passes = [
        (case, what, dtype)
        for case in cases(suites, parts(args.only), args.count, args.seed)
        for what in case.passes if what in parts(args.what)
        for dtype in parts(args.dtype)
    ]  # fmt: skip
    if not passes and suites != ["startup"]:
        raise SystemExit(f"--only: nothing matches {args.only!r}")
    result = begun(args)
    clock = Clock(args, result)
    try:
        for n in threads:
            if todo := missing(result, passes, n):
                measure_all(result, args, threads, n, todo, clock)
        if "startup" in suites:
            result["head"] = result["head"] or machine.head(threads, [])
            result["startup"] = startup.measure(args.rounds)
    except KeyboardInterrupt:
        print("interrupted: this is what was measured", file=sys.stderr)
    finally:
        clock.save()
    report.show(result)
    all_of_them = len(threads) * len(passes)
    print(f"measured {all_of_them - sum(len(missing(result, passes, n)) for n in threads)} of {all_of_them} passes")
    return report.judge(result, args)


def check(args: argparse.Namespace, suites: list[str], threads: list[int]) -> None:
    """Refuse what cannot be measured."""
    refuse_unknown("--suite", suites, SUITES)
    refuse_unknown("--what", parts(args.what), shapes.Conv.passes)
    refuse_unknown("--dtype", parts(args.dtype), ("float32", "float64"))
    refuse_unknown("--peers", parts(args.peers), [*PEERS, "none"])
    cores = os.cpu_count() or 1
    if not all(1 <= n <= cores for n in threads):
        raise SystemExit(f"--threads: this machine has {cores} cores, got {args.threads}")
    if "algorithms" in suites and suites != ["algorithms"]:
        raise SystemExit("--suite: algorithms are measured against each other, without other suites")
    if args.resume and not args.json:
        raise SystemExit("--resume: name the file by --json")
    if args.doubt is None and "random" in suites:
        args.doubt = report.SLOW


def begun(args: argparse.Namespace) -> dict:
    """The result so far."""
    if not (args.resume and Path(args.json).exists()):
        return {"head": {}, "missing": {}, "results": []}
    result, now = json.loads(Path(args.json).read_text()), machine.commit()
    if result["head"]["commit"] != now:
        raise SystemExit(f"--resume: {args.json} is of commit {result['head']['commit']}, this is {now}")
    return result


def missing(result: dict, passes: list[tuple], threads: int) -> list[tuple]:
    """The passes that the result does not have yet."""
    done = {tuple(row[name] for name in KEY) for row in result["results"]}
    return [(case, what, dtype) for case, what, dtype in passes if (case.suite, case.name, what, dtype, threads) not in done]


class Clock:
    """When to stop, and when to write down what was measured."""

    def __init__(self, args: argparse.Namespace, result: dict) -> None:
        self.file, self.result, self.saved = args.json, result, time.monotonic()
        self.end = time.monotonic() + args.budget if args.budget else float("inf")

    def over(self) -> bool:
        if time.monotonic() - self.saved > SECONDS_TO_SAVE:
            self.save()
        return time.monotonic() > self.end

    def save(self) -> None:
        if self.file and self.result["head"]:
            fresh = Path(f"{self.file}.new")            # so that an interrupted write leaves the file as it was
            fresh.write_text(json.dumps(self.result, indent=1) + "\n")
            fresh.replace(self.file)
        self.saved = time.monotonic()


def candidates(result: dict, args: argparse.Namespace, threads: int) -> list[Worker]:
    """The libraries that were asked for; those that cannot be kept to --peer-isa are noted as missing."""
    isas = parts(args.isa) or [""]
    ours = [] if args.no_convkit else [Worker("convkit", threads, sys.executable, isa or None, args.algorithm) for isa in isas]
    if parts(args.suite) == ["algorithms"]:
        from convkit.plan.choose import ALGORITHMS

        return ours + [Worker(name, threads, sys.executable, isas[0] or None) for name in ALGORITHMS]
    limits, names = LIMITS.get(args.peer_isa, {}), [name for name in parts(args.peers) if name != "none"]
    if args.peer_isa:
        result["missing"] |= {name: f"cannot be kept to {args.peer_isa}" for name in names if name not in limits}
        names = [name for name in names if name in limits]
    return ours + [Worker(name, threads, args.peer_python, limits=limits.get(name, {})) for name in names]


def measure_all(
    result: dict, args: argparse.Namespace, all_threads: list[int], threads: int, passes: list[tuple], clock: Clock
) -> None:
    """Add to `result` the rows of every pass at one number of threads."""
    workers, reference = candidates(result, args, threads), Worker("definition", os.cpu_count() or 1, sys.executable)
    try:
        ready = [worker for worker in workers if starts(worker, result)]
        if not ready:
            raise SystemExit("no library to measure")
        result["head"] = result["head"] or machine.head(all_threads, ready)
        for case, what, dtype in progress(passes, f"{threads} threads"):
            if clock.over():
                break
            result["results"] += measure(ready, reference, case, what, dtype, args)
    finally:
        for worker in (*workers, reference):
            worker.close()


def starts(worker: Worker, result: dict) -> bool:
    """Whether the library is there; says how to install it where it is not."""
    worker.facts = worker.ask("hello")
    if "error" not in worker.facts:
        return True
    hint = worker.facts["error"]
    if hint.startswith(("ModuleNotFoundError", "ImportError")):
        hint += f"; to install it: {worker.python} -m {INSTALL[worker.library]}"
    result["missing"][worker.label] = hint
    print(f"{worker.label} is not measured: {hint}", file=sys.stderr)
    return False


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def refuse_unknown(option: str, got: list[str], known: Iterable[str]) -> None:
    for name in got:
        if name not in known:
            raise SystemExit(f"{option}: {name!r} is none of {', '.join(known)}")


def progress(passes: list[tuple], label: str) -> Iterator[tuple]:
    """The passes, with a progress bar where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from passes
        return
    bar = tqdm(passes, desc=label, unit="pass", disable=None)  # None: not where the output goes to a file
    for each in bar:
        bar.set_postfix_str(f"{each[0].name} {each[1]}")
        yield each
