"""Samples that are read by batches, and read ahead by threads while others are computed with."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from convkit.ops import check
from convkit.plan import geometry

__all__ = ["ArrayDataset", "Dataset", "Subset", "ahead"]

AHEAD = 2  # batches that wait for each thread: one being read, one in store

Batch = tuple[np.ndarray, "np.ndarray | None"]


class Dataset:
    """Base of all data sets: numbered samples of one shape.

    A subclass says `len`, `shape`, `dtype` and, where they are known without reading the samples, `targets`; and reads a
    batch in `_read`. Batches are read by several threads at once, so `_read` may change nothing.

    Attributes
    ----------
    shape : tuple of int
        Shape of one sample, channels last.
    dtype : numpy.dtype
        Of the samples.
    targets : ndarray of length N, or None
        What belongs to each sample: all of y, without augmentation.
    workers : int
        How many threads reading ahead is worth; 0 where it is quicker to read in passing.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import Dataset
    >>> class Squares(Dataset):
    ...     shape, dtype, targets = (1,), np.dtype(np.float32), None
    ...     def __len__(self):
    ...         return 100
    ...     def _read(self, rows, seed):
    ...         return (rows[:, None] ** 2).astype(self.dtype), rows
    >>> x, y = Squares().batch([3, 9])
    >>> x.ravel().tolist(), y.tolist()
    ([9.0, 81.0], [3, 9])
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    targets: np.ndarray | None = None
    workers: int = 0

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: a data set needs __len__, the number of its samples")

    def _read(self, rows: np.ndarray, seed: int | None) -> Batch:
        raise NotImplementedError(f"{type(self).__name__}: a data set needs _read(rows, seed), which gives (x, y)")

    def batch(self, rows: Any, seed: int | None = None) -> Batch:
        """Read some samples.

        Parameters
        ----------
        rows : int array_like of shape (n,)
            Which ones, in this order; the same one may come twice.
        seed : int >= 0, optional
            Draws what is random about a sample. It depends on the seed and the number of the sample alone. Without a
            seed nothing is random: this is for validation.

        Returns
        -------
        x : ndarray of shape (n, *shape)
        y : ndarray of length n, or None if there are no targets

        Raises
        ------
        TypeError, ValueError
            If there is no such sample, or it cannot be read; the message names its file.
        """
        if seed is not None:
            seed = geometry.integer(seed, "batch", "seed", "an int or None")
            if seed < 0:
                raise ValueError(f"batch: seed must be >= 0, got {seed}")
        return self._read(_checked(rows, len(self), "batch"), seed)

    def subset(self, rows: Any) -> Dataset:
        """Some of the samples as a data set of their own, numbered anew; nothing is read or copied.

        Examples
        --------
        >>> import numpy as np
        >>> from convkit.data import ArrayDataset
        >>> some = ArrayDataset(np.eye(4), np.arange(4)).subset([3, 1])
        >>> len(some), some.targets, some.batch([1])[1]
        (2, array([3, 1]), array([1]))
        """
        return Subset(self, rows)


class Subset(Dataset):
    """What `Dataset.subset` returns.

    Parameters
    ----------
    dataset : Dataset
    rows : int array_like of shape (n,)
    """

    def __init__(self, dataset: Dataset, rows: Any) -> None:
        self.rows = _checked(rows, len(dataset), "subset")
        self.dataset, self.shape, self.dtype, self.workers = dataset, dataset.shape, dataset.dtype, dataset.workers

    @property
    def targets(self) -> np.ndarray | None:
        targets = self.dataset.targets
        return None if targets is None else targets[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def _read(self, rows: np.ndarray, seed: int | None) -> Batch:
        return self.dataset._read(self.rows[rows], seed)


class ArrayDataset(Dataset):
    """Samples in arrays, in memory or mapped from a file.

    Parameters
    ----------
    x : array_like of shape (N, ...)
        Read where it lies, so that what is written into it later counts. ``numpy.memmap``, or
        ``numpy.load(path, mmap_mode="r")``, is read from disk as the batches come.
    y : array_like of length N, optional

    Raises
    ------
    TypeError, ValueError
        If they are not arrays of numbers, or not equally long.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import ArrayDataset
    >>> data = ArrayDataset(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1])
    >>> data.batch([2])
    (array([[6., 7., 8.]]), array([0]))
    """

    def __init__(self, x: Any, y: Any = None) -> None:
        mapped = isinstance(x, np.memmap)
        self.x = check.as_array(x, "ArrayDataset", "x")
        if self.x.ndim < 1:
            raise ValueError("ArrayDataset: x must have a first axis of samples, got a single number")
        self.targets = None if y is None else check.as_array(y, "ArrayDataset", "y")
        if self.targets is not None and self.targets.shape[:1] != self.x.shape[:1]:
            raise ValueError(f"ArrayDataset: x has {len(self.x)} samples, y has shape {self.targets.shape}")
        self.shape, self.dtype = self.x.shape[1:], self.x.dtype.newbyteorder("=")
        self.workers = int(mapped)

    def __len__(self) -> int:
        return len(self.x)

    def _read(self, rows: np.ndarray, seed: int | None) -> Batch:
        x = self.x[rows].astype(self.dtype, copy=False)
        return x, None if self.targets is None else self.targets[rows]


def ahead(
    dataset: Dataset, batches: Iterable[Any], seed: int | None = None, workers: int | None = None
) -> Iterator[Batch]:
    """Read batches in order, by threads that work ahead of whoever uses them.

    What is read does not depend on the number of threads. They end when the last batch is read, at an error, or when the
    iterator is closed or dropped.

    Parameters
    ----------
    dataset : Dataset
    batches : iterable of int array_like
        The rows of each batch, as for `Dataset.batch`.
    seed : int, optional
        As for `Dataset.batch`.
    workers : int >= 0, optional
        Number of threads; 0 reads in the caller's own. By default what the data set is worth.

    Yields
    ------
    (x, y)

    Raises
    ------
    TypeError, ValueError
        If `workers` is not one; and whatever reading a batch raises, when its turn comes.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data import ArrayDataset, ahead
    >>> data = ArrayDataset(np.arange(6.0), np.arange(6))
    >>> [y.tolist() for x, y in ahead(data, [[4, 1], [0, 5]], workers=2)]
    [[4, 1], [0, 5]]
    """
    workers = geometry.integer(dataset.workers if workers is None else workers, "ahead", "workers")
    if workers < 0:
        raise ValueError(f"ahead: workers must be >= 0, got {workers}")
    if not workers:
        return (dataset.batch(rows, seed) for rows in batches)
    return _threaded(dataset, batches, seed, workers)


def _threaded(dataset: Dataset, batches: Iterable[Any], seed: int | None, workers: int) -> Iterator[Batch]:
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convkit-read")
    try:
        for rows in batches:
            waiting.append(pool.submit(dataset.batch, rows, seed))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _checked(rows: Any, n: int, op: str) -> np.ndarray:
    """rows as an index array."""
    rows = check.as_array(rows, op, "rows")
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise TypeError(f"{op}: rows must be integers of shape (n,), got {rows.dtype} of shape {rows.shape}")
    rows = rows.astype(np.intp, copy=False)
    if rows.size and not (rows.min() >= 0 and rows.max() < n):
        raise ValueError(f"{op}: rows must be in 0..{n - 1}, got {rows.min()}..{rows.max()}")
    return rows
