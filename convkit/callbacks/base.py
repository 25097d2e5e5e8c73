"""What a callback is, and the run that it is told about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.callbacks.progress import History

__all__ = ["Callback", "PlainFunction", "Run"]


class Run:
    """A training run, as callbacks see it.

    Attributes
    ----------
    model : the model
    optimizer : the optimiser
    epochs : int
        As `fit` was told.
    epoch, step : int
        Epoch under way, from 0 on, and steps of it that are done.
    history : History
        The epochs that are done.
    resumed : bool
        Whether the run goes on from a checkpoint.
    done : bool
        Whether a callback stopped the run for good.
    """

    def __init__(self, model: Any, optimizer: Any, epochs: int) -> None:
        self.model, self.optimizer, self.epochs = model, optimizer, epochs
        self.epoch = self.step = 0
        self.history = History()
        self.resumed = self.done = False

    def stop(self, why: str, *, done: bool = True) -> None:
        """Ask the run to end, after the step or the epoch that is under way; it may be resumed unless it is done."""
        if self.history.stopped is None:
            self.history.stopped, self.done = why, done


class Callback:
    """Base of callbacks; every method may be left as it is.

    Attributes
    ----------
    monitor : str or None
        A figure that the callback needs: `fit` refuses to start without it.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.callbacks import Callback
    >>> class Enough(Callback):
    ...     def epoch_end(self, run, logs):
    ...         if logs["loss"] < 1:
    ...             run.stop("the loss is low enough")
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> model.fit(x, y, epochs=10**6, optimizer=convkit.optim.Adam(0.1), verbose=0, callbacks=[Enough()]).stopped
    'the loss is low enough'
    """

    monitor: str | None = None
    sets_rate = False  # whether it changes the learning rate, which is then logged

    def start(self, run: Run) -> None:
        """Before the first step; the model is built."""

    def step_end(self, run: Run) -> None:
        """After each step."""

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        """After each epoch, with its figures."""

    def epoch_over(self, run: Run) -> None:
        """After `epoch_end` of all callbacks; the run stands before the next epoch."""

    def before_end(self, run: Run) -> None:
        """After the last step, unless there was an error; the weights are as training goes on with them."""

    def end(self, run: Run) -> None:
        """After the last step, however the run ended; where the optimiser keeps averages of the weights, they are in place."""

    def state(self) -> dict[str, Any]:
        """What a later run needs to go on: numbers, strings and arrays."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class PlainFunction(Callback):
    """A function of (model, epoch, logs), called after each epoch; it stops the run by returning True."""

    def __init__(self, function: Callable[[Any, int, dict[str, Any]], Any]) -> None:
        self.function = function

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        if self.function(run.model, run.epoch, dict(logs)) is True:
            run.stop(f"{getattr(self.function, '__name__', 'a callback')} returned True")
