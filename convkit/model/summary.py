"""The table that `Model.summary` prints."""

from __future__ import annotations

import math

from convkit.layers.base import Layer, Shape

__all__ = ["table"]

HEAD = ("layer", "output shape", "parameters", "multiply-adds", "receptive field")


def table(layers: list[Layer], input_shape: Shape) -> str:
    """Lay out one line for each layer, with totals, as text in aligned columns.

    The receptive field is the patch of the input that one output can see, with stride, dilation and depth counted;
    a Dense layer sees all of it.

    Parameters
    ----------
    layers : list of Layer
    input_shape : tuple of int

    Returns
    -------
    str

    Examples
    --------
    >>> from convkit.layers import Conv2D, Dense, Flatten
    >>> from convkit.model.summary import table
    >>> print(table([Conv2D(8, 3), Flatten(), Dense(10)], (8, 8, 1)))  # doctest: +NORMALIZE_WHITESPACE
    layer    output shape  parameters  multiply-adds  receptive field
    -----------------------------------------------------------------
    input       (8, 8, 1)                                         1x1
    Conv2D      (6, 6, 8)          80          2,592              3x3
    Flatten        (288,)           0              0              3x3
    Dense           (10,)       2,890          2,880              all
    -----------------------------------------------------------------
    total                       2,970          5,472
    """
    field = _Field(len(input_shape) - 1)
    rows = [("input", str(input_shape), "", "", str(field))]
    parameters = work = 0
    shape = input_shape
    for layer in layers:
        size = sum(map(math.prod, layer.param_shapes(shape).values()))
        done = layer.multiply_adds(shape)
        shape = layer.output_shape(shape)
        field.through(layer)
        rows.append((type(layer).__name__, str(shape), f"{size:,}", f"{done:,}", str(field)))
        parameters, work = parameters + size, work + done
    return _aligned([HEAD, *rows, ("total", "", f"{parameters:,}", f"{work:,}", "")])


class _Field:
    """The receptive field as it grows: its size and the distance of two neighbours, in input positions, by axis."""

    def __init__(self, rank: int) -> None:
        self.sizes: list[int] | None = [1] * rank or None
        self.jumps = [1] * rank

    def through(self, layer: Layer) -> None:
        steps = layer.receptive_field
        if steps is None or self.sizes is None:
            self.sizes = None
            return
        for axis, (kernel, stride, dilation) in enumerate(steps):
            self.sizes[axis] += (kernel - 1) * dilation * self.jumps[axis]
            self.jumps[axis] *= stride

    def __str__(self) -> str:
        return "all" if self.sizes is None else "x".join(str(math.ceil(size)) for size in self.sizes)


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *figures in rows:
        cells = [name.ljust(widths[0]), *(figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
