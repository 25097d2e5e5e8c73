"""What a pooling looks like: the windows along each axis, and how its work is cut into tasks."""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import prod

from convkit._core.pool import Windows
from convkit.plan import geometry
from convkit.plan.geometry import Axis

LARGEST = 2**62                                         # of a padded axis: sums of two such sizes fit
LABELS = 256                                            # taps that a byte can tell apart
TASKS = 16                                              # as many at least, where there are enough rows, pixels and channels
PANEL = 1024                                            # channels of the smallest task
SERIAL_READS = 1 << 14                                  # elements; less than about 8 us: not worth waking another thread
# How many times fewer taps make two stages of overlapping windows faster than one walk, whose taps cost less; to try it again,
# with 1 here: `convkit bench --suite pool --only "max 3x3 s1*" --what dx,both`.
STAGES = 4


class Pool:
    """A checked pooling. `windows` are its three axes (d, h, w)."""

    def __init__(self, batch: int, channels: int, windows: tuple[Axis, Axis, Axis], rank: int):
        self.batch, self.channels, self.windows, self.rank = batch, channels, windows, rank

    @cached_property
    def x_shape(self) -> tuple[int, ...]:
        """Channels last, in the caller's rank."""
        return (self.batch, *(a.size for a in self.windows[3 - self.rank :]), self.channels)

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        return (self.batch, *(a.out for a in self.windows[3 - self.rank :]), self.channels)

    @cached_property
    def core(self) -> Windows:
        """`windows` as the loops want them."""
        return Windows(self.windows)

    @cached_property
    def labelled(self) -> bool:
        """Whether the gradient can find the maximum of each window by a one-byte label."""
        return prod(a.kernel for a in self.windows) <= LABELS and all(a.dilation == 1 for a in self.windows)

    @cached_property
    def labelled_stages(self) -> bool:
        """The same of two stages, where they pay."""
        few = max(self.windows[0].kernel * self.windows[1].kernel, self.windows[2].kernel) <= LABELS
        return few and self.in_stages and all(a.dilation == 1 for a in self.windows)

    @cached_property
    def apart(self) -> bool:
        """Whether no two windows share an element."""
        return all(a.stride >= a.kernel or a.out == 1 for a in self.windows)

    @cached_property
    def tiles(self) -> bool:
        """Whether each element lies in exactly one window, of so few that their lines stay in the first cache together."""
        few = prod(a.kernel for a in self.windows) <= 16
        return few and all(
            a.kernel * a.out == a.size and a.lo == 0 and (a.stride == a.kernel or a.out == 1) for a in self.windows
        )

    @cached_property
    def in_stages(self) -> bool:
        """Whether two stages are faster than one walk."""
        return self.stages >= STAGES

    @cached_property
    def stages(self) -> float:
        """How many times fewer taps two stages take, the last axis and then the others (ops/pool_stages.py), than one walk."""
        reach = [min(a.kernel, a.size) for a in self.windows]
        rows = prod(a.size for a in self.windows[:2]) / max(prod(a.out for a in self.windows[:2]), 1)
        return prod(reach) / max(reach[2] * rows + reach[0] * reach[1], 1)

    @cached_property
    def reads(self) -> int:
        """Elements read, at most: the taps of all windows, as far as they can lie inside the input."""
        return self.batch * self.channels * prod(a.out * min(a.kernel, a.size) for a in self.windows)

    @cached_property
    def forward_tasks(self) -> tuple[int, int]:
        return self._tasks(a.out for a in self.windows)

    @cached_property
    def pieces(self) -> tuple[int, int]:
        """Rows of the output, and pieces that tasks make of each."""
        _, *rows, width = (self.batch, *(a.out for a in self.windows))
        return self.batch * prod(rows), -(-width // self.forward_tasks[0])

    @cached_property
    def backward_tasks(self) -> tuple[int, int]:
        return self._tasks(a.size for a in self.windows)

    def _tasks(self, spatial) -> tuple[int, int]:
        d, h, w = spatial
        if self.reads <= SERIAL_READS:
            return max(w, 1), max(self.channels, 1)
        return tasks(self.batch, d, h, w, self.channels)


def tasks(n: int, d: int, h: int, w: int, c: int) -> tuple[int, int]:
    """Pixels of a row and channels that one task takes: whole rows if they are many, else pieces, else panels of channels."""
    pieces = min(w, -(-TASKS // max(n * d * h, 1)))
    panels = min(-(-c // PANEL), -(-TASKS // max(n * d * h * pieces, 1)))
    panel = -(-c // max(panels, 1))
    return max(-(-w // max(pieces, 1)), 1), max(-(-panel // PANEL) * PANEL if panels > 1 else c, 1)


@lru_cache(maxsize=64)
def pool(x_shape, kernel, stride, padding, dilation, ceil_mode: bool) -> Pool:
    """The checked pooling of a channels-last shape; the arguments are as from `geometry.sizes` and `geometry.padding_of`."""
    batch, *spatial, channels = x_shape
    rank = len(spatial)
    explicit = () if isinstance(padding, str) else padding
    for name, k, d, pads in zip(geometry.AXES[rank], kernel, dilation, explicit, strict=False):
        if max(pads) >= geometry.effective(k, d):
            rule = f"padding must be smaller than the effective kernel {geometry.effective(k, d)}"
            raise ValueError(f"{rule}, got {max(pads)} along {name}")
    found = geometry.axes(spatial, kernel, stride, padding, dilation, ceil_mode)
    for a, name in zip(found, geometry.AXES[rank], strict=True):
        if a.size + a.lo + a.hi > LARGEST:
            raise ValueError(f"padded input size {a.size + a.lo + a.hi} along {name} is more than {LARGEST}")
    unused = Axis(size=1, kernel=1, stride=1, dilation=1, lo=0, hi=0, out=1)
    return Pool(batch, channels, (unused,) * (3 - rank) + found, rank)
