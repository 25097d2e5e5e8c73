"""Layer and root-mean-square normalisation over the last axes, local response normalisation over neighbouring channels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convkit._core import norm as core
from convkit.ops import check
from convkit.ops.norm import checked_eps
from convkit.ops.pointwise import check_out, number, pair, returned, target, workers
from convkit.plan import geometry

__all__ = [
    "layer_norm", "layer_norm_grad", "local_response_norm", "local_response_norm_grad", "rms_norm", "rms_norm_grad",
]  # fmt: skip


def layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5, return_stats: bool = False,
    out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Normalisation over the last axes, ``y = (x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    x : array_like of shape (..., *normalized_shape), float32 or float64
    normalized_shape : int or tuple of int
        Sizes of the last axes, over which mean and var are taken.
    weight, bias : array_like of shape normalized_shape, optional
        1 and 0 if not given.
    eps : float >= 0, default 1e-5
    return_stats : bool, default False
        Also return what `layer_norm_grad` takes: mean and var of each row, float64 of shape (rows, 2).
    out : ndarray of the shape of x, optional
    threads : int, optional

    Returns
    -------
    y : ndarray of the shape of x
    stats : ndarray, only with `return_stats`

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import layer_norm
    >>> layer_norm(np.array([[1.0, 3.0], [5.0, 9.0]]), 2, eps=0.0)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    return _rows("layer_norm", x, normalized_shape, weight, bias, eps, True, return_stats, out, threads)


def layer_norm_grad(
    dy: Any, x: Any, normalized_shape: Any, weight: Any = None, *, stats: Any = None, eps: float = 1e-5,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of layer_norm, (dx, dweight, dbias); arguments as of `layer_norm`.

    >>> import numpy as np
    >>> from convkit.ops import layer_norm_grad
    >>> layer_norm_grad(np.ones((1, 2)), np.array([[1.0, 3.0]]), 2, eps=0.0)
    (array([[0., 0.]]), array([-1.,  1.]), array([1., 1.]))
    """
    return _rows_grad("layer_norm_grad", dy, x, normalized_shape, weight, stats, eps, True, threads)


