"""Layers that work on each number or each position: ReLU, Softmax, Dropout."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape
from convkit.ops.act import select

__all__ = ["Dropout", "ReLU", "Softmax"]


class ReLU(Layer):
    """Rectified linear unit, ``y = max(x, 0)``.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import ReLU
    >>> layer = ReLU()
    >>> layer.build((3,), np.random.default_rng(0))
    (3,)
    >>> y, backward = layer.forward(np.array([[-1, 0, 2]], np.float32), training=True)
    >>> y, backward(np.ones_like(y))
    (array([[0., 0., 2.]], dtype=float32), array([[0., 0., 1.]], dtype=float32))
    """

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        y = ops.relu(x)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.relu_grad(dy, y)

        return y, backward if training else None


class Softmax(Layer):
    """Softmax over the last axis, ``y = exp(x) / sum(exp(x))``.

    Training with ``loss="cross_entropy"`` takes the numbers before it: leave this layer out then.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Softmax
    >>> layer = Softmax()
    >>> layer.build((2,), np.random.default_rng(0))
    (2,)
    >>> layer.forward(np.zeros((1, 2), np.float32))[0]
    array([[0.5, 0.5]], dtype=float32)
    """

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        y = ops.softmax(x)

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.softmax_grad(dy, y)

        return y, backward if training else None


class Dropout(Layer):
    """Sets a random share of the inputs to 0 in training and scales the rest, ``y = keep * x / (1 - p)``.

    Outside training it does nothing: ``y = x``, the same array.

    Parameters
    ----------
    p : float in [0, 1], default 0.5
        Share dropped; 0 changes nothing, 1 gives zeros.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Dropout
    >>> layer = Dropout(0.5)
    >>> layer.build((1000,), np.random.default_rng(0))
    (1000,)
    >>> y, _ = layer.forward(np.ones((1, 1000), np.float32), training=True)
    >>> np.unique(y)
    array([0., 2.], dtype=float32)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real):
            raise TypeError(f"Dropout: p must be a number, got {p!r}")
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p}")
        self.p = float(p)
        self._rng: np.random.Generator | None = None

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32, **how: Any) -> Shape:
        """As `Layer.build`; takes a generator of its own from `rng`, so that other layers do not change its draws."""
        output_shape = super().build(input_shape, rng, dtype, **how)
        (self._rng,) = rng.spawn(1)
        return output_shape

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        if not training:
            return x, None
        keep = self._rng.random(x.shape, dtype=np.float32) >= self.p
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0

        def apply(values: np.ndarray, needs_input: bool = True) -> np.ndarray:
            result = select(values, keep, np.empty_like(values))
            result *= scale
            return result

        return apply(x), apply
