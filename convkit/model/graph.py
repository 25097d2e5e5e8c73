"""Sequential: a model as a list of layers."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from convkit.callbacks import History
from convkit.layers.base import Backward, Layer, Param, Shape, positive
from convkit.model import files, fit
from convkit.model.summary import table

__all__ = ["Sequential"]


class Sequential:
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
        self.layers = list(layers)
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: {layer!r} is not a layer; wanted objects of convkit.layers")
        if not self.layers:
            raise ValueError("Sequential: the model has no layers")
        if len(set(map(id, self.layers))) < len(self.layers):
            raise ValueError("Sequential: a layer appears twice; make a new one for each place")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"Sequential: dtype must be float32 or float64, got {self.dtype}")
        self.rng = fit.generator(rng, "Sequential")
        self.input_shape: Shape | None = None
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

    @property
    def output_shape(self) -> Shape:
        """Shape of one sample's output."""
        return self.shapes(self.built())[-1]

    @property
    def params(self) -> dict[str, Param]:
        """All parameters by name: the layer's place, a dot, and the name it has there (``"0.w"``)."""
        return {f"{i}.{name}": param for i, layer in enumerate(self.layers) for name, param in layer.params.items()}

    def built(self) -> Shape:
        """The input shape; ValueError if there is none yet."""
        if self.input_shape is None:
            raise ValueError("Sequential: the model is not built; give input_shape=, or call build(input_shape) or fit(x, y)")
        return self.input_shape

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

    def summary(self) -> str:
        """Print and return a table: layer, output shape, parameters, multiply-adds, receptive field, and totals."""
        text = table(self.layers, self.built())
        print(text)
        return text

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        optimizer: Any = "adam",
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable] | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        rng: int | np.random.Generator | None = None,
        verbose: int = 1,
        callbacks: Iterable[Callable[[Sequential, int, dict[str, float]], None]] = (),
        check_finite: bool = False,
    ) -> History:
        """Train the model.

        Each epoch goes once through the samples in a new random order, and ends with the figures of the validation
        data. Ctrl-C stops after the current step: the weights stay as that step left them, a RuntimeWarning says so,
        and the history of the finished epochs is returned with ``interrupted=True``. A second Ctrl-C raises
        KeyboardInterrupt at once.

        Parameters
        ----------
        x : array_like of shape (N, *input_shape), dtype of the model
            An array is read where it lies, so a callback may write other samples into it for the next epoch.
        y : array_like of shape (N,) of class numbers, or (N, K) of probabilities
            For losses that are not about classes, of the shape and dtype of the outputs; for outputs (N, ..., K) with a
            class at each position, class numbers (N, ...).
        batch_size : int, default 32
        epochs : int, default 1
        optimizer : "adam", "sgd" or an object of convkit.optim
            An object keeps its averages, so a second `fit` goes on where the first stopped.
        loss : str or callable (outputs, targets) -> (loss, gradient)
            The name of a function of convkit.losses; one with options is ``functools.partial(losses.focal, gamma=3)``.
        metrics : iterable of "accuracy" or callable (outputs, targets) -> float
            By default the accuracy, and nothing for losses that are not about classes.
        validation_split : float in [0, 1), default 0
            Share of the samples held out, drawn at random, of each class alike.
        validation_data : (x, y), optional
            Samples to validate with instead.
        rng : int or numpy.random.Generator, optional
            Draws the split and the order of samples; by default the model's own.
        verbose : 0, 1 or 2, default 1
            Silent, a progress bar (tqdm), or one line an epoch.
        callbacks : iterable of callables (model, epoch, logs)
            Called after each epoch.
        check_finite : bool, default False
            Raise ValueError, before the weights are touched, when the loss is not finite.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong: all are checked before the model is touched.
        """
        how = fit.Settings(self, batch_size, epochs, optimizer, loss, metrics, verbose, callbacks, check_finite)
        return fit.train(how, x, y, validation_split, validation_data, rng)

    def evaluate(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int = 256,
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable] | None = None,
    ) -> dict[str, float]:
        """Loss and metrics over samples, without training.

        Parameters
        ----------
        x, y, batch_size, loss, metrics
            As for `fit`.

        Returns
        -------
        dict of str to float
            ``loss`` and each metric.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong or the model is not built.
        """
        self.built()
        how = fit.Settings(self, batch_size, loss=loss, metrics=metrics, op="evaluate")
        return fit.evaluate(how, *fit.samples(how, x, y))

    def predict(self, x: Any, *, batch_size: int = 256) -> np.ndarray:
        """Outputs of the last layer, as they are (logits, if the model ends in Dense).

        Parameters
        ----------
        x : array_like of shape (N, *input_shape), dtype of the model
        batch_size : int, default 256

        Returns
        -------
        ndarray of shape (N, *output_shape)

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong or the model is not built.
        """
        shape = self.built()
        batch_size = positive(batch_size, "predict", "batch_size")
        x = fit.inputs("predict", "x", x, self.dtype, shape)
        starts = range(0, max(len(x), 1), batch_size)  # no samples are one empty batch
        return np.concatenate([self.forward(x[start : start + batch_size])[0] for start in starts])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write layers and weights to a safetensors file; an existing file is replaced in one step or not at all.

        Raises
        ------
        ValueError
            If the model is not built.
        OSError, ImportError
            If the file cannot be written, or safetensors is missing.
        """
        architecture = {
            "input_shape": list(self.built()),
            "dtype": self.dtype.name,
            "layers": [{"layer": type(layer).__name__, **layer.config()} for layer in self.layers],
        }
        weights = {f"{i}.{name}": array for i, layer in enumerate(self.layers) for name, array in layer.saved.items()}
        files.write(path, architecture, weights)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, rng: int | np.random.Generator | None = None) -> Sequential:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        rng : int or numpy.random.Generator, optional
            For training on: seeds dropout and shuffling.

        Returns
        -------
        Sequential

        Raises
        ------
        ModelFileError
            If the file is damaged or not a model.
        OSError, ImportError
            If the file cannot be read, or safetensors is missing.
        """
        rng = fit.generator(rng, "load")
        architecture, layers, weights = files.read(path)
        with files.damage(path):
            model = cls(layers, rng=rng, dtype=architecture["dtype"])
            model.build(architecture["input_shape"], weights=weights)
        return model

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
