"""What is told about a training run: the history that `fit` returns, and the progress that it prints."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["History", "Progress"]


class History:
    """Figures of each finished epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``loss``, each metric, their ``val_`` twins if there is validation data, and ``seconds``; one entry an epoch.
    interrupted : bool
        Whether Ctrl-C ended the training early.

    Examples
    --------
    >>> from convkit.callbacks import History
    >>> h = History()
    >>> h.add({"loss": 0.5, "seconds": 1.0})
    >>> h.history, h.interrupted
    ({'loss': [0.5], 'seconds': [1.0]}, False)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.interrupted = False

    def add(self, logs: dict[str, float]) -> None:
        """Append the figures of one epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.history.get('seconds', ()))} epochs{': ' + last if last else ''})"


class Progress:
    """Shows a training run on stderr: one tqdm bar, or one line an epoch (verbose=2, or tqdm missing), or nothing.

    Parameters
    ----------
    epochs, steps : int
        Epochs, and steps of each.
    verbose : 0, 1 or 2

    Examples
    --------
    >>> from convkit.callbacks import Progress
    >>> with Progress(1, 10, verbose=0) as progress:
    ...     progress.step(0, {"loss": 0.5})
    ...     progress.epoch(0, {"loss": 0.5, "seconds": 0.1})
    """

    REDRAW = 0.1  # seconds: formatting the figures at each step would cost more than a small step itself

    def __init__(self, epochs: int, steps: int, verbose: int) -> None:
        self.epochs, self.lines = epochs, verbose == 2
        self.bar: Any = None
        self._seen = 0.0
        self._validation: dict[str, float] = {}
        if verbose == 1:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self.lines = True
            else:
                self.bar = tqdm(total=epochs * steps, unit="step", desc=f"epoch 1/{epochs}", dynamic_ncols=True)

    def step(self, epoch: int, logs: dict[str, float]) -> None:
        """One step is done; logs are the running means of this epoch."""
        if self.bar is None:
            return
        self.bar.update()
        now = time.monotonic()
        if now - self._seen > self.REDRAW:
            self._seen = now
            self._draw(epoch, {**logs, **self._validation})

    def epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """One epoch is done."""
        self._validation = {name: value for name, value in logs.items() if name.startswith("val_")}
        if self.bar is not None:
            self._draw(epoch, {name: value for name, value in logs.items() if name != "seconds"})
        elif self.lines:
            figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items() if name != "seconds")
            print(f"epoch {epoch + 1}/{self.epochs}  {figures}  {logs['seconds']:.1f} s", file=sys.stderr, flush=True)

    def _draw(self, epoch: int, logs: dict[str, float]) -> None:
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
        self.bar.set_postfix({name: f"{value:.4f}" for name, value in logs.items()})

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
