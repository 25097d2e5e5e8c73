"""What a finished training run leaves behind: the model, its history and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convkit.apps.run_folder import HISTORY_FILE, MODEL_FILE, Classes, list_files, write_classes, write_json

if TYPE_CHECKING:
    from convkit.callbacks import History
    from convkit.model import Sequential

FILES = (
    (MODEL_FILE, "the trained model"),
    ("classes.json", "its class names and image size, read by convkit predict"),
    (HISTORY_FILE, "loss and accuracy of every epoch"),
)
PICTURES = (
    ("curves.png", "loss and accuracy over the epochs"),
    ("confusion.png", "which class was taken for which"),
    ("mistakes.png", "the held-out images it got wrong"),
    ("filters.png", "the filters of the first layer"),
    ("journey.png", "one image's way through the network"),
)


def write_model(folder: Path, model: Sequential, classes: Classes, history: History) -> None:
    """Write the model, what its outputs mean, and the history."""
    model.save(folder / MODEL_FILE)
    write_classes(folder, classes)
    write_json(folder / HISTORY_FILE, history.history)


def write_pictures(
    folder: Path,
    model: Sequential,
    classes: Classes,
    history: History,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    example: int,
) -> None:
    """Draw and save the five pictures of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    model, classes, history
        What was trained, what its outputs mean, and how it went.
    images : float32 ndarray of shape (N, H, W, C)
        Held-out images, values from 0 to 1.
    labels : int64 ndarray of shape (N,)
        Their classes.
    probabilities : float ndarray of shape (N, K)
        What the model gave each class.
    example : int
        The image whose way through the network is drawn.
    """
    from convkit import viz

    names = classes.classes
    first = next(param.value for param in model.params.values() if param.value.ndim == 4)
    steps = activations(model, images[example])
    figures = (
        viz.curves(history.history),
        viz.confusion(labels, probabilities.argmax(axis=1), names),
        viz.mistakes(images, labels, probabilities, names),
        viz.filters(first),
        viz.journey(images[example], steps, probabilities[example], names, label=int(labels[example])),
    )
    for (name, _), figure in zip(PICTURES, figures, strict=True):
        viz.save(figure, folder / name)


def activations(model: Sequential, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Run one image through a model and keep what comes out of each layer that gives maps.

    Parameters
    ----------
    model : Sequential
        A built model.
    image : ndarray of shape (H, W, C)
        One input.

    Returns
    -------
    list of (str, ndarray of shape (h, w, maps))
        Each layer's name and result, up to the first layer whose result is not an image.
    """
    steps = []
    for name, y in model.activations(image[np.newaxis]):
        if y.ndim != 4:
            break
        steps.append((type(model.layers[name]).__name__, y[0]))
    return steps


def closing(folder: Path, extra: tuple[tuple[str, str], ...], commands: tuple[tuple[str, str], ...]) -> str:
    """The last lines of a run: what was written where, and what to type next."""
    lines = [f"Written to {folder}", list_files(folder, FILES + PICTURES + extra), "", "Try next"]
    for command, why in commands:
        lines += [f"  {command}", f"      {why}"]
    return "\n".join(lines)


def verdict(labels: np.ndarray, probabilities: np.ndarray, seconds: float) -> str:
    """One line: how many held-out images were right, and how long it took to learn."""
    right, total = int((probabilities.argmax(axis=1) == labels).sum()), len(labels)
    return f"{100 * right / total:.2f} % of the held-out images are right ({right} of {total:,}), learnt in {seconds:.1f} s."
