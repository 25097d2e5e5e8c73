"""Losses for one class out of several: cross-entropy, focal loss, Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.losses.targets import REDUCTIONS, class_targets, logits_of, reduced, weights_of
from convkit.ops import check, pointwise
from convkit.ops.check import number
from convkit.plan import geometry

__all__ = ["cross_entropy", "focal", "kl_divergence"]


def cross_entropy(
    logits: Any, labels: Any, *, class_weights: Any = None, ignore_index: int | None = None, label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, np.ndarray]:  # fmt: skip
    """Cross-entropy of the softmax of the logits against the labels.

    ``loss[n] = -sum over k of weight[k] * t[n, k] * log_softmax(logits)[n, k]``, where t is 1 at the label and 0 elsewhere, or
    the given probabilities; smoothing makes it ``(1 - s) * t + s / K``.

    Parameters
    ----------
    logits : array_like of shape (N, K) or (N, ..., K), float32 or float64
        Outputs before any softmax, classes last.
    labels : array_like of shape (N,) or (N, ...) of integers in 0..K-1, or of the shape of logits of floats
        Class numbers, or probabilities that sum to 1 in each row.
    class_weights : array_like of shape (K,), optional
        At least 0. The mean of class numbers divides by the sum of the weights of the labels.
    ignore_index : int, optional
        A label that stands for no class: its row has no loss and no gradient, and does not count in the mean, which is 0
        where nothing counts.
    label_smoothing : float in [0, 1], default 0
    reduction : "mean", "sum" or "none"

    Returns
    -------
    loss : float, or with reduction="none" ndarray of shape (N,) or (N, ...)
    dlogits : ndarray of the shape and dtype of the logits
        Gradient of the loss, or of the sum of the losses: for a plain mean ``(softmax(logits) - t) / N``.

    Raises
    ------
    TypeError
        If the logits are not float32 or float64, or the labels neither integers nor floats.
    ValueError
        If the shapes do not fit, an axis has size 0, a label is out of range, or a row of probabilities does not sum to 1.

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
    op = "cross_entropy"
    logits = logits_of(logits, op)
    rows, k = logits.shape[:-1], logits.shape[-1]
    ignore_index = _index(ignore_index, op)
    labels = class_targets(labels, rows, k, op, "labels", ignore_index)
    weights = weights_of(class_weights, k, logits.dtype, op, "class_weights")
    smoothing = number(label_smoothing, op, "label_smoothing", 0, 1)
    logits = logits.reshape(-1, k)
    if labels.dtype.kind != "f":
        check.choice(reduction, REDUCTIONS, op, "reduction")
        loss, gradient = _of_numbers(logits, labels.reshape(-1), weights, smoothing, ignore_index, reduction)
    else:
        losses, gradient = _of_probabilities(logits, labels.reshape(-1, k), weights, smoothing)
        loss, gradient = reduced(losses, gradient, reduction, float(len(logits)), op)
    return (loss.reshape(rows) if reduction == "none" else loss), gradient.reshape(*rows, k)


def focal(
    logits: Any, labels: Any, *, gamma: float = 2.0, class_weights: Any = None, ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Any, np.ndarray]:  # fmt: skip
    """Focal loss (Lin et al., 2017): cross-entropy in which samples that are right already count less.

    ``loss[n] = -weight[label] * (1 - p)**gamma * log(p)`` with ``p = softmax(logits)[n, label]``.

    Parameters
    ----------
    logits : array_like of shape (N, K) or (N, ..., K), float32 or float64
    labels : array_like of shape (N,) or (N, ...) of integers in 0..K-1
    gamma : float >= 0, default 2
        With 0 it is the cross-entropy.
    class_weights, ignore_index, reduction
        As in `cross_entropy`, but the mean divides by the number of labels.

    Returns
    -------
    loss : float, or with reduction="none" ndarray of shape (N,) or (N, ...)
    dlogits : ndarray of the shape and dtype of the logits

    Raises
    ------
    TypeError, ValueError
        As in `cross_entropy`; probabilities are a TypeError.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import focal
    >>> round(focal(np.zeros((1, 2)), [1])[0], 4)
    0.1733
    """
    op = "focal"
    logits = logits_of(logits, op)
    rows, k = logits.shape[:-1], logits.shape[-1]
    ignore_index, gamma = _index(ignore_index, op), number(gamma, op, "gamma", 0)
    labels = class_targets(labels, rows, k, op, "labels", ignore_index)
    if labels.dtype.kind == "f":
        raise TypeError(f"{op}: labels must be class numbers, got {labels.dtype}; write labels.argmax(axis=-1)")
    weights = weights_of(class_weights, k, logits.dtype, op, "class_weights")
    p, shifted, sums = _softmax(logits.reshape(-1, k))
    at, kept, chosen = _chosen(labels.ravel(), ignore_index)
    log_p = shifted[at, chosen] - np.log(sums)
    likely, others = np.exp(log_p), -np.expm1(log_p)                    # p and 1 - p, exact where p is near 1
    factor = kept if weights is None else kept * weights[chosen]
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = np.where(kept > 0, -factor * others**gamma * log_p, 0)
        # d loss / d log p, the second term of which is 0 where p is 1
        slope = np.where((others > 0) & (likely > 0), gamma * likely * others ** (gamma - 1) * log_p, 0)
        slope = factor * (slope - others**gamma)
    slope = np.where(kept > 0, slope, 0).astype(p.dtype)
    p *= -slope[:, None]
    p[at, chosen] += slope
    if ignore_index is not None:
        p[kept == 0] = 0
    loss, gradient = reduced(losses.astype(p.dtype, copy=False), p, reduction, float(kept.sum(dtype=np.float64)), op)
    return (loss.reshape(rows) if reduction == "none" else loss), gradient.reshape(*rows, k)