def rms_norm(
    x: Any, normalized_shape: Any, weight: Any = None, *, eps: float | None = None, return_stats: bool = False,
    out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Division by the root of the mean square over the last axes, ``y = x / sqrt(mean(x**2) + eps) * weight``.

    Arguments as of `layer_norm`; eps is the machine epsilon of the dtype if not given.

    >>> import numpy as np
    >>> from convkit.ops import rms_norm
    >>> rms_norm(np.array([[1.0, 7.0]]), 2, eps=0.0)
    array([[0.2, 1.4]])
    """
    return _rows("rms_norm", x, normalized_shape, weight, None, eps, False, return_stats, out, threads)


def rms_norm_grad(
    dy: Any, x: Any, normalized_shape: Any, weight: Any = None, *, stats: Any = None, eps: float | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of rms_norm, (dx, dweight); arguments as of `rms_norm`.

    >>> import numpy as np
    >>> from convkit.ops import rms_norm_grad
    >>> rms_norm_grad(np.ones((1, 2)), np.array([[1.0, 7.0]]), 2, eps=0.0)[1]
    array([0.2, 1.4])
    """
    return _rows_grad("rms_norm_grad", dy, x, normalized_shape, weight, stats, eps, False, threads)[:2]


def local_response_norm(
    x: Any, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, layout: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Division by the squares of neighbouring channels, ``y = x / (k + alpha / size * sum(x**2))**beta``.

    The sum for channel c is over channels ``c - size // 2`` to ``c + (size - 1) // 2``; x is (N, ..., C), or with the channels
    second by layout "NCL", "NCHW" or "NCDHW".

    >>> import numpy as np
    >>> from convkit.ops import local_response_norm
    >>> local_response_norm(np.array([[3.0, 4.0]]), 2, alpha=2.0, beta=0.5, k=0.0)
    array([[1. , 0.8]])
    """
    op = "local_response_norm"
    first, x = _channels_last(x, layout, op, "x")
    size, alpha, beta, k = _response(size, alpha, beta, k, op)
    if out is not None:
        check_out(op, out, np.moveaxis(x, -1, 1) if first else x)
    y = x / (k + alpha / size * _window_sum(x * x, size)) ** beta
    y = np.moveaxis(y, -1, 1) if first else y
    if out is None:
        return y
    out[...] = y
    return out


def local_response_norm_grad(
    dy: Any, x: Any, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, layout: str | None = None
) -> np.ndarray:  # fmt: skip
    """Gradient of local_response_norm; arguments as of that.

    >>> import numpy as np
    >>> from convkit.ops import local_response_norm_grad
    >>> local_response_norm_grad(np.ones((1, 1)), np.array([[3.0]]), 1, alpha=0.0, k=4.0, beta=0.5)
    array([[0.5]])
    """
    op = "local_response_norm_grad"
    dy, x = pair(op, dy, x)
    first, x = _channels_last(x, layout, op, "x")
    dy = np.moveaxis(dy, 1, -1) if first else dy
    size, alpha, beta, k = _response(size, alpha, beta, k, op)
    base = k + alpha / size * _window_sum(x * x, size)
    share = dy * x * base ** (-beta - 1)
    dx = dy * base**-beta - 2 * alpha * beta / size * x * _window_sum(share[..., ::-1], size)[..., ::-1]
    return np.moveaxis(dx, -1, 1) if first else dx


def _window_sum(x: np.ndarray, size: int) -> np.ndarray:
    """The sum over channels c - size // 2 to c + (size - 1) // 2, for each c."""
    channels, total = x.shape[-1], np.zeros_like(x)
    for shift in range(max(-(size // 2), 1 - channels), min((size - 1) // 2, channels - 1) + 1):
        lo, hi = max(0, -shift), min(channels, channels - shift)
        total[..., lo:hi] += x[..., lo + shift : hi + shift]
    return total


def _channels_last(x: Any, layout: Any, op: str, name: str) -> tuple[bool, np.ndarray]:
    x = check.array(x, op, name)
    rank = x.ndim - 2
    if not 0 <= rank <= 3:
        raise ValueError(f"{op}: {name} must be 2-D to 5-D (N, ..., C), got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op) if rank else False
    return first, np.moveaxis(x, 1, -1) if first else x


def _response(size: Any, alpha: Any, beta: Any, k: Any, op: str) -> tuple[int, float, float, float]:
    size = geometry.integer(size, op, "size")
    if size < 1:
        raise ValueError(f"{op}: size must be >= 1, got {size}")
    return size, number(alpha, op, "alpha"), number(beta, op, "beta"), number(k, op, "k")


def _rows(op, x, normalized_shape, weight, bias, eps, centered, return_stats, out, threads):
    x = check.array(x, op, "x")
    shape, weight, bias, eps = _arguments(op, x, normalized_shape, weight, bias, eps)
    return_stats = check.flag(return_stats, op, "return_stats")
    if out is not None:
        check_out(op, out, x)
    count, axes = workers(threads, x.size, op), tuple(range(x.ndim))
    n = prod(shape)
    stats = np.zeros((prod(x.shape[: x.ndim - len(shape)]), 2))
    x = np.ascontiguousarray(x)
    y = target(out, x.shape, x.dtype, axes, (x, weight, bias), op)
    if x.size:
        core.rows(x.reshape(-1, n), None, weight, bias, y.reshape(-1, n), stats, None, eps, centered, count)
    y = returned(y, out, axes)
    return (y, stats) if return_stats else y


def _rows_grad(op, dy, x, normalized_shape, weight, stats, eps, centered, threads):
    dy, x = pair(op, dy, x)
    shape, weight, _, eps = _arguments(op, x, normalized_shape, weight, None, eps)
    count, n = workers(threads, x.size, op), prod(shape)
    rows = prod(x.shape[: x.ndim - len(shape)])
    dy, x, dx = np.ascontiguousarray(dy), np.ascontiguousarray(x), check.empty(x.shape, x.dtype, op)
    if stats is None:
        stats = np.zeros((rows, 2))
        if x.size:
            core.rows(x.reshape(-1, n), None, None, None, dx.reshape(-1, n), stats, None, eps, centered, count)
    elif not isinstance(stats, np.ndarray) or stats.dtype != np.float64 or stats.shape != (rows, 2):
        raise ValueError(f"{op}: stats must be what the forward pass returned, float64 of shape {(rows, 2)}")
    if not x.size:
        return dx, np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)
    sums = np.zeros((-(-rows // core.row_chunk(n)), 2, n), x.dtype)
    stats = stats.copy()                                # the loops ask for one that they may write
    core.rows(x.reshape(-1, n), dy.reshape(-1, n), weight, None, dx.reshape(-1, n), stats, sums, eps, centered, count)
    dweight, dbias = sums.sum(axis=0, dtype=np.float64).astype(x.dtype)
    return dx, dweight.reshape(shape), dbias.reshape(shape)


def _arguments(op, x, normalized_shape, weight, bias, eps):
    """The normalised shape, the flat weight and bias, and eps."""
    if isinstance(normalized_shape, (tuple, list)):
        shape = geometry.sizes(tuple(normalized_shape), len(normalized_shape), op, "normalized_shape")
    else:
        shape = (geometry.integer(normalized_shape, op, "normalized_shape"),)
    if not shape or x.shape[max(x.ndim - len(shape), 0) :] != shape:
        raise ValueError(f"{op}: x must end in the normalized_shape {shape}, got {x.shape}")
    flat = []
    for name, a in (("weight", weight), ("bias", bias)):
        if a is not None:
            a = check.array(a, op, name)
            check.same_dtype(op, x=x, **{name: a})
            if a.shape != shape:
                raise ValueError(f"{op}: {name} must have shape {shape}, got {a.shape}")
            a = np.ascontiguousarray(a).reshape(-1)
        flat.append(a)
    return shape, *flat, float(np.finfo(x.dtype).eps) if eps is None else checked_eps(eps, op)
