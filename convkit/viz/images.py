"""Pictures of the images a network got wrong, and of its filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convkit.viz.style import GREEN, INK, ORANGE, QUIET, new_figure, place, short, show_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *, most: int = 12
) -> Figure:
    """Draw the images that were predicted wrongly, the most confident mistake first.

    When there are fewer than ``most``, the right ones that were closest to a mistake follow.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        Grey (C = 1) or RGB (C = 3); grey ones are drawn from their lowest to their highest value.
    labels : int ndarray of shape (N,)
        The true classes.
    probabilities : float ndarray of shape (N, K)
        What the network gave each class.
    classes : sequence of str of length K
        The names of the classes.
    most : int
        How many images to draw at most.

    Returns
    -------
    matplotlib.figure.Figure
        A grid of images; under each the true class, the predicted class and its probability.

    Raises
    ------
    ValueError
        If there are no images, or the arrays' lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit import viz
    >>> images, labels = np.zeros((2, 8, 8, 1)), np.array([0, 1])
    >>> figure = viz.mistakes(images, labels, np.array([[0.9, 0.1], [0.7, 0.3]]), ["cat", "dog"])
    >>> len(figure.axes)
    2
    """
    if not len(images) or not len(images) == len(labels) == len(probabilities):
        got = f"{len(images)} images, {len(labels)} labels, {len(probabilities)} rows of probabilities"
        raise ValueError(f"mistakes: wanted as many of each and at least one, got {got}")
    predicted = probabilities.argmax(axis=1)
    true_share = probabilities[np.arange(len(labels)), labels]
    wrong = predicted != labels
    # Wrong ones before right ones; within each, the true class's probability rises.
    chosen = np.lexsort((true_share, ~wrong))[:most]
    count = int(wrong.sum())
    title = "The mistakes" if count else "No mistakes"
    figure, spots = _grid(len(chosen), 1.35, 0.62, title, _mistakes_subtitle(count, len(chosen), len(images)))
    for index, (left, top) in zip(chosen, spots, strict=True):
        axes = place(figure, left, top, 1.35, 1.35)
        image = images[index]
        show_pixels(axes, image / 255 if image.shape[-1] == 3 and image.dtype == np.uint8 else image, cmap="gray_r")
        colour = ORANGE if wrong[index] else GREEN
        share = 100 * probabilities[index, predicted[index]]
        taken = f"taken for {short(classes[predicted[index]], 8)}" if wrong[index] else "right"
        true = f"true {short(classes[labels[index]], 14)}"
        for height, text, shade in ((-0.05, true, INK), (-0.21, f"{taken}, {share:.0f} %", colour)):
            how = {"ha": "center", "va": "top", "color": shade, "parse_math": False}
            axes.text(0.5, height, text, transform=axes.transAxes, **how)
        for side in axes.spines.values():
            side.set(color=colour, linewidth=2)
    return figure


def _mistakes_subtitle(count: int, drawn: int, total: int) -> str:
    if count > drawn:
        return f"{count} of {total:,} held-out images are wrong; the {drawn} furthest from right are shown"
    if drawn > count:
        wrong = f"{count} of {total:,} held-out images {'is' if count == 1 else 'are'} wrong (orange)"
        return f"{wrong}; the closest calls follow (green)"
    return f"{count} of {total:,} held-out images"


def filters(weights: np.ndarray, *, title: str = "What the first layer looks for", most: int = 64) -> Figure:
    """Draw the filters of a convolution, all on one scale that is symmetric about zero.

    Parameters
    ----------
    weights : float ndarray of shape (O, kh, kw, I)
        Filters, channels last. With several input channels their mean is drawn.
    title : str
        The picture's title.
    most : int
        How many filters to draw at most.

    Returns
    -------
    matplotlib.figure.Figure
        A grid of filters: orange is positive, purple negative.

    Raises
    ------
    ValueError
        If ``weights`` is not 4-D or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit import viz
    >>> len(viz.filters(np.ones((6, 3, 3, 1))).axes)      # six filters and the scale
    7
    """
    weights = np.asarray(weights)
    if weights.ndim != 4 or not weights.size:
        raise ValueError(f"filters: weights must be 4-D (O, kh, kw, I) and not empty, got {weights.shape}")
    shown = weights[:most].mean(axis=-1)
    limit = float(np.abs(shown).max()) or 1.0
    rows, columns = weights.shape[1:3]
    detail = f"{len(weights)} filters of {rows} x {columns}"
    detail += f" (mean of {weights.shape[3]} channels)" if weights.shape[3] > 1 else ""
    detail += f", the first {most} shown" if len(weights) > most else ""
    figure, spots = _grid(len(shown), 0.85, 0.12, title, detail, columns=8, right=0.95)
    for image, (left, top) in zip(shown, spots, strict=True):
        drawn = show_pixels(place(figure, left, top, 0.85, 0.85), image, cmap="PuOr_r", vmin=-limit, vmax=limit)
    _scale(figure, drawn)
    return figure


def _scale(figure: Figure, drawn: object) -> None:
    width, height = figure.get_size_inches()
    bar = figure.colorbar(drawn, cax=place(figure, width - 0.85, 0.9, 0.14, height - 1.15))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=QUIET, length=0)
    bar.ax.set_title("weight", fontsize=9, color=INK)


def _grid(
    count: int, tile: float, under: float, title: str, subtitle: str, *, columns: int = 6, right: float = 0.0
) -> tuple[Figure, list[tuple[float, float]]]:
    """Make a figure for a grid of square tiles, and list each tile's place in inches."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    step = tile + (0.3 if under > 0.3 else 0.12)
    width = max(0.5 + columns * step + right, 6.4)
    figure = new_figure(width, 1.0 + rows * (tile + under), title, subtitle)
    spots = [(0.25 + (i % columns) * step, 0.85 + (i // columns) * (tile + under)) for i in range(count)]
    return figure, spots
