"""Model files: weights by safetensors, the architecture as JSON in its metadata, one SHA-256 over both.

Nothing in a file names code: a layer is looked up in `LAYERS`, and everything else is a number or a string that the
layer's constructor checks. A damaged file raises ModelFileError, whatever is wrong with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from convkit import layers
from convkit.disk import replace
from convkit.layers.base import Layer

__all__ = ["ModelFileError", "read", "write"]

FORMAT, VERSION = "convkit", 1
DTYPES = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
LAYERS: dict[str, type[Layer]] = {name: getattr(layers, name) for name in layers.__all__ if name not in ("Layer", "Param")}


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
    architecture : dict, as `read` returns it
    weights : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be written.
    ImportError
        If safetensors is missing.
    ValueError
        If a layer is not one of convkit's.
    """
    numpy = _safetensors("numpy")
    for config in architecture["layers"]:
        if config["layer"] not in LAYERS:
            raise ValueError(f"save: {config['layer']} is not a layer that a file can name; known are {', '.join(LAYERS)}")
    text = json.dumps(architecture, allow_nan=False)
    metadata = {"format": FORMAT, "version": str(VERSION), "architecture": text, "sha256": _digest(text, weights)}
    replace(path, numpy.save(weights, metadata))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Layer], dict[str, np.ndarray]]:
    """Read and check a model file.

    Returns
    -------
    architecture : dict
        ``input_shape`` (tuple of int), ``dtype`` (numpy.dtype), ``layers`` (list of configurations).
    layers : list of Layer, not built
    weights : dict of str to ndarray

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
        if metadata["version"] != str(VERSION):
            raise ValueError(f"its format version is {metadata['version']}, this convkit reads {VERSION}")
        text = metadata["architecture"]
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (file is not a dict)
        if _digest(text, weights) != metadata["sha256"]:
            raise ValueError("its contents do not match its SHA-256")
        architecture = json.loads(text)
        shape = architecture["input_shape"]
        if not (isinstance(shape, list) and all(type(n) is int for n in shape)):
            raise ValueError(f"input_shape is {shape!r}")
        made = [_layer(config) for config in architecture["layers"]]
        return {**architecture, "input_shape": tuple(shape), "dtype": DTYPES[architecture["dtype"]]}, made, weights


@contextlib.contextmanager
def damage(path: str | os.PathLike[str], *also: type[Exception]) -> Iterator[None]:
    """Turn what a damaged file can raise into ModelFileError."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, *also) as error:
        what = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else error
        raise ModelFileError(f"load: {os.fspath(path)} is not a sound model file: {what}") from error


def _layer(config: dict[str, Any]) -> Layer:
    arguments = dict(config)
    return LAYERS[arguments.pop("layer")](**arguments)


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
