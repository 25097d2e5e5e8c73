"""Names of the layers of a model: those that they were given, else their kind and a number."""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Sequence
from typing import Any

from convkit.layers.base import Layer

__all__ = ["LayerList"]


class LayerList(Sequence):
    """The layers of a model, by place, by slice and by name.

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import Conv2D, Flatten
    >>> layers = convkit.Sequential([Conv2D(8, 3), Conv2D(8, 3, name="last"), Flatten()]).layers
    >>> layers.names
    ('conv2d_1', 'last', 'flatten_1')
    >>> layers["conv2d_1"] is layers[0], "last" in layers, len(layers[1:])
    (True, True, 2)
    """

    def __init__(self, layers: Iterable[Layer], op: str) -> None:
        self._layers = list(layers)
        taken: set[str] = set()
        for layer in self._layers:
            if layer.name in taken:
                raise ValueError(f"{op}: two layers are called {layer.name!r}")
            taken |= {layer.name} - {None}
        counts: dict[str, int] = {}
        self._by_name: dict[str, Layer] = {}
        for layer in self._layers:
            name = layer.name
            while name is None or (layer.name is None and name in taken):
                kind = _snake(type(layer).__name__)
                counts[kind] = counts.get(kind, 0) + 1
                name = f"{kind}_{counts[kind]}"
            self._by_name[name] = layer
        self._name_of = {layer: name for name, layer in self._by_name.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Each layer's name."""
        return tuple(self._by_name)

    def items(self) -> ItemsView[str, Layer]:
        """Pairs of name and layer."""
        return self._by_name.items()

    def name_of(self, layer: Layer) -> str:
        """The name of one of the layers."""
        return self._name_of[layer]

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            if which not in self._by_name:
                raise KeyError(f"no layer is called {which!r}; there are {', '.join(self._by_name)}")
            return self._by_name[which]
        return self._layers[which]

    def __len__(self) -> int:
        return len(self._layers)

    def __contains__(self, which: Any) -> bool:
        return which in self._by_name if isinstance(which, str) else any(which is layer for layer in self._layers)

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self._layers))}]"


def _snake(name: str) -> str:
    """BatchNorm as batch_norm, Conv2D as conv2d."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()
