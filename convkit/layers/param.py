"""A trainable array with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Param"]


class Param:
    """One trainable array with its gradient.

    Parameters
    ----------
    value : ndarray, float32 or float64

    Attributes
    ----------
    value : ndarray, read-only
        The weights. Set it as a whole (``param.value = w``), or change what `writable` returns: either way layers
        notice and renew what they derived from the old weights.
    grad : ndarray of the shape of value
        Gradients are added here; `Model.fit` clears them before each step.
    version : int
        Goes up with each change of the value.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Param
    >>> p = Param(np.zeros(2))
    >>> p.value = np.ones(2)
    >>> p.writable()[0] = 5
    >>> p.value, p.version
    (array([5., 1.]), 2)
    """

    def __init__(self, value: np.ndarray) -> None:
        self._value = np.ascontiguousarray(value)
        self.grad = np.zeros_like(self._value)
        self.version = 0

    @property
    def value(self) -> np.ndarray:
        view = self._value.view()
        view.flags.writeable = False
        return view

    @value.setter
    def value(self, new: Any) -> None:
        new = np.asarray(new)
        if new.dtype != self._value.dtype:
            raise TypeError(f"Param: value must have dtype {self._value.dtype}, got {new.dtype}")
        if new.shape != self._value.shape:
            raise ValueError(f"Param: value must have shape {self._value.shape}, got {new.shape}")
        self.writable()[...] = new

    def writable(self) -> np.ndarray:
        """The weights for changing in place now; ask again for a later change."""
        self.version += 1
        return self._value
