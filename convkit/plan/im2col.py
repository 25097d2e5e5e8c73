"""Lowering runs everything, and wins where the direct algorithm would read single pixels of few channels very often."""

from __future__ import annotations

from convkit.plan import first


def refusal(conv, which: str) -> None:
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    return which == "filters" and first.lowered_sums_pay(conv)
