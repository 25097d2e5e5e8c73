"""Predictions that are made again and again: the steps of a graph as a list of bound passes on memory that is shared out once.

The second call with arrays like those of an earlier one becomes a `Program`, which later calls run: no step checks, plans or
allocates any more. Layers that are not known here run as ever, between the others. A program is for one set of shapes, threads,
instruction set and accuracy, and for the weights as they were; whatever does not fit takes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from convkit._core import cpu, layout
from convkit._core.call import Held, Program, Step
from convkit.layers import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    Dense,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
)
from convkit.model.fuse import FOLDS, POOLS, Folded
from convkit.model.graph import Graph, run_step
from convkit.model.graph import Step as Use
from convkit.ops import bound, check, scratch

__all__ = ["Programs"]

MOST = 8                                                # programs that a model keeps
SEEN = 32                                               # shapes that it remembers to have met
INPUTS, AXES = 3, 5                                     # as _core/call.pyx has them
SHARED, PYTHON = "shared", "python"                     # steps whose result is the memory of x, or that run as ever

CONVOLUTIONS = (*FOLDS, Folded)
MEANS = (AvgPool1D, AvgPool2D, AvgPool3D)
GLOBAL = (GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D)


class Programs:
    """The last few programs of a graph, and the memory in which one of them runs at a time."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known = all(_is_ours(step.layer) for step in graph.steps) and len(graph.inputs) <= INPUTS
        self.kept: tuple[Program, ...] = ()
        self.seen: dict[tuple, int] = {}                # how often such arrays came
        self.room = scratch.Kept()                      # its own, as steps borrow the scratch of all calls

    def __reduce__(self) -> tuple:
        return Programs, (self.graph,)                  # a copy remembers nothing

    def infer(self, arrays: list[Any]) -> list[np.ndarray]:
        """`Graph.infer`, with the same bits."""
        threads = cpu.thread_count()[0]
        for program in self.kept:
            if program.fits(arrays, threads):
                y = self._run(program, arrays) if program.fresh() else None
                if y is not None:
                    return y
                self.kept = tuple(other for other in self.kept if other is not program)
                self.seen = {}
                break
        if not self.known:
            return self.graph.infer(arrays)
        key = tuple((x.shape, x.dtype) for x in arrays if isinstance(x, np.ndarray)), threads, cpu.isa(), cpu.strict()
        times = self.seen.get(key, 0)
        if times != 1:
            y, program = self.graph.infer(arrays), None
        else:
            y, program = _compiled(self.graph, arrays, threads)
        if program is not None:
            self.kept = (program, *self.kept[: MOST - 1])
        others = self.seen if len(self.seen) < SEEN else {}
        self.seen = {**others, key: 0 if program is not None else times + 1}
        return y

    def _run(self, program: Program, arrays: list[np.ndarray]) -> list[np.ndarray] | None:
        memory, mine = self.room.take("predict", program.size)
        try:
            return program.run(arrays, layout.address(memory))
        finally:
            if mine:
                self.room.give_back()


def _is_ours(layer: Any) -> bool:
    """Whether a layer does the same with the same shapes, as far as is known."""
    if getattr(layer, "is_model", False):
        return type(layer).__module__.startswith("convkit.model.") and all(_is_ours(one) for _, one in layer.leaves())
    return type(layer) is Folded or type(layer).__module__.startswith("convkit.layers.")


def _compiled(graph: Graph, arrays: Sequence[np.ndarray], threads: int) -> tuple[list[np.ndarray], Program | None]:
    """The outputs of an ordinary run, and a program for the next ones if it is of use."""
    maker = Maker(graph, arrays)
    values = dict(zip(graph.inputs, arrays, strict=True))
    for step, last in zip(graph.steps, graph.last, strict=True):
        found = run_step(step, values, False)[0]
        found = found if len(step.results) > 1 else (found,)
        maker.add(step, [values[slot] for slot in step.sources], found)
        values.update(zip(step.results, found, strict=True))
        for slot in last:
            del values[slot]
    return [values[slot] for slot in graph.outputs], maker.program(threads)


