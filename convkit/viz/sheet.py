"""Several figures in one picture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_sheet(rows: Sequence[Sequence[Figure]], path: str | os.PathLike[str]) -> None:
    """Write figures to one PNG file, side by side and below each other.

    Parameters
    ----------
    rows : sequence of sequences of matplotlib.figure.Figure
        The figures of each row.
    path : path, or file object
        An existing file is replaced.

    Examples
    --------
    >>> import io
    >>> from convkit import viz
    >>> history = {"loss": [2.0, 1.0], "accuracy": [0.5, 0.9]}
    >>> file = io.BytesIO()
    >>> viz.save_sheet([[viz.curves(history)], [viz.curves(history)]], file)
    >>> file.getvalue()[1:4]
    b'PNG'
    """
    from matplotlib.image import imsave

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # as in `save`
        lines = [_joined([_drawn(figure) for figure in row], 0) for row in rows]
    imsave(path, _joined(lines, 1), format="png")


def _drawn(figure: Figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def _joined(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures in a row (axis 0: filled up with white below), or in a column (axis 1: to the right)."""
    size = max(picture.shape[axis] for picture in pictures)
    even = []
    for picture in pictures:
        room = [(0, 0)] * 3
        room[axis] = (0, size - picture.shape[axis])
        even.append(np.pad(picture, room, constant_values=255))
    return np.ascontiguousarray(np.concatenate(even, axis=1 - axis))
