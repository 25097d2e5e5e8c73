"""Images to learn from: the digits that ship with convkit, files and folders of your own, and how they are read ahead."""

from convkit.data.dataset import ArrayDataset, Dataset, ahead
from convkit.data.datasets import Digits, digits
from convkit.data.folders import ImageFolder, image_folder, stratified_split
from convkit.data.images import read_image

__all__ = [
    "ArrayDataset",
    "Dataset",
    "Digits",
    "ImageFolder",
    "ahead",
    "digits",
    "image_folder",
    "read_image",
    "stratified_split",
]
