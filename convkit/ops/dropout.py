"""Dropout of numbers and of whole channels. What is dropped depends on the seed and on positions alone, so no mask is kept:
the gradient is asked for with the same seed."""

from __future__ import annotations

import numbers
from math import prod
from typing import Any

import numpy as np

from convkit._core import act as core
from convkit.ops import check
from convkit.ops.pointwise import check_out, returned, target, workers
from convkit.plan import geometry

__all__ = ["alpha_dropout", "alpha_dropout_grad", "dropout", "dropout_grad", "spatial_dropout", "spatial_dropout_grad"]

SATURATED = -1.7580993408473766                         # what selu tends to far below 0


def dropout(x: Any, p: float = 0.5, *, seed: int, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """Each number is 0 with probability p, the others are divided by 1 - p.

    Parameters
    ----------
    x : array_like of any shape, float32 or float64
    p : float in [0, 1], default 0.5
        Share dropped; 0 changes nothing, 1 gives zeros.
    seed : int in 0..2**64-1
        Which numbers are dropped depends on it and on their places in x, in row-major order: not on threads, strides or
        instruction sets. The generator is Threefry-2x32 with 13 rounds (Salmon and others, 2011).
    out : ndarray of the shape and dtype of x, optional
    threads : int, optional

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import dropout
    >>> y = dropout(np.ones(1000), 0.25, seed=1)
    >>> np.unique(y), bool(0.2 < (y == 0).mean() < 0.3)
    (array([0.        , 1.33333333]), True)
    """
    return _drop("dropout", x, p, seed, _gain(p, "dropout"), 0, 0, out, threads)


def dropout_grad(
    dy: Any, p: float = 0.5, *, seed: int, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of dropout with this seed: dy where x was kept, divided by 1 - p; arguments as of `dropout`.

    >>> import numpy as np
    >>> from convkit.ops import dropout, dropout_grad
    >>> bool(np.all(dropout_grad(np.ones(50), seed=3) == dropout(np.ones(50), seed=3)))
    True
    """
    return _drop("dropout_grad", dy, p, seed, _gain(p, "dropout_grad"), 0, 0, out, threads, "dy")


def alpha_dropout(
    x: Any, p: float = 0.5, *, seed: int, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Dropout that keeps mean 0 and variance 1, for use with selu: ``a * (x, or -1.758 with probability p) + b``.

    Arguments as of `dropout`; p = 1 gives zeros.

    >>> import numpy as np
    >>> from convkit.ops import alpha_dropout
    >>> y = alpha_dropout(np.random.default_rng(0).standard_normal(100000), 0.3, seed=0)
    >>> bool(abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02)
    True
    """
    return _drop("alpha_dropout", x, p, seed, *_alpha(p, "alpha_dropout"), out, threads)


def alpha_dropout_grad(
    dy: Any, p: float = 0.5, *, seed: int, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of alpha_dropout with this seed, ``a * dy`` where x was kept; arguments as of `dropout`.

    >>> import numpy as np
    >>> from convkit.ops import alpha_dropout_grad
    >>> np.unique(alpha_dropout_grad(np.ones(100), seed=0)).round(4)
    array([0.    , 0.8864])
    """
    a, _, _ = _alpha(p, "alpha_dropout_grad")
    return _drop("alpha_dropout_grad", dy, p, seed, a, 0, 0, out, threads, "dy")


def spatial_dropout(
    x: Any, p: float = 0.5, *, seed: int, layout: str | None = None, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Dropout of whole channels: each channel of each image is 0 with probability p, the others are divided by 1 - p.

    x is (N, ..., C), or with the channels second by layout "NCL", "NCHW" or "NCDHW"; other arguments as of `dropout`.

    >>> import numpy as np
    >>> from convkit.ops import spatial_dropout
    >>> y = spatial_dropout(np.ones((1, 2, 2, 6)), seed=1)
    >>> bool(np.all(y == y[:, :1, :1]))
    True
    """
    return _drop_channels("spatial_dropout", x, p, seed, layout, out, threads)


def spatial_dropout_grad(
    dy: Any, p: float = 0.5, *, seed: int, layout: str | None = None, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of spatial_dropout with this seed, the same function of dy; arguments as of `spatial_dropout`.

    >>> import numpy as np
    >>> from convkit.ops import spatial_dropout_grad
    >>> np.unique(spatial_dropout_grad(np.ones((1, 2, 2, 64)), seed=1))
    array([0., 2.])
    """
    return _drop_channels("spatial_dropout_grad", dy, p, seed, layout, out, threads, "dy")


def share(p: Any, op: str) -> float:
    """`p` as a probability."""
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real):
        raise TypeError(f"{op}: p must be a number, got {p!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p must be in [0, 1], got {p}")
    return float(p)


def _seed(seed: Any, op: str) -> int:
    seed = geometry.integer(seed, op, "seed")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{op}: seed must be in 0..2**64-1, got {seed}")
    return seed


def _alpha(p: Any, op: str) -> tuple[float, float, float]:
    """a and b of what is kept, and what a dropped number becomes."""
    p = share(p, op)
    if p == 1:
        return 0.0, 0.0, 0.0
    a = ((1 - p) * (1 + p * SATURATED**2)) ** -0.5
    b = -a * p * SATURATED
    return a, b, a * SATURATED + b


def _gain(p: Any, op: str) -> float:
    """What a number that is kept is multiplied by."""
    p = share(p, op)
    return 1 / (1 - p) if p < 1 else 0.0


def _drop(op, x, p, seed, a, b, c, out, threads, name="x"):
    """a * x + b, or c where the generator says so."""
    x, p, seed = check.array(x, op, name), share(p, op), _seed(seed, op)
    if out is not None:
        check_out(op, out, x)
    count, axes = workers(threads, x.size, op), tuple(range(x.ndim))
    x = np.ascontiguousarray(x)
    y = target(out, x.shape, x.dtype, axes, (x,), op)
    if p in (0, 1):
        y[...] = x if p == 0 else 0
    elif y.size:
        core.dropout(x.reshape(-1), y.reshape(-1), seed, min(round(p * 2**32), 2**32 - 1), a, b, c, count)
    return returned(y, out, axes)


def _drop_channels(op, x, p, seed, layout, out, threads, name="x"):
    x, p, seed = check.array(x, op, name), share(p, op), _seed(seed, op)
    rank = x.ndim - 2
    if not 0 <= rank <= 3:
        raise ValueError(f"{op}: {name} must be 2-D to 5-D (N, ..., C), got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op) if rank else False
    if out is not None:
        check_out(op, out, x)
    workers(threads, x.size, op)
    x = np.moveaxis(x, 1, -1) if first else x
    gains = np.ones((x.shape[0], x.shape[-1]), x.dtype)
    if prod(gains.shape):
        gains = _drop(op, gains, p, seed, _gain(p, op), 0, 0, None, 1)
    gains = gains.reshape(x.shape[0], *(1,) * rank, x.shape[-1])
    y = np.where(gains > 0, x, x.dtype.type(0))
    y *= gains
    y = np.moveaxis(y, -1, 1) if first else y
    if out is None:
        return y
    out[...] = y
    return out
