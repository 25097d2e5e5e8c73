"""The head of a report: what ran, on what, from which commit, by which command. No names of hosts, no folders."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys

import numpy as np

from .processes import ROOT, without_paths

SETTINGS = "each library in a process of its own, pinned to as many CPUs as it has threads, one at a time"
PATHS = ("--peer-python", "--save", "--json", "--compare")


def head(args: argparse.Namespace, workers: list) -> dict:
    """Facts that a figure is worth nothing without."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    convkit = next((worker.facts for worker in workers if worker.library == "convkit"), {})
    for worker in workers:
        versions |= worker.facts["versions"]
    return {
        "command": command(sys.argv[1:]),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "clock": clock(),
        "system": platform.platform(),
        "threads": args.threads,
        "settings": SETTINGS,
        "isa": sorted({worker.facts["isa"] for worker in workers if worker.library == "convkit"}, reverse=True),
        "compiler": convkit.get("compiler", ""),
        "versions": versions,
        "machine": {},
    }


def add_peaks(head: dict, worker, threads: int) -> None:
    """What convkit's process finds that so many cores can do: the roof of the pictures."""
    rate = worker.ask("peak", dtype="float32", seconds=0.2).get("rate", 0.0)
    sizes = {"64 MB": 1 << 26, "1 MB": 1 << 20}
    copies = {name: worker.ask("copy", size=size, seconds=0.2).get("rate", 0.0) for name, size in sizes.items()}
    head["machine"][f"{threads} threads"] = {"float32 GFLOP/s": round(rate / 1e9, 1)} | {
        f"copy of {name} GB/s": round(rate / 1e9, 1) for name, rate in copies.items()
    }


def command(arguments: list[str]) -> str:
    """What was typed, files by their last names."""
    shown = [os.path.basename(a) if before in PATHS else without_paths(a)
             for before, a in zip(["", *arguments], arguments, strict=False)]  # fmt: skip
    return "convkit bench " + shlex.join(a for a in shown if a != "bench")


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "CPU part")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def clock() -> str:
    """The frequencies that the system tells, at this moment."""
    try:
        with open("/proc/cpuinfo") as file:
            found = sorted(float(number) for number in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", file.read(), re.MULTILINE))
    except OSError:
        found = []
    return " to ".join(dict.fromkeys(f"{mhz:.0f} MHz" for mhz in (found[:1] + found[-1:]))) or "unknown"


def commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    answer = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"
