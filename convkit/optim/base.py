"""What all optimisers share: a checked learning rate, clipping, averages of the weights, and what is kept for each Param."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit._core import act as core
from convkit.ops.pointwise import workers

if TYPE_CHECKING:
    from convkit.layers.base import Param

__all__ = ["Optimizer", "pair", "positive", "share"]

# What the kernel wants, in its order: what changes nothing.
PLAIN = {
    "scale": 1.0, "limit": math.inf, "l2": 0.0, "m_keep": 0.0, "m_add": 0.0, "v_keep": 0.0, "v_add": 0.0, "p": 0.0, "q": 0.0,
    "v_scale": 1.0, "eps": 0.0, "decay": 0.0, "rate": 0.0, "share": 0.0,
}  # fmt: skip


class Memory:
    """What an optimiser keeps for one Param: running averages of the gradient (`kept`), and of the weights (`average`)."""

    def __init__(self, kept: dict[str, np.ndarray], average: np.ndarray | None) -> None:
        self.kept, self.average, self.steps = kept, average, 0

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return self.kept if self.average is None else {**self.kept, "average": self.average}


class Optimizer:
    """Base of all optimisers. A subclass says what it keeps (`keeps`) and what a step is (`_how`).

    Parameters
    ----------
    learning_rate : float > 0, or a callable (step) -> float
        A callable is asked before each step, with the number of steps done so far; convkit.schedules has some.
    weight_decay : float >= 0, default 0
        How strongly weights are drawn to zero; each optimiser says how.
    clip_value, clip_norm, clip_global_norm : float > 0, optional
        Holds each number of a gradient to -clip_value..clip_value; or scales each parameter's gradient down to this norm; or
        all gradients by one factor, to this norm of all together. At most one of them.
    ema : float in [0, 1), optional
        Keeps an exponential moving average of the weights, ``average = ema * average + (1 - ema) * w`` after each step,
        from the weights before the first one. `use_averages` puts it in place of the weights.
    """

    keeps: tuple[str, ...] = ()  # "m", "v": running averages a Param needs
    rule = "step"

    def __init__(
        self,
        learning_rate: float | Callable[[int], float],
        *,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        clip_global_norm: float | None = None,
        ema: float | None = None,
    ) -> None:
        op = type(self).__name__
        self.learning_rate = learning_rate
        self.weight_decay = number(op, "weight_decay", weight_decay)
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"{op}: weight_decay must be finite and >= 0, got {weight_decay}")
        clips = {"clip_value": clip_value, "clip_norm": clip_norm, "clip_global_norm": clip_global_norm}
        clips = {name: positive(op, name, value) for name, value in clips.items() if value is not None}
        if len(clips) > 1:
            raise ValueError(f"{op}: give one of clip_value, clip_norm and clip_global_norm, got {', '.join(clips)}")
        self.clip, self.most = next(iter(clips.items()), (None, math.inf))
        self.ema = None if ema is None else share(op, "ema", ema)
        self.steps = 0
        self.averaged = False
        self._memory: dict[Param, Memory] = {}

    @property
    def learning_rate(self) -> float | Callable[[int], float]:
        """Step size, or a schedule of it; it may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Callable[[int], float]) -> None:
        op = type(self).__name__
        self._learning_rate = value if callable(value) else positive(op, "learning_rate", value)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        if not callable(self._learning_rate):
            return self._learning_rate
        op, name = type(self).__name__, f"the learning rate at step {self.steps}"
        rate = number(op, name, self._learning_rate(self.steps))
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"{op}: {name} must be finite and >= 0, got {rate}")
        return rate

    def step(self, params: Iterable[Param]) -> None:
        """Move every Param once, from the gradient it holds, which stays as it is."""
        params = list(params)
        rate = self.rate
        self.use_averages(params, False)
        memories = [self._of(param) for param in params]
        grads = [np.ascontiguousarray(param.grad) for param in params]
        scales = self._scales(grads)
        for memory in memories:
            memory.steps += 1
        hows = {steps: self._numbers(steps, rate) for steps in {memory.steps for memory in memories}}
        self._move(
            [(param.writable(), grad, memory.kept.get("m"), memory.kept.get("v"), memory.average)
             for param, grad, memory in zip(params, grads, memories, strict=True)],
            [(scale, *hows[memory.steps]) for scale, memory in zip(scales, memories, strict=True)],
        )  # fmt: skip
        self.steps += 1

    def use_averages(self, params: Iterable[Param], yes: bool = True) -> None:
        """Have the averages of the weights (`ema`) in place of the weights, or the weights again; a step needs the weights."""
        if yes == self.averaged or self.ema is None:
            return
        for param in params:
            memory = self._memory.get(param)
            if memory is not None and memory.average is not None:
                held = param.value.copy()
                param.value = memory.average
                memory.average[...] = held
                self.averaged = yes

    def state(self, params: Mapping[str, Param]) -> dict[str, np.ndarray]:
        """All that a later run needs to go on with the same bits, as named arrays.

        Parameters
        ----------
        params : dict of str to Param
            The parameters by name, as of a model.
        """
        counts = {name: self._memory[param].steps for name, param in params.items() if param in self._memory}
        arrays = {"steps": np.array(self.steps), "averaged": np.array(self.averaged)}
        arrays |= {f"{name}/steps": np.array(count) for name, count in counts.items()}
        for name in counts:
            arrays |= {f"{name}/{kind}": array for kind, array in self._memory[params[name]].arrays.items()}
        if not callable(self._learning_rate):
            arrays["learning_rate"] = np.array(self._learning_rate)
        elif hasattr(self._learning_rate, "state"):
            arrays |= {f"learning_rate/{name}": np.array(value) for name, value in self._learning_rate.state().items()}
        return arrays

    def load_state(self, params: Mapping[str, Param], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave for parameters of these names.

        Raises
        ------
        ValueError
            If the arrays are not those of such an optimiser for such parameters; nothing is changed then.
        """
        op = type(self).__name__
        known = [name for name in params if f"{name}/steps" in arrays]
        memories = {name: self._new(params[name]) for name in known}
        places = {f"{name}/{kind}": array for name in known for kind, array in memories[name].arrays.items()}
        single = {"steps", "averaged", *(f"{name}/steps" for name in known)}
        rate = {name.removeprefix("learning_rate/"): arrays[name] for name in arrays if name.startswith("learning_rate")}
        wanted, got = {*places, *single}, {name for name in arrays if not name.startswith("learning_rate")}
        if wanted != got:
            raise ValueError(f"{op}: the state lacks {sorted(wanted - got)} and has {sorted(got - wanted)} besides")
        for name, array in places.items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                was = f"{arrays[name].dtype} {arrays[name].shape}"
                raise ValueError(f"{op}: {name} must be {array.dtype} {array.shape}, got {was}")
        if not callable(self._learning_rate):
            self.learning_rate = rate.get("learning_rate", np.array(self._learning_rate)).item()
        elif hasattr(self._learning_rate, "load_state") and "learning_rate" not in rate:
            self._learning_rate.load_state({name: array.item() for name, array in rate.items()})
        for name, array in places.items():
            array[...] = arrays[name]
        for name in known:
            memories[name].steps = int(arrays[f"{name}/steps"])
        self._memory = {params[name]: memory for name, memory in memories.items()}
        self.steps, self.averaged = int(arrays["steps"]), bool(arrays["averaged"])

    def _how(self, steps: int) -> dict[str, float]:
        """What the kernel is told at a Param's step number `steps` (from 1 on), beside the rate, the clipping and the ema."""
        raise NotImplementedError

    def _numbers(self, steps: int, rate: float) -> tuple[float, ...]:
        """All that the kernel is told but the scale."""
        own = {"rate": rate, "share": 0.0 if self.ema is None else 1 - self.ema, **self._how(steps)}
        if self.clip == "clip_value":
            own["limit"] = self.most
        return tuple({**PLAIN, **own}.values())[1:]

    def _move(self, arrays: list[tuple], hows: list[tuple[float, ...]]) -> None:
        core.optimise(self.rule, arrays, hows, threads_for(arrays))

    def _of(self, param: Param) -> Memory:
        memory = self._memory.get(param)
        if memory is None:
            memory = self._memory[param] = self._new(param)
        return memory

    def _new(self, param: Param) -> Memory:
        kept = {name: np.zeros_like(param.value) for name in self.keeps}
        return Memory(kept, None if self.ema is None else param.value.copy())

    def _scales(self, grads: list[np.ndarray]) -> list[float]:
        """What each gradient is multiplied by."""
        if self.clip not in ("clip_norm", "clip_global_norm"):
            return [1.0] * len(grads)
        squares = squared_norms(grads)
        if self.clip == "clip_global_norm":
            squares = [math.fsum(squares)] * len(grads)
        return [self.most / math.sqrt(square) if square > self.most**2 else 1.0 for square in squares]


def squared_norms(arrays: list[np.ndarray]) -> list[float]:
    """The sum of squares of each array."""
    lines = [(array, None, None, None, None) for array in arrays]
    sums = core.optimise("measure", lines, [tuple(PLAIN.values())] * len(lines), threads_for(lines))
    return [
        square if math.isfinite(square) else float(np.sum(np.square(array, dtype=np.float64)))  # float32 may have overflowed
        for (square, _), array in zip(sums, arrays, strict=True)
    ]


def threads_for(lines: list[tuple[Any, ...]]) -> int:
    return workers(None, sum(line[0].size for line in lines), "step")


def number(op: str, name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    return float(value)


def positive(op: str, name: str, value: Any) -> float:
    value = number(op, name, value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{op}: {name} must be finite and > 0, got {value}")
    return value


def share(op: str, name: str, value: Any) -> float:
    value = number(op, name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{op}: {name} must be in [0, 1), got {value}")
    return value


def pair(op: str, betas: Any) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{op}: betas must be 2 numbers, got {betas!r}")
    return share(op, "betas[0]", betas[0]), share(op, "betas[1]", betas[1])
