"""Random changes of where the pixels of an image lie: flip, crop, shift, rotate, scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convkit.data.draws import Draws
from convkit.ops import check
from convkit.plan import geometry

__all__ = ["Crop", "Flip", "Rotate", "Scale", "Shift", "Transform"]


class Transform:
    """Base of all changes: images (N, H, W, C), uint8 or floating, become others of the same dtype.

    A subclass says in `_apply` what a batch becomes. It may draw from `draw` and from nothing else, so that what becomes of an
    image depends on the seed and the number of the sample alone.

    Parameters
    ----------
    p : float in [0, 1]
        The share of the images that are changed.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import ArrayDataset, Augmented, augment
    >>> class Negative(augment.Transform):
    ...     def _apply(self, x, draw):
    ...         return 255 - x
    >>> data = Augmented(ArrayDataset(np.zeros((4, 2, 2, 1), np.uint8)), [Negative(p=1)])
    >>> int(data.batch([0], seed=1)[0].min())
    255
    """

    def __init__(self, p: float = 1.0) -> None:
        self.p = number(p, self, "p", 0, 1)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of an image of this shape (H, W, C) afterwards; ValueError if it cannot be changed."""
        return shape

    def plain(self, x: np.ndarray) -> np.ndarray:
        """What becomes of images where nothing may be random."""
        return x

    def __call__(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        """Change the images that `p` picks."""
        chosen = np.flatnonzero(draw.uniform() < self.p)
        if len(chosen) == len(x):
            return self._apply(x, draw)
        if len(chosen):
            changed = self._apply(x[chosen], draw.some(chosen))
            x = x.copy()
            x[chosen] = changed
        return x

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__}: a transform needs _apply(x, draw), which gives the changed images")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items() if not k.startswith('_'))})"


class Flip(Transform):
    """Mirror images.

    Parameters
    ----------
    direction : "horizontal" or "vertical", default "horizontal"
        Exchange left and right, or top and bottom.
    p : float in [0, 1], default 0.5

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Flip()
    Flip(p=0.5, direction='horizontal')
    """

    def __init__(self, direction: str = "horizontal", p: float = 0.5) -> None:
        super().__init__(p)
        self.direction = check.choice(direction, ("horizontal", "vertical"), "Flip", "direction")

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        return np.ascontiguousarray(x[:, :, ::-1] if self.direction == "horizontal" else x[:, ::-1])


