"""Data sets whose images are changed at random, so that a model never sees the same one twice."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from convkit.data.dataset import Batch, Dataset
from convkit.data.draws import Draws
from convkit.data.shades import Brightness, Contrast, Cutout, Noise
from convkit.data.transforms import Crop, Flip, Rotate, Scale, Shift, Transform, as_pixels, number
from convkit.plan import geometry

__all__ = [
    "Augmented",
    "Brightness",
    "Contrast",
    "Crop",
    "Cutout",
    "Flip",
    "MixUp",
    "Noise",
    "Rotate",
    "Scale",
    "Shift",
    "Transform",
]

LARGE = 4096  # numbers of a sample; a thread costs more than it saves for batches of 8x8 images, which take 0.2 ms
DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


class MixUp:
    """Mix each sample with another one, and their targets alike (Zhang and others, 2018).

    ``x = share * x + (1 - share) * other x``, with a share from the beta distribution. Class numbers become probabilities.

    Parameters
    ----------
    alpha : float in (0, 100], default 0.2
        Both parameters of the beta distribution: near 0 mostly one of the two shows, at 1 each share is as likely.
    classes : int, optional
        How many classes there are; by default one more than the largest target.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import ArrayDataset, Augmented, augment
    >>> data = Augmented(ArrayDataset(np.zeros((4, 2, 2, 1)), [0, 1, 2, 1]), [augment.MixUp(1.0)])
    >>> x, y = data.batch([0, 1, 2], seed=5)
    >>> y.shape, y.sum(axis=1).round(5).tolist()
    ((3, 3), [1.0, 1.0, 1.0])
    """

    def __init__(self, alpha: float = 0.2, *, classes: int | None = None) -> None:
        self.alpha = number(alpha, self, "alpha", 0, 100, above=True)
        self.classes = None if classes is None else geometry.integer(classes, "MixUp", "classes")
        if self.classes is not None and self.classes < 1:
            raise ValueError(f"MixUp: classes must be >= 1, got {classes}")

    def of(self, dataset: Dataset) -> MixUp:
        """This one, with the number of classes of a data set."""
        y = dataset.targets
        if y is None or not len(y):
            raise ValueError("MixUp: the data set has no targets to mix")
        if y.dtype.kind not in "iu":
            return self
        most = int(y.max()) + 1
        if y.min() < 0 or (self.classes is not None and most > self.classes):
            raise ValueError(f"MixUp: the targets are {y.min()}..{y.max()}, wanted 0..{(self.classes or most) - 1}")
        return MixUp(self.alpha, classes=self.classes or most)

    def shares(self, draw: Draws) -> np.ndarray:
        """How much of itself each sample keeps."""
        return np.array([generator.beta(self.alpha, self.alpha) for generator in draw.generators()])

    def mixed(self, sample: Batch, other: Batch, shares: np.ndarray) -> Batch:
        """Samples and targets, each the given share of the first."""
        (x, y), (other_x, other_y) = sample, other
        floating = np.float64 if x.dtype == np.float64 else np.float32
        y, other_y = self._probabilities(y, floating), self._probabilities(other_y, floating)
        return as_pixels(_blend(x, other_x, shares, floating), x.dtype), _blend(y, other_y, shares, floating).astype(y.dtype)

    def _probabilities(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        return np.eye(self.classes, dtype=dtype)[y] if y.dtype.kind in "iu" else y

    def __repr__(self) -> str:
        return f"MixUp(alpha={self.alpha}, classes={self.classes})"


class Augmented(Dataset):
    """Samples of another data set, changed at random by one transform after the other.

    What becomes of a sample depends on the seed that `batch` is given and on its number alone. Without a seed nothing is
    random: images stay as they are, and a `Crop` is taken from the centre.

    Parameters
    ----------
    dataset : Dataset
        Of images (H, W, C), uint8 or floating; for `MixUp` alone of any shape.
    transforms : iterable of Transform or MixUp
        In this order.

    Raises
    ------
    TypeError, ValueError
        If a transform is none, or cannot change such images.

    Examples
    --------
    >>> from convkit.data import ArrayDataset, Augmented, augment, digits
    >>> data = digits()
    >>> changed = Augmented(ArrayDataset(data.x_train, data.y_train), [augment.Shift(1), augment.Rotate(10)])
    >>> x, y = changed.batch([0, 1, 2], seed=0)
    >>> x.shape, x.dtype
    ((3, 8, 8, 1), dtype('uint8'))
    """

    def __init__(self, dataset: Dataset, transforms: Iterable[Transform | MixUp]) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(f"Augmented: wanted a Dataset, got {type(dataset).__name__}; wrap arrays in ArrayDataset(x, y)")
        self.dataset, self.shape, self.dtype = dataset, dataset.shape, dataset.dtype
        self.transforms = tuple(t.of(dataset) if isinstance(t, MixUp) else t for t in transforms)
        for transform in self.transforms:
            if not isinstance(transform, (Transform, MixUp)):
                raise TypeError(f"Augmented: a transform must be one of convkit.data.augment, got {transform!r}")
            if self.dtype not in DTYPES:
                raise TypeError(f"Augmented: images must be uint8, float32 or float64, got {self.dtype}")
            if isinstance(transform, Transform):
                if len(self.shape) != 3:
                    raise ValueError(f"Augmented: {transform!r} needs images (H, W, C), got samples of shape {self.shape}")
                self.shape = transform.output_shape(self.shape)
        self.workers = max(dataset.workers, int(math.prod(self.shape) >= LARGE))

    @property
    def targets(self) -> np.ndarray | None:
        return self.dataset.targets

    def __len__(self) -> int:
        return len(self.dataset)

    def subset(self, rows: Any) -> Augmented:
        """As `Dataset.subset`; `MixUp` then mixes these samples with each other only."""
        return Augmented(self.dataset.subset(rows), self.transforms)

    def _read(self, rows: np.ndarray, seed: int | None) -> Batch:
        return self._through(len(self.transforms), rows, seed)

    def _through(self, count: int, rows: np.ndarray, seed: int | None) -> Batch:
        """What becomes of samples by the first `count` transforms."""
        x, y = self.dataset._read(rows, seed)
        for i, transform in enumerate(self.transforms[:count]):
            if seed is None:
                x = transform.plain(x) if isinstance(transform, Transform) else x
                continue
            draw = Draws(seed, rows, i)
            if isinstance(transform, Transform):
                x = transform(x, draw)
            else:
                others = self._through(i, draw.below(len(self)), seed)
                x, y = transform.mixed((x, y), others, transform.shares(draw))
        return x, y


def _blend(one: np.ndarray, other: np.ndarray, shares: np.ndarray, dtype: Any) -> np.ndarray:
    shares = shares.astype(dtype).reshape(-1, *(1,) * (one.ndim - 1))
    return shares * one + (1 - shares) * other
