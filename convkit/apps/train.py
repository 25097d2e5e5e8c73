"""`convkit train SOURCE`: learn to tell apart the images of a folder, of IDX files or of an npz file."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convkit.apps.choices import NETWORKS, OPTIMIZERS, SCHEDULES, network, transforms
from convkit.apps.learn import learn
from convkit.apps.report import closing, verdict, write_model, write_pictures, write_result
from convkit.apps.run_folder import CHECKPOINT_FILE, MODEL_FILE, RUN_FILE, Classes, run_folder, undamaged, write_json
from convkit.apps.sources import Source, open_source
from convkit.apps.terminal import live, needs, program
from convkit.data import Augmented, Dataset, stratified_split


@dataclass(frozen=True)
class Options:
    """What a run is told; lies in its folder as run.json, for `--resume`.

    Attributes
    ----------
    source : tuple of str
        As of `open_source`.
    network, optimizer, schedule, augment : str
        Names of `convkit.apps.choices`.
    epochs, batch_size : int
    learning_rate : float, optional
        By default the optimiser's own.
    weight_decay : float
    size, colour
        As of `open_source`.
    validation : float
        Share of each class that is held out, unless the source has test images.
    patience : int, optional
        Epochs without a lower loss on held-out images after which the run stops, with the best weights.
    seed : int
        Chooses the held-out images, the first weights, the order of the images and their augmentation.
    threads : int, optional
        How many threads to compute with; by default convkit's own choice.
    """

    source: tuple[str, ...]
    network: str = "small"
    epochs: int = 30
    batch_size: int = 16
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str = "cosine"
    weight_decay: float = 0.0
    augment: str = "shift"
    size: int | None = None
    colour: str | None = None
    validation: float = 0.2
    patience: int | None = None
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("network", NETWORKS), ("optimizer", OPTIMIZERS), ("schedule", tuple(SCHEDULES))):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; known are {', '.join(known)}")


def train(source: str | list[str], *, out: str | None = None, **options: Any) -> float:
    """Train a network on images, and write what came of it.

    Parameters
    ----------
    source : str or list of str
        As of `open_source`.
    out : str, optional
        The folder to write into; by default a new one, ``runs/train-YYYYmmdd-HHMMSS``.
    **options
        See `Options`.

    Returns
    -------
    float
        The share of the held-out images that were right.

    Raises
    ------
    ImportError
        If matplotlib, Pillow or safetensors is missing.
    ValueError, OSError
        If the source or an option is not as wanted, or the run folder cannot be made.
    """
    needs("convkit train", "matplotlib", "PIL", "safetensors")
    given = [source] if isinstance(source, str) else list(source)
    options_ = Options(tuple(str(Path(path).absolute()) for path in given), **options)
    run = _Run(options_, given)
    with run_folder(out, "train") as folder:
        return run.go(folder)


def resume(folder: str, *, threads: int | None = None) -> float:
    """Go on with a run that was stopped; it ends with the model that it would have had.

    Parameters
    ----------
    folder : str
        Its run folder.
    threads : int, optional
        May differ from before.

    Returns
    -------
    float
        As of `train`.

    Raises
    ------
    ValueError, OSError
        If there is no such run, it is finished, or its files or images are not those of before.
    """
    needs("convkit train", "matplotlib", "PIL", "safetensors")
    path = Path(folder)
    for name in (RUN_FILE, CHECKPOINT_FILE):
        if not (path / name).is_file():
            done = " (the run is finished)" if name == CHECKPOINT_FILE and (path / MODEL_FILE).is_file() else ""
            raise ValueError(f"there is no {path / name} to go on from{done}; wanted a folder of convkit train --out")
    with undamaged(path / RUN_FILE) as found:
        options = Options(**{**found, "source": tuple(map(str, found["source"])), "threads": threads or found["threads"]})
    return _Run(options, list(options.source)).go(path, resume=True)


class _Run:
    """One run: its data, its network, and how they come together."""

    def __init__(self, options: Options, given: list[str]) -> None:
        self.options, self.given = options, given
        self.transforms = transforms(options.augment)
        self.source = open_source(given, size=options.size, colour=options.colour)
        self.rng = np.random.default_rng(options.seed)
        self.data, self.held, self.rows = self._split(self.source)
        self.classes = Classes(self.source.classes, self.source.size, self.source.colour)
        Augmented(self.data, self.transforms)  # augmentation that does not fit the images is told before any work

    def _split(self, source: Source) -> tuple[Dataset, Dataset, np.ndarray]:
        if source.held is not None:
            return source.data, source.held, np.arange(0)
        kept, held = stratified_split(source.data.targets, self.options.validation, self.rng)
        return source.data.subset(kept), source.data.subset(held), held

    def go(self, folder: Path, resume: bool = False) -> float:
        import convkit
        from convkit.ops.act import softmax

        options, checkpoint = self.options, folder / CHECKPOINT_FILE
        with nullcontext() if options.threads is None else convkit.threads(options.threads):
            model = network(options.network, self.classes.input_shape, len(self.classes.classes), self.rng)
            print(self._introduction(), end="\n\n")
            print("The network")
            model.summary()
            print(f"\nLearning, {options.epochs} times through the images" + (", from where it stopped" if resume else ""))
            if not resume:
                write_json(folder / RUN_FILE, asdict(options))
            try:
                history = self._learn(model, checkpoint, resume)
            except BaseException:
                if not checkpoint.exists():
                    (folder / RUN_FILE).unlink()
                raise
            if history.history:
                write_model(folder, model, self.classes, history)
            if history.interrupted:
                print(self._stopped(folder) if checkpoint.exists() else "\nStopped early")
                if not checkpoint.exists():
                    (folder / RUN_FILE).unlink()
                raise KeyboardInterrupt
            probabilities, labels = softmax(model.predict(self.held)), self.held.targets
            seconds, epochs = sum(history.history["seconds"]), len(history.history["seconds"])
            print("\n" + verdict(labels, probabilities, seconds), end="\n\n", flush=True)
            write_result(folder, model, self.classes, labels, probabilities, seconds=seconds, epochs=epochs)
            right = probabilities.argmax(axis=1) == labels
            write_pictures(folder, model, self.classes, history, self.held, probabilities, example=int(right.argmax()))
            checkpoint.unlink(missing_ok=True)
        print(self._closing(folder))
        return float(right.mean())

    def _learn(self, model: Any, checkpoint: Path, resume: bool) -> Any:
        from convkit import Checkpoint
        from convkit.callbacks import EarlyStopping

        options = self.options
        callbacks: list[Any] = [Checkpoint(checkpoint)]
        if options.patience is not None:
            callbacks.insert(0, EarlyStopping("val_loss", patience=options.patience, restore_best=True))
        return learn(
            model,
            self.data,
            self.held,
            epochs=options.epochs,
            batch_size=options.batch_size,
            rng=self.rng,
            transforms=self.transforms,
            optimizer_name=options.optimizer,
            learning_rate=options.learning_rate,
            schedule=options.schedule,
            weight_decay=options.weight_decay,
            verbose=live(),
            callbacks=callbacks,
            resume=checkpoint if resume else None,
        )

    def _introduction(self) -> str:
        source, counts = self.source, np.bincount(self.source.data.targets, minlength=len(self.source.classes))
        shown = ", ".join(f"{name} ({count:,})" for name, count in zip(source.classes[:10], counts, strict=False))
        more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
        total = len(self.data) + len(self.held)
        changed = ", ".join(type(transform).__name__ for transform in self.transforms) or "none"
        return (
            f"The data: {total:,} images from {self.given[0]}, {source.size} x {source.size} pixels, {source.colour}.\n"
            f"{len(counts)} classes: {shown}{more}.\n"
            f"{len(self.data):,} images are there to learn from; {len(self.held):,} are held out, to see what was learnt.\n"
            f"Random changes: {changed}."
        )

    def _stopped(self, folder: Path) -> str:
        again = f"{program()} train --resume {shlex.quote(str(folder))}"
        return f"\nStopped early; what was learnt is in {folder}. Go on with\n  {again}"

    def _closing(self, folder: Path) -> str:
        call, where, options = program(), shlex.quote(str(folder / MODEL_FILE)), self.options
        source = " ".join(shlex.quote(path) for path in self.given)
        commands = [
            (f"{call} train {source} --epochs {2 * options.epochs}", "learn for longer"),
            (f"{call} train {source} --size {2 * self.source.size}", "look at the images in more detail"),
        ]
        if self.source.paths:
            some = " ".join(shlex.quote(str(self.source.paths[i])) for i in self.rows[:2])
            commands.insert(0, (f"{call} predict {where} {some}", "name images of your own in their place"))
        else:
            commands.insert(0, (f"{call} predict {where} IMAGE.png", "name images of your own"))
        return closing(folder, ((RUN_FILE, "what this run was told"),), tuple(commands))
