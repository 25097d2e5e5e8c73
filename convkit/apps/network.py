"""The small convolutional network that the demo, `convkit train` and the scikit-learn estimators use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convkit.layers import Layer
    from convkit.model import Sequential

FIRST_MAPS, MOST_MAPS = 32, 64
SMALLEST_SIDE = 4  # pixels that a 2x2 pooling must find, so that two by two remain


def image_network(
    shape: tuple[int, int, int],
    outputs: int,
    rng: np.random.Generator,
    dtype: Any = np.float32,
    *,
    first: Sequence[Layer] = (),
) -> Sequential:
    """Build a network for images: 3x3 convolutions and 2x2 poolings, then one dense layer.

    The first block has two convolutions, each further one a single convolution of twice as many maps (at
    most 64); each ends in a pooling that halves the sides, until the shorter one is under 4.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of the images.
    outputs : int
        How many classes there are to tell apart, or numbers to predict.
    rng : numpy.random.Generator
        Where the first weights come from.
    dtype : float32 or float64
    first : sequence of Layer
        What comes before, such as ``[Rescale()]``.

    Returns
    -------
    Sequential
        A built model from (N, *shape) to (N, outputs) logits.
    """
    from convkit import Sequential
    from convkit.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU

    maps, side = FIRST_MAPS, min(shape[:2])
    layers = [*first, Conv2D(maps, 3, padding=1), ReLU(), Conv2D(maps, 3, padding=1), ReLU()]
    while side >= SMALLEST_SIDE:
        if side != min(shape[:2]):
            layers += [Conv2D(maps, 3, padding=1), ReLU()]
        layers.append(MaxPool2D(2))
        maps, side = min(2 * maps, MOST_MAPS), side // 2
    layers += [Flatten(), Dropout(0.5), Dense(outputs)]
    return Sequential(layers, input_shape=shape, rng=rng, dtype=dtype)
