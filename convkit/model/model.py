"""Model: what all models share, whatever the way their layers are connected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from convkit.callbacks import Callback, History
from convkit.layers.base import Backward, Layer, Param, Shape, positive
from convkit.metrics import Metric
from convkit.model import files, train
from convkit.model.settings import Settings, generator
from convkit.model.summary import table

__all__ = ["Model"]


class Model:
    """Base of models: parameters, fit, evaluate, predict, summary, save and load.

    A subclass says how its layers are connected: `shapes`, `build` and `forward`.

    Attributes
    ----------
    layers : list of Layer
    dtype : numpy.dtype, float32 or float64
    rng : numpy.random.Generator
        Draws weights and dropout, and the shuffling of `fit`.
    input_shape : tuple of int, or None before build
        Shape of one sample, channels last, without the batch axis.
    """

    def __init__(self, layers: Iterable[Layer], rng: int | np.random.Generator | None, dtype: Any) -> None:
        name = type(self).__name__
        self.layers = list(layers)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: dtype must be float32 or float64, got {self.dtype}")
        self.rng = generator(rng, name)
        self.input_shape: Shape | None = None

    def shapes(self, input_shape: Iterable[int]) -> list[Shape]:
        """Output shape of each layer for an input shape, without building anything."""
        raise NotImplementedError

    def build(self, input_shape: Iterable[int], *, weights: dict[str, np.ndarray] | None = None) -> Shape:
        """Make the parameters of all layers and return the output shape."""
        raise NotImplementedError

    def forward(self, x: np.ndarray, training: bool = False) -> tuple[np.ndarray, Backward | None]:
        """Run one batch through all layers; as `Layer.forward`."""
        raise NotImplementedError

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
            name = type(self).__name__
            raise ValueError(f"{name}: the model is not built; give input_shape=, or call build(input_shape) or fit(x, y)")
        return self.input_shape

    def summary(self) -> str:
        """Print and return a table: layer, output shape, parameters, multiply-adds, receptive field, and totals."""
        text = table(self.layers, self.built())
        print(text)
        return text

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        optimizer: Any = "adam",
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable | Metric] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        class_weight: Any = None,
        sample_weight: Any = None,
        accumulate: int = 1,
        rng: int | np.random.Generator | None = None,
        verbose: int = 1,
        callbacks: Iterable[Callback | Callable[[Model, int, dict[str, Any]], Any]] = (),
        resume: str | os.PathLike[str] | None = None,
        check_finite: bool = True,
    ) -> History:
        """Train the model.

        Each epoch goes once through the samples in a new random order, and ends with the figures of the validation
        data. Ctrl-C stops after the current step: the weights stay as that step left them, a RuntimeWarning says so,
        and the history of the finished epochs is returned with ``interrupted=True``. A second Ctrl-C raises
        KeyboardInterrupt at once.

        Parameters
        ----------
        x : array_like of shape (N, *input_shape), dtype of the model; or a Dataset, or an iterable of batches
            An array is read where it lies, so a callback may write other samples into it for the next epoch. A
            `convkit.data.Dataset` is read ahead by threads. Batches are pairs (x, y), or (x, y, weights of the samples);
            what gives them must begin anew in each epoch.
        y : array_like of shape (N,) of class numbers, or (N, K) of probabilities
            For losses that are not about classes, of the shape and dtype of the outputs; for outputs (N, ..., K) with a
            class at each position, class numbers (N, ...). Left out where x has them.
        batch_size : int, default 32
        epochs : int, default 1
        optimizer : name ("adam", "sgd", ...) or an object of convkit.optim
            An object keeps its averages, so a second `fit` goes on where the first stopped. If it keeps averages of the
            weights (``ema=``), they are what validation, callbacks and the finished model have.
        loss : str or callable (outputs, targets) -> (loss, gradient)
            The name of a function of convkit.losses; one with options is ``functools.partial(losses.focal, gamma=3)``.
        metrics : iterable of names ("accuracy", "f1", ...), objects of convkit.metrics or callables
            A callable (outputs, targets) -> float is averaged over batches. By default the accuracy, and nothing for losses
            that are not about classes.
        validation_split : float in [0, 1), default 0
            Share of the samples held out, drawn at random, of each class alike.
        validation_data : (x, y), Dataset or iterable of batches, optional
            Samples to validate with instead.
        class_weight : dict of class to float, or array_like of shape (K,), optional
            What each sample's loss is multiplied by, by its class; 1 for classes that a dict leaves out.
        sample_weight : array_like of shape (N,), or of the shape of y, optional
            The same by sample. The loss is the mean over samples of loss times weights; metrics and validation do not weigh.
        accumulate : int, default 1
            Batches for each step: their gradients are added up, as if they were one batch.
        rng : int or numpy.random.Generator, optional
            Draws the split and the order of samples; by default the model's own.
        verbose : 0, 1 or 2, default 1
            Silent, a progress bar (tqdm), or one line an epoch.
        callbacks : iterable of objects of convkit.callbacks, or callables (model, epoch, logs)
            A callable is called after each epoch, and stops the training if it returns True.
        resume : path-like, optional
            A file that `convkit.Checkpoint` wrote: goes on from there, to the same bits as a run that was never stopped,
            with the same arguments otherwise.
        check_finite : bool, default True
            Raise ValueError, with the weights as before the step, when the loss is not finite; the message says where that
            began.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong: all are checked before the model is touched.
        ModelFileError
            If the file of `resume` is damaged, or no checkpoint.
        """
        how = Settings(
            self, batch_size, epochs, optimizer, loss, metrics, verbose, callbacks, check_finite, accumulate
        )  # fmt: skip
        return train.train(how, x, y, validation_split, validation_data, class_weight, sample_weight, rng, resume)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 256,
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable | Metric] | None = None,
    ) -> dict[str, Any]:
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
        return train.evaluate(Settings(self, batch_size, loss=loss, metrics=metrics, op="evaluate"), x, y)

    def predict(self, x: Any, *, batch_size: int = 256) -> np.ndarray:
        """Outputs of the last layer, as they are (logits, if the model ends in Dense).

        Parameters
        ----------
        x : array_like of shape (N, *input_shape), dtype of the model; or a Dataset, or an iterable of batches
            Batches may be pairs (x, y) too. A list is an array.
        batch_size : int, default 256

        Returns
        -------
        ndarray of shape (N, *output_shape)

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong or the model is not built.
        """
        self.built()
        return train.predict(self, x, positive(batch_size, "predict", "batch_size"))

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
    def load(cls, path: str | os.PathLike[str], *, rng: int | np.random.Generator | None = None) -> Model:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        rng : int or numpy.random.Generator, optional
            For training on: seeds dropout and shuffling.

        Returns
        -------
        Model

        Raises
        ------
        ModelFileError
            If the file is damaged or not a model.
        OSError, ImportError
            If the file cannot be read, or safetensors is missing.
        """
        rng = generator(rng, "load")
        architecture, layers, weights = files.read(path)
        with files.damage(path):
            model = cls(layers, rng=rng, dtype=architecture["dtype"])
            model.build(architecture["input_shape"], weights=weights)
        return model
