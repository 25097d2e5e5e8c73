"""What a model is trained on and evaluated with: arrays, data sets, iterables of batches, checked against the model."""

from __future__ import annotations

import contextlib
import itertools
import math
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from convkit.data import ArrayDataset, Dataset, ahead
from convkit.losses import class_targets
from convkit.losses.targets import plain_array
from convkit.model.settings import BINARY_LOSSES, OTHER_LOSSES, Settings
from convkit.model.several import Several, SeveralDataset, by_name, sample_shape

__all__ = ["Source", "class_weights", "model_inputs", "samples", "source", "split", "split_size"]

Batch = tuple[Any, Any, "np.ndarray | None"]  # x, y, weights


class Source:
    """Batches, epoch after epoch.

    Attributes
    ----------
    n : int or None
        Samples of an epoch, if that is known.
    shape : tuple of int or None
        Of one sample.
    """

    n: int | None = None
    shape: tuple[int, ...] | None = None

    def steps(self, size: int) -> int | None:
        """Batches of an epoch, if that is known."""
        return None if self.n is None else math.ceil(self.n / size)

    def epoch(self, rng: np.random.Generator, size: int, skip: int) -> Iterator[Batch]:
        """The batches of an epoch in a new random order, but the first few; all that is random is drawn at once."""
        raise NotImplementedError

    def in_order(self, size: int) -> Iterator[Batch]:
        """All batches, with nothing random about them."""
        raise NotImplementedError


class Numbered(Source):
    """A data set, or those of its rows that are trained on; `checked` says that all of it is known to be right."""

    def __init__(self, how: Settings, dataset: Dataset, name: str, weights: np.ndarray | None, checked: bool) -> None:
        self.how, self.dataset, self.name, self.weights, self.checked = how, dataset, name, weights, checked
        self.rows = np.arange(len(dataset))
        self.shape = tuple(dataset.shape)

    @property
    def n(self) -> int:
        return len(self.rows)

    def epoch(self, rng: np.random.Generator, size: int, skip: int) -> Iterator[Batch]:
        order, seed = rng.permutation(self.rows), int(rng.integers(2**63))
        return self._read([order[start : start + size] for start in range(0, len(order), size)][skip:], seed)

    def in_order(self, size: int) -> Iterator[Batch]:
        if isinstance(self.dataset, ArrayDataset) and self.checked:  # nothing to copy
            x, y = self.dataset.x, self.dataset.targets
            return ((x[i : i + size], y[i : i + size], None) for i in range(0, self.n, size))
        return self._read([self.rows[start : start + size] for start in range(0, self.n, size)], None)

    def _read(self, batches: list[np.ndarray], seed: int | None) -> Iterator[Batch]:
        with contextlib.closing(ahead(self.dataset, batches, seed)) as read:
            for rows, (x, y) in zip(batches, read, strict=True):
                if not self.checked:
                    x, y = samples(self.how, x, y, prefix=self.name, shape=self.shape)
                yield x, y, None if self.weights is None else self.weights[rows]


class Stream(Source):
    """An iterable of batches (x, y), or (x, y, weights), that begins anew in each epoch."""

    def __init__(self, how: Settings, batches: Iterable[Any], name: str) -> None:
        self.how, self.batches, self.name = how, batches, name
        if iter(batches) is batches and how.epochs > 1:
            wanted = f"for {how.epochs} epochs give an object whose __iter__ begins anew, or a Dataset"
            raise TypeError(f"{how.op}: {name}x is an iterator, which gives its batches once; {wanted}")

    def steps(self, size: int) -> int | None:
        return len(self.batches) if hasattr(self.batches, "__len__") else None

    def epoch(self, rng: np.random.Generator, size: int, skip: int) -> Iterator[Batch]:
        return self._read(skip)

    def in_order(self, size: int) -> Iterator[Batch]:
        return self._read(0)

    def _read(self, skip: int) -> Iterator[Batch]:
        count = 0
        for count, batch in enumerate(self.batches, 1):
            if count > skip:
                yield self._checked(count - 1, batch)
        if not count:
            raise ValueError(f"{self.how.op}: {self.name}x gives no batches")

    def _checked(self, i: int, batch: Any) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(f"{self.how.op}: {self.name}batch {i} must be (x, y) or (x, y, weights), got {_told(batch)}")
        x, y = samples(self.how, *batch[:2], prefix=f"{self.name}batch {i}: ", shape=self.shape)
        self.shape = sample_shape(x)
        return x, y, None if len(batch) < 3 else _weights(self.how, batch[2], y, f"weights of batch {i}")

    def look(self) -> None:
        """Learn the shape of the samples from the first batch, which is not used up."""
        batches = iter(self.batches)
        first = next(batches, None)
        if first is None:
            raise ValueError(f"{self.how.op}: {self.name}x gives no batches")
        if batches is self.batches:
            self.batches = itertools.chain([first], batches)
        self._checked(0, first)


