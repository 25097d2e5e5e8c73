"""Images to learn from: the digits that ship with convkit, and folders of your own."""

from convkit.data.datasets import Digits, digits
from convkit.data.folders import ImageFolder, image_folder, stratified_split
from convkit.data.images import read_image

__all__ = ["Digits", "ImageFolder", "digits", "image_folder", "read_image", "stratified_split"]
