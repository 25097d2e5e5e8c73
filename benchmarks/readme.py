"""The two pictures of the README, drawn from the full report: what it is against its peers, and how near to the machine's peak.

    convkit bench --threads 1,2 --save benchmarks/results --resume
    convkit bench readme
"""

from __future__ import annotations

import argparse
import re

from .processes import ROOT
from .ratios import convkit_rows, ratio
from .report import load, summary

REPORT, DOCS, README = ROOT / "benchmarks" / "results" / "report.json", ROOT / "docs", ROOT / "README.md"
START, END = "<!-- benchmarks: written by `convkit bench readme` -->", "<!-- end of benchmarks -->"
TAGS = ("peak", "peers")                                # the layers of the picture: as many as can be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default=str(REPORT), help="the report to draw from (default: benchmarks/results)")


def main(args: argparse.Namespace) -> int:
    from . import curves, layers, plot, shapes

    plot.figures({"head": {"versions": {}}, "results": []})        # says what is missing, if matplotlib is
    result = load(args.file)
    names = {case.name for case in shapes.matching([*layers.CONV, *layers.MODELS, *layers.TRAIN], [*TAGS])}
    rows = [(ours, ratio(ours, peers)) for ours, peers in convkit_rows(result) if ours.get("median")]
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
    lines = [START, "", f"Measured {told}, by `{head['command']}`:", "", *(f"- {line}" for line in summary(result)), "", END]
    return re.sub(re.escape(START) + ".*?" + re.escape(END), lambda _: "\n".join(lines), text, flags=re.DOTALL)
