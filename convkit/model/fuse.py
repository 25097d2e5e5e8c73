"""Fewer passes over memory: steps that one layer can do on the way of another.

Wherever they run: a ReLU after a convolution, a Dense layer, batch norm or `Add`; a ReLU6 after batch norm; an `Add` of two
after batch norm or a convolution. In training: max pooling after the ReLU of a convolution, as few numbers come back through
both, which are all that the gradient of the bias has to add up. Outside training: a batch norm after a convolution, as filters
that hold its scale. Only what nobody else reads is left out, and only layers of exactly these classes are fused, as a subclass
may compute something else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers import (
    Add,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose1D,
    ConvTranspose2D,
    ConvTranspose3D,
    Dense,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    ReLU,
    ReLU6,
)
from convkit.layers.conv import Filters
from convkit.model.graph import Graph, Step

__all__ = ["Folded", "folded", "fused", "pooled"]

CONVS, POOLS = (Conv1D, Conv2D, Conv3D), (MaxPool1D, MaxPool2D, MaxPool3D)
FOLDS = (*CONVS, Dense)                                 # their filters can hold a scale for each output
TAKES_RESIDUAL = (BatchNorm, *CONVS)
TAKES_RELU = (*TAKES_RESIDUAL, Add, ConvTranspose1D, ConvTranspose2D, ConvTranspose3D, Dense)
TAKES, NAMES = {ReLU: TAKES_RELU, ReLU6: (BatchNorm,)}, {ReLU: "relu", ReLU6: "relu6"}


def fused(graph: Graph) -> Graph:
    """The same graph with activations and sums done by the step before."""
    readers, steps = _readers(graph), {}
    for step in graph.steps:
        makers = [_maker(steps, slot, readers) for slot in step.sources]
        if _is(makers[0], TAKES.get(type(step.layer), ())):
            before = steps.pop(step.sources[0])
            step = Step(before.layer, before.sources, step.results, {"activation": NAMES[type(step.layer)]}, before.residual)
        elif type(step.layer) is Add and len(makers) == 2:
            for i in (1, 0):
                if _is(makers[i], TAKES_RESIDUAL) and not makers[i].residual:
                    before = steps.pop(step.sources[i])
                    step = Step(before.layer, (*before.sources, step.sources[1 - i]), step.results, residual=True)
                    break
        steps[step.results[0]] = step
    return Graph(graph.inputs, graph.outputs, steps.values())


def pooled(graph: Graph) -> Graph:
    """A fused graph for training: max pooling is part of the convolution before it."""
    readers, steps = _readers(graph), {}
    for step in graph.steps:
        if type(step.layer) in POOLS and not step.layer.return_indices and _rectifies(_maker(steps, step.sources[0], readers)):
            before = steps.pop(step.sources[0])
            step = replace(before, results=step.results, fused={**before.fused, "pool": step.layer})
        steps[step.results[0]] = step
    return Graph(graph.inputs, graph.outputs, steps.values())


def folded(graph: Graph) -> Graph:
    """A fused graph for inference: batch norm moves into the filters before it."""
    readers, steps = _readers(graph), {}
    for step in graph.steps:
        before = _maker(steps, step.sources[0], readers)
        if type(step.layer) is BatchNorm and _is(before, FOLDS) and not before.residual:
            del steps[step.sources[0]]
            sources = (*before.sources, *step.sources[1:])
            step = Step(Folded(before.layer, step.layer), sources, step.results, step.fused, step.residual)
        steps[step.results[0]] = step
    return Graph(graph.inputs, graph.outputs, steps.values())


def _readers(graph: Graph) -> dict[int, int]:
    """How many times each slot is read; being a result counts."""
    counts: dict[int, int] = {}
    for slots in (*(step.sources for step in graph.steps), graph.outputs):
        for slot in slots:
            counts[slot] = counts.get(slot, 0) + 1
    return counts


def _maker(steps: dict[int, Step], slot: int, readers: dict[int, int]) -> Step | None:
    """The step that gives a slot, if nobody else reads it."""
    return steps.get(slot) if readers[slot] == 1 else None


def _is(step: Step | None, kinds: tuple[type, ...]) -> bool:
    """Whether a step is that of such a layer, without an activation."""
    return step is not None and type(step.layer) in kinds and not step.fused and getattr(step.layer, "activation", None) is None


def _rectifies(step: Step | None) -> bool:
    """Whether a step is that of a convolution with a ReLU."""
    return step is not None and type(step.layer) in CONVS and "relu" in (step.layer.activation, step.fused.get("activation"))


class Folded:
    """A convolution and the batch norm after it as one convolution.

    The filters are made anew when the weights, the running statistics or `eps` are others.
    """

    several = is_model = False

    def __init__(self, conv: Filters, norm: BatchNorm) -> None:
        self.conv, self.norm = conv, norm
        self._made: tuple[Any, Any] | None = None       # what it was made of; filters and bias, or None if they are not finite

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}         # as the filters of a layer

    def forward(self, x: np.ndarray, training: bool = False, **fused: Any) -> tuple[np.ndarray, None]:
        """As `Layer.forward`, without training."""
        filters = self._filters()
        if filters is None:
            return self.norm.forward(self.conv.forward(x)[0], **fused)
        self.conv.check_input(x)
        act = fused.get("activation") or self.norm.activation
        y = self.conv.run(x, *filters, "relu" if act == "relu" else None, fused.get("residual"))
        return ops.relu6(y, out=y) if act == "relu6" else y, None

    def _filters(self) -> tuple[Any, np.ndarray] | None:
        params = [*self.conv.params.values(), *self.norm.params.values()]
        made_of = [(id(p), p.version) for p in params], [a.tobytes() for a in self.norm.buffers.values()], self.norm.eps
        if self._made is None or self._made[0] != made_of:
            self._made = made_of, self._fold()
        return self._made[1]

    def _fold(self) -> tuple[Any, np.ndarray] | None:
        of = {name: param.value.astype(np.float64) for name, param in self.norm.params.items()}
        mean, var = (self.norm.buffers[name].astype(np.float64) for name in ("mean", "var"))
        w, bias = self.conv.params["w"].value, self.conv.params["b"].value if self.conv.bias else 0.0
        with np.errstate(all="ignore"):
            scale = of.get("w", 1.0) / np.sqrt(var + self.norm.eps)
            new = (w * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(w.dtype)
            b = ((bias - mean) * scale + of.get("b", 0.0)).astype(w.dtype)
        if not (np.isfinite(new).all() and np.isfinite(b).all()):
            return None
        return ops.pack_filters(self.conv.filters(new), groups=self.conv.how.get("groups", 1)), b