class Maker:
    """What is known of a graph while its steps run: which of them can be bound, and which arrays are another one's memory."""

    def __init__(self, graph: Graph, arrays: Sequence[np.ndarray]) -> None:
        self.graph, self.useful, self.possible = graph, False, True
        self.slots: dict[int, tuple[tuple[int, ...], np.dtype]] = {}
        self.root: dict[int, int] = {}                  # the slot whose memory it is
        self.bound: list[tuple[Use, bound.Bound | str, Any]] = []  # the pass of a step, or what else it is; and its bias
        self.held: list[Held] = []                      # what the steps were made of
        for slot, x in zip(graph.inputs, arrays, strict=True):
            self._slot(slot, x)

    def _slot(self, slot: int, x: np.ndarray) -> None:
        self.possible &= type(x) is np.ndarray and x.flags.c_contiguous and x.size > 0 and x.ndim <= AXES
        self.slots[slot], self.root[slot] = (x.shape, x.dtype), slot

    def add(self, step: Use, given: list[np.ndarray], found: Sequence[np.ndarray]) -> None:
        """A step that has just run."""
        for slot, y in zip(step.results, found, strict=True):
            self._slot(slot, y)
        x, y = given[0], found[0]
        if any(np.may_share_memory(one, other) for one in given for other in found):
            same = layout.address(x) == layout.address(y) and x.nbytes == y.nbytes
            self.possible &= len(given) == len(found) == 1 and same
            self.root[step.results[0]] = self.root[step.sources[0]]
            self.bound.append((step, SHARED, None))
            return
        held = [] if step.layer.is_model else _held(step.layer)  # first: what changes during packing is noticed later
        found, b = _bound(step, given[0], y)
        if found is not None:
            self.useful = True
            self.held += held
        self.bound.append((step, found or PYTHON, b))

    def program(self, threads: int) -> Program | None:
        """All of it, or None where it would be of no use."""
        outputs = {self.root[slot] for slot in self.graph.outputs}
        if not (self.useful and self.possible) or not outputs.isdisjoint(self.graph.inputs):
            return None
        numbers = {slot: i for i, slot in enumerate(self.slots)}
        last, python = self._lives()
        steps: list[Step] = []
        for place, (use, how, b) in enumerate(self.bound):
            over = {root for root in python if last[root] == place} - outputs
            drops = tuple(numbers[slot] for slot, root in self.root.items() if root in over)
            steps.append(_step(use, how, b, numbers, drops))
        room = max((how[0].room for _, how, _ in self.bound if how not in (SHARED, PYTHON)), default=0)
        places, size = self._places(last, python | outputs | set(self.graph.inputs), room)
        slots = [(places.get(slot, -1), *self.slots[slot], _bytes(*self.slots[slot])) for slot in numbers]
        offsets = np.array([*(slot[0] for slot in slots), _lines(8 * len(slots) + 8)], np.intp).tobytes()
        makers = tuple(one for root in outputs - python for one in (numbers[root], check.maker(*self.slots[root])))
        results = tuple(numbers[slot] for slot in self.graph.outputs)
        return Program(slots, offsets, size, len(self.graph.inputs), steps, makers, results, self.held, threads)

    def _lives(self) -> tuple[dict[int, int], set[int]]:
        """The last step that reads each memory, and which memory Python makes."""
        last, python = {}, set()
        for place, (use, how, _) in enumerate(self.bound):
            last.update((self.root[slot], place) for slot in (*use.sources, *use.results))
            if how is PYTHON:
                python.update(use.results)
        return last, python

    def _places(self, last: dict[int, int], others: set[int], room: int) -> tuple[dict[int, int], int]:
        """Where arrays between the steps lie, and the size of it all: those that live at the same time lie apart."""
        start = _lines(8 * len(self.slots) + 8) + _lines(room)
        first = {self.root[slot]: place for place, (use, _, _) in reversed(list(enumerate(self.bound))) for slot in use.results}
        size = {root: _lines(_bytes(*form)) for root, form in self.slots.items()}
        places: dict[int, int] = {}
        for root in sorted(set(self.root.values()) - others, key=lambda root: -size[root]):
            at, near = start, [o for o in places if first[o] <= last[root] and first[root] <= last[o]]
            for other in sorted(near, key=places.get):
                if at + size[root] <= places[other]:
                    break
                at = max(at, places[other] + size[other])
            places[root] = at
        return places, max((places[root] + size[root] for root in places), default=start)


