"""Convolution layers of 1, 2 and 3 dimensions: one implementation, which Dense shares."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape, positive
from convkit.ops.check import choice
from convkit.plan.border import MODES
from convkit.plan.geometry import sizes

__all__ = ["Conv1D", "Conv2D", "Conv3D", "ConvTranspose1D", "ConvTranspose2D", "ConvTranspose3D"]


class Filters(Layer):
    """What layers with filters share: the packed filters, the bias, the fused activation and the gradients."""

    _op: Callable
    _grad: Callable

    def __init__(self, bias: bool, activation: str | None) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(bias, (bool, np.bool_)):
            raise TypeError(f"{name}: bias must be True or False, got {bias!r}")
        if activation not in (None, "relu"):
            raise ValueError(f'{name}: activation must be None or "relu", got {activation!r}')
        self.bias, self.activation = bool(bias), activation
        self.how: dict[str, Any] = {}  # arguments of the convolution
        self._packed: tuple[int, Any] | None = None  # version of the weights, packed filters

    def _with_bias(self, w_shape: Shape) -> dict[str, Shape]:
        return {"w": w_shape, "b": w_shape[:1]} if self.bias else {"w": w_shape}

    @staticmethod
    def filters(w: np.ndarray) -> np.ndarray:
        """Weights in the shape of filters."""
        return w

    def packed(self) -> Any:
        """The filters as the engine wants them, packed anew only if the weights changed."""
        version = self.params["w"].version
        if self._packed is None or self._packed[0] != version:
            self._packed = version, ops.pack_filters(self.filters(self.params["w"].value), groups=self.how.get("groups", 1))
        return self._packed[1]

    def plain(self) -> np.ndarray:
        """The filters for a step, which uses each of its packed forms once: packed on the way they never reach memory."""
        return self.filters(self.params["w"].value)

    def build(self, *args: Any, **how: Any) -> Shape:
        """As `Layer.build`."""
        self._packed = None
        return super().build(*args, **how)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # cheap to make again, and bound to this machine's ISA

    def run(self, x: np.ndarray, filters: Any, b: Any, activation: str | None, residual: Any = None) -> np.ndarray:
        """The convolution with the given filters and bias."""
        plus = {} if residual is None else {"residual": residual}
        return type(self)._op(x, filters, b, activation=activation, **self.how, **plus)

    def _gradients(self, dy: np.ndarray, x: np.ndarray, needs: tuple[str, ...]) -> tuple[np.ndarray | None, ...]:
        return type(self)._grad(dy, x, self.plain(), needs=needs, **self.how)

    def _forward(
        self, x: np.ndarray, training: bool, activation: str | None = None, residual: np.ndarray | None = None,
        pool: Any = None,
    ) -> tuple[np.ndarray, Backward | None]:  # fmt: skip
        activation = activation or self.activation
        filters, b = self.plain() if training else self.packed(), self.params["b"].value if self.bias else None
        y, before, plus = self.run(x, filters, b, activation, residual), None, residual is not None
        if pool is not None:
            y, before = pool.of_relu(y)
        elif activation:
            before = partial(_before_relu, y)

        def backward(dy: np.ndarray, needs_input: bool) -> Any:
            dy, db = (dy, None) if before is None else before(dy)
            needs = (("x",) if needs_input else ()) + tuple(name for name in self.learning if name == "w" or db is None)
            dx, dw, found = self._gradients(dy, x, needs) if needs else (None,) * 3
            grads = {"w": dw, "b": found if db is None else db}
            for name, param in self.learning.items():
                param.learn(grads[name])
            return (dx, dy) if plus else dx

        return y, backward if training else None


def _before_relu(y: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, None]:
    return ops.relu_grad(dy, y), None


class _Conv(Filters):
    """Convolution (cross-correlation) of any rank, ``y = conv(x, w) + b``, channels last.

    Parameters
    ----------
    out_channels : int
    kernel_size : int or tuple of int
    stride, dilation : int or tuple of int, default 1
    padding : int, tuple, pairs ``((lo, hi), ...)``, "valid", "same" or "full", default 0
    pad_mode : "constant", "edge", "reflect", "symmetric" or "wrap", default "constant"
        What stands in the padding, as in `numpy.pad`; "constant" is zeros.
    groups : int, default 1
        Must divide the input and output channels.
    bias : bool, default True
    activation : None or "relu"
        Applied while the result is still in registers.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Conv1D, Conv2D
    >>> layer = Conv2D(8, 3, padding="same")
    >>> layer.build((28, 28, 1), np.random.default_rng(0))
    (28, 28, 8)
    >>> layer.params["w"].value.shape
    (8, 3, 3, 1)
    >>> Conv1D(8, 3).output_shape((100, 2))
    (98, 8)
    """

    rank = 0
    _output_shape = staticmethod(ops.conv_output_shape)

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        pad_mode: str = "constant",
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str | None = None,
    ) -> None:
        super().__init__(bias, activation)
        name = type(self).__name__
        choice(pad_mode, MODES, name, "pad_mode")
        self.out_channels = positive(out_channels, name, "out_channels")
        self.kernel_size = sizes(kernel_size, self.rank, name, "kernel_size")
        self.how = {
            "stride": sizes(stride, self.rank, name, "stride"),
            "padding": frozen(padding),
            "pad_mode": pad_mode,
            "dilation": sizes(dilation, self.rank, name, "dilation"),
            "groups": positive(groups, name, "groups"),
        }

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.rank + 1:
            axes = ("length", "height, width", "depth, height, width")[self.rank - 1]
            raise ValueError(f"{type(self).__name__}: the input must be ({axes}, channels), got {input_shape}")
        groups, channels = self.how["groups"], input_shape[-1]
        if channels % groups:
            raise ValueError(f"{type(self).__name__}: groups={groups} must divide the {channels} input channels")
        w_shape = self.param_shapes(input_shape)["w"]
        return tuple(self._output_shape((1, *input_shape), w_shape, **self.how)[1:])

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return self._with_bias((self.out_channels, *self.kernel_size, input_shape[-1] // self.how["groups"]))

    def multiply_adds(self, input_shape: Shape) -> int:
        return math.prod(self.output_shape(input_shape)[:-1]) * math.prod(self.param_shapes(input_shape)["w"])

    @property
    def receptive_field(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(zip(self.kernel_size, self.how["stride"], self.how["dilation"], strict=True))

    def config(self) -> dict[str, Any]:
        start = {"out_channels": self.out_channels, "kernel_size": self.kernel_size}
        return plain({**start, **self.how, "bias": self.bias, "activation": self.activation})


class Conv1D(_Conv):
    __doc__ = _Conv.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.conv1d, ops.conv1d_grad


class Conv2D(_Conv):
    __doc__ = _Conv.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.conv2d, ops.conv2d_grad


class Conv3D(_Conv):
    __doc__ = _Conv.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.conv3d, ops.conv3d_grad


class _ConvTranspose(_Conv):
    """Transposed convolution of any rank, channels last: the shapes of a convolution with these arguments, exchanged.

    Parameters
    ----------
    out_channels : int
    kernel_size : int or tuple of int
    stride, dilation : int or tuple of int, default 1
    padding : int, tuple, pairs ``((lo, hi), ...)``, "valid" or "same", default 0
        Cut off at the borders of the result; "same" gives size * stride.
    output_padding : int or tuple of int, default 0
        Positions more at the end, less than the larger of stride and dilation.
    groups : int, default 1
        Must divide the input and output channels.
    bias : bool, default True
    activation : None or "relu"

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import ConvTranspose2D
    >>> layer = ConvTranspose2D(8, 4, stride=2, padding=1)
    >>> layer.build((14, 14, 32), np.random.default_rng(0))
    (28, 28, 8)
    >>> layer.params["w"].value.shape
    (32, 4, 4, 8)
    """

    _output_shape = staticmethod(ops.conv_transpose_output_shape)

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str | None = None,
    ) -> None:
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        super().__init__(out_channels, kernel_size, bias=bias, activation=activation, **how)
        del self.how["pad_mode"]                        # what it cuts off is not pixels
        name, groups = type(self).__name__, self.how["groups"]
        if self.out_channels % groups:
            raise ValueError(f"{name}: groups={groups} must divide the {self.out_channels} output channels")
        self.how["output_padding"] = sizes(output_padding, self.rank, name, "output_padding", least=0)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        w_shape = (input_shape[-1], *self.kernel_size, self.out_channels // self.how["groups"])
        return {"w": w_shape, "b": (self.out_channels,)} if self.bias else {"w": w_shape}

    def multiply_adds(self, input_shape: Shape) -> int:
        return math.prod(input_shape[:-1]) * math.prod(self.param_shapes(input_shape)["w"])

    def fan_in(self, w_shape: Shape) -> int:
        return w_shape[0] // self.how["groups"] * max(math.prod(self.kernel_size) // math.prod(self.how["stride"]), 1)

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction, int], ...]:
        """An output sees at most so many neighbours; outputs lie `stride` times closer together than inputs."""
        steps = zip(self.kernel_size, self.how["stride"], self.how["dilation"], strict=True)
        return tuple((-(-((k - 1) * d + 1) // s), Fraction(1, s), 1) for k, s, d in steps)


class ConvTranspose1D(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank, _op, _grad = 1, ops.conv_transpose1d, ops.conv_transpose1d_grad


class ConvTranspose2D(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank, _op, _grad = 2, ops.conv_transpose2d, ops.conv_transpose2d_grad


class ConvTranspose3D(_ConvTranspose):
    __doc__ = _ConvTranspose.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank, _op, _grad = 3, ops.conv_transpose3d, ops.conv_transpose3d_grad


def frozen(value: Any) -> Any:
    """Lists, which is what JSON has, as tuples."""
    return tuple(map(frozen, value)) if isinstance(value, (tuple, list)) else value


def plain(value: Any) -> Any:
    """What JSON can hold: tuples as lists, NumPy's integers as int."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, bool, float, type(None))) else operator.index(value)