class Crop(Transform):
    """Cut out a part of a given size at a random place, or at the centre where nothing may be random.

    Parameters
    ----------
    size : int or (height, width)
        In pixels.
    pad : int >= 0, default 0
        Pixels put around the image first, on each side; those at the centre are without them.
    fill : float or "edge", default 0
        The value of those pixels, or that of the nearest one.

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Crop(32, pad=4).output_shape((32, 40, 3))
    (32, 32, 3)
    """

    def __init__(self, size: Any, *, pad: int = 0, fill: Any = 0.0) -> None:
        super().__init__(1.0)
        self.size = geometry.sizes(size, 2, "Crop", "size")
        self.pad = geometry.integer(pad, "Crop", "pad")
        if self.pad < 0:
            raise ValueError(f"Crop: pad must be >= 0, got {pad}")
        self.fill = filling(fill, self)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if any(size > side + 2 * self.pad for size, side in zip(self.size, shape, strict=False)):
            raise ValueError(f"Crop: size {self.size} is larger than images of {shape} padded by {self.pad}")
        return (*self.size, shape[-1])

    def plain(self, x: np.ndarray) -> np.ndarray:
        room = padded(x, (self.pad, self.pad), self.fill)
        top, left = ((room.shape[1 + i] - self.size[i]) // 2 for i in (0, 1))
        return np.ascontiguousarray(room[:, top : top + self.size[0], left : left + self.size[1]])

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        room = padded(x, (self.pad, self.pad), self.fill)
        down, across = (draw.below(room.shape[1 + i] - self.size[i] + 1) for i in (0, 1))
        return windows(room, self.size, down, across)


class Shift(Transform):
    """Move images by whole pixels, each way as far.

    Parameters
    ----------
    amount : int >= 1 or float in (0, 1), default 0.125
        How far at most: in pixels, or as a share of height and width (then one pixel at least).
    fill : float or "edge", default 0
        What appears at the side: this value, or that of the nearest pixel.
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Shift(2)
    Shift(p=1.0, amount=2, fill=0.0)
    """

    def __init__(self, amount: float = 0.125, *, fill: Any = 0.0, p: float = 1.0) -> None:
        super().__init__(p)
        self.amount, self.fill = length(amount, self, "amount"), filling(fill, self)

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        reach = tuple(pixels(self.amount, side) for side in x.shape[1:3])
        down, across = (draw.below(2 * n + 1) for n in reach)
        return windows(padded(x, reach, self.fill), x.shape[1:3], down, across)


class _Warp(Transform):
    """A change under which each pixel is found between four others, about the centre of the image."""

    def __init__(self, fill: Any, p: float) -> None:
        super().__init__(p)
        self.fill = filling(fill, self)

    def _matrices(self, draw: Draws) -> np.ndarray:
        """(N, 2, 2): from places (row, column) in the result to those in the image."""
        raise NotImplementedError

    def _apply(self, x: np.ndarray, draw: Draws) -> np.ndarray:
        height, width = x.shape[1:3]
        centre = np.array([(height - 1) / 2, (width - 1) / 2])
        places = np.indices((height, width)).reshape(2, -1) - centre[:, None]
        return between(x, self._matrices(draw) @ places + centre[:, None], self.fill)


class Rotate(_Warp):
    """Turn images about their centre, with bilinear interpolation.

    Parameters
    ----------
    degrees : float in (0, 180], default 15
        How far at most, either way.
    fill : float or "edge", default 0
        What appears at the corners: this value, or that of the nearest pixel.
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Rotate(10, fill="edge")
    Rotate(p=1.0, fill='edge', degrees=10.0)
    """

    def __init__(self, degrees: float = 15.0, *, fill: Any = 0.0, p: float = 1.0) -> None:
        super().__init__(fill, p)
        self.degrees = number(degrees, self, "degrees", 0, 180, above=True)

    def _matrices(self, draw: Draws) -> np.ndarray:
        angle = np.radians(draw.uniform(-self.degrees, self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2)


class Scale(_Warp):
    """Enlarge or shrink what images show about their centre, with bilinear interpolation; they keep their size.

    Parameters
    ----------
    low, high : float, 0 < low <= high <= 100, default 0.8 and 1.25
        The factor lies between them; as often under the middle of their logarithms as over it.
    fill : float or "edge", default 0
        What appears at the sides of a shrunken image: this value, or that of the nearest pixel.
    p : float in [0, 1], default 1

    Examples
    --------
    >>> from convkit.data import augment
    >>> augment.Scale(0.9, 1.1)
    Scale(p=1.0, fill=0.0, low=0.9, high=1.1)
    """

    def __init__(self, low: float = 0.8, high: float = 1.25, *, fill: Any = 0.0, p: float = 1.0) -> None:
        super().__init__(fill, p)
        self.low, self.high = (number(v, self, name, 0, 100, above=True) for name, v in (("low", low), ("high", high)))
        if self.low > self.high:
            raise ValueError(f"Scale: low must be <= high, got {low} and {high}")

    def _matrices(self, draw: Draws) -> np.ndarray:
        factor = np.exp(draw.uniform(math.log(self.low), math.log(self.high)))
        return np.eye(2) / factor[:, None, None]


def number(value: Any, of: Transform, name: str, low: float, high: float, above: bool = False) -> float:
    """value as a float in low..high, or `above` low."""
    return check.number(value, type(of).__name__, name, low, high, above)


def length(value: Any, of: Transform, name: str) -> int | float:
    """An int of pixels, or a float that is a share of a side."""
    if isinstance(value, (float, np.floating)):
        return number(value, of, name, 0, 1, above=True)
    value = geometry.integer(value, type(of).__name__, name, "an int of pixels, or a float that is a share of the side")
    if value < 1:
        raise ValueError(f"{type(of).__name__}: {name} must be at least one pixel, got {value}")
    return value


def pixels(length: int | float, side: int) -> int:
    """A length in pixels, for a side of this many."""
    return length if isinstance(length, int) else max(1, int(length * side))


def filling(value: Any, of: Transform) -> float | str:
    return value if isinstance(value, str) and value == "edge" else number(value, of, "fill", -math.inf, math.inf)


def padded(x: np.ndarray, pad: tuple[int, int], fill: float | str) -> np.ndarray:
    """Images with pixels put around them."""
    if not any(pad):
        return x
    how: dict[str, Any] = {"mode": "edge"} if fill == "edge" else {"constant_values": as_pixels(np.array(fill), x.dtype)}
    return np.pad(x, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1]), (0, 0)), **how)


def windows(x: np.ndarray, size: tuple[int, ...], down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """From each image the part of this size that begins at its own place."""
    views = sliding_window_view(x, size, axis=(1, 2))  # (N, places, places, C, H, W)
    return np.ascontiguousarray(views[np.arange(len(x)), down, across].transpose(0, 2, 3, 1))


def between(x: np.ndarray, places: np.ndarray, fill: float | str) -> np.ndarray:
    """Pixels at places (N, 2, H * W) that need not be whole, each from its four neighbours."""
    n, height, width, channels = x.shape
    whole = np.floor(places)
    share = (places - whole).astype(np.result_type(x.dtype, np.float32))
    whole = whole.astype(np.intp)
    flat = x.reshape(n * height * width, channels)
    first = np.arange(n)[:, None] * (height * width)
    total = 0
    for down in (0, 1):
        for across in (0, 1):
            rows, columns = whole[:, 0] + down, whole[:, 1] + across
            found = flat[first + rows.clip(0, height - 1) * width + columns.clip(0, width - 1)]
            if fill != "edge":
                outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
                found[outside] = as_pixels(np.array(fill), x.dtype)
            weight = (share[:, 0] if down else 1 - share[:, 0]) * (share[:, 1] if across else 1 - share[:, 1])
            total = total + found * weight[..., None]
    return as_pixels(total, x.dtype).reshape(x.shape)


def as_pixels(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values as pixels of a dtype: rounded and kept within 0..255 for uint8."""
    if dtype == np.uint8:
        values = np.rint(values).clip(0, 255)
    return values.astype(dtype, copy=False)
