"""The ops between the convolutions, and their gradients, in float64."""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np

from .shapes import Op

ERF = np.frompyfunc(erf, 1, 1)
GROUPS, EPS = 32, 1e-5


def op(case: Op, what: str, x: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """y for "fwd", dx for "both"; of a loss the value is one number, and dy is 1."""
    name = case.family
    if name.startswith("resize"):
        return _resize(name, what, x, dy)
    if name.endswith("norm") or name.startswith("batch_norm"):
        return _norm(name, what, x, dy, w, b)
    if name in ("softmax", "cross_entropy"):
        p = np.exp(x - x.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        if name == "softmax":
            return p if what == "fwd" else p * (dy - (dy * p).sum(1, keepdims=True))
        one = np.arange(x.shape[1]) == labels[:, None]
        return -np.log(p[one]).mean(keepdims=True) if what == "fwd" else (p - one) / len(x)
    y, slope = _activation(name, x)
    return y if what == "fwd" else dy * slope


def _activation(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The function and its derivative."""
    if name == "relu":
        return np.maximum(x, 0), (x > 0).astype(x.dtype)
    if name == "tanh":
        return np.tanh(x), 1 - np.tanh(x) ** 2
    if name == "silu":
        s = 1 / (1 + np.exp(-x))
        return x * s, s * (1 + x * (1 - s))
    under = 0.5 * (1 + ERF(x / sqrt(2)).astype(float))                     # gelu
    return x * under, under + x * np.exp(-(x**2) / 2) / sqrt(2 * pi)


def _norm(name: str, what: str, x: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    shape = x.shape
    w, b = (a.reshape(1, -1, *[1] * (x.ndim - 2)) for a in (w, b))
    if name == "batch_norm_relu":
        seen, axes = x, (0, *range(2, x.ndim))
    elif name == "group_norm":
        seen, axes = x.reshape(shape[0], GROUPS, -1), (2,)
    else:
        seen, axes = x, (1,)                                                # layer_norm of rows
    rstd = 1 / np.sqrt(seen.var(axes, keepdims=True) + EPS)
    xhat = (seen - seen.mean(axes, keepdims=True)) * rstd
    y = xhat.reshape(shape) * w + b
    relu = name == "batch_norm_relu"
    if what == "fwd":
        return np.maximum(y, 0) if relu else y
    dxhat = ((dy * (y > 0) if relu else dy) * w).reshape(seen.shape)
    means = dxhat.mean(axes, keepdims=True), (dxhat * xhat).mean(axes, keepdims=True)
    return (rstd * (dxhat - means[0] - xhat * means[1])).reshape(shape)


def _resize(name: str, what: str, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Twice the size of both axes, by half-pixel centres: a matrix for each axis."""
    rows, columns = (_matrix(name, n).astype(x.dtype) for n in x.shape[2:])
    if what == "fwd":
        return rows @ x @ columns.T
    return rows.T @ dy @ columns


def _matrix(name: str, n: int) -> np.ndarray:
    matrix, o = np.zeros((2 * n, n)), np.arange(2 * n)
    if name == "resize_nearest":
        matrix[o, o // 2] = 1
        return matrix
    place = (o + 0.5) / 2 - 0.5
    low = np.floor(place).astype(int)
    for source, weight in ((low, 1 - (place - low)), (low + 1, place - low)):
        np.add.at(matrix, (o, source.clip(0, n - 1)), weight)
    return matrix
