"""The folder a training run writes into, and what is read back from it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from convkit.data.images import COLOURS, check_form

MODEL_FILE, HISTORY_FILE, CLASSES_FILE = "model.safetensors", "history.json", "classes.json"
RESULT_FILE, RUN_FILE, CHECKPOINT_FILE = "result.json", "run.json", "checkpoint.safetensors"
LARGEST_JSON_FILE = 16 << 20  # bytes; nobody has that many class names


@dataclass(frozen=True)
class Classes:
    """What a model's inputs and outputs mean; lies beside the model as classes.json.

    Attributes
    ----------
    classes : tuple of str
        The name of each output.
    size : int
        Width and height in pixels of the images that the model takes.
    colour : {"grey", "rgb"}
        Their colour mode.
    """

    classes: tuple[str, ...]
    size: int
    colour: str

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or not all(isinstance(name, str) for name in self.classes):
            raise ValueError("'classes' must list at least two names")
        if None in check_form(self.size, self.colour):
            raise ValueError("'size' and 'colour' must be given")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image, (size, size, channels)."""
        return (self.size, self.size, COLOURS[self.colour])


@contextmanager
def run_folder(out: str | None, name: str) -> Iterator[Path]:
    """Make the folder that a run writes into, before any work is done; take it away if the run fails with nothing written.

    Parameters
    ----------
    out : str, optional
        The folder; it may exist if it is empty. By default ``runs/NAME-YYYYmmdd-HHMMSS``, with a number
        appended if that exists.
    name : str
        What the default folder's name starts with.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    OSError
        If the folder cannot be made, or something else has that name.
    ValueError
        If ``out`` holds files already.
    """
    given = None if out is None else Path(out)
    keep = given is not None and given.exists()
    folder = _fresh(name) if given is None else given
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"the folder {folder} holds files already; choose a new one, nothing is overwritten")
    try:
        yield folder
    except BaseException:
        if not keep:
            with suppress(OSError):  # it holds files
                folder.rmdir()
        raise


def _fresh(name: str) -> Path:
    """Make a folder that nobody else has."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        folder = Path("runs", stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.is_dir():  # "runs" itself is a file: no number will help
                raise
            number += 1


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with one key per line."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def write_classes(folder: Path, classes: Classes) -> None:
    """Write classes.json into a run folder."""
    write_json(folder / CLASSES_FILE, asdict(classes))


def read_classes(model_file: Path) -> Classes:
    """Read the classes.json that lies beside a model.

    Raises
    ------
    ValueError
        If it is missing or damaged; the message names it.
    """
    path = model_file.parent / CLASSES_FILE
    if not path.is_file():
        raise ValueError(f"there is no {path}; it tells a model's class names and image size and must lie beside the model")
    with undamaged(path) as found:
        return Classes(tuple(found["classes"]), found["size"], found["colour"])


@contextmanager
def undamaged(path: Path) -> Iterator[Any]:
    """What a JSON file holds; whatever goes wrong with it is one ValueError that names the file."""
    try:
        if path.stat().st_size > LARGEST_JSON_FILE:
            raise ValueError("it is too large")
        yield json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is damaged: {reason}") from error


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write a grey image of shape (H, W), uint8, as PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(path)


def list_files(folder: Path, about: Sequence[tuple[str, str]]) -> str:
    """Say of each file or folder of a run how large it is and what it holds."""
    rows = [(name, f"{math.ceil(_size(folder / name) / 1000)} kB", text) for name, text in about]
    names, sizes = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"  {name.ljust(names)}  {size.rjust(sizes)}  {text}" for name, size, text in rows)


def _size(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
