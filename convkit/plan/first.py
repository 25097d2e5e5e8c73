"""Layers with few input channels, and the two passes that layers with few outputs (`few.py`) share with them.

lines      a source with few channels: a row of the filter reads neighbouring numbers and is one tap (`_core/first.pyx`)
windows    a target with few channels: every source pixel is multiplied by all taps at once (`_core/few.pyx`)
"""

from __future__ import annotations

from math import prod

from convkit._core import cpu
from convkit.plan import conv as direct

TAPS = 64                                               # lines that a target line reads, as in both .pyx files
SCRATCH = 1 << 21                                       # most elements of scratch a thread
# Rows to try these on: `convkit bench --suite algorithms --only first,conv1d,3x3_thin,5x5 --what fwd,dx,dw`, such
# as `7x7 s2 3->64 @224 b1`, `3x3 1->32 @28 b64`, `5x5 6->16 @14 b64`.
CHANNELS = 12                                           # most of the target for which windows pay, and of x for its sums,
DEPTH = 32                                              # and of the source, times its stride, for which lines do,
ALWAYS = 4                                              # of the source alone, however little the work is
SOME, MANY = 8, 48                                      # channels, outputs: direct sums turned around win, `5x5 9->128 @64 b1`
WIDE = 1280                                             # outputs times the filter's width from which sums are lowered instead
SMALL, FEW = 64, 24                                     # pixels of all images up to which direct sums win; over lowered ones
DEEP, NEAR, FEWER = 64, 3 << 18, 1.2                    # outputs and bytes of filters, and how many fewer products, for windows
NARROW = 1.25                                           # what a product costs more in a tile of one word: `k7 16->334 @1000 b1`
LEAST = 1 << 18                                         # flop of an image: under it the call costs most


def refusal(conv, which: str) -> str | None:
    return windows_refusal(conv, which) if which == "input" else lines_refusal(conv, conv.output_pass)


def pays(conv, which: str, itemsize: int) -> bool:
    if which == "input":
        return windows_pay(conv, conv.channels, conv.outputs) or gradient_windows_pay(conv, itemsize)
    if which == "filters":
        return sums_pay(conv, cpu.tile(itemsize))
    few = conv.channels > CHANNELS and windows_pay(conv, conv.outputs, conv.channels) and not windows_refusal(conv, which)
    return lines_pay(conv.output_pass) and not few


def lines_refusal(conv, walk) -> str | None:
    """Why `_core/first.pyx` cannot run a pass."""
    planes, lines, longest = (max((len(phase.taps) for phase in axis), default=0) for axis in walk.walks)
    step = int(walk.source_step[2])
    if conv.groups > 1:
        return "it has groups"
    if not planes * lines * longest:
        return "no tap reaches the result"
    if not walk.rows_touch:
        return "the taps of a filter's row are not neighbours"
    if step > longest:
        return "its stride is longer than its filter"
    if planes * lines > TAPS:
        return f"the filter has more than {TAPS} rows"
    if planes * lines * (112 * step + longest) * walk.depth > SCRATCH:
        return "copies of the lines that a line of the result reads are too large"
    return None


def lines_pay(walk) -> bool:
    """Whether the source has few channels: tables of pointers are then a large part of the work."""
    longest, step = max(len(phase.taps) for phase in walk.walks[2]), int(walk.source_step[2])
    more = walk.depth * step <= DEPTH and walk.conv.one_image.flop >= LEAST
    return longest > 1 and (walk.depth <= ALWAYS or more)


def sums_pay(conv, tile) -> bool:
    """Whether the outputs fill vectors better than the channels, which stand in them in the direct algorithm.

    Of few channels a row of the filter is still many numbers: one of them is far ahead of direct, for one output too. Of more
    channels, direct is ahead where it has many outputs in its vectors, too.
    """
    vector = tile[0]
    def share(n: int) -> float:
        return n / max(-(-n // vector) * vector, 1)

    enough = conv.channels <= ALWAYS or conv.batch * prod(a.out for a in conv.axes) > SMALL
    fuller = conv.channels <= min(ALWAYS, conv.outputs) or share(conv.outputs) > 1.1 * share(conv.channels)
    if conv.channels >= SOME and conv.outputs >= MANY and direct.turns(conv, tile):
        return False
    return conv.axes[2].kernel > 1 and conv.channels <= CHANNELS and enough and fuller


def lowered_sums_pay(conv) -> bool:
    """Whether the sums are so many that each is worth more of its own than a line of pixels: `im2col` gives it a block."""
    width, pixels = conv.axes[2].kernel, conv.batch * prod(a.out for a in conv.axes)
    enough = conv.outputs * width >= WIDE and (conv.channels <= ALWAYS or pixels >= FEW)
    return conv.groups == 1 and width > 1 and conv.channels <= CHANNELS and enough


def windows_refusal(conv, which: str) -> str | None:
    """Why `_core/few.pyx` cannot run a pass."""
    depth, height, width = conv.axes
    cols = conv.outputs if which == "forward" else conv.channels
    if conv.groups > 1:
        return "it has groups"
    if which == "forward" and any(a.stride > 1 for a in conv.axes):
        return "its stride is not 1"
    if width.dilation > 1 and width.kernel > 1:
        return "the taps of a filter's row are not neighbours"
    if width.stride > width.kernel:
        return "its stride is longer than its filter"
    lines = depth.kernel * max(height.kernel, (height.kernel - 1) * height.dilation // height.stride + 1)
    if lines > TAPS:
        return f"a line of the result reads more than {TAPS} lines"
    if lines * height.kernel * (max(256, 8 * width.kernel) + 2 * width.stride) * cols > SCRATCH:
        return "the lines that a line of the result reads are too large"
    return None


def windows_pay(conv, cols: int, depth: int) -> bool:
    """Whether the target has few channels, and the taps fill vectors that those would leave empty."""
    _, height, width = conv.axes
    return cols <= CHANNELS and depth >= CHANNELS and height.kernel * width.kernel > 2


def gradient_windows_pay(conv, itemsize: int) -> bool:
    """Whether the gradient of the input takes fewer words of products as windows: where the taps fill them better than the
    channels do, or few of them read inside of the output."""
    vector, walk = cpu.tile(itemsize)[0], conv.input_pass
    taps, lines = prod(a.kernel for a in conv.axes), prod(a.out for a in conv.axes[:2])
    if conv.outputs < DEEP or taps < 3 or (taps * walk.cols * conv.outputs * itemsize > NEAR and lines > 1):
        return False
    read = prod(sum(phase.pixels * len(phase.taps) for phase in axis) for axis in walk.walks)
    fewer = FEWER / (NARROW if walk.cols <= vector else 1)
    return read * -(-walk.cols // vector) * conv.outputs > fewer * windows_products(conv, vector)


def windows_products(conv, vector: int) -> int:
    """Words that are multiplied for the gradient of the input of an image."""
    depth, height, width = (a.kernel for a in conv.axes)
    return prod(a.out for a in conv.axes) * depth * -(-height * width * conv.channels // vector) * conv.outputs
