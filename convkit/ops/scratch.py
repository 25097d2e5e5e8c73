"""Memory that a call needs besides its result: one buffer of bounded size, kept from call to call.

Fresh pages cost more than most layers that would use them, so the last buffer stays. A call that finds it taken, or that needs
more than `MOST`, allocates its own.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from convkit._core import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1 << 26                                          # bytes kept
LINE = 64                                               # bytes: arrays start on a cache line
HUGE = 1 << 21                                          # bytes of a huge page: tiles are scattered over many small ones
LEAST = 1 << 22                                         # bytes from which NumPy asks the system for huge pages

def on_huge_pages(op: str, size: int) -> np.ndarray:
    """So many bytes from the start of a huge page on, of an array that is long enough for the system to give some."""
    try:
        buffer = np.empty(max(LEAST, size + HUGE), np.uint8)
    except MemoryError:
        raise MemoryError(f"{op}: no room for {size} bytes of scratch") from None
    return buffer[-layout.address(buffer) % HUGE :]


class Kept:
    """Memory for one user at a time, which stays until a larger one is wanted."""

    def __init__(self) -> None:
        self.memory, self._lock = np.empty(0, np.uint8), threading.Lock()

    def take(self, op: str, size: int) -> tuple[np.ndarray, bool]:
        """At least so many bytes, and whether they are to be given back."""
        mine = size <= MOST and self._lock.acquire(blocking=False)
        if mine and len(self.memory) >= size:
            return self.memory, True
        try:
            memory = on_huge_pages(op, size)
        except MemoryError:
            if mine:
                self.give_back()
            raise
        if mine:
            self.memory = memory
        return memory, mine

    def give_back(self) -> None:
        self._lock.release()


CALLS = Kept()                                          # of all calls


@contextmanager
def borrow(op: str, dtype: np.dtype, *sizes: int) -> Iterator[list[np.ndarray]]:
    """Arrays of `sizes` elements, until the end of the block; what they hold is undefined."""
    starts, total = [], 0
    for size in sizes:
        starts.append(total // dtype.itemsize)
        total += -(-size * dtype.itemsize // LINE) * LINE
    buffer, mine = CALLS.take(op, total)
    try:
        whole = buffer[:total].view(dtype)
        yield [whole[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    finally:
        if mine:
            CALLS.give_back()
