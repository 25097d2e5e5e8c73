"""What is chosen by name on the command line: networks, optimisers, schedules and augmentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convkit import Sequential, models, optim, schedules
from convkit.apps.network import image_network
from convkit.data import augment
from convkit.layers import Rescale

if TYPE_CHECKING:
    import numpy as np

    from convkit.model import Model

__all__ = ["AUGMENTATIONS", "NETWORKS", "OPTIMIZERS", "RATES", "SCHEDULES", "network", "optimizer", "transforms"]

READY = {
    "lenet": models.lenet,
    "mobilenet_v2": models.mobilenet_v2,
    "resnet18": models.resnet18,
    "resnet20": models.resnet20,
    "resnet50": models.resnet50,
    "vgg16": models.vgg16,
}
NETWORKS = ("small", *READY)
OPTIMIZERS = tuple(sorted(optim.OPTIMIZERS))
RATES = {"lion": 3e-4, "rmsprop": 1e-3, "sgd": 0.05}  # others begin with 0.002
LEFT = 0.01  # what an exponential rate has fallen to at the end

SCHEDULES: dict[str, Callable[[float, int], Any]] = {  # of the rate at the start and the number of steps
    "constant": lambda rate, steps: schedules.Constant(rate),
    "cosine": schedules.Cosine,
    "exponential": lambda rate, steps: schedules.Exponential(rate, LEFT, steps),
    "one-cycle": schedules.OneCycle,
    "plateau": lambda rate, steps: schedules.Plateau(rate, patience=3),
    "step": lambda rate, steps: schedules.Step(rate, -(-steps // 3)),
}

AUGMENTATIONS: dict[str, Callable[..., Any]] = {  # of the number after the name, if there is one
    "flip": lambda: augment.Flip(),
    "vflip": lambda: augment.Flip("vertical"),
    "shift": lambda amount=0.125: augment.Shift(int(amount) if amount >= 1 else amount, p=0.6),
    "rotate": lambda degrees=15.0: augment.Rotate(degrees),
    "scale": lambda factor=1.25: augment.Scale(1 / factor, factor),
    "brightness": lambda amount=0.2: augment.Brightness(amount),
    "contrast": lambda amount=0.2: augment.Contrast(amount),
    "noise": lambda sigma=0.05: augment.Noise(sigma),
    "cutout": lambda size=0.25: augment.Cutout(int(size) if size > 1 else size),
    "mixup": lambda alpha=0.2: augment.MixUp(alpha),
}


def network(name: str, shape: tuple[int, int, int], classes: int, rng: np.random.Generator) -> Model:
    """Build a network that takes images of uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.apps.choices import network
    >>> network("lenet", (28, 28, 1), 10, np.random.default_rng(0)).output_shape()
    (10,)
    """
    if name == "small":
        return image_network(shape, classes, rng, first=[Rescale()])
    made = READY[name](classes, shape, rng=rng)
    return Sequential([Rescale(), *(made.layers if isinstance(made, Sequential) else [made])], input_shape=shape, rng=rng)


def optimizer(name: str, rate: float | None, schedule: str, steps: int, weight_decay: float = 0.0) -> Any:
    """An optimiser by name, whose rate follows a schedule over so many steps.

    Examples
    --------
    >>> from convkit.apps.choices import optimizer
    >>> optimizer("adam", None, "cosine", 100).learning_rate(0)
    0.002
    """
    rate = RATES.get(name, 2e-3) if rate is None else rate
    return optim.OPTIMIZERS[name](SCHEDULES[schedule](rate, max(steps, 1)), weight_decay=weight_decay)


def transforms(text: str) -> list[Any]:
    """Read a list of augmentations, ``name`` or ``name=number`` between commas; ``none`` is none.

    Raises
    ------
    ValueError
        If a name is not known, or its number is not one it takes.

    Examples
    --------
    >>> from convkit.apps.choices import transforms
    >>> transforms("flip,rotate=10")
    [Flip(p=0.5, direction='horizontal'), Rotate(p=1.0, fill=0.0, degrees=10.0)]
    """
    made = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, given, value = part.partition("=")
        if name == "none":
            continue
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}; known are {', '.join(AUGMENTATIONS)}")
        make = AUGMENTATIONS[name]
        if given and not inspect.signature(make).parameters:
            raise ValueError(f"augmentation {name!r} takes no number, got {part!r}")
        try:
            made.append(make(float(value)) if given else make())
        except (ValueError, ZeroDivisionError, OverflowError) as error:
            raise ValueError(f"augmentation {part!r}: {error}") from None
    return made
