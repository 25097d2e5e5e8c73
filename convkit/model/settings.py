"""The arguments of `fit` and `evaluate` that are not data, checked and with names looked up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.callbacks import Callback
from convkit.callbacks.base import PlainFunction
from convkit.layers import Softmax
from convkit.layers.base import positive
from convkit.losses import LOSSES, binary_cross_entropy, binary_focal, cross_entropy, dice, focal, kl_divergence
from convkit.metrics import METRICS, Accuracy, Metric, accuracy
from convkit.model import several
from convkit.optim import OPTIMIZERS
from convkit.plan import geometry

if TYPE_CHECKING:
    from convkit.model.model import Model

__all__ = ["Settings", "generator"]

CLASS_LOSSES = (cross_entropy, focal, kl_divergence)
BINARY_LOSSES = (binary_cross_entropy, binary_focal, dice)
OTHER_LOSSES = tuple(loss for loss in LOSSES.values() if loss not in CLASS_LOSSES)


class Settings:
    """How to train or evaluate.

    Attributes
    ----------
    metrics : dict of str to Metric
        They have seen no sample: who uses one takes a `fresh` one.
    callbacks : tuple of Callback
    """

    def __init__(
        self,
        model: Model,
        batch_size: int,
        epochs: int = 1,
        optimizer: Any = "adam",
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable | Metric] | None = None,
        verbose: int = 0,
        callbacks: Iterable[Callback | Callable] = (),
        check_finite: bool = False,
        accumulate: int = 1,
        loss_weights: Any = None,
        op: str = "fit",
    ) -> None:
        self.op, self.model, self.check_finite = op, model, bool(check_finite)
        self.batch_size = positive(batch_size, op, "batch_size")
        self.epochs, self.accumulate = positive(epochs, op, "epochs"), positive(accumulate, op, "accumulate")
        if verbose not in (0, 1, 2):
            raise ValueError(f"{op}: verbose must be 0, 1 or 2, got {verbose!r}")
        self.verbose = int(verbose)
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[_known(op, "optimizer", optimizer, OPTIMIZERS)]()
        self.optimizer = optimizer
        if not callable(getattr(self.optimizer, "step", None)) or isinstance(self.optimizer, type):
            raise TypeError(f"{op}: optimizer must be a name or an object with step(params), got {optimizer!r}")
        self.metrics: dict[str, Metric] = {}
        self.parts: list[Settings] = []                 # of each output, if there are several
        names = model.output_names
        if len(names) > 1:
            self.factors = several.factors(op, loss_weights, names)
            self.parts = several.parts(self, loss, metrics, Settings._choose)
            for i, (name, part) in enumerate(zip(names, self.parts, strict=True)):
                self.metrics |= {f"{name}_{key}": several.OfOutput(i, metric) for key, metric in part.metrics.items()}
        elif loss_weights is not None:
            raise TypeError(f"{op}: loss_weights is for models with several outputs")
        else:
            self._choose(loss, metrics, 0)
        self.callbacks = tuple(_callback(op, callback) for callback in _listed(op, callbacks))

    def _choose(self, loss: Any, metrics: Any, place: int) -> None:
        """Look up the loss and the metrics of an output."""
        op, self.metrics = self.op, {}
        self.loss = _function(op, "loss", loss, LOSSES)
        if metrics is None:
            metrics = () if self.loss in OTHER_LOSSES else ("accuracy",)
        if isinstance(metrics, str) or not isinstance(metrics, Iterable):
            raise TypeError(f"{op}: metrics must be a tuple of names or functions, got {metrics!r}")
        for metric in metrics:
            name, metric = _metric(op, metric)
            if name in self.metrics:
                raise ValueError(f"{op}: two metrics are called {name!r}; give one of them another attribute `name`")
            self.metrics[name] = metric
        if self.loss in (*CLASS_LOSSES, *BINARY_LOSSES) and isinstance(self.model.output_layers[place], Softmax):
            raise ValueError(f"{op}: {self.loss.__name__} takes logits; leave out the Softmax at the end of the model")

    @property
    def about_classes(self) -> bool:
        """Whether the targets must be classes of the model's outputs."""
        plain = any(isinstance(m, Accuracy) and m.threshold is None for m in self.metrics.values())
        return self.loss in CLASS_LOSSES or (plain and self.loss not in OTHER_LOSSES)

    def needs_reduction(self, what: str) -> None:
        """TypeError unless the loss can leave the losses of the samples as they are."""
        if self.parts:
            for part in self.parts:
                part.needs_reduction(what)
            return
        try:
            known = "reduction" in inspect.signature(self.loss).parameters
        except (TypeError, ValueError):
            known = False
        if not known:
            raise TypeError(f"{self.op}: {what} needs a loss that knows reduction='none', as those of convkit.losses do")

    def loss_of(self, outputs: Any, y: Any, weights: np.ndarray | None) -> tuple[float, Any]:
        """The loss of a batch and its gradient; with weights, the mean of each sample's loss times its weight."""
        if self.parts:
            given = zip(self.parts, outputs, y, strict=True)
            losses, gradients = zip(*(part.loss_of(a, b, weights) for part, a, b in given), strict=True)
            total = sum(loss * factor for loss, factor in zip(losses, self.factors, strict=True))
            return total, tuple(d * d.dtype.type(factor) for d, factor in zip(gradients, self.factors, strict=True))
        if weights is None:
            return self.loss(outputs, y)
        losses, gradient = self.loss(outputs, y, reduction="none")
        weights = weights.astype(gradient.dtype)
        total = float(np.sum(losses * _spread(weights, losses.ndim), dtype=np.float64))
        gradient *= _spread(weights, gradient.ndim)
        gradient /= gradient.dtype.type(losses.size)
        return total / losses.size, gradient


