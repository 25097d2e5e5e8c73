"""Model files: weights by safetensors, the architecture as JSON in its metadata, one SHA-256 over both.

A damaged file raises ModelFileError, whatever is wrong with it. Files of version 1 hold a list of layers, and weights that have
the layer's place where later ones have its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from convkit.disk import replace

__all__ = ["ModelFileError", "damage", "read", "write"]

FORMAT, OLD, VERSION = "convkit", "1", "2"


class ModelFileError(ValueError):
    """A model file that is damaged, or not a model file at all.

    Examples
    --------
    >>> import convkit, tempfile
    >>> with tempfile.NamedTemporaryFile() as f:
    ...     convkit.load_model(f.name)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    convkit.model.files.ModelFileError: ...
    """


def write(path: str | os.PathLike[str], architecture: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    """Write a model so that `path` holds either the whole new file or what it held before.

    Parameters
    ----------
    path : path-like
    architecture : dict that JSON can hold
    weights : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be written.
    ImportError
        If safetensors is missing.
    """
    numpy = _safetensors("numpy")
    text = json.dumps(architecture, allow_nan=False)
    metadata = {"format": FORMAT, "version": VERSION, "architecture": text, "sha256": _digest(text, weights)}
    replace(path, numpy.save(weights, metadata))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray], bool]:
    """Read a model file and check that it is whole.

    Returns
    -------
    architecture : what JSON holds
    weights : dict of str to ndarray
    by_place : bool
        Whether weights have the place of a layer in their names.

    Raises
    ------
    ModelFileError
        If the file is damaged or not a model.
    OSError
        If the file cannot be opened.
    ImportError
        If safetensors is missing.
    """
    safetensors = _safetensors()
    with open(path, "rb"):  # a missing file is an OSError, not a damaged one
        pass
    with damage(path, safetensors.SafetensorError), safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError("it is not a convkit model")
        if metadata["version"] not in (OLD, VERSION):
            raise ValueError(f"its format version is {metadata['version']}, this convkit reads up to {VERSION}")
        text = metadata["architecture"]
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (file is not a dict)
        if _digest(text, weights) != metadata["sha256"]:
            raise ValueError("its contents do not match its SHA-256")
        return json.loads(text), weights, metadata["version"] == OLD


@contextlib.contextmanager
def damage(path: str | os.PathLike[str], *also: type[Exception]) -> Iterator[None]:
    """Turn what a damaged file can raise into ModelFileError."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, *also) as error:
        what = f"{type(error).__name__} {error}" if isinstance(error, LookupError) else error
        raise ModelFileError(f"load: {os.fspath(path)} is not a sound model file: {what}") from error


def _digest(text: str, weights: dict[str, np.ndarray]) -> str:
    """SHA-256 over the architecture, and the name, dtype, shape and bytes of each array."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _safetensors(part: str = "") -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("model files need safetensors; run pip install safetensors") from error
    return safetensors.numpy if part else safetensors
