"""The two pictures of the README, drawn from the full report: what it is against its peers, and how near to the machine's peak.

    convkit bench --threads 1,2 --save benchmarks/results --resume
    convkit bench readme
"""

from __future__ import annotations

import argparse
import re
from statistics import median

from .processes import ROOT
from .ratios import convkit_rows, ratio
from .report import load

REPORT, DOCS, README = ROOT / "benchmarks" / "results" / "report.json", ROOT / "docs", ROOT / "README.md"
START, END = "<!-- benchmarks: written by `convkit bench readme` -->", "<!-- end of benchmarks -->"
COMMANDS = "[commands](benchmarks/README.md#the-command-behind-each-figure) are beside it, as a long run may be made in slices:"
TAGS = ("peak", "peers")                                # the layers of the picture: as many as can be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default=str(REPORT), help="the report to draw from (default: benchmarks/results)")


def main(args: argparse.Namespace) -> int:
    from . import curves, layers, plot, shapes

    plot.figures({"head": {"versions": {}}, "results": []})        # says what is missing, if matplotlib is
    result = load(args.file)
    fewest = min((ours["threads"] for ours, _ in convkit_rows(result) if ours.get("median")), default=1)
    names = {case.name for case in shapes.matching([*layers.CONV, *layers.MODELS, *layers.TRAIN], [*TAGS])}
    rows = [(ours, ratio(ours, peers)) for ours, peers in convkit_rows(result)
            if ours.get("median") and ours["threads"] == fewest]
    shown = [pair for pair in rows if pair[0]["suite"] in ("models", "train") or pair[0]["layer"] in names]
    shown = [(ours, faster) for ours, faster in shown if faster and ours["suite"] in ("conv", "models", "train")]
    if not shown:
        raise SystemExit(f"readme: {args.file} has no layers or models beside peers; run convkit bench --save first")
    plot.draw(result, shown).savefig(DOCS / "speed.png", dpi=110)
    if (roofline := curves.roofline(result)) is not None:
        roofline.savefig(DOCS / "roofline.png", dpi=110)
    README.write_text(with_figures(README.read_text(), result))
    print(f"drew {DOCS / 'speed.png'} and {DOCS / 'roofline.png'}; wrote the figures into README.md")
    return 0


def with_figures(text: str, result: dict) -> str:
    """The README with the summary of the run, its date and machine, between the two marks."""
    if START not in text or END not in text:
        raise SystemExit(f"readme: README.md needs the lines {START!r} and {END!r}")
    head = result["head"]
    told = f"{head['date'][:10]}, {head['cpu']} ({head['cores']} cores, {head['clock']}), commit {head['commit'][:7]}"
    about = f"Best peer's time over convkit's (above 1, convkit is faster), measured {told}; the"
    lines = [START, "", about, COMMANDS, "", *table(result), "", END]
    return re.sub(re.escape(START) + ".*?" + re.escape(END), lambda _: "\n".join(lines), text, flags=re.DOTALL)


def table(result: dict) -> list[str]:
    """A line for each suite and pass: the median of the ratios, and the least with its row, for each number of threads."""
    found: dict[tuple[str, str], dict[int, list[tuple[float, str]]]] = {}
    for ours, peers in convkit_rows(result):
        if ours.get("median") and (faster := ratio(ours, peers)):
            each = found.setdefault((ours["suite"], ours["what"]), {})
            each.setdefault(ours["threads"], []).append((faster, ours["layer"]))
    counts = sorted({threads for each in found.values() for threads in each})
    titles = [f"{count} {'thread' if count == 1 else 'threads'}: {what}" for count in counts for what in ("median", "least")]
    lines = [f"| suite | pass | rows | {' | '.join(titles)} |", "|---|---|" + "---:|" * (1 + len(titles))]
    for (suite, what), each in found.items():
        cells = [suite, what, str(max(len(ratios) for ratios in each.values()))]
        for count in counts:
            ratios = each.get(count)
            least = f"{min(ratios)[0]:.2f} ({min(ratios)[1]})" if ratios else "-"
            cells += [f"{median(value for value, _ in ratios):.2f}" if ratios else "-", least]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
