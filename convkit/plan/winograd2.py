"""Winograd's F(2x2): fewer products saved than by `winograd.py`, exact on integers, never chosen on its own."""

from __future__ import annotations

from convkit.plan import winograd


def refusal(conv, which: str) -> str | None:
    if 5 in (a.kernel for a in conv.axes[1:]):
        return "the kernel must have 1 or 3 taps along each axis"
    return winograd.refusal(conv, which)


def pays(conv, which: str, itemsize: int) -> bool:
    return False
