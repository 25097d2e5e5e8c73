"""The shapes that are measured: layers of known networks, as data.

`family` groups layers of one kind, `tags` name the sets that a claim is made about: "peak" (the direct engine runs near the
machine's peak), "peers" (no slower than the frameworks), "train" (gradients), "quick" (a look in a minute).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from math import prod


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

    op = "conv"
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

    op = "pool"
    passes = ("fwd", "dx")

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
        """Bytes of a pass: every input and output once (the gradient of a maximum also reads x)."""
        x, y = (self.batch * self.channels * prod(sizes) for sizes in (self.spatial, self.out_spatial))
        return itemsize * (x + y + (x if what == "dx" and self.family == "max" else 0))


Case = Conv | Pool


def to_json(case: Case) -> dict[str, object]:
    """The case as a dict that `from_json` reads back."""
    return {"op": case.op, **asdict(case)}


def from_json(fields: dict) -> Case:
    """The case that `to_json` described (JSON has made its tuples into lists)."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items() if name != "op"}
    return (Conv if fields["op"] == "conv" else Pool)(**values)


def matching(cases: list[Case], patterns: list[str]) -> list[Case]:
    """The cases whose family, a tag or name matches one of the patterns (all of them without a pattern)."""
    return [case for case in cases if not patterns or any(_matches(case, pattern) for pattern in patterns)]


def _matches(case: Case, pattern: str) -> bool:
    return pattern == case.family or pattern in case.tags or fnmatchcase(case.name, pattern)


PEAK, PEERS = ("peak", "train"), ("peers",)

