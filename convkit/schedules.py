"""Learning rates that change: functions of the number of steps done, to be given as `learning_rate` of an optimiser."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

__all__ = ["Best", "Constant", "Cosine", "Exponential", "OneCycle", "Plateau", "Step", "WarmUp"]

HIGHER_IS_BETTER = ("accuracy", "top_k", "precision", "recall", "f1", "iou", "auc")


class Constant:
    """The same rate at every step, for `WarmUp`.

    >>> from convkit.schedules import Constant
    >>> Constant(0.1)(1000)
    0.1
    """

    def __init__(self, rate: float) -> None:
        self.first = number("Constant", "rate", rate)

    def __call__(self, step: int) -> float:
        return self.first


class Step:
    """``rate * factor ** (step // every)``.

    Parameters
    ----------
    rate : float > 0
    every : int >= 1
        Steps (of the optimiser, not epochs) after which the rate falls.
    factor : float > 0, default 0.1

    Examples
    --------
    >>> from convkit.schedules import Step
    >>> rate = Step(0.5, every=100, factor=0.5)
    >>> rate(0), rate(99), rate(100), rate(250)
    (0.5, 0.5, 0.25, 0.125)
    """

    def __init__(self, rate: float, every: int, factor: float = 0.1) -> None:
        self.rate, self.factor = number("Step", "rate", rate), number("Step", "factor", factor)
        self.every = count("Step", "every", every)

    def __call__(self, step: int) -> float:
        return self.rate * self.factor ** (step // self.every)


class Exponential:
    """``rate * factor ** (step / every)``.

    Parameters
    ----------
    rate, factor : float > 0
    every : int >= 1, default 1

    Examples
    --------
    >>> from convkit.schedules import Exponential
    >>> rate = Exponential(1.0, factor=0.25, every=100)
    >>> rate(0), rate(50), rate(100)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, rate: float, factor: float, every: int = 1) -> None:
        self.rate, self.factor = number("Exponential", "rate", rate), number("Exponential", "factor", factor)
        self.every = count("Exponential", "every", every)

    def __call__(self, step: int) -> float:
        return self.rate * self.factor ** (step / self.every)


class Cosine:
    """Half a cosine from `rate` to `end` in `steps` steps, and `end` from then on.

    ``end + (rate - end) * (1 + cos(pi * step / steps)) / 2``; Loshchilov and Hutter, "SGDR", 2017.

    Parameters
    ----------
    rate : float > 0
    steps : int >= 1
        Of the whole training: epochs times batches of an epoch.
    end : float >= 0, default 0

    Examples
    --------
    >>> from convkit.schedules import Cosine
    >>> rate = Cosine(1.0, steps=100)
    >>> rate(0), rate(50), rate(100), rate(101)
    (1.0, 0.5, 0.0, 0.0)
    """

    def __init__(self, rate: float, steps: int, end: float = 0.0) -> None:
        self.rate, self.end = number("Cosine", "rate", rate), number("Cosine", "end", end, zero=True)
        self.steps = count("Cosine", "steps", steps)

    def __call__(self, step: int) -> float:
        return _between(self.rate, self.end, step / self.steps)


class OneCycle:
    """Up from ``rate / divide`` to `rate` and down to ``rate / divide_end``, each half a cosine.

    Source: Smith and Topin, "Super-Convergence", 2018.

    Parameters
    ----------
    rate : float > 0
        The highest.
    steps : int >= 1
        Of the whole training.
    rise : float in (0, 1), default 0.3
        Share of the steps that go up.
    divide, divide_end : float > 0, default 25 and 1e4

    Examples
    --------
    >>> from convkit.schedules import OneCycle
    >>> rate = OneCycle(1.0, steps=100, rise=0.25)
    >>> rate(0), rate(25), rate(100)
    (0.04, 1.0, 0.0001)
    """

    def __init__(self, rate: float, steps: int, *, rise: float = 0.3, divide: float = 25.0, divide_end: float = 1e4) -> None:
        self.rate, self.steps = number("OneCycle", "rate", rate), count("OneCycle", "steps", steps)
        self.rise = number("OneCycle", "rise", rise)
        if self.rise >= 1:
            raise ValueError(f"OneCycle: rise must be in (0, 1), got {rise}")
        self.start = self.rate / number("OneCycle", "divide", divide)
        self.end = self.rate / number("OneCycle", "divide_end", divide_end)

    def __call__(self, step: int) -> float:
        place = step / self.steps
        if place < self.rise:
            return _between(self.start, self.rate, place / self.rise)
        return _between(self.rate, self.end, (place - self.rise) / (1 - self.rise))


