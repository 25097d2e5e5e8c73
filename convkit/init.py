"""Starting values of parameters."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["he_normal"]


def he_normal(
    shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype, fan_in: int | None = None
) -> np.ndarray:
    """Normal values of variance ``2 / fan_in``, which keeps the scale of activations through ReLU layers.

    Drawn in float64 and rounded, so that a float32 and a float64 model of one seed start from the same weights.
    Source: He et al., "Delving Deep into Rectifiers", 2015, eq. 10.

    Parameters
    ----------
    shape : tuple of int (out_channels, ..., in_channels)
    rng : numpy.random.Generator
    dtype : float32 or float64
    fan_in : int, optional
        Products that are summed for one output; if not given, the product of all sizes of the filters but the first.

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
    fan_in = math.prod(shape[1:]) if fan_in is None else fan_in
    values = rng.standard_normal(shape)
    values *= math.sqrt(2 / max(fan_in, 1))
    return values.astype(dtype, copy=False)
