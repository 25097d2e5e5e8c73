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
        What `learn` added up since the last `clear`, which `Model.fit` calls before each step; then zeros, in a new array.
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
        self._grad: np.ndarray | None = None            # None is zeros: most gradients have one part, which needs no sum
        self.version = 0

    @property
    def grad(self) -> np.ndarray:
        if self._grad is None:
            self._grad = np.zeros_like(self._value)
        return self._grad

    @grad.setter
    def grad(self, new: np.ndarray) -> None:
        self._grad = new

    def clear(self) -> None:
        """Forgets the gradient."""
        self._grad = None

    def learn(self, gradient: np.ndarray) -> None:
        """Adds to the gradient; the first one is kept as it is, so it must be nobody else's."""
        gradient = gradient.reshape(self._value.shape)
        if self._grad is None:
            self._grad = gradient.astype(self._value.dtype, copy=False)
        else:
            self._grad += gradient

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
