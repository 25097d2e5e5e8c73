"""LeNet-5: LeCun et al., "Gradient-based learning applied to document recognition", 1998, with ReLU and max pooling."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dense, Flatten, MaxPool2D
from convkit.model import Sequential

__all__ = ["lenet"]


def lenet(
    classes: int = 10, input_shape: tuple[int, int, int] = (28, 28, 1), *, rng: Any = None, dtype: Any = "float32"
) -> Sequential:  # fmt: skip
    """LeNet-5 for small images: two convolutions with pooling, three dense layers; 61,706 parameters for digits.

    Parameters
    ----------
    classes : int, default 10
    input_shape : (height, width, channels), default (28, 28, 1)
    rng : int or numpy.random.Generator, optional
    dtype : float32 or float64, default float32

    Returns
    -------
    Sequential
        Built; it gives logits (N, classes).

    Examples
    --------
    >>> import convkit
    >>> convkit.models.lenet(rng=0).count_params()
    61706
    """
    layers = [
        Conv2D(6, 5, padding=2, activation="relu"),
        MaxPool2D(2),
        Conv2D(16, 5, activation="relu"),
        MaxPool2D(2),
        Flatten(),
        Dense(120, activation="relu"),
        Dense(84, activation="relu"),
        Dense(classes),
    ]
    return Sequential(layers, input_shape=input_shape, rng=rng, dtype=dtype)
