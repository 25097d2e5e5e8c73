"""Models with several inputs or outputs: arrays that go together, and a loss and metrics for each output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.data import Dataset
from convkit.metrics import Metric

if TYPE_CHECKING:
    from convkit.model.settings import Settings

__all__ = ["OfOutput", "Several", "SeveralDataset", "by_name", "factors", "plain", "sample_shape"]


class Several:
    """Arrays of one length: taking rows takes them of each."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self.arrays = tuple(arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, rows: Any) -> Several:
        return Several(array[rows] for array in self.arrays)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.arrays)


class SeveralDataset(Dataset):
    """Samples in several arrays; `targets` are those of the first output, by whose classes a split is drawn."""

    workers = 0

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y
        first = plain(x)[0] if isinstance(x, Several) else x
        self.shape, self.dtype = sample_shape(x), first.dtype

    @property
    def targets(self) -> np.ndarray:
        return self.y.arrays[0] if isinstance(self.y, Several) else self.y

    def __len__(self) -> int:
        return len(self.x)

    def _read(self, rows: np.ndarray, seed: int | None) -> tuple[Any, Any]:
        return self.x[rows], self.y[rows]


class OfOutput(Metric):
    """A metric of one of the outputs."""

    def __init__(self, place: int, metric: Metric) -> None:
        self.place, self.metric = place, metric
        super().__init__()

    def reset(self) -> None:
        self.metric = self.metric.fresh()

    @property
    def sums(self) -> dict[str, np.ndarray]:
        return self.metric.sums

    @sums.setter
    def sums(self, sums: dict[str, np.ndarray]) -> None:
        self.metric.sums = sums

    def add(self, outputs: Any, targets: Any) -> None:
        self.metric.add(outputs[self.place], targets.arrays[self.place])

    def value(self) -> Any:
        return self.metric.value()


def plain(given: Any) -> Any:
    """Arrays as models take and give them: one, or a tuple."""
    return given.arrays if isinstance(given, Several) else given


def sample_shape(given: Any) -> Any:
    """Shape of a sample, or a tuple of them."""
    return tuple(array.shape[1:] for array in given) if isinstance(given, Several) else given.shape[1:]


def by_name(op: str, what: str, given: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """What is given for each of several inputs or outputs, as a tuple or by name, in the order of the names."""
    wanted = f"a tuple of {len(names)}, or a dict of {', '.join(names)}"
    if isinstance(given, dict):
        if given.keys() != set(names):
            raise ValueError(f"{op}: {what} must be {wanted}, got a dict of {', '.join(map(str, given)) or 'nothing'}")
        return tuple(given[name] for name in names)
    if isinstance(given, Several):
        return given.arrays
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{op}: {what} must be {wanted}, got {type(given).__name__}")
    if len(given) != len(names):
        raise ValueError(f"{op}: {what} must be {wanted}, got {len(given)}")
    return tuple(given)


def each(op: str, what: str, given: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """One thing for all outputs, or what `by_name` takes."""
    return by_name(op, what, given, names) if isinstance(given, (tuple, list, dict)) else (given,) * len(names)


def factors(op: str, given: Any, names: tuple[str, ...]) -> tuple[float, ...]:
    """The weight of each output's loss."""
    weights = (1.0,) * len(names) if given is None else by_name(op, "loss_weights", given, names)
    for weight in weights:
        if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, (int, float, np.number)) or not 0 <= weight < np.inf:
            raise ValueError(f"{op}: loss_weights must be finite numbers >= 0, got {weight!r}")
    return tuple(map(float, weights))


def parts(how: Settings, loss: Any, metrics: Any, choose: Callable[[Settings, Any, Any, int], None]) -> list[Settings]:
    """Settings for each output, whose loss and metrics `choose` sets; `how` has no parts yet."""
    names, found = how.model.output_names, []
    metrics = each(how.op, "metrics", metrics, names) if isinstance(metrics, dict) else (metrics,) * len(names)
    for i, (own, own_metrics) in enumerate(zip(each(how.op, "loss", loss, names), metrics, strict=True)):
        found.append(copy.copy(how))
        choose(found[-1], own, own_metrics, i)
    return found
