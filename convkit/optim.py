"""Optimisers: `step(params)` moves every Param against its gradient, in place."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convkit.layers.base import Param

__all__ = ["OPTIMIZERS", "SGD", "Adam"]

FLUSH_EVERY = 16  # steps; a decaying average must not stay subnormal, where arithmetic is about 50 times slower


@dataclass
class Memory:
    """What an optimiser keeps for one Param."""

    scratch: np.ndarray
    averages: list[np.ndarray] = field(default_factory=list)
    steps: int = 0


class Optimizer:
    """What SGD and Adam share: a checked learning rate and arrays kept for each Param."""

    averages = 0  # running averages a Param needs

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._memory: dict[Param, Memory] = {}

    @property
    def learning_rate(self) -> float:
        """Step size; it may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        value = _number(type(self).__name__, "learning_rate", value)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{type(self).__name__}: learning_rate must be finite and > 0, got {value}")
        self._learning_rate = value

    def step(self, params: Iterable[Param]) -> None:
        """Move every Param once, from the gradient it holds."""
        for param in params:
            memory = self._memory.get(param)
            if memory is None:
                averages = [np.zeros_like(param.grad) for _ in range(self.averages)]
                memory = self._memory[param] = Memory(np.empty_like(param.grad), averages)
            memory.steps += 1
            if memory.steps % FLUSH_EVERY == 0:
                for average in memory.averages:
                    _flush_subnormals(average, memory.scratch)
            self._move(param.writable(), param.grad, memory)

    def _move(self, value: np.ndarray, grad: np.ndarray, memory: Memory) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: ``v = momentum * v + g``, ``w = w - learning_rate * v``.

    Parameters
    ----------
    learning_rate : float > 0, default 0.01
    momentum : float in [0, 1), default 0
        0 keeps no velocity.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import SGD
    >>> w = Param(np.array([1.0]))
    >>> w.grad += 2
    >>> SGD(0.25).step([w])
    >>> w.value
    array([0.5])
    """

    def __init__(self, learning_rate: float = 0.01, *, momentum: float = 0.0) -> None:
        super().__init__(learning_rate)
        self.momentum = _share("SGD", "momentum", momentum)
        self.averages = 1 if self.momentum else 0

    def _move(self, value: np.ndarray, grad: np.ndarray, memory: Memory) -> None:
        for velocity in memory.averages:
            velocity *= self.momentum
            velocity += grad
            grad = velocity
        np.multiply(grad, self.learning_rate, out=memory.scratch)
        value -= memory.scratch


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    ``m = b1*m + (1-b1)*g``, ``v = b2*v + (1-b2)*g*g``,
    ``w = w - learning_rate * (m / (1-b1**t)) / (sqrt(v / (1-b2**t)) + eps)`` at step t.
    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.

    Parameters
    ----------
    learning_rate : float > 0, default 1e-3
    betas : (float, float) in [0, 1), default (0.9, 0.999)
    eps : float > 0, default 1e-8

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import Adam
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> Adam(0.25).step([w])
    >>> w.value.round(6)
    array([0.75, 1.25])
    """

    averages = 2

    def __init__(self, learning_rate: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(learning_rate)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"Adam: betas must be 2 numbers, got {betas!r}")
        self.betas = (_share("Adam", "betas[0]", betas[0]), _share("Adam", "betas[1]", betas[1]))
        self.eps = _number("Adam", "eps", eps)
        if not (math.isfinite(self.eps) and self.eps > 0):
            raise ValueError(f"Adam: eps must be finite and > 0, got {self.eps}")

    def _move(self, value: np.ndarray, grad: np.ndarray, memory: Memory) -> None:
        (m, v), (b1, b2), scratch = memory.averages, self.betas, memory.scratch
        m *= b1
        m += np.multiply(grad, 1 - b1, out=scratch)
        v *= b2
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - b2
        v += scratch
        np.multiply(v, 1 / (1 - b2**memory.steps), out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += self.eps
        np.divide(m, scratch, out=scratch)
        scratch *= self.learning_rate / (1 - b1**memory.steps)
        value -= scratch


def _flush_subnormals(average: np.ndarray, scratch: np.ndarray) -> None:
    np.abs(average, out=scratch)
    average[scratch < np.finfo(average.dtype).tiny] = 0


def _number(op: str, name: str, value: float) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    return float(value)


def _share(op: str, name: str, value: float) -> float:
    value = _number(op, name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{op}: {name} must be in [0, 1), got {value}")
    return value


OPTIMIZERS = {"sgd": SGD, "adam": Adam}
