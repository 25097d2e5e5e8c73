"""Metrics: figures of a whole epoch, from counts that are added up batch by batch."""

from convkit.metrics.auc import AUC
from convkit.metrics.base import Metric
from convkit.metrics.classes import F1, Accuracy, ConfusionMatrix, IoU, Precision, Recall, TopK, accuracy

__all__ = [
    "AUC", "F1", "METRICS", "Accuracy", "ConfusionMatrix", "IoU", "Metric", "Precision", "Recall", "TopK", "accuracy",
]  # fmt: skip

METRICS = {kind.name: kind for kind in (Accuracy, TopK, ConfusionMatrix, Precision, Recall, F1, IoU, AUC)}
