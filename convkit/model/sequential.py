"""Sequential: a model as a list of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convkit.layers.base import Layer
from convkit.model.graph import chain
from convkit.model.model import Model
from convkit.model.network import Network

__all__ = ["Sequential"]


class Sequential(Model):
    """A model whose layers follow one another.

    Parameters
    ----------
    layers : iterable of Layer
        A layer that another model has built keeps its weights and shares them.
    input_shape : tuple of int, optional
        Shape of one sample, channels last, without the batch axis; if not given, `fit` takes it from the data.
    rng : int or numpy.random.Generator, optional
        Seeds the weights, dropout and the shuffling of `fit`; the same number gives the same model.
    dtype : float32 or float64, default float32

    Raises
    ------
    TypeError, ValueError
        If a layer is not one, appears twice, or does not fit the one before it; if there is no layer.

    Examples
    --------
    >>> import numpy as np
    >>> import convkit
    >>> from convkit.layers import Dense, ReLU
    >>> model = convkit.Sequential([Dense(16), ReLU(), Dense(2)], rng=0)
    >>> x = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    >>> history = model.fit(x, y, epochs=20, optimizer=convkit.optim.Adam(0.02), verbose=0)
    >>> model.evaluate(x, y)["accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        input_shape: Iterable[int] | None = None,
        rng: int | np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        layers = list(layers)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: {layer!r} is not a layer; wanted objects of convkit.layers")
            if layer.several:
                raise TypeError(f"Sequential: {layer.label} takes several tensors; it needs a Model")
        if len(set(map(id, layers))) < len(layers):
            raise ValueError("Sequential: a layer appears twice; make a new one for each place")
        Network.__init__(self, chain(layers), rng, dtype, ["input"])
        if input_shape is not None:
            self.build(input_shape)
