"""Fourier transforms: for filters so large that the products of direct sums cost more than transforms of the image.

An image is cut into blocks of `lengths` pixels, each of which gives `steps` outputs along an axis (overlap-save; Oppenheim
and Schafer, Discrete-Time Signal Processing, section 8.7). All of it is float64, and the error of an output is

    |error| <= c * log2(pixels of a block) * 2**-53 * |x in the block| * |w|,    Euclidean norms, c about 10

and, for float32, the rounding of the result: for ordinary images far less than that of direct sums, but it follows the
largest values of the block, not those under the window.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt, log2, prod

from convkit.plan import first

MOST = {1: 1 << 14, 2: 256}                             # length of a transform along one axis: its lines stay in the cache
SPECTRA = 1 << 26                                       # most bytes of the transformed filters
SCRATCH = 1 << 22                                       # bytes of the spectra of the blocks that are transformed at a time
# To try them again: `convkit bench --suite algorithms --only large --what fwd,dx`, where `31x31 1->1 @512 b1` and
# `k255 1->1 @100000 b1` pay and `11x11 1->1 @512 b1` does not.
# On a Sapphire Rapids core (benchmark rows `large`), in nanoseconds: a transform and its copies, by pixel and channel, twice
# that where a block leaves the cache; a block; packing, by pixel and filter. And flop in a nanosecond: of the products, of
# plain sums in float32 where they fill their vectors, and of sums into few channels, by rank (`few.py`).
TRANSFORM, BLOCK, PACKING, PRODUCTS, SUMS, WINDOWS = 15.0, 10000.0, 30.0, 20.0, 105.0, {1: 11.0, 2: 24.0}
CACHE = 1 << 20                                         # bytes of a block's spectra
MARGIN = 1.3                                            # of the estimates


def refusal(conv, which: str) -> str | None:
    if which == "filters":
        return "it has no gradient of the filters"
    if conv.rank > 2:
        return "it has no transforms of 3 axes"
    if any(a.stride != 1 or a.dilation != 1 for a in conv.axes):
        return "stride and dilation must be 1"
    if any(2 * a.kernel > most(conv) for a in conv.axes):
        return (f"filters for {conv.channels} channels in, {conv.outputs} out and {conv.groups} groups may be at most "
                f"{most(conv) // 2} long")  # fmt: skip
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    """Against plain sums, for one image and with filters that are not packed yet."""
    pairs = conv.channels * conv.outputs // conv.groups
    if not pairs * prod(outputs(conv, which)):
        return False
    pixels, channels = prod(lengths(conv, which)), conv.channels + conv.outputs
    blocks = prod(-(-out // step) for out, step in zip(outputs(conv, which), steps(conv, which), strict=True))
    each = TRANSFORM * channels * (2 if 8 * pixels * channels > CACHE else 1)
    transforms = pixels * (each + 4 * pairs / PRODUCTS) + BLOCK
    flop = 2 * prod(a.kernel for a in conv.axes) * pairs * prod(outputs(conv, which))
    return MARGIN * (blocks * transforms + PACKING * pairs * pixels) < flop / rate(conv, which, itemsize)


def rate(conv, which: str, itemsize: int) -> float:
    """Flop in a nanosecond of the fastest plain sums."""
    depth, cols = (conv.channels, conv.outputs) if which == "forward" else (conv.outputs, conv.channels)
    vector = 64 // itemsize
    full = cols / (vector * -(-cols // vector)) if conv.groups == 1 else 1
    few = first.windows_refusal(conv, which) is None and first.windows_pay(conv, cols, depth)
    return max(SUMS * full, WINDOWS[conv.rank] if few else 0) * 4 / itemsize


def outputs(conv, which: str) -> list[int]:
    """Pixels of the result along each axis."""
    return [a.out if which == "forward" else a.size for a in conv.axes[3 - conv.rank :]]


def steps(conv, which: str) -> list[int]:
    """Outputs of a block along each axis."""
    return [n - a.kernel + 1 for n, a in zip(lengths(conv, which), conv.axes[3 - conv.rank :], strict=True)]


def lengths(conv, which: str) -> list[int]:
    """Pixels of a block along each axis: those that take the least work for the whole line."""
    kernels = [a.kernel for a in conv.axes[3 - conv.rank :]]
    return [length(out, k, most(conv)) for out, k in zip(outputs(conv, which), kernels, strict=True)]


def most(conv) -> int:
    """Pixels of a block along each axis, so that its lines stay in the cache and the transformed filters are bounded."""
    room = SPECTRA // (max(conv.channels * conv.outputs // conv.groups, 1) * 17)    # a pixel is half of a matrix of 2 x 2
    return min(MOST[conv.rank], room if conv.rank == 1 else isqrt(room))


def about(conv, which: str) -> dict:
    """For `convkit.explain`."""
    *others, last = lengths(conv, which)
    frequencies, pairs = prod(others) * (last // 2 + 1), conv.channels * conv.outputs // conv.groups
    blocks = [-(-out // step) for out, step in zip(outputs(conv, which), steps(conv, which), strict=True)]
    return {
        "why": "Fourier transforms take less than the products of large filters",
        "tile": f"blocks of {'x'.join(map(str, lengths(conv, which)))} pixels",
        "tasks": conv.batch * prod(blocks),
        "packed_bytes": 32 * frequencies * pairs,       # a complex number as a matrix of 2 x 2 float64
        "scratch_bytes": 2 * SCRATCH,
    }


@lru_cache(maxsize=256)
def length(out: int, kernel: int, most: int) -> int:
    whole = next((n for n in SMOOTH if n >= out + kernel - 1), most)        # one block for all
    return min((n for n in SMOOTH if kernel <= n <= min(whole, most)),
               key=lambda n: -(-out // (n - kernel + 1)) * n * log2(2 * n), default=whole)  # fmt: skip


# Even numbers without prime factors above 5: fast to transform.
SMOOTH = sorted(n for a in range(1, 15) for b in range(9) for c in range(7) if (n := 2**a * 3**b * 5**c) <= 1 << 14)
