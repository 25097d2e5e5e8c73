"""What a finished training run leaves behind: the model, its history and the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.apps.run_folder import HISTORY_FILE, MODEL_FILE, RESULT_FILE, Classes, list_files, write_classes, write_json

if TYPE_CHECKING:
    from convkit.callbacks import History
    from convkit.data import Dataset
    from convkit.model import Model

FILES = (
    (MODEL_FILE, "the trained model"),
    ("classes.json", "its class names and image size, read by convkit predict"),
    (HISTORY_FILE, "loss and accuracy of every epoch"),
    (RESULT_FILE, "how good it is, on the whole and class by class"),
)
PICTURES = (
    ("summary.png", "curves, confusion and mistakes on one sheet"),
    ("curves.png", "loss and accuracy over the epochs"),
    ("confusion.png", "which class was taken for which"),
    ("mistakes.png", "the held-out images it got wrong"),
    ("filters.png", "the filters of the first layer"),
    ("journey.png", "one image's way through the network"),
)


MOST_STEPS = 14  # of a deep network, whose way would be metres long


class Images:
    """The images of a data set by number, read when they are asked for."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.dataset.batch([number])[0][0]


def write_model(folder: Path, model: Model, classes: Classes, history: History) -> None:
    """Write the model, what its outputs mean, and the history."""
    model.save(folder / MODEL_FILE)
    write_classes(folder, classes)
    write_json(folder / HISTORY_FILE, history.history)


def write_result(
    folder: Path, model: Model, classes: Classes, labels: np.ndarray, probabilities: np.ndarray, **more: Any
) -> None:  # fmt: skip
    """Write how good the model is on held-out images, and more figures."""
    predicted, names = probabilities.argmax(axis=1), classes.classes
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    of_class = {
        name: {"images": int(counts[i].sum()), "right": int(counts[i, i]), "named": int(counts[:, i].sum())}
        for i, name in enumerate(names)
    }
    result = {
        "accuracy": float((predicted == labels).mean()),
        "images": len(labels),
        "parameters": model.count_params(),
        **more,
        "classes": of_class,
        "confusion": counts.tolist(),
    }
    write_json(folder / RESULT_FILE, result)


def write_pictures(
    folder: Path,
    model: Model,
    classes: Classes,
    history: History,
    held: Dataset,
    probabilities: np.ndarray,
    *,
    example: int,
) -> None:
    """Draw and save the pictures of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    model, classes, history
        What was trained, what its outputs mean, and how it went.
    held : Dataset
        Held-out images, of uint8, with their classes.
    probabilities : float ndarray of shape (N, K)
        What the model gave each class.
    example : int
        The image whose way through the network is drawn.
    """
    from convkit import viz

    names, labels, images = classes.classes, held.targets, Images(held)
    first = next(param.value for param in model.params.values() if param.value.ndim == 4)
    steps = activations(model, images[example])

    curves, mistakes = viz.curves(history.history), viz.mistakes(images, labels, probabilities, names)
    confusion = viz.confusion(labels, probabilities.argmax(axis=1), names)
    way = viz.journey(images[example], steps, probabilities[example], names, label=int(labels[example]))
    viz.save_sheet([[curves], [confusion, mistakes]], folder / PICTURES[0][0])
    for (name, _), figure in zip(PICTURES[1:], (curves, confusion, mistakes, viz.filters(first), way), strict=True):
        viz.save(figure, folder / name)


def activations(model: Model, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Run one image through a model and keep what comes out of each layer that gives maps.

    Parameters
    ----------
    model : Model
        A built model.
    image : ndarray of shape (H, W, C)
        One input.

    Returns
    -------
    list of (str, ndarray of shape (h, w, maps))
        Each layer's name and result, up to the first layer whose result is not an image; of a deep network some of them,
        evenly spread.
    """
    steps = []
    for name, y in _results(model, image[np.newaxis]):
        if y.ndim != 4:
            break
        steps.append((name, y[0]))
    return [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_STEPS)).round().astype(int))]


def _results(model: Model, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What each layer gives, those within a model that is a layer too; but not the same pixels on another scale."""
    for name, y in model.activations(x):
        layer = model.layers[name]
        if layer.is_model:
            yield from _results(layer, x)
        elif not layer.takes:
            yield type(layer).__name__, y
        x = y


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
