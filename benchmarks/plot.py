"""A picture of a run: the ratio to the best peer and the share of the peak, layer by layer."""

from __future__ import annotations

from .ratios import convkit_rows, ratio

# Blue, orange, green: told apart by the colour-blind too; lighter for further settings of the same pass.
COLOURS = {"fwd": "#0072b2", "dx": "#e69f00", "dw": "#009e73"}


def plot(result: dict, path: str) -> None:
    """Draw bars of convkit's rows into the PNG file at `path`."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError('the plot needs matplotlib; run pip install "convkit-numpy[bench]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(ours, ratio(ours, peers)) for ours, peers in convkit_rows(result) if ours.get("median")]
    layers = list(dict.fromkeys(ours["layer"] for ours, _ in rows))
    settings = list(dict.fromkeys(setting(ours) for ours, _ in rows))
    height = 0.8 / max(len(settings), 1)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(12, 1.6 + len(layers) * max(0.3, 0.14 * len(settings))), sharey=True, layout="constrained"
    )
    for number, name in enumerate(settings):
        mine = [(ours, faster) for ours, faster in rows if setting(ours) == name]
        places = [layers.index(ours["layer"]) + (number - (len(settings) - 1) / 2) * height for ours, _ in mine]
        shade = 1 - 0.6 * number / max(len(settings), 2)
        style = {"height": height, "color": COLOURS[mine[0][0]["what"]], "alpha": shade, "label": name}
        left.barh(places, [(faster or 1) - 1 for _, faster in mine], left=1, **style)
        right.barh(places, [100 * (ours.get("fraction_median") or 0) for ours, _ in mine], **style)
    left.set(xscale="log", xlabel="best peer's time / convkit's (right of 1: convkit is faster)")
    left.set_yticks(range(len(layers)), layers)
    left.invert_yaxis()
    low, high = left.get_xlim()
    wide, narrow = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10), (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3)
    ticks = wide if high / low > 6 else narrow
    left.set_xticks([tick for tick in ticks if low <= tick <= high], minor=False)
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    left.axvline(1, color="black", linewidth=0.8)
    right.set(xlabel="% of the multiply-add peak (pooling: of a copy's bandwidth)")
    right.axvline(100, color="black", linewidth=0.8)
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    head = result["head"]
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    figure.suptitle(f"{head['cpu']}, commit {head['commit']}, {head['date'][:10]}\n{versions}", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def setting(row: dict) -> str:
    return f"{row['what']} {row['threads']}T {row['isa']}" + (" f64" if row["dtype"] == "float64" else "")
