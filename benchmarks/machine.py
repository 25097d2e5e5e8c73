"""The head of a report: what ran, on what, from which commit, by which command."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys

import numpy as np

from .processes import ROOT


def head(threads: list[int], workers: list) -> dict:
    """Facts that a figure is worth nothing without."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    convkit = next((worker.facts for worker in workers if worker.library == "convkit"), {})
    for worker in workers:
        versions |= worker.facts["versions"]
    return {
        "command": "python -m benchmarks " + shlex.join(sys.argv[1:]),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "threads": threads,
        "isa": sorted({worker.facts["isa"] for worker in workers if worker.library == "convkit"}, reverse=True),
        "compiler": convkit.get("compiler", ""),
        "versions": versions,
    }


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "CPU part")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"
