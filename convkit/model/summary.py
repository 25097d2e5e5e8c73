"""The table that `Model.summary` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer, Shape

if TYPE_CHECKING:
    from convkit.model.graph import Graph
    from convkit.model.network import Network

__all__ = ["receptive_field", "table"]

HEAD = ("layer", "output shape", "memory", "parameters", "multiply-adds", "receptive field", "stride", "reads")


def table(model: Network, input_shape: Any) -> str:
    """Lay out one line for each use of a layer, with totals, as text in aligned columns.

    Memory is that of the layer's output for one sample. The receptive field is the patch of the input that one output can see,
    with stride, dilation and depth counted; a Dense layer sees all of it. The stride is the distance of two neighbours in
    pixels of the input. Parameters of a shared layer count where it is first used.

    Parameters
    ----------
    model : Network
    input_shape : tuple of int, or tuple of such tuples

    Returns
    -------
    str

    Examples
    --------
    >>> import convkit
    >>> from convkit.layers import Conv2D, Dense, Flatten
    >>> from convkit.model.summary import table
    >>> model = convkit.Sequential([Conv2D(8, 3), Flatten(), Dense(10)], input_shape=(8, 8, 1))
    >>> print(table(model, (8, 8, 1)))  # doctest: +NORMALIZE_WHITESPACE
    layer      output shape   memory  parameters  multiply-adds  receptive field  stride
    ------------------------------------------------------------------------------------
    input         (8, 8, 1)    256 B                                         1x1     1x1
    conv2d_1      (6, 6, 8)  1.1 KiB          80          2,592              3x3     1x1
    flatten_1        (288,)  1.1 KiB           0              0              3x3     1x1
    dense_1           (10,)     40 B       2,890          2,880              all
    ------------------------------------------------------------------------------------
    total                    2.5 KiB       2,970          5,472
    2,970 parameters are trained.
    """
    graph, names = model.graph, model.layers
    shapes = model._by_slot(input_shape)
    inputs = input_shape if model.several else [input_shape]
    fields = {slot: _Field(len(shape) - 1) for slot, shape in zip(graph.inputs, inputs, strict=True)}
    told = dict(zip(graph.inputs, model.input_names, strict=True))
    rows, counted, work, memory = [], set(), 0, 0
    for slot in graph.inputs:
        rows.append((told[slot], str(shapes[slot]), _bytes(model, shapes[slot]), "", "", *fields[slot].words, ""))
        memory += math.prod(shapes[slot])
    before = graph.inputs
    for step in graph.steps:
        name, given = names.name_of(step.layer), [shapes[slot] for slot in step.sources]
        given = tuple(given) if step.layer.several else given[0]
        size = math.prod if id(step.layer) not in counted else None
        parameters = f"{sum(map(size, _trained(step.layer, given).values())):,}" if size else "shared"
        counted.add(id(step.layer))
        done = step.layer.multiply_adds(given)
        field = _merged([fields[slot] for slot in step.sources]).through(step.layer)
        fields.update(dict.fromkeys(step.results, field))
        told.update(dict.fromkeys(step.results, name))
        reads = ", ".join(told[slot] for slot in step.sources) if step.sources != tuple(before) else ""
        made = [shapes[slot] for slot in step.results]
        rows.append((_label(name, step.layer), ", ".join(map(str, made)), _bytes(model, *made), parameters, f"{done:,}",
                     *field.words, reads))  # fmt: skip
        work, memory, before = work + done, memory + sum(map(math.prod, made)), step.results
    total, frozen = model.count_params(), model.count_params() - sum(p.value.size for p in model.learning.values())
    columns = len(HEAD) - (not any(row[-1] for row in rows))
    last = ("total", "", _size(memory * model.dtype.itemsize), f"{total:,}", f"{work:,}", "", "", "")
    closing = f"{total - frozen:,} parameters are trained" + (f", {frozen:,} are frozen." if frozen else ".")
    return _aligned([row[:columns] for row in (HEAD, *rows, last)]) + "\n" + closing


def receptive_field(graph: Graph) -> tuple[tuple[Any, Any, int], ...] | None:
    """(kernel, stride, dilation) of each axis of one layer that sees what the graph does, as `Layer.receptive_field`."""
    fields = dict.fromkeys(graph.inputs, _Field(0))
    for step in graph.steps:
        fields.update(dict.fromkeys(step.results, _merged([fields[slot] for slot in step.sources]).through(step.layer)))
    field = _merged([fields[slot] for slot in graph.outputs])
    return None if field.sizes is None else tuple((size, jump, 1) for size, jump in zip(field.sizes, field.jumps, strict=True))


class _Field:
    """The receptive field: its size and the distance of two neighbours, in input positions, by axis; no sizes if it is all."""

    def __init__(self, rank: int) -> None:
        self.sizes: list[Any] | None = [1] * rank
        self.jumps: list[Any] = [1] * rank

    def through(self, layer: Layer) -> _Field:
        """What one output of the layer sees."""
        steps, new = layer.receptive_field, _Field(0)
        if steps is None or self.sizes is None:
            new.sizes = None
            return new
        rank = max(len(steps), len(self.sizes))
        steps = [*steps, *[(1, 1, 1)] * (rank - len(steps))]
        sizes, jumps = (old + [1] * (rank - len(old)) for old in (self.sizes, self.jumps))
        new.sizes = [size + (kernel - 1) * dilation * jump
                     for size, jump, (kernel, _, dilation) in zip(sizes, jumps, steps, strict=True)]  # fmt: skip
        new.jumps = [jump * stride for jump, (_, stride, _) in zip(jumps, steps, strict=True)]
        return new

    @property
    def words(self) -> tuple[str, str]:
        if self.sizes is None:
            return "all", ""
        return "x".join(str(math.ceil(size)) for size in self.sizes), "x".join(map(str, self.jumps))


def _merged(fields: list[_Field]) -> _Field:
    """What sees as much as any of them, each centred."""
    if len(fields) == 1:
        return fields[0]
    new = _Field(0)
    if any(field.sizes is None for field in fields):
        new.sizes = None
        return new
    rank = max(len(field.sizes) for field in fields)
    new.sizes, new.jumps = (
        [max(each) for each in zip(*(a + [1] * (rank - len(a)) for a in lists), strict=True)]
        for lists in ([field.sizes for field in fields], [field.jumps for field in fields])
    )
    return new


def _trained(layer: Layer, shape: Shape) -> dict[str, Shape]:
    return {name: param.value.shape for name, param in layer.params.items()} if layer.is_model else layer.param_shapes(shape)


def _label(name: str, layer: Layer) -> str:
    """The name, and the kind of layer where it does not say it."""
    kind = type(layer).__name__
    return name if name.replace("_", "").startswith(kind.lower()) else f"{name} ({kind})"


def _bytes(model: Network, *shapes: Shape) -> str:
    return _size(sum(map(math.prod, shapes)) * model.dtype.itemsize)


def _size(count: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *figures in rows:
        cells = [name.ljust(widths[0]), *(figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