def kl_divergence(logits: Any, targets: Any, *, reduction: str = "mean") -> tuple[Any, np.ndarray]:
    """Kullback-Leibler divergence of the softmax of the logits from the target probabilities.

    ``loss[n] = sum over k of t[n, k] * (log(t[n, k]) - log_softmax(logits)[n, k])``: the cross-entropy less the entropy of t.

    Parameters
    ----------
    logits : array_like of shape (N, K) or (N, ..., K), float32 or float64
    targets : array_like of the shape of logits, floats
        Probabilities that sum to 1 in each row.
    reduction : "mean", "sum" or "none"
        The mean is that over rows.

    Returns
    -------
    loss : float, or with reduction="none" ndarray of shape (N,) or (N, ...)
    dlogits : ndarray of the shape and dtype of the logits

    Raises
    ------
    TypeError, ValueError
        As in `cross_entropy`; class numbers are a TypeError.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import kl_divergence
    >>> round(kl_divergence(np.log([[0.5, 0.5]]), np.array([[0.25, 0.75]]))[0], 4)
    0.1308
    """
    op = "kl_divergence"
    logits = logits_of(logits, op)
    rows, k = logits.shape[:-1], logits.shape[-1]
    targets = class_targets(targets, rows, k, op, "targets")
    if targets.dtype.kind != "f":
        raise TypeError(f"{op}: targets must be probabilities of shape {logits.shape}, got {targets.dtype}")
    targets = np.ascontiguousarray(targets).reshape(-1, k)
    losses, gradient = _of_probabilities(logits.reshape(-1, k), targets, None, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        losses += np.where(targets > 0, targets * np.log(targets), 0).sum(axis=1).astype(losses.dtype)
    loss, gradient = reduced(losses, gradient, reduction, float(len(losses)), op)
    return (loss.reshape(rows) if reduction == "none" else loss), gradient.reshape(*rows, k)


def _index(ignore_index: Any, op: str) -> int | None:
    return None if ignore_index is None else geometry.integer(ignore_index, op, "ignore_index", "an int or None")


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row: the softmax, the logits less their maximum, and the sum of the exponentials of those."""
    top = logits.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):                 # a row of -inf, or with inf, has no softmax: NaN
        shifted = logits - top
        p = np.exp(shifted)
        sums = p.sum(axis=1)
        p /= sums[:, None]
    return p, shifted, sums


def _chosen(labels: np.ndarray, ignore_index: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers, 1.0 for each row that counts, and its label, or 0 where there is none."""
    at = np.arange(len(labels))
    if ignore_index is None:
        return at, np.ones(len(labels)), labels
    kept = labels != ignore_index
    return at, kept.astype(np.float64), np.where(kept, labels, 0)


def _of_numbers(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, smoothing: float, ignore_index: int | None,
    reduction: str,
) -> tuple[Any, np.ndarray]:  # fmt: skip
    """The loss and its gradient, in one pass over the rows."""
    k = logits.shape[1]
    if ignore_index is not None:
        labels = np.where(labels == ignore_index, -1, labels)           # no class
    labels = np.ascontiguousarray(labels, np.int64)
    counted = labels if ignore_index is None else labels[labels >= 0]
    count = float(len(counted) if weights is None else weights[counted].sum(dtype=np.float64))
    each = np.full(k, smoothing / k, logits.dtype) * (1 if weights is None else weights) if smoothing else None
    factor = 1 / count if reduction == "mean" and count else 1.0
    losses, gradient = pointwise.cross_entropy(logits, labels, weights, each, 1 - smoothing, factor)
    if reduction == "none":
        return losses.astype(logits.dtype), gradient
    total = float(losses.sum())
    return (total if reduction == "sum" else total / count if count else 0.0), gradient


def _of_probabilities(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each row and gradient of their sum."""
    p, log_p, sums = _softmax(logits)
    log_p -= np.log(sums)[:, None]
    t = targets.astype(p.dtype)
    if smoothing:
        t = t * p.dtype.type(1 - smoothing) + p.dtype.type(smoothing / logits.shape[1])
    if weights is not None:
        t = t * weights
    losses = -np.where(t > 0, t * np.where(t > 0, log_p, 0), 0).sum(axis=1)     # an impossible class that never comes is 0
    if smoothing or weights is not None:
        p *= t.sum(axis=1, keepdims=True)
    p -= t
    return losses, p
