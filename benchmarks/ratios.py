"""convkit against the best of its peers: rows brought together, the ratio of their times, and how sure it is."""

from __future__ import annotations

import statistics

import numpy as np

KEY = ("suite", "layer", "what", "dtype", "threads")
TURNS_MORE = 2                                          # times the rounds, at most, for a pass that is not sure yet
CONFIDENCE, DRAWS = 0.9, 1000
WIDE = 0.1                                              # of the ratio, or of the time where there is none


def convkit_rows(result: dict) -> list[tuple[dict, dict[str, dict]]]:
    """Each row of convkit with the rows of its peers by name; rows of peers alone where convkit was not measured."""
    passes: dict[tuple, list[dict]] = {}
    for row in result["results"]:
        passes.setdefault(tuple(row[name] for name in KEY), []).append(row)
    pairs = []
    for rows in passes.values():
        peers = {row["library"]: row for row in rows if row["library"] != "convkit"}
        ours = [row for row in rows if row["library"] == "convkit"]
        pairs += [(row, peers) for row in ours or [dict.fromkeys(rows[0], None) | {name: rows[0][name] for name in KEY}]]
    return pairs


def best_peer(peers: dict[str, dict]) -> dict | None:
    """The row of the fastest one, by the median; one that was given up after its first sample is not it."""
    timed = [row for row in peers.values() if row["status"] == "ok" and row["samples"]]
    most = max((len(row["samples"]) for row in timed), default=0)
    return min((row for row in timed if len(row["samples"]) == most), key=time, default=None)


def time(row: dict) -> float:
    return statistics.median(each["median"] for each in row["samples"])


def rounds(ours: dict, peers: dict[str, dict]) -> list[float]:
    """Time of the best peer over ours, round by round; where all peers were given up, of the first round."""
    best = best_peer(peers)
    if best is None or ours.get("status") != "ok":
        return []
    return [theirs["median"] / mine["median"] for theirs, mine in zip(best["samples"], ours["samples"], strict=False)]


def ratio(ours: dict, peers: dict[str, dict]) -> float | None:
    """Time of the best peer over ours, the median over rounds."""
    ratios = rounds(ours, peers)
    return statistics.median(ratios) if ratios else None


def interval(values: list[float]) -> tuple[float, float]:
    """Between these two the median lies with a confidence of 90 %: a bootstrap, of rounds drawn with replacement.

    The draws are the same each time, so a report can be made again from its figures.
    """
    draws = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    medians = np.median(np.asarray(values)[draws], axis=1)
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def relative_width(values: list[float]) -> float:
    low, high = interval(values)
    return (high - low) / statistics.median(values)


def costs(row: dict) -> list[float]:
    """Seconds, round by round; where it is known, the work that the machine could have done meanwhile, which wanders less."""
    samples = row["samples"]
    return [each["cost" if all("cost" in every for every in samples) else "median"] for each in samples]


def unsure(rows: list[dict], limit: float | None) -> bool:
    """Whether one of convkit's rows needs more rounds: its interval is wide, or `limit` lies in it."""
    peers = {row["library"]: row for row in rows if row["library"] != "convkit"}
    for row in rows:
        if row["library"] != "convkit" or not row["samples"]:
            continue
        ratios = rounds(row, peers)
        if relative_width(ratios or costs(row)) > WIDE:
            return True
        if ratios and limit is not None and interval(ratios)[0] < limit < interval(ratios)[1]:
            return True
    return False
