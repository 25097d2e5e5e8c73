"""convkit against the best of its peers: rows brought together, the ratio of their times, and how sure it is."""

from __future__ import annotations

import statistics
from math import comb

KEY = ("suite", "layer", "what", "dtype", "threads")
TURNS_MORE = 3                                          # times the rounds, at most, for a pass that is undecided
CONFIDENCE = 0.9


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
    """Between these two the median of what was sampled lies, with a confidence of 90 % (or, of few values, all that they give).

    The number of values under the true median is binomial, whatever their distribution; so two of the sorted values are it.
    """
    values, n = sorted(values), len(values)
    k, outside = 0, 1 / 2**n                            # probability that at most k of the values lie under it
    while k + 1 < n / 2 and outside + comb(n, k + 1) / 2**n <= (1 - CONFIDENCE) / 2:
        k += 1
        outside += comb(n, k) / 2**n
    return values[k], values[n - 1 - k]


def undecided(rows: list[dict], limit: float | None) -> bool:
    """Whether the rounds leave it open on which side of `limit` the ratio of one of convkit's rows lies."""
    peers = {row["library"]: row for row in rows if row["library"] != "convkit"}
    ratios = [rounds(row, peers) for row in rows if row["library"] == "convkit"]
    return limit is not None and any(low < limit < high for low, high in map(interval, filter(None, ratios)))
