"""Layers that work on each number, or on each position: activations and softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape

__all__ = [
    "CELU", "ELU", "GELU", "SELU", "HardSigmoid", "HardSwish", "LeakyReLU", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6",
    "SiLU", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh",
]  # fmt: skip


class _Activation(Layer):
    """A function of convkit.ops and its gradient, from the input or, with `from_result`, from the result."""

    _op: Callable
    _grad: Callable
    from_result = False

    def __init__(self, **how: Any) -> None:
        super().__init__()
        type(self)._op(np.empty((0, 1), np.float32), **how)  # checks the arguments
        self.how = how

    def config(self) -> dict[str, Any]:
        return {name: value if isinstance(value, str) else float(value) for name, value in self.how.items()}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        y = type(self)._op(x, **self.how)
        kept = y if self.from_result else x

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return type(self)._grad(dy, kept, **self.how)

        return y, backward if training else None


class ReLU(_Activation):
    """Rectified linear unit, ``y = max(x, 0)``.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import ReLU
    >>> layer = ReLU()
    >>> layer.build((3,), np.random.default_rng(0))
    (3,)
    >>> y, backward = layer.forward(np.array([[-1, 0, 2]], np.float32), training=True)
    >>> y, backward(np.ones_like(y))
    (array([[0., 0., 2.]], dtype=float32), array([[0., 0., 1.]], dtype=float32))
    """

    _op, _grad, from_result = ops.relu, ops.relu_grad, True

    def __init__(self) -> None:
        super().__init__()


class ReLU6(_Activation):
    """``y = min(max(x, 0), 6)``; see `convkit.relu6`."""

    _op, _grad = ops.relu6, ops.relu6_grad

    def __init__(self) -> None:
        super().__init__()


class LeakyReLU(_Activation):
    """``y = x if x > 0 else negative_slope * x``; see `convkit.leaky_relu`."""

    _op, _grad = ops.leaky_relu, ops.leaky_relu_grad

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(_Activation):
    """``y = x if x > 0 else alpha * (exp(x) - 1)``; see `convkit.elu`."""

    _op, _grad = ops.elu, ops.elu_grad

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class SELU(_Activation):
    """Scaled exponential linear unit; see `convkit.selu`, and `AlphaDropout`, which goes with it."""

    _op, _grad = ops.selu, ops.selu_grad

    def __init__(self) -> None:
        super().__init__()


class CELU(_Activation):
    """``y = x if x > 0 else alpha * (exp(x / alpha) - 1)``; see `convkit.celu`."""

    _op, _grad = ops.celu, ops.celu_grad

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class GELU(_Activation):
    """``y = x * Phi(x)`` with the normal distribution Phi, or nearly that by ``approximate="tanh"``; see `convkit.gelu`."""

    _op, _grad = ops.gelu, ops.gelu_grad

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(_Activation):
    """``y = x / (1 + exp(-x))``; see `convkit.silu`."""

    _op, _grad = ops.silu, ops.silu_grad

    def __init__(self) -> None:
        super().__init__()


class Mish(_Activation):
    """``y = x * tanh(softplus(x))``; see `convkit.mish`."""

    _op, _grad = ops.mish, ops.mish_grad

    def __init__(self) -> None:
        super().__init__()


class Sigmoid(_Activation):
    """``y = 1 / (1 + exp(-x))``; see `convkit.sigmoid`."""

    _op, _grad, from_result = ops.sigmoid, ops.sigmoid_grad, True

    def __init__(self) -> None:
        super().__init__()


class HardSigmoid(_Activation):
    """``y = min(max(alpha * x + beta, 0), 1)``; see `convkit.hard_sigmoid`."""

    _op, _grad = ops.hard_sigmoid, ops.hard_sigmoid_grad

    def __init__(self, alpha: float = 1 / 6, beta: float = 0.5) -> None:
        super().__init__(alpha=alpha, beta=beta)


class HardSwish(_Activation):
    """``y = x * min(max(x + 3, 0), 6) / 6``; see `convkit.hard_swish`."""

    _op, _grad = ops.hard_swish, ops.hard_swish_grad

    def __init__(self) -> None:
        super().__init__()


class Tanh(_Activation):
    """Hyperbolic tangent; see `convkit.tanh`."""

    _op, _grad, from_result = ops.tanh, ops.tanh_grad, True

    def __init__(self) -> None:
        super().__init__()


class Softplus(_Activation):
    """``y = log(1 + exp(beta * x)) / beta``; see `convkit.softplus`."""

    _op, _grad = ops.softplus, ops.softplus_grad

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)


class Softsign(_Activation):
    """``y = x / (1 + abs(x))``; see `convkit.softsign`."""

    _op, _grad = ops.softsign, ops.softsign_grad

    def __init__(self) -> None:
        super().__init__()


class Softmax(_Activation):
    """Softmax over the last axis, ``y = exp(x) / sum(exp(x))``.

    Training with ``loss="cross_entropy"`` takes the numbers before it: leave this layer out then.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Softmax
    >>> layer = Softmax()
    >>> layer.build((2,), np.random.default_rng(0))
    (2,)
    >>> layer.forward(np.zeros((1, 2), np.float32))[0]
    array([[0.5, 0.5]], dtype=float32)
    """

    _op, _grad, from_result = ops.softmax, ops.softmax_grad, True

    def __init__(self) -> None:
        super().__init__()


class LogSoftmax(_Activation):
    """Logarithm of the softmax over the last axis; see `convkit.log_softmax`."""

    _op, _grad, from_result = ops.log_softmax, ops.log_softmax_grad, True

    def __init__(self) -> None:
        super().__init__()


class PReLU(Layer):
    """``y = x if x > 0 else a * x``, with a learned slope `a` for each channel, 0.25 at first; see `convkit.prelu`."""

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"a": input_shape[-1:]}

    def _start(self, name: str, shape: Shape, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.full(shape, 0.25, dtype)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        a = self.params["a"].value

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            dx, da = ops.prelu_grad(dy, x, a)
            for param in self.learning.values():
                param.learn(da)
            return dx

        return ops.prelu(x, a), backward if training else None
