"""Checkpoints: all that a training run needs to go on with the same bits, in one file that is replaced in one step."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.callbacks import Callback, Run
from convkit.disk import replace
from convkit.layers.base import positive
from convkit.model import files

if TYPE_CHECKING:
    from convkit.model.fit import Training
    from convkit.model.settings import Settings

__all__ = ["Checkpoint", "Saved", "read"]

FORMAT, VERSION = "convkit-checkpoint", "1"
MOST = 4  # differences that an error tells of


class Checkpoint(Callback):
    """Writes the state of the run to a file: weights, optimiser, schedule, random numbers, place in the data, figures.

    ``model.fit(..., resume=path)``, with the same model, data and other arguments, goes on from there and ends with the same
    bits as a run that was never stopped. The file is written after each epoch and when the run ends early, and holds
    either the whole new state or the whole old one whenever the process or the machine dies.

    Parameters
    ----------
    path : path-like
    every : int >= 1, optional
        Write after so many steps, too.
    seconds : float > 0, optional
        Write after the first step that ends so long after the last writing, too.

    Examples
    --------
    >>> import convkit, numpy as np, os, tempfile
    >>> x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    >>> def fit(epochs, **how):
    ...     model = convkit.Sequential([convkit.layers.Dense(2)], rng=0)
    ...     model.fit(x, y, epochs=epochs, batch_size=2, verbose=0, **how)
    ...     return model.predict(x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     _ = fit(3, callbacks=[convkit.Checkpoint(path)])
    ...     bool(np.array_equal(fit(5, resume=path), fit(5)))
    True
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int | None = None, seconds: float | None = None) -> None:
        self.path = os.fspath(path)
        self.every = None if every is None else positive(every, "Checkpoint", "every")
        if seconds is not None and not (isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0):
            raise ValueError(f"Checkpoint: seconds must be a number > 0, got {seconds!r}")
        self.seconds = seconds
        if not os.path.isdir(os.path.dirname(os.path.abspath(self.path))):
            raise FileNotFoundError(f"Checkpoint: there is no folder for {self.path}")
        self._steps, self._written = 0, 0.0

    def start(self, run: Run) -> None:
        files._safetensors()
        if not all(callable(getattr(run.optimizer, name, None)) for name in ("state", "load_state")):
            raise TypeError(f"Checkpoint: the optimiser {type(run.optimizer).__name__} has no state(params) and load_state")
        self._written = time.monotonic()

    def step_end(self, run: Run) -> None:
        self._steps += 1
        late = self.seconds is not None and time.monotonic() - self._written >= self.seconds
        if late or (self.every is not None and self._steps % self.every == 0):
            self.write(run)

    def epoch_over(self, run: Run) -> None:
        self.write(run)

    def before_end(self, run: Run) -> None:
        if run.epoch < run.epochs:
            self.write(run)

    def write(self, run: Run) -> None:
        """Write the state of the run."""
        info, arrays = state(run)
        text = json.dumps(info, default=lambda array: array.tolist())
        metadata = {"format": FORMAT, "version": VERSION, "run": text, "sha256": files._digest(text, arrays)}
        replace(self.path, files._safetensors("numpy").save(arrays, metadata))
        self._written = time.monotonic()


