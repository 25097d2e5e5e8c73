"""Random numbers that belong to a sample: they follow from a seed and its number, whoever asks and in whatever batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["Draws"]

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class Draws:
    """Random numbers for the samples of a batch; each call gives new ones.

    Parameters
    ----------
    seed : int >= 0
    rows : int ndarray of shape (n,)
        The numbers of the samples.
    stream : int >= 0
        Tells apart those who draw for the same sample.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.data.draws import Draws
    >>> both, one = Draws(0, np.array([7, 8]), 0), Draws(0, np.array([8]), 0)
    >>> bool(both.uniform()[1] == one.uniform()[0])
    True
    """

    def __init__(self, seed: int, rows: np.ndarray, stream: int) -> None:
        key = np.random.SeedSequence((seed, stream)).generate_state(1, np.uint64)
        self._keys = _mixed(rows.astype(np.uint64) * STEP + key)
        self._count = np.zeros(1, np.uint64)

    def __len__(self) -> int:
        return len(self._keys)

    def some(self, chosen: np.ndarray) -> Draws:
        """The draws of some of the samples, from here on."""
        part = object.__new__(Draws)
        part._keys, part._count = self._keys[chosen], self._count.copy()
        return part

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """A float64 in [low, high) for each sample."""
        return low + (high - low) * ((self._words() >> np.uint64(11)) * 2.0**-53)

    def below(self, n: int) -> np.ndarray:
        """An integer in 0..n-1 for each sample."""
        return np.minimum((self.uniform() * n).astype(np.intp), n - 1)

    def generators(self) -> Iterator[np.random.Generator]:
        """A generator for each sample, for as many numbers as it has pixels."""
        return (np.random.Generator(np.random.PCG64(int(word))) for word in self._words())

    def _words(self) -> np.ndarray:
        self._count += np.uint64(1)
        return _mixed(self._keys + self._count * STEP)


def _mixed(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), which makes a counter a random number."""
    for shift, factor in MIX:
        words = (words ^ (words >> np.uint64(shift))) * factor
    return words ^ (words >> np.uint64(31))
