"""Sequential: a model as a list of layers."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from convkit.layers.base import Backward, Layer, Shape
from convkit.model.model import Model

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
        super().__init__(layers, rng, dtype)
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: {layer!r} is not a layer; wanted objects of convkit.layers")
        if not self.layers:
            raise ValueError("Sequential: the model has no layers")
        if len(set(map(id, self.layers))) < len(self.layers):
            raise ValueError("Sequential: a layer appears twice; make a new one for each place")
        if input_shape is not None:
            self.build(input_shape)

    def shapes(self, input_shape: Iterable[int]) -> list[Shape]:
        """Output shape of each layer for an input shape, without building anything.

        Raises
        ------
        TypeError, ValueError
            If the shape is not one or more ints >= 1, or a layer cannot take its input; the message names the layer.
        """
        shape = _sample_shape(input_shape)
        shapes = []
        for i, layer in enumerate(self.layers):
            try:
                shape = layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"Sequential: layer {i}, which gets {shape}: {error}") from error
            shapes.append(shape)
        return shapes

    def build(self, input_shape: Iterable[int], *, weights: dict[str, np.ndarray] | None = None) -> Shape:
        """Make the parameters of all layers and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.
        weights : dict of str to ndarray, optional
            A value for each of `params`, and for each buffer of a layer, instead of new ones.

        Returns
        -------
        tuple of int

        Raises
        ------
        TypeError, ValueError
            As `shapes`; if the model is built already for another shape; if `weights` do not fit.
        """
        shape = _sample_shape(input_shape)
        if self.input_shape is not None and weights is None:
            if shape != self.input_shape:
                raise ValueError(f"Sequential: the model is built for samples of shape {self.input_shape}, got {shape}")
            return self.output_shape
        inputs = [shape, *self.shapes(shape)]
        if weights is None:
            new = [layer for i, layer in enumerate(self.layers) if self._is_new(i, layer, inputs[i])]
        else:
            self._check_weights(inputs, weights)
            new = self.layers
        for i, layer in enumerate(self.layers):
            if layer in new:
                own = None if weights is None else {name: weights[f"{i}.{name}"] for name in layer.saved_shapes(inputs[i])}
                layer.build(inputs[i], self.rng, self.dtype, weights=own)
        self.input_shape = shape
        return inputs[-1]

    def _is_new(self, i: int, layer: Layer, shape: Shape) -> bool:
        """Whether a layer needs building: one that another model has built is shared with it, weights and all."""
        if layer.input_shape is None:
            return True
        if (layer.input_shape, layer.dtype) != (shape, self.dtype):
            is_, got = (f"{d} of shape {s}" for s, d in ((layer.input_shape, layer.dtype), (shape, self.dtype)))
            raise ValueError(f"Sequential: layer {i} ({type(layer).__name__}) is built for {is_}, here it gets {got}")
        return False

    def _check_weights(self, inputs: list[Shape], weights: dict[str, np.ndarray]) -> None:
        wanted = {
            f"{i}.{name}": shape
            for i, layer in enumerate(self.layers)
            for name, shape in layer.saved_shapes(inputs[i]).items()
        }
        if wanted.keys() != weights.keys():
            raise ValueError(f"Sequential: weights must be {sorted(wanted)}, got {sorted(weights)}")
        for name, shape in wanted.items():
            array = weights[name]
            if array.shape != shape or array.dtype != self.dtype:
                raise ValueError(f"Sequential: {name} must be {self.dtype} {shape}, got {array.dtype} {array.shape}")

    def forward(self, x: np.ndarray, training: bool = False) -> tuple[np.ndarray, Backward | None]:
        """Run one batch through all layers; as `Layer.forward`."""
        self.built()
        steps = []
        for layer in self.layers:
            x, step = layer.forward(x, training)
            steps.append(step)
        return x, self._backward(steps) if training else None

    def _backward(self, steps: list[Backward]) -> Backward:
        learning = [i for i, layer in enumerate(self.layers) if layer.params]
        first = min(learning, default=len(steps))  # nothing before it has a use for its gradient

        def backward(dy: np.ndarray, needs_input: bool = True) -> np.ndarray | None:
            for i in range(len(steps) - 1, -1 if needs_input else first - 1, -1):
                dy = steps[i](dy, needs_input=needs_input or i > first)
            return dy if needs_input else None

        return backward

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}], input_shape={self.input_shape})"


def _sample_shape(shape: Iterable[int]) -> Shape:
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(f"Sequential: input_shape must be a tuple of ints, got {shape!r}") from None
    if not sizes or min(sizes) < 1:
        raise ValueError(f"Sequential: input_shape must be one or more sizes >= 1, got {sizes}")
    return sizes
