"""The fully connected layer, as a convolution whose kernel is one position."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Shape, positive
from convkit.layers.conv import Filters

__all__ = ["Dense"]


class Dense(Filters):
    """Fully connected layer, ``y[n, o] = sum_i x[n, i] * w[o, i] + b[o]``.

    Parameters
    ----------
    units : int
        Number of outputs.
    bias : bool, default True
    activation : None or "relu"

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input is not one row of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Dense
    >>> layer = Dense(10)
    >>> layer.build((128,), np.random.default_rng(0))
    (10,)
    >>> layer.params["w"].value.shape, layer.multiply_adds((128,))
    ((10, 128), 1280)
    """

    _op, _grad = ops.conv1d, ops.conv1d_grad

    def __init__(self, units: int, *, bias: bool = True, activation: str | None = None) -> None:
        super().__init__(bias, activation)
        self.units = positive(units, "Dense", "units")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Dense: the input must be one row of numbers (F,), got {input_shape}; put Flatten() before it")
        return (self.units,)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return self._with_bias((self.units, *input_shape))

    def multiply_adds(self, input_shape: Shape) -> int:
        return self.units * input_shape[0]

    @property
    def receptive_field(self) -> None:
        return None

    def config(self) -> dict[str, Any]:
        return {"units": self.units, "bias": self.bias, "activation": self.activation}

    @staticmethod
    def filters(w: np.ndarray) -> np.ndarray:
        """As `Filters.filters`."""
        return w[:, None, :]

    def run(self, x: np.ndarray, filters: Any, b: Any, activation: str | None, residual: Any = None) -> np.ndarray:
        """As `Filters.run`."""
        residual = None if residual is None else residual[:, None, :]
        return super().run(x[:, None, :], filters, b, activation, residual)[:, 0, :]

    def _gradients(self, dy: np.ndarray, x: np.ndarray, needs: tuple[str, ...]) -> tuple[np.ndarray | None, ...]:
        dx, *grads = super()._gradients(dy[:, None, :], x[:, None, :], needs)
        return (None if dx is None else dx[:, 0, :], *grads)
