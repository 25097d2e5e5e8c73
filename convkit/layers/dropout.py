"""Layers that drop numbers or channels at random in training, and do nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape
from convkit.ops.dropout import share

__all__ = ["AlphaDropout", "Dropout", "SpatialDropout"]


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

    _op: Callable = ops.dropout
    _grad: Callable = ops.dropout_grad

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = share(p, type(self).__name__)
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
        seed = int(self._rng.integers(2**63))

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, self.p, seed=seed)

        return type(self)._op(x, self.p, seed=seed), backward


class SpatialDropout(Dropout):
    """Dropout of whole channels of (N, ..., C): each is 0 in training with probability p; see `convkit.spatial_dropout`."""

    _op, _grad = ops.spatial_dropout, ops.spatial_dropout_grad


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance where `SELU` is the activation; see `convkit.alpha_dropout`."""

    _op, _grad = ops.alpha_dropout, ops.alpha_dropout_grad
