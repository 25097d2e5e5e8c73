"""One pass in every library: results checked first, then timed in interleaved rounds.

The clock of a machine in a cloud wanders by 15 % within milliseconds, so the share of the peak is formed on the spot: for
convkit from looks at the peak between bursts of its runs, in its own process; for a peer from looks right before and right
after its turn, by convkit's process (the first one, where there are several instruction sets); for pooling from copies of
as many bytes, before and after.
"""

from __future__ import annotations

import statistics
import tempfile

import numpy as np

from . import definition, shapes
from .processes import Worker, settle
from .ratios import TURNS_MORE, WIDE, costs, relative_width, rounds, unsure

PEAK_SECONDS = 0.01
LOOKED_AT = ("conv", "pool", "ops")                     # the suites that give the share of the peak of peers, too, or of a copy
FAR = 2.5                                               # times slower than the fastest peer: not timed after the first round


def measure(workers: list[Worker], reference: Worker, case: shapes.Case, what: str, dtype: str, args) -> list[dict]:
    """The rows of one pass, one for each library."""
    rows = {worker.label: row(worker, case, what, dtype) for worker in workers}
    prepare(workers, rows, reference, case, what, dtype)
    ready = [worker for worker in workers if rows[worker.label]["status"] == "ok"]
    meter = next((worker for worker in workers if worker.library == "convkit"), None)
    for turn in range(args.rounds * (1 if args.quick else TURNS_MORE)):
        if turn >= args.rounds and not unsure(list(rows.values()), args.doubt):
            break
        for worker in ready[turn % len(ready) :] + ready[: turn % len(ready)] if ready else []:
            if not hopeless(rows, worker):
                sample(rows[worker.label], worker, meter, args.seconds)
    peers = {entry["library"]: entry for entry in rows.values() if entry["library"] != "convkit"}
    for entry in rows.values():
        summarise(entry, rounds(entry, peers) if entry["library"] == "convkit" else [])
    return list(rows.values())


def row(worker: Worker, case: shapes.Case, what: str, dtype: str) -> dict:
    return {
        "suite": case.suite, "layer": case.name, "family": case.family, "source": case.source, "what": what, "dtype": dtype,
        "threads": worker.threads, "library": worker.library, "isa": worker.facts.get("isa"), "status": "ok", "note": "",
        "work": case.work(what, np.dtype(dtype).itemsize), "bytes": case.bytes(what, np.dtype(dtype).itemsize),
        "unit": "FLOP" if case.kind in ("conv", "net") else "byte", "samples": [],
    }  # fmt: skip


def prepare(workers: list[Worker], rows: dict, reference: Worker, case: shapes.Case, what: str, dtype: str) -> None:
    """Let every library compute the pass once, and hold its result to the definition."""
    request = {"case": shapes.to_json(case), "what": what, "dtype": dtype}
    with tempfile.TemporaryDirectory() as folder:
        answer = reference.ask("prepare", file=f"{folder}/truth.npy", **request)
        if "error" in answer:
            for entry in rows.values():
                entry |= {"status": "failed", "note": f"no definition to check against: {answer['error']}"}
            return
        truth = np.load(f"{folder}/truth.npy")
        for worker in workers:
            file, entry = f"{folder}/{worker.label}.npy", rows[worker.label]
            answer = worker.ask("prepare", file=file, **request)
            if "error" in answer or "absent" in answer:
                status = "failed" if "error" in answer else "absent"
                entry |= {"status": status, "note": answer.get("error") or answer["absent"]}
                continue
            entry |= answer
            got = np.load(file)
            if got.shape != truth.shape:
                entry |= {"status": "differs", "note": f"shape {got.shape}, not {truth.shape}"}
                continue
            entry["error"] = definition.error(case, got, truth)
            if not entry["error"] <= definition.tolerance(case, what, dtype):
                entry |= {"status": "differs", "note": f"differs from the definition by {entry['error']:.1e} of its maximum"}


def hopeless(rows: dict[str, dict], worker: Worker) -> bool:
    """Whether a peer's first sample has shown that it is not the best one; convkit is always measured."""
    mine = rows[worker.label]["samples"]
    others = [entry["samples"][0]["best"] for entry in rows.values() if entry["library"] != "convkit" and entry["samples"]]
    return bool(worker.library != "convkit" and mine) and mine[0]["best"] > FAR * min(others)


def sample(entry: dict, worker: Worker, meter: Worker | None, seconds: float) -> None:
    """One turn of one library, with a look at what the machine can do right now."""
    if entry["status"] != "ok":
        return
    if worker.library == "convkit" and entry["unit"] == "FLOP":
        answer = worker.ask("time", seconds=seconds, dtype=entry["dtype"])
    elif entry["suite"] not in LOOKED_AT:
        answer = worker.ask("time", seconds=seconds)
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


def summarise(entry: dict, ratios: list[float]) -> None:
    """Best, median and spread of the times; best and median of the fraction of the peak, formed sample by sample."""
    samples = entry["samples"]
    if not samples or entry["status"] != "ok":
        return
    medians = [each["median"] for each in samples]
    entry |= {"best": min(each["best"] for each in samples), "median": statistics.median(medians)}
    entry["spread"] = float(np.subtract(*np.quantile(medians, [0.75, 0.25]))) / entry["median"]
    if entry["library"] == "convkit":
        entry["wide"] = relative_width(ratios or costs(entry)) > WIDE
    fractions = [entry["work"] / each["cost"] for each in samples if "cost" in each]
    if fractions:
        entry |= {"peak": statistics.median(each["peak"] for each in samples if "cost" in each)}
        entry |= {"fraction_best": max(fractions), "fraction_median": statistics.median(fractions)}