def state(run: Training) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The run as what JSON can hold, and arrays."""
    arrays = {f"model/{name}": array for name, array in run.model.saved.items()}
    arrays |= {f"optimizer/{name}": array for name, array in run.optimizer.state(run.model.params).items()}
    for name, metric in run.means.metrics.items():
        arrays |= {f"metric/{name}/{key}": array for key, array in metric.sums.items()}
    told: dict[str, dict[str, Any]] = {}
    for name, callback in named(run.how.callbacks):
        own = callback.state()
        arrays |= {f"callback/{name}/{key}": value for key, value in own.items() if isinstance(value, np.ndarray)}
        told[name] = {key: value for key, value in own.items() if not isinstance(value, np.ndarray)}
    info = {
        **sizes(run.how, run.data.n), "layers": layers_of(run.model),
        "epoch": run.epoch, "step": run.step, "seconds": run.seconds, "samples": run.means.samples, "loss": run.means.loss,
        "history": run.history.history, "stopped": run.history.stopped if run.done else None, "callbacks": told,
        "rng": {"start": run.start, "began": run.began, "now": run.rng.bit_generator.state},
        "generators": {name: rng.bit_generator.state for name, rng in generators(run.model)},
    }  # fmt: skip
    return info, {name: np.asarray(array, order="C") for name, array in arrays.items()}


def read(path: str | os.PathLike[str]) -> Saved:
    """Read a checkpoint and check that it is whole.

    Raises
    ------
    ModelFileError
        If the file is damaged, or not a checkpoint.
    OSError, ImportError
        If it cannot be read, or safetensors is missing.
    """
    safetensors = files._safetensors()
    with open(path, "rb"):  # a missing file is an OSError, not a damaged one
        pass
    with files.damage(path, safetensors.SafetensorError), safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError("it is not a checkpoint of convkit")
        if metadata["version"] != VERSION:
            raise ValueError(f"its format version is {metadata['version']}, this convkit reads {VERSION}")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (file is not a dict)
        if files._digest(metadata["run"], arrays) != metadata["sha256"]:
            raise ValueError("its contents do not match its SHA-256")
        return Saved(os.fspath(path), json.loads(metadata["run"]), arrays)


class Saved:
    """What a checkpoint holds."""

    def __init__(self, path: str, info: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.path, self.info, self.arrays = path, info, arrays

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin so."""
        return {key.removeprefix(f"{name}/"): array for key, array in self.arrays.items() if key.startswith(f"{name}/")}

    def check(self, how: Settings, n: int | None) -> None:
        """ValueError that names what differs, unless it is a checkpoint of such a run of such a model."""
        there = self.info["layers"] | {name: f"{a.dtype} {a.shape}" for name, a in self.part("model").items()}
        here = layers_of(how.model) | {name: f"{a.dtype} {a.shape}" for name, a in how.model.saved.items()}
        wrong = [f"{there[name]} as {name}, which this model lacks" for name in there if name not in here]
        wrong += [f"no {name}" for name in here if name not in there]
        both = [name for name in there if name in here and there[name] != here[name]]
        wrong += [f"{there[name]} as {name}, here it is {here[name]}" for name in both]
        if wrong:
            more = f"; and {len(wrong) - MOST} differences more" if len(wrong) > MOST else ""
            raise ValueError(f"fit: {self.path} is a checkpoint of another model: it has {'; '.join(wrong[:MOST])}{more}")
        for name, value in sizes(how, n).items():
            if self.info[name] != value:
                raise ValueError(f"fit: {self.path} is a checkpoint of a run with {name} {self.info[name]}, here it is {value}")

    def before_split(self, rng: np.random.Generator) -> None:
        """Have the generator draw the same split."""
        self._set("fit's rng", rng, self.info["rng"]["start"])

    def restore(self, run: Training) -> None:
        """Put the run where it was."""
        info = self.info
        known = dict(generators(run.model))
        if known.keys() != info["generators"].keys():
            there = sorted(info["generators"])
            raise ValueError(f"fit: {self.path} has random states of {there}, this model of {sorted(known)}")
        try:
            run.optimizer.load_state(run.model.params, self.part("optimizer"))
        except ValueError as error:
            raise ValueError(f"fit: {self.path} does not fit the optimiser: {error}") from error
        run.model.set_weights(self.part("model"))
        for name, rng in known.items():
            self._set(name, rng, info["generators"][name])
        self._set("fit's rng", run.rng, info["rng"]["now"])
        run.start, run.began = info["rng"]["start"], info["rng"]["began"]
        for name, metric in run.means.metrics.items():
            metric.sums = self.part(f"metric/{name}")
        run.means.samples, run.means.loss = info["samples"], info["loss"]
        for name, callback in named(run.how.callbacks):
            if name in info["callbacks"]:
                callback.load_state({**info["callbacks"][name], **self.part(f"callback/{name}")})
        run.epoch, run.step, run.spent = info["epoch"], info["step"], info["seconds"]
        run.history.history = {
            name: [np.array(v) if isinstance(v, list) else v for v in values] for name, values in info["history"].items()
        }
        run.history.stopped, run.done, run.resumed = info["stopped"], info["stopped"] is not None, True

    def _set(self, name: str, rng: np.random.Generator, state: dict[str, Any]) -> None:
        kind = type(rng.bit_generator).__name__
        if state["bit_generator"] != kind:
            raise ValueError(f"fit: {self.path} has a state of {state['bit_generator']} for {name}, which is a {kind}")
        rng.bit_generator.state = state


def sizes(how: Settings, n: int | None) -> dict[str, Any]:
    """What must be alike for the place in the data to mean the same."""
    return {"batch_size": how.batch_size, "accumulate": how.accumulate, "training samples": n, "metrics": list(how.metrics)}


def layers_of(model: Any) -> dict[str, str]:
    """How each layer is written."""
    return {name: repr(layer) for name, layer in model.leaves()}


def named(callbacks: tuple[Callback, ...]) -> Iterator[tuple[str, Callback]]:
    """Callbacks by their kind and number."""
    counts: Counter[str] = Counter()
    for callback in callbacks:
        kind = type(callback).__name__
        counts[kind] += 1
        yield f"{kind} {counts[kind]}", callback


def generators(model: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """All random generators of a model and its layers, by name."""
    for name, owner in (("model", model), *model.leaves()):
        for key, value in vars(owner).items():
            if isinstance(value, np.random.Generator):
                yield f"{name}.{key}", value
