"""Training curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from convkit.viz.style import BLUE, INK, LINE, ORANGE, QUIET, new_figure, place, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_ANNOTATED = 30  # classes: with more, the counts no longer fit their cells


def curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and accuracy over the epochs, for training and for held-out images.

    Parameters
    ----------
    history : mapping of str to sequence of float
        ``loss`` and ``accuracy``, and where there are any ``val_loss`` and ``val_accuracy``; one value per epoch.
        This is what ``History.history`` holds.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels: loss (logarithmic) and accuracy in per cent.

    Raises
    ------
    ValueError
        If ``loss`` or ``accuracy`` is missing or empty.

    Examples
    --------
    >>> from convkit import viz
    >>> figure = viz.curves({"loss": [2.0, 1.0], "accuracy": [0.5, 0.9]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['cross-entropy, nats', 'accuracy, %']
    """
    for name in ("loss", "accuracy"):
        if not len(history.get(name, ())):
            raise ValueError(f"curves: history needs at least one value of {name!r}, got keys {sorted(history)}")
    epochs = len(history["loss"])
    seconds = sum(history.get("seconds", ()))
    subtitle = f"{epochs} epoch{'s' * (epochs != 1)}" + (f", {seconds:.1f} s" if seconds else "")
    figure = new_figure(9.6, 4.3, "Learning", subtitle)
    for left, key, label, scale in ((0.75, "loss", "cross-entropy, nats", 1), (5.5, "accuracy", "accuracy, %", 100)):
        axes = place(figure, left, 0.95, 3.4, 2.75)
        lines = [(BLUE, "-", "training", history[key])]
        if history.get(f"val_{key}"):
            lines.append((ORANGE, "--", "held out", history[f"val_{key}"]))
        lines.sort(key=lambda line: line[3][-1])
        for position, line in enumerate(lines):
            # The end values are written below the lower line and above the upper one, so that they never overlap.
            _curve(axes, scale, *line, lift=0 if len(lines) == 1 else 12 * position - 6)
        _dress(axes, label, epochs)
    loss, accuracy = figure.axes
    if min(*history["loss"], *history.get("val_loss", ()), np.inf) > 0:
        loss.set_yscale("log")
        loss.yaxis.set_major_formatter("{x:g}")
    accuracy.set_ylim(top=100.5)
    accuracy.legend(loc="lower right", frameon=False, fontsize=10, labelcolor=INK)
    return figure


def _curve(axes: Axes, scale: float, colour: str, dash: str, label: str, values: Sequence[float], *, lift: float) -> None:
    epochs = np.arange(1, len(values) + 1)
    values = scale * np.asarray(values, float)
    dots = 4 if len(values) <= 40 else 0
    axes.plot(epochs, values, dash, color=colour, linewidth=2, marker="o", markersize=dots, label=label)
    last = f"{values[-1]:.1f} %" if scale == 100 else f"{values[-1]:.3f}"
    end = (epochs[-1], values[-1])
    axes.annotate(last, end, (7, lift), textcoords="offset points", va="center", color=colour, fontsize=10)


def _dress(axes: Axes, label: str, epochs: int) -> None:
    axes.set_xlabel("epoch", color=INK, fontsize=10)
    axes.set_ylabel(label, color=INK, fontsize=10)
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9, length=0, which="both")
    for name, side in axes.spines.items():
        side.set(visible=name == "bottom", color=QUIET)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw how many images of each class were taken for each class.

    Parameters
    ----------
    labels : int ndarray of shape (N,)
        The true classes.
    predicted : int ndarray of shape (N,)
        The predicted classes.
    classes : sequence of str
        The names of the classes 0, 1, ...

    Returns
    -------
    matplotlib.figure.Figure
        A row per true class and a column per predicted class: right ones blue, mistakes orange.

    Raises
    ------
    ValueError
        If there are no images, the lengths differ, or a class has no name.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit import viz
    >>> figure = viz.confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '1', '1']
    """
    counts = _count(np.asarray(labels), np.asarray(predicted), len(classes))
    right, total = int(np.trace(counts)), int(counts.sum())
    cell = 0.48 if len(classes) <= LARGEST_ANNOTATED else max(0.09, 14 / len(classes))
    classes = [short(name, 24) for name in classes]
    names = 0.35 + 0.085 * max(map(len, classes))
    side = max(cell * len(classes), 2.4)
    title = "Which class was taken for which"
    wrong = f"{total - right} mistake{'s' * (total - right != 1)} in {total:,} images ({100 * right / total:.2f} % right)"
    figure = new_figure(max(side + names + 0.75, 5.2), side + names + 1.35, title, wrong)
    axes = place(figure, names + 0.35, 0.85, side, side)
    _heat(axes, counts)
    axes.set_xlabel("predicted", color=INK, fontsize=11)
    axes.set_ylabel("true", color=INK, fontsize=11)
    if len(classes) <= LARGEST_ANNOTATED:
        long = max(map(len, classes)) > 3
        axes.set_xticks(range(len(classes)), classes, rotation=90 if long else 0, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
    return figure


def _count(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    if labels.ndim != 1 or labels.shape != predicted.shape or not labels.size:
        got = f"{labels.shape} and {predicted.shape}"
        raise ValueError(f"confusion: labels and predicted must be 1-D, equally long and not empty, got {got}")
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(f"confusion: {name} hold {values.min()} to {values.max()}, but there are {classes} classes")
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def _heat(axes: Axes, counts: np.ndarray) -> None:
    """Blue for right, orange for wrong, each stronger with its share of the true class."""
    from matplotlib.colors import to_rgb

    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(counts), dtype=bool)
    # One mistake must be seen, so that any count that is not zero starts at a fifth of the full colour.
    depth = np.where(counts > 0, 0.2 + 0.8 * np.where(diagonal, share**2, np.minimum(4 * share, 1)), 0)[..., None]
    full = np.where(diagonal[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    empty = np.array(to_rgb("#F6F6F6"))
    axes.imshow(empty + depth * (full - empty), interpolation="nearest")
    axes.set_xticks(np.arange(-0.5, len(counts)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(counts)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5 if len(counts) <= LARGEST_ANNOTATED else 0.4)
    axes.tick_params(which="both", length=0, labelsize=10, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    if len(counts) > LARGEST_ANNOTATED:
        return
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if depth[row, column, 0] > 0.55 else INK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=10)
