"""Two runs of the same passes: what changed, and what of it is more than noise."""

from __future__ import annotations

import statistics

from .ratios import KEY, interval
from .tables import Table, milliseconds, percent

DRIFT = 1.1                                             # between two runs, over the intervals of both


def identity(row: dict) -> tuple:
    return (*(row[name] for name in KEY), row["library"], row["isa"])


def pairs(old: dict, new: dict) -> list[tuple[dict, dict]]:
    """Each row that both runs have, with a time."""
    before = {identity(row): row for row in old["results"] if row.get("median")}
    return [(before[identity(row)], row) for row in new["results"] if row.get("median") and identity(row) in before]


def costs(row: dict, with_peak: bool) -> list[float]:
    """Seconds, round by round; where both runs know it, the work that the machine could have done in that time.

    A machine in a cloud is slower on some days, which is no regression.
    """
    return [each["cost"] if with_peak else each["median"] for each in row["samples"]]


def change(was: dict, row: dict) -> tuple[float, float, float]:
    """How many times as fast as before: the median, and the ends of the interval that the noise of both runs leaves."""
    with_peak = all("cost" in each for side in (was, row) for each in side["samples"])
    before, after = costs(was, with_peak), costs(row, with_peak)
    (low_before, high_before), (low_after, high_after) = interval(before), interval(after)
    return statistics.median(before) / statistics.median(after), low_before / high_after, high_before / low_after


def beside_peers(old: dict, new: dict, was: dict, row: dict) -> float:
    """The change of the ratio to a peer that both runs timed, at best; 0 where there is none.

    A peer is the same program in both runs: what it lost as well, the machine took.
    """
    key = tuple(row[name] for name in KEY)
    theirs = [{each["library"]: each for each in side["results"] if tuple(each[name] for name in KEY) == key}
              for side in (old, new)]  # fmt: skip
    timed = [name for name in theirs[1] if name != "convkit" and all(side.get(name, {}).get("samples") for side in theirs)]
    if not timed:
        return 0.0
    peer = min(timed, key=lambda name: theirs[1][name]["best"])
    before, after = ([a["median"] / b["median"] for a, b in zip(side[peer]["samples"], mine["samples"], strict=False)]
                     for side, mine in zip(theirs, (was, row), strict=True))  # fmt: skip
    return interval(after)[1] / interval(before)[0]


def regressions(old: dict, new: dict) -> list[str]:
    """A sentence for each of convkit's passes that is slower beyond noise, by the peak and beside its peers."""
    found = []
    for was, row in pairs(old, new):
        gain, _, most = change(was, row)
        if row["library"] == "convkit" and most * DRIFT < 1 and beside_peers(old, new, was, row) * DRIFT < 1:
            where = f"{row['suite']} {row['layer']} {row['what']}, {row['threads']} threads"
            found.append(f"{where}: {1 / gain:.2f} times the cost")
    return found


def compare(old: dict, new: dict) -> Table:
    """A line for each row; a change beyond noise is marked."""
    head = ["layer", "pass", "threads", "library", "old ms", "new ms", "speed-up", "", "old of peak", "new of peak"]
    lines = []
    for was, row in pairs(old, new):
        gain, least, most = change(was, row)
        sure = "faster" if least > DRIFT else "slower" if most * DRIFT < 1 else ""
        shares = [percent(each.get("fraction_median")) for each in (was, row)]
        where = [row["layer"], row["what"], str(row["threads"]), f"{row['library']} {row['isa'] or ''}".strip()]
        lines.append([*where, milliseconds(was), milliseconds(row), f"{gain:.2f}", sure, *shares])
    return head, lines
