"""Losses for numbers: squared, absolute and Huber."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.losses.targets import pair, reduced
from convkit.ops.check import number

__all__ = ["huber", "mae", "mse"]


def mse(outputs: Any, targets: Any, *, reduction: str = "mean") -> tuple[Any, np.ndarray]:
    """Mean squared error: ``loss = mean((outputs - targets)**2)`` over all elements.

    Parameters
    ----------
    outputs : array_like of any shape, float32 or float64
    targets : array_like of the shape and dtype of outputs
    reduction : "mean", "sum" or "none"
        "none" keeps the loss of each element.

    Returns
    -------
    loss : float, or with reduction="none" ndarray of the shape of outputs
    doutputs : ndarray of the shape and dtype of outputs
        Gradient of the loss, or of the sum of the losses: for the mean ``2 * (outputs - targets) / size``.

    Raises
    ------
    TypeError
        If the arrays are not float32 or float64, or differ in dtype.
    ValueError
        If they differ in shape or are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import mse
    >>> mse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    (2.0, array([ 0., -2.]))
    """
    outputs, targets = pair(outputs, targets, "mse")
    error = outputs - targets
    losses = error * error
    error *= 2
    return reduced(losses, error, reduction, float(error.size), "mse")


def mae(outputs: Any, targets: Any, *, reduction: str = "mean") -> tuple[Any, np.ndarray]:
    """Mean absolute error: ``loss = mean(|outputs - targets|)`` over all elements; the gradient of an exact hit is 0.

    Parameters
    ----------
    outputs, targets, reduction
        As in `mse`.

    Returns
    -------
    loss, doutputs
        As in `mse`; the gradient is the sign of the error.

    Raises
    ------
    TypeError, ValueError
        As in `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import mae
    >>> mae(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    (1.0, array([ 0. , -0.5]))
    """
    outputs, targets = pair(outputs, targets, "mae")
    error = outputs - targets
    losses = np.abs(error)
    return reduced(losses, np.sign(error, out=error), reduction, float(error.size), "mae")


def huber(outputs: Any, targets: Any, *, delta: float = 1.0, reduction: str = "mean") -> tuple[Any, np.ndarray]:
    """Huber loss: squared near 0, absolute beyond delta.

    ``loss = mean(e*e / 2 if |e| <= delta else delta * (|e| - delta/2))`` with ``e = outputs - targets``, over all elements.

    Parameters
    ----------
    outputs, targets, reduction
        As in `mse`.
    delta : float > 0, default 1

    Returns
    -------
    loss, doutputs
        As in `mse`; the gradient is the error, cut to -delta..delta.

    Raises
    ------
    TypeError, ValueError
        As in `mse`, and if `delta` is no number above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.losses import huber
    >>> huber(np.array([1.0, 2.0]), np.array([1.5, 4.0]))
    (0.8125, array([-0.25, -0.5 ]))
    """
    outputs, targets = pair(outputs, targets, "huber")
    bound = outputs.dtype.type(number(delta, "huber", "delta", 0, above=True))
    error = outputs - targets
    slope = np.clip(error, -bound, bound)
    losses = slope * (error - slope / 2)                # both branches: e * e/2, and delta * (|e| - delta/2)
    return reduced(losses, slope, reduction, float(error.size), "huber")
