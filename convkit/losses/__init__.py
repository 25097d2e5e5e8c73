"""Losses: functions of (outputs, targets) that return (loss, gradient of the loss with respect to the outputs)."""

from convkit.losses.binary import binary_cross_entropy, binary_focal, dice
from convkit.losses.classes import cross_entropy, focal, kl_divergence
from convkit.losses.numbers import huber, mae, mse
from convkit.losses.targets import class_targets

__all__ = [
    "LOSSES", "binary_cross_entropy", "binary_focal", "class_targets", "cross_entropy", "dice", "focal", "huber",
    "kl_divergence", "mae", "mse",
]  # fmt: skip

LOSSES = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_focal": binary_focal,
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "huber": huber,
    "kl_divergence": kl_divergence,
    "mae": mae,
    "mse": mse,
}
