"""Random changes of what the pixels of an image hold: brightness, contrast, noise, and a part cut out."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.data.draws import Draws
from convkit.data.transforms import Transform, as_pixels, length, number, pixels

__all__ = ["Brightness", "Contrast", "Cutout", "Noise"]


class Brightness(Transform):
    """Make whole images brighter or darker, by adding the same to all pixels.

    Parameters
    ----------
    amount : float in (0, 1], default 0.2
        How much at most, either way: 1 is the full range, 255 for uint8 (results are kept within 0..255) and 1 for floats
        (whose results are not bounded).
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Brightness(0.1)
    Brightness(p=1.0, amount=0.1)
    """

    def __init__(self, amount: float = 0.2, *, p: float = 1.0) -> None:
        super().__init__(p)
        self.amount = number(amount, self, "amount", 0, 1, above=True)

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        return as_pixels(x + _each(draw.uniform(-self.amount, self.amount) * _range(x), x), x.dtype)


class Contrast(Transform):
    """Strengthen or weaken the differences of pixels from the mean of their image.

    Parameters
    ----------
    amount : float in (0, 1], default 0.2
        They are multiplied by a factor in 1 - amount .. 1 + amount. uint8 is kept within 0..255, floats are not bounded.
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Contrast(0.5)
    Contrast(p=1.0, amount=0.5)
    """

    def __init__(self, amount: float = 0.2, *, p: float = 1.0) -> None:
        super().__init__(p)
        self.amount = number(amount, self, "amount", 0, 1, above=True)

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        mean = _each(x.mean(axis=(1, 2, 3), dtype=np.float64), x)
        return as_pixels(mean + (x - mean) * _each(draw.uniform(1 - self.amount, 1 + self.amount), x), x.dtype)


class Noise(Transform):
    """Add normal noise to each pixel.

    Parameters
    ----------
    sigma : float in (0, 1], default 0.05
        Its standard deviation: 1 is the full range, 255 for uint8 (results are kept within 0..255) and 1 for floats (whose
        results are not bounded).
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Noise(0.02)
    Noise(p=1.0, sigma=0.02)
    """

    def __init__(self, sigma: float = 0.05, *, p: float = 1.0) -> None:
        super().__init__(p)
        self.sigma = number(sigma, self, "sigma", 0, 1, above=True)

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        noise = np.empty(x.shape, np.float64 if x.dtype == np.float64 else np.float32)
        for image, generator in zip(noise, draw.generators(), strict=True):
            generator.standard_normal(dtype=noise.dtype, out=image)
        noise *= noise.dtype.type(self.sigma * _range(x))
        return as_pixels(x + noise, x.dtype)


class Cutout(Transform):
    """Cover a square of the image, whose centre lies anywhere in it.

    Parameters
    ----------
    size : int >= 1 or float in (0, 1], default 0.25
        Side of the square: in pixels, or as a share of the image's shorter side (then one pixel at least).
    fill : float, default 0
        The value of the covered pixels.
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Cutout(8, fill=128)
    Cutout(p=1.0, size=8, fill=128.0)
    """

    def __init__(self, size: float = 0.25, *, fill: Any = 0.0, p: float = 1.0) -> None:
        super().__init__(p)
        self.size = length(size, self, "size")
        self.fill = number(fill, self, "fill", -np.inf, np.inf)

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        side = pixels(self.size, min(x.shape[1:3]))
        down, across = (_covered(draw.below(n), side, n) for n in x.shape[1:3])
        value = as_pixels(np.array(self.fill), x.dtype)
        return np.where((down[:, :, None] & across[:, None, :])[..., None], value, x)


def _covered(centre: np.ndarray, side: int, n: int) -> np.ndarray:
    """(N, n): which pixels of an axis lie in each image's square."""
    first = centre[:, None] - side // 2
    place = np.arange(n)
    return (place >= first) & (place < first + side)


def _range(x: np.ndarray) -> float:
    return 255.0 if x.dtype == np.uint8 else 1.0


def _each(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """One value for each image, in the precision in which its pixels are computed."""
    return values.astype(np.float64 if x.dtype == np.float64 else np.float32)[:, None, None, None]
