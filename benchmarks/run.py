"""The runner: every library in a process of its own; which passes, how long, what is kept. measure.py measures one of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from . import machine, memory, report, startup
from .compare import compare, regressions
from .libraries import INSTALL, LIMITS
from .measure import Truth, measure
from .options import PEERS, add_arguments, check, parts
from .processes import Worker
from .progress import Progress
from .ratios import KEY
from .suites import FIGURES, SLOW_TO_START, SUITES, cases

__all__ = ["add_arguments", "main"]

SECONDS_TO_SAVE = 20.0


def main(args: argparse.Namespace) -> int:
    check(args)
    old = report.load(args.compare) if args.compare else None
    suites, threads = parts(args.suite), [int(n) for n in parts(args.threads)]
    chosen = cases(suites, parts(args.only), args.count, args.seed)
    passes = [(case, what, dtype) for case in chosen if case.suite not in FIGURES
              for what in case.passes if what in parts(args.what) for dtype in parts(args.dtype)]  # fmt: skip
    if not passes and not set(FIGURES) & set(suites):
        raise SystemExit(f"--only: nothing matches {args.only!r}")
    result = begun(args)
    clock = Clock(args, result)
    remembered = [case for case in chosen if case.suite == "memory"]
    more = memory.steps(remembered, ["convkit", *wanted(args, "memory")]) if "memory" in suites else 0
    todo = missing(result, passes, threads)
    bar = Progress(len(todo) + more + ("startup" in suites))
    try:
        if todo:
            measure_all(result, args, todo, clock, bar)
        figures(result, args, suites, remembered, bar, clock)
    except KeyboardInterrupt:
        print("\ninterrupted: this is what was measured", file=sys.stderr)
    finally:
        bar.close()
        clock.save()
    report.show(result, table=compare(old, result) if old else None)
    all_of_them = len(threads) * len(passes)
    print(f"measured {all_of_them - len(missing(result, passes, threads))} of {all_of_them} passes")
    if args.save and result["head"]:
        report.save(result, Path(args.save), old)
    worse = regressions(old, result) if old else []
    for text in worse:
        print("SLOWER", text, file=sys.stderr)
    return report.judge(result, args) or int(bool(worse))


def file_of(args: argparse.Namespace) -> Path | None:
    """Where the results go as they come."""
    return Path(args.save, "report.json") if args.save else Path(args.json) if args.json else None


def begun(args: argparse.Namespace) -> dict:
    """The result so far."""
    file = file_of(args)
    if not (args.resume and file and file.exists()):
        return {"head": {}, "missing": {}, "results": []}
    result, now = report.load(str(file)), machine.commit()
    if result["head"]["commit"] != now:
        raise SystemExit(f"--resume: {file} is of commit {result['head']['commit']}, this is {now}")
    return result


def missing(result: dict, passes: list[tuple], threads: list[int]) -> list[tuple]:
    """The passes that the result does not have yet, each by every number of threads in turn."""
    done = {tuple(row[name] for name in KEY) for row in result["results"]}
    return [(case, what, dtype, n) for case, what, dtype in passes for n in threads
            if (case.suite, case.name, what, dtype, n) not in done]  # fmt: skip


class Clock:
    """When to stop, and when to write down what was measured."""

    def __init__(self, args: argparse.Namespace, result: dict) -> None:
        self.files = {file for file in (file_of(args), Path(args.json) if args.json else None) if file}
        self.result, self.saved = result, time.monotonic()
        self.end = time.monotonic() + args.budget if args.budget else float("inf")

    def over(self) -> bool:
        if time.monotonic() - self.saved > SECONDS_TO_SAVE:
            self.save()
        return time.monotonic() > self.end

    def save(self) -> None:
        for file in self.files if self.result["head"] else ():
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_name(file.name + ".new")  # so that an interrupted write leaves the file as it was
            fresh.write_text(json.dumps(self.result, indent=1) + "\n")
            fresh.replace(file)
        self.saved = time.monotonic()


def wanted(args: argparse.Namespace, suite: str) -> list[str]:
    """The peers of a suite."""
    names = parts(args.peers)
    if "none" in names:
        return []
    if "usual" in names and args.quick and suite == "memory":
        return ["torch"]                                # a process for each pass takes its time
    if "usual" in names:
        return [name for name in SUITES[suite].peers if not (args.quick and name in SLOW_TO_START)]
    return PEERS if "all" in names else names


def candidates(result: dict, args: argparse.Namespace, threads: int, suites: set[str]) -> list[Worker]:
    """The libraries that were asked for; those that cannot be kept to --peer-isa are noted as missing."""
    isas = parts(args.isa) or [""]
    ours = [Worker("convkit", threads, sys.executable, isa or None, args.algorithm) for isa in isas]
    if suites == {"algorithms"}:
        from convkit.plan.choose import ALGORITHMS

        return ours + [Worker(name, threads, sys.executable, isas[0] or None) for name in ALGORITHMS]
    if args.quick and "usual" in parts(args.peers):
        result["missing"] |= dict.fromkeys(SLOW_TO_START, "compiles for minutes, so --quick leaves it out")
    limits = LIMITS.get(args.peer_isa, {})
    names = [name for name in PEERS if any(name in wanted(args, suite) for suite in suites)]
    if args.peer_isa:
        result["missing"] |= {name: f"cannot be kept to {args.peer_isa}" for name in names if name not in limits}
        names = [name for name in names if name in limits]
    return ours + [Worker(name, threads, args.peer_python, limits=limits.get(name, {})) for name in names]


def measure_all(result: dict, args: argparse.Namespace, passes: list[tuple], clock: Clock, bar: Progress) -> None:
    """Add the rows of every pass to `result`."""
    suites = {case.suite for case, *_ in passes}
    workers = {n: candidates(result, args, n, suites) for n in dict.fromkeys(n for *_, n in passes)}
    everybody = [worker for some in workers.values() for worker in some]
    truth = Truth(Worker("definition", os.cpu_count() or 1, sys.executable))
    try:
        ready = started([*everybody, truth.worker], result, bar)[:-1]
        if not ready:
            raise SystemExit("no library to measure")
        result["head"] = result["head"] or machine.head(args, ready)
        for n, some in workers.items():
            machine.add_peaks(result["head"], next(worker for worker in some if worker in ready), n)
        for case, what, dtype, n in passes:
            if clock.over():
                break
            bar.step(f"{n} thread{'s' * (n > 1)}  {case.suite}: {case.name} {what}")
            names = {"convkit", *wanted(args, case.suite)}
            some = [worker for worker in workers[n] if worker in ready]
            some = [worker for worker in some if worker.library in names or case.suite == "algorithms"]
            result["results"] += measure(some, truth, case, what, dtype, args)
    finally:
        for worker in (*everybody, truth.worker):
            worker.close()


def started(workers: list[Worker], result: dict, bar: Progress) -> list[Worker]:
    """Those that are there, all started at once."""
    for worker in workers:
        worker.begin()
    ready = []
    for worker in workers:
        bar.show(f"starting {worker.label}")
        if starts(worker, result):
            ready.append(worker)
    return ready


def starts(worker: Worker, result: dict) -> bool:
    """Whether the library is there; says how to install it where it is not."""
    worker.facts = worker.ask("hello")
    if "error" not in worker.facts:
        return True
    hint = worker.facts["error"]
    if hint.startswith(("ModuleNotFoundError", "ImportError")):
        hint = f'not installed: {INSTALL[worker.library]} (or all peers: pip install "convkit-numpy[bench]")'
    if worker.label not in result["missing"]:
        print(f"\r{worker.label} is not measured: {hint}", file=sys.stderr)
    result["missing"][worker.label] = hint
    return False


def figures(result: dict, args: argparse.Namespace, suites: list[str], layers: list, bar: Progress, clock: Clock) -> None:
    """What is no pass: memory and startup."""
    if not result["head"] and set(FIGURES) & set(suites):
        worker = Worker("convkit", 1, sys.executable)
        result["head"] = machine.head(args, started([worker], result, bar))
        worker.close()
    if "memory" in suites and "memory" not in result and not clock.over():
        names = ["convkit", *(name for name in wanted(args, "memory") if name not in result["missing"])]
        python = {"convkit": sys.executable}
        result["memory"] = memory.measure(layers, names, lambda name: python.get(name, args.peer_python), args.quick, bar.step)
    if "startup" in suites and "startup" not in result and not clock.over():
        bar.step("startup")
        result["startup"] = startup.measure(5 if args.quick else 25)
