"""Pictures of how cost depends on size: the roofline, the suite scaling, threads; and of two runs, before and after."""

from __future__ import annotations

import statistics
from math import log10

from . import compare

GROWN = {"batch": "images", "channels": "channels", "area": "pixels along an edge"}
LINES = {"convkit": ("#d55e00", "o"), "torch": ("#0072b2", "s"), "torch_cl": ("#56b4e9", "^"), "ort": ("#009e73", "v")}
MARKS = {"fwd": "#0072b2", "dx": "#e69f00", "dw": "#009e73"}


def figures(result: dict, old: dict | None) -> dict[str, object]:
    drawn = {"Roofline": roofline(result), "Scaling": scaling(result), "Threads": threads(result)}
    drawn["Before and after"] = before_and_after(old, result) if old else None
    return {title: figure for title, figure in drawn.items() if figure is not None}


def _ours(result: dict, suites: tuple[str, ...]) -> list[dict]:
    return [row for row in result["results"] if row["library"] == "convkit" and row["suite"] in suites and row.get("median")]


def _figure(width: float, height: float, panels: int):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    found = figure.subplots(1, panels, squeeze=False)[0]
    for panel in found:
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, found


def roofline(result: dict):
    """GFLOP/s of each convolution over its FLOP a byte, under what the machine gave in the same run."""
    rows = [row for row in _ours(result, ("conv", "random")) if row["dtype"] == "float32" and row.get("bytes")]
    counts = sorted({row["threads"] for row in rows})
    roofs = result["head"].get("machine", {})
    counts = [count for count in counts if f"{count} threads" in roofs]
    if not counts:
        return None
    figure, panels = _figure(6 * len(counts), 5, len(counts))
    for panel, count in zip(panels, counts, strict=True):
        mine = [row for row in rows if row["threads"] == count]
        roof = roofs[f"{count} threads"]
        peak, copy = roof["float32 GFLOP/s"], roof["copy of 64 MB GB/s"]
        each = [row["work"] / row["bytes"] for row in mine]
        ends = [min(*each, peak / copy / 4), max(*each, peak / copy * 4)]
        corner = peak / copy
        panel.plot([ends[0], corner, ends[1]], [copy * ends[0], peak, peak], color="black", linewidth=1)
        for what, colour in MARKS.items():
            some = [(x, row["work"] / row["median"] / 1e9) for x, row in zip(each, mine, strict=True) if row["what"] == what]
            if some:
                panel.scatter(*zip(*some, strict=True), s=16, color=colour, alpha=0.7, linewidths=0, label=what)
        title = f"{count} thread{'s' * (count > 1)}: {peak:.0f} GFLOP/s, {copy:.0f} GB/s of a 64 MB copy"
        panel.set(xscale="log", yscale="log", xlabel="FLOP a byte, each number moved once", title=title)
        panel.set(ylabel="GFLOP/s of a plain sum (Winograd does with less, so may lie above)")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        panel.legend(frameon=False, loc="lower right")
    return figure


def scaling(result: dict):
    """Time over one size at a time, for each library and number of threads."""
    rows = [row for row in result["results"] if row["suite"] == "scaling" and row["what"] == "fwd" and row.get("median")]
    if not rows:
        return None
    figure, panels = _figure(15, 4.5, len(GROWN))
    for panel, (family, label) in zip(panels, GROWN.items(), strict=True):
        mine = [row for row in rows if row["family"] == family]
        for library, count in dict.fromkeys((row["library"], row["threads"]) for row in mine):
            some = sorted((size_of(row), row["median"] * 1e3) for row in mine
                          if (row["library"], row["threads"]) == (library, count))  # fmt: skip
            colour, mark = LINES.get(library, ("grey", "."))
            style = {"color": colour, "marker": mark, "markersize": 4, "linestyle": "-" if count == 1 else "--"}
            panel.plot(*zip(*some, strict=True), **style, label=f"{library}, {count} T")
        panel.set(xscale="log", yscale="log", xlabel=label, ylabel="ms")
        panel.xaxis.set_major_formatter("{x:g}")
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle("3x3, 64 -> 64 channels, 28 x 28 pixels, one image: one of these at a time", fontsize=10)
    return figure


def size_of(row: dict) -> int:
    """What grows in a row of the suite scaling, from its name such as `3x3 64->64 @56 b1`."""
    _, channels, area, batch = row["layer"].split()
    return int({"batch": batch[1:], "channels": channels.split("->")[0], "area": area[1:]}[row["family"]])


def threads(result: dict):
    """How many times as fast several threads are as one, by the work of the pass."""
    rows = _ours(result, ("conv", "scaling", "small"))
    alone = {_pass(row): row["median"] for row in rows if row["threads"] == 1}
    more = [row for row in rows if row["threads"] > 1 and _pass(row) in alone]
    if not more:
        return None
    figure, (panel,) = _figure(7, 4.5, 1)
    for count in sorted({row["threads"] for row in more}):
        some = [(row["work"] / 1e6, alone[_pass(row)] / row["median"]) for row in more if row["threads"] == count]
        panel.scatter(*zip(*some, strict=True), s=16, alpha=0.6, linewidths=0, label=f"{count} threads")
        panel.axhline(count, color="grey", linewidth=0.8, linestyle=":")
    panel.set(xscale="log", xlabel="MFLOP", ylabel="times as fast as one thread")
    panel.legend(frameon=False, loc="lower right")
    return figure


def _pass(row: dict) -> tuple:
    return tuple(row[name] for name in ("suite", "layer", "what", "dtype", "isa"))


def before_and_after(old: dict, new: dict):
    """A bar for each of convkit's passes that both runs have, the worst first, with the interval of the change."""
    found = [(f"{row['layer']} {row['what']} {row['threads']}T", compare.change(was, row))
             for was, row in compare.pairs(old, new) if row["library"] == "convkit"]  # fmt: skip
    if not found:
        return None
    found.sort(key=lambda each: each[1][0])
    figure, (panel,) = _figure(9, 1.5 + 0.2 * len(found), 1)
    middles, places = [log10(gain) for _, (gain, _, _) in found], range(len(found))
    ends = [(middle - log10(least), log10(most) - middle)
            for middle, (_, (_, least, most)) in zip(middles, found, strict=True)]  # fmt: skip
    errors = [[max(side, 0) for side in sides] for sides in zip(*ends, strict=True)]
    colours = ["#009e73" if least > compare.DRIFT else "#d55e00" if most * compare.DRIFT < 1 else "#bbbbbb"
               for _, (_, least, most) in found]  # fmt: skip
    panel.barh(places, middles, xerr=errors, color=colours, ecolor="#555555", error_kw={"linewidth": 0.8})
    panel.set_yticks(places, [name for name, _ in found], fontsize=8)
    panel.xaxis.set_major_formatter(lambda x, _: f"{10**x:.2g}")
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set(xlabel=f"times as fast as before (median {statistics.median(gain for _, (gain, _, _) in found):.2f})")
    return figure
