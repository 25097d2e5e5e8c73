"""How layers are connected, and the two walks over them: forward, and backward in the reverse order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit.layers.base import Layer, Shape
from convkit.layers.tensor import Tensor, is_several
from convkit.ops.pointwise import add

__all__ = ["Graph", "Step", "chain", "run_step", "traced"]


@dataclass(frozen=True, eq=False)
class Step:
    """One use of a layer: it reads some slots and fills others.

    `fused` is what the layer does in the same pass (see `Layer.forward`); with `residual` the last slot that it reads is added.
    """

    layer: Layer
    sources: tuple[int, ...]
    results: tuple[int, ...]
    fused: dict[str, Any] = field(default_factory=dict)
    residual: bool = False


class Graph:
    """Steps in an order in which they can run, on numbered slots.

    Attributes
    ----------
    inputs, outputs : tuple of int
        Slots that are given, and slots that are the result.
    steps : list of Step
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], steps: Iterable[Step]) -> None:
        self.inputs, self.outputs, self.steps = tuple(inputs), tuple(outputs), list(steps)
        self.last = self._last_uses()

    def _last_uses(self) -> list[tuple[int, ...]]:
        """For each step, the slots that nobody reads after it."""
        seen, last = set(self.outputs), []
        for step in reversed(self.steps):
            last.append(tuple(slot for slot in dict.fromkeys((*step.sources, *step.results)) if slot not in seen))
            seen.update(step.sources)
        return last[::-1]

    def layers(self) -> list[Layer]:
        """Each layer once, in the order of their first use."""
        return list({id(step.layer): step.layer for step in self.steps}.values())

    def shapes(self, given: Sequence[Shape], told: Callable[[Layer], str]) -> dict[int, Shape]:
        """Shape of each slot; the errors of layers get the name that `told` gives them."""
        shapes = dict(zip(self.inputs, given, strict=True))
        for step in self.steps:
            shape = taken(step.layer, [shapes[slot] for slot in step.sources])
            try:
                result = step.layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"layer {told(step.layer)}, which gets {shape}: {error}") from error
            shapes.update(zip(step.results, result if is_several(result) else [result], strict=True))
        return shapes

    def infer(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs; what lies between is dropped as soon as no later step reads it."""
        values = dict(zip(self.inputs, arrays, strict=True))
        for step, last in zip(self.steps, self.last, strict=True):
            _keep(values, step, run_step(step, values, False)[0], last)
        return [values[slot] for slot in self.outputs]

    @staticmethod
    def run(step: Step, values: dict[int, np.ndarray]) -> None:
        """One step outside training, from and to the values of slots."""
        _keep(values, step, run_step(step, values, False)[0], ())

    def train(self, arrays: Sequence[np.ndarray], needs_input: bool) -> tuple[list[np.ndarray], Callable]:
        """The outputs, and ``backward(gradients of the outputs, needs_input) -> gradients of the inputs``.

        Without `needs_input`, what only the gradient of an input would read is not even kept.
        """
        values = dict(zip(self.inputs, arrays, strict=True))
        learns = set(self.inputs) if needs_input else set()  # slots whose gradient is asked for
        walk: list[tuple[Step, Callable]] = []
        for step, last in zip(self.steps, self.last, strict=True):
            before = not learns.isdisjoint(step.sources)
            y, back = run_step(step, values, True, before)
            if before or step.layer.learning:
                learns.update(step.results)
                walk.append((step, back))
            _keep(values, step, y, last)
        return [values[slot] for slot in self.outputs], _Backward(self, walk, needs_input)


class _Backward:
    """The walk back; each step's arrays are let go of as soon as its gradient is done."""

    def __init__(self, graph: Graph, walk: list[tuple[Step, Callable]], kept: bool) -> None:
        self.graph, self.walk, self.kept, self.done = graph, walk, kept, False

    def __call__(self, given: Sequence[np.ndarray | None], needs_input: bool) -> list[np.ndarray | None]:
        if self.done:
            raise ValueError("backward has run already, and its arrays are gone; it needs a new forward in training mode")
        if needs_input and not self.kept:
            raise ValueError("backward: forward was told that nobody needs the gradient of the input")
        self.done = True
        asked = self._asked(needs_input)
        sums = _Sums()
        for slot, dy in zip(self.graph.outputs, given, strict=True):
            if dy is not None:
                sums.add(slot, dy, ours=False)
        while self.walk:
            step, back = self.walk.pop()
            needs = not asked.isdisjoint(step.sources)
            dy = sums.take(step.results)
            if dy is None or not (needs or step.layer.learning):
                continue
            dx = back(dy, needs_input=needs)
            if needs:
                found = dx if len(step.sources) > 1 else (dx,)
                for slot, d in zip(step.sources, found, strict=True):
                    if d is not None and slot in asked:
                        shared = d.base is not None or d is dy or sum(d is other for other in found) > 1
                        sums.add(slot, d, ours=not shared)
        return [sums.get(slot) for slot in self.graph.inputs] if needs_input else [None] * len(self.graph.inputs)

    def _asked(self, needs_input: bool) -> set[int]:
        """The slots whose gradient somebody reads."""
        asked = set(self.graph.inputs) if needs_input else set()
        for step, _ in self.walk:
            if step.layer.learning or not asked.isdisjoint(step.sources):
                asked.update(step.results)
        return asked


class _Sums:
    """Gradients by slot. Where several meet they are added in the order in which they come, which the graph fixes."""

    def __init__(self) -> None:
        self.arrays: dict[int, np.ndarray] = {}
        self.ours: set[int] = set()                     # slots whose array may be written to

    def add(self, slot: int, d: np.ndarray, ours: bool) -> None:
        there = self.arrays.get(slot)
        if there is None:
            self.arrays[slot] = d
        elif slot in self.ours:
            there += d
        else:
            self.arrays[slot] = np.add(there, d, out=d) if ours else add(there, d)
            ours = True
        if ours:
            self.ours.add(slot)

    def get(self, slot: int) -> np.ndarray | None:
        self.ours.discard(slot)
        return self.arrays.pop(slot, None)

    def take(self, slots: Sequence[int]) -> Any:
        """The gradient of what a step gave: one array, or a tuple; None if nobody has any."""
        found = tuple(self.get(slot) for slot in slots)
        return found[0] if len(found) == 1 else None if all(d is None for d in found) else found


def run_step(step: Step, values: dict[int, np.ndarray], training: bool, needs_input: bool = True) -> tuple[Any, Any]:
    """One step from the values of slots: what it gives, and its way back."""
    given = [values[slot] for slot in step.sources]
    how = {**step.fused, "residual": given.pop()} if step.residual else dict(step.fused)
    if training and step.layer.is_model:
        how["needs_input"] = needs_input
    return step.layer.forward(taken(step.layer, given), training, **how)


def _keep(values: dict[int, np.ndarray], step: Step, y: Any, last: Iterable[int]) -> None:
    values.update(zip(step.results, y if len(step.results) > 1 else [y], strict=True))
    for slot in last:
        del values[slot]


def taken(layer: Layer, given: Sequence[Any]) -> Any:
    """What a layer takes of a list: all of it, or the only one."""
    return tuple(given) if layer.several else given[0]


def chain(layers: Sequence[Layer]) -> Graph:
    """Layers one after another."""
    return Graph([0], [len(layers)], [Step(layer, (i,), (i + 1,)) for i, layer in enumerate(layers)])


def traced(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
    """The graph between symbolic tensors; ValueError if it is not closed."""
    nodes, waiting = {}, [tensor.node for tensor in outputs if tensor not in inputs]
    while waiting:
        node = waiting.pop()
        if id(node) not in nodes:
            nodes[id(node)] = node
            waiting += [tensor.node for tensor in node.inputs if tensor not in inputs]
    slots = {id(tensor): i for i, tensor in enumerate(inputs)}
    read = {id(tensor) for node in nodes.values() for tensor in node.inputs} | {id(tensor) for tensor in outputs}
    for tensor in inputs:
        if id(tensor) not in read:
            raise ValueError(f"Model: no output depends on {tensor}")
    steps = []
    for node in sorted(nodes.values(), key=lambda node: node.number):  # a layer is called after what it is called on
        if node.layer is None:
            raise ValueError(f"Model: the outputs depend on {node.outputs[0]}, which is not among the inputs")
        for tensor in node.inputs:
            if id(tensor) not in slots:
                raise ValueError(f"Model: a cycle: {node.layer.label} reads {tensor}, which depends on it")
        for tensor in node.outputs:
            slots[id(tensor)] = len(slots)
        steps.append(Step(node.layer, tuple(slots[id(t)] for t in node.inputs), tuple(slots[id(t)] for t in node.outputs)))
    return Graph(range(len(inputs)), [slots[id(tensor)] for tensor in outputs], steps)
