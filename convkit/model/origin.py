"""Where a loss that is not finite began: in the data, in the weights, in a layer, or in the loss itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["origin"]


def origin(model: Any, x: Any, y: Any) -> str:
    """Say where numbers stop being finite, by running the batch once more and looking at every layer.

    Parameters
    ----------
    model : the model, whose weights are those of the step
    x, y : the batch

    Returns
    -------
    str
        The end of a sentence that begins with "the loss is nan: ".
    """
    for name, given in (("x", x), ("y", y)):
        for array in given if isinstance(given, tuple) else (given,):
            if not _finite(array):
                rows = [i for i, row in enumerate(array) if not _finite(row)]
                return f"{name} holds numbers that are not finite, in {len(rows)} of the {len(array)} samples of this batch"
    for name, param in model.params.items():
        if not _finite(param.value):
            return f"the weights {name} are not finite since an earlier step; try a smaller learning rate, or clip gradients"
    with _watched(model) as found, np.errstate(all="ignore"):
        model.forward(x, training=True)
    if found:
        return f"it began in {found[0]}, whose inputs and weights are finite; try a smaller learning rate"
    return "the outputs of the model are finite, so it began in the loss; look at the targets"


@contextlib.contextmanager
def _watched(model: Any) -> Iterator[list[str]]:
    """Note, in the order of the forward pass, which layers give something that is not finite."""
    found: list[str] = []

    def watch(name: str, layer: Any) -> None:
        forward = layer.forward

        def told(*args: Any, **how: Any) -> Any:
            y, backward = forward(*args, **how)
            if not all(map(_finite, y if isinstance(y, tuple) else (y,))):
                found.append(f"layer {name} ({layer!r})")
            return y, backward

        layer.forward = told

    layers = {id(layer): (name, layer) for name, layer in model.leaves()}  # each once, though two models may share it
    for name, layer in layers.values():
        watch(name, layer)
    try:
        yield found
    finally:
        for _, layer in layers.values():
            del layer.forward


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
