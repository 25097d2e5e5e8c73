"""What there is to measure, by the names that `--suite` takes, and whom each suite is measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import layers, shapes
from .random_shapes import random_shapes
from .shapes import Case

TORCH = ("torch", "torch_cl")


@dataclass(frozen=True)
class Suite:
    """Its cases (the figures of "startup" and "memory" are no passes), and the peers that it has unless others are named."""

    text: str
    cases: tuple[Case, ...] = ()
    peers: tuple[str, ...] = ()


# Rows where two algorithms are near each other: what the constants in convkit/plan were fitted to, or are held to.
RIVALS = (
    "3x3 64->64 @56 b1", "3x3 128->128 @28 b1", "3x3 256->256 @14 b1", "3x3 512->512 @7 b1", "3x3 16->16 @32 b64",
    "3x3 8->16 @28 b16", "5x5 32->96 @28 b4", "5x5 6->16 @14 b64", "3x3 d2 128->128 @28 b1", "3x3 g32 128->128 @56 b1",
    "3x3 g32 512->512 @14 b1", "7x7 s2 3->64 @224 b1", "3x3 3->64 @224 b1", "3x3 1->32 @28 b64", "k3 64->64 @1000 b8",
    "k80 s4 1->64 @16000 b8", "3x3x3 64->128 @8x28x28 b1", "3x3x3 3->32 @16x112x112 b1", "31x31 1->1 @512 b1",
    "11x11 1->1 @512 b1", "k255 1->1 @100000 b1", "3x3 g32 32->32 @112 b1",
)  # fmt: skip

SUITES = {
    "conv": Suite("layers of known networks, forward and both gradients", layers.CONV,
                  (*TORCH, "ort", "openvino", "jax", "ncnn", "opencv", "scipy", "numpy")),
    "pool": Suite("pooling", layers.POOL, (*TORCH, "ort", "numpy")),
    "ops": Suite("norms, activations, softmax, losses, resizing", layers.OPS,
                 (*TORCH, "torch_compiled", "jax", "scipy", "numpy")),
    "models": Suite("predictions of whole networks", layers.MODELS,
                    ("torch_cl", "torch_compiled", "ort", "openvino", "jax", "ncnn", "mnn", "opencv")),
    "train": Suite("steps of training", layers.TRAIN, (*TORCH, "torch_compiled")),
    "small": Suite("what a call costs where there is next to no work", layers.SMALL, (*TORCH, "ort", "jax", "ncnn", "numpy")),
    "scaling": Suite("how cost grows with batch, channels, area and threads", layers.SCALING, (*TORCH, "ort")),
    "memory": Suite("peak memory of a pass, and memory over many shapes", layers.MEMORY, (*TORCH, "ort", "numpy")),
    "startup": Suite("size of the wheel and of what is installed, time of the import"),
    "random": Suite("shapes drawn at random", (), (*TORCH, "ort")),
    "algorithms": Suite("convkit's algorithms against each other"),
}  # fmt: skip
USUAL = ("conv", "pool", "ops", "models", "train", "small", "scaling", "memory", "startup")
FIGURES = ("memory", "startup")                         # measured in their own ways
SLOW_TO_START = ("torch_compiled",)                     # left out of --quick


def cases(suites: list[str], patterns: list[str], count: int, seed: int) -> list[Case]:
    """The cases of the suites that one of the patterns matches (all of them without a pattern)."""
    found = [case for name in suites for case in SUITES[name].cases]
    if "random" in suites:
        found += random_shapes(count, seed)
    if "algorithms" in suites:
        found += [replace(case, suite="algorithms") for case in layers.CONV if case.name in RIVALS]
    return shapes.matching(found, patterns)
