"""What is told about a training run: the history that `fit` returns, and the progress that it prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["History", "Progress"]


class History:
    """Figures of each finished epoch.

    Attributes
    ----------
    history : dict of str to list
        ``loss``, each metric, their ``val_`` twins if there is validation data, and ``seconds``; one entry an epoch.
    interrupted : bool
        Whether Ctrl-C ended the training early.
    stopped : str or None
        Why a callback ended it early.

    Examples
    --------
    >>> from convkit.callbacks import History
    >>> h = History()
    >>> h.add({"loss": 0.5, "seconds": 1.0})
    >>> h.history, h.interrupted
    ({'loss': [0.5], 'seconds': [1.0]}, False)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.interrupted = False
        self.stopped: str | None = None

    def add(self, logs: dict[str, Any]) -> None:
        """Append the figures of one epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items() if isinstance(values[-1], float))
        return f"History({len(self.history.get('seconds', ()))} epochs{': ' + last if last else ''})"


class Progress:
    """Shows a training run on stderr: one tqdm bar, or one line an epoch (verbose=2, or tqdm missing), or nothing.

    Parameters
    ----------
    epochs : int
    steps : int or None
        Steps of an epoch, if they are known.
    verbose : 0, 1 or 2
    done : int, default 0
        Steps that an earlier run has done.

    Examples
    --------
    >>> from convkit.callbacks import Progress
    >>> with Progress(1, 10, verbose=0) as progress:
    ...     progress.step(0, lambda: {"loss": 0.5})
    ...     progress.epoch(0, {"loss": 0.5, "seconds": 0.1})
    """

    REDRAW = 0.1  # seconds: formatting the figures at each step would cost more than a small step itself

    def __init__(self, epochs: int, steps: int | None, verbose: int, done: int = 0) -> None:
        self.epochs, self.lines = epochs, verbose == 2
        self.bar: Any = None
        self._seen = 0.0
        self._validation: dict[str, Any] = {}
        if verbose == 1:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self.lines = True
            else:
                total = None if steps is None else epochs * steps
                self.bar = tqdm(total=total, initial=done, unit="step", desc=f"epoch 1/{epochs}", dynamic_ncols=True)

    def step(self, epoch: int, logs: Callable[[], dict[str, Any]]) -> None:
        """One step is done; logs gives the figures of this epoch so far."""
        if self.bar is None:
            return
        self.bar.update()
        now = time.monotonic()
        if now - self._seen > self.REDRAW:
            self._seen = now
            self._draw(epoch, {**logs(), **self._validation})

    def epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """One epoch is done."""
        self._validation = {name: value for name, value in logs.items() if name.startswith("val_")}
        if self.bar is not None:
            self._draw(epoch, logs)
        elif self.lines:
            figures = "  ".join(f"{name} {value}" for name, value in written(logs).items())
            print(f"epoch {epoch + 1}/{self.epochs}  {figures}  {logs['seconds']:.1f} s", file=sys.stderr, flush=True)

    def _draw(self, epoch: int, logs: dict[str, Any]) -> None:
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
        self.bar.set_postfix(written(logs))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def written(logs: dict[str, Any]) -> dict[str, str]:
    """The figures as they are shown: no seconds and no arrays; a learning rate may be small."""
    shown = {name: value for name, value in logs.items() if name != "seconds" and isinstance(value, float)}
    return {name: f"{value:.3g}" if name == "learning_rate" else f"{value:.4f}" for name, value in shown.items()}
