"""An IDX data set made of the bundled digits: as MNIST, where there is no network to fetch MNIST from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convkit.data import augment, idx
from convkit.data.dataset import ArrayDataset
from convkit.data.datasets import digits
from convkit.ops import resize
from convkit.plan import geometry

__all__ = ["write_digits_idx"]

FULL_INK, MARGIN = 16, 1 / 7  # MNIST's digits fill 20 of 28 pixels
CHANGES = (augment.Rotate(12), augment.Scale(0.85, 1.15), augment.Shift(0.1), augment.Noise(0.03))


def write_digits_idx(folder: str | os.PathLike[str], *, size: int = 28, copies: int = 4, seed: int = 0) -> Path:
    """Write the bundled digits, enlarged and changed at random, as the four files of MNIST.

    Training images come from the training digits and test images from the held-out ones, once each. They are turned, scaled,
    shifted and made noisy at random, so that no two are alike.

    Parameters
    ----------
    folder : path
        Made if need be; existing files of these names are replaced.
    size : int >= 8, default 28
        Width and height in pixels.
    copies : int >= 1, default 4
        Training images of each training digit: 1,438 times this.
    seed : int >= 0, default 0
        The same one gives the same files.

    Returns
    -------
    Path
        The folder, for `convkit train`.

    Raises
    ------
    TypeError, ValueError, OSError
        If an argument is not as above, or the files cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from convkit.data import IDXDataset, write_digits_idx
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = write_digits_idx(name, copies=1)
    ...     data = IDXDataset(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    ...     len(data), data.shape
    (359, (28, 28, 1))
    """
    size, copies = (geometry.integer(v, "write_digits_idx", name) for name, v in (("size", size), ("copies", copies)))
    if size < 8 or copies < 1:
        raise ValueError(f"write_digits_idx: size must be >= 8 and copies >= 1, got {size} and {copies}")
    path, data = Path(folder), digits()
    path.mkdir(parents=True, exist_ok=True)
    for part, x, y, count, stream in (
        ("train", data.x_train, data.y_train, copies, 2 * seed),
        ("t10k", data.x_test, data.y_test, 1, 2 * seed + 1),
    ):
        rows = np.arange(len(x) * count)
        images = ArrayDataset(np.tile(_enlarged(x, size), (count, 1, 1, 1)))
        changed, _ = augment.Augmented(images, CHANGES).batch(rows, stream)
        order = np.random.default_rng(stream).permutation(rows)
        idx.write(path / f"{part}-images-idx3-ubyte.gz", changed[order, ..., 0])
        idx.write(path / f"{part}-labels-idx1-ubyte.gz", np.tile(y, count)[order].astype(np.uint8))
    return path


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """Digits in the middle of larger images, as uint8."""
    margin = int(size * MARGIN)
    inner = size - 2 * margin
    ink = resize(images.astype(np.float32) * (255 / FULL_INK), inner)
    whole = np.zeros((len(images), size, size, 1), np.uint8)
    whole[:, margin : margin + inner, margin : margin + inner] = np.rint(ink).clip(0, 255)
    return whole