def source(how: Settings, x: Any, y: Any, weights: Any = None, *, prefix: str = "", shape: Any = None) -> Source:
    """Whatever the user gave as a checked Source."""
    op = how.op
    if y is None and isinstance(x, Dataset):
        if not len(x):
            raise ValueError(f"{op}: {prefix}x is empty")
        expected = how.model.input_shape or shape
        if expected is not None and tuple(x.shape) != tuple(expected):
            raise ValueError(f"{op}: the samples of {prefix}x must have shape {tuple(expected)}, got {tuple(x.shape)}")
        if x.targets is not None and not how.parts:
            _targets(how, plain_array(x.targets, op, f"{prefix}y"), _output(how, tuple(x.shape)), f"{prefix}y")
        return Numbered(how, x, prefix, None if weights is None else _weights(how, weights, x, "sample_weight"), False)
    if y is None:
        if x is None or isinstance(x, np.ndarray) or hasattr(x, "__array__") or not isinstance(x, Iterable):
            raise TypeError(f"{op}: {prefix}x must be a Dataset or an iterable of (x, y) where no y is given, got {_told(x)}")
        if weights is not None:
            raise TypeError(f"{op}: sample_weight is for arrays and data sets; an iterable gives (x, y, weights)")
        stream = Stream(how, x, prefix)
        stream.look()
        return stream
    if isinstance(x, Dataset):
        raise TypeError(f"{op}: {prefix}x is a Dataset, which has its own targets; leave y out")
    mapped = isinstance(x, np.memmap)
    x, y = samples(how, x, y, prefix=prefix, shape=shape)
    if isinstance(x, Several) or isinstance(y, Several):
        data: Dataset = SeveralDataset(x, y)
    else:
        data = ArrayDataset(x, y)
        data.workers = int(mapped)
    return Numbered(how, data, prefix, None if weights is None else _weights(how, weights, y, "sample_weight"), True)


def samples(how: Settings, x: Any, y: Any, *, prefix: str = "", shape: Any = None) -> tuple[Any, Any]:
    """x and y as arrays that fit the model, the loss and each other."""
    op, model = how.op, how.model
    x = model_inputs(op, f"{prefix}x", x, model, shape)
    if not len(x):
        raise ValueError(f"{op}: {prefix}x is empty")
    names, output = model.output_names, _output(how, sample_shape(x))
    if not how.parts:
        return x, _of_output(how, len(x), y, output, prefix, "y")
    given = zip(how.parts, by_name(op, f"{prefix}y", y, names), output, names, strict=True)
    return x, Several(_of_output(part, len(x), own, each, prefix, f"y[{name!r}]") for part, own, each, name in given)


def _of_output(how: Settings, n: int, y: Any, output: tuple[int, ...], prefix: str, name: str) -> np.ndarray:
    """The targets of n samples for an output."""
    y = plain_array(y, how.op, f"{prefix}{name}")
    if y.ndim == 0 or len(y) != n:
        raise ValueError(f"{how.op}: {prefix}x has {n} samples, {prefix}{name} has shape {y.shape}")
    return _targets(how, y, output, f"{prefix}{name}")


def model_inputs(op: str, name: str, x: Any, model: Any, shape: Any = None) -> Any:
    """x as the model takes it: an array, or Several; of the given shape if the model is not built."""
    shape, dtypes = model.input_shape or shape, (model.dtype, *model.takes)
    if not model.several:
        return inputs(op, name, x, dtypes, shape)
    names = model.input_names
    given = zip(by_name(op, name, x, names), shape, names, strict=True)
    arrays = [inputs(op, f"{name}[{own!r}]", array, dtypes, each) for array, each, own in given]
    if len(set(map(len, arrays))) > 1:
        raise ValueError(f"{op}: the arrays of {name} must be equally long, got {', '.join(str(len(a)) for a in arrays)}")
    return Several(arrays)


def inputs(op: str, name: str, x: Any, dtypes: tuple[np.dtype, ...], shape: tuple[int, ...] | None) -> np.ndarray:
    """x as an array of one of the dtypes, the model's own first, whose samples have the given shape."""
    x = plain_array(x, op, name)
    native = x.dtype.newbyteorder("=")
    if native not in dtypes:
        hint = f"write {name}.astype(np.{dtypes[0]})"
        if x.dtype == np.uint8:
            hint += " / 255, or begin the model with layers.Rescale()"
        raise TypeError(f"{op}: {name} has dtype {x.dtype}, the model works in {dtypes[0]}; {hint}")
    if x.ndim < 2 or (shape is not None and x.shape[1:] != shape):
        wanted = ", ".join(map(str, shape)) if shape is not None else "..."
        raise ValueError(f"{op}: {name} must have shape (N, {wanted}), got {x.shape}")
    return x.astype(native, copy=False)


