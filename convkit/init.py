"""Starting values of parameters."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["he_normal"]


def he_normal(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
    """Normal values of variance ``2 / fan_in``, which keeps the scale of activations through ReLU layers.

    Drawn in float64 and rounded, so that a float32 and a float64 model of one seed start from the same weights.
    Source: He et al., "Delving Deep into Rectifiers", 2015, eq. 10.

    Parameters
    ----------
    shape : tuple of int (out_channels, ..., in_channels)
        Filters; ``fan_in`` is the product of all sizes but the first.
    rng : numpy.random.Generator
    dtype : float32 or float64

    Returns
    -------
    ndarray of the given shape

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.init import he_normal
    >>> w = he_normal((64, 3, 3, 50), np.random.default_rng(0), np.float32)
    >>> bool(abs(w.var() * 450 / 2 - 1) < 0.05)
    True
    """
    fan_in = max(math.prod(shape[1:]), 1)
    values = rng.standard_normal(shape)
    values *= math.sqrt(2 / fan_in)
    return values.astype(dtype, copy=False)
