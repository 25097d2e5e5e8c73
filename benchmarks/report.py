"""From the runner's JSON to tables, a picture, a comparison of two runs, and a verdict.

The ratio is the best peer's time over convkit's, above 1 where convkit is faster: formed round by round, then the median, so
that a slow second of the machine falls on both. The share of the peak is likewise a median over samples.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from . import random_report
from .ratios import KEY, convkit_rows, interval, ratio, rounds
from .tables import Table, milliseconds, percent, print_table

SLOW = random_report.SLOW

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="what `python -m benchmarks run --json FILE` wrote")
    parser.add_argument("newer", nargs="?", help="a second file: compare it with the first")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--plot", metavar="PNG", help="draw ratios and shares of the peak into this file")
    parser.add_argument("--html", metavar="FILE", help="write pictures and tables as one page")
    add_limits(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--need-peak", type=float, metavar="SHARE", help="exit 1 if a pass is under this share of the peak")
    parser.add_argument("--need-ratio", type=float, metavar="RATIO", help="exit 1 if a pass is under this ratio")
    parser.add_argument("--need-ordinary", action="store_true", help="exit 1 if a random shape is slow or pathological")


def main(args: argparse.Namespace) -> int:
    results = [json.loads(Path(file).read_text()) for file in (args.file, args.newer) if file]
    show(results[-1], args.markdown, table=compare(*results) if args.newer else None)
    if args.plot:
        from .plot import plot

        plot(results[-1], args.plot)
    if args.html:
        from .page import page

        Path(args.html).write_text(page(results[-1]))
    return judge(results[-1], args)


def times_table(result: dict) -> Table:
    """One line for each pass of convkit: median time, spread, share of the peak, the peers, the ratio."""
    pairs = [(ours, peers) for ours, peers in convkit_rows(result) if ours["suite"] != "random"]
    names = list(dict.fromkeys(name for _, peers in pairs for name in peers))
    head = ["layer", "pass", "threads", "isa", "algorithm", "convkit ms", "best", "spread", "of peak", "best"]
    head += [*(f"{name} ms" for name in names), "ratio", "90 % sure"]
    lines = []
    for ours, peers in pairs:
        shares = [percent(ours.get(name)) for name in ("fraction_median", "fraction_best")]
        own = [milliseconds(ours), milliseconds(ours, "best"), percent(ours.get("spread")), *shares]
        what = ours["what"] + (" f64" if ours["dtype"] == "float64" else "")
        theirs = [milliseconds(peers[name]) if name in peers else "" for name in names]
        where = [ours["layer"], what, str(ours["threads"]), ours.get("isa") or "", ours.get("algorithm") or ""]
        ratios = rounds(ours, peers)
        faster = [f"{statistics.median(ratios):.2f}", "{:.2f}-{:.2f}".format(*interval(ratios))] if ratios else ["", ""]
        lines.append([*where, *own, *theirs, *faster])
    return head, lines


def compare(old: dict, new: dict) -> Table:
    """Each row that both runs have; the change is marked where it is larger than the spread of both."""
    before = {identity(row): row for row in old["results"] if "median" in row}
    head = ["layer", "pass", "threads", "library", "old ms", "new ms", "speed-up", "", "old of peak", "new of peak"]
    lines = []
    for row in new["results"]:
        was = before.get(identity(row))
        if was is None or "median" not in row:
            continue
        gain = was["median"] / row["median"]
        sure = "*" if abs(gain - 1) > max(was["spread"], row["spread"]) else ""
        shares = [percent(each.get("fraction_median")) for each in (was, row)]
        where = [row["layer"], row["what"], str(row["threads"]), f"{row['library']} {row['isa'] or ''}".strip()]
        lines.append([*where, milliseconds(was), milliseconds(row), f"{gain:.2f}", sure, *shares])
    return head, lines


def identity(row: dict) -> tuple:
    return (*(row[name] for name in KEY), row["library"], row["isa"])


def summary(result: dict) -> list[str]:
    """One sentence for each suite, pass, number of threads and instruction set."""
    sets: dict[tuple, list[tuple[dict, float | None]]] = {}
    for ours, peers in convkit_rows(result):
        if ours.get("library"):
            key = tuple(ours[name] for name in ("suite", "what", "threads", "isa"))
            sets.setdefault(key, []).append((ours, ratio(ours, peers)))
    lines = []
    for (suite, what, threads, isa), rows in sets.items():
        text = f"{suite} {what}, {threads} threads, {isa}: {len(rows)} passes"
        broken = sum(row["status"] != "ok" for row, _ in rows)
        text += f", {broken} of them without a right result" if broken else ""
        shares = [(row["fraction_median"], row["layer"]) for row, _ in rows if "fraction_median" in row]
        ratios = [(faster, row["layer"]) for row, faster in rows if faster]
        if shares:
            unit = "of a copy" if suite == "pool" else "of the peak"
            text += f"; {unit}: median {percent(median(shares))}, least {percent(min(shares)[0])} ({min(shares)[1]})"
        if ratios:
            text += f"; best peer's time over ours: median {median(ratios):.2f}, least {min(ratios)[0]:.2f} ({min(ratios)[1]})"
        lines.append(text)
    return lines


def judge(result: dict, args: argparse.Namespace) -> int:
    """0 where every limit of the command line holds; names the passes that fail."""
    misses = [f"{row['library']} {row['isa'] or ''} {row['layer']} {row['what']}, {row['threads']} threads: {row['note']}"
              for row in result["results"] if row["library"] == "convkit" and row["status"] != "ok"]  # fmt: skip
    for ours, peers in convkit_rows(result):
        where = f"{ours['layer']} {ours['what']}, {ours['threads']} threads, {ours.get('isa')}"
        share, faster = ours.get("fraction_median"), ratio(ours, peers)
        if args.need_peak and ours.get("suite") == "conv" and not (share and share >= args.need_peak):
            misses.append(f"{where}: {percent(share) or 'nothing'} of the peak, {percent(args.need_peak)} wanted")
        if args.need_ratio and not (faster and faster >= args.need_ratio):
            misses.append(f"{where}: ratio {faster or float('nan'):.2f}, {args.need_ratio:.2f} wanted")
    misses += random_report.misses(result) if args.need_ordinary else []
    for miss in misses:
        print("MISSED", miss, file=sys.stderr)
    return 1 if misses else 0


def show(result: dict, markdown: bool = False, table: Table | None = None) -> None:
    """Print head, table, what failed, and the summary."""
    for name, value in result["head"].items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{'- ' if markdown else ''}{name}: {', '.join(map(str, text)) if isinstance(text, list) else text}")
    if result["results"]:
        print()
        print_table(*(table or times_table(result)), markdown)
        if table is None:
            random_report.show(result, markdown)
    for row in result["results"]:
        if row["status"] in ("failed", "differs"):
            print(f"{row['library']}: {row['layer']} {row['what']} {row['status']}: {row['note']}")
    for name, hint in result["missing"].items():
        print(f"not measured: {name}: {hint}")
    print()
    print("\n".join(summary(result)))
    for name, value in result.get("startup", {}).items():
        print(f"{name}: {value}")


def median(pairs: list[tuple[float, str]]) -> float:
    return statistics.median(value for value, _ in pairs)
