"""Callbacks that act on the run: stop it, keep its best model, set its learning rate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from convkit.callbacks.base import Callback, Run
from convkit.schedules import Best, count, number

__all__ = ["BestModel", "EarlyStopping", "Schedule", "TimeLimit"]


class EarlyStopping(Callback):
    """Stops when a figure has not become better for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
    patience : int >= 1, default 5
        Epochs without a better figure after which the run stops.
    min_delta : float >= 0, default 0
        A figure is better if it is by more than this.
    mode : "min", "max" or "auto", default "auto"
        "auto": the highest for accuracy, top_k, precision, recall, f1, iou and auc, and the lowest for all others.
    restore_best : bool, default False
        Leave the weights of the best epoch in the model at the end, however the run ends.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.callbacks import EarlyStopping
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> stop = EarlyStopping("accuracy", patience=3)
    >>> history = model.fit(x, y, epochs=1000, optimizer=convkit.optim.Adam(0.1), verbose=0, callbacks=[stop])
    >>> history.stopped
    'EarlyStopping: accuracy has not become better than 1 for 3 epochs'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        self.monitor, self.best = monitor, Best("EarlyStopping", monitor, mode, min_delta)
        self.patience = count("EarlyStopping", "patience", patience)
        self.restore_best = bool(restore_best)
        self.weights: dict[str, np.ndarray] = {}

    def start(self, run: Run) -> None:
        if not run.resumed:
            self.best.forget()
            self.weights = {}

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        if self.best.update(logs) and self.restore_best:
            self.weights = run.model.get_weights()
        if self.best.waited >= self.patience:
            told = f"{self.monitor} has not become better than {self.best.value:.6g} for {self.patience} epochs"
            run.stop(f"EarlyStopping: {told}")

    def end(self, run: Run) -> None:
        if self.weights:
            run.model.set_weights(self.weights)

    def state(self) -> dict[str, Any]:
        return {**self.best.state(), **{f"weights/{name}": array for name, array in self.weights.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best.load_state(state)
        self.weights = {name.removeprefix("weights/"): a for name, a in state.items() if name.startswith("weights/")}


class BestModel(Callback):
    """Saves the model whenever a figure is better than in all epochs before.

    Parameters
    ----------
    path : path-like
        The file is replaced in one step.
    monitor : str, default "val_loss"
    mode : "min", "max" or "auto", default "auto"
        As of `EarlyStopping`.

    Examples
    --------
    >>> import convkit, numpy as np, os, tempfile
    >>> from convkit.callbacks import BestModel
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "best.safetensors")
    ...     _ = model.fit(x, y, verbose=0, callbacks=[BestModel(path, "loss")])
    ...     convkit.load_model(path).predict(x).shape
    (2, 2)
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_loss", *, mode: str = "auto") -> None:
        self.path, self.monitor, self.best = os.fspath(path), monitor, Best("BestModel", monitor, mode, 0.0)
        if not os.path.isdir(os.path.dirname(os.path.abspath(self.path))):
            raise FileNotFoundError(f"BestModel: there is no folder for {self.path}")

    def start(self, run: Run) -> None:
        if not run.resumed:
            self.best.forget()

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        if self.best.update(logs):
            run.model.save(self.path)

    def state(self) -> dict[str, Any]:
        return self.best.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.best.load_state(state)


class TimeLimit(Callback):
    """Stops after the step in which the time is over. A run that is resumed has its time anew.

    Parameters
    ----------
    seconds : float > 0

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.callbacks import TimeLimit
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> model.fit(x, y, epochs=10**6, verbose=0, callbacks=[TimeLimit(0.05)]).stopped
    'TimeLimit: 0.05 seconds are over'
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = number("TimeLimit", "seconds", seconds)
        self.until = 0.0

    def start(self, run: Run) -> None:
        self.until = time.monotonic() + self.seconds

    def step_end(self, run: Run) -> None:
        if time.monotonic() >= self.until:
            run.stop(f"TimeLimit: {self.seconds:g} seconds are over", done=False)


class Schedule(Callback):
    """Sets the learning rate of each epoch; for rates that change with each step, see convkit.schedules.

    Parameters
    ----------
    rate : callable (epoch) -> float
        Epochs count from 0 on.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.callbacks import Schedule
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[Schedule(lambda epoch: 0.5**epoch)])
    >>> history.history["learning_rate"]
    [1.0, 0.5, 0.25]
    """

    sets_rate = True

    def __init__(self, rate: Callable[[int], float]) -> None:
        if not callable(rate):
            raise TypeError(f"Schedule: rate must be a function of the epoch, got {rate!r}")
        self.rate = rate

    def start(self, run: Run) -> None:
        run.optimizer.learning_rate = self.rate(run.epoch)

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        if run.epoch + 1 < run.epochs:
            run.optimizer.learning_rate = self.rate(run.epoch + 1)
