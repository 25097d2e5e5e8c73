"""Layers that only change the shape."""

from __future__ import annotations

import math

import numpy as np

from convkit.layers.base import Backward, Layer, Shape

__all__ = ["Flatten"]


class Flatten(Layer):
    """Each sample as one row of numbers, ``(N, H, W, C) -> (N, H*W*C)``; a view where memory allows.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Flatten
    >>> Flatten().build((4, 4, 8), np.random.default_rng(0))
    (128,)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shape = x.shape

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return dy.reshape(shape)

        return x.reshape(len(x), math.prod(shape[1:])), backward if training else None
