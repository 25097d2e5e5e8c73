"""Kills training runs at random moments, resumes them, and compares the bits of what they end with.

    convkit bench resume --runs 20

Each run trains a small network with all that has a state: dropout, batch norm, shuffling, an augmented data set read by
threads, averages of the weights, a schedule, early stopping. It is killed (SIGKILL) a random time after it has begun to train,
and resumed, until it comes to its end; weights and figures must be those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
EPOCHS, SAMPLES = 6, 480


def train(folder: Path) -> None:
    """One process: goes on from the checkpoint, if there is one, and writes what it ends with."""
    import convkit
    from convkit.callbacks import EarlyStopping, JSONLog
    from convkit.data import Dataset
    from convkit.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU
    from convkit.metrics import AUC, F1

    class Noisy(Dataset):
        shape, dtype, workers = (8, 8, 1), np.dtype(np.float32), 1

        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.targets = rng.integers(0, 4, SAMPLES)
            self.x = rng.standard_normal((SAMPLES, *self.shape)).astype(np.float32)
            self.x[np.arange(SAMPLES), self.targets] += 1

        def __len__(self) -> int:
            return SAMPLES

        def _read(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
            x = self.x[rows]
            if seed is not None:
                x = x + np.stack([np.random.default_rng([seed, row]).standard_normal(self.shape) for row in rows])
            return x.astype(np.float32), self.targets[rows]

    layers = [Conv2D(8, 3, bias=False), BatchNorm(), ReLU(), Dropout(0.2), Flatten(), Dense(4)]
    model = convkit.Sequential(layers, rng=0)
    checkpoint = folder / "run.safetensors"
    history = model.fit(
        Noisy(), epochs=EPOCHS, batch_size=8, validation_split=0.25, metrics=["accuracy", F1(), AUC()],
        optimizer=convkit.optim.AdamW(convkit.schedules.WarmUp(convkit.schedules.Plateau(0.01, patience=1), 20), ema=0.9,
                                      clip_global_norm=1.0), verbose=0,
        callbacks=[EarlyStopping(patience=EPOCHS, restore_best=True), convkit.Checkpoint(checkpoint, every=3),
                   JSONLog(folder / "log.jsonl")],
        resume=checkpoint if checkpoint.exists() else None,
    ).history  # fmt: skip
    figures = {name: np.array(values) for name, values in history.items() if name != "seconds"}
    weights = {f"weights {name}": param.value for name, param in model.params.items()}
    buffers = {f"buffer {i} {name}": a for i, layer in enumerate(model.layers) for name, a in layer.buffers.items()}
    np.savez(folder / "part.npz", **figures, **weights, **buffers)
    os.replace(folder / "part.npz", folder / "end.npz")


def started(folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks", "resume", "--train", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})


def disturbed(folder: Path, rng: random.Random, most: int, longest: float) -> int:
    """Run in a folder to the end, killed up to `most` times, each up to so many seconds after it began; how many it were."""
    kills = 0
    while not (folder / "end.npz").exists():
        process = started(folder, {"OMP_NUM_THREADS": rng.choice("12")})
        checkpoint = folder / "run.safetensors"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != before):
            time.sleep(0.001)
        if kills < most:
            time.sleep(rng.random() * longest)
            if process.poll() is None:
                process.kill()
                kills += 1
        if process.wait() not in (0, -9):
            raise SystemExit(f"the run in {folder} ended with {process.returncode}")
    return kills


def differences(folder: Path, other: Path) -> list[str]:
    """Names of what does not have the same bits."""
    with np.load(folder / "end.npz") as a, np.load(other / "end.npz") as b:
        return sorted(a.keys() ^ b.keys()) + [name for name in a if name in b and a[name].tobytes() != b[name].tobytes()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3, help="most for each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)


def main(how: argparse.Namespace) -> int:
    if how.train is not None:
        train(how.train)
        return 0
    wrong, kills = 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "whole")
        whole.mkdir()
        start = time.monotonic()
        disturbed(whole, random.Random(how.seed), 0, 0)
        length = time.monotonic() - start
        for run in range(how.runs):
            folder = Path(name, str(run))
            folder.mkdir()
            count = disturbed(folder, random.Random(how.seed + run), how.kills, length / 2)
            found = differences(folder, whole)
            wrong, kills = wrong + bool(found), kills + count
            print(f"run {run + 1}: killed {count} times, {', '.join(found) + ' differ' if found else 'same bits'}", flush=True)
    print(f"{how.runs - wrong} of {how.runs} runs, killed {kills} times, end with the bits of a run that was not disturbed")
    return int(wrong > 0)