class Plateau:
    """A rate that falls when a logged figure no longer gets better.

    Parameters
    ----------
    rate : float > 0
    monitor : str, default "val_loss"
        What `fit` logs of each epoch.
    factor : float in (0, 1), default 0.1
    patience : int >= 1, default 10
        Epochs without a better figure after which the rate is multiplied by `factor`.
    mode : "min", "max" or "auto", default "auto"
        What is better; see `Best`.
    min_delta : float >= 0, default 1e-4
    least : float >= 0, default 0
        The rate does not fall below it.

    Examples
    --------
    >>> from convkit.schedules import Plateau
    >>> rate = Plateau(1.0, "loss", factor=0.5, patience=2)
    >>> for loss in (0.9, 0.8, 0.8, 0.8):
    ...     rate.epoch_end({"loss": loss})
    >>> rate(0)
    0.5
    """

    def __init__(
        self,
        rate: float,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        least: float = 0.0,
    ) -> None:
        self.rate, self.factor = number("Plateau", "rate", rate), number("Plateau", "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"Plateau: factor must be in (0, 1), got {factor}")
        self.patience, self.least = count("Plateau", "patience", patience), number("Plateau", "least", least, zero=True)
        self.best = Best("Plateau", monitor, mode, min_delta)
        self.monitor = monitor

    def __call__(self, step: int) -> float:
        return self.rate

    def epoch_end(self, logs: dict[str, float]) -> None:
        """Take note of the figures of an epoch."""
        self.best.update(logs)
        if self.best.waited >= self.patience:
            self.rate, self.best.waited = max(self.rate * self.factor, self.least), 0

    def state(self) -> dict[str, float]:
        """What a later run needs to go on."""
        return {"rate": self.rate, **self.best.state()}

    def load_state(self, state: dict[str, float]) -> None:
        """Go on from a state."""
        self.rate = state["rate"]
        self.best.load_state(state)


class WarmUp:
    """A rate that rises evenly before another schedule begins.

    ``start + (first - start) * (step + 1) / (steps + 1)`` for the first `steps` steps, where `first` is the other's rate at its
    step 0; then the other, which counts its steps from there.

    Parameters
    ----------
    then : float or schedule
    steps : int >= 1
    start : float >= 0, default 0

    Examples
    --------
    >>> from convkit.schedules import Cosine, WarmUp
    >>> rate = WarmUp(Cosine(1.0, steps=100), steps=3)
    >>> rate(0), rate(1), rate(3), rate(53)
    (0.25, 0.5, 1.0, 0.5)
    """

    def __init__(self, then: float | Callable[[int], float], steps: int, start: float = 0.0) -> None:
        self.then = then if callable(then) else Constant(then)
        self.steps, self.start = count("WarmUp", "steps", steps), number("WarmUp", "start", start, zero=True)

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.then(step - self.steps)
        return self.start + (self.then(0) - self.start) * (step + 1) / (self.steps + 1)

    def __getattr__(self, name: str) -> Any:
        if name in ("epoch_end", "state", "load_state", "monitor"):  # of a Plateau
            return getattr(self.then, name)
        raise AttributeError(f"'WarmUp' object has no attribute {name!r}")


class Best:
    """The best value of a logged figure so far.

    Parameters
    ----------
    op : str
        Whom messages are about.
    monitor : str
        Name of the figure.
    mode : "min", "max" or "auto"
        "auto" means the highest for accuracy, top_k, precision, recall, f1, iou and auc, and the lowest for all others.
    min_delta : float >= 0
        A figure is better if it is by more than this.

    Attributes
    ----------
    value : float
    waited : int
        Epochs since then.

    Examples
    --------
    >>> from convkit.schedules import Best
    >>> best = Best("op", "val_accuracy", "auto", 0)
    >>> [best.update({"val_accuracy": value}) for value in (0.5, 0.75, 0.625, float("nan"))], best.value, best.waited
    ([True, True, False, False], 0.75, 2)
    """

    def __init__(self, op: str, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"{op}: monitor must be a str, got {monitor!r}")
        if mode not in ("min", "max", "auto"):
            raise ValueError(f"{op}: mode must be 'min', 'max' or 'auto', got {mode!r}")
        if mode == "auto":
            mode = "max" if monitor.removeprefix("val_").startswith(HIGHER_IS_BETTER) else "min"
        self.op, self.monitor, self.sign = op, monitor, 1 if mode == "max" else -1
        self.min_delta = number(op, "min_delta", min_delta, zero=True)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.value, self.waited = -self.sign * math.inf, 0

    def update(self, logs: dict[str, float]) -> bool:
        """Whether the figures of this epoch are better than all before."""
        if self.monitor not in logs:
            raise ValueError(f"{self.op}: there is no figure {self.monitor!r} to monitor, only {', '.join(sorted(logs))}")
        value = float(logs[self.monitor])
        better = self.sign * (value - self.value) > self.min_delta  # False for a NaN
        self.value, self.waited = (value, 0) if better else (self.value, self.waited + 1)
        return better

    def state(self) -> dict[str, float]:
        return {"value": self.value, "waited": self.waited}

    def load_state(self, state: dict[str, float]) -> None:
        self.value, self.waited = float(state["value"]), int(state["waited"])


def _between(start: float, end: float, place: float) -> float:
    """Half a cosine from start (place 0) to end (place 1)."""
    if place >= 1:
        return end
    return start + (end - start) * (1 - math.cos(math.pi * place)) / 2


def number(op: str, name: str, value: Any, *, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    value = float(value)
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ValueError(f"{op}: {name} must be finite and {'>= 0' if zero else '> 0'}, got {value}")
    return value


def count(op: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{op}: {name} must be >= 1, got {value}")
    return int(value)
