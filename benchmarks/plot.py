"""Pictures of a run: ratio to the best peer and share of the peak, layer by layer, or by class of the random shapes."""

from __future__ import annotations

import textwrap

from . import curves, random_report
from .ratios import convkit_rows, ratio

# Blue, orange, green: told apart by the colour-blind too; lighter for further settings of the same pass.
COLOURS = {"fwd": "#0072b2", "dx": "#e69f00", "dw": "#009e73", "both": "#cc79a7", "step": "#56b4e9"}
RATIO = "best peer's time / convkit's (right of 1: convkit is faster)"
WIDE, NARROW = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20), (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3)


def figures(result: dict, old: dict | None = None) -> dict[str, object]:
    """The pictures by title."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError('the pictures need matplotlib; run pip install "convkit-numpy[bench]"') from None
    matplotlib.use("Agg")
    rows = [(ours, ratio(ours, peers)) for ours, peers in convkit_rows(result) if ours.get("median")]
    drawn = {}
    for suite in dict.fromkeys(ours["suite"] for ours, _ in rows):
        mine = [pair for pair in rows if pair[0]["suite"] == suite]
        if suite not in ("random", "scaling") and any(faster for _, faster in mine):
            drawn[f"Ratio, {suite}"] = draw(result, mine)
    if passes := random_report.measured(result):
        drawn["Random shapes"] = draw_random(result, passes)
    return drawn | curves.figures(result, old)


def draw(result: dict, rows: list[tuple[dict, float | None]]):
    """Bars, one for each pass of a layer."""
    layers = list(dict.fromkeys(ours["layer"] for ours, _ in rows))
    settings = list(dict.fromkeys(random_report.setting(ours) for ours, _ in rows))
    height = 0.8 / max(len(settings), 1)
    figure, left, right = axes(result, layers, 1.6 + len(layers) * max(0.3, 0.14 * len(settings)))
    for number, name in enumerate(settings):
        mine = [(ours, faster) for ours, faster in rows if random_report.setting(ours) == name]
        places = [layers.index(ours["layer"]) + (number - (len(settings) - 1) / 2) * height for ours, _ in mine]
        shade = 1 - 0.6 * number / max(len(settings), 2)
        style = {"height": height, "color": COLOURS[mine[0][0]["what"]], "alpha": shade, "label": name}
        left.barh(places, [(faster or 1) - 1 for _, faster in mine], left=1, **style)
        right.barh(places, [100 * (ours.get("fraction_median") or 0) for ours, _ in mine], **style)
    right.set(xlabel="% of the multiply-add peak" if rows[0][0]["unit"] == "FLOP" else "% of a copy's bandwidth")
    return finished(figure, left, right)


def draw_random(result: dict, passes: list[random_report.Pass]):
    """A dot for each pass of a shape, in the line of its class."""
    classes = sorted({each.family for each in passes})
    settings = list(dict.fromkeys(each.setting for each in passes))
    figure, left, right = axes(result, classes, 2 + len(classes) * 0.13 * (1 + len(settings)))
    for number, name in enumerate(settings):
        mine = [each for each in passes if each.setting == name]
        height = 0.8 * (number - (len(settings) - 1) / 2) / len(settings)
        places = [classes.index(each.family) + height for each in mine]
        style = {"s": 14, "alpha": 0.5, "linewidths": 0, "color": COLOURS[mine[0].row["what"]], "label": name}
        left.scatter([each.ratio for each in mine], places, **style)
        right.scatter([100 * each.share for each in mine], places, **style)
    left.axvline(random_report.SLOW, color="grey", linewidth=0.8, linestyle=":")
    right.set(xlabel="% of the multiply-add peak", xscale="log")
    right.xaxis.set_major_formatter("{x:g}")
    return finished(figure, left, right)


def axes(result: dict, names: list[str], height: float):
    """A figure with two panels, one line for each name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set(xscale="log", xlabel=RATIO)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    head = result["head"]
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    figure.suptitle("\n".join(textwrap.wrap(f"{head['cpu']}, commit {head['commit']}, {head['date'][:10]}: {versions}", 150)),
                    fontsize=9)
    return figure, left, right


def finished(figure, left, right):
    """The figure, with ticks that can be read, a line at what is equal, and a legend."""
    from matplotlib.ticker import NullLocator

    low, high = left.get_xlim()
    left.set_xticks([tick for tick in (WIDE if high / low > 6 else NARROW) if low <= tick <= high], minor=False)
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    for panel, equal in ((left, 1), (right, 100)):
        panel.axvline(equal, color="black", linewidth=0.8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
