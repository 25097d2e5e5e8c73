"""The depthwise algorithm: every channel has filters of its own, so that channels fill the words of the CPU.

A pass goes over target pixels as in plan/conv.py; here each axis is a table of its phases, one row each:

first, step      target pixels first, first + step, ... of the phase
pixels           how many
taps             how many taps they use
tap, tap_step    which: tap, tap + tap_step, ...
at, at_step      the source pixels that those taps of the first target pixel read; those of the next lie a source step on
between, apart   pixels j, j + between, ... read taps that lie `apart` taps from each other
lo, hi           target pixels lo <= j < hi of the phase whose taps all lie inside the source
"""

from __future__ import annotations

from math import gcd

import numpy as np

from convkit._core import depthwise
from convkit.plan import grouped


def refusal(conv, which: str) -> str | None:
    if conv.groups != conv.channels:
        return f"it needs groups equal to the {conv.channels} channels, got groups={conv.groups}"
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    """Several outputs for each channel are a group: that reads x once for all, and measured 2 to 10 times as fast."""
    return conv.channels > 1 and (conv.outputs == conv.channels or grouped.refusal(conv, which) is not None)


def table(phase, step: int, source: int, source_step: int) -> tuple[int, ...]:
    taps = phase.taps
    (tap, at), (next_tap, next_at) = taps[0], taps[1] if len(taps) > 1 else (taps[0][0] + 1, taps[0][1] + 1)
    last = taps[-1][1]
    lo = min(max(-(at // source_step), 0), phase.pixels)
    hi = min(max((source - 1 - last) // source_step + 1, lo), phase.pixels)
    between = (next_at - at) // gcd(next_at - at, source_step)
    apart = source_step * between // (next_at - at)
    return phase.first, step, phase.pixels, len(taps), tap, next_tap - tap, at, next_at - at, between, apart, lo, hi


def schedule(conv, which: str, isa: str, itemsize: int) -> depthwise.Schedule:
    """A pass cut into tasks, for the ISA in use; the gradient of the filters goes over the pixels of the output."""
    key = "depthwise", which, isa, itemsize
    if key not in conv.schedules:
        conv.schedules[key] = scheduled(conv, which, itemsize)
    return conv.schedules[key]


def scheduled(conv, which: str, itemsize: int) -> depthwise.Schedule:
    whole = conv.input_pass if which == "input" else conv.output_pass
    steps, sources = ([int(n) for n in step] for step in (whole.target_step, whole.source_step))
    rows, axes, tap = [], [], 1
    for i in (2, 1, 0):
        rows = [table(p, steps[i], whole.source[i], sources[i]) for p in whole.walks[i]] + rows
        axes.insert(0, (len(whole.walks[i]), whole.source[i], sources[i], tap))
        tap *= conv.axes[i].kernel
    phases = np.array(rows, np.intp).reshape(-1, depthwise.COLUMNS)
    return depthwise.Schedule(phases, np.array(axes, np.intp), conv.batch, conv.outputs, tap, itemsize)