CONV = (
    Conv("3x3", 4, (56, 56), 64, 64, (3, 3), padding=1, source="ResNet-50 conv2", tags=(*PEAK, "quick")),
    Conv("3x3", 1, (56, 56), 64, 64, (3, 3), padding=1, source="ResNet-50 conv2"),
    Conv("3x3", 1, (28, 28), 128, 128, (3, 3), padding=1, source="ResNet-50 conv3"),
    Conv("3x3", 4, (28, 28), 128, 128, (3, 3), padding=1, source="ResNet-50 conv3"),
    Conv("3x3", 1, (14, 14), 256, 256, (3, 3), padding=1, source="ResNet-50 conv4"),
    Conv("3x3", 4, (14, 14), 256, 256, (3, 3), padding=1, source="ResNet-50 conv4"),
    Conv("3x3", 1, (224, 224), 64, 64, (3, 3), padding=1, source="VGG-16 conv1_2"),
    Conv("3x3", 1, (112, 112), 128, 128, (3, 3), padding=1, source="VGG-16 conv2_2"),
    Conv("3x3", 1, (56, 56), 256, 256, (3, 3), padding=1, source="VGG-16 conv3_2"),
    Conv("3x3", 1, (28, 28), 512, 512, (3, 3), padding=1, source="VGG-16 conv4_2"),
    Conv("3x3_small_map", 1, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5"),
    Conv("3x3_small_map", 4, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5", tags=("train",)),
    Conv("3x3_small_map", 8, (7, 7), 512, 512, (3, 3), padding=1, source="ResNet-50 conv5"),
    Conv("3x3_thin", 64, (32, 32), 16, 16, (3, 3), padding=1, source="ResNet-20 conv1", tags=("train",)),
    Conv("3x3_thin", 64, (14, 14), 32, 64, (3, 3), padding=1, source="MNIST CNN conv2"),
    Conv("3x3_thin", 1, (56, 56), 24, 24, (3, 3), padding=1, source="width under a tile"),
    Conv("3x3_thin", 16, (28, 28), 8, 16, (3, 3), padding=1, source="MNIST CNN, thin"),
    Conv("5x5", 1, (27, 27), 96, 256, (5, 5), padding=2, source="AlexNet conv2"),
    Conv("5x5", 64, (14, 14), 6, 16, (5, 5), source="LeNet-5 C3"),
    Conv("5x5", 4, (28, 28), 32, 96, (5, 5), padding=2, source="GoogLeNet 3b"),
    Conv("1x1", 1, (56, 56), 64, 256, (1, 1), source="ResNet-50 conv2 expand", tags=(*PEAK, *PEERS, "quick")),
    Conv("1x1", 4, (56, 56), 64, 256, (1, 1), source="ResNet-50 conv2 expand", tags=PEAK),
    Conv("1x1", 4, (14, 14), 1024, 256, (1, 1), source="ResNet-50 conv4 reduce", tags=PEAK),
    Conv("1x1", 1, (56, 56), 256, 64, (1, 1), source="ResNet-50 conv2 reduce"),
    Conv("1x1", 1, (28, 28), 512, 128, (1, 1), source="ResNet-50 conv3 reduce"),
    Conv("1x1", 1, (14, 14), 256, 1024, (1, 1), source="ResNet-50 conv4 expand"),
    Conv("1x1", 1, (7, 7), 2048, 512, (1, 1), source="ResNet-50 conv5 reduce"),
    Conv("1x1", 1, (56, 56), 96, 24, (1, 1), source="MobileNetV2 project"),
    Conv("1x1_s2", 1, (56, 56), 256, 512, (1, 1), stride=2, source="ResNet-50 conv3 shortcut"),
    Conv("1x1_s2", 4, (14, 14), 1024, 2048, (1, 1), stride=2, source="ResNet-50 conv5 shortcut"),
    Conv("3x3_s2", 1, (56, 56), 128, 128, (3, 3), stride=2, padding=1, source="ResNet-50 conv3, first"),
    Conv("3x3_s2", 4, (28, 28), 256, 256, (3, 3), stride=2, padding=1, source="ResNet-50 conv4, first"),
    Conv("first", 1, (224, 224), 3, 64, (7, 7), stride=2, padding=3, source="ResNet-50 conv1", tags=(*PEERS, "quick")),
    Conv("first", 4, (224, 224), 3, 64, (7, 7), stride=2, padding=3, source="ResNet-50 conv1", tags=("train",)),
    Conv("first", 1, (224, 224), 3, 64, (3, 3), padding=1, source="VGG-16 conv1_1"),
    Conv("first", 1, (224, 224), 3, 32, (3, 3), stride=2, padding=1, source="MobileNetV2 conv1"),
    Conv("first", 64, (28, 28), 1, 32, (3, 3), padding=1, source="MNIST CNN conv1", tags=(*PEERS, "train", "quick")),
    Conv("depthwise", 1, (112, 112), 32, 32, (3, 3), padding=1, groups=32, source="MobileNetV2 block 1"),
    Conv("depthwise", 1, (112, 112), 96, 96, (3, 3), stride=2, padding=1, groups=96, source="MobileNetV2 block 2"),
    Conv("depthwise", 1, (56, 56), 144, 144, (3, 3), padding=1, groups=144, source="MobileNetV2 block 3"),
    Conv("depthwise", 4, (56, 56), 144, 144, (3, 3), padding=1, groups=144, source="MobileNetV2 block 3", tags=("train",)),
    Conv("depthwise", 1, (14, 14), 384, 384, (3, 3), padding=1, groups=384, source="MobileNetV2 block 8"),
    Conv("depthwise", 1, (14, 14), 480, 480, (5, 5), padding=2, groups=480, source="EfficientNet-B0 stage 5"),
    Conv("depthwise", 1, (56, 56), 144, 144, (5, 5), stride=2, padding=2, groups=144, source="EfficientNet-B0 stage 4, first"),
    Conv("grouped", 1, (56, 56), 128, 128, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv2"),
    Conv("grouped", 4, (56, 56), 128, 128, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv2", tags=("train",)),
    Conv("grouped", 1, (28, 28), 256, 256, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv3"),
    Conv("grouped", 1, (14, 14), 512, 512, (3, 3), padding=1, groups=32, source="ResNeXt-50 32x4d conv4"),
    Conv("dilated", 1, (28, 28), 128, 128, (3, 3), padding=2, dilation=2, source="dilated ResNet"),
    Conv("dilated", 1, (28, 28), 512, 512, (3, 3), padding=2, dilation=2, source="DeepLab, VGG-16 conv5"),
    Conv("dilated", 1, (33, 33), 256, 256, (3, 3), padding=6, dilation=6, source="DeepLabv3 pyramid"),
    Conv("conv1d", 8, (16000,), 1, 64, (80,), stride=4, padding=38, source="M5 (raw audio) conv1"),
    Conv("conv1d", 8, (1000,), 64, 64, (3,), padding=1, source="M5 (raw audio) conv2"),
    Conv("conv1d", 4, (1000,), 128, 128, (15,), padding=7, source="sound, wide kernel"),
    Conv("conv3d", 1, (16, 56, 56), 16, 32, (3, 3, 3), padding=1, source="C3D, thin"),
    Conv("conv3d", 1, (16, 112, 112), 3, 32, (3, 3, 3), padding=1, source="C3D conv1, thin"),
    Conv("conv3d", 1, (8, 28, 28), 64, 128, (3, 3, 3), padding=1, source="C3D conv3, thin"),
    # The gradient of their input is the forward pass of the generator's layer: `--what dx`.
    Conv("transposed", 4, (16, 16), 256, 512, (4, 4), stride=2, padding=1, source="DCGAN generator, 8 to 16 pixels"),
    Conv("transposed", 4, (32, 32), 128, 256, (4, 4), stride=2, padding=1, source="DCGAN generator, 16 to 32 pixels"),
    Conv("large", 1, (512, 512), 1, 1, (31, 31), padding=15, source="image filter"),
    Conv("large", 1, (512, 512), 1, 1, (11, 11), padding=5, source="image filter"),
    Conv("large", 1, (100000,), 1, 1, (255,), padding=127, source="sound filter"),
    Conv("tiny", 1, (8, 8), 8, 8, (3, 3), padding=1, source="cost of a call", tags=("quick",)),
    Conv("tiny", 1, (1, 1), 128, 10, (1, 1), source="cost of a call, dense"),
)

POOL = (
    Pool("max", 4, (112, 112), 64, (3, 3), 2, 1, source="ResNet-50 pool1", tags=(*PEERS, "quick")),
    Pool("max", 64, (28, 28), 64, (2, 2), 2, source="MNIST CNN pool1", tags=PEERS),
    Pool("max", 1, (28, 28), 192, (3, 3), 1, 1, source="GoogLeNet 3a, pool branch"),
    Pool("avg", 4, (112, 112), 64, (2, 2), 2, source="DenseNet transition, wide", tags=PEERS),
    Pool("avg", 4, (7, 7), 2048, (7, 7), 7, source="ResNet-50 head", tags=(*PEERS, "quick")),
)
