"""The runner: every library in a process of its own, results checked first, then timed in interleaved rounds.

The clock of a machine in a cloud wanders by 15 % within milliseconds, so the share of the peak is formed on the spot: for
convkit from looks at the peak between bursts of its runs, in its own process; for a peer from looks right before and right
after its turn, by convkit's process (the first one, where there are several instruction sets); for pooling from copies of
as many bytes, before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from . import definition, machine, report, shapes, startup
from .libraries import INSTALL
from .processes import Worker, settle

SUITES = ("conv", "pool", "startup")
PEAK_SECONDS = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    peers = [name for name in INSTALL if name != "convkit"]
    parser.add_argument("--suite", default="conv,pool", help=f"of {','.join(SUITES)} (default: %(default)s)")
    parser.add_argument("--what", default="fwd", help="passes: fwd, dx, dw (default: %(default)s)")
    parser.add_argument("--threads", default="1", help="numbers of threads (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(peers), help="libraries to compare with, or none (default: %(default)s)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter of the peers (default: this one)")
    parser.add_argument("--isa", default="", help="instruction sets of convkit (default: the best)")
    parser.add_argument("--dtype", default="float32", help="float32, float64 (default: %(default)s)")
    parser.add_argument("--algorithm", default="auto", help="convkit's algorithm for convolutions (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="families, tags, names: 'peak' or '1x1 *'")
    parser.add_argument("--no-convkit", action="store_true", help="measure the peers alone (no fraction of the peak)")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved samples of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.05, help="of one sample (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    report.add_limits(parser)


def main(args: argparse.Namespace) -> int:
    suites, threads = parts(args.suite), [int(n) for n in parts(args.threads)]
    refuse_unknown("--suite", suites, SUITES)
    refuse_unknown("--what", parts(args.what), shapes.Conv.passes)
    refuse_unknown("--dtype", parts(args.dtype), ("float32", "float64"))
    refuse_unknown("--peers", parts(args.peers), [*(name for name in INSTALL if name != "convkit"), "none"])
    cores = os.cpu_count() or 1
    if not all(1 <= n <= cores for n in threads):
        raise SystemExit(f"--threads: this machine has {cores} cores, got {args.threads}")
    passes = [
        (case, what, dtype)
        for case in shapes.select(suites, parts(args.only))
        for what in case.passes if what in parts(args.what)
        for dtype in parts(args.dtype)
    ]  # fmt: skip
    if not passes and suites != ["startup"]:
        raise SystemExit(f"--only: nothing matches {args.only!r}")
    result = {"head": {}, "missing": {}, "results": []}
    try:
        for n in threads if passes else []:
            measure_all(result, args, threads, n, passes)
        if "startup" in suites:
            result["head"] = result["head"] or machine.head(threads, [])
            result["startup"] = startup.measure(args.rounds)
    finally:
        if args.json and result["head"]:
            Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    report.show(result)
    return report.judge(result, args)


def measure_all(result: dict, args: argparse.Namespace, all_threads: list[int], threads: int, passes: list[tuple]) -> None:
    """Add to `result` the rows of every pass at one number of threads."""
    candidates = [] if args.no_convkit else [Worker("convkit", threads, sys.executable, isa or None, args.algorithm)
                                            for isa in parts(args.isa) or [""]]  # fmt: skip
    candidates += [Worker(peer, threads, args.peer_python) for peer in parts(args.peers) if peer != "none"]
    reference = Worker("definition", os.cpu_count() or 1, sys.executable)
    workers = []
    try:
        for worker in candidates:
            worker.facts = worker.ask("hello")
            if "error" in worker.facts:
                hint = worker.facts["error"]
                if hint.startswith(("ModuleNotFoundError", "ImportError")):
                    hint += f"; to install it: {worker.python} -m {INSTALL[worker.library]}"
                result["missing"][worker.label] = hint
                print(f"{worker.label} is not measured: {hint}", file=sys.stderr)
            else:
                workers.append(worker)
        if not workers:
            raise SystemExit("no library to measure")
        result["head"] = result["head"] or machine.head(all_threads, workers)
        for case, what, dtype in progress(passes, f"{threads} threads"):
            result["results"] += measure(workers, reference, case, what, dtype, args)
    finally:
        for worker in (*candidates, reference):
            worker.close()


def measure(workers: list[Worker], reference: Worker, case: shapes.Case, what: str, dtype: str, args) -> list[dict]:
    """The rows of one pass, one for each library."""
    rows = {worker.label: row(worker, case, what, dtype) for worker in workers}
    prepare(workers, rows, reference, case, what, dtype)
    ready = [worker for worker in workers if rows[worker.label]["status"] == "ok"]
    meter = next((worker for worker in workers if worker.library == "convkit"), None)
    for turn in range(args.rounds):
        for worker in ready[turn % len(ready) :] + ready[: turn % len(ready)] if ready else []:
            sample(rows[worker.label], worker, meter, args.seconds)
    for entry in rows.values():
        summarise(entry)
    return list(rows.values())


def row(worker: Worker, case: shapes.Case, what: str, dtype: str) -> dict:
    return {
        "suite": case.suite, "layer": case.name, "family": case.family, "source": case.source, "what": what, "dtype": dtype,
        "threads": worker.threads, "library": worker.library, "isa": worker.facts.get("isa"), "status": "ok", "note": "",
        "work": case.work(what, np.dtype(dtype).itemsize), "unit": "FLOP" if case.suite == "conv" else "byte", "samples": [],
    }  # fmt: skip


def prepare(workers: list[Worker], rows: dict, reference: Worker, case: shapes.Case, what: str, dtype: str) -> None:
    """Let every library compute the pass once, and hold its result to the definition."""
    request = {"case": shapes.to_json(case), "what": what, "dtype": dtype}
    with tempfile.TemporaryDirectory() as folder:
        answer = reference.ask("prepare", file=f"{folder}/truth.npy", **request)
        if "error" in answer:
            raise RuntimeError(f"the definition failed on {case.name}: {answer['error']}")
        truth = np.load(f"{folder}/truth.npy")
        for worker in workers:
            file, entry = f"{folder}/{worker.label}.npy", rows[worker.label]
            answer = worker.ask("prepare", file=file, **request)
            if "error" in answer or "absent" in answer:
                status = "failed" if "error" in answer else "absent"
                entry |= {"status": status, "note": answer.get("error") or answer["absent"]}
                continue
            got = np.load(file)
            if got.shape != truth.shape:
                entry |= {"status": "differs", "note": f"shape {got.shape}, not {truth.shape}"}
                continue
            entry["error"] = float(np.abs(got - truth).max() / np.abs(truth).max())
            if not entry["error"] <= definition.tolerance(case, what, dtype):
                entry |= {"status": "differs", "note": f"differs from the definition by {entry['error']:.1e} of its maximum"}


def sample(entry: dict, worker: Worker, meter: Worker | None, seconds: float) -> None:
    """One turn of one library, with a look at what the machine can do right now."""
    if entry["status"] != "ok":
        return
    if worker.library == "convkit" and entry["unit"] == "FLOP":
        answer = worker.ask("time", seconds=seconds, dtype=entry["dtype"])
    else:
        before = look(meter, worker, entry)
        answer = worker.ask("time", seconds=seconds)
        after = look(meter, worker, entry)
        if before and after and "error" not in answer:
            peak = statistics.mean((before, after))
            answer |= {"cost": answer["median"] * peak, "peak": peak}
    if "error" in answer:
        entry |= {"status": "failed", "note": answer["error"]}
        return
    entry["samples"].append(answer)
    settle(worker.threads)


def look(meter: Worker | None, worker: Worker, entry: dict) -> float | None:
    """The rate that the machine allows now, FLOP/s or bytes/s; None where nobody can tell."""
    if entry["unit"] == "byte":
        return worker.ask("copy", size=entry["work"], seconds=PEAK_SECONDS).get("rate")
    if meter is None:
        return None
    settle(worker.threads)
    rate = meter.ask("peak", dtype=entry["dtype"], seconds=PEAK_SECONDS).get("rate")
    settle(worker.threads)
    return rate


def summarise(entry: dict) -> None:
    """Best, median and spread of the times; best and median of the fraction of the peak, formed sample by sample."""
    samples = entry["samples"]
    if not samples or entry["status"] != "ok":
        return
    medians = [each["median"] for each in samples]
    entry |= {"best": min(each["best"] for each in samples), "median": statistics.median(medians)}
    entry["spread"] = (max(medians) - min(medians)) / entry["median"]
    fractions = [entry["work"] / each["cost"] for each in samples if "cost" in each]
    if fractions:
        entry |= {"peak": statistics.median(each["peak"] for each in samples if "cost" in each)}
        entry |= {"fraction_best": max(fractions), "fraction_median": statistics.median(fractions)}


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
