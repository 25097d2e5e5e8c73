"""Layers with few outputs: forward as `windows` and the gradient of the input as `lines` of `first.py`."""

from __future__ import annotations

from convkit.plan import first


def refusal(conv, which: str) -> str | None:
    if which == "filters":
        return "it has no gradient of the filters"
    return first.windows_refusal(conv, which) if which == "forward" else first.lines_refusal(conv, conv.input_pass)


def pays(conv, which: str, itemsize: int) -> bool:
    if which == "forward":
        enough = conv.outputs <= first.ALWAYS or conv.one_image.flop >= first.LEAST
        return enough and first.windows_pay(conv, conv.outputs, conv.channels)
    return first.lines_pay(conv.input_pass)
