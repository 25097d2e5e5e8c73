"""Two runs of the same suites on the same machine: do they say the same?

    convkit bench --suite pool,small --json a.json
    convkit bench --suite pool,small --json b.json
    convkit bench agree a.json b.json

The ratio to the best peer is formed round by round, and of a pass it is the median over rounds; of a suite it is the median
over its passes, of those that both runs have. A machine that is slower for a while slows both sides of a ratio.
"""

from __future__ import annotations

import argparse
import statistics

from .ratios import KEY, convkit_rows, ratio
from .report import load
from .tables import Table, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A.json")
    parser.add_argument("second", metavar="B.json")
    parser.add_argument("--most", type=float, default=0.05, help="exit 1 if a suite differs by more (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    table, worst = compared(load(args.first), load(args.second))
    if not table[1]:
        raise SystemExit("agree: the runs have no pass beside a peer in common")
    print_table(*table, False)
    print(f"\nat most {worst:.1%} apart")
    return int(worst > args.most)


def compared(first: dict, second: dict) -> tuple[Table, float]:
    """A line for each suite and number of threads, and how far apart the worst of them is."""
    found = [ratios(run) for run in (first, second)]
    sets: dict[tuple, list[tuple]] = {}
    for key in found[0]:
        if key in found[1]:
            sets.setdefault((key[0], key[KEY.index("threads")]), []).append(key)
    lines, worst = [], 0.0
    for (suite, threads), keys in sets.items():
        medians = [statistics.median(run[key] for key in keys) for run in found]
        each = statistics.median(abs(found[1][key] / found[0][key] - 1) for key in keys)
        apart = medians[1] / medians[0] - 1
        worst = max(worst, abs(apart))
        lines.append([suite, str(threads), str(len(keys)), *(f"{m:.3f}" for m in medians), f"{apart:+.1%}", f"{each:.1%}"])
    return (["suite", "threads", "passes", "ratio A", "ratio B", "apart", "a pass, median"], lines), worst


def ratios(run: dict) -> dict[tuple, float]:
    """The ratio of each pass, by what it is and the instruction set."""
    pairs = [(ours, ratio(ours, peers)) for ours, peers in convkit_rows(run)]
    return {(*(ours[name] for name in KEY), ours["isa"]): value for ours, value in pairs if value}
