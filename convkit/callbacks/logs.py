"""Callbacks that write down the figures of each epoch; after each one the file is whole and on disk."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

import numpy as np

from convkit.callbacks.base import Callback, Run
from convkit.disk import replace

__all__ = ["CSVLog", "JSONLog", "Plot"]


class Log(Callback):
    """A file that is written anew after each epoch, from the history: a run that is resumed goes on with it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isdir(os.path.dirname(os.path.abspath(self.path))):
            raise FileNotFoundError(f"{type(self).__name__}: there is no folder for {self.path}")

    def epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        replace(self.path, self.content(run.history.history))

    def content(self, history: dict[str, list[Any]]) -> bytes:
        raise NotImplementedError


def rows_of(history: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A row for each epoch, with numbers and lists as JSON has them."""
    epochs = len(history["seconds"])
    plain = {name: [v.tolist() if isinstance(v, np.ndarray) else v for v in values] for name, values in history.items()}
    return [{"epoch": i + 1, **{name: values[i] for name, values in plain.items()}} for i in range(epochs)]


class CSVLog(Log):
    """Figures of each epoch as a CSV file with one row an epoch.

    Parameters
    ----------
    path : path-like

    Examples
    --------
    >>> import convkit, numpy as np, pathlib, tempfile
    >>> from convkit.callbacks import CSVLog
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.csv")
    ...     _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[CSVLog(path)])
    ...     lines = path.read_text().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,accuracy,seconds', 3)
    """

    def content(self, history: dict[str, list[Any]]) -> bytes:
        rows = rows_of(history)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()


class JSONLog(Log):
    """Figures of each epoch as one JSON object a line; figures that are not finite are null.

    Parameters
    ----------
    path : path-like

    Examples
    --------
    >>> import convkit, json, numpy as np, pathlib, tempfile
    >>> from convkit.callbacks import JSONLog
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.jsonl")
    ...     _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[JSONLog(path)])
    ...     [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
    [1, 2]
    """

    def content(self, history: dict[str, list[Any]]) -> bytes:
        def known(value: Any) -> Any:
            return None if isinstance(value, float) and not np.isfinite(value) else value

        rows = [{name: known(value) for name, value in row.items()} for row in rows_of(history)]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()


class Plot(Log):
    r"""Draws the figures by epoch as a PNG after each one: training and validation in one panel for each. Needs matplotlib.

    Parameters
    ----------
    path : path-like

    Examples
    --------
    >>> import convkit, numpy as np, pathlib, tempfile
    >>> from convkit.callbacks import Plot
    >>> model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    >>> x, y = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "training.png")
    ...     _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[Plot(path)])
    ...     path.read_bytes()[:4]
    b'\x89PNG'
    """

    def start(self, run: Run) -> None:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise ImportError('Plot needs matplotlib; run pip install "convkit-numpy[demo]"') from error

    def content(self, history: dict[str, list[Any]]) -> bytes:
        from matplotlib.figure import Figure

        curves = {name: values for name, values in history.items() if name != "seconds" and np.ndim(values) == 1}
        panels = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
        figure = Figure(figsize=(4 * len(panels), 3), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for name, color, label in ((panel, "#0072B2", "training"), (f"val_{panel}", "#D55E00", "validation")):
                if name in curves:
                    axes.plot(range(1, len(curves[name]) + 1), curves[name], color=color, label=label, marker=".")
            axes.set(title=panel, xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100)
        return picture.getvalue()