def split_size(data: Source, share: Any) -> int:
    """How many samples a share is; TypeError or ValueError unless it leaves some on both sides."""
    if isinstance(share, (bool, np.bool_)) or not isinstance(share, numbers.Real):
        raise TypeError(f"fit: validation_split must be a number, got {share!r}")
    if not 0 <= share < 1:
        raise ValueError(f"fit: validation_split must be in [0, 1), got {share}")
    if not share:
        return 0
    if not isinstance(data, Numbered):
        raise TypeError("fit: validation_split is for arrays and data sets, not for iterables; give validation_data")
    size = round(share * data.n)
    if not 0 < size < data.n:
        raise ValueError(f"fit: validation_split={share} of {data.n} samples leaves none to train or to validate")
    return size


def split(how: Settings, data: Numbered, size: int, rng: np.random.Generator) -> Source:
    """Take so many samples out of `data`, of each class alike."""
    y = data.dataset.targets
    chosen = _stratified(np.zeros(data.n) if y is None else np.asarray(y), size, rng)
    data.rows = np.flatnonzero(~chosen)
    if isinstance(data.dataset, ArrayDataset) and data.checked:
        return Numbered(how, ArrayDataset(data.dataset.x[chosen], data.dataset.targets[chosen]), "validation ", None, True)
    whole, kept = data.dataset, data.rows
    data.dataset, data.rows = whole.subset(kept), np.arange(len(kept))  # so that MixUp meets no validation sample either
    if data.weights is not None:
        data.weights = data.weights[kept]
    return Numbered(how, whole.subset(np.flatnonzero(chosen)), "validation ", None, False)


def class_weights(given: Any, how: Settings, output: tuple[int, ...]) -> np.ndarray | None:
    """A weight for each class."""
    if given is None:
        return None
    if how.parts:
        raise TypeError("fit: class_weight is for models with one output")
    how.needs_reduction("class_weight")
    if not how.about_classes:
        raise TypeError("fit: class_weight is for losses about classes, such as cross_entropy")
    k = output[-1]
    if isinstance(given, dict):
        wrong = [label for label in given if not (isinstance(label, numbers.Integral) and 0 <= label < k)]
        if wrong:
            raise ValueError(f"fit: class_weight has the class {wrong[0]!r}, wanted 0..{k - 1}")
        given = [given.get(label, 1.0) for label in range(k)]
    weights = np.asarray(given)
    if weights.shape != (k,) or weights.dtype.kind not in "iuf" or not (np.all(np.isfinite(weights)) and np.all(weights >= 0)):
        raise ValueError(f"fit: class_weight must be finite numbers >= 0, one for each of {k} classes, got {given!r}")
    return weights.astype(np.float64)


def _output(how: Settings, shape: tuple[int, ...]) -> tuple[int, ...]:
    return how.model.output_shape(shape)


def _targets(how: Settings, y: np.ndarray, output: tuple[int, ...], name: str) -> np.ndarray:
    """y, checked as far as the loss and the metrics are known."""
    op, dtype = how.op, how.model.dtype
    if how.about_classes:
        if len(output) != 1 and y.ndim == 1:
            wanted = f"one class a sample needs outputs of shape (K,), the model gives {output}"
            raise ValueError(f"{op}: {wanted}; end it with Dense(K)")
        return class_targets(y, (len(y), *output[:-1]), output[-1], op, name)
    if how.loss in OTHER_LOSSES:
        if y.dtype != dtype and not (y.dtype == bool and how.loss in BINARY_LOSSES):
            raise TypeError(f"{op}: {name} has dtype {y.dtype}, the model works in {dtype}; write {name}.astype(np.{dtype})")
        if y.shape[1:] != output:
            raise ValueError(f"{op}: {name} must have the shape of the outputs {(len(y), *output)}, got {y.shape}")
    return y


def _weights(how: Settings, given: Any, y: Any, name: str) -> np.ndarray:
    """A weight for each sample, or for each of its targets."""
    how.needs_reduction(name)
    weights = plain_array(given, how.op, name)
    if weights.dtype.kind not in "iuf":
        raise TypeError(f"{how.op}: {name} must be numbers, got {weights.dtype}")
    if weights.shape != (len(y),) and weights.shape != getattr(y, "shape", None):
        raise ValueError(f"{how.op}: {name} must have shape ({len(y)},), one for each sample, got {weights.shape}")
    if not (np.all(np.isfinite(weights)) and np.all(weights >= 0)):
        raise ValueError(f"{how.op}: {name} must be finite and >= 0")
    return weights


def _stratified(y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Mask of `size` samples drawn at random, of each class its share to within one."""
    order = rng.permutation(len(y))
    if y.ndim == 1:
        order = order[np.argsort(y[order], kind="stable")]
    places = (np.arange(size) * len(y) + rng.integers(len(y))) // size % len(y)  # evenly spread over the sorted samples
    chosen = np.zeros(len(y), bool)
    chosen[order[places]] = True
    return chosen


def _told(value: Any) -> str:
    return f"{type(value).__name__} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
