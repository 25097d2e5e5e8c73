"""Whether the backward pass of a layer is the derivative of its forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.layers.base import Layer
from convkit.ops import check

__all__ = ["gradient_check"]

STEP = 1e-5                                             # in float64, where it loses about as many digits as it leaves out terms


def gradient_check(layer: Layer, x: Any, *, tolerance: float = 1e-6, samples: int = 200) -> dict[str, float]:
    """Compare the gradients of a layer or model with finite differences, in float64.

    The layer itself is not touched: a copy is built, with the layer's weights if it has any. Frozen parameters are left out.

    Parameters
    ----------
    layer : Layer
        A layer, a model, or a layer of one's own.
    x : array_like of shape (N, *input_shape), or a tuple of them for a layer that takes several
        Where to compare. Points where the layer has a kink, such as 0 for ReLU, have no derivative.
    tolerance : float, default 1e-6
        Largest error allowed, relative to the largest element of the gradient, or to 1/1000 of the outputs if that is more.
    samples : int, default 200
        Elements of each array to compare; of larger ones so many are drawn.

    Returns
    -------
    dict of str to float
        The largest relative error in ``x`` (``x[0]``, ... for several) and in each parameter.

    Raises
    ------
    ValueError
        If a gradient disagrees: the message names it, the element, both values and the error.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> from convkit.layers import Dense
    >>> errors = convkit.gradient_check(Dense(3), np.random.default_rng(0).standard_normal((4, 5)))
    >>> sorted(errors), max(errors.values()) < 1e-6
    (['b', 'w', 'x'], True)
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"gradient_check: layer must be a layer or a model, got {type(layer).__name__}")
    several = isinstance(x, (tuple, list)) and layer.several
    arrays = [np.array(check.array(np.asarray(a, np.float64), "gradient_check", "x")) for a in (x if several else [x])]
    twin = _twin(layer, [a.shape[1:] for a in arrays])
    rng = np.random.default_rng(0)

    def given() -> Any:
        return tuple(arrays) if several else arrays[0]

    def run() -> tuple[Layer, tuple[np.ndarray, ...], Callable]:
        own = copy.deepcopy(twin)                       # so that dropout draws the same and running statistics stay
        y, backward = own.forward(given(), training=True)
        return own, y if isinstance(y, tuple) else (y,), backward

    own, ys, backward = run()
    weights = tuple(rng.standard_normal(y.shape) for y in ys)
    dx = backward(weights if len(weights) > 1 else weights[0])

    def loss() -> float:
        return sum(float(np.vdot(y, w)) for y, w in zip(run()[1], weights, strict=True))

    names = [f"x[{i}]" for i in range(len(arrays))] if several else ["x"]
    found = dict(zip(names, zip(dx if several else [dx], arrays, strict=True), strict=True))
    found.update({name: (own.learning[name].grad, param.writable()) for name, param in twin.learning.items()})
    least = sum(float(np.abs(y * w).sum()) for y, w in zip(ys, weights, strict=True)) / 1000  # below it, rounding of the loss
    compare = _Comparison(layer, loss, rng, least, tolerance, samples)
    return {name: compare(name, np.asarray(d), at) for name, (d, at) in found.items()}


def _twin(layer: Layer, shapes: list[tuple[int, ...]]) -> Layer:
    """A copy in float64."""
    twin, shape = copy.deepcopy(layer), tuple(shapes) if layer.several else shapes[0]
    if twin.input_shape is None:
        twin.build(shape, np.random.default_rng(0))
    weights = {name: a.astype(np.float64) for name, a in twin.saved.items()}
    twin.build(shape, np.random.default_rng(0), np.float64, weights=weights)
    return twin


@dataclass
class _Comparison:
    layer: Layer
    loss: Callable[[], float]
    rng: np.random.Generator
    least: float
    tolerance: float
    samples: int

    def __call__(self, name: str, d: np.ndarray, at: np.ndarray) -> float:
        """The largest relative error of `d` as the gradient of loss() by `at`."""
        label = f"gradient_check: {self.layer.label}: the gradient of {name}"
        if d.shape != at.shape:
            raise ValueError(f"{label} has shape {d.shape}, wanted {at.shape}")
        if not at.size:
            return 0.0
        places = np.arange(at.size)
        if at.size > self.samples:
            places = np.sort(self.rng.choice(at.size, self.samples, replace=False))
        wanted, got = np.array([self._slope(at, place) for place in places]), d.reshape(-1)[places]
        scale = max(np.abs(wanted).max(), np.abs(d).max(), self.least, 1e-300)
        errors = np.abs(got - wanted) / scale
        for i in np.flatnonzero(~(errors <= self.tolerance)):  # a kink within the step, perhaps: look closer
            closer = self._slope(at, places[i], STEP / 32)
            error = abs(got[i] - closer) / scale
            if error < errors[i]:
                wanted[i], errors[i] = closer, error
        worst = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
        if not errors[worst] <= self.tolerance:
            place = tuple(map(int, np.unravel_index(places[worst], at.shape)))
            values = f"backward gives {got[worst]:.6g}, finite differences {wanted[worst]:.6g}"
            raise ValueError(f"{label} is wrong: at {place} {values}, relative error {errors[worst]:.2g} > {self.tolerance:g}")
        return float(errors[worst])

    def _slope(self, at: np.ndarray, place: int, step: float = STEP) -> float:
        where = np.unravel_index(place, at.shape)
        before = at[where]
        at[where] = before + step
        high = self.loss()
        at[where] = before - step
        low = self.loss()
        at[where] = before
        return (high - low) / (2 * step)
