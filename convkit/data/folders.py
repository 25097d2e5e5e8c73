"""Folders of images: one subfolder per class, read through Pillow to one size and one colour mode."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convkit.data.dataset import Batch, Dataset
from convkit.data.images import COLOURS, check_form, read_image, survey

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"))


@dataclass(frozen=True)
class ImageFolder:
    """Labelled images read from a folder.

    Attributes
    ----------
    images : uint8 ndarray of shape (N, size, size, channels)
        All images at one size; 1 channel for grey, 3 for RGB.
    labels : int64 ndarray of shape (N,)
        Index into ``classes``.
    classes : tuple of str
        The subfolders' names, sorted.
    paths : tuple of Path
        The file of each image.
    size : int
        Width and height in pixels.
    colour : {"grey", "rgb"}
        The colour mode.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    size: int
    colour: str


def image_folder(path: str | os.PathLike[str], *, size: int | None = None, colour: str | None = None) -> ImageFolder:
    """Read a folder that holds one subfolder of images per class.

    Hidden files, and files whose name does not end like an image's, are passed over. The images must lie
    directly in their class's folder. Each is stretched to ``size`` x ``size`` pixels.

    Parameters
    ----------
    path : path
        The folder, with at least two subfolders.
    size : int, optional
        Width and height in pixels; by default the median shorter side, at most 64.
    colour : {"grey", "rgb"}, optional
        By default grey if every image file is grey, else RGB.

    Returns
    -------
    ImageFolder
        The images, their labels, the class names and the files.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If there are fewer than two classes, a class without images, or a file that is not an image.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from convkit.data import image_folder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name, value in ("dark", 20), ("light", 220):
    ...         Path(root, name).mkdir()
    ...         Image.fromarray(np.full((9, 9), value, np.uint8)).save(Path(root, name, "1.png"))
    ...     data = image_folder(root, size=4)
    >>> data.images.shape, data.classes
    ((2, 4, 4, 1), ('dark', 'light'))
    """
    data = FolderDataset(path, size=size, colour=colour)
    images, labels = data.batch(np.arange(len(data)))
    return ImageFolder(images, labels, data.classes, data.paths, data.size, data.colour)


class FolderDataset(Dataset):
    """The images of a folder that holds one subfolder per class, read as they are needed.

    Which files there are is found out at once, and by default all headers are read to choose a size and colour mode; pixels
    are read with each batch, so that the images may be larger than memory. The rules are those of `image_folder`.

    Parameters
    ----------
    path : path
    size : int, optional
    colour : {"grey", "rgb"}, optional
        As for `image_folder`.

    Attributes
    ----------
    targets : int64 ndarray of shape (N,)
        The class of each image.
    classes : tuple of str
    paths : tuple of Path
    size : int
    colour : str
        As of `ImageFolder`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        As `image_folder`; a damaged image is found when it is read, and named.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from convkit.data import FolderDataset
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name, value in ("dark", 20), ("light", 220):
    ...         Path(root, name).mkdir()
    ...         Image.fromarray(np.full((9, 9), value, np.uint8)).save(Path(root, name, "1.png"))
    ...     data = FolderDataset(root, size=1)
    ...     data.shape, data.batch([1])
    ((1, 1, 1), (array([[[[220]]]], dtype=uint8), array([1])))
    """

    dtype = np.dtype(np.uint8)
    workers = 2  # Pillow decodes without holding up other threads

    def __init__(self, path: str | os.PathLike[str], *, size: int | None = None, colour: str | None = None) -> None:
        size, colour = check_form(size, colour)
        folders = _class_folders(Path(path))
        files = [_image_files(folder) for folder in folders]
        self.paths = tuple(file for group in files for file in group)
        self.classes = tuple(folder.name for folder in folders)
        if size is None or colour is None:
            found_size, found_colour = survey(self.paths)
            size, colour = size or found_size, colour or found_colour
        self.size, self.colour = size, colour
        self.shape = (size, size, COLOURS[colour])
        self.targets = np.repeat(np.arange(len(files)), [len(group) for group in files]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, rows: np.ndarray, seed: int | None) -> Batch:
        images = np.empty((len(rows), *self.shape), self.dtype)
        for image, row in zip(images, rows, strict=True):
            image[...] = read_image(self.paths[row], size=self.size, colour=self.colour)
        return images, self.targets[rows]


def stratified_split(labels: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share of every class, at random.

    Of a class with n images round(share n) are held out, at least one and at most n - 1.

    Parameters
    ----------
    labels : int ndarray of shape (N,)
        The class of each image.
    share : float
        Share to hold out, over 0 and under 1.
    rng : numpy.random.Generator
        Where the choice comes from.

    Returns
    -------
    kept, held_out : int64 ndarray
        Sorted indices; together they are 0 to N - 1.

    Raises
    ------
    ValueError
        If ``share`` is not between 0 and 1, or no class has two images.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import stratified_split
    >>> kept, held_out = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, np.random.default_rng(0))
    >>> len(kept), len(held_out)
    (4, 2)
    """
    if not 0 < share < 1:
        raise ValueError(f"stratified_split: share must be over 0 and under 1, got {share}")
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held_out[members[:count]] = True
    if not held_out.any():
        raise ValueError("stratified_split: every class has one image only, so none can be held out")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _class_folders(root: Path) -> list[Path]:
    if not root.exists():
        raise FileNotFoundError(f"image_folder: there is no folder {root}")
    if not root.is_dir():
        raise NotADirectoryError(f"image_folder: {root} is a file; wanted a folder with one subfolder per class")
    found = sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    if len(found) < 2:
        have = "no subfolder" if not found else f"one subfolder only ({found[0].name})"
        raise ValueError(f"image_folder: {root} has {have}; wanted one subfolder per class, at least two")
    for folder in found:
        if not folder.name.isprintable():
            raise ValueError(f"image_folder: the class folder {str(folder)!r} has a name that cannot be printed; rename it")
    return found


def _image_files(folder: Path) -> list[Path]:
    visible = (file for file in folder.iterdir() if not file.name.startswith("."))
    found = sorted(file for file in visible if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise ValueError(f"image_folder: the class folder {folder} holds no images (they must lie directly in it)")
    return found
