"""Training and evaluation of a model: the checks first, then the loops."""

from __future__ import annotations

import math
import numbers
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.callbacks import History, Progress
from convkit.layers import Softmax
from convkit.layers.base import positive
from convkit.losses import LOSSES, binary_cross_entropy, binary_focal, class_targets, cross_entropy, dice, focal, kl_divergence
from convkit.losses.targets import plain_array
from convkit.metrics import METRICS, accuracy
from convkit.optim import OPTIMIZERS
from convkit.plan import geometry

if TYPE_CHECKING:
    from convkit.model.model import Model

__all__ = ["Settings", "evaluate", "generator", "inputs", "samples", "train"]

EVALUATION_BATCH = 256  # no gradients are kept, so it need not be the training batch
CLASS_LOSSES = (cross_entropy, focal, kl_divergence)
BINARY_LOSSES = (binary_cross_entropy, binary_focal, dice)
OTHER_LOSSES = tuple(loss for loss in LOSSES.values() if loss not in CLASS_LOSSES)


class Settings:
    """The arguments of `Model.fit` and `evaluate` that are not data, checked and with names looked up."""

    def __init__(
        self,
        model: Model,
        batch_size: int,
        epochs: int = 1,
        optimizer: Any = "adam",
        loss: str | Callable = "cross_entropy",
        metrics: Iterable[str | Callable] | None = None,
        verbose: int = 0,
        callbacks: Iterable[Callable] = (),
        check_finite: bool = False,
        op: str = "fit",
    ) -> None:
        self.op, self.model, self.check_finite = op, model, check_finite
        self.batch_size = positive(batch_size, op, "batch_size")
        self.epochs = positive(epochs, op, "epochs")
        if verbose not in (0, 1, 2):
            raise ValueError(f"{op}: verbose must be 0, 1 or 2, got {verbose!r}")
        self.verbose = int(verbose)
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[_known(op, "optimizer", optimizer, OPTIMIZERS)]()
        self.optimizer = optimizer
        if not callable(getattr(self.optimizer, "step", None)) or isinstance(self.optimizer, type):
            raise TypeError(f"{op}: optimizer must be a name or an object with step(params), got {optimizer!r}")
        self.loss = _function(op, "loss", loss, LOSSES)
        if metrics is None:
            metrics = () if self.loss in OTHER_LOSSES else ("accuracy",)
        if isinstance(metrics, str) or not isinstance(metrics, Iterable):
            raise TypeError(f"{op}: metrics must be a tuple of names or functions, got {metrics!r}")
        self.metrics = {_label(m): _function(op, "metric", m, METRICS) for m in metrics}
        self.callbacks = tuple(callbacks)
        for callback in self.callbacks:
            if not callable(callback):
                raise TypeError(f"{op}: a callback must be a function of (model, epoch, logs), got {callback!r}")
        if self.loss in (*CLASS_LOSSES, *BINARY_LOSSES) and isinstance(model.layers[-1], Softmax):
            raise ValueError(f"{op}: {self.loss.__name__} takes logits; leave out the Softmax at the end of the model")


def train(
    how: Settings,
    x: Any,
    y: Any,
    validation_split: float,
    validation_data: tuple[Any, Any] | None,
    rng: int | np.random.Generator | None,
) -> History:
    """Check the data, build the model if need be, and run the epochs."""
    rng = how.model.rng if rng is None else generator(rng, "fit")
    x, y = samples(how, x, y)
    split = _split_size(validation_split, len(x))
    held = None
    if validation_data is not None:
        if split:
            raise ValueError("fit: give validation_split or validation_data, not both")
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
            raise TypeError("fit: validation_data must be a pair (x, y)")
        held = samples(how, *validation_data, prefix="validation ", shape=x.shape[1:])
    how.model.build(x.shape[1:])
    if not how.model.params:
        raise ValueError("fit: the model has no parameters to train")
    indices = np.arange(len(x))
    if split:
        chosen = _stratified(y, split, rng)
        held, indices = (x[chosen], y[chosen]), indices[~chosen]
    history = History()
    with _Interrupt() as interrupt, Progress(how.epochs, math.ceil(len(indices) / how.batch_size), how.verbose) as progress:
        for epoch in range(how.epochs):
            logs = _epoch(how, x, y, rng.permutation(indices), held, interrupt, progress, epoch)
            if logs is None:
                break
            history.add(logs)
            progress.epoch(epoch, logs)
            for callback in how.callbacks:
                callback(how.model, epoch, dict(logs))
    history.interrupted = interrupt.asked
    if history.interrupted:
        done = len(history.history.get("seconds", ()))
        warnings.warn(f"fit: interrupted after {done} of {how.epochs} epochs", RuntimeWarning, stacklevel=3)
    return history


def _epoch(
    how: Settings,
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    held: tuple[np.ndarray, np.ndarray] | None,
    interrupt: _Interrupt,
    progress: Progress,
    epoch: int,
) -> dict[str, float] | None:
    """Figures of one epoch, or None if it was interrupted."""
    start = time.perf_counter()
    means = _Means(how)
    for rows in _batches(order, how.batch_size):
        if interrupt.asked:
            return None
        means.add(*_step(how, x[rows], y[rows]), y[rows])
        progress.step(epoch, means.values())
    logs = means.values()
    if held is not None:
        figures = evaluate(how, *held, interrupt=interrupt)
        logs.update({f"val_{name}": value for name, value in figures.items()})
    return None if interrupt.asked else {**logs, "seconds": time.perf_counter() - start}


