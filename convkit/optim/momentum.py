"""SGD, RMSprop and Lion: optimisers with one average for each weight, or two at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.optim.base import Optimizer, pair, positive, share

__all__ = ["SGD", "Lion", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: ``v = momentum * v + g``, ``w = w - learning_rate * v``.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 0.01
    momentum : float in [0, 1), default 0
        0 keeps no velocity.
    nesterov : bool, default False
        Looks a step ahead: ``w = w - learning_rate * (g + momentum * v)``.
        Source: Sutskever and others, "On the importance of initialization and momentum in deep learning", 2013.
    weight_decay : float >= 0, default 0
        Adds ``weight_decay * w`` to the gradient.
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

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

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **common)
        self.momentum, self.nesterov = share("SGD", "momentum", momentum), bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov needs a momentum > 0")
        self.keeps = ("m",) if self.momentum else ()

    def _how(self, steps: int) -> dict[str, float]:
        how = {"l2": self.weight_decay, "m_keep": self.momentum, "m_add": 1.0}
        if self.nesterov:
            return {**how, "p": self.momentum, "q": 1.0}
        return {**how, "p": 1.0, "q": 0.0 if self.momentum else 1.0}


class RMSprop(Optimizer):
    """Steps scaled by a running average of the gradient's square.

    ``v = rho * v + (1 - rho) * g * g``, ``m = momentum * m + g / (sqrt(v) + eps)``, ``w = w - learning_rate * m``.
    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 0.01
    rho : float in [0, 1), default 0.99
    momentum : float in [0, 1), default 0
    eps : float > 0, default 1e-8
    weight_decay : float >= 0, default 0
        Adds ``weight_decay * w`` to the gradient.
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import RMSprop
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> RMSprop(0.25, rho=0.75).step([w])
    >>> w.value.round(6)
    array([0.5, 1.5])
    """

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.01,
        *,
        rho: float = 0.99,
        momentum: float = 0.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **common)
        self.rho, self.momentum = share("RMSprop", "rho", rho), share("RMSprop", "momentum", momentum)
        self.eps = positive("RMSprop", "eps", eps)
        self.keeps = ("m", "v") if self.momentum else ("v",)
        self.rule = "roll" if self.momentum else "step"

    def _how(self, steps: int) -> dict[str, float]:
        how = {"l2": self.weight_decay, "m_keep": self.momentum, "v_keep": self.rho, "v_add": 1 - self.rho}
        return {**how, "q": 1.0, "eps": self.eps}


class Lion(Optimizer):
    """Steps of one size, by the sign of a running average: half the memory of Adam.

    ``w = w - learning_rate * (sign(b1*m + (1-b1)*g) + weight_decay * w)``, then ``m = b2*m + (1-b2)*g``.
    Source: Chen and others, "Symbolic Discovery of Optimization Algorithms", 2023, algorithm 2.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 1e-4
    betas : (float, float) in [0, 1), default (0.9, 0.99)
    weight_decay : float >= 0, default 0
        Apart from the gradient, as in AdamW; about ten times what AdamW would have.
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import Lion
    >>> w = Param(np.array([1.0, 1.0, 1.0]))
    >>> w.grad += [3.0, -0.1, 0.0]
    >>> Lion(0.25).step([w])
    >>> w.value
    array([0.75, 1.25, 1.  ])
    """

    keeps = ("m",)
    rule = "sign"

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **common)
        self.betas = pair("Lion", betas)

    def _how(self, steps: int) -> dict[str, float]:
        b1, b2 = self.betas
        return {"m_keep": b2, "m_add": 1 - b2, "p": b1, "q": 1 - b1, "decay": self.weight_decay}
