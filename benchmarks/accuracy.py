"""Does a network learn as well here as in PyTorch? The same one, from the same weights, through the same batches.

    python -m benchmarks.accuracy

On the digits that ship in the package, and on files like MNIST's that are made of them. For each seed both train the same small
network with Adam; the test accuracies are averaged over the seeds. How long convkit takes is printed beside them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import convkit
from convkit.data import digits, idx, write_digits_idx
from convkit.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU

from .tables import print_table

BATCH, RATE = 32, 1e-3


class Batches:
    """Every epoch the same batches for both; iterating goes through one epoch after another."""

    def __init__(self, x: np.ndarray, y: np.ndarray, epochs: int, seed: int) -> None:
        self.x, self.y, rng = x, y, np.random.default_rng(seed)
        self.orders = [rng.permutation(len(x)) for _ in range(epochs)]
        self.epoch = 0

    def __iter__(self):
        order = self.orders[self.epoch % len(self.orders)]
        self.epoch += 1
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            yield self.x[rows], self.y[rows]


def network(shape: tuple[int, ...], seed: int):
    layers = [Conv2D(32, 3, padding=1), ReLU(), MaxPool2D(2), Conv2D(64, 3, padding=1), ReLU(), MaxPool2D(2), Flatten()]
    return convkit.Sequential([*layers, Dense(64), ReLU(), Dense(10)], input_shape=shape, rng=seed)


def here(model, batches: Batches, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Test accuracy, and the seconds of training."""
    start = time.perf_counter()
    model.fit(batches, epochs=len(batches.orders), optimizer=convkit.optim.Adam(RATE), verbose=0)
    seconds = time.perf_counter() - start
    return float((model.predict(x).argmax(axis=1) == y).mean()), seconds


def there(model, batches: Batches, x: np.ndarray, y: np.ndarray) -> float:
    """Test accuracy of PyTorch, from the weights that `model` has now."""
    import torch
    from torch import nn

    size = model.layers[6].input_shape                  # what is flattened: channels last here, first there
    layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
              nn.MaxPool2d(2), nn.Flatten(), nn.Linear(int(np.prod(size)), 64), nn.ReLU(), nn.Linear(64, 10)]  # fmt: skip
    twin = nn.Sequential(*layers)
    learned = iter(model.params.values())
    with torch.no_grad():
        for layer in twin:
            for param in layer.parameters():
                w = next(learned).value
                if w.ndim == 4:
                    w = np.moveaxis(w, -1, 1)
                elif layer is twin[7] and w.ndim == 2:
                    w = np.moveaxis(w.reshape(len(w), *size), -1, 1).reshape(w.shape)
                param.copy_(torch.from_numpy(np.array(w)))
    optimizer = torch.optim.Adam(twin.parameters(), RATE)
    for _ in batches.orders:
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(turned(images)), torch.from_numpy(labels)).backward()
            optimizer.step()
    with torch.no_grad():
        return float((twin(turned(x)).argmax(1).numpy() == y).mean())


def turned(x: np.ndarray):
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def sets(folder: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Training images and labels, then those for testing."""
    own = digits()
    made = write_digits_idx(folder, copies=2)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    x, y, x_test, y_test = (idx.read(next(made.glob(f"{name}*"))) for name in names)
    return {
        "digits, 8x8": (scaled(own.x_train), own.y_train, scaled(own.x_test), own.y_test),
        "made IDX files, 28x28": (scaled(x), y.astype(np.int64), scaled(x_test), y_test.astype(np.int64)),
    }


def scaled(x: np.ndarray) -> np.ndarray:
    """Whole numbers as those from 0 to 1, with an axis of channels."""
    return (x.reshape(*x.shape[:3], 1) / x.max()).astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    worse = "exit 1 if convkit is worse by more points (default: %(default)s)"
    parser.add_argument("--most", type=float, default=0.3, help=worse)
    args = parser.parse_args()
    lines, worst = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, (x, y, x_test, y_test) in sets(Path(folder)).items():
            found = []
            for seed in range(args.seeds):
                model = network(x.shape[1:], seed)
                theirs = there(model, Batches(x, y, args.epochs, seed), x_test, y_test)
                found.append((*here(model, Batches(x, y, args.epochs, seed), x_test, y_test), theirs))
            ours, seconds, theirs = np.mean(found, axis=0)
            worst = max(worst, (theirs - ours) * 100)
            lines.append([name, f"{ours:.2%}", f"{theirs:.2%}", f"{(ours - theirs) * 100:+.2f}", f"{seconds:.1f}"])
    print_table(["images", "convkit", "torch", "points", "seconds of convkit"], lines, False)
    return int(worst > args.most)


if __name__ == "__main__":
    sys.exit(main())
