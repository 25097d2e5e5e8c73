"""Training with small random shifts and a falling learning rate, as the demo and `convkit train` do it."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from convkit.callbacks import History
    from convkit.model import Sequential

SHARE_SHIFTED = 0.6
PIXELS_PER_SHIFT = 8  # an image is shifted by up to an eighth of its side


def learn(
    model: Sequential,
    x: np.ndarray,
    y: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
    verbose: int = 1,
) -> History:
    """Train a model on images that are shifted anew in each epoch, with Adam.

    In epoch e of E the learning rate is ``learning_rate * (1 + cos(pi * e / E)) / 2``.

    Parameters
    ----------
    model : Sequential
        A built model that ends in logits.
    x, y : float32 ndarray of shape (N, H, W, C), int64 ndarray of shape (N,)
        Images and classes to learn from; they are left as they are.
    held_out : tuple of such arrays
        What the model is tested on after each epoch.
    epochs, batch_size, learning_rate, rng, verbose
        As for `Sequential.fit`.

    Returns
    -------
    History
        As `Sequential.fit` returns it; ``interrupted`` after Ctrl-C.

    Raises
    ------
    ValueError
        If the loss stops being a finite number.
    """
    from convkit.optim import Adam

    reach = max(1, min(x.shape[1:3]) // PIXELS_PER_SHIFT)
    optimizer = Adam(learning_rate)
    moved = shifted(x, reach, rng)

    def prepare_next(model: Sequential, epoch: int, logs: dict[str, float]) -> None:
        if epoch + 1 < epochs:
            optimizer.learning_rate = learning_rate * (1 + math.cos(math.pi * (epoch + 1) / epochs)) / 2
            moved[...] = shifted(x, reach, rng)  # fit reads its images anew in each epoch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit: interrupted")  # the callers say so themselves
        return model.fit(
            moved,
            y,
            batch_size=batch_size,
            epochs=epochs,
            optimizer=optimizer,
            validation_data=held_out,
            rng=rng,
            verbose=verbose,
            callbacks=[prepare_next],
            check_finite=True,
        )


def shifted(images: np.ndarray, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Shift some images by up to ``reach`` pixels each way, filling with zeros.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, C)
        They are left as they are.
    reach : int
        The largest shift in pixels.
    rng : numpy.random.Generator
        Chooses which images are shifted (60 % of them) and how far.

    Returns
    -------
    ndarray of shape (N, H, W, C)
        A new array.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.apps.learn import shifted
    >>> images = np.ones((5, 4, 4, 1))
    >>> shifted(images, 1, np.random.default_rng(0)).sum(axis=(1, 2, 3)).tolist()
    [16.0, 16.0, 16.0, 9.0, 16.0]
    """
    count, height, width = images.shape[:3]
    room = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    windows = sliding_window_view(room, (height, width), axis=(1, 2))  # (N, 2 reach + 1, 2 reach + 1, C, H, W)
    across, down = rng.integers(0, 2 * reach + 1, (2, count))
    stays = rng.random(count) >= SHARE_SHIFTED
    across[stays] = down[stays] = reach
    return np.ascontiguousarray(windows[np.arange(count), down, across].transpose(0, 2, 3, 1))
