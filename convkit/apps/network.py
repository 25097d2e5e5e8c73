"""The small convolutional network that the demo and `convkit train` use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convkit.model import Sequential

FIRST_MAPS, MOST_MAPS = 32, 64
SMALLEST_SIDE = 4  # pixels that a 2x2 pooling must find, so that two by two remain


def image_network(size: int, channels: int, classes: int, rng: np.random.Generator) -> Sequential:
    """Build a network for square images: 3x3 convolutions and 2x2 poolings, then one dense layer.

    The first block has two convolutions, each further one a single convolution of twice as many maps (at
    most 64); each ends in a pooling that halves the side, until a side of 2 or 3 is left.

    Parameters
    ----------
    size : int
        Width and height of the images in pixels.
    channels : int
        1 for grey, 3 for RGB.
    classes : int
        How many classes there are to tell apart.
    rng : numpy.random.Generator
        Where the first weights come from.

    Returns
    -------
    Sequential
        A built model from (N, size, size, channels) to (N, classes) logits.
    """
    from convkit import Sequential
    from convkit.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU

    maps, side = FIRST_MAPS, size
    layers = [Conv2D(maps, 3, padding=1), ReLU(), Conv2D(maps, 3, padding=1), ReLU()]
    while side >= SMALLEST_SIDE:
        if side != size:
            layers += [Conv2D(maps, 3, padding=1), ReLU()]
        layers.append(MaxPool2D(2))
        maps, side = min(2 * maps, MOST_MAPS), side // 2
    layers += [Flatten(), Dropout(0.5), Dense(classes)]
    return Sequential(layers, input_shape=(size, size, channels), rng=rng)
