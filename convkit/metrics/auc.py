"""Area under the ROC curve, exactly: all scores of an epoch are kept and ranked."""

from __future__ import annotations

import numpy as np

from convkit.metrics.base import Metric

__all__ = ["AUC"]


class AUC(Metric):
    """Probability that a sample of a class scores higher than one that is not of it; ties count half.

    One output a sample is the score of class 1. K outputs are turned into probabilities by softmax, unless they are, and the
    figure is the mean over the classes that have samples and others besides (one against the rest).

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import AUC
    >>> metric = AUC()
    >>> for scores, targets in (([0.1, 0.4], [0, 0]), ([0.35, 0.8], [1, 1])):
    ...     metric.add(np.array(scores), np.array(targets))
    >>> metric.value()
    0.75
    """

    name = "auc"

    def reset(self) -> None:
        self.sums = {}

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        scores = outputs.reshape(-1, 1) if outputs.ndim == 1 else outputs.reshape(-1, outputs.shape[-1])
        k = scores.shape[1]
        if targets.size == scores.size and k > 1:
            true = targets.reshape(-1, k).argmax(axis=1)
        elif targets.size == len(scores):
            true = (targets.reshape(-1) > 0.5).astype(np.intp) if k == 1 else targets.reshape(-1).astype(np.intp)
        else:
            raise ValueError(f"auc: outputs and targets do not fit, got {outputs.shape} and {targets.shape}")
        number = str(len(self.sums) // 2)
        self.sums[f"scores{number}"], self.sums[f"targets{number}"] = scores.astype(np.float64), true

    def value(self) -> float:
        if not self.sums:
            return 0.0
        parts = range(len(self.sums) // 2)
        scores = np.concatenate([self.sums[f"scores{i}"] for i in parts])
        true = np.concatenate([self.sums[f"targets{i}"] for i in parts])
        if scores.shape[1] == 1:
            return area(scores[:, 0], true == 1)
        if not (np.all(scores >= 0) and np.allclose(scores.sum(axis=1), 1, atol=1e-3)):
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
        areas = [area(scores[:, c], true == c) for c in range(scores.shape[1]) if 0 < np.count_nonzero(true == c) < len(true)]
        return float(np.mean(areas)) if areas else float("nan")


def area(scores: np.ndarray, yes: np.ndarray) -> float:
    """By the ranks of Mann and Whitney; NaN if there is only one kind of sample."""
    positives = int(np.count_nonzero(yes))
    negatives = len(yes) - positives
    if not positives or not negatives:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places.reshape(-1)]
    return float((ranks[yes].sum() - positives * (positives + 1) / 2) / (positives * negatives))
