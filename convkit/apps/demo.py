"""`convkit demo`: learn to read handwritten digits, and show how."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from convkit.apps.choices import network, transforms
from convkit.apps.learn import learn
from convkit.apps.report import closing, verdict, write_model, write_pictures, write_result
from convkit.apps.run_folder import MODEL_FILE, Classes, run_folder, write_image
from convkit.apps.terminal import live, needs, program, text_pictures
from convkit.data import ArrayDataset, Digits, digits

# Chosen by cross-validation within the training part; the held-out fifth had no say.
EPOCHS, BATCH_SIZE, LEARNING_RATE, AUGMENTATION = 30, 16, 2e-3, "shift"
FULL_INK = 16
EXAMPLE_DIGIT = 5  # it has strokes in every direction


def demo(*, out: str | None = None, epochs: int = EPOCHS, seed: int = 0, threads: int = 1) -> float:
    """Train a small network on the digits that ship with convkit, and write what came of it.

    Parameters
    ----------
    out : str, optional
        The folder to write into; by default a new one, ``runs/digits-YYYYmmdd-HHMMSS``.
    epochs : int
        How often to go through the training images.
    seed : int
        Chooses the first weights, the order of the images and their shifts; the same seed gives the same model.
    threads : int
        How many threads to compute with. The digits are so small that two are no faster than one.

    Returns
    -------
    float
        The share of the held-out digits that were read rightly.

    Raises
    ------
    ImportError
        If matplotlib, Pillow or safetensors is missing.
    ValueError, OSError
        If the folder holds files already or cannot be written.
    """
    import convkit
    from convkit.ops.act import softmax

    needs("convkit demo", "matplotlib", "PIL", "safetensors")
    data = digits()
    classes = Classes(data.classes, data.x_train.shape[1], "grey")
    rng = np.random.default_rng(seed)
    x, x_test = (np.rint(images * (255 / FULL_INK)).astype(np.uint8) for images in (data.x_train, data.x_test))
    learnt, held = ArrayDataset(x, data.y_train), ArrayDataset(x_test, data.y_test)
    with run_folder(out, "digits") as folder, convkit.threads(threads):
        print(_introduction(data), end="\n\n")
        model = network("small", classes.input_shape, len(classes.classes), rng)
        print("The network")
        model.summary()
        print(f"\nLearning, {epochs} times through the images")
        how = {"epochs": epochs, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE, "rng": rng, "verbose": live()}
        history = learn(model, learnt, held, transforms=transforms(AUGMENTATION), **how)
        if history.interrupted:
            raise KeyboardInterrupt
        probabilities = softmax(model.predict(held))
        seconds = sum(history.history["seconds"])
        print("\n" + verdict(data.y_test, probabilities, seconds), end="\n\n", flush=True)
        write_model(folder, model, classes, history)
        write_result(folder, model, classes, data.y_test, probabilities, seconds=seconds, epochs=epochs, seed=seed)
        example = int(np.flatnonzero(data.y_test == EXAMPLE_DIGIT)[0])
        write_pictures(folder, model, classes, history, held, probabilities, example=example)
        _write_digits(folder / "digits", x, data.y_train)
        _write_digits(folder / "held-out", x_test, data.y_test)
    print(_closing(folder, seed))
    return float((probabilities.argmax(axis=1) == data.y_test).mean())


def _introduction(data: Digits) -> str:
    learnt, held = len(data.x_train), len(data.x_test)
    first = [int(np.flatnonzero(data.y_train == digit)[0]) for digit in (2, 3, 5, 8)]
    pictures = text_pictures(data.x_train[first, ..., 0], [str(data.y_train[i]) for i in first])
    return (
        f"The data: {learnt + held:,} digits, written by hand by 13 people, as 8 x 8 cells of 0 to 16 points of ink.\n"
        f"{learnt:,} are there to learn from; {held} are held out, to see what was learnt.\n"
        "(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, doi.org/10.24432/C50P49, CC BY 4.0)\n\n" + pictures
    )


def _write_digits(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write digits as PNG files, one subfolder per digit, as `convkit train` takes them."""
    for digit in np.unique(labels):
        (folder / str(digit)).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
        write_image(folder / str(label) / f"{number:04d}.png", image)


def _closing(folder: Path, seed: int) -> str:
    call, where = program(), shlex.quote(str(folder))
    extra = (("digits", "the digits it learnt from, as PNG files"), ("held-out", "the digits it was tested on"))
    commands = (
        (f"{call} predict {where}/{MODEL_FILE} {where}/held-out/3/*.png", "read digits that the network has never seen"),
        (f"{call} train {where}/digits --epochs 10", "learn from a folder of images; a folder of your own works the same way"),
        (f"{call} demo --seed {seed + 1} --epochs 5", "start from other weights, and stop earlier"),
    )
    return closing(folder, extra, commands)
