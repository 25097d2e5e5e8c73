"""Two runs of the same passes: what changed, and what of it is more than noise."""

from __future__ import annotations

import statistics

from .ratios import KEY, interval
from .tables import Table, milliseconds, percent

DRIFT = 1.05                                            # between two runs, over the intervals of both


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


def regressions(old: dict, new: dict) -> list[str]:
    """A sentence for each of convkit's passes that is slower beyond noise."""
    found = []
    for was, row in pairs(old, new):
        gain, _, most = change(was, row)
        if row["library"] == "convkit" and most * DRIFT < 1:
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
