"""What a metric is, and which classes outputs and targets stand for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

__all__ = ["Metric", "label_pairs"]


class Metric:
    """Base of metrics: a figure of all samples that were added, whatever the batches.

    A subclass says what it remembers (`reset`), what a batch adds to that (`add`) and what the figure is (`value`). What it
    remembers are arrays in the dictionary `sums`, so that a checkpoint can keep them.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import Metric
    >>> class Worst(Metric):
    ...     name = "worst"
    ...     def reset(self):
    ...         self.sums = {"error": np.zeros(())}
    ...     def add(self, outputs, targets):
    ...         self.sums["error"] = np.maximum(self.sums["error"], np.abs(outputs - targets).max())
    ...     def value(self):
    ...         return float(self.sums["error"])
    >>> metric = Worst()
    >>> for outputs in (1.5, -2.0, 0.5):
    ...     metric.add(np.array([outputs]), np.array([0.5]))
    >>> metric.value(), metric(np.array([3.0]), np.array([2.0]))
    (2.5, 1.0)
    """

    name = "metric"

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        raise NotImplementedError(f"{type(self).__name__}: a metric needs reset(), which sets sums")

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__}: a metric needs add(outputs, targets)")

    def value(self) -> Any:
        """The figure: a float, or an array."""
        raise NotImplementedError(f"{type(self).__name__}: a metric needs value()")

    def fresh(self) -> Metric:
        """A metric like this one that has seen no sample."""
        other = copy.copy(self)
        other.reset()
        return other

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """The figure of these samples alone."""
        other = self.fresh()
        other.add(np.asarray(outputs), np.asarray(targets))
        return other.value()


def label_pairs(
    op: str, outputs: np.ndarray, targets: np.ndarray, threshold: float | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The true and the predicted class of each sample, and the number of classes.

    ``outputs`` (N, ..., K) with targets (N, ...) of class numbers or (N, ..., K) of probabilities: the largest counts. With one
    output a sample, or a threshold, each output stands by itself: its class is 1 where it is above the threshold (by default
    0, for logits).
    """
    one = outputs.ndim == 1 or outputs.shape[-1] == 1
    if threshold is not None or one:
        if targets.size != outputs.size or not outputs.size or outputs.shape[0] != targets.shape[0]:
            raise ValueError(f"{op}: wanted outputs and targets of one shape, got {outputs.shape} and {targets.shape}")
        true = targets.reshape(-1) > 0.5
        return true.astype(np.intp), (outputs.reshape(-1) > (threshold or 0)).astype(np.intp), 2
    rows = outputs.shape[:-1] if outputs.ndim >= 2 else None
    if targets.shape not in (rows, outputs.shape) or not outputs.size:
        wanted = "outputs (N, K) with N, K >= 1 and targets (N,) or (N, K), or both with more axes between"
        raise ValueError(f"{op}: wanted {wanted}, got {outputs.shape} and {targets.shape}")
    true = targets.argmax(axis=-1) if targets.shape == outputs.shape else targets
    return true.reshape(-1), outputs.argmax(axis=-1).reshape(-1), outputs.shape[-1]
