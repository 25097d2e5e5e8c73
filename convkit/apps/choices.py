"""What is chosen by name on the command line: networks, optimisers, schedules and augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import optim, schedules
from convkit.apps.network import image_network
from convkit.data import augment

if TYPE_CHECKING:
    from convkit.model import Model

__all__ = ["AUGMENTATIONS", "NETWORKS", "OPTIMIZERS", "SCHEDULES", "network", "optimizer", "transforms"]

NETWORKS = ("small",)
OPTIMIZERS = tuple(sorted(optim.OPTIMIZERS))
FALL = 0.01  # what is left of the rate at the end of an exponential one

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, steps: schedules.Constant(rate),
    "cosine": schedules.Cosine,
    "exponential": lambda rate, steps: schedules.Exponential(rate, FALL, steps),
    "one-cycle": schedules.OneCycle,
    "plateau": lambda rate, steps: schedules.Plateau(rate, patience=3),
    "step": lambda rate, steps: schedules.Step(rate, max(-(-steps // 3), 1)),
}

AUGMENTATIONS: dict[str, tuple[type, str]] = {  # with what the number after the name means
    "flip": (augment.Flip, ""),
    "vflip": (lambda: augment.Flip("vertical"), ""),
    "crop": (None, "pixels put around the image before it is cut to its size (an eighth)"),
    "shift": (augment.Shift, "pixels, or a share of the side (0.125)"),
    "rotate": (augment.Rotate, "degrees (15)"),
    "scale": (lambda most=1.25: augment.Scale(1 / most, most), "factor (1.25)"),
    "brightness": (augment.Brightness, "share of the range (0.2)"),
    "contrast": (augment.Contrast, "share (0.2)"),
    "noise": (augment.Noise, "share of the range (0.05)"),
    "cutout": (augment.Cutout, "pixels, or a share of the side (0.25)"),
    "mixup": (augment.MixUp, "alpha (0.2)"),
}