def _spread(weights: np.ndarray, axes: int) -> np.ndarray:
    return weights.reshape(weights.shape + (1,) * (axes - weights.ndim))


class PlainMetric(Metric):
    """A function (outputs, targets) -> float, averaged over batches by their sizes."""

    def __init__(self, function: Callable[[Any, Any], float]) -> None:
        self.function = function
        super().__init__()

    def reset(self) -> None:
        self.sums = {"sum": np.zeros(()), "samples": np.zeros((), np.int64)}

    def add(self, outputs: Any, targets: Any) -> None:
        count = len(targets)
        self.sums["sum"] = self.sums["sum"] + float(self.function(outputs, targets)) * count
        self.sums["samples"] = self.sums["samples"] + count

    def value(self) -> float:
        return float(self.sums["sum"] / max(self.sums["samples"], 1))


def generator(rng: int | np.random.Generator | None, op: str) -> np.random.Generator:
    """A generator from what `rng=` accepts."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    rng = geometry.integer(rng, op, "rng", "an int, a numpy.random.Generator or None")
    if rng < 0:
        raise ValueError(f"{op}: rng must be >= 0, got {rng}")
    return np.random.default_rng(rng)


def _known(op: str, kind: str, name: str, known: dict[str, Any]) -> str:
    if name not in known:
        raise ValueError(f"{op}: unknown {kind} {name!r}, wanted one of {', '.join(sorted(known))}")
    return name


def _function(op: str, kind: str, given: str | Callable, known: dict[str, Callable]) -> Callable:
    if isinstance(given, str):
        return known[_known(op, kind, given, known)]
    if not callable(given):
        raise TypeError(f"{op}: {kind} must be a name or a function, got {given!r}")
    return given


def _metric(op: str, given: Any) -> tuple[str, Metric]:
    if given is accuracy:
        given = "accuracy"
    if isinstance(given, str):
        return given, METRICS[_known(op, "metric", given, METRICS)]()
    if isinstance(given, Metric):
        return given.name, given.fresh()
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"{op}: metric must be a name, an object of convkit.metrics or a function, got {given!r}")
    return getattr(given, "__name__", type(given).__name__), PlainMetric(given)


def _listed(op: str, callbacks: Any) -> Iterable[Any]:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"{op}: callbacks must be a list, got {callbacks!r}")
    return callbacks


def _callback(op: str, given: Any) -> Callback:
    if isinstance(given, Callback):
        return given
    if not callable(given) or isinstance(given, type):
        wanted = "an object of convkit.callbacks or a function of (model, epoch, logs)"
        raise TypeError(f"{op}: a callback must be {wanted}, got {given!r}")
    return PlainFunction(given)
