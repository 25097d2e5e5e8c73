"""Training as the demo and `convkit train` do it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.apps.choices import optimizer
from convkit.data import Augmented

if TYPE_CHECKING:
    from convkit.callbacks import History
    from convkit.data import Dataset
    from convkit.model import Model


def learn(
    model: Model,
    data: Dataset,
    held: Dataset,
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    transforms: Sequence[Any] = (),
    optimizer_name: str = "adam",
    learning_rate: float | None = None,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    verbose: int = 1,
    callbacks: Sequence[Any] = (),
    resume: Any = None,
) -> History:
    """Train a model on images that are changed anew in each epoch.

    Parameters
    ----------
    model : Model
        A built model that ends in logits.
    data, held : Dataset
        Images to learn from, and to test on after each epoch.
    transforms : sequence of Transform or MixUp
        See `convkit.data.augment`.
    optimizer_name, learning_rate, schedule, weight_decay
        As of `convkit.apps.choices.optimizer`.
    epochs, batch_size, rng, verbose, callbacks, resume
        As for `Model.fit`.

    Returns
    -------
    History
        As `Model.fit` returns it; ``interrupted`` after Ctrl-C.

    Raises
    ------
    ValueError
        If the loss stops being a finite number.
    """
    steps = epochs * math.ceil(len(data) / batch_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit: interrupted")  # the callers say so themselves
        return model.fit(
            Augmented(data, transforms) if transforms else data,
            batch_size=batch_size,
            epochs=epochs,
            optimizer=optimizer(optimizer_name, learning_rate, schedule, steps, weight_decay),
            validation_data=held,
            rng=rng,
            verbose=verbose,
            callbacks=callbacks,
            resume=resume,
        )
