"""What a user pays before the first convolution: the size of the wheel, and the time that `import convkit` adds to NumPy's."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .processes import ROOT

PROGRAMS = {"numpy": "import numpy", "convkit": "import numpy, convkit"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wheel", metavar="FILE", help="a wheel to weigh (default: the newest in dist/)")
    parser.add_argument("--build", action="store_true", help="build a wheel first, in a temporary folder")
    parser.add_argument("--rounds", type=int, default=25, help="interpreter starts of each kind (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--most-mb", type=float, help="exit 1 if the wheel is heavier")
    parser.add_argument("--most-ms", type=float, help="exit 1 if the import takes longer over NumPy's")


def main(args: argparse.Namespace) -> int:
    figures = measure(args.rounds, args.wheel, args.build)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")
    heavy = args.most_mb and not (figures["wheel MB"] and figures["wheel MB"] <= args.most_mb)
    slow = args.most_ms and not figures["import over numpy ms"] <= args.most_ms
    return 1 if heavy or slow else 0


def measure(rounds: int, wheel: str | None = None, build: bool = False) -> dict:
    """The figures by name; the wheel's size is None where there is none to weigh."""
    with tempfile.TemporaryDirectory() as folder:
        if build:
            command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", folder]
            subprocess.run(command, check=True)
        place = Path(folder) if build else ROOT / "dist"
        wheels = [Path(wheel)] if wheel else sorted(place.glob("*.whl"), key=lambda path: path.stat().st_mtime)
        size = round(wheels[-1].stat().st_size / 1e6, 3) if wheels else None
    return {"wheel MB": size, "installed MB": installed(), **import_times(rounds)}


def installed() -> float:
    """Megabytes of the package in use, without its sources in Cython and without bytecode."""
    import convkit

    files = (path for path in Path(convkit.__file__).parent.rglob("*") if path.is_file())
    return round(sum(path.stat().st_size for path in files if path.suffix not in (".pyx", ".pxd", ".pyc")) / 1e6, 3)


def import_times(rounds: int) -> dict[str, float]:
    """Median and best milliseconds of whole interpreters, and of the difference, taken round by round."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as bytecode:  # an installed package has its own; a checkout may be read-only
        environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        for turn in range(rounds + 1):
            for name, program in PROGRAMS.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
                if turn:  # the first round compiles and fills the disk's cache
                    times[name].append((time.perf_counter() - start) * 1e3)
    over = [ours - numpy for numpy, ours in zip(times["numpy"], times["convkit"], strict=True)]
    return {
        "import numpy ms": round(statistics.median(times["numpy"]), 2),
        "import numpy and convkit ms": round(statistics.median(times["convkit"]), 2),
        "import over numpy ms": round(statistics.median(over), 2),
        "import over numpy, best against best ms": round(min(times["convkit"]) - min(times["numpy"]), 2),
    }
