"""Gradients of the activations of activations.py, from their input x or their result y.

Arrays are float32 or float64 of any strides and shape; NaN stays NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops.activations import SELU_ALPHA, SELU_SCALE, gelu_kind, positive, slopes
from convkit.ops.pointwise import apply, check_out, number, pair

__all__ = [
    "celu_grad",
    "elu_grad",
    "gelu_grad",
    "hard_sigmoid_grad",
    "hard_swish_grad",
    "leaky_relu_grad",
    "mish_grad",
    "prelu_grad",
    "relu6_grad",
    "selu_grad",
    "sigmoid_grad",
    "silu_grad",
    "softplus_grad",
    "softsign_grad",
    "tanh_grad",
]


def relu6_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of relu6 from the input, ``dy where 0 < x < 6, else 0``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import relu6_grad
    >>> relu6_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0., 1., 0.])
    """
    return apply("relu6_grad", "ramp", x, dy, out, threads, 1, 0, 6)


def leaky_relu_grad(
    dy: Any, x: Any, *, negative_slope: float = 0.01, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of leaky_relu from the input, ``dy if x > 0 else negative_slope * dy``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import leaky_relu_grad
    >>> leaky_relu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.01, 1.  , 1.  ])
    """
    return apply("leaky_relu_grad", "leaky", x, dy, out, threads, number(negative_slope, "leaky_relu_grad", "negative_slope"))


def elu_grad(
    dy: Any, x: Any, *, alpha: float = 1.0, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of elu from the input, ``dy if x > 0 else dy * alpha * exp(x)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import elu_grad
    >>> elu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.135, 1.   , 1.   ])
    """
    return apply("elu_grad", "elu", x, dy, out, threads, 1, number(alpha, "elu_grad", "alpha"), 1)


def selu_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of selu from the input, ``dy * s if x > 0 else dy * s * a * exp(x)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import selu_grad
    >>> selu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.238, 1.051, 1.051])
    """
    return apply("selu_grad", "elu", x, dy, out, threads, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1)


def celu_grad(
    dy: Any, x: Any, *, alpha: float = 1.0, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of celu from the input, ``dy if x > 0 else dy * exp(x / alpha)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import celu_grad
    >>> celu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.135, 1.   , 1.   ])
    """
    alpha = positive(alpha, "celu_grad", "alpha")
    return apply("celu_grad", "elu", x, dy, out, threads, 1, alpha, 1 / alpha)


def gelu_grad(
    dy: Any, x: Any, *, approximate: str = "none", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of gelu from the input, ``dy * (Phi(x) + x * phi(x)) with the normal density phi``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import gelu_grad
    >>> gelu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.085,  0.867,  1.   ])
    """
    return apply("gelu_grad", gelu_kind(approximate, "gelu_grad"), x, dy, out, threads)


def silu_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of silu from the input, ``dy * s * (1 + x * (1 - s)) with s = sigmoid(x)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import silu_grad
    >>> silu_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.091,  0.74 ,  1.005])
    """
    return apply("silu_grad", "silu", x, dy, out, threads)


def mish_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of mish from the input, ``dy * (t + x * (1 - t**2) * sigmoid(x)) with t = tanh(softplus(x))``;
    arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import mish_grad
    >>> mish_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.108,  0.886,  1.   ])
    """
    return apply("mish_grad", "mish", x, dy, out, threads)


def sigmoid_grad(
    dy: Any, y: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of sigmoid from the result, ``dy * y * (1 - y)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import sigmoid, sigmoid_grad
    >>> sigmoid_grad(np.ones(3), sigmoid(np.array([-2.0, 0.5, 7.0]))).round(3)
    array([0.105, 0.235, 0.001])
    """
    return apply("sigmoid_grad", "sigmoid", y, dy, out, threads, name="y")


def hard_sigmoid_grad(
    dy: Any, x: Any, *, alpha: float = 1 / 6, beta: float = 0.5, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of hard_sigmoid from the input, ``dy * alpha where 0 < alpha * x + beta < 1, else 0``;
    arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import hard_sigmoid_grad
    >>> hard_sigmoid_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.167, 0.167, 0.   ])
    """
    return apply("hard_sigmoid_grad", "ramp", x, dy, out, threads,
                 number(alpha, "hard_sigmoid_grad", "alpha"), number(beta, "hard_sigmoid_grad", "beta"), 1)


def hard_swish_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of hard_swish from the input, ``0 if x <= -3, dy if x >= 3, else dy * (x / 3 + 1 / 2)``;
    arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import hard_swish_grad
    >>> hard_swish_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([-0.167,  0.667,  1.   ])
    """
    return apply("hard_swish_grad", "hard_swish", x, dy, out, threads)


def tanh_grad(
    dy: Any, y: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of tanh from the result, ``dy * (1 - y**2)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import tanh, tanh_grad
    >>> tanh_grad(np.ones(3), tanh(np.array([-2.0, 0.5, 7.0]))).round(3)
    array([0.071, 0.786, 0.   ])
    """
    return apply("tanh_grad", "tanh", y, dy, out, threads, name="y")


def softplus_grad(
    dy: Any, x: Any, *, beta: float = 1.0, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of softplus from the input, ``dy * sigmoid(beta * x)``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import softplus_grad
    >>> softplus_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.119, 0.622, 0.999])
    """
    beta = positive(beta, "softplus_grad", "beta")
    return apply("softplus_grad", "softplus", x, dy, out, threads, beta, 1 / beta)


def softsign_grad(
    dy: Any, x: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of softsign from the input, ``dy / (1 + abs(x))**2``; arguments as of `relu_grad`.

    >>> import numpy as np
    >>> from convkit.ops import softsign_grad
    >>> softsign_grad(np.ones(3), np.array([-2.0, 0.5, 7.0])).round(3)
    array([0.111, 0.444, 0.016])
    """
    return apply("softsign_grad", "softsign", x, dy, out, threads)


def prelu_grad(
    dy: Any, x: Any, a: Any, *, out: np.ndarray | None = None, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of prelu, (dx, da): ``dx = dy if x > 0 else a * dy``, ``da = sum(dy * x where x <= 0)``; see `prelu`.

    `out` takes dx.

    >>> import numpy as np
    >>> from convkit.ops import prelu_grad
    >>> prelu_grad(np.array([[1.0, 2.0]]), np.array([[-3.0, 4.0]]), np.array([0.5, 0.5]))
    (array([[0.5, 2. ]]), array([-3.,  0.]))
    """
    dy, x = pair("prelu_grad", dy, x)
    shape = np.shape(a)
    x, a = slopes(x, a, "prelu_grad")
    if out is not None:
        check_out("prelu_grad", out, x)
    below = np.where(x > 0, x.dtype.type(0), dy * x).reshape(-1, a.size)
    da = below.sum(axis=0, dtype=np.float64).astype(x.dtype).reshape(shape)
    if a.size == 1:
        return apply("prelu_grad", "leaky", x, dy, out, threads, float(a[0])), da
    dx = np.where(x > 0, dy, a * dy)
    if out is None:
        return dx, da
    out[...] = dx
    return out, da
