"""What every picture shares: colours, a figure outside pyplot's global state, and saving."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, QUIET, LINE = "#222222", "#6B6B6B", "#D9D9D9"
DOTS_PER_INCH = 150


def new_figure(width: float, height: float, title: str, subtitle: str = "") -> Figure:
    """Make an empty figure of this many inches with a left-aligned title and a quieter line under it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('convkit.viz needs matplotlib; run pip install "convkit-numpy[demo]"') from error
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    write(figure, 0.15, title, fontsize=14, weight="bold")
    write(figure, 0.47, subtitle, fontsize=9.5, color=QUIET)
    return figure


def write(figure: Figure, top: float, text: str, **how: Any) -> None:
    """Write at the left margin, this many inches from the top; a dollar sign is a dollar sign."""
    width, height = figure.get_size_inches()
    how = {"ha": "left", "va": "top", "color": INK, "parse_math": False} | how
    figure.text(0.25 / width, 1 - top / height, text, **how)


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the figure's top left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def short(name: object, most: int) -> str:
    """A name with its end cut off where it would run into its neighbour."""
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def show_pixels(axes: Axes, image: np.ndarray, **how: Any) -> Any:
    """Draw an image of shape (H, W), (H, W, 1) or (H, W, 3) without ticks, in a thin frame."""
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    drawn = axes.imshow(image, interpolation="nearest", aspect="equal", **how)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(color=LINE, linewidth=0.8)
    return drawn


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a file; the suffix chooses the format (.png, .svg, .pdf).

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        A figure that a function of this package returned, or any other.
    path : path
        Where to write it; an existing file is replaced.

    Examples
    --------
    >>> import io
    >>> from convkit import viz
    >>> file = io.BytesIO()
    >>> viz.save(viz.curves({"loss": [2.0, 1.0], "accuracy": [0.5, 0.9]}), file)
    >>> file.getvalue()[1:4]
    b'PNG'
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks is drawn as boxes
        figure.savefig(path)
