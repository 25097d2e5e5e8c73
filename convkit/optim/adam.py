"""Adam and what followed it: steps scaled by running averages of the gradient and of its square."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from convkit._core import act as core
from convkit.optim.base import Optimizer, pair, positive, threads_for

__all__ = ["LAMB", "Adam", "AdamW", "NAdam"]

RATE = 12  # the place of the rate among the numbers of the kernel


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    ``m = b1*m + (1-b1)*g``, ``v = b2*v + (1-b2)*g*g``,
    ``w = w - learning_rate * (m / (1-b1**t)) / (sqrt(v / (1-b2**t)) + eps)`` at step t.
    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 1e-3
    betas : (float, float) in [0, 1), default (0.9, 0.999)
    eps : float > 0, default 1e-8
    weight_decay : float >= 0, default 0
        Adds ``weight_decay * w`` to the gradient; see AdamW for the other kind.
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
    >>> from convkit.optim import Adam
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> Adam(0.25).step([w])
    >>> w.value.round(6)
    array([0.75, 1.25])
    """

    keeps = ("m", "v")
    decays = "l2"

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **common)
        self.betas = pair(type(self).__name__, betas)
        self.eps = positive(type(self).__name__, "eps", eps)

    def _how(self, steps: int) -> dict[str, float]:
        b1, b2 = self.betas
        how = {"m_keep": b1, "m_add": 1 - b1, "v_keep": b2, "v_add": 1 - b2, self.decays: self.weight_decay}
        return {**how, "p": 1 / (1 - b1**steps), "v_scale": 1 / (1 - b2**steps), "eps": self.eps}


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``w = w - learning_rate * (Adam's direction + weight_decay * w)``.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Parameters
    ----------
    learning_rate, betas, eps
        As of `Adam`.
    weight_decay : float >= 0, default 0.01
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import AdamW
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> AdamW(0.25, weight_decay=0.5).step([w])
    >>> w.value.round(6)
    array([0.625, 1.125])
    """

    decays = "decay"

    def __init__(
        self, learning_rate: float | Callable[[int], float] = 1e-3, *, weight_decay: float = 0.01, **how: Any
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, **how)


class NAdam(Adam):
    """Adam with Nesterov's momentum.

    With ``u_t = b1 * (1 - 0.96**(t * momentum_decay) / 2)`` and ``U_t = u_1 * ... * u_t``, the mean m / (1-b1**t) of Adam
    becomes ``u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t)``.
    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 2e-3
    momentum_decay : float >= 0, default 4e-3
    betas, eps, weight_decay
        As of `Adam`.
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import NAdam
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> NAdam(0.25).step([w])
    >>> w.value.round(3)
    array([0.736, 1.264])
    """

    def __init__(
        self, learning_rate: float | Callable[[int], float] = 2e-3, *, momentum_decay: float = 4e-3, **how: Any
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **how)
        self.momentum_decay = momentum_decay and positive("NAdam", "momentum_decay", momentum_decay)
        self._products = [1.0]  # of u_1 to u_t

    def _momentum(self, steps: int) -> float:
        return self.betas[0] * (1 - 0.5 * 0.96 ** (steps * self.momentum_decay))

    def _how(self, steps: int) -> dict[str, float]:
        while len(self._products) <= steps + 1:
            self._products.append(self._products[-1] * self._momentum(len(self._products)))
        p = self._momentum(steps + 1) / (1 - self._products[steps + 1])
        q = (1 - self._momentum(steps)) / (1 - self._products[steps])
        return {**super()._how(steps), "p": p, "q": q}


class LAMB(Adam):
    """Adam for large batches: each parameter's step is as long as the learning rate times its norm.

    ``d = Adam's direction + weight_decay * w``, ``w = w - learning_rate * (|w| / |d|) * d``; the factor is 1 where a norm is 0.
    Source: You and others, "Large Batch Optimization for Deep Learning", 2020, algorithm 2. The norms need a second pass.

    Parameters
    ----------
    learning_rate : float > 0 or schedule, default 1e-3
    betas : (float, float) in [0, 1), default (0.9, 0.999)
    eps : float > 0, default 1e-6
    weight_decay : float >= 0, default 0
    **common
        clip_value, clip_norm, clip_global_norm, ema: as of `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> from convkit.optim import LAMB
    >>> w = Param(np.array([1.0, 1.0]))
    >>> w.grad += [3.0, -0.1]
    >>> LAMB(0.25).step([w])
    >>> w.value.round(4)
    array([0.75, 1.25])
    """

    decays = "decay"

    def __init__(self, learning_rate: float | Callable[[int], float] = 1e-3, *, eps: float = 1e-6, **how: Any) -> None:
        super().__init__(learning_rate, eps=eps, **how)

    def _move(self, arrays: list[tuple], hows: list[tuple[float, ...]]) -> None:
        sums = core.optimise("measure", arrays, hows, threads_for(arrays))
        trusts = [math.sqrt(w / d) if w and d else 1.0 for w, d in sums]
        hows = [(*how[:RATE], trust * how[RATE], *how[RATE + 1:]) for trust, how in zip(trusts, hows, strict=True)]
        super()._move([(w, None, *kept) for w, _, *kept in arrays], hows)
