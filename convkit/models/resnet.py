"""Residual networks: He et al., "Deep residual learning for image recognition", 2016.

As in torchvision, the 3x3 convolution of a bottleneck has its stride.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.layers import Add, Dense, GlobalAvgPool2D, MaxPool2D, ReLU
from convkit.layers.tensor import Input, Tensor
from convkit.model import Model
from convkit.models.parts import conv_norm, conv_norm_relu

__all__ = ["resnet18", "resnet20", "resnet50"]

Size = tuple[int, int, int]


def resnet18(
    classes: int = 1000, input_shape: Size = (224, 224, 3), *, width: int = 64, rng: Any = None, dtype: Any = "float32"
) -> Model:  # fmt: skip
    """ResNet-18: eight blocks of two 3x3 convolutions; 11,689,512 parameters.

    Parameters
    ----------
    classes : int, default 1000
    input_shape : (height, width, channels), default (224, 224, 3)
    width : int, default 64
        Channels of the first blocks.
    rng : int or numpy.random.Generator, optional
    dtype : float32 or float64, default float32

    Returns
    -------
    Model
        Built; it gives logits (N, classes).

    Examples
    --------
    >>> import convkit
    >>> model = convkit.models.resnet18(10, (32, 32, 3), width=4, rng=0)
    >>> model.layers.names[-5:]
    ('block8_2_norm', 'block8_add', 'block8_relu', 'pool', 'classes')
    """
    return _for_photographs(classes, input_shape, _basic, (2, 2, 2, 2), width, rng, dtype)


def resnet50(
    classes: int = 1000, input_shape: Size = (224, 224, 3), *, width: int = 64, rng: Any = None, dtype: Any = "float32"
) -> Model:  # fmt: skip
    """ResNet-50: sixteen blocks of 1x1, 3x3 and 1x1 convolutions; 25,557,032 parameters; arguments as of `resnet18`."""
    return _for_photographs(classes, input_shape, _bottleneck, (3, 4, 6, 3), width, rng, dtype)


def resnet20(
    classes: int = 10, input_shape: Size = (32, 32, 3), *, width: int = 16, rng: Any = None, dtype: Any = "float32"
) -> Model:  # fmt: skip
    """ResNet-20 for small images, as for CIFAR: nine blocks of two 3x3 convolutions; 272,474 parameters.

    A block that changes the number of channels has a 1x1 convolution beside it (option B).

    Arguments are those of `resnet18`, with others by default.

    Examples
    --------
    >>> import convkit
    >>> convkit.models.resnet20(rng=0).count_params()
    272474
    """
    image = Input(input_shape, name="image")
    x = conv_norm_relu(image, width, 3, "stem")
    return _blocks_and_classes(image, x, classes, _basic, (3, 3, 3), width, rng, dtype)


def _for_photographs(
    classes: int, input_shape: Size, block: Callable, counts: tuple[int, ...], width: int, rng: Any, dtype: Any
) -> Model:  # fmt: skip
    image = Input(input_shape, name="image")
    x = conv_norm_relu(image, width, 7, "stem", stride=2)
    x = MaxPool2D(3, stride=2, padding=1, name="stem_pool")(x)
    return _blocks_and_classes(image, x, classes, block, counts, width, rng, dtype)


def _blocks_and_classes(
    image: Tensor, x: Tensor, classes: int, block: Callable, counts: tuple[int, ...], width: int, rng: Any, dtype: Any
) -> Model:  # fmt: skip
    """Stages of so many blocks each; from stage to stage the side is halved and the channels are doubled."""
    number = 0
    for stage, count in enumerate(counts):
        for place in range(count):
            number += 1
            x = block(x, width << stage, 2 if stage and not place else 1, f"block{number}")
    logits = Dense(classes, name="classes")(GlobalAvgPool2D(name="pool")(x))
    return Model(image, logits, rng=rng, dtype=dtype)


def _basic(x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    y = conv_norm_relu(x, channels, 3, f"{name}_1", stride=stride)
    y = conv_norm(y, channels, 3, f"{name}_2")
    return _joined(x, y, stride, name)


def _bottleneck(x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    y = conv_norm_relu(x, channels, 1, f"{name}_1")
    y = conv_norm_relu(y, channels, 3, f"{name}_2", stride=stride)
    y = conv_norm(y, 4 * channels, 1, f"{name}_3")
    return _joined(x, y, stride, name)


def _joined(x: Tensor, y: Tensor, stride: int, name: str) -> Tensor:
    """The sum of a block and its input, which is projected if the shapes differ; in the pass of the block's last batch norm."""
    if x.shape != y.shape:
        x = conv_norm(x, y.shape[-1], 1, f"{name}_project", stride=stride)
    return ReLU(name=f"{name}_relu")(Add(name=f"{name}_add")(x, y))
