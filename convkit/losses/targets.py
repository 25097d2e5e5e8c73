"""What losses are compared with, checked; and what becomes of the loss of each sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check

__all__ = ["class_targets"]

REDUCTIONS = ("mean", "sum", "none")


def class_targets(
    labels: Any, rows: tuple[int, ...], k: int, op: str, name: str, ignore_index: int | None = None
) -> np.ndarray:
    """Check targets for classification and return them as an array.

    Parameters
    ----------
    labels : array_like of shape `rows` of integers in 0..k-1, or of shape (*rows, k) of probabilities
    rows : tuple of int
        Shape of what is classified: (N,), or (N, H, W) for the pixels of images.
    k : int
        Classes.
    op, name : str
        What the messages call the caller and the argument.
    ignore_index : int, optional
        A label that stands for none.

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
    >>> class_targets([0, 2], (2,), 3, "fit", "y")
    array([0, 2])
    """
    labels = plain_array(labels, op, name)
    if labels.dtype.kind in "iu":
        return _class_numbers(labels, rows, k, op, name, ignore_index)
    both = (*rows, k)
    if labels.dtype.kind != "f" or (labels.ndim == len(rows) and labels.size):
        wanted = f"integers of shape {rows} or probabilities of shape {both}"
        raise TypeError(f"{op}: {name} must be {wanted}, got {labels.dtype} of shape {labels.shape}; "
                        f"write {name}.astype(np.int64) if they are class numbers")
    if labels.shape != both:
        raise ValueError(f"{op}: probabilities in {name} must have shape {both}, got {labels.shape}")
    if ignore_index is not None:
        raise ValueError(f"{op}: ignore_index is for class numbers, {name} holds probabilities")
    sums = np.ascontiguousarray(labels).sum(axis=-1, dtype=np.float64)
    if not (np.all(labels >= 0) and np.all(np.abs(sums - 1) < 1e-3)):
        raise ValueError(f"{op}: each row of {name} must hold probabilities that are >= 0 and sum to 1")
    return labels


def _class_numbers(
    labels: np.ndarray, rows: tuple[int, ...], k: int, op: str, name: str, ignore_index: int | None
) -> np.ndarray:
    if labels.shape != rows:
        hint = f"; write {name}.argmax(axis={len(rows)}) if it is one-hot" if labels.shape == (*rows, k) else ""
        raise ValueError(f"{op}: class numbers in {name} must have shape {rows}, got {labels.shape}{hint}")
    wrong = (labels < 0) | (labels >= k)
    if ignore_index is not None:
        wrong &= labels != ignore_index
    if wrong.any():
        raise ValueError(f"{op}: {name} holds the label {labels[wrong][0]}, wanted 0..{k - 1} for {k} classes")
    return labels


def plain_array(value: Any, op: str, name: str) -> np.ndarray:
    """value as an array of any dtype, unless that would lose something."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} is a masked array, which is not supported; use {name}.filled()")
    return check.as_array(value, op, name)


def logits_of(logits: Any, op: str) -> np.ndarray:
    """Contiguous logits, classes last."""
    logits = check.array(logits, op, "logits")
    if logits.ndim < 2 or not logits.size:
        raise ValueError(f"{op}: logits must have shape (N, K) or (N, ..., K) without an axis of size 0, got {logits.shape}")
    return np.ascontiguousarray(logits)


def pair(outputs: Any, targets: Any, op: str, name: str = "outputs") -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets of the same shape and dtype, contiguous."""
    outputs, targets = check.array(outputs, op, name), check.array(targets, op, "targets")
    check.same_dtype(op, **{name: outputs, "targets": targets})
    same_shape(outputs, targets, op, name)
    return np.ascontiguousarray(outputs), np.ascontiguousarray(targets)


def likely(logits: Any, targets: Any, op: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets of their shape that are true or false or lie between."""
    logits, targets = check.array(logits, op, "logits"), plain_array(targets, op, "targets")
    if targets.dtype.kind in "b":
        targets = targets.astype(logits.dtype)
    targets = check.array(targets, op, "targets")
    check.same_dtype(op, logits=logits, targets=targets)
    same_shape(logits, targets, op, "logits")
    if not (np.all(targets >= 0) and np.all(targets <= 1)):
        raise ValueError(f"{op}: targets must lie in 0..1")
    return np.ascontiguousarray(logits), np.ascontiguousarray(targets)


def same_shape(outputs: np.ndarray, targets: np.ndarray, op: str, name: str) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(f"{op}: {name} and targets must have the same shape, got {outputs.shape} and {targets.shape}")
    if not outputs.size:
        raise ValueError(f"{op}: {name} must not be empty, got the shape {outputs.shape}")


def weights_of(weights: Any, k: int, dtype: np.dtype, op: str, name: str) -> np.ndarray | None:
    """One weight >= 0 for each of k classes, in the dtype of the logits."""
    if weights is None:
        return None
    weights = plain_array(weights, op, name)
    if weights.dtype.kind not in "iuf":
        raise TypeError(f"{op}: {name} must be numbers, got {weights.dtype}")
    if weights.shape != (k,):
        raise ValueError(f"{op}: {name} must have shape ({k},), got {weights.shape}")
    if not (np.all(weights >= 0) and np.all(np.isfinite(weights))):
        raise ValueError(f"{op}: {name} must be >= 0 and finite")
    return weights.astype(dtype)


def reduced(losses: np.ndarray, gradient: np.ndarray, reduction: str, count: float, op: str) -> tuple[Any, np.ndarray]:
    """The losses of all samples and the gradient of their sum, as the mean (over `count`), the sum, or left as they are."""
    check.choice(reduction, REDUCTIONS, op, "reduction")
    if reduction == "none":
        return losses, gradient
    total = float(losses.sum(dtype=np.float64))
    if reduction == "sum":
        return total, gradient
    if count:
        gradient /= gradient.dtype.type(count)
    return (total / count if count else 0.0), gradient
