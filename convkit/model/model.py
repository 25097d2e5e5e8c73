"""Model: a graph of layers that fits, predicts, saves and loads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from convkit.callbacks import Callback, History
from convkit.layers.base import positive
from convkit.layers.tensor import Tensor
from convkit.model import files, train
from convkit.model.graph import traced
from convkit.model.network import Network
from convkit.model.settings import Settings, generator

__all__ = ["Model"]


class Model(Network):
    """A model between symbolic tensors: layers are called on `Input`, and on what other layers gave.

    Parameters
    ----------
    inputs, outputs : Tensor, or sequence of Tensor
        With several, `forward` and the data of `fit` are tuples in this order.
    rng : int or numpy.random.Generator, optional
        Seeds the weights, dropout and the shuffling of `fit`; the same number gives the same model.
    dtype : float32 or float64, default float32

    Raises
    ------
    TypeError, ValueError
        If an output depends on an input that is not given, or not on one that is; if layers have the same name; if a layer that
        is used twice, or that another model has built, would need other weights here.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.layers import Add, Conv2D, Dense, GlobalAvgPool2D, ReLU
    >>> image = convkit.Input((8, 8, 1))
    >>> first = Conv2D(8, 3, padding=1, activation="relu")(image)
    >>> second = Conv2D(8, 3, padding=1)(first)
    >>> y = GlobalAvgPool2D()(ReLU()(Add()(first, second)))
    >>> model = convkit.Model(image, Dense(10)(y), rng=0)
    >>> model.predict(np.zeros((2, 8, 8, 1), np.float32)).shape
    (2, 10)
    >>> model.layers.names
    ('conv2d_1', 'conv2d_2', 'add_1', 'relu_1', 'global_avg_pool2d_1', 'dense_1')
    """

    def __init__(
        self,
        inputs: Tensor | Sequence[Tensor],
        outputs: Tensor | Sequence[Tensor],
        *,
        rng: int | np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        inputs = self._connect(inputs, outputs, rng, dtype)
        shapes = tuple(tensor.shape for tensor in inputs)
        self.build(shapes if self.several else shapes[0])

    def _connect(self, inputs: Any, outputs: Any, rng: Any, dtype: Any) -> list[Tensor]:
        inputs, outputs = (_tensors(given, name) for given, name in ((inputs, "inputs"), (outputs, "outputs")))
        names = [tensor.node.name or f"input_{i}" for i, tensor in enumerate(inputs, 1)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"Model: two inputs are called {name!r}")
        Network.__init__(self, traced(inputs, outputs), rng, dtype, names)
        return inputs

    @classmethod
    def unbuilt(cls, inputs: Any, outputs: Any, rng: Any, dtype: Any) -> Model:
        """A model without weights, which `build` makes."""
        model = cls.__new__(cls)
        model._connect(inputs, outputs, rng, dtype)
        return model

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        optimizer: Any = "adam",
        loss: Any = "cross_entropy",
        loss_weights: Any = None,
        metrics: Any = None,
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
            what gives them must begin anew in each epoch. For several inputs a tuple of arrays, or a dict by `input_names`.
        y : array_like of shape (N,) of class numbers, or (N, K) of probabilities
            For losses that are not about classes, of the shape and dtype of the outputs; for outputs (N, ..., K) with a
            class at each position, class numbers (N, ...). Left out where x has them. For several outputs a tuple of arrays,
            or a dict by `output_names`.
        batch_size : int, default 32
        epochs : int, default 1
        optimizer : name ("adam", "sgd", ...) or an object of convkit.optim
            An object keeps its averages, so a second `fit` goes on where the first stopped. If it keeps averages of the
            weights (``ema=``), they are what validation, callbacks and the finished model have.
        loss : str or callable (outputs, targets) -> (loss, gradient)
            The name of a function of convkit.losses; one with options is ``functools.partial(losses.focal, gamma=3)``. For
            several outputs a tuple or a dict gives each its own; their weighted sum is what is reported and trained on.
        loss_weights : tuple or dict of float, optional
            The weight of each output's loss, by default 1.
        metrics : iterable of names ("accuracy", "f1", ...), objects of convkit.metrics or callables
            A callable (outputs, targets) -> float is averaged over batches. By default the accuracy, and nothing for losses
            that are not about classes. For several outputs they are for each of them, unless a dict by name says otherwise, and
            are reported as ``NAME_accuracy``.
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
            self, batch_size, epochs, optimizer, loss, metrics, verbose, callbacks, check_finite, accumulate, loss_weights
        )  # fmt: skip
        return train.train(how, x, y, validation_split, validation_data, class_weight, sample_weight, rng, resume)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 256,
        loss: Any = "cross_entropy",
        loss_weights: Any = None,
        metrics: Any = None,
    ) -> dict[str, Any]:
        """Loss and metrics over samples, without training.

        Parameters
        ----------
        x, y, batch_size, loss, loss_weights, metrics
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
        how = Settings(self, batch_size, loss=loss, loss_weights=loss_weights, metrics=metrics, op="evaluate")
        return train.evaluate(how, x, y)

    def predict(self, x: Any, *, batch_size: int = 256) -> Any:
        """Outputs of the model, as they are (logits, if it ends in Dense).

        Parameters
        ----------
        x : array_like of shape (N, *input_shape), dtype of the model; or a Dataset, or an iterable of batches
            Batches may be pairs (x, y) too. A list is an array. For several inputs a tuple of arrays, or a dict by
            `input_names`.
        batch_size : int, default 256

        Returns
        -------
        ndarray of shape (N, *output_shape), or a tuple of them for several outputs

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong or the model is not built.
        """
        self.built()
        return train.predict(self, x, positive(batch_size, "predict", "batch_size"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and weights to a safetensors file; an existing file is replaced in one step or not at all.

        Raises
        ------
        ValueError
            If the model is not built, or has a layer that a file cannot name.
        OSError, ImportError
            If the file cannot be written, or safetensors is missing.
        """
        from convkit.model.architecture import described

        self._check_shared()
        files.write(path, described(self), self.saved)

    def _check_shared(self) -> None:
        """ValueError if a layer stands in two parts of the model: a loaded one would hold two layers."""
        seen: dict[int, str] = {}
        for name, layer in self.leaves():
            other = seen.setdefault(id(layer), name)
            if other != name:
                raise ValueError(f"save: the layer {other} is {name} too, which a file cannot say")

    @staticmethod
    def load(path: str | os.PathLike[str], *, rng: int | np.random.Generator | None = None) -> Model:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        rng : int or numpy.random.Generator, optional
            For training on: seeds dropout and shuffling.

        Returns
        -------
        Model
            A `Sequential` if that was saved.

        Raises
        ------
        ModelFileError
            If the file is damaged or not a model.
        OSError, ImportError
            If the file cannot be read, or safetensors is missing.

        Examples
        --------
        >>> import convkit
        >>> from convkit.layers import Dense
        >>> convkit.Sequential([Dense(2)], input_shape=(3,), rng=0).save("line.safetensors")
        >>> convkit.load_model("line.safetensors")
        Sequential([Dense(units=2, bias=True, activation=None)], input_shape=(3,))
        """
        from convkit.model.architecture import made

        rng = generator(rng, "load")
        architecture, weights, by_place = files.read(path)
        with files.damage(path):
            model, shape = made(architecture, rng)
            if by_place:
                names = {str(place): name for place, name in enumerate(model.layers.names)}
                parts = {name: name.split(".", 1) for name in weights}
                weights = {f"{names[parts[name][0]]}.{parts[name][1]}": array for name, array in weights.items()}
            model.build(shape, weights=weights)
        return model

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layers}, input_shape={self.input_shape})"


def _tensors(given: Any, name: str) -> list[Tensor]:
    tensors = list(given) if isinstance(given, (list, tuple)) else [given]
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Model: {name} must be what Input or a layer gave, got {type(tensor).__name__}")
    if not tensors or len(set(map(id, tensors))) < len(tensors):
        raise ValueError(f"Model: {name} must be one tensor or more, each once")
    return tensors
