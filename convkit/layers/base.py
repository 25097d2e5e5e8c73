"""What every layer is: parameters, and a forward pass that returns its own backward pass."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from convkit.init import he_normal
from convkit.plan import geometry

__all__ = ["Layer", "Param", "Shape", "positive"]

Shape = tuple[int, ...]
Backward = Callable[..., "np.ndarray | None"]


class Param:
    """One trainable array with its gradient.

    Parameters
    ----------
    value : ndarray, float32 or float64

    Attributes
    ----------
    value : ndarray, read-only
        The weights. Set it as a whole (``param.value = w``), or change what `writable` returns: either way layers
        notice and renew what they derived from the old weights.
    grad : ndarray of the shape of value
        Gradients are added here; `Model.fit` clears them before each step.
    version : int
        Goes up with each change of the value.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> p = Param(np.zeros(2))
    >>> p.value = np.ones(2)
    >>> p.writable()[0] = 5
    >>> p.value, p.version
    (array([5., 1.]), 2)
    """

    def __init__(self, value: np.ndarray) -> None:
        self._value = np.ascontiguousarray(value)
        self.grad = np.zeros_like(self._value)
        self.version = 0

    @property
    def value(self) -> np.ndarray:
        view = self._value.view()
        view.flags.writeable = False
        return view

    @value.setter
    def value(self, new: Any) -> None:
        new = np.asarray(new)
        if new.dtype != self._value.dtype:
            raise TypeError(f"Param: value must have dtype {self._value.dtype}, got {new.dtype}")
        if new.shape != self._value.shape:
            raise ValueError(f"Param: value must have shape {self._value.shape}, got {new.shape}")
        self.writable()[...] = new

    def writable(self) -> np.ndarray:
        """The weights for changing in place now; ask again for a later change."""
        self.version += 1
        return self._value


class Layer:
    """Base of all layers.

    A subclass says which `output_shape` an input shape gives, which parameters it has (`param_shapes`), what a batch
    becomes (`_forward`), and which constructor arguments it was made with (`config`).

    Attributes
    ----------
    params : dict of str to Param
        Empty before `build` and for layers that learn nothing.
    buffers : dict of str to ndarray
        What is saved with the parameters but not trained, such as running statistics.
    input_shape : tuple of int, or None before build
        Without the batch axis, channels last.
    takes : tuple of numpy.dtype
        What an input may be besides the dtype of the layer.
    """

    takes: tuple[np.dtype, ...] = ()

    def __init__(self) -> None:
        self.params: dict[str, Param] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.input_shape: Shape | None = None
        self.dtype: np.dtype | None = None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the result without the batch axis; ValueError if the layer cannot take the input."""
        return input_shape

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each parameter."""
        return {}

    def buffer_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of each buffer."""
        return {}

    def saved_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of all that a file keeps: parameters and buffers."""
        return {**self.param_shapes(input_shape), **self.buffer_shapes(input_shape)}

    @property
    def saved(self) -> dict[str, np.ndarray]:
        """All that a file keeps: the values of the parameters, and the buffers."""
        return {**{name: param.value for name, param in self.params.items()}, **self.buffers}

    def multiply_adds(self, input_shape: Shape) -> int:
        """Multiplications with an addition for one sample."""
        return 0

    def fan_in(self, w_shape: Shape) -> int:
        """Products that are summed for one output."""
        return math.prod(w_shape[1:])

    def _start(self, name: str, shape: Shape, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return he_normal(shape, rng, dtype, self.fan_in(shape)) if name == "w" else np.zeros(shape, dtype)

    @property
    def receptive_field(self) -> tuple[tuple[int, int, int], ...] | None:
        """(kernel, stride, dilation) of each spatial axis, () if positions stay apart, None if each output sees all."""
        return ()

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON can hold them: ``type(layer)(**layer.config())`` is a layer like this one."""
        return {}

    def build(
        self,
        input_shape: Shape,
        rng: np.random.Generator,
        dtype: Any = np.float32,
        *,
        weights: dict[str, np.ndarray] | None = None,
    ) -> Shape:
        """Make the parameters for an input shape and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis, channels last.
        rng : numpy.random.Generator
        dtype : float32 or float64
        weights : dict of str to ndarray, optional
            Values of parameters and buffers instead of new ones, which are He normal for filters and 0 for biases.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If the layer cannot take the shape; nothing is changed then.
        """
        input_shape = tuple(map(operator.index, input_shape))
        output_shape = self.output_shape(input_shape)
        dtype = np.dtype(dtype)
        start = {
            name: self._start(name, shape, rng, dtype) if weights is None else weights[name]
            for name, shape in self.saved_shapes(input_shape).items()
        }
        self.params = {name: Param(start[name]) for name in self.param_shapes(input_shape)}
        self.buffers = {name: np.array(start[name]) for name in self.buffer_shapes(input_shape)}
        self.input_shape, self.dtype = input_shape, dtype
        return output_shape

    def forward(self, x: np.ndarray, training: bool = False) -> tuple[np.ndarray, Backward | None]:
        """Run a batch.

        Parameters
        ----------
        x : ndarray of shape (N, *input_shape), dtype of the layer
        training : bool, default False

        Returns
        -------
        y : ndarray of shape (N, *output_shape)
        backward : callable, or None if not training
            ``backward(dy, needs_input=True) -> dx`` adds to the gradients of the parameters, each time it is called;
            with ``needs_input=False`` it saves the work for `dx` where that is possible, and `dx` means nothing.

        Raises
        ------
        TypeError, ValueError
            If the layer is not built or `x` does not fit it.
        """
        name = type(self).__name__
        if self.input_shape is None:
            raise ValueError(f"{name}: the layer is not built; call build(input_shape, rng, dtype) first")
        _check(name, "x", x, self.input_shape, self.dtype)
        y, run_back = self._forward(x, training)
        if run_back is None:
            return y, None
        shape, versions = y.shape, self._versions()

        def backward(dy: np.ndarray, needs_input: bool = True) -> np.ndarray | None:
            _check(name, "dy", dy, shape[1:], self.dtype, len_=shape[0])
            if self._versions() != versions:
                raise ValueError(f"{name}: the weights changed since forward; backward needs a new forward in training mode")
            return run_back(dy, needs_input)

        return y, backward

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        raise NotImplementedError

    def _versions(self) -> list[int]:
        return [param.version for param in self.params.values()]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


def positive(value: Any, op: str, name: str) -> int:
    """value as an int >= 1."""
    value = geometry.integer(value, op, name)
    if value < 1:
        raise ValueError(f"{op}: {name} must be >= 1, got {value}")
    return value


def _check(op: str, name: str, x: np.ndarray, shape: Shape, dtype: Any, len_: int | None = None) -> None:
    if not isinstance(x, np.ndarray) or x.dtype != dtype:
        raise TypeError(f"{op}: {name} must be an ndarray of dtype {dtype}, got {getattr(x, 'dtype', type(x).__name__)}")
    wanted = ("N" if len_ is None else len_, *shape)
    if x.ndim != len(wanted) or x.shape[1:] != shape or (len_ is not None and len(x) != len_):
        raise ValueError(f"{op}: {name} must have shape {str(wanted).replace(chr(39), '')}, got {x.shape}")
