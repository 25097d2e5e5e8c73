"""Samples and targets in an .npz file of NumPy's."""

from __future__ import annotations

import os
import zipfile
import zlib

import numpy as np

from convkit.data.dataset import ArrayDataset

__all__ = ["read_npz"]

PAIRS = (("x_train", "y_train"), ("x", "y"), ("images", "labels"), ("data", "target"))  # names that are often met
DAMAGE = (  # what a file that is not as it should be has been seen to raise
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OSError,
    NotImplementedError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: str | os.PathLike[str], x: str | None = None, y: str | None = None) -> ArrayDataset:
    """Read samples and their targets from an ``.npz`` file into memory.

    For arrays that do not fit there, write ``.npy`` files and use ``ArrayDataset(numpy.load(path, mmap_mode="r"), y)``.

    Parameters
    ----------
    path : path
    x, y : str, optional
        The names of the two arrays. By default the first of these pairs that the file holds: ``x_train`` and ``y_train``,
        ``x`` and ``y``, ``images`` and ``labels``, ``data`` and ``target``. With `x` alone there are no targets.

    Returns
    -------
    ArrayDataset

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, holds Python objects, or lacks an array; the message names it.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from convkit.data import read_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", images=np.zeros((3, 8, 8, 1)), labels=np.arange(3))
    ...     data = read_npz(f"{folder}/a.npz")
    >>> len(data), data.shape, data.targets
    (3, (8, 8, 1), array([0, 1, 2]))
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file):  # np.load would take a .npy file, or try a pickle
                pass
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                pair = _names(archive.files, x, y)
                return ArrayDataset(*(None if name is None else archive[name] for name in pair))
        except DAMAGE as error:
            raise ValueError(f"read_npz: {os.fspath(path)} cannot be used: {error}") from error


def _names(held: list[str], x: str | None, y: str | None) -> tuple[str, str | None]:
    if x is None:
        if y is not None:
            raise ValueError("y is named, but not x")
        for pair in PAIRS:
            if set(pair) <= set(held):
                return pair
        raise ValueError(f"name the arrays to use with x= and y=; it holds {', '.join(held) or 'none'}")
    for name in (x, y):
        if name is not None and name not in held:
            raise ValueError(f"it holds no array {name!r} but {', '.join(held) or 'none'}")
    return x, y
