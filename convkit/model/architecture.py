"""A model as plain data, and back: what stands in a file beside the weights.

Nothing in it names code: a layer is looked up in `LAYERS`, and everything else is a number or a string that the layer's
constructor checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import layers
from convkit.layers.base import Layer
from convkit.layers.tensor import Input, checked_name, connect
from convkit.model.model import Model
from convkit.model.names import LayerList
from convkit.model.sequential import Sequential

__all__ = ["LAYERS", "described", "made"]

DTYPES = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
LAYERS: dict[str, type[Layer]] = {name: getattr(layers, name) for name in layers.__all__ if name not in ("Layer", "Param")}


def described(model: Model) -> dict[str, Any]:
    """What `made` makes the model of.

    Raises
    ------
    ValueError
        If the model is not built, or holds a layer that is not one of convkit's.
    """
    shape, graph, names = model.built(), model.graph, model.layers
    about = {"dtype": model.dtype.name, "layers": [_described(layer) for layer in model.layers]}
    if type(model) is Sequential:
        return {"input_shape": list(shape), **about}
    shapes = shape if model.several else [shape]
    return {
        "inputs": [{"name": name, "shape": list(s)} for name, s in zip(model.input_names, shapes, strict=True)],
        **about,
        "steps": [[names.name_of(step.layer), list(step.sources), list(step.results)] for step in graph.steps],
        "outputs": list(graph.outputs),
    }


def _described(layer: Layer) -> dict[str, Any]:
    about = {**({"name": layer.name} if layer.name else {}), **({} if layer.trainable else {"frozen": True})}
    if type(layer) in (Model, Sequential):
        return {"model": described(layer), **about}
    kind = type(layer).__name__
    if LAYERS.get(kind) is not type(layer):
        raise ValueError(f"save: {kind} is not a layer that a file can name; known are {', '.join(LAYERS)}")
    return {"layer": kind, **about, **layer.config()}


def made(about: dict[str, Any], rng: np.random.Generator) -> tuple[Model, Any]:
    """A model that is not built, and the shape to build it for; any error if the data are damaged."""
    dtype, parts = DTYPES[about["dtype"]], [_made(each, rng) for each in about["layers"]]
    if "steps" not in about:
        return Sequential(parts, rng=rng, dtype=dtype), _shape(about["input_shape"])
    by_name = dict(zip(LayerList(parts, "load").names, parts, strict=True))
    given = [Input(_shape(each["shape"]), each["name"]) for each in about["inputs"]]
    tensors = dict(enumerate(given))
    for name, sources, results in about["steps"]:
        found = connect(by_name[name], [tensors[slot] for slot in sources])
        for slot, tensor in zip(results, found if isinstance(found, tuple) else [found], strict=True):
            if type(slot) is not int or slot in tensors:
                raise ValueError(f"slot {slot!r} is filled twice, or is no number")
            tensors[slot] = tensor
    outputs = [tensors[slot] for slot in about["outputs"]]
    shapes = tuple(tensor.shape for tensor in given)
    return Model.unbuilt(given, outputs, rng, dtype), shapes if len(shapes) > 1 else shapes[0]


def _made(about: dict[str, Any], rng: np.random.Generator) -> Layer:
    arguments = dict(about)
    frozen = arguments.pop("frozen", False)
    if "model" in arguments:
        layer, _ = made(arguments["model"], rng)
        layer._name = checked_name(arguments.get("name"), "load")
    else:
        layer = LAYERS[arguments.pop("layer")](**arguments)
    if frozen:
        layer.trainable = False
    return layer


def _shape(shape: Any) -> tuple[int, ...]:
    if not (isinstance(shape, list) and all(type(n) is int for n in shape)):
        raise ValueError(f"an input's shape is {shape!r}")
    return tuple(shape)
