"""relu, softmax, log_softmax and their gradients; the other activations are in activations.py.

Every function takes float32 or float64 arrays of any strides and returns a new array of the same dtype, or `out`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops.pointwise import apply, rows

__all__ = ["log_softmax", "log_softmax_grad", "relu", "relu_grad", "softmax", "softmax_grad"]


def relu(x: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Rectified linear unit, ``max(x, 0)``; NaN stays NaN.

    Parameters
    ----------
    x : array_like of any shape, float32 or float64
    out : ndarray of the shape and dtype of x, optional
        Written and returned; it may be `x` itself.
    threads : int, optional

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError
        If `x` is not float32 or float64, or `out` has another dtype.
    ValueError
        If `out` has another shape, is read-only, or its elements overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import relu
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return apply("relu", "relu", x, None, out, threads)


def relu_grad(dy: Any, y: Any, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Gradient of relu: ``dx = dy where y > 0, else 0``.

    Parameters
    ----------
    dy : array_like of any shape
        Gradient of the result.
    y : array_like of the shape and dtype of dy
        What relu returned (or its input: the signs are the same).
    out : ndarray of the shape and dtype of dy, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of dy

    Raises
    ------
    TypeError, ValueError
        As in `relu`, and if `dy` and `y` differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import relu_grad
    >>> relu_grad(np.array([5.0, 7.0]), np.array([0.0, 2.0]))
    array([0., 7.])
    """
    return apply("relu_grad", "relu", y, dy, out, threads, name="y")


def softmax(x: Any, axis: int = -1, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Softmax along one axis, ``exp(x - m) / sum(exp(x - m))`` with ``m = max(x)``.

    Subtracting the maximum keeps values like 1e4 exact. A row that is all -inf, or that holds +inf or NaN, has no
    softmax and gives NaN.

    Parameters
    ----------
    x : array_like of any shape but 0-D, float32 or float64
    axis : int, default -1
    out : ndarray of the shape and dtype of x, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `relu`, and if `axis` is not an axis of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import softmax
    >>> softmax(np.array([1e4, 1e4, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    return rows("softmax", "softmax", x, None, axis, out, threads)


def softmax_grad(dy: Any, y: Any, axis: int = -1, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Gradient of softmax: ``dx = y * (dy - sum(dy * y))``.

    Parameters
    ----------
    dy : array_like of any shape but 0-D
        Gradient of the result.
    y : array_like of the shape and dtype of dy
        What softmax returned.
    axis : int, default -1
    out : ndarray of the shape and dtype of dy, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of dy

    Raises
    ------
    TypeError, ValueError
        As in `softmax`, and if `dy` and `y` differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import softmax_grad
    >>> softmax_grad(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return rows("softmax_grad", "softmax_grad", dy, y, axis, out, threads)


def log_softmax(x: Any, axis: int = -1, *, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Logarithm of the softmax, ``x - m - log(sum(exp(x - m)))`` with ``m = max(x)``.

    More exact than ``log(softmax(x))``, whose small values underflow. A row that is all -inf, or that holds +inf or
    NaN, gives NaN.

    Parameters
    ----------
    x : array_like of any shape but 0-D, float32 or float64
    axis : int, default -1
    out : ndarray of the shape and dtype of x, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import log_softmax
    >>> log_softmax(np.array([1e4, 0.0]))
    array([     0., -10000.])
    """
    return rows("log_softmax", "log_softmax", x, None, axis, out, threads)


def log_softmax_grad(
    dy: Any, y: Any, axis: int = -1, *, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of log_softmax: ``dx = dy - exp(y) * sum(dy)``.

    Parameters
    ----------
    dy : array_like of any shape but 0-D
        Gradient of the result.
    y : array_like of the shape and dtype of dy
        What log_softmax returned.
    axis : int, default -1
    out : ndarray of the shape and dtype of dy, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of dy

    Raises
    ------
    TypeError, ValueError
        As in `softmax_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import log_softmax_grad
    >>> log_softmax_grad(np.array([1.0, 0.0]), np.log([0.5, 0.5]))
    array([ 0.5, -0.5])
    """
    return rows("log_softmax_grad", "log_softmax_grad", dy, y, axis, out, threads)
