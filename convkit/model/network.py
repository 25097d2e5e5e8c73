"""Network: layers that are connected, with their weights; what `Model` adds is training and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from convkit.layers.base import Backward, Layer, Param, Shape
from convkit.layers.tensor import sample_shape
from convkit.model import summary
from convkit.model.fuse import folded, fused, pooled
from convkit.model.graph import Graph, taken
from convkit.model.names import LayerList
from convkit.model.program import Programs
from convkit.model.settings import generator
from convkit.ops.pages import Pages

__all__ = ["Network", "check_weights"]


class Network(Layer):
    """A graph of layers, which is a layer too.

    Attributes
    ----------
    layers : LayerList
        Each layer once; ``layers[0]``, ``layers[-2:]``, ``layers["conv2d_1"]``.
    params, buffers : dict of str to Param, or ndarray
        By the layer's name, a dot, and the name it has there (``"conv2d_1.w"``).
    dtype : numpy.dtype, float32 or float64
    rng : numpy.random.Generator
        Draws weights and dropout, and the shuffling of `fit`.
    input_shape : tuple of int, or None before build
        Shape of one sample, channels last, without the batch axis; a tuple of shapes for several inputs.
    input_names, output_names : tuple of str
    pages : convkit.ops.pages.Pages
        The memory that a training step takes over from the one before, if `forward` is called by hand: ``pages.clear()``
        gives it back, as `fit` does at its end.
    trainable : bool
        Setting it sets it for all layers.
    """

    is_model = True

    def __init__(self, graph: Graph, rng: int | np.random.Generator | None, dtype: Any, input_names: Sequence[str]) -> None:
        op = type(self).__name__
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"{op}: dtype must be float32 or float64, got {self.dtype}")
        if not graph.steps:
            raise ValueError(f"{op}: the model has no layers")
        self.rng = generator(rng, op)
        self.graph = graph
        self.layers = LayerList(graph.layers(), op)
        self.input_names, self.several = tuple(input_names), len(graph.inputs) > 1
        self.output_names = tuple(_output_names(graph, self.layers))
        self.input_shape: Shape | None = None
        both = fused(graph)
        self._fused, self._folded = pooled(both), folded(both)
        self._programs = Programs(self._folded)
        self.pages = Pages()

    @property
    def output_layers(self) -> tuple[Layer | None, ...]:
        """The layer that gives each output; None if it is an input."""
        made = {slot: step.layer for step in self.graph.steps for slot in step.results}
        return tuple(made.get(slot) for slot in self.graph.outputs)

    def shapes(self, input_shape: Any) -> list[Shape]:
        """Output shape of each use of a layer for an input shape, without building anything.

        Raises
        ------
        TypeError, ValueError
            If the shape is not one or more ints >= 1, or a layer cannot take its input; the message names the layer.
        """
        by_slot = self._by_slot(input_shape)
        return [by_slot[slot] for step in self.graph.steps for slot in step.results]

    def _by_slot(self, input_shape: Any) -> dict[int, Shape]:
        op = type(self).__name__
        given = input_shape if self.several else [input_shape]
        if self.several and (not isinstance(given, (tuple, list)) or len(given) != len(self.graph.inputs)):
            raise ValueError(f"{op}: input_shape must be {len(self.graph.inputs)} shapes, got {input_shape!r}")
        try:
            return self.graph.shapes([sample_shape(shape, op) for shape in given], self.layers.name_of)
        except ValueError as error:
            raise error if str(error).startswith(op) else ValueError(f"{op}: {error}") from error

    def output_shape(self, input_shape: Any = None) -> Shape:
        """Shape of one sample's output, by default for the shape that the model is built for; a tuple of shapes if several."""
        by_slot = self._by_slot(self.built() if input_shape is None else input_shape)
        shapes = tuple(by_slot[slot] for slot in self.graph.outputs)
        return shapes if len(shapes) > 1 else shapes[0]

    def build(
        self,
        input_shape: Any,
        rng: np.random.Generator | None = None,
        dtype: Any = None,
        *,
        weights: dict[str, np.ndarray] | None = None,
    ) -> Shape:
        """Make the parameters of all layers and return the output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last; a tuple of shapes for several inputs.
        rng : numpy.random.Generator, optional
            Instead of the model's own.
        dtype : float32 or float64, optional
            Instead of the model's own.
        weights : dict of str to ndarray, optional
            A value for each of `params` and `buffers`, instead of new ones.

        Returns
        -------
        tuple of int

        Raises
        ------
        TypeError, ValueError
            As `shapes`; if the model is built already for another shape; if `weights` do not fit.
        """
        op, dtype = type(self).__name__, self.dtype if dtype is None else np.dtype(dtype)
        by_slot = self._by_slot(input_shape)
        shape = taken(self, [by_slot[slot] for slot in self.graph.inputs])
        if self.input_shape is not None and weights is None:
            if shape != self.input_shape:
                raise ValueError(f"{op}: the model is built for samples of shape {self.input_shape}, got {shape}")
            return self.output_shape()
        uses = self._uses(by_slot)
        if weights is None:
            new = {name for name, layer in self.layers.items() if self._is_new(name, layer, uses[name], dtype)}
        else:
            new = set(self.layers.names)
            wanted = {f"{name}.{key}": s for name, layer in self.layers.items()
                      for key, s in layer.saved_shapes(uses[name][0]).items()}  # fmt: skip
            check_weights(op, weights, wanted, dtype)
        for name, layer in self.layers.items():
            if name in new:
                own = None if weights is None else {key: weights[f"{name}.{key}"] for key in layer.saved_shapes(uses[name][0])}
                layer.build(uses[name][0], self.rng if rng is None else rng, dtype, weights=own)
            for other in uses[name]:
                layer.share(other)
        self.input_shape, self.dtype = shape, dtype
        return self.output_shape()

    def share(self, input_shape: Any) -> None:
        """As `Layer.share`."""
        for name, shapes in self._uses(self._by_slot(input_shape)).items():
            for shape in shapes:
                self.layers[name].share(shape)

    def _uses(self, by_slot: dict[int, Shape]) -> dict[str, list[Shape]]:
        """The shapes that each layer gets; ValueError if it needs other parameters for each."""
        uses: dict[str, list[Shape]] = {name: [] for name in self.layers.names}
        for step in self.graph.steps:
            shapes, name = uses[self.layers.name_of(step.layer)], self.layers.name_of(step.layer)
            shapes.append(taken(step.layer, [by_slot[slot] for slot in step.sources]))
            if shapes[-1] != shapes[0] and step.layer.saved_shapes(shapes[-1]) != step.layer.saved_shapes(shapes[0]):
                wants = f"layer {name} is shared, but would need other parameters for {shapes[-1]} than for {shapes[0]}"
                raise ValueError(f"{type(self).__name__}: {wants}")
        return uses

    def _is_new(self, name: str, layer: Layer, shapes: list[Shape], dtype: np.dtype) -> bool:
        """Whether a layer needs building: one that another model has built is shared with it, weights and all."""
        if layer.input_shape is None:
            return True
        for shape in shapes:
            other = shape != layer.input_shape and layer.saved_shapes(shape) != {k: a.shape for k, a in layer.saved.items()}
            if other or layer.dtype != dtype:
                is_, got = (f"{d} of shape {s}" for s, d in ((layer.input_shape, layer.dtype), (shape, dtype)))
                raise ValueError(f"{type(self).__name__}: layer {name} is built for {is_}, here it gets {got}")
        return False

    @property
    def takes(self) -> tuple[np.dtype, ...]:
        """What an input may be besides `dtype`: what all layers that read one take."""
        readers = [step.layer.takes for step in self.graph.steps if not set(step.sources).isdisjoint(self.graph.inputs)]
        return tuple(dtype for dtype in readers[0] if all(dtype in takes for takes in readers)) if readers else ()

    def built(self) -> Shape:
        """The input shape; ValueError if there is none yet."""
        if self.input_shape is None:
            name = type(self).__name__
            raise ValueError(f"{name}: the model is not built; give input_shape=, or call build(input_shape) or fit(x, y)")
        return self.input_shape

    def forward(self, x: Any, training: bool = False, *, needs_input: bool = True) -> tuple[Any, Backward | None]:
        """Run one batch through all layers.

        Parameters
        ----------
        x : ndarray, or a tuple of them for several inputs
        training : bool, default False
        needs_input : bool, default True
            False if `backward` will not be asked for the gradient of the input: what only that needs is not kept.

        Returns
        -------
        y : ndarray, or a tuple of them for several outputs
        backward : callable, or None if not training
            As of `Layer.forward`, but it runs once: arrays are let go of as soon as they are not needed.

        Raises
        ------
        TypeError, ValueError
            If the model is not built or `x` does not fit it.
        """
        self.built()
        if self.several and (not isinstance(x, (tuple, list)) or len(x) != len(self.graph.inputs)):
            raise TypeError(f"{self.label}: x must be a tuple of {len(self.graph.inputs)} arrays")
        arrays, count = x if self.several else [x], len(self.graph.outputs)
        if not training:
            y = self._programs.infer(list(arrays))
            return tuple(y) if count > 1 else y[0], None
        with self.pages.used(new_step=True):
            y, walk_back = self._fused.train(arrays, needs_input)

        def backward(dy: Any, needs_input: bool = needs_input) -> Any:
            with self.pages.used():
                dx = walk_back(dy if count > 1 else [dy], needs_input)
            return tuple(dx) if self.several else dx[0]

        return tuple(y) if count > 1 else y[0], backward

    def activations(self, x: Any) -> Iterator[tuple[str, np.ndarray]]:
        """The name and the result of each use of a layer in turn, for a batch, outside training."""
        self.built()
        values = dict(zip(self.graph.inputs, x if self.several else [x], strict=True))
        for step in self.graph.steps:
            self.graph.run(step, values)
            yield from ((self.layers.name_of(step.layer), values[slot]) for slot in step.results)

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """All layers that are no models, with dotted names; one that is used in two models comes twice."""
        for name, layer in self.layers.items():
            if layer.is_model:
                yield from layer.leaves(f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", layer

    @property
    def params(self) -> dict[str, Param]:
        return self._named("params")

    @property
    def learning(self) -> dict[str, Param]:
        """The parameters that training changes: those of layers that are not frozen."""
        return self._named("learning")

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        return self._named("buffers")

    def _named(self, what: str) -> dict[str, Any]:
        once = {id(layer): (name, layer) for name, layer in reversed(list(self.leaves()))}
        return {f"{name}.{key}": a for name, layer in reversed(once.values()) for key, a in getattr(layer, what).items()}

    @property
    def saved(self) -> dict[str, np.ndarray]:
        return {f"{name}.{key}": array for name, layer in self.leaves() for key, array in layer.saved.items()}

    def saved_shapes(self, input_shape: Any) -> dict[str, Shape]:
        """As `Layer.saved_shapes`."""
        uses = self._uses(self._by_slot(input_shape))
        return {f"{n}.{key}": s for n, layer in self.layers.items() for key, s in layer.saved_shapes(uses[n][0]).items()}

    @property
    def trainable(self) -> bool:
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by name."""
        self.built()
        return {name: array.copy() for name, array in self.saved.items()}

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Give all parameters and buffers new values; what `get_weights` of a model like this one returned.

        Raises
        ------
        TypeError, ValueError
            If a name, a shape or a dtype is not that of the model: nothing is changed then.
        """
        self.built()
        check_weights("set_weights", weights, {name: array.shape for name, array in self.saved.items()}, self.dtype)
        for name, layer in self.leaves():
            for key, param in layer.params.items():
                param.value = weights[f"{name}.{key}"]
            for key, buffer in layer.buffers.items():
                buffer[...] = weights[f"{name}.{key}"]

    def multiply_adds(self, input_shape: Any = None) -> int:
        """Multiplications with an addition for one sample."""
        by_slot = self._by_slot(self.built() if input_shape is None else input_shape)
        return sum(s.layer.multiply_adds(taken(s.layer, [by_slot[slot] for slot in s.sources])) for s in self.graph.steps)

    @property
    def receptive_field(self) -> Any:
        return summary.receptive_field(self.graph)

    def summary(self) -> str:
        """Print and return a table: for each layer, the shape and memory of its output, parameters, multiply-adds,
        receptive field and stride, and what it reads where that is not the line above; then totals.
        """
        text = summary.table(self, self.built())
        print(text)
        return text


def check_weights(op: str, weights: Any, wanted: dict[str, Shape], dtype: np.dtype) -> None:
    """TypeError or ValueError unless weights are arrays of the wanted names, shapes and dtype."""
    if not isinstance(weights, dict) or not all(isinstance(array, np.ndarray) for array in weights.values()):
        raise TypeError(f"{op}: weights must be a dict of arrays, got {type(weights).__name__}")
    if wanted.keys() != weights.keys():
        lost, more = (_few(a.keys() - b.keys()) for a, b in ((wanted, weights), (weights, wanted)))
        raise ValueError(f"{op}: weights must be those of the layers; missing: {lost}; unknown: {more}")
    for name, shape in wanted.items():
        array = weights[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"{op}: {name} must be {dtype} {shape}, got {array.dtype} {array.shape}")


def _few(names: Iterable[str]) -> str:
    first, *rest = sorted(names)[:6] or ["none"]
    return ", ".join([first, *rest[:4]]) + (", ..." if len(rest) > 4 else "")


def _output_names(graph: Graph, layers: LayerList) -> Iterator[str]:
    """The name of the layer that gives it, with a number if the layer gives more than one of the outputs."""
    made = {slot: layers.name_of(step.layer) for step in graph.steps for slot in step.results}
    names = [made.get(slot, "input") for slot in graph.outputs]
    for i, name in enumerate(names):
        yield name if names.count(name) == 1 else f"{name}_{names[: i + 1].count(name)}"

