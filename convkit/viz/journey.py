"""One image's way through a network: the input, every activation map, the class probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convkit.viz.style import BLUE, DOTS_PER_INCH, INK, LINE, ORANGE, QUIET, new_figure, place, short, show_pixels, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TILE, GAP, ACROSS = 0.52, 0.05, 16  # inches, inches, maps in a row
LABEL = 1.75  # inches for the text on the left
INPUT = 1.3  # inches, the side of the input image
BARS = 1.3  # inches, the height of the bars of the probabilities
BETWEEN = 0.24  # inches from one step to the next
LARGEST_DRAWN = 64  # maps of a step
LARGEST_NAMED = 12  # bars: with more classes only the likeliest are drawn


def journey(
    image: np.ndarray,
    steps: Sequence[tuple[str, np.ndarray]],
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    label: int | None = None,
) -> Figure:
    """Draw one image's way through a network.

    Parameters
    ----------
    image : ndarray of shape (H, W, C)
        The input, grey (C = 1) or RGB (C = 3).
    steps : sequence of (str, ndarray of shape (h, w, maps))
        The name of each layer that keeps an image's form, and what came out of it. All maps of a step share
        one scale, symmetric about zero: orange is positive, purple negative, pale zero.
    probabilities : float ndarray of shape (K,)
        What the network gave each class.
    classes : sequence of str of length K
        The names of the classes.
    label : int, optional
        The true class, for the title.

    Returns
    -------
    matplotlib.figure.Figure
        The input at the top, one block per step below it, the probabilities at the bottom.

    Raises
    ------
    ValueError
        If a step is not 3-D, or probabilities and classes differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit import viz
    >>> steps = [("Conv2D", np.ones((8, 8, 4)))]
    >>> figure = viz.journey(np.ones((8, 8, 1)), steps, np.array([0.2, 0.8]), ["cat", "dog"])
    >>> len(figure.axes)                                  # the input, the maps, the bars
    3
    """
    if probabilities.shape != (len(classes),):
        raise ValueError(f"journey: {len(classes)} classes need probabilities ({len(classes)},), got {probabilities.shape}")
    for name, maps in steps:
        if maps.ndim != 3 or not maps.size:
            raise ValueError(f"journey: the maps of {name} must be 3-D (h, w, maps) and not empty, got {maps.shape}")
    heights = [_height(maps) for _, maps in steps]
    best = int(probabilities.argmax())
    told = f"read as {classes[best]} with {100 * probabilities[best]:.1f} %"
    subtitle = told if label is None else f"A true {classes[label]}, {told}"
    figure = new_figure(
        LABEL + ACROSS * (TILE + GAP) + 0.3,
        0.85 + INPUT + BETWEEN + sum(heights) + BETWEEN * len(heights) + BARS + 0.6,
        "One image's way through the network",
        subtitle + ".  Orange is positive, purple negative, pale zero; each step has its own scale.",
    )
    _input(figure, image)
    top = 0.85 + INPUT + BETWEEN
    for (name, maps), height in zip(steps, heights, strict=True):
        _step(figure, top, name, maps)
        top += height + BETWEEN
    _probabilities(figure, top, probabilities, classes)
    return figure


def _height(maps: np.ndarray) -> float:
    """Height in inches of a step's block."""
    return math.ceil(min(maps.shape[-1], LARGEST_DRAWN) / ACROSS) * (TILE + GAP)


def _input(figure: Figure, image: np.ndarray) -> None:
    _caption(figure, 0.85, "Input", _size(image))
    image = image / 255 if image.dtype == np.uint8 and image.shape[-1] == 3 else image
    show_pixels(place(figure, LABEL, 0.85, INPUT, INPUT), image, cmap="gray_r")


def _step(figure: Figure, top: float, name: str, maps: np.ndarray) -> None:
    count = maps.shape[-1]
    more = f"\nfirst {LARGEST_DRAWN} shown" if count > LARGEST_DRAWN else ""
    _caption(figure, top, name, f"{count} map{'s' * (count != 1)} of {_size(maps)}{more}")
    finite = np.where(np.isfinite(maps), maps, 0)
    limit = float(np.abs(finite).max()) or 1.0
    axes = place(figure, LABEL, top, ACROSS * (TILE + GAP), _height(maps))
    _mosaic(axes, maps[..., :LARGEST_DRAWN], limit)


def _mosaic(axes: Axes, maps: np.ndarray, limit: float) -> None:
    """Draw maps side by side, `ACROSS` in a row, each in a thin frame.

    They are laid on one canvas of the figure's own resolution first: hundreds of small images take seconds to draw.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    tile, step = round(TILE * DOTS_PER_INCH), round((TILE + GAP) * DOTS_PER_INCH)
    height, width, count = maps.shape
    rows, columns = np.arange(tile) * height // tile, np.arange(tile) * width // tile
    corners = [(i // ACROSS * step, i % ACROSS * step) for i in range(count)]
    canvas = np.full((math.ceil(count / ACROSS) * step, ACROSS * step), np.nan, np.float32)  # NaN is not drawn
    for i, (top, left) in enumerate(corners):
        canvas[top : top + tile, left : left + tile] = maps[rows[:, None], columns, i]
    axes.imshow(canvas, interpolation="nearest", aspect="auto", cmap="PuOr_r", vmin=-limit, vmax=limit)
    frames = [Rectangle((left, top), tile - 1, tile - 1) for top, left in corners]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=LINE, linewidth=0.8))
    axes.set_axis_off()


def _probabilities(figure: Figure, top: float, probabilities: np.ndarray, classes: Sequence[str]) -> None:
    shown = np.arange(len(classes))
    if len(classes) > LARGEST_NAMED:
        shown = np.sort(np.argsort(probabilities)[-LARGEST_NAMED:])
    _caption(figure, top, "Probabilities", "%" if len(shown) == len(classes) else f"%, the {LARGEST_NAMED} likeliest")
    share = 100 * probabilities[shown]
    axes = place(figure, LABEL, top + 0.15, ACROSS * (TILE + GAP) - GAP, BARS - 0.15)
    colours = np.where(shown == probabilities.argmax(), ORANGE, BLUE)
    axes.bar(range(len(shown)), share, color=colours, width=0.7)
    for x, value in enumerate(share):
        text = f"{value:.1f}" if value >= 0.05 else "0"
        axes.text(x, value + 2, text, ha="center", va="bottom", fontsize=9, color=INK if value >= 0.05 else QUIET)
    axes.set_ylim(0, 112)
    axes.set_yticks([])
    axes.set_xticks(range(len(shown)), [short(classes[i], 9) for i in shown], parse_math=False)
    axes.tick_params(length=0, labelsize=11, colors=INK)
    for name, side in axes.spines.items():
        side.set(visible=name == "bottom", color=LINE)


def _caption(figure: Figure, top: float, name: str, detail: str) -> None:
    write(figure, top + 0.02, name, fontsize=11, weight="bold")
    write(figure, top + 0.24, detail, fontsize=8.5, color=QUIET)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"
