"""What `convkit train` learns from: folders of images, IDX files and npz files, all brought to square images of uint8."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convkit.data import ArrayDataset, Dataset, FolderDataset, IDXDataset, ahead, idx, read_npz
from convkit.data.images import COLOURS, restyled

IN_MEMORY = 1 << 30  # bytes of pixels up to which a folder is decoded once, and not again in each epoch
READ = 64  # images at a time
LABELS = (("images", "labels"), ("idx3", "idx1"))  # how the name of a file of labels follows from that of its images


@dataclass(frozen=True)
class Source:
    """Images to learn from.

    Attributes
    ----------
    data : Dataset
        Of uint8 (size, size, channels), with class numbers as targets.
    held : Dataset or None
        Images to test with, where the source has them apart.
    classes : tuple of str
    size : int
    colour : {"grey", "rgb"}
    paths : tuple of Path
        The file of each image, if it has one of its own.
    """

    data: Dataset
    held: Dataset | None
    classes: tuple[str, ...]
    size: int
    colour: str
    paths: tuple[Path, ...] = ()


def open_source(given: list[str], *, size: int | None = None, colour: str | None = None) -> Source:
    """Find out what was given, and open it.

    Parameters
    ----------
    given : list of str
        A folder with one subfolder of images per class; a folder with the files of MNIST or one of its kin; an .npz file; or
        an IDX file of images, and that of its labels if its name does not follow.
    size, colour
        As for `image_folder`; arrays keep their own by default.

    Raises
    ------
    OSError, ValueError
        If it is none of these, or damaged; the message names the file.
    """
    path = Path(given[0])
    if len(given) > 2:
        raise ValueError(f"wanted one folder or file, or two IDX files, got {len(given)}; images of your own go into a folder")
    if len(given) == 2:
        return _arrays([_idx(path, Path(given[1]))], given[0], size, colour)
    if path.is_dir():
        train = _first(path, "train-images", "emnist-*-train-images")
        if train is None:
            return _folder(path, size, colour)
        test = _first(path, "t10k-images", "emnist-*-test-images")
        return _arrays([_idx(found, _labels(found)) for found in (train, test) if found], given[0], size, colour)
    if not path.exists():
        raise FileNotFoundError(f"there is no folder {path}, nor a file of that name")
    if path.suffix == ".npz":
        data = read_npz(path)
        if data.targets is None or data.targets.ndim != 1:
            raise ValueError(f"{path} must hold one label for each image")
        return _arrays([(data.x, data.targets)], given[0], size, colour)
    return _arrays([_idx(path, _labels(path))], given[0], size, colour)


def _folder(path: Path, size: int | None, colour: str | None) -> Source:
    data = FolderDataset(path, size=size, colour=colour)
    found = Source(data, None, data.classes, data.size, data.colour, data.paths)
    if len(data) * math.prod(data.shape) > IN_MEMORY:
        return found
    pixels = np.empty((len(data), *data.shape), np.uint8)
    batches = [np.arange(start, min(start + READ, len(data))) for start in range(0, len(data), READ)]
    for rows, (x, _) in zip(batches, ahead(data, batches), strict=True):
        pixels[rows] = x
    return replace(found, data=ArrayDataset(pixels, data.targets))


def _arrays(pairs: list[tuple[np.ndarray, np.ndarray]], name: str, size: int | None, colour: str | None) -> Source:
    """Training images with their labels, and perhaps test images with theirs."""
    classes, targets = np.unique(np.concatenate([y for _, y in pairs]), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{name} holds one class only, {classes[0]}; wanted at least two")
    sets = []
    for x, y in pairs:
        x = _pixels(x, name, size, colour)
        sets.append(ArrayDataset(x, targets[: len(y)].astype(np.int64)))
        targets = targets[len(y) :]
    height, _, channels = sets[0].shape
    names = tuple(str(label) for label in classes.tolist())
    colours = {count: colour for colour, count in COLOURS.items()}
    return Source(sets[0], sets[1] if len(sets) > 1 else None, names, height, colours[channels])


def _pixels(x: np.ndarray, name: str, size: int | None, colour: str | None) -> np.ndarray:
    """Images as uint8 (N, size, size, channels); where they lie, if they are so already."""
    x = x[..., np.newaxis] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[-1] not in COLOURS.values() or not x.size:
        raise ValueError(f"{name} holds an array of shape {x.shape}; wanted images (N, H, W), (N, H, W, 1) or (N, H, W, 3)")
    if x.dtype != np.uint8:
        x = _whole(x, name)
    height, width, channels = x.shape[1:]
    if size is None and height != width:
        raise ValueError(f"the images in {name} are {height} x {width}; the network wants squares: bring them to one by --size")
    size, wanted = size or height, colour or ("grey" if channels == 1 else "rgb")
    if (height, width, channels) == (size, size, COLOURS[wanted]):
        return x
    return np.stack([restyled(image, size=size, colour=wanted) for image in x])


def _whole(x: np.ndarray, name: str) -> np.ndarray:
    """Pixels of 0..1, or of whole numbers 0..255, as uint8."""
    low, high = (float(f(x)) for f in (np.min, np.max)) if x.dtype.kind in "iuf" else (-1.0, -1.0)
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        x = x * 255
    elif not (low >= 0 and high <= 255):  # NaN too
        raise ValueError(f"{name} holds pixels of {x.dtype}, {low:g} to {high:g}; wanted 0 to 255, or floats of 0 to 1")
    return np.rint(x).astype(np.uint8)


def _idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    data = IDXDataset(images, labels, transposed=images.name.startswith("emnist"))
    return data.x, data.targets


def _first(folder: Path, *stems: str) -> Path | None:
    """The first file whose name begins so."""
    found = (path for stem in stems for path in sorted(folder.glob(f"{stem}*")) if path.is_file())
    return next(found, None)


def _labels(images: Path) -> Path:
    """The file of labels that lies beside one of images."""
    name = images.name
    for word, other in LABELS:
        name = name.replace(word, other)
    stem = name.removesuffix(".gz")
    for path in (images.with_name(stem), images.with_name(f"{stem}.gz")):
        if path.is_file() and path != images:
            return path
    idx.read(images, mmap=True)  # to tell a file that is none from one without its labels
    raise ValueError(f"the labels of {images} are not beside it as {stem}; name their file too")
