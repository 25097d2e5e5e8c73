"""From the arguments of `fit`, `evaluate` and `predict` to what runs: all checks come before any work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from convkit.callbacks import History
from convkit.data import Dataset, ahead
from convkit.model import checkpoint, fit
from convkit.model.samples import Source, class_weights, model_inputs, source, split, split_size
from convkit.model.settings import Settings, generator
from convkit.model.several import plain

__all__ = ["evaluate", "predict", "train"]


def train(
    how: Settings,
    x: Any,
    y: Any,
    validation_split: float,
    validation_data: Any,
    class_weight: Any,
    sample_weight: Any,
    rng: int | np.random.Generator | None,
    resume: Any,
) -> History:
    """Check the data, build the model if need be, and run the epochs."""
    model = how.model
    rng = model.rng if rng is None else generator(rng, "fit")
    data = source(how, x, y, sample_weight)
    size, held = split_size(data, validation_split), None
    if validation_data is not None:
        if size:
            raise ValueError("fit: give validation_split or validation_data, not both")
        held = _validation(how, validation_data, data)
    weights = class_weights(class_weight, how, model.output_shape(data.shape))
    fit.check_monitors(how, held is not None or size > 0)
    saved = None if resume is None else checkpoint.read(resume)
    model.build(data.shape)
    if not model.learning:
        raise ValueError("fit: the model has no parameters to train" + (", all are frozen" if model.params else ""))
    if saved is not None:
        saved.check(how, None if data.n is None else data.n - size)
        saved.before_split(rng)
    start = rng.bit_generator.state
    if size:
        held = split(how, data, size, rng)
    run = fit.Training(how, data, held, weights, rng)
    run.start = start
    if saved is not None:
        saved.restore(run)
    return run.run()


def _validation(how: Settings, given: Any, data: Source) -> Source:
    wanted = "validation_data must be a pair (x, y), a Dataset or an iterable of such batches that begins anew each time"
    if isinstance(given, Dataset):
        return source(how, given, None, prefix="validation ", shape=data.shape)
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise TypeError(f"fit: {wanted}")
        return source(how, *given, prefix="validation ", shape=data.shape)
    if not isinstance(given, Iterable) or isinstance(given, np.ndarray) or iter(given) is given:
        raise TypeError(f"fit: {wanted}")
    return source(how, given, None, prefix="validation ", shape=data.shape)


def evaluate(how: Settings, x: Any, y: Any) -> dict[str, Any]:
    """Loss and metrics over samples."""
    return fit.evaluate(how, source(how, x, y), how.batch_size)


def predict(model: Any, x: Any, batch_size: int) -> Any:
    """The outputs for samples, put together."""
    if type(x) is np.ndarray and x.dtype is model.dtype and x.shape[1:] == model.input_shape and 0 < len(x) <= batch_size:
        y = model.forward(x)[0]                         # one batch, with nothing to check
        if isinstance(y, tuple):
            return tuple(map(np.array, y))
        return y.copy() if np.may_share_memory(x, y) else y
    found = [model.forward(plain(one))[0] for one in _inputs(model, x, batch_size)]
    if isinstance(found[0], tuple):
        return tuple(map(np.concatenate, zip(*found, strict=True)))
    return np.concatenate(found)


def _inputs(model: Any, x: Any, size: int) -> Iterator[Any]:
    """Checked batches of inputs."""
    if isinstance(x, Dataset):
        if not len(x):
            raise ValueError("predict: x is empty")
        rows = [np.arange(start, min(start + size, len(x))) for start in range(0, len(x), size)]
        yield from (model_inputs("predict", "x", one, model) for one, _ in ahead(x, rows))
    elif isinstance(x, Iterable) and not isinstance(x, (np.ndarray, list, tuple, dict)) and not hasattr(x, "__array__"):
        i = -1
        for i, batch in enumerate(x):
            pair = isinstance(batch, tuple) and not (model.several and isinstance(batch[0], np.ndarray))
            yield model_inputs("predict", f"batch {i}", batch[0] if pair else batch, model)
        if i < 0:
            raise ValueError("predict: x gives no batches")
    else:
        x = model_inputs("predict", "x", x, model)
        yield from (x[start : start + size] for start in range(0, max(len(x), 1), size))  # no samples are one empty batch
