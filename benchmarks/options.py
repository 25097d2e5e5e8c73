"""The options of a run, and what is refused before anything starts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from . import random_shapes, report
from .libraries import INSTALL, LIMITS
from .suites import SUITES, USUAL

PEERS = [name for name in INSTALL if name != "convkit"]
PASSES = ("fwd", "dx", "dw", "both", "step")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="a few rows of each suite, in two or three minutes")
    parser.add_argument("--suite", default=",".join(USUAL), help=f"of {','.join(SUITES)} (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="families, tags, names: 'peak' or '1x1 *'")
    parser.add_argument("--what", default=",".join(PASSES), help="passes (default: %(default)s)")
    parser.add_argument("--threads", default="1", help="numbers of threads, such as 1,2 (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="float32, float64 (default: %(default)s)")
    parser.add_argument("--isa", default="", help="instruction sets of convkit (default: the best)")
    parser.add_argument("--peers", default="usual", help=f"of {','.join(PEERS)}; or usual (for each suite), all, none")
    parser.add_argument("--json", metavar="FILE", help="write the results there, also when interrupted")
    parser.add_argument("--save", metavar="DIR", help="write report.json, report.md, report.html and pictures there")
    parser.add_argument("--compare", metavar="OLD.json", help="against an earlier run: exit 1 on a regression beyond noise")
    more = parser.add_argument_group("more")
    more.add_argument("--peer-python", default=sys.executable, help="interpreter of the peers (default: this one)")
    more.add_argument("--peer-isa", choices=LIMITS, help="keep the peers to it, too; those that cannot are left out")
    more.add_argument("--algorithm", default="auto", help="convkit's algorithm for convolutions (default: %(default)s)")
    more.add_argument("--count", type=int, default=random_shapes.COUNT, help="random shapes (default: %(default)s)")
    more.add_argument("--seed", type=int, default=random_shapes.SEED, help="of the random shapes (default: %(default)s)")
    more.add_argument("--rounds", type=int, help="interleaved samples of each (default: 5, quick 3)")
    more.add_argument("--seconds", type=float, help="of one sample (default: 0.03, quick 0.02)")
    more.add_argument("--doubt", type=float, metavar="RATIO", help="up to twice the rounds for a pass whose ratio may "
                      "lie on either side of it (default: 0.9 for random shapes)")  # fmt: skip
    more.add_argument("--resume", action="store_true", help="keep what is in the JSON file, measure what is missing")
    more.add_argument("--budget", type=float, metavar="SECONDS", help="begin no pass after so many (see --resume)")
    report.add_limits(more)


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be measured; fill in what depends on other options."""
    suites = parts(args.suite)
    refuse_unknown("--suite", suites, SUITES)
    refuse_unknown("--what", parts(args.what), PASSES)
    refuse_unknown("--dtype", parts(args.dtype), ("float32", "float64"))
    refuse_unknown("--peers", parts(args.peers), [*PEERS, "usual", "all", "none"])
    cores = os.cpu_count() or 1
    for text in parts(args.threads):
        if not text.isdigit() or not 1 <= int(text) <= cores:
            raise SystemExit(f"--threads: this machine has {cores} cores, got {args.threads}")
    if "algorithms" in suites and suites != ["algorithms"]:
        raise SystemExit("--suite: algorithms are measured against each other, without other suites")
    if args.resume and not (args.json or args.save):
        raise SystemExit("--resume: name the file by --json, or the folder by --save")
    if args.doubt is None and "random" in suites:
        args.doubt = report.SLOW
    args.rounds = args.rounds or (3 if args.quick else 5)
    args.seconds = (0.02 if args.quick else 0.03) if args.seconds is None else args.seconds
    args.only = args.only or ("quick" if args.quick else "")


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def refuse_unknown(option: str, got: list[str], known: Iterable[str]) -> None:
    for name in got:
        if name not in known:
            raise SystemExit(f"{option}: {name!r} is none of {', '.join(known)}")
