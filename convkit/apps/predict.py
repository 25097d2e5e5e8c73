"""`convkit predict MODEL IMAGE...`: name the class of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convkit.apps.run_folder import MODEL_FILE, Classes, read_classes
from convkit.apps.terminal import needs, table
from convkit.data import read_image


def predict(model: str, images: Sequence[str], *, invert: bool = False) -> tuple[Classes, np.ndarray]:
    """Give each image file's class probabilities by a trained model.

    Parameters
    ----------
    model : str
        A model file that `convkit demo` or `convkit train` wrote, or its folder. Its classes.json tells
        which size and colour mode the images are brought to.
    images : sequence of str
        Image files.
    invert : bool
        Exchange dark and bright first: for dark ink on light paper, where the model learnt bright on dark.

    Returns
    -------
    Classes
        What the columns mean.
    float32 ndarray of shape (number of files, number of classes)
        Probabilities; each row sums to 1.

    Raises
    ------
    ImportError
        If Pillow or safetensors is missing.
    OSError, ValueError
        If a file cannot be read or is damaged, or the model and its classes.json do not belong together.
    """
    import convkit
    from convkit.ops.act import softmax

    needs("convkit predict", "PIL", "safetensors")
    path = Path(model) / MODEL_FILE if Path(model).is_dir() else Path(model)
    network = convkit.load_model(path)
    classes = read_classes(path)
    if (network.input_shape, network.output_shape()) != (classes.input_shape, (len(classes.classes),)):
        wanted = f"{network.input_shape} to {network.output_shape()}"
        told = f"{classes.input_shape} to ({len(classes.classes)},)"
        raise ValueError(f"{path} takes {wanted}, but the classes.json beside it says {told}; they do not belong together")
    pixels = np.stack([read_image(file, size=classes.size, colour=classes.colour) for file in images])
    pixels = 255 - pixels if invert else pixels
    return classes, softmax(network.predict(pixels if pixels.dtype in network.takes else pixels.astype(network.dtype) / 255))


def as_table(images: Sequence[str], classes: Classes, probabilities: np.ndarray) -> str:
    """Set predictions as a table: file, class, probability."""
    best = probabilities.argmax(axis=1)
    share = 100 * probabilities.max(axis=1)
    rows = [(file, classes.classes[k], f"{percent:.1f} %") for file, k, percent in zip(images, best, share, strict=True)]
    return table(("file", "class", "probability"), rows, right=frozenset([2]))


def as_json(images: Sequence[str], classes: Classes, probabilities: np.ndarray) -> str:
    """Set predictions as a JSON list with one object per file."""
    found = []
    for file, row in zip(images, probabilities, strict=True):
        share = {name: round(float(value), 6) for name, value in zip(classes.classes, row, strict=True)}
        best = int(row.argmax())
        found.append({"file": file, "class": classes.classes[best], "probability": float(row[best]), "probabilities": share})
    return json.dumps(found, indent=2)
