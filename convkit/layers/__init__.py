"""Trainable layers: each owns its parameters and gives (y, backward) for a batch x; shapes are channels last."""

from convkit.layers.act import Dropout, ReLU, Softmax
from convkit.layers.base import Layer, Param
from convkit.layers.conv import Conv1D, Conv2D, Conv3D, ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from convkit.layers.dense import Dense
from convkit.layers.pool import AvgPool1D, AvgPool2D, AvgPool3D, MaxPool1D, MaxPool2D, MaxPool3D
from convkit.layers.shape import Flatten

__all__ = [
    "AvgPool1D", "AvgPool2D", "AvgPool3D", "Conv1D", "Conv2D", "Conv3D", "ConvTranspose1D", "ConvTranspose2D",
    "ConvTranspose3D", "Dense", "Dropout", "Flatten", "Layer", "MaxPool1D", "MaxPool2D", "MaxPool3D", "Param", "ReLU",
    "Softmax",
]  # fmt: skip
