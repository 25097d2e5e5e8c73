"""What every result is checked against before it is timed: the definition in float64, one place of the window at a time.

Here are convolution and pooling; definition_ops.py and definition_nets.py have the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from .libraries.data import arrays
from .shapes import Case, Conv, Network, Op, Pool


def define(case: Case, what: str, dtype: str) -> np.ndarray:
    """The result of a pass, channels first, in float64, from inputs rounded to `dtype`."""
    if isinstance(case, Network):
        from .definition_nets import network

        return network(case, dtype)
    data = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in arrays(case, dtype).items()}
    if isinstance(case, Op):
        from .definition_ops import op

        return op(case, what, **data)
    return conv(case, what, **data) if isinstance(case, Conv) else pool(case, what, **data)


def error(case: Case, got: np.ndarray, truth: np.ndarray) -> float:
    """The largest error, as a share of the largest result; of a step of training, by the norms of its gradients."""
    if isinstance(case, Network) and case.training:
        from .definition_nets import step_error

        return step_error(case, got, truth)
    return float(np.abs(got - truth).max() / np.abs(truth).max())


def tolerance(case: Case, what: str, dtype: str) -> float:
    """Largest accepted error, as a share of the largest result.

    Rounding errors of a sum grow with the square root of its terms, and ten times as far in the larger forms of Winograd
    that some libraries have; a multiplication in a shorter type (bfloat16, TF32) gives far more and is found. In a step of
    training, ReLU lets some numbers through in one library and not in another, where they are near zero: a few of many,
    which shows in the gradients all the same, with the square root of the rounding error.
    """
    eps = float(np.finfo(dtype).eps)
    if isinstance(case, Network):
        return eps * (4e5 if what == "step" else 1000)
    return eps * (100 if isinstance(case, Op) else 24 * max(4, case.terms(what)) ** 0.5)


def _taps(case: Conv | Pool, dilation: int) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each place in the window, with the pixels of the padded map that it meets."""
    for tap in product(*map(range, case.kernel)):
        starts = [t * dilation for t in tap]
        pairs = zip(starts, case.out_spatial, strict=True)
        yield tap, (..., *(slice(start, start + case.stride * (n - 1) + 1, case.stride) for start, n in pairs))


def _padded(x: np.ndarray, padding: int, value: float) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * (x.ndim - 2)], constant_values=value)


def _inside(case: Conv | Pool, padded: np.ndarray) -> np.ndarray:
    return padded[(..., *(slice(case.padding, case.padding + n) for n in case.spatial))]


def conv(case: Conv, what: str, x: np.ndarray, w: np.ndarray, b: np.ndarray, dy: np.ndarray) -> np.ndarray:
    groups, pixels = case.groups, prod(case.out_spatial)
    xp = _padded(x, case.padding, 0.0)
    dxp, dw, y = np.zeros_like(xp), np.zeros_like(w), np.zeros(dy.shape).reshape(case.batch, groups, -1, pixels)
    dy = dy.reshape(y.shape)
    for tap, met in _taps(case, case.dilation):
        filters = w[(..., *tap)].reshape(groups, case.filters // groups, case.channels // groups)
        patch = xp[met].reshape(case.batch, groups, case.channels // groups, pixels)
        if what == "fwd":
            y += filters @ patch
        elif what == "dx":
            dxp[met] += (filters.swapaxes(1, 2) @ dy).reshape(xp[met].shape)
        else:
            dw[(..., *tap)] = (dy @ patch.swapaxes(2, 3)).sum(0).reshape(case.filters, -1)
    if what == "fwd":
        return y.reshape(case.batch, case.filters, *case.out_spatial) + b.reshape(-1, *[1] * len(case.spatial))
    return _inside(case, dxp) if what == "dx" else dw


def pool(case: Pool, what: str, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    is_max = case.family == "max"
    xp = _padded(x, case.padding, -np.inf if is_max else 0.0)
    if is_max:
        y = np.full(dy.shape, -np.inf)
        for _, met in _taps(case, 1):
            np.maximum(y, xp[met], out=y)
    else:
        y = sum(xp[met] for _, met in _taps(case, 1)) / prod(case.kernel)
    if what == "fwd":
        return y
    dxp, free = np.zeros_like(xp), np.full(dy.shape, True)
    for _, met in _taps(case, 1):  # the first maximum takes the gradient
        taken = free & (xp[met] == y) if is_max else free
        dxp[met] += np.where(taken, dy, 0.0) / (1 if is_max else prod(case.kernel))
        free = free & ~taken if is_max else free
    return _inside(case, dxp)
