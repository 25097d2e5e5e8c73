"""Metrics of classification: counts of which class was taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.metrics.base import Metric, label_pairs

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "IoU", "Precision", "Recall", "TopK", "accuracy"]

AVERAGES = ("macro", "micro", "binary")


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Share of the rows whose largest output is the target class.

    Parameters
    ----------
    outputs : ndarray of shape (N, K) or (N, ..., K)
        Logits or probabilities; a single one for each sample means class 1 where it is above 0.
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
    return Accuracy()(outputs, targets)


class Share(Metric):
    """Right answers by all answers."""

    def reset(self) -> None:
        self.sums = {"right": np.zeros((), np.int64), "all": np.zeros((), np.int64)}

    def count(self, right: np.ndarray) -> None:
        self.sums["right"] = self.sums["right"] + np.count_nonzero(right)
        self.sums["all"] = self.sums["all"] + right.size

    def value(self) -> float:
        return float(self.sums["right"] / max(self.sums["all"], 1))


class Accuracy(Share):
    """Share of the samples (or pixels) whose class is right.

    Parameters
    ----------
    threshold : float, optional
        Takes each output by itself: 1 where it is above the threshold. One output a sample is always taken so, by
        default at 0, which suits logits; give 0.5 for probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import Accuracy
    >>> metric = Accuracy()
    >>> metric.add(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> metric.add(np.array([[0.3, 0.7]]), np.array([1]))
    >>> round(metric.value(), 3), Accuracy(threshold=0.5)([0.4, 0.6], [1, 1])
    (0.667, 0.5)
    """

    name = "accuracy"

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        super().__init__()

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        true, taken, _ = label_pairs("accuracy", outputs, targets, self.threshold)
        self.count(true == taken)


class TopK(Share):
    """Share of the samples whose class is among the `k` largest outputs; of equal outputs, the first count.

    Parameters
    ----------
    k : int >= 1, default 5

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import TopK
    >>> TopK(2)(np.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]]), np.array([2, 0]))
    0.5
    """

    name = "top_k"

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"TopK: k must be an int >= 1, got {k!r}")
        self.k = int(k)
        super().__init__()

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        true, _, k = label_pairs("top_k", outputs, targets, None)
        if outputs.ndim < 2 or outputs.shape[-1] < 2:
            raise ValueError(f"top_k: wanted outputs of 2 classes or more, got shape {outputs.shape}")
        scores = outputs.reshape(-1, k)
        own = scores[np.arange(len(true)), true][:, None]
        before = np.count_nonzero((scores > own) | ((scores == own) & (np.arange(k) < true[:, None])), axis=1)
        self.count((before < self.k) & ~np.isnan(own[:, 0]))


class ConfusionMatrix(Metric):
    """How often each class (row) was taken for each (column).

    Parameters
    ----------
    threshold : float, optional
        As of `Accuracy`.
    ignore : int, optional
        A label in the targets that stands for none.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import ConfusionMatrix
    >>> ConfusionMatrix()(np.eye(3)[[0, 1, 1, 2]], np.array([0, 1, 2, 2]))
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """

    name = "confusion_matrix"

    def __init__(self, threshold: float | None = None, ignore: int | None = None) -> None:
        self.threshold, self.ignore = threshold, ignore
        super().__init__()

    def reset(self) -> None:
        self.sums = {"matrix": np.zeros((0, 0), np.int64)}

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        true, taken, k = label_pairs(self.name, outputs, targets, self.threshold)
        if self.ignore is not None:
            known = true != self.ignore
            true, taken = true[known], taken[known]
        if true.size and not (true.min() >= 0 and true.max() < k):
            raise ValueError(f"{self.name}: targets must be classes 0..{k - 1}, got {true.min()}..{true.max()}")
        counts = np.bincount(true * k + taken, minlength=k * k).reshape(k, k)
        self.sums["matrix"] = counts + self.sums["matrix"] if self.sums["matrix"].size else counts

    def value(self) -> Any:
        return self.sums["matrix"].copy()


class Averaged(ConfusionMatrix):
    """A figure of each class, averaged over the classes."""

    def __init__(self, average: str | None = None, *, threshold: float | None = None, ignore: int | None = None) -> None:
        if average is not None and average not in AVERAGES:
            raise ValueError(f"{type(self).__name__}: average must be one of {', '.join(AVERAGES)}, got {average!r}")
        self.average = average
        super().__init__(threshold, ignore)

    def add(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        super().add(outputs, targets)
        self.sums["single"] = np.array(self.threshold is not None or outputs.ndim == 1 or outputs.shape[-1] == 1)

    def value(self) -> float:
        matrix = self.sums["matrix"]
        right, true, taken = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        average = self.average or ("binary" if self.sums.get("single") else "macro")
        if average == "micro":
            return float(self.ratio(right.sum(), true.sum(), taken.sum()))
        each = self.ratio(right, true, taken)
        if average == "binary":
            if len(each) != 2:
                raise ValueError(f"{self.name}: average='binary' is for 2 classes, got {len(each)}")
            return float(each[1])
        seen = (true + taken) > 0
        return float(each[seen].mean()) if seen.any() else 0.0

    def ratio(self, right: Any, true: Any, taken: Any) -> Any:
        raise NotImplementedError


class Precision(Averaged):
    """Of what was taken for a class, the share that is of it: ``tp / (tp + fp)``, 0 where nothing was.

    Parameters
    ----------
    average : "macro", "micro" or "binary", optional
        The mean over the classes that occur, in targets or outputs; the ratio of sums over all classes; or that of class 1
        alone. By default "binary" for one output a sample, else "macro".
    threshold : float, optional
        As of `Accuracy`.
    ignore : int, optional
        A label in the targets that stands for none.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import Precision
    >>> outputs, targets = np.eye(3)[[0, 1, 1, 2]], np.array([0, 1, 2, 2])
    >>> round(Precision()(outputs, targets), 4), Precision("micro")(outputs, targets)
    (0.8333, 0.75)
    """

    name = "precision"

    def ratio(self, right: Any, true: Any, taken: Any) -> Any:
        return right / np.maximum(taken, 1)


class Recall(Averaged):
    """Of what is of a class, the share that was taken for it: ``tp / (tp + fn)``, 0 where nothing is.

    Parameters
    ----------
    average, threshold, ignore
        As of `Precision`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import Recall
    >>> Recall("binary")([2.0, -1.0, 3.0], [1, 1, 0])
    0.5
    """

    name = "recall"

    def ratio(self, right: Any, true: Any, taken: Any) -> Any:
        return right / np.maximum(true, 1)


class F1(Averaged):
    """Harmonic mean of precision and recall of a class: ``2 tp / (2 tp + fp + fn)``.

    Parameters
    ----------
    average, threshold, ignore
        As of `Precision`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import F1
    >>> round(F1()([2.0, -1.0, 3.0, 1.0], [1, 1, 0, 1]), 4)
    0.6667
    """

    name = "f1"

    def ratio(self, right: Any, true: Any, taken: Any) -> Any:
        return 2 * right / np.maximum(true + taken, 1)


class IoU(Averaged):
    """Intersection over union of a class: ``tp / (tp + fp + fn)``; the mean over classes is mIoU.

    Parameters
    ----------
    average, threshold, ignore
        As of `Precision`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.metrics import IoU
    >>> round(IoU()(np.eye(2)[[[0, 1], [1, 1]]], np.array([[0, 0], [1, 1]])), 4)
    0.5833
    """

    name = "iou"

    def ratio(self, right: Any, true: Any, taken: Any) -> Any:
        return right / np.maximum(true + taken - right, 1)
