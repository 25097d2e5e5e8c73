"""Metrics: functions of (outputs, targets) that return one float, averaged over the batch."""

from __future__ import annotations

import numpy as np

__all__ = ["METRICS", "accuracy"]


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Share of the rows whose largest output is the target class.

    Parameters
    ----------
    outputs : ndarray of shape (N, K) or (N, ..., K)
        Logits or probabilities.
    targets : ndarray of shape (N,) or (N, ...) of class numbers, or of the shape of outputs, of probabilities

    Returns
    -------
    float between 0 and 1

    Raises
    ------
    ValueError
        If there are no rows, or outputs and targets do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import accuracy
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    rows = outputs.shape[:-1] if outputs.ndim >= 2 else None
    if targets.shape not in (rows, outputs.shape) or not outputs.size:
        wanted = "outputs (N, K) with N, K >= 1 and targets (N,) or (N, K), or both with more axes between"
        raise ValueError(f"accuracy: wanted {wanted}, got {outputs.shape} and {targets.shape}")
    classes = targets.argmax(axis=-1) if targets.shape == outputs.shape else targets
    return float(np.mean(outputs.argmax(axis=-1) == classes))


METRICS = {"accuracy": accuracy}
