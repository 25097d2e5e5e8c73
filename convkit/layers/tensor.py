"""Symbolic tensors: layers that are called on them make the graph of a `convkit.Model`."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.layers.base import Layer, Shape

__all__ = ["Input", "Node", "Tensor", "connect", "is_several", "sample_shape"]

_numbers = itertools.count()


class Tensor:
    """What a layer will give: the shape of a sample, and the node that it comes from.

    Attributes
    ----------
    shape : tuple of int
        Of one sample, channels last, without the batch axis.
    node : Node
    """

    __slots__ = ("node", "shape")
    __array_ufunc__ = None                              # NumPy's functions refuse it, instead of making an object array

    def __init__(self, shape: Shape, node: Node) -> None:
        self.shape, self.node = shape, node

    def __array__(self, *_: Any, **__: Any) -> None:
        raise TypeError(f"{self} holds no numbers; give arrays to the forward or predict of a model")

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, from {self.node})"


class Node:
    """One use of a layer, or an input of a graph (no layer); later ones have larger numbers."""

    def __init__(self, layer: Layer | None, inputs: Sequence[Tensor], shapes: Sequence[Shape], name: str | None = None) -> None:
        self.layer, self.inputs, self.name = layer, tuple(inputs), name
        self.outputs = tuple(Tensor(shape, self) for shape in shapes)
        self.number = next(_numbers)

    def __repr__(self) -> str:
        return self.layer.label if self.layer is not None else f"Input {self.name or ''}".strip()


def Input(shape: Iterable[int], name: str | None = None) -> Tensor:
    """Start a graph: a symbolic tensor to call layers on.

    Parameters
    ----------
    shape : tuple of int
        Of one sample, channels last, without the batch axis.
    name : str, optional

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError, ValueError
        If the shape is not one or more ints >= 1, or the name is not a word without dots.

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import Add, Conv2D, ReLU
    >>> x = convkit.Input((28, 28, 16))
    >>> y = Conv2D(16, 3, padding=1)(x)
    >>> y = ReLU()(Add()(x, y))
    >>> y.shape
    (28, 28, 16)
    >>> convkit.Model(x, y, rng=0).count_params()
    2320
    """
    node = Node(None, (), [sample_shape(shape, "Input", "shape")], checked_name(name, "Input"))
    return node.outputs[0]


def connect(layer: Layer, given: Sequence[Any]) -> Any:
    """The tensors that a layer gives for tensors: one, or a tuple."""
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        given = tuple(given[0])
    for tensor in given:
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"{layer.label}: layers are called on what Input gives, got {kind}; forward(x) takes arrays")
    if not layer.several and len(given) != 1:
        raise TypeError(f"{layer.label}: takes one tensor, got {len(given)}")
    shapes = tuple(tensor.shape for tensor in given)
    shape = shapes if layer.several else shapes[0]
    try:
        result = layer.output_shape(shape)
    except ValueError as error:
        raise ValueError(f"{layer.label}, which gets {shape}: {error}") from error
    several = is_several(result)
    node = Node(layer, given, result if several else [result])
    return node.outputs if several else node.outputs[0]


def is_several(shape: Any) -> bool:
    """Whether it is a tuple of shapes, not one."""
    return bool(shape) and isinstance(shape[0], tuple)


def sample_shape(shape: Iterable[int], op: str, name: str = "input_shape") -> Shape:
    """Shape as a tuple of sizes >= 1."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(f"{op}: {name} must be a tuple of ints, got {shape!r}") from None
    if not sizes or min(sizes) < 1:
        raise ValueError(f"{op}: {name} must be one or more sizes >= 1, got {sizes}")
    return sizes


def checked_name(name: Any, op: str) -> str | None:
    """None, or a name that can be a part of ``"block.conv.w"``."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{op}: name must be a str, got {name!r}")
    if name is not None and (not name.strip() or "." in name):
        raise ValueError(f"{op}: name must be a word without dots, got {name!r}")
    return name
