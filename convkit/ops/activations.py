"""Activations: functions of each number on its own. Their gradients are in activations_grad.py.

Arrays are float32 or float64 of any strides and shape; NaN stays NaN, and infinities give the limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.ops.pointwise import apply, check_out, number

__all__ = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "mish",
    "prelu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
]

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def positive(value: Any, op: str, name: str) -> float:
    if not number(value, op, name) > 0:
        raise ValueError(f"{op}: {name} must be > 0, got {value}")
    return float(value)


def gelu_kind(approximate: str, op: str) -> str:
    return {"none": "gelu", "tanh": "gelu_tanh"}[check.choice(approximate, ("none", "tanh"), op, "approximate")]


def relu6(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Rectified linear unit that ends at 6, ``min(max(x, 0), 6)``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import relu6
    >>> relu6(np.array([-2.0, 0.5, 7.0])).round(3)
    array([0. , 0.5, 6. ])
    """
    return apply("relu6", "ramp", x, None, out, threads, 1, 0, 6)


def leaky_relu(
    x: Any, *, negative_slope: float = 0.01, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Rectified linear unit with a slope below 0, ``x if x > 0 else negative_slope * x``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import leaky_relu
    >>> leaky_relu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.02,  0.5 ,  7.  ])
    """
    return apply("leaky_relu", "leaky", x, None, out, threads,
                 number(negative_slope, "leaky_relu", "negative_slope"))


def elu(x: Any, *, alpha: float = 1.0, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Exponential linear unit, ``x if x > 0 else alpha * (exp(x) - 1)``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import elu
    >>> elu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.865,  0.5  ,  7.   ])
    """
    return apply("elu", "elu", x, None, out, threads, 1, number(alpha, "elu", "alpha"), 1)


def selu(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Scaled exponential linear unit, ``s * x if x > 0 else s * a * (exp(x) - 1)`` with s = 1.0507..., a = 1.6732...;
    arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import selu
    >>> selu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-1.52 ,  0.525,  7.355])
    """
    return apply("selu", "elu", x, None, out, threads, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1)


def celu(x: Any, *, alpha: float = 1.0, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Exponential linear unit with a smooth slope, ``x if x > 0 else alpha * (exp(x / alpha) - 1)``, alpha > 0;
    arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import celu
    >>> celu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.865,  0.5  ,  7.   ])
    """
    alpha = positive(alpha, "celu", "alpha")
    return apply("celu", "elu", x, None, out, threads, 1, alpha, 1 / alpha)


def gelu(x: Any, *, approximate: str = "none", out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Gaussian error linear unit, ``x * Phi(x)`` with the normal distribution Phi; by ``approximate="tanh"``
    ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import gelu
    >>> gelu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.046,  0.346,  7.   ])
    """
    return apply("gelu", gelu_kind(approximate, "gelu"), x, None, out, threads)


def silu(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Sigmoid linear unit (swish), ``x / (1 + exp(-x))``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import silu
    >>> silu(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.238,  0.311,  6.994])
    """
    return apply("silu", "silu", x, None, out, threads)


def mish(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """``x * tanh(softplus(x))``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import mish
    >>> mish(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.253,  0.375,  7.   ])
    """
    return apply("mish", "mish", x, None, out, threads)


def sigmoid(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Logistic function, ``1 / (1 + exp(-x))``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import sigmoid
    >>> sigmoid(np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.119, 0.622, 0.999])
    """
    return apply("sigmoid", "sigmoid", x, None, out, threads)


def hard_sigmoid(
    x: Any, *, alpha: float = 1 / 6, beta: float = 0.5, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Ramp in place of a sigmoid, ``min(max(alpha * x + beta, 0), 1)``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import hard_sigmoid
    >>> hard_sigmoid(np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.167, 0.583, 1.   ])
    """
    return apply("hard_sigmoid", "ramp", x, None, out, threads,
                 number(alpha, "hard_sigmoid", "alpha"), number(beta, "hard_sigmoid", "beta"), 1)


def hard_swish(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """``x * min(max(x + 3, 0), 6) / 6``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import hard_swish
    >>> hard_swish(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.333,  0.292,  7.   ])
    """
    return apply("hard_swish", "hard_swish", x, None, out, threads)


def tanh(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Hyperbolic tangent; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import tanh
    >>> tanh(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.964,  0.462,  1.   ])
    """
    return apply("tanh", "tanh", x, None, out, threads)


def softplus(x: Any, *, beta: float = 1.0, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Smooth rectifier, ``log(1 + exp(beta * x)) / beta``, beta > 0; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import softplus
    >>> softplus(np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.127, 0.974, 7.001])
    """
    beta = positive(beta, "softplus", "beta")
    return apply("softplus", "softplus", x, None, out, threads, beta, 1 / beta)


def softsign(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """``x / (1 + abs(x))``; arguments as of `relu`.

    >>> import numpy as np
    >>> from convkit.ops import softsign
    >>> softsign(np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.667,  0.333,  0.875])
    """
    return apply("softsign", "softsign", x, None, out, threads)


def prelu(x: Any, a: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Rectified linear unit with learned slopes below 0, ``x if x > 0 else a * x``; arguments as of `relu`.

    `a` is one number (shape () or (1,)), or one for each channel, the last axis of x.

    >>> import numpy as np
    >>> from convkit.ops import prelu
    >>> prelu(np.array([[-2.0, -2.0], [1.0, 3.0]]), np.array([0.5, 0.25]))
    array([[-1. , -0.5],
           [ 1. ,  3. ]])
    """
    x, a = slopes(x, a, "prelu")
    if a.size == 1:
        return apply("prelu", "leaky", x, None, out, threads, float(a[0]))
    if out is not None:
        check_out("prelu", out, x)
    y = np.where(x > 0, x, a * x)
    return y if out is None else _filled(out, y)


def slopes(x: Any, a: Any, op: str) -> tuple[np.ndarray, np.ndarray]:
    """x, and the slopes as (1,) or (C,)."""
    x, a = check.array(x, op, "x"), check.array(a, op, "a")
    check.same_dtype(op, x=x, a=a)
    channels = x.shape[-1] if x.ndim else 1
    if a.shape not in ((), (1,), (channels,)):
        raise ValueError(f"{op}: a must have shape (1,) or ({channels},), got {a.shape}")
    return x, a.reshape(-1)


def _filled(out: np.ndarray, y: np.ndarray) -> np.ndarray:
    out[...] = y
    return out
