"""One image file, read through Pillow to a given size and colour mode."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

COLOURS = {"grey": 1, "rgb": 3}
LARGEST_SIZE = 4096
LARGEST_AUTOMATIC_SIZE = 64  # a small network on two cores is still quick at this size


def read_image(path: str | os.PathLike[str], *, size: int, colour: str) -> np.ndarray:
    """Read one image file at a given size and colour mode.

    The camera's orientation tag is obeyed, transparent parts are laid on white, and 16-bit grey is brought
    down to 8 bits. The image is stretched to the size, whatever its proportions.

    Parameters
    ----------
    path : path
        A PNG, JPEG or any other file that Pillow reads.
    size : int
        Width and height of the result in pixels.
    colour : {"grey", "rgb"}
        The colour mode of the result.

    Returns
    -------
    uint8 ndarray of shape (size, size, channels)
        1 channel for grey, 3 for RGB.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an image, or is damaged; the message names the file.

    Examples
    --------
    >>> import io, numpy as np
    >>> from PIL import Image
    >>> from convkit.data import read_image
    >>> file = io.BytesIO()
    >>> Image.fromarray(np.full((5, 7), 99, np.uint8)).save(file, "png")
    >>> read_image(file, size=2, colour="grey")[..., 0]
    array([[99, 99],
           [99, 99]], dtype=uint8)
    """
    checked_size, checked_colour = check_form(size, colour)
    if checked_size is None or checked_colour is None:
        raise TypeError("read_image: size and colour must be given")
    pillow = _pillow()
    with _naming(path), pillow.Image.open(path) as opened:
        opened.load()
        image = _plain(pillow, pillow.ImageOps.exif_transpose(opened), checked_colour)
    return _stretched(pillow, image, checked_size, checked_colour)


def restyled(pixels: np.ndarray, *, size: int, colour: str) -> np.ndarray:
    """An image of uint8 (H, W, 1 or 3) in the form in which `read_image` gives one."""
    pillow = _pillow()
    image = pillow.Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    return _stretched(pillow, _plain(pillow, image, colour), size, colour)


def survey(paths: Iterable[str | os.PathLike[str]]) -> tuple[int, str]:
    """Choose a size and a colour mode for all of these files from their headers."""
    pillow = _pillow()
    sides, grey = [], True
    for path in paths:
        with _naming(path), pillow.Image.open(path) as image:
            sides.append(min(image.size))
            grey = grey and image.mode in ("1", "L", "LA", "I", "I;16")
    return min(int(np.median(sides)), LARGEST_AUTOMATIC_SIZE), "grey" if grey else "rgb"


def check_form(size: Any, colour: Any) -> tuple[int | None, str | None]:
    """Check a size and a colour mode, either of which may be left open."""
    if size is not None:
        if isinstance(size, bool):
            raise TypeError("image size must be an int, got bool")
        size = operator.index(size)
        if not 1 <= size <= LARGEST_SIZE:
            raise ValueError(f"image size must be 1 to {LARGEST_SIZE} pixels, got {size}")
    if colour is not None and colour not in COLOURS:
        raise ValueError(f"image colour must be 'grey' or 'rgb', got {colour!r}")
    return size, colour


@contextmanager
def _naming(path: Any) -> Iterator[None]:
    """Turn whatever Pillow raises on a damaged file, which is almost anything, into one error naming it."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"read_image: {path} is not a readable image ({_reason(error)})") from error


def _stretched(pillow: Any, image: Any, size: int, colour: str) -> np.ndarray:
    if image.size != (size, size):
        image = image.resize((size, size), pillow.Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(size, size, COLOURS[colour])


def _plain(pillow: Any, image: Any, colour: str) -> Any:
    """Bring any Pillow mode to 8-bit grey or RGB."""
    if image.mode == "F":
        raise ValueError("it holds floating-point pixels")
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        image = pillow.Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = pillow.Image.alpha_composite(pillow.Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if colour == "grey" else "RGB")


def _reason(error: Exception) -> str:
    """Say why Pillow gave up, without its own mention of the file."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "unknown or damaged format"
    return str(error) or type(error).__name__


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise ImportError('reading images needs Pillow; run pip install "convkit-numpy[demo]"') from error
    return PIL
