"""The networks of the suites models and train, as lists of nodes that every library can be told.

For training a convolution is followed by batch normalisation where the network has it; for prediction it is folded into the
filters and a bias, as everybody does who deploys one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

WEIGHTED = ("conv", "up", "dense")


class Node(NamedTuple):
    """`op` is input, conv, up, dense, add, concat, max, mean (over all pixels) or flatten; `inputs` are places in the list."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]                              # of the result, without the batch, channels first
    how: dict[str, Any]


class Net:
    """A list of nodes, each made by the method of its name, which returns its place."""

    def __init__(self, channels: int, size: int) -> None:
        self.nodes = [Node("input", (), (channels, size, size), {})]

    def _add(self, op: str, inputs: tuple[int, ...], shape: tuple[int, ...], **how: Any) -> int:
        self.nodes.append(Node(op, inputs, shape, how))
        return len(self.nodes) - 1

    def conv(
        self, x: int, filters: int, kernel: int, stride: int = 1, padding: int | None = None, groups: int = 1,
        act: str = "relu", norm: bool = True,
    ) -> int:  # fmt: skip
        padding = kernel // 2 if padding is None else padding
        _, height, width = self.nodes[x].shape
        sizes = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
        how = {"kernel": kernel, "stride": stride, "padding": padding, "groups": groups, "act": act, "norm": norm}
        return self._add("conv", (x,), (filters, *sizes), **how)

    def up(self, x: int, filters: int) -> int:
        """Twice as large: a transposed convolution with a kernel and a stride of 2."""
        _, height, width = self.nodes[x].shape
        return self._add("up", (x,), (filters, 2 * height, 2 * width), kernel=2, stride=2, padding=0, groups=1)

    def concat(self, x: int, y: int) -> int:
        (channels, *_), (more, *sizes) = self.nodes[x].shape, self.nodes[y].shape
        return self._add("concat", (x, y), (channels + more, *sizes))

    def dense(self, x: int, outputs: int, act: str = "") -> int:
        return self._add("dense", (x,), (outputs,), act=act)

    def add(self, x: int, y: int, act: str = "relu") -> int:
        return self._add("add", (x, y), self.nodes[x].shape, act=act)

    def max(self, x: int, kernel: int, stride: int, padding: int = 0) -> int:
        channels, *sizes = self.nodes[x].shape
        sizes = ((n + 2 * padding - kernel) // stride + 1 for n in sizes)
        return self._add("max", (x,), (channels, *sizes), kernel=kernel, stride=stride, padding=padding)

    def mean(self, x: int) -> int:
        return self._add("mean", (x,), self.nodes[x].shape[:1])

    def flatten(self, x: int) -> int:
        return self._add("flatten", (x,), (prod(self.nodes[x].shape),))

    def terms(self, node: Node) -> int:
        """Products summed for one number of a convolution or a dense layer."""
        inputs = self.nodes[node.inputs[0]].shape
        return inputs[0] if node.op in ("dense", "up") else inputs[0] // node.how["groups"] * node.how["kernel"] ** 2

    @property
    def flop(self) -> int:
        """Of one sample, as everybody counts: the multiplications and additions of convolutions and dense layers."""
        return sum(2 * prod(node.shape) * self.terms(node) for node in self.nodes if node.op in WEIGHTED)

    def weights(self, dtype: str, seed: int = 3) -> list[dict[str, np.ndarray]]:
        """Filters (O, C, kh, kw) or (O, C), and a bias, for each node that has them: the same in every process.

        A branch ends in small filters, so that sums of many branches stay in range. A norm starts with weight 1 and `b`.
        """
        rng = np.random.default_rng(seed)
        branch_ends = {place for node in self.nodes if node.op == "add" for place in node.inputs}
        found: list[dict[str, np.ndarray]] = []
        for place, node in enumerate(self.nodes):
            if node.op not in WEIGHTED:
                found.append({})
                continue
            terms, small = self.terms(node), 0.4 if place in branch_ends else 1.0
            inner = () if node.op == "dense" else (node.how["kernel"],) * 2
            shape = (node.shape[0], terms if node.op == "up" else terms // prod(inner), *inner)
            w = rng.standard_normal(shape) * (small * sqrt(2 / terms))
            found.append({"w": w.astype(dtype), "b": (0.1 * rng.standard_normal(node.shape[0])).astype(dtype)})
        return found


def _lenet(net: Net) -> None:
    x = net.max(net.conv(0, 6, 5, norm=False), 2, 2)
    x = net.max(net.conv(x, 16, 5, padding=0, norm=False), 2, 2)
    net.dense(net.dense(net.dense(net.flatten(x), 120, "relu"), 84, "relu"), 10)


def _mnist(net: Net) -> None:
    x = net.max(net.conv(0, 32, 3, norm=False), 2, 2)
    x = net.max(net.conv(x, 64, 3, norm=False), 2, 2)
    net.dense(net.dense(net.flatten(x), 128, "relu"), 10)


def _vgg16(net: Net) -> None:
    x = 0
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            x = net.conv(x, filters, 3, norm=False)
        x = net.max(x, 2, 2)
    net.dense(net.dense(net.dense(net.flatten(x), 4096, "relu"), 4096, "relu"), 1000)


def _basic(net: Net, x: int, filters: int, stride: int) -> int:
    y = net.conv(net.conv(x, filters, 3, stride), filters, 3, act="")
    plain = stride == 1 and net.nodes[x].shape[0] == filters
    return net.add(y, x if plain else net.conv(x, filters, 1, stride, act=""))


def _bottleneck(net: Net, x: int, filters: int, stride: int) -> int:
    y = net.conv(net.conv(net.conv(x, filters, 1), filters, 3, stride), 4 * filters, 1, act="")
    plain = stride == 1 and net.nodes[x].shape[0] == 4 * filters
    return net.add(y, x if plain else net.conv(x, 4 * filters, 1, stride, act=""))


def _resnet20(net: Net) -> None:
    x = net.conv(0, 16, 3)
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            x = _basic(net, x, filters, 2 if stage and not block else 1)
    net.dense(net.mean(x), 10)


def _resnet(block: Callable, counts: tuple[int, ...]) -> Callable[[Net], None]:
    def make(net: Net) -> None:
        x = net.max(net.conv(0, 64, 7, 2), 3, 2, 1)
        for stage, count in enumerate(counts):
            for number in range(count):
                x = block(net, x, 64 << stage, 2 if stage and not number else 1)
        net.dense(net.mean(x), 1000)

    return make


def _mobilenet_v2(net: Net) -> None:
    x = net.conv(0, 32, 3, 2, act="relu6")
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, filters, count, first in stages:
        for number in range(count):
            stride, channels = first if not number else 1, net.nodes[x].shape[0]
            y = net.conv(x, expand * channels, 1, act="relu6") if expand > 1 else x
            y = net.conv(y, expand * channels, 3, stride, groups=expand * channels, act="relu6")
            y = net.conv(y, filters, 1, act="")
            x = net.add(y, x, act="") if stride == 1 and channels == filters else y
    net.dense(net.mean(net.conv(x, 1280, 1, act="relu6")), 1000)


def _unet(net: Net, width: int = 32, depth: int = 4) -> None:
    x, seen = 0, []
    for level in range(depth):
        x = net.conv(net.conv(x, width << level, 3), width << level, 3)
        seen.append(x)
        x = net.max(x, 2, 2)
    x = net.conv(net.conv(x, width << depth, 3), width << depth, 3)
    for level in reversed(range(depth)):
        x = net.concat(seen[level], net.up(x, width << level))
        x = net.conv(net.conv(x, width << level, 3), width << level, 3)
    net.conv(x, 2, 1, act="", norm=False)


# Channels of the input, and what makes the rest.
NETWORKS: dict[str, tuple[int, Callable[[Net], None]]] = {
    "LeNet": (1, _lenet),
    "MNIST CNN": (1, _mnist),
    "ResNet-20": (3, _resnet20),
    "MobileNetV2": (3, _mobilenet_v2),
    "ResNet-18": (3, _resnet(_basic, (2, 2, 2, 2))),
    "ResNet-50": (3, _resnet(_bottleneck, (3, 4, 6, 3))),
    "VGG-16": (3, _vgg16),
    "U-Net": (1, _unet),
}


@cache
def build(family: str, size: int) -> Net:
    """The network of that name, for square images."""
    channels, make = NETWORKS[family]
    net = Net(channels, size)
    make(net)
    return net


def samples(family: str, size: int, batch: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, channels first, and a class for each."""
    net, rng = build(family, size), np.random.default_rng(5)
    x = rng.standard_normal((batch, *net.nodes[0].shape)).astype(dtype)
    return x, rng.integers(0, net.nodes[-1].shape[0], batch)
