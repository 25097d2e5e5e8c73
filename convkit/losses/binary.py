"""Losses for classes that do not exclude each other, each of them true or false: cross-entropy, focal loss, Dice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convkit.losses.targets import class_targets, likely, logits_of, plain_array, reduced
from convkit.ops import check, softmax
from convkit.ops.check import number

__all__ = ["binary_cross_entropy", "binary_focal", "dice"]


def binary_cross_entropy(
    logits: Any, targets: Any, *, pos_weight: float = 1.0, reduction: str = "mean"
) -> tuple[Any, np.ndarray]:
    """Cross-entropy of the sigmoid of each logit against a target that is true, false or between.

    ``loss = mean(-pos_weight * t * log(p) - (1 - t) * log(1 - p))`` over all elements, with ``p = sigmoid(logits)``, computed
    without an overflow or a logarithm of 0.

    Parameters
    ----------
    logits : array_like of any shape, float32 or float64
        Outputs before any sigmoid.
    targets : array_like of the shape of logits, of their dtype or bool
        From 0 to 1.
    pos_weight : float > 0, default 1
        Weight of what is true.
    reduction : "mean", "sum" or "none"
        "none" keeps the loss of each element.

    Returns
    -------
    loss : float, or with reduction="none" ndarray of the shape of logits
    dlogits : ndarray of the shape and dtype of the logits
        Gradient of the loss, or of the sum of the losses: for the plain mean ``(sigmoid(logits) - t) / size``.

    Raises
    ------
    TypeError
        If the logits are not float32 or float64, or the targets neither of their dtype nor bool.
    ValueError
        If the shapes differ, are empty, or a target is outside of 0..1.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import binary_cross_entropy
    >>> loss, dlogits = binary_cross_entropy(np.array([0.0, 0.0]), np.array([True, False]))
    >>> round(loss, 4), dlogits
    (0.6931, array([-0.25,  0.25]))
    """
    op = "binary_cross_entropy"
    z, t = likely(logits, targets, op)
    weight = z.dtype.type(number(pos_weight, op, "pos_weight", 0, above=True))
    p, small = _sigmoid(z)
    losses = _share(1 - t, np.maximum(z, 0) + small) + _share(weight * t, np.maximum(-z, 0) + small)
    gradient = p * (1 + (weight - 1) * t) - weight * t
    return reduced(losses, gradient, reduction, float(z.size), op)


def binary_focal(
    logits: Any, targets: Any, *, gamma: float = 2.0, alpha: float = 0.25, reduction: str = "mean"
) -> tuple[Any, np.ndarray]:
    """Focal loss (Lin et al., 2017) of the sigmoid of each logit: what is right already counts less.

    ``loss = mean(-a * (1 - q)**gamma * log(q))`` over all elements, where for a true target ``q = sigmoid(logits)`` and
    ``a = alpha``, for a false one ``q = 1 - sigmoid(logits)`` and ``a = 1 - alpha``. A target between takes its share of both.

    Parameters
    ----------
    logits, targets, reduction
        As in `binary_cross_entropy`.
    gamma : float >= 0, default 2
    alpha : float in [0, 1], default 0.25

    Returns
    -------
    loss, dlogits
        As in `binary_cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        As in `binary_cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import binary_focal
    >>> round(binary_focal(np.array([0.0]), np.array([True]))[0], 4)
    0.0433
    """
    op = "binary_focal"
    z, t = likely(logits, targets, op)
    real = z.dtype.type
    gamma, alpha = number(gamma, op, "gamma", 0), number(alpha, op, "alpha", 0, 1)
    yes, yes_slope = _focal(z, gamma)
    no, no_slope = _focal(-z, gamma)
    yes_share, no_share = real(alpha) * t, real(1 - alpha) * (1 - t)
    losses = _share(yes_share, yes) + _share(no_share, no)
    return reduced(losses, yes_share * yes_slope - no_share * no_slope, reduction, float(z.size), op)


def dice(
    logits: Any, targets: Any, *, activation: str = "sigmoid", smooth: float = 1.0, reduction: str = "mean"
) -> tuple[Any, np.ndarray]:
    """Dice loss (Milletari et al., 2016): how little masks overlap, for each channel of each sample.

    ``loss[n, k] = 1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)``, the sums over the positions of channel k.

    Parameters
    ----------
    logits : array_like of shape (N, ..., K), float32 or float64
        Outputs before any sigmoid or softmax.
    targets : array_like of the shape of logits, of their dtype or bool; with "softmax" also class numbers (N, ...)
        From 0 to 1.
    activation : "sigmoid" or "softmax"
        What makes p of the logits: channels on their own, or one of them at each position.
    smooth : float >= 0, default 1
        Keeps the loss of an empty mask defined; with 0 that loss is NaN.
    reduction : "mean", "sum" or "none"
        Over samples and channels.

    Returns
    -------
    loss : float, or with reduction="none" ndarray of shape (N, K)
    dlogits : ndarray of the shape and dtype of the logits

    Raises
    ------
    TypeError, ValueError
        As in `binary_cross_entropy`, and for class numbers as in `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import dice
    >>> round(dice(np.array([[[50.0], [-50.0]]]), np.array([[[True], [True]]]))[0], 4)
    0.25
    """
    op = "dice"
    check.choice(activation, ("sigmoid", "softmax"), op, "activation")
    z, smooth = logits_of(logits, op), number(smooth, op, "smooth", 0)
    t = plain_array(targets, op, "targets")
    if activation == "softmax" and t.dtype.kind in "iu":
        t = np.eye(z.shape[-1], dtype=z.dtype)[class_targets(t, z.shape[:-1], z.shape[-1], op, "targets")]
    z, t = likely(z, t, op)
    flat = len(z), math.prod(z.shape[1:-1]), z.shape[-1]
    p = (_sigmoid(z)[0] if activation == "sigmoid" else softmax(z)).reshape(flat)
    t = t.reshape(flat)
    both = 2 * (p * t).sum(axis=1, keepdims=True, dtype=np.float64) + smooth
    total = p.sum(axis=1, keepdims=True, dtype=np.float64) + t.sum(axis=1, keepdims=True, dtype=np.float64) + smooth
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = (1 - both / total)[:, 0].astype(z.dtype)
        dp = (both / total**2).astype(z.dtype) - (2 / total).astype(z.dtype) * t
    gradient = p * (1 - p) * dp if activation == "sigmoid" else p * (dp - (p * dp).sum(axis=2, keepdims=True))
    return reduced(losses, gradient.reshape(z.shape), reduction, float(losses.size), op)


def _sigmoid(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p = sigmoid(z), and what -log(p) has above max(-z, 0), and -log(1 - p) above max(z, 0), without an overflow."""
    small = np.exp(-np.abs(z))                          # in 0..1
    p = np.where(z >= 0, 1, small)
    p /= 1 + small
    return p, np.log1p(small)


def _share(share: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """share * losses, where a share of nothing is 0 even of an infinite loss."""
    with np.errstate(invalid="ignore"):
        return np.where(share > 0, share * losses, 0)


def _focal(z: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """-(1 - p)**gamma * log(p) with p = sigmoid(z), and its slope in z."""
    p, small = _sigmoid(z)
    losses, power = np.maximum(-z, 0) + small, _sigmoid(-z)[0] ** z.dtype.type(gamma)
    return power * losses, -power * (z.dtype.type(gamma) * _share(p, losses) + _sigmoid(-z)[0])