def _step(how: Settings, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """One step of the optimiser: the loss and the outputs before it."""
    params = how.model.params.values()
    for param in params:
        param.grad.fill(0)
    outputs, backward = how.model.forward(x, training=True)
    loss, d_outputs = how.loss(outputs, y)
    if how.check_finite and not math.isfinite(loss):
        raise ValueError(f"fit: the loss is {loss}; try a smaller learning rate, and look for NaN in x")
    backward(d_outputs, needs_input=False)
    how.optimizer.step(params)
    return loss, outputs


def evaluate(how: Settings, x: np.ndarray, y: np.ndarray, *, interrupt: _Interrupt | None = None) -> dict[str, float]:
    """Loss and metrics over checked samples."""
    means = _Means(how)
    for rows in _batches(slice(0, len(x)), EVALUATION_BATCH if how.op == "fit" else how.batch_size):
        if interrupt is not None and interrupt.asked:
            break
        outputs, _ = how.model.forward(x[rows])
        means.add(how.loss(outputs, y[rows])[0], outputs, y[rows])
    return means.values()


class _Means:
    """Running means of the loss and the metrics, each batch weighted by its size."""

    def __init__(self, how: Settings) -> None:
        self.metrics = how.metrics
        self.samples = 0
        self.sums = dict.fromkeys(("loss", *how.metrics), 0.0)

    def add(self, loss: float, outputs: np.ndarray, y: np.ndarray) -> None:
        self.samples += len(y)
        self.sums["loss"] += loss * len(y)
        for name, metric in self.metrics.items():
            self.sums[name] += float(metric(outputs, y)) * len(y)

    def values(self) -> dict[str, float]:
        return {name: total / max(self.samples, 1) for name, total in self.sums.items()}


class _Interrupt:
    """Notes the first Ctrl-C instead of raising KeyboardInterrupt in the middle of a step; the second one raises.

    Only where Python's own handler is in force: in the main thread, and unless the program has put another in place.
    """

    def __init__(self) -> None:
        self.asked = False
        main = threading.current_thread() is threading.main_thread()
        self.ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> _Interrupt:
        if self.ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _batches(order: Any, size: int) -> Iterator[Any]:
    """Consecutive parts of an index array, or of a slice that starts at 0."""
    if isinstance(order, slice):
        return (slice(start, start + size) for start in range(0, order.stop, size))
    return (order[start : start + size] for start in range(0, len(order), size))


def samples(
    how: Settings, x: Any, y: Any, *, prefix: str = "", shape: tuple[int, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """x and y as arrays that fit the model, the loss and each other."""
    op, model = how.op, how.model
    x = inputs(op, f"{prefix}x", x, model, shape)
    y = plain_array(y, op, f"{prefix}y")
    if not len(x):
        raise ValueError(f"{op}: {prefix}x is empty")
    if y.ndim == 0 or len(y) != len(x):
        raise ValueError(f"{op}: {prefix}x has {len(x)} samples, {prefix}y has shape {y.shape}")
    return x, _targets(how, y, model.shapes(x.shape[1:])[-1], f"{prefix}y")


def _targets(how: Settings, y: np.ndarray, output: tuple[int, ...], name: str) -> np.ndarray:
    """y, checked as far as the loss and the metrics are known."""
    op, dtype = how.op, how.model.dtype
    if how.loss in CLASS_LOSSES or accuracy in how.metrics.values():
        if len(output) != 1 and y.ndim == 1:
            wanted = f"one class a sample needs outputs of shape (K,), the model gives {output}"
            raise ValueError(f"{op}: {wanted}; end it with Dense(K)")
        return class_targets(y, (len(y), *output[:-1]), output[-1], op, name)
    if how.loss in OTHER_LOSSES:
        if y.dtype != dtype and not (y.dtype == bool and how.loss in BINARY_LOSSES):
            raise TypeError(f"{op}: {name} has dtype {y.dtype}, the model works in {dtype}; write {name}.astype(np.{dtype})")
        if y.shape[1:] != output:
            raise ValueError(f"{op}: {name} must have the shape of the outputs {(len(y), *output)}, got {y.shape}")
    return y


def inputs(op: str, name: str, x: Any, model: Model, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """x as an array that the model takes; until it is built, of samples of a given shape."""
    x, dtype, shape = plain_array(x, op, name), model.dtype, model.input_shape or shape
    native = x.dtype.newbyteorder("=")
    if native not in (dtype, *model.layers[0].takes):
        hint = f"write {name}.astype(np.{dtype})"
        if x.dtype == np.uint8:
            hint += " / 255, or begin the model with layers.Rescale()"
        raise TypeError(f"{op}: {name} has dtype {x.dtype}, the model works in {dtype}; {hint}")
    if x.ndim < 2 or (shape is not None and x.shape[1:] != shape):
        wanted = ", ".join(map(str, shape)) if shape is not None else "..."
        raise ValueError(f"{op}: {name} must have shape (N, {wanted}), got {x.shape}")
    return x.astype(native, copy=False)


def _split_size(share: float, n: int) -> int:
    """How many of n samples a share is."""
    if isinstance(share, (bool, np.bool_)) or not isinstance(share, numbers.Real):
        raise TypeError(f"fit: validation_split must be a number, got {share!r}")
    if not 0 <= share < 1:
        raise ValueError(f"fit: validation_split must be in [0, 1), got {share}")
    size = round(share * n)
    if share and not 0 < size < n:
        raise ValueError(f"fit: validation_split={share} of {n} samples leaves none to train or to validate")
    return size


def _stratified(y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Mask of `size` samples drawn at random, of each class its share to within one."""
    order = rng.permutation(len(y))
    if y.ndim == 1:
        order = order[np.argsort(y[order], kind="stable")]
    places = (np.arange(size) * len(y) + rng.integers(len(y))) // size % len(y)  # evenly spread over the sorted samples
    chosen = np.zeros(len(y), bool)
    chosen[order[places]] = True
    return chosen


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


def _label(metric: str | Callable) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
