"""VGG-16: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1, D."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D
from convkit.model import Sequential

__all__ = ["vgg16"]

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, and their channels


def vgg16(
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    width: float = 1.0,
    rng: Any = None,
    dtype: Any = "float32",
) -> Sequential:
    """VGG-16: thirteen 3x3 convolutions and three dense layers; 138,357,544 parameters.

    Parameters
    ----------
    classes : int, default 1000
    input_shape : (height, width, channels), default (224, 224, 3)
        Sides of 32 pixels or more.
    width : float, default 1
        Multiplies the number of channels and units.
    rng : int or numpy.random.Generator, optional
    dtype : float32 or float64, default float32

    Returns
    -------
    Sequential
        Built; it gives logits (N, classes).

    Examples
    --------
    >>> import convkit
    >>> convkit.models.vgg16(10, (32, 32, 3), width=1 / 16, rng=0).layers["block5_conv3"].out_channels
    32
    """
    layers: list[Any] = []
    for i, (count, channels) in enumerate(BLOCKS, 1):
        for j in range(1, count + 1):
            layers.append(Conv2D(int(channels * width), 3, padding=1, activation="relu", name=f"block{i}_conv{j}"))
        layers.append(MaxPool2D(2, name=f"block{i}_pool"))
    layers.append(Flatten())
    for i in (1, 2):
        layers += [Dense(int(4096 * width), activation="relu", name=f"dense{i}"), Dropout(0.5, name=f"dropout{i}")]
    return Sequential([*layers, Dense(classes, name="classes")], input_shape=input_shape, rng=rng, dtype=dtype)
