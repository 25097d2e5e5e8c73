"""Training and evaluation of a model: the loops over epochs and batches."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from convkit.callbacks import History, Progress, Run
from convkit.layers import Param
from convkit.metrics import Metric
from convkit.model.interrupt import Interrupt
from convkit.model.origin import origin
from convkit.model.samples import Batch, Source
from convkit.model.settings import Settings
from convkit.model.several import plain

__all__ = ["Means", "Training", "check_monitors", "evaluate"]

EVALUATION_BATCH = 256  # no gradients are kept, so it need not be the training batch


class Training(Run):
    """One call of `fit`: what is done, and what comes next.

    Attributes
    ----------
    data, held : Source
        To train on and, or None, to validate with.
    class_weights : ndarray of shape (K,), or None
    rng : numpy.random.Generator
        Draws the order of the samples.
    began : dict
        State of `rng` before it drew the order of this epoch.
    start : dict
        State of `rng` before it drew the split.
    means : Means
        Of the epoch under way.
    """

    def __init__(
        self, how: Settings, data: Source, held: Source | None, class_weights: np.ndarray | None, rng: np.random.Generator
    ) -> None:
        super().__init__(how.model, how.optimizer, how.epochs)
        self.how, self.data, self.held, self.class_weights, self.rng = how, data, held, class_weights, rng
        steps = data.steps(how.batch_size)
        self.steps = None if steps is None else math.ceil(steps / how.accumulate)
        self.began = self.start = rng.bit_generator.state
        self.means = Means(how.metrics)
        self.params: list[Param] = []  # that training changes
        self.buffers: list[np.ndarray] = []
        self.spent = self.seconds = 0.0  # of this epoch: before the run was resumed, and until now

    def run(self) -> History:
        """All epochs that are left."""
        how, callbacks = self.how, self.how.callbacks
        for callback in callbacks:
            callback.start(self)
        done = 0 if self.steps is None else self.epoch * self.steps + self.step
        with Interrupt() as interrupt, Progress(how.epochs, self.steps, how.verbose, done) as progress:
            try:
                while self.epoch < how.epochs and self.history.stopped is None and not interrupt.asked:
                    if not self._epoch(interrupt, progress):
                        break
                for callback in callbacks:
                    callback.before_end(self)
            finally:
                self._average(True)
                self.model.pages.clear()
                for callback in callbacks:
                    callback.end(self)
        self.history.interrupted = interrupt.asked
        if interrupt.asked:
            epochs = len(self.history.history.get("seconds", ()))
            warnings.warn(f"fit: interrupted after {epochs} of {how.epochs} epochs", RuntimeWarning, stacklevel=4)
        return self.history

    def _epoch(self, interrupt: Interrupt, progress: Progress) -> bool:
        """Whether it came to its end."""
        how, start = self.how, time.perf_counter()
        self.params, self.buffers = list(self.model.learning.values()), list(self.model.buffers.values())
        now = self.rng.bit_generator.state
        if self.step:
            self.rng.bit_generator.state = self.began
        else:
            self.began = now
        batches = self.data.epoch(self.rng, how.batch_size, self.step * how.accumulate)
        if self.step:
            self.rng.bit_generator.state = now  # with what else was drawn since this epoch began
        with contextlib.closing(batches):
            for group in groups(batches, how.accumulate):
                self._step(group)
                self.step += 1
                progress.step(self.epoch, self.means.values)
                self.seconds = self.spent + time.perf_counter() - start
                for callback in how.callbacks:
                    callback.step_end(self)
                if interrupt.asked or self.history.stopped is not None:
                    return False
        self._average(True)
        logs = self._figures(interrupt)
        if interrupt.asked:
            return False
        self.history.add({**logs, "seconds": self.spent + time.perf_counter() - start})
        self._tell(progress)
        return True

    def _figures(self, interrupt: Interrupt) -> dict[str, Any]:
        """Of the epoch that was just done, with those of the validation data."""
        logs = self.means.values()
        if self.held is not None:
            figures = evaluate(self.how, self.held, EVALUATION_BATCH, interrupt)
            logs.update({f"val_{name}": value for name, value in figures.items()})
        rate = getattr(self.optimizer, "learning_rate", None)
        if callable(rate) or any(callback.sets_rate for callback in self.how.callbacks):
            logs["learning_rate"] = self.optimizer.rate
        return logs

    def _tell(self, progress: Progress) -> None:
        """The epoch is in the history; from here on the next one counts, and only checkpoints come after that."""
        logs = {name: values[-1] for name, values in self.history.history.items()}
        progress.epoch(self.epoch, logs)
        rate = getattr(self.optimizer, "learning_rate", None)
        if hasattr(rate, "epoch_end"):
            rate.epoch_end(logs)
        for callback in self.how.callbacks:
            callback.epoch_end(self, dict(logs))
        self.epoch, self.step, self.spent, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        self.means = Means(self.how.metrics)
        for callback in self.how.callbacks:
            callback.epoch_over(self)

    def _step(self, group: list[Batch]) -> None:
        """One step of the optimiser: the gradient of the mean loss over all samples of the batches, in one or several parts."""
        how, model = self.how, self.model
        self._average(False)
        for param in self.params:
            param.clear()
        total = sum(len(y) for _, y, _ in group)
        kept = [(buffer, buffer.copy()) for buffer in self.buffers]
        for x, y, weights in group:
            outputs, backward = model.forward(plain(x), training=True, needs_input=False)
            loss, d_outputs = how.loss_of(outputs, y, self._weights(y, weights))
            if how.check_finite and not math.isfinite(loss):
                self._refuse(loss, x, y, kept)
            if len(y) != total:
                share = model.dtype.type(len(y) / total)
                d_outputs = tuple(d * share for d in d_outputs) if isinstance(d_outputs, tuple) else d_outputs * share
            backward(d_outputs, needs_input=False)
            self.means.add(loss, outputs, y)
        self.optimizer.step(self.params)

    def _weights(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """The weight of each target of a batch, by its sample and by its class."""
        if self.class_weights is None:
            return weights
        classes = y if y.dtype.kind in "iu" else y.argmax(axis=-1)
        own = self.class_weights[classes]
        return own if weights is None else own * weights.reshape(weights.shape + (1,) * (own.ndim - weights.ndim))

    def _refuse(self, loss: float, x: Any, y: Any, kept: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """ValueError that says where the loss stopped being finite; the model is as before the step."""
        for buffer, before in kept:
            buffer[...] = before
        found = origin(self.model, plain(x), plain(y))
        for buffer, before in kept:
            buffer[...] = before
        place = f"step {self.step + 1} of epoch {self.epoch + 1}"
        raise ValueError(f"fit: the loss is {loss} in {place}: {found}. The weights are as before the step")

    def _average(self, yes: bool) -> None:
        """Have averaged weights in the model, where the optimiser keeps them."""
        if hasattr(self.optimizer, "use_averages"):
            self.optimizer.use_averages(self.model.params.values(), yes)


def check_monitors(how: Settings, validates: bool) -> None:
    """ValueError if somebody waits for a figure that will not be there."""
    names = ["loss", *how.metrics]
    names += [f"val_{name}" for name in names] if validates else []
    for watcher in (*how.callbacks, getattr(how.optimizer, "learning_rate", None)):
        wanted = getattr(watcher, "monitor", None)
        if wanted is not None and wanted not in names:
            told = f"there are {', '.join(names)}{'' if validates else ', without validation data'}"
            raise ValueError(f"fit: {type(watcher).__name__} monitors {wanted!r}, but {told}")


def groups(batches: Iterator[Batch], count: int) -> Iterator[list[Batch]]:
    """So many batches at a time, the rest at the end."""
    while group := list(itertools.islice(batches, count)):
        yield group


def evaluate(how: Settings, data: Source, size: int, interrupt: Interrupt | None = None) -> dict[str, Any]:
    """Loss and metrics over checked samples."""
    means = Means(how.metrics)
    with contextlib.closing(data.in_order(size)) as batches:
        for x, y, weights in batches:
            if interrupt is not None and interrupt.asked:
                break
            outputs, _ = how.model.forward(plain(x))
            means.add(how.loss_of(outputs, y, weights)[0], outputs, y)
    return means.values()


class Means:
    """The mean of the loss over samples, and the metrics."""

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self.metrics = {name: metric.fresh() for name, metric in metrics.items()}
        self.samples, self.loss = 0, 0.0

    def add(self, loss: float, outputs: Any, y: Any) -> None:
        self.samples += len(y)
        self.loss += loss * len(y)
        for metric in self.metrics.values():
            metric.add(outputs, y)

    def values(self) -> dict[str, Any]:
        return {"loss": self.loss / max(self.samples, 1), **{name: metric.value() for name, metric in self.metrics.items()}}
