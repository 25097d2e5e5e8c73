"""`convkit train FOLDER`: learn to tell apart the images in a folder's subfolders."""

from __future__ import annotations

import shlex
from contextlib import nullcontext

import numpy as np

from convkit.apps.learn import learn
from convkit.apps.network import image_network
from convkit.apps.report import closing, verdict, write_model, write_pictures
from convkit.apps.run_folder import MODEL_FILE, Classes, run_folder
from convkit.apps.terminal import live, needs, program
from convkit.data import ImageFolder, image_folder, stratified_split


def train(
    source: str,
    *,
    out: str | None = None,
    epochs: int = 30,
    size: int | None = None,
    colour: str | None = None,
    seed: int = 0,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    validation: float = 0.2,
    threads: int | None = None,
) -> float:
    """Train a small network on a folder that holds one subfolder of images per class.

    Parameters
    ----------
    source : str
        The folder.
    out : str, optional
        The folder to write into; by default a new one, ``runs/train-YYYYmmdd-HHMMSS``.
    epochs : int
        How often to go through the training images.
    size : int, optional
        Width and height in pixels that every image is brought to; by default the median shorter side, at most 64.
    colour : {"grey", "rgb"}, optional
        By default grey if every image is.
    seed : int
        Chooses the held-out images, the first weights, the order of the images and their shifts.
    batch_size : int
        Images per step.
    learning_rate : float
        Adam's at the start; it falls to zero along half a cosine.
    validation : float
        Share of each class that is held out.
    threads : int, optional
        How many threads to compute with; by default convkit's own choice.

    Returns
    -------
    float
        The share of the held-out images that were right.

    Raises
    ------
    ImportError
        If matplotlib, Pillow or safetensors is missing.
    ValueError, OSError
        If the folder or an image is not as wanted, or the run folder cannot be made.
    """
    import convkit
    from convkit.ops.act import softmax

    needs("convkit train", "matplotlib", "PIL", "safetensors")
    data = image_folder(source, size=size, colour=colour)
    classes = Classes(data.classes, data.size, data.colour)
    rng = np.random.default_rng(seed)
    kept, held = stratified_split(data.labels, validation, rng)
    images = data.images.astype(np.float32) / 255
    x_test, y_test = images[held], data.labels[held]
    with run_folder(out, "train") as folder, nullcontext() if threads is None else convkit.threads(threads):
        print(_introduction(source, data, len(held)), end="\n\n")
        model = image_network(classes.input_shape, len(data.classes), rng)
        print("The network")
        model.summary()
        print(f"\nLearning, {epochs} times through the images")
        how = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "rng": rng, "verbose": live()}
        history = learn(model, images[kept], data.labels[kept], (x_test, y_test), **how)
        if history.history:
            write_model(folder, model, classes, history)
        if history.interrupted:
            print(f"\nStopped early; the model as it was then is in {folder}" if history.history else "\nStopped early")
            raise KeyboardInterrupt
        probabilities = softmax(model.predict(x_test))
        print("\n" + verdict(y_test, probabilities, sum(history.history["seconds"])), end="\n\n", flush=True)
        right = probabilities.argmax(axis=1) == y_test
        write_pictures(folder, model, classes, history, x_test, y_test, probabilities, example=int(right.argmax()))
    some = " ".join(shlex.quote(str(data.paths[i])) for i in held[:2])
    call, where = program(), shlex.quote(str(folder / MODEL_FILE))
    commands = (
        (f"{call} predict {where} {some}", "name images of your own in their place"),
        (f"{call} train {shlex.quote(source)} --epochs {2 * epochs}", "learn for longer"),
        (f"{call} train {shlex.quote(source)} --size {2 * data.size}", "look at the images in more detail"),
    )
    print(closing(folder, (), commands))
    return float(right.mean())


def _introduction(source: str, data: ImageFolder, held: int) -> str:
    counts = np.bincount(data.labels)
    shown = ", ".join(f"{name} ({count:,})" for name, count in zip(data.classes[:10], counts, strict=False))
    more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
    return (
        f"The data: {len(data.images):,} images from {source}, brought to {data.size} x {data.size} pixels, {data.colour}.\n"
        f"{len(counts)} classes: {shown}{more}.\n"
        f"{len(data.images) - held:,} images are there to learn from; {held:,} are held out, to see what was learnt."
    )
