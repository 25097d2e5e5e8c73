"""What every layer is: a name, parameters, and a forward pass that returns its own backward pass."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from convkit.init import he_normal
from convkit.layers.param import Param
from convkit.layers.tensor import Tensor, checked_name, connect
from convkit.plan import geometry

__all__ = ["Backward", "Layer", "Param", "Shape", "check_array", "positive"]

Shape = tuple[int, ...]
Backward = Callable[..., "np.ndarray | None"]


class LayerType(type):
    """Gives the constructor of every layer the argument `name`, whatever else it takes."""

    def __call__(cls, *args: Any, name: str | None = None, **how: Any) -> Any:
        layer = super().__call__(*args, **how)
        layer._name = checked_name(name, cls.__name__)
        return layer

    @property
    def __signature__(cls) -> Any:
        """What `help` shows."""
        import inspect

        own = inspect.signature(cls.__init__)
        last = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None")
        _, *arguments = own.parameters.values()
        place = len(arguments) - (bool(arguments) and arguments[-1].kind is inspect.Parameter.VAR_KEYWORD)
        return own.replace(parameters=[*arguments[:place], last, *arguments[place:]], return_annotation=own.empty)


class Layer(metaclass=LayerType):
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
        Without the batch axis, channels last; a tuple of shapes if there are several inputs.
    name : str or None
        What ``name=`` said; a model has names for all of its layers.
    trainable : bool, default True
        Set it to False to freeze the layer: no gradients of its parameters are computed, the optimiser leaves them alone,
        and batch norm keeps its running statistics and uses them.
    takes : tuple of numpy.dtype
        What an input may be besides the dtype of the layer.

    Examples
    --------
    A layer of one's own is `_forward`, and `param_shapes` if it learns, `output_shape` if that differs from the input's:

    >>> import convkit, numpy as np
    >>> from convkit.layers import Layer
    >>> class Scale(Layer):
    ...     def param_shapes(self, input_shape):
    ...         return {"w": input_shape[-1:]}
    ...     def _forward(self, x, training):
    ...         w = self.params["w"]
    ...         def backward(dy, needs_input):
    ...             w.grad += (dy * x).sum(axis=tuple(range(x.ndim - 1)))
    ...             return dy * w.value
    ...         return x * w.value, backward if training else None
    >>> errors = convkit.gradient_check(Scale(), np.random.default_rng(0).standard_normal((2, 5, 3)))
    >>> sorted(errors), max(errors.values()) < 1e-6
    (['w', 'x'], True)
    """

    several = False                                     # whether it takes a tuple of inputs
    is_model = False                                    # whether it is made of layers
    _name: str | None = None
    _trainable = True
    takes: tuple[np.dtype, ...] = ()

    def __init__(self) -> None:
        self.params: dict[str, Param] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.input_shape: Shape | None = None
        self.dtype: np.dtype | None = None
        self._shapes: tuple[Shape, ...] = ()            # input_shape, and what `share` added

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def label(self) -> str:
        """What errors call the layer."""
        return type(self).__name__ + (f" {self.name!r}" if self.name else "")

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{self.label}: trainable must be True or False, got {value!r}")
        self._trainable = bool(value)

    @property
    def learning(self) -> dict[str, Param]:
        """The parameters that training changes: `params`, or none if the layer is frozen."""
        return self.params if self._trainable else {}

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Connect the layer to symbolic tensors, see `convkit.Input`; ValueError if their shapes do not fit it."""
        return connect(self, inputs)

    def count_params(self) -> int:
        """How many numbers the parameters are."""
        return sum(param.value.size for param in self.params.values())

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
        input_shape = self._plain(input_shape)
        output_shape = self.output_shape(input_shape)
        dtype = np.dtype(dtype)
        start = {
            name: self._start(name, shape, rng, dtype) if weights is None else weights[name]
            for name, shape in self.saved_shapes(input_shape).items()
        }
        self.params = {name: Param(start[name]) for name in self.param_shapes(input_shape)}
        self.buffers = {name: np.array(start[name]) for name in self.buffer_shapes(input_shape)}
        self.input_shape, self.dtype, self._shapes = input_shape, dtype, (input_shape,)
        return output_shape

    @staticmethod
    def _plain(input_shape: Shape) -> Shape:
        return tuple(map(operator.index, input_shape))

    def share(self, input_shape: Shape) -> None:
        """Take samples of another shape too, with the same parameters; ValueError if they depend on the shape."""
        if input_shape not in self._shapes:
            if self.saved_shapes(input_shape) != {name: array.shape for name, array in self.saved.items()}:
                raise ValueError(f"{self.label} is built for samples of shape {self.input_shape}, here it gets {input_shape}")
            self._shapes += (input_shape,)

    def forward(self, x: np.ndarray, training: bool = False, **fused: Any) -> tuple[np.ndarray, Backward | None]:
        """Run a batch.

        Parameters
        ----------
        x : ndarray of shape (N, *input_shape), dtype of the layer
        training : bool, default False
        **fused
            What a layer can do in the same pass, where its `_forward` knows it: ``activation``, and ``residual``, whose
            gradient then comes after dx; ``pool``, a layer that follows a ReLU.

        Returns
        -------
        y : ndarray of shape (N, *output_shape)
        backward : callable, or None if not training
            ``backward(dy, needs_input=True) -> dx`` adds to the gradients of the parameters, each time it is called;
            with ``needs_input=False`` it saves the work for `dx` where that is possible, and `dx` means nothing.
            The caller may write to `dx`, unless it is `dy` or a view.

        Raises
        ------
        TypeError, ValueError
            If the layer is not built or `x` does not fit it.
        """
        if self.input_shape is None:
            raise ValueError(f"{self.label}: the layer is not built; call build(input_shape, rng, dtype) first")
        self.check_input(x)
        y, run_back = self._forward(x, training, **fused)
        if run_back is None:
            return y, None
        several, versions = isinstance(y, tuple), self._versions()
        shape = np.shape(y[0] if several else y)

        def backward(dy: Any, needs_input: bool = True) -> np.ndarray | None:
            first = dy[0] if several else dy            # of several results the first one has a gradient, or none has
            if first is not None or not several:
                check_array(self.label, "dy", first, shape[1:], self.dtype, len_=shape[0])
            if self._versions() != versions:
                why = "the weights changed since forward; backward needs a new forward in training mode"
                raise ValueError(f"{self.label}: {why}")
            return run_back(dy, needs_input)

        return y, backward

    def check_input(self, x: Any) -> None:
        others = getattr(x, "shape", ())[1:] in self._shapes
        check_array(self.label, "x", x, x.shape[1:] if others else self.input_shape, self.dtype)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        raise NotImplementedError

    def _versions(self) -> list[int]:
        return [param.version for param in self.params.values()]

    def __repr__(self) -> str:
        arguments = {**self.config(), **({"name": self.name} if self.name else {})}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def positive(value: Any, op: str, name: str) -> int:
    """value as an int >= 1."""
    value = geometry.integer(value, op, name)
    if value < 1:
        raise ValueError(f"{op}: {name} must be >= 1, got {value}")
    return value


def check_array(op: str, name: str, x: np.ndarray, shape: Shape, dtype: Any, len_: int | None = None) -> None:
    """TypeError or ValueError unless x is a batch of samples of the shape, `len_` of them."""
    if not isinstance(x, np.ndarray) or x.dtype != dtype:
        raise TypeError(f"{op}: {name} must be an ndarray of dtype {dtype}, got {getattr(x, 'dtype', type(x).__name__)}")
    wanted = ("N" if len_ is None else len_, *shape)
    if x.ndim != len(wanted) or x.shape[1:] != shape or (len_ is not None and len(x) != len_):
        raise ValueError(f"{op}: {name} must have shape {str(wanted).replace(chr(39), '')}, got {x.shape}")