def _held(layer: Any) -> list[Held]:
    """What the passes of a layer are made of."""
    held = []
    for one in (layer.conv, layer.norm) if type(layer) is Folded else (layer,):
        held += [Held(vars(one), name) for name in ("params", "buffers", "eps") if name in vars(one)]
        held += [Held(one.params, name, param.version) for name, param in one.params.items()]
        held += [Held(one.buffers, name, None, array.tobytes()) for name, array in one.buffers.items()]
    return held



def _bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return prod(shape) * dtype.itemsize


def _lines(size: int) -> int:
    """Bytes up to the end of a cache line, and one line more: neighbours a power of two apart would meet in one set."""
    return (-(-size // scratch.LINE) + 1) * scratch.LINE


def _step(use: Use, how: bound.Bound | str, b: Any, numbers: dict[int, int], drops: tuple[int, ...]) -> Step:
    sources, results = (tuple(numbers[slot] for slot in slots) for slots in (use.sources, use.results))
    if how is PYTHON:
        return Step(partial(_plainly, use), sources, results, drops)
    if how is SHARED:
        return Step(None, sources, results, drops)
    fast, plainly = how
    return Step(fast, sources, results, drops, sources[1] if use.residual else -1, b, plainly)


def _plainly(use: Use, *given: np.ndarray) -> tuple[np.ndarray, ...]:
    """A step as ever."""
    found = run_step(use, dict(zip(use.sources, given, strict=True)), False)[0]
    return tuple(map(np.ascontiguousarray, found if len(use.results) > 1 else (found,)))


def _bound(step: Use, x: np.ndarray, y: np.ndarray) -> tuple[bound.Bound | None, Any]:
    """The pass of a step from x to y, or None if it is not known, and the bias."""
    layer, kind = step.layer, type(step.layer)
    how = getattr(layer, "how", None)
    if not x.flags.c_contiguous or x.dtype != y.dtype or x.dtype not in check.FLOATS:
        return None, None
    if kind in CONVOLUTIONS:
        return _convolution(step, x, y)
    found = None
    if kind in POOLS and not layer.return_indices:
        found = bound.max_pool("max_pool", x.shape, layer.kernel_size, how, x.dtype)
    elif kind in MEANS:
        found = bound.avg_pool("avg_pool", x.shape, layer.kernel_size, how, x.dtype)
    elif kind in GLOBAL:
        found = bound.global_avg_pool("avg_pool", x.shape, x.dtype)
    return found, None


def _convolution(step: Use, x: np.ndarray, y: np.ndarray) -> tuple[bound.Bound | None, Any]:
    layer = step.layer
    act = step.fused.get("activation")
    if type(layer) is Folded:
        made, act, layer = layer._filters(), act or layer.norm.activation, layer.conv
        if made is None:
            return None, None
        filters, b = made
    else:
        filters, b, act = layer.packed(), layer.params["b"].value if layer.bias else None, act or layer.activation
    shape = (len(x), 1, x.shape[1]) if type(layer) is Dense else x.shape
    return bound.convolution("predict", shape, filters, b, layer.how, {"relu": 1, "relu6": 6}.get(act, 0), x.dtype), b
