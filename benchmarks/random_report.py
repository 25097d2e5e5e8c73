"""The suite of random shapes: one line for each, a summary by class, and the shapes that are slow, worst first.

slow           the best peer takes less than 0.9 of convkit's time
pathological   less than a third of the median share of the peak of its class, in the same pass
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from .ratios import best_peer, convkit_rows, interval, rounds
from .tables import Table, percent, print_table

SLOW, CLIFF = 0.9, 1 / 3


class Pass(NamedTuple):
    """What a line is made of."""

    row: dict
    peer: str
    ratios: list[float]
    fastest: float                                      # the ratio of the fastest single runs: slow seconds do not touch it
    typical: float                                      # median share of the peak of the class

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios) if self.ratios else float("nan")

    @property
    def share(self) -> float:
        return self.row["fraction_median"]

    @property
    def family(self) -> str:
        return self.row["family"]

    @property
    def setting(self) -> str:
        return setting(self.row)

    @property
    def group(self) -> tuple:
        return group(self.row)


def group(row: dict) -> tuple:
    return tuple(row[name] for name in ("family", "what", "dtype", "threads", "isa"))


def measured(result: dict) -> list[Pass]:
    """convkit's passes over random shapes that have a right result and a time."""
    pairs = [(ours, peers) for ours, peers in convkit_rows(result) if ours["suite"] == "random" and "fraction_median" in ours]
    shares: dict[tuple, list[float]] = {}
    for ours, _ in pairs:
        shares.setdefault(group(ours), []).append(ours["fraction_median"])
    typical = {key: statistics.median(values) for key, values in shares.items()}
    names = [(best_peer(peers) or {"library": ""})["library"] for _, peers in pairs]
    return [Pass(ours, name, rounds(ours, peers), of_fastest(ours, peers), typical[group(ours)])
            for (ours, peers), name in zip(pairs, names, strict=True)]  # fmt: skip


def of_fastest(ours: dict, peers: dict[str, dict]) -> float:
    return min((row["best"] for row in peers.values() if "best" in row), default=float("nan")) / ours["best"]


def slow(passes: list[Pass]) -> list[Pass]:
    return sorted((each for each in passes if each.ratio < SLOW), key=lambda each: each.ratio)


def pathological(passes: list[Pass]) -> list[Pass]:
    found = (each for each in passes if each.share < CLIFF * each.typical)
    return sorted(found, key=lambda each: each.share / each.typical)


def shapes_table(passes: list[Pass]) -> Table:
    """One line for each shape, with the ratio and the share of the peak in each of its passes."""
    kinds = list(dict.fromkeys(each.setting for each in passes))
    head = ["shape", "class", *(f"{kind} {figure}" for kind in kinds for figure in ("ratio", "of peak", "best peer"))]
    lines: dict[str, dict[str, Pass]] = {}
    for each in passes:
        lines.setdefault(each.row["layer"], {})[each.setting] = each
    blank = ["", "", ""]
    table = []
    for layer, mine in lines.items():
        cells = [cell for kind in kinds for cell in (figures(mine[kind]) if kind in mine else blank)]
        table.append([layer, next(iter(mine.values())).family, *cells])
    return head, table


def setting(row: dict) -> str:
    """Such as `fwd 1T avx512`."""
    return f"{row['what']} {row['threads']}T {row['isa']}" + (" f64" if row["dtype"] == "float64" else "")


def figures(each: Pass) -> list[str]:
    return [f"{each.ratio:.2f}" if each.ratios else "", percent(each.share), each.peer]


def classes_table(passes: list[Pass]) -> Table:
    """Medians and extremes by class and pass."""
    groups: dict[tuple, list[Pass]] = {}
    for each in sorted(passes, key=lambda each: tuple(map(str, each.group))):
        groups.setdefault(each.group, []).append(each)
    lines = []
    for mine in groups.values():
        ratios, shares = sorted(each.ratio for each in mine if each.ratios), sorted(each.share for each in mine)
        faster = [f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f}"] if ratios else ["", ""]
        used, bad = [percent(statistics.median(shares)), percent(shares[0])], [len(slow(mine)), len(pathological(mine))]
        lines.append([mine[0].family, mine[0].setting, str(len(mine)), *faster, *used, *map(str, bad)])
    return ["class", "pass", "shapes", "ratio", "least", "of peak", "least", "slow", "pathological"], lines


def offenders_table(passes: list[Pass]) -> Table:
    head = ["shape", "class", "pass", "ratio", "90 % sure", "fastest", "best peer", "of peak", "of class", "ms", "algorithm"]
    lines = []
    for each in passes:
        low, high = interval(each.ratios) if each.ratios else (float("nan"),) * 2
        lines.append([each.row["layer"], each.family, each.setting, f"{each.ratio:.2f}", f"{low:.2f}-{high:.2f}",
                      f"{each.fastest:.2f}", each.peer, percent(each.share), percent(each.typical),
                      f"{each.row['median'] * 1e3:.4g}", each.row.get("algorithm", "")])  # fmt: skip
    return head, lines


def show(result: dict, markdown: bool = False) -> None:
    """Print what there is about random shapes."""
    passes = measured(result)
    if not passes:
        return
    print_table(*shapes_table(passes), markdown)
    print()
    print_table(*classes_table(passes), markdown)
    compared = [each for each in passes if each.ratios]
    for text, found, of in (
        (f"slower than {SLOW} of the best peer", slow(passes), compared),
        ("below a third of the median share of the peak of their class", pathological(passes), passes),
    ):
        print(f"\n{len(found)} of {len(of)} passes are {text}")
        if found:
            print_table(*offenders_table(found), markdown)
    if compared:
        wins = statistics.median(each.ratio for each in compared)
        print(f"\nbest peer's time over ours, over all {len(compared)} passes: median {wins:.2f}")


def misses(result: dict) -> list[str]:
    """A sentence for each pass that is slow or pathological."""
    passes = measured(result)
    texts = [f"{each.row['layer']} {each.setting}: ratio {each.ratio:.2f}" for each in slow(passes)]
    for each in pathological(passes):
        shares = f"{percent(each.share)} of the peak, {percent(each.typical)} in its class"
        texts.append(f"{each.row['layer']} {each.setting}: {shares}")
    return texts
