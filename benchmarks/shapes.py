"""What is measured, as data that survives JSON: a convolution, a pooling, an op between them, a network.

`family` groups cases of one kind, `tags` name sets of them; `kind` is the method of a library that prepares the case.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from math import prod

from . import networks


def _windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _sizes(spatial: tuple[int, ...]) -> str:
    """56 for a square map, 16x56x56 for others."""
    return str(spatial[0]) if len(set(spatial)) == 1 else "x".join(map(str, spatial))


@dataclass(frozen=True)
class Conv:
    """One convolution layer; `spatial` is the input's size, the padding is the same on every side."""

    family: str
    batch: int
    spatial: tuple[int, ...]
    channels: int
    filters: int
    kernel: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    source: str = ""
    tags: tuple[str, ...] = ()
    suite: str = "conv"

    kind = "conv"
    passes = ("fwd", "dx", "dw")

    @property
    def name(self) -> str:
        """Such as `3x3 64->64 @56 b4`; unique in the table."""
        kernel = "x".join(map(str, self.kernel)) if len(self.kernel) > 1 else f"k{self.kernel[0]}"
        marks = ((" s", self.stride), (" d", self.dilation), (" g", self.groups))
        marks = "".join(f"{mark}{value}" for mark, value in marks if value > 1)
        return f"{kernel}{marks} {self.channels}->{self.filters} @{_sizes(self.spatial)} b{self.batch}"

    @property
    def out_spatial(self) -> tuple[int, ...]:
        pairs = zip(self.spatial, self.kernel, strict=True)
        return tuple(_windows(n, k, self.stride, self.padding, self.dilation) for n, k in pairs)

    def terms(self, what: str) -> int:
        """Products summed for one number of the result."""
        if what == "dw":
            return self.batch * prod(self.out_spatial)
        return prod(self.kernel) * (self.filters if what == "dx" else self.channels) // self.groups

    def work(self, what: str, itemsize: int) -> int:
        """FLOP of a pass, the taps that fall on padding included, as everybody counts them."""
        outputs = self.batch * self.filters * prod(self.out_spatial)
        return 2 * outputs * prod(self.kernel) * self.channels // self.groups

    def bytes(self, what: str, itemsize: int) -> int:
        """What any algorithm must move: the input, the filters and the output, each once."""
        maps = self.batch * (self.channels * prod(self.spatial) + self.filters * prod(self.out_spatial))
        return itemsize * (maps + prod(self.kernel) * self.channels * self.filters // self.groups)


@dataclass(frozen=True)
class Pool:
    """One pooling layer; its work is the memory it must move."""

    family: str
    batch: int
    spatial: tuple[int, ...]
    channels: int
    kernel: tuple[int, ...]
    stride: int
    padding: int = 0
    source: str = ""
    tags: tuple[str, ...] = ()
    suite: str = "pool"

    kind = "pool"
    passes = ("fwd", "dx", "both")

    @property
    def name(self) -> str:
        """Such as `max 3x3 s2 64 @112 b4`; unique in the table."""
        kernel = "global" if self.kernel == self.spatial else "x".join(map(str, self.kernel)) + f" s{self.stride}"
        return f"{self.family} {kernel} {self.channels} @{_sizes(self.spatial)} b{self.batch}"

    @property
    def out_spatial(self) -> tuple[int, ...]:
        pairs = zip(self.spatial, self.kernel, strict=True)
        return tuple(_windows(n, k, self.stride, self.padding, 1) for n, k in pairs)

    def terms(self, what: str) -> int:
        return 1 if self.family == "max" else prod(self.kernel)

    def work(self, what: str, itemsize: int) -> int:
        """Bytes of a pass: x and y, or their gradients, once; "both" is forward and then backward.

        The gradient of a maximum is told where it was, which takes a byte an output, or eight; nobody must read x again.
        """
        x, y = (self.batch * self.channels * prod(sizes) for sizes in (self.spatial, self.out_spatial))
        return itemsize * (x + y) * (1 + (what == "both"))

    bytes = work


@dataclass(frozen=True)
class Op:
    """One function between the convolutions, of an array channels first; "both" is the result and then the gradient."""

    family: str
    shape: tuple[int, ...]
    source: str = ""
    tags: tuple[str, ...] = ()
    suite: str = "ops"

    kind = "op"
    passes = ("fwd", "both")

    @property
    def name(self) -> str:
        return f"{self.family} {'x'.join(map(str, self.shape))}"

    @property
    def scale(self) -> int:
        """How many numbers come out for each that goes in."""
        return 4 if self.family.startswith("resize") else 1

    def work(self, what: str, itemsize: int) -> int:
        """Bytes: x and y once; the gradient reads x and dy and writes dx."""
        x = prod(self.shape)
        y = 1 if self.family == "cross_entropy" else x * self.scale
        return itemsize * ((x + y) + (0 if what == "fwd" else 2 * x + y))

    bytes = work


@dataclass(frozen=True)
class Network:
    """A whole network: "fwd" is a prediction, "step" a step of training. networks.py has its layers."""

    family: str
    size: int
    batch: int
    tags: tuple[str, ...] = ()
    source: str = ""
    suite: str = "models"

    kind = "net"

    @property
    def training(self) -> bool:
        return self.suite in ("train", "memory")

    @property
    def passes(self) -> tuple[str, ...]:
        return ("step",) if self.training else ("fwd",)

    @property
    def name(self) -> str:
        return f"{self.family} @{self.size} b{self.batch}"

    def work(self, what: str, itemsize: int) -> int:
        """FLOP of convolutions and dense layers; a step is counted as three predictions."""
        return networks.build(self.family, self.size).flop * self.batch * (3 if what == "step" else 1)

    def bytes(self, what: str, itemsize: int) -> None:
        return None


Case = Conv | Pool | Op | Network
KINDS = {each.kind: each for each in (Conv, Pool, Op, Network)}


def to_json(case: Case) -> dict[str, object]:
    """The case as a dict that `from_json` reads back."""
    return {"kind": case.kind, **asdict(case)}


def from_json(fields: dict) -> Case:
    """The case that `to_json` described (JSON has made its tuples into lists)."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items() if name != "kind"}
    return KINDS[fields["kind"]](**values)


def matching(cases: list[Case], patterns: list[str]) -> list[Case]:
    """The cases whose family, a tag or name matches one of the patterns (all of them without a pattern)."""
    return [case for case in cases if not patterns or any(_matches(case, pattern) for pattern in patterns)]


def _matches(case: Case, pattern: str) -> bool:
    return pattern == case.family or pattern in case.tags or fnmatchcase(case.name, pattern)


