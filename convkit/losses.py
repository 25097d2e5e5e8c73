"""Losses: functions of (outputs, targets) that return (loss, gradient of the loss with respect to the outputs)."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.ops.act import log_softmax

__all__ = ["LOSSES", "class_targets", "cross_entropy"]


def cross_entropy(logits: Any, labels: Any) -> tuple[float, np.ndarray]:
    """Cross-entropy of the softmax of the logits against the labels, the mean over the batch.

    ``loss = -mean(log_softmax(logits)[n, labels[n]])``, or with probabilities
    ``-mean(sum(labels * log_softmax(logits), axis=1))``.

    Parameters
    ----------
    logits : array_like of shape (N, K), float32 or float64
        Outputs before any softmax.
    labels : array_like of shape (N,) of integers in 0..K-1, or of shape (N, K) of floats
        Class numbers, or probabilities that sum to 1 in each row.

    Returns
    -------
    loss : float
    dlogits : ndarray of shape (N, K), dtype of the logits
        ``(softmax(logits) - labels) / N``.

    Raises
    ------
    TypeError
        If the logits are not float32 or float64, or the labels neither integers nor floats.
    ValueError
        If the shapes do not fit, N is 0, a label is out of range, or a row of probabilities does not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import cross_entropy
    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(loss, 4)
    0.6931
    >>> dlogits
    array([[ 0.5, -0.5]])
    """
    logits = check.array(logits, "cross_entropy", "logits")
    if logits.ndim != 2 or not logits.size:
        raise ValueError(f"cross_entropy: logits must have shape (N, K) with N, K >= 1, got {logits.shape}")
    n, k = logits.shape
    labels = class_targets(labels, n, k, "cross_entropy", "labels")
    logp = log_softmax(logits)
    dlogits = np.exp(logp)
    if labels.ndim == 1:
        rows = np.arange(n)
        loss = -logp[rows, labels].mean(dtype=np.float64)
        dlogits[rows, labels] -= 1
    else:
        likely = np.where(labels > 0, logp, 0)  # 0 * -inf is 0 here: an impossible class that never comes
        loss = -np.einsum("nk,nk->", labels, likely, dtype=np.float64, casting="same_kind") / n
        dlogits -= labels
    dlogits /= n
    return float(loss), dlogits


def class_targets(labels: Any, n: int, k: int, op: str, name: str) -> np.ndarray:
    """Check targets for classification and return them as an array.

    Parameters
    ----------
    labels : array_like of shape (n,) of integers in 0..k-1, or of shape (n, k) of probabilities
    n, k : int
        Rows and classes.
    op, name : str
        What the messages call the caller and the argument.

    Returns
    -------
    ndarray, integer or floating

    Raises
    ------
    TypeError, ValueError
        As in `cross_entropy`.

    Examples
    --------
    >>> from convkit.losses import class_targets
    >>> class_targets([0, 2], 2, 3, "fit", "y")
    array([0, 2])
    """
    labels = plain_array(labels, op, name)
    if labels.dtype.kind in "iu":
        return _class_numbers(labels, n, k, op, name)
    if labels.dtype.kind != "f" or (labels.ndim == 1 and labels.size):
        wanted = f"integers of shape ({n},) or probabilities of shape ({n}, {k})"
        raise TypeError(f"{op}: {name} must be {wanted}, got {labels.dtype} of shape {labels.shape}; "
                        f"write {name}.astype(np.int64) if they are class numbers")
    if labels.shape != (n, k):
        raise ValueError(f"{op}: probabilities in {name} must have shape ({n}, {k}), got {labels.shape}")
    sums = labels.sum(axis=1, dtype=np.float64)
    if not (np.all(labels >= 0) and np.all(np.abs(sums - 1) < 1e-3)):
        raise ValueError(f"{op}: each row of {name} must hold probabilities that are >= 0 and sum to 1")
    return labels


def _class_numbers(labels: np.ndarray, n: int, k: int, op: str, name: str) -> np.ndarray:
    if labels.shape != (n,):
        hint = f"; write {name}.argmax(axis=1) if it is one-hot" if labels.shape == (n, k) else ""
        raise ValueError(f"{op}: class numbers in {name} must have shape ({n},), got {labels.shape}{hint}")
    if labels.size and (labels.min() < 0 or labels.max() >= k):
        wrong = labels[(labels < 0) | (labels >= k)][0]
        raise ValueError(f"{op}: {name} holds the label {wrong}, wanted 0..{k - 1} for {k} classes")
    return labels


def plain_array(value: Any, op: str, name: str) -> np.ndarray:
    """value as an array of any dtype, unless that would lose something."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} is a masked array, which is not supported; use {name}.filled()")
    return check.as_array(value, op, name)


LOSSES = {"cross_entropy": cross_entropy}
