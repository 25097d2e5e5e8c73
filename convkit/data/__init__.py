"""Images to learn from: the digits that ship with convkit, files and folders of your own, and how they are read ahead."""

from convkit.data import augment, idx
from convkit.data.augment import Augmented
from convkit.data.dataset import ArrayDataset, Dataset, ahead
from convkit.data.datasets import Digits, digits
from convkit.data.folders import FolderDataset, ImageFolder, image_folder, stratified_split
from convkit.data.idx import IDXDataset
from convkit.data.images import read_image
from convkit.data.made import write_digits_idx
from convkit.data.npz import read_npz

__all__ = [
    "ArrayDataset",
    "Augmented",
    "Dataset",
    "Digits",
    "FolderDataset",
    "IDXDataset",
    "ImageFolder",
    "ahead",
    "augment",
    "digits",
    "idx",
    "image_folder",
    "read_image",
    "read_npz",
    "stratified_split",
    "write_digits_idx",
]
