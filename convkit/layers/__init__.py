"""Trainable layers: each owns its parameters and gives (y, backward) for a batch x; shapes are channels last."""

from convkit.layers.act import Dropout, ReLU, Softmax
from convkit.layers.base import Layer, Param
from convkit.layers.conv import Conv1D, Conv2D, Conv3D, ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from convkit.layers.dense import Dense
from convkit.layers.pad import (
    Crop1D,
    Crop2D,
    Crop3D,
    Pad1D,
    Pad2D,
    Pad3D,
    ZeroPad1D,
    ZeroPad2D,
    ZeroPad3D,
)
from convkit.layers.pool import AvgPool1D, AvgPool2D, AvgPool3D, MaxPool1D, MaxPool2D, MaxPool3D
from convkit.layers.pool_kinds import (
    AdaptiveAvgPool1D,
    AdaptiveAvgPool2D,
    AdaptiveAvgPool3D,
    AdaptiveMaxPool1D,
    AdaptiveMaxPool2D,
    AdaptiveMaxPool3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    MinPool1D,
    MinPool2D,
    MinPool3D,
)
from convkit.layers.resize import (
    PixelShuffle,
    PixelUnshuffle,
    Resize1D,
    Resize2D,
    Resize3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
)
from convkit.layers.shape import Flatten

__all__ = [
    "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D", "AvgPool1D", "AvgPool2D", "AvgPool3D", "Conv1D", "Conv2D", "Conv3D", "ConvTranspose1D",
    "ConvTranspose2D", "ConvTranspose3D", "Crop1D", "Crop2D", "Crop3D", "Dense", "Dropout", "Flatten", "GlobalAvgPool1D",
    "GlobalAvgPool2D", "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D", "Layer", "LpPool1D",
    "LpPool2D", "LpPool3D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "MinPool1D", "MinPool2D", "MinPool3D", "Pad1D",
    "Pad2D", "Pad3D", "Param", "PixelShuffle", "PixelUnshuffle", "ReLU", "Resize1D", "Resize2D", "Resize3D", "Softmax",
    "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPad1D", "ZeroPad2D", "ZeroPad3D",
]  # fmt: skip
