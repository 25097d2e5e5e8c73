"""Layers that bring pixels to the numbers a network likes; they take images of uint8 as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convkit.data import ArrayDataset, Dataset, ahead
from convkit.layers.base import Backward, Layer, Shape
from convkit.ops import check

__all__ = ["Normalize", "Rescale"]

READ = 256  # samples at a time, where statistics are taken of a data set


class _Pixels(Layer):
    """``y = (x - shift) * scale``, with one number each, or one for each channel."""

    takes = (np.dtype(np.uint8),)

    def forward(self, x: np.ndarray, training: bool = False) -> tuple[np.ndarray, Backward | None]:
        """As `Layer.forward`; x may be of uint8 too."""
        if self.dtype is not None and getattr(x, "dtype", None) in self.takes:
            x = x.astype(self.dtype)
        return super().forward(x, training)

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """shift and scale, float64."""
        raise NotImplementedError

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shift, scale = (value.astype(self.dtype) for value in self._numbers())
        y = (x - shift) * scale if shift.any() else x * scale

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray | None:
            return dy * scale if needs_input else None

        return y, backward if training else None


class Rescale(_Pixels):
    """Bring pixels to another range, ``y = x * scale + offset``; as the first layer it lets a model take images of uint8.

    Parameters
    ----------
    scale : float, default 1 / 255
        Not 0.
    offset : float, default 0
        ``Rescale(1 / 127.5, -1)`` gives -1 to 1.

    Raises
    ------
    TypeError, ValueError
        If they are not such numbers.

    Examples
    --------
    >>> import numpy as np, convkit
    >>> from convkit.layers import Dense, Flatten, Rescale
    >>> model = convkit.Sequential([Rescale(), Flatten(), Dense(10)], input_shape=(28, 28, 1), rng=0)
    >>> model.predict(np.zeros((3, 28, 28, 1), np.uint8)).shape
    (3, 10)
    """

    def __init__(self, scale: float = 1 / 255, offset: float = 0.0) -> None:
        super().__init__()
        self.scale = check.number(scale, "Rescale", "scale", -math.inf)
        self.offset = check.number(offset, "Rescale", "offset", -math.inf)
        if not self.scale:
            raise ValueError("Rescale: scale must not be 0")

    def config(self) -> dict[str, Any]:
        return {"scale": self.scale, "offset": self.offset}

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(-self.offset / self.scale), np.array(self.scale)


class Normalize(_Pixels):
    """Bring each channel to mean 0 and variance 1, ``y = (x - mean) / std``; as the first layer it lets a model take uint8.

    Parameters
    ----------
    mean, std : float, or sequence of a float for each channel, optional
        Of the data, in their own unit; std over 0. Or let `adapt` find them.

    Raises
    ------
    TypeError, ValueError
        If they are not such numbers, or only one is given; at build, if they are missing or do not fit the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.layers import Normalize
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    >>> layer = Normalize().adapt(images)
    >>> layer.build((8, 8, 3), np.random.default_rng(0))
    (8, 8, 3)
    >>> y, _ = layer.forward(images)
    >>> bool(abs(y.mean()) < 1e-3), bool(abs(y.std() - 1) < 1e-3)
    (True, True)
    """

    def __init__(self, mean: Any = None, std: Any = None) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            raise ValueError("Normalize: give both mean and std, or neither and call adapt(x)")
        self.mean, self.std = _statistic(mean, "mean"), _statistic(std, "std")
        if self.std is not None and np.min(self.std) <= 0:
            raise ValueError(f"Normalize: std must be > 0, got {std}")
        if np.ndim(self.mean or 0.0) and np.ndim(self.std) and len(self.mean) != len(self.std):
            raise ValueError(f"Normalize: mean has {len(self.mean)} channels, std has {len(self.std)}")

    def adapt(self, x: Any) -> Normalize:
        """Take mean and standard deviation of each channel from data, and return the layer.

        Parameters
        ----------
        x : array_like of shape (N, ..., C), or Dataset
            A data set is read once, by batches, without augmentation. A channel that never changes is only shifted.

        Raises
        ------
        TypeError, ValueError
            If there are no samples, or they are not finite numbers.
        """
        data = x if isinstance(x, Dataset) else ArrayDataset(x)
        if not len(data) or not data.shape or not math.prod(data.shape) or data.dtype.kind not in "uif":
            wanted = "one or more samples of numbers (..., C)"
            raise ValueError(f"Normalize: adapt needs {wanted}, got {len(data)} of shape {data.shape}, {data.dtype}")
        channels = data.shape[-1]
        count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
        for part, _ in ahead(data, np.array_split(np.arange(len(data)), -(-len(data) // READ))):
            flat = part.reshape(-1, channels).astype(np.float64)
            more, own = len(flat), flat.mean(axis=0)  # Chan's sum of groups: no difference of large squares
            squares += ((flat - own) ** 2).sum(axis=0) + (own - mean) ** 2 * (count * more / (count + more))
            count += more
            mean += (own - mean) * (more / count)
        if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
            raise ValueError("Normalize: adapt needs finite numbers, but the data hold NaN or Inf")
        std = np.sqrt(squares / count)
        self.mean, self.std = mean.tolist(), np.where(std > 0, std, 1.0).tolist()
        return self

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.mean is None:
            raise ValueError("Normalize: mean and std are not known; give them, or call adapt(x) first")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if np.ndim(value) and len(value) != input_shape[-1]:
                raise ValueError(f"Normalize: {name} has {len(value)} channels, the input {input_shape} has {input_shape[-1]}")
        return input_shape

    def config(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), 1 / np.array(self.std)


def _statistic(value: Any, name: str) -> float | list[float] | None:
    """A float, or a list of them."""
    if value is None or np.ndim(value) == 0:
        return None if value is None else check.number(value, "Normalize", name, -math.inf)
    if np.ndim(value) != 1 or not len(value):
        raise ValueError(f"Normalize: {name} must be a number or one for each channel, got shape {np.shape(value)}")
    return [check.number(each, "Normalize", name, -math.inf) for each in value]
