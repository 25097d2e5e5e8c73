"""U-Net: Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", 2015; padded, batch norm."""

from __future__ import annotations

from typing import Any

from convkit.layers import Concat, Conv2D, ConvTranspose2D, MaxPool2D
from convkit.layers.tensor import Input, Tensor
from convkit.model import Model
from convkit.models.parts import conv_norm_relu

__all__ = ["unet"]


def unet(
    classes: int = 2,
    input_shape: tuple[int, int, int] = (256, 256, 1),
    *,
    width: int = 64,
    depth: int = 4,
    rng: Any = None,
    dtype: Any = "float32",
) -> Model:
    """U-Net for a class at each pixel: down by poolings, up by transposed convolutions, with what was seen on the way down.

    Parameters
    ----------
    classes : int, default 2
    input_shape : (height, width, channels), default (256, 256, 1)
        Sides must be multiples of ``2**depth``.
    width : int, default 64
        Channels of the first level; each level has twice as many as the one before.
    depth : int, default 4
        Poolings.
    rng : int or numpy.random.Generator, optional
    dtype : float32 or float64, default float32

    Returns
    -------
    Model
        Built; it gives logits (N, height, width, classes).

    Examples
    --------
    >>> import convkit
    >>> convkit.models.unet(3, (32, 32, 1), width=4, depth=2, rng=0).output_shape()
    (32, 32, 3)
    """
    image = x = Input(input_shape, name="image")
    if any(side % (1 << depth) for side in image.shape[:2]):
        raise ValueError(f"unet: height and width must be multiples of {1 << depth}, got {input_shape}")
    seen = []
    for level in range(depth):
        x = _two(x, width << level, f"down{level + 1}")
        seen.append(x)
        x = MaxPool2D(2, name=f"down{level + 1}_pool")(x)
    x = _two(x, width << depth, "middle")
    for level in reversed(range(depth)):
        name = f"up{level + 1}"
        x = ConvTranspose2D(width << level, 2, stride=2, name=f"{name}_conv")(x)
        x = _two(Concat(name=f"{name}_concat")(seen[level], x), width << level, name)
    return Model(image, Conv2D(classes, 1, name="classes")(x), rng=rng, dtype=dtype)


def _two(x: Tensor, channels: int, name: str) -> Tensor:
    return conv_norm_relu(conv_norm_relu(x, channels, 3, f"{name}_1"), channels, 3, f"{name}_2")
