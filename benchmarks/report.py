"""From the runner's JSON to tables, a picture, a comparison of two runs, and a verdict.

The ratio is the best peer's time over convkit's, above 1 where convkit is faster: formed round by round, then the median, so
that a slow second of the machine falls on both. The share of the peak is likewise a median over samples.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
from pathlib import Path

from . import random_report
from .compare import compare
from .ratios import convkit_rows, interval, ratio, rounds
from .tables import Table, milliseconds, percent, print_table

SLOW = random_report.SLOW

def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="what `convkit bench --json FILE` wrote")
    parser.add_argument("newer", nargs="?", help="a second file: compare it with the first")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--save", metavar="DIR", help="write report.md, report.html and pictures there")
    add_limits(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--need-peak", type=float, metavar="SHARE", help="exit 1 if a pass is under this share of the peak")
    parser.add_argument("--need-ratio", type=float, metavar="RATIO", help="exit 1 if a pass is under this ratio")
    parser.add_argument("--need-ordinary", action="store_true", help="exit 1 if a random shape is slow or pathological")


def main(args: argparse.Namespace) -> int:
    results = [load(file) for file in (args.file, args.newer) if file]
    old = results[0] if args.newer else None
    show(results[-1], args.markdown, table=compare(*results) if old else None)
    if args.save:
        save(results[-1], Path(args.save), old)
    return judge(results[-1], args)


def load(file: str) -> dict:
    """What a run wrote; ends the program with one line where there is no such file."""
    try:
        result = json.loads(Path(file).read_text())
        result["head"], result["missing"], result["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{file}: no report of convkit bench ({type(error).__name__})") from None
    return result


def save(result: dict, folder: Path, old: dict | None = None) -> None:
    """Write report.md, report.html and the pictures; those only where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        show(result, True)
    (folder / "report.md").write_text("# convkit's benchmarks\n\n" + text.getvalue())
    try:
        from .page import page
        from .plot import figures

        drawn = figures(result, old)
    except ImportError as error:
        print(f"no pictures and no page: {error}", file=sys.stderr)
        return
    for title, figure in drawn.items():
        figure.savefig(folder / (title.lower().replace(" ", "-").replace(",", "") + ".png"), dpi=110)
    (folder / "report.html").write_text(page(result, drawn, old))


def times_tables(result: dict) -> dict[str, Table]:
    """A table for each suite but that of random shapes."""
    suites = dict.fromkeys(row["suite"] for row in result["results"] if row["suite"] != "random")
    return {suite: times_table(result, suite) for suite in suites}


def times_table(result: dict, suite: str) -> Table:
    """One line for each pass of convkit: median time, spread, share of the peak, the peers, the ratio; ~ where it is unsure."""
    pairs = [(ours, peers) for ours, peers in convkit_rows(result) if ours["suite"] == suite]
    names = list(dict.fromkeys(name for _, peers in pairs for name in peers))
    head = ["layer", "pass", "threads", "isa", "algorithm", "convkit ms", "best", "spread", "of peak", "best"]
    head += [*(f"{name} ms" for name in names), "ratio", "90 % sure", "wide"]
    lines = []
    for ours, peers in pairs:
        shares = [percent(ours.get(name)) for name in ("fraction_median", "fraction_best")]
        own = [milliseconds(ours), milliseconds(ours, "best"), percent(ours.get("spread")), *shares]
        what = ours["what"] + (" f64" if ours["dtype"] == "float64" else "")
        theirs = [milliseconds(peers[name]) if name in peers else "" for name in names]
        where = [ours["layer"], what, str(ours["threads"]), ours.get("isa") or "", ours.get("algorithm") or ""]
        ratios = rounds(ours, peers)
        faster = [f"{statistics.median(ratios):.2f}", "{:.2f}-{:.2f}".format(*interval(ratios))] if ratios else ["", ""]
        lines.append([*where, *own, *theirs, *faster, "~" if ours.get("wide") else ""])
    return head, lines


def summary(result: dict) -> list[str]:
    """One sentence for each suite, pass, number of threads and instruction set."""
    sets: dict[tuple, list[tuple[dict, float | None]]] = {}
    for ours, peers in convkit_rows(result):
        if ours.get("library") and ours["status"] != "absent":
            key = tuple(ours[name] for name in ("suite", "what", "threads", "isa"))
            sets.setdefault(key, []).append((ours, ratio(ours, peers)))
    lines = []
    for (suite, what, threads, isa), rows in sets.items():
        text = f"{suite} {what}, {threads} threads, {isa}: {len(rows)} passes"
        broken = sum(row["status"] in ("failed", "differs") for row, _ in rows)
        text += f", {broken} of them without a right result" if broken else ""
        shares = [(row["fraction_median"], row["layer"]) for row, _ in rows if "fraction_median" in row]
        ratios = [(faster, row["layer"]) for row, faster in rows if faster]
        if shares:
            unit = "of a copy" if suite in ("pool", "ops") else "of the peak"
            text += f"; {unit}: median {percent(median(shares))}, least {percent(min(shares)[0])} ({min(shares)[1]})"
        if ratios:
            text += f"; best peer's time over ours: median {median(ratios):.2f}, least {min(ratios)[0]:.2f} ({min(ratios)[1]})"
        lines.append(text)
    return lines


def memory_tables(result: dict) -> dict[str, Table]:
    """Peak memory of passes, a column for each library, and what calls of many shapes leave behind."""
    found = result.get("memory")
    if not found:
        return {}
    names = list(dict.fromkeys(row["library"] for row in found["passes"]))
    lines: dict[tuple[str, str], dict] = {}
    for row in found["passes"]:
        lines.setdefault((row["layer"], row["what"]), {})[row["library"]] = row
    table = []
    for (layer, what), mine in lines.items():
        result_mb = next((f"{row['result MB']:.1f}" for row in mine.values() if "MB" in row), "")
        table.append([layer, what, result_mb, *(f"{mine[n]['MB']:.1f}" if "MB" in mine.get(n, {}) else "-" for n in names)])
    calls = [[row["library"], str(row["calls"]), *(f"{row[each]:.1f}" for each in ("settled MB", "grown MB"))]
             for row in found["calls"] if "grown MB" in row]  # fmt: skip
    return {
        "memory: peak of a pass beyond what it reads, MB": (["layer", "pass", "of it the result", *names], table),
        "memory: many shapes": (["library", "shapes", "MB after the first", "grown by the end, MB"], calls),
    }


def judge(result: dict, args: argparse.Namespace) -> int:
    """0 where every limit of the command line holds; names the passes that fail."""
    broken = [row for row in result["results"] if row["library"] == "convkit" and row["status"] in ("failed", "differs")]
    misses = [f"convkit {row['isa'] or ''} {row['layer']} {row['what']}, {row['threads']} threads: {row['note']}"
              for row in broken]  # fmt: skip
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


def facts(result: dict) -> list[tuple[str, str]]:
    """The head as text."""

    def told(value) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {told(each)}" for name, each in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return [(name, told(value)) for name, value in result["head"].items()]


def show(result: dict, markdown: bool = False, table: Table | None = None) -> None:
    """Print head, table, what failed, and the summary."""
    for name, text in facts(result):
        print(f"{'- ' if markdown else ''}{name}: {text}")
    for title, content in {"": table}.items() if table else times_tables(result).items():
        print(f"\n{'## ' if markdown else ''}{title}\n")
        print_table(*content, markdown)
    if table is None:
        random_report.show(result, markdown)
    for title, content in memory_tables(result).items():
        print(f"\n{'## ' if markdown else ''}{title}\n")
        print_table(*content, markdown)
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
