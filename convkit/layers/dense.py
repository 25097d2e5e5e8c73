"""The fully connected layer, as a convolution whose kernel is one position."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Shape, positive
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

    def _filters(self) -> np.ndarray:
        return self.params["w"].value[:, None, :]

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        y, run_back = self._run(ops.conv1d, ops.conv1d_grad, x[:, None, :], training)
        y = y[:, 0, :]
        if run_back is None:
            return y, None

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray | None:
            dx = run_back(dy[:, None, :], needs_input)
            return None if dx is None else dx[:, 0, :]

        return y, backward
