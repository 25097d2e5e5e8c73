"""Layers that put several tensors together: sums, products, and channels side by side."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape, check_array
from convkit.plan import geometry

__all__ = ["Add", "Concat", "Multiply"]

Arrays = tuple[np.ndarray, ...]


class _Merge(Layer):
    """A layer of two tensors or more; ``layer(a, b)`` and ``layer([a, b])`` connect it."""

    several = True

    def output_shape(self, input_shape: tuple[Shape, ...]) -> Shape:
        name = type(self).__name__
        if len(input_shape) < 2 or not all(isinstance(shape, tuple) for shape in input_shape):
            raise ValueError(f"{name}: needs 2 tensors or more, got {input_shape}")
        if len(set(map(len, input_shape))) > 1:
            raise ValueError(f"{name}: tensors must have the same number of axes, got {_listed(input_shape)}")
        return self._merged(input_shape)

    def _merged(self, shapes: tuple[Shape, ...]) -> Shape:
        raise NotImplementedError

    @staticmethod
    def _plain(input_shape: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return tuple(tuple(map(operator.index, shape)) for shape in input_shape)

    def check_input(self, x: Any) -> None:
        shapes = tuple(a.shape[1:] for a in x) if isinstance(x, (tuple, list)) else None
        wanted = shapes if shapes in self._shapes else self.input_shape
        if shapes is None or len(shapes) != len(wanted):
            raise TypeError(f"{self.label}: x must be a tuple of {len(self.input_shape)} arrays, got {type(x).__name__}")
        for i, (array, shape) in enumerate(zip(x, wanted, strict=True)):
            check_array(self.label, f"x[{i}]", array, shape, self.dtype, len_=len(x[0]) if i else None)


class Add(_Merge):
    """Sum of tensors of one shape, ``y = a + b + ...``.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Add
    >>> layer = Add()
    >>> layer.build(((3,), (3,)), np.random.default_rng(0))
    (3,)
    >>> layer.forward((np.ones((1, 3), np.float32), np.full((1, 3), 2, np.float32)))[0]
    array([[3., 3., 3.]], dtype=float32)
    """

    def _merged(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(set(shapes)) > 1:
            raise ValueError(f"Add: tensors must have one shape, got {_listed(shapes)}")
        return shapes[0]

    def _forward(self, x: Arrays, training: bool, activation: str | None = None) -> tuple[np.ndarray, Backward | None]:
        y, count = x[0] + x[1], len(x)
        for a in x[2:]:
            y += a
        if activation == "relu":
            ops.relu(y, out=y)

        def backward(dy: np.ndarray, needs_input: bool) -> Arrays:
            return (ops.relu_grad(dy, y) if activation == "relu" else dy,) * count

        return y, backward if training else None


class Multiply(_Merge):
    """Product of tensors, ``y = a * b * ...``; a size of 1 fits any, as in a weight (1, 1, C) for each channel.

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import Conv2D, GlobalAvgPool2D, Multiply, Sigmoid
    >>> x = convkit.Input((8, 8, 16))
    >>> weight = Sigmoid()(Conv2D(16, 1)(GlobalAvgPool2D(keepdims=True)(x)))
    >>> Multiply()(x, weight).shape
    (8, 8, 16)
    """

    def _merged(self, shapes: tuple[Shape, ...]) -> Shape:
        largest = tuple(map(max, *shapes))
        if any(n not in (1, most) for shape in shapes for n, most in zip(shape, largest, strict=True)):
            raise ValueError(f"Multiply: sizes must be equal, or 1, got {_listed(shapes)}")
        return largest

    def _forward(self, x: Arrays, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> Arrays:
            return tuple(_summed(_product((dy, *x[:i], *x[i + 1 :])), x[i].shape) for i in range(len(x)))

        return _product(x), backward if training else None


class Concat(_Merge):
    """Tensors one after another along an axis, by default their channels.

    Parameters
    ----------
    axis : int, default -1
        Of the arrays with their batch axis, so not 0; sizes along the others must agree.

    Raises
    ------
    TypeError, ValueError
        If `axis` is not one.

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import Concat
    >>> Concat()(convkit.Input((8, 8, 16)), convkit.Input((8, 8, 3))).shape
    (8, 8, 19)
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = geometry.integer(axis, "Concat", "axis")

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def _merged(self, shapes: tuple[Shape, ...]) -> Shape:
        axes = len(shapes[0]) + 1
        at = self.axis % axes - 1
        if not -axes <= self.axis < axes or at < 0:
            raise ValueError(f"Concat: axis must be in 1..{axes - 1}, or -1..{1 - axes}, got {self.axis}")
        if len({(*shape[:at], *shape[at + 1 :]) for shape in shapes}) > 1:
            raise ValueError(f"Concat: sizes must agree but along axis {self.axis}, got {_listed(shapes)}")
        return (*shapes[0][:at], sum(shape[at] for shape in shapes), *shapes[0][at + 1 :])

    def _forward(self, x: Arrays, training: bool) -> tuple[np.ndarray, Backward | None]:
        ends = np.cumsum([a.shape[self.axis] for a in x])[:-1]

        def backward(dy: np.ndarray, needs_input: bool) -> Arrays:
            return tuple(np.split(dy, ends, axis=self.axis))

        return np.concatenate(x, axis=self.axis), backward if training else None


def _product(arrays: Arrays) -> np.ndarray:
    y = arrays[0] * arrays[1]
    for a in arrays[2:]:
        y = y * a
    return y


def _summed(d: np.ndarray, shape: Shape) -> np.ndarray:
    """The gradient of an array that was stretched along its axes of size 1."""
    axes = tuple(i for i, (n, own) in enumerate(zip(d.shape, shape, strict=True)) if n != own)
    return d.sum(axis=axes, keepdims=True) if axes else d


def _listed(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(str, shapes))
