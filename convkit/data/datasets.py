"""The handwritten digits that ship with convkit, and their fixed held-out fifth."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np

# In file order, the 3rd, 8th, 13th, ... image of each digit is held out. Of the five possible starts
# this one comes nearest to a fifth: 359 of 1,797 images.
HELD_OUT_EVERY = 5
HELD_OUT_START = 2


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, split into a training part and a held-out part.

    Attributes
    ----------
    x_train, x_test : uint8 ndarray of shape (N, 8, 8, 1)
        Images, channels last; 0 is paper and 16 is full ink.
    y_train, y_test : int64 ndarray of shape (N,)
        The digit that each image shows, 0 to 9.
    classes : tuple of str
        The names of the ten classes.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...] = tuple("0123456789")


def digits() -> Digits:
    """Load the 1,797 handwritten digits that ship with convkit.

    They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak,
    UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0): 32x32 bitmaps of digits
    by 13 writers, counted down to 8x8 cells of 0 to 16 inked points each.

    The held-out part never changes: of each digit's images, counted from 0 in file order, those whose
    number leaves 2 when divided by 5. It holds 35 to 37 images of every digit, 359 in all.

    Returns
    -------
    Digits
        ``x_train`` (1438, 8, 8, 1), ``y_train`` (1438,), ``x_test`` (359, 8, 8, 1), ``y_test`` (359,).
        The arrays are fresh and may be changed.

    Examples
    --------
    >>> from convkit.data import digits
    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape, int(data.x_train.max())
    ((1438, 8, 8, 1), (359, 8, 8, 1), 16)
    """
    path = resources.files("convkit.data").joinpath("digits.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    images = images[..., np.newaxis]
    held_out = _held_out(labels)
    return Digits(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def _held_out(labels: np.ndarray) -> np.ndarray:
    """Mark every fifth image of each class."""
    number = np.empty_like(labels)
    for label in np.unique(labels):
        members = labels == label
        number[members] = np.arange(np.count_nonzero(members))
    return number % HELD_OUT_EVERY == HELD_OUT_START
