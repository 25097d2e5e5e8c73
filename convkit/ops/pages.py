"""Memory that goes from one training step to the next.

Fresh pages have to be cleared by the system, which takes a good part of a step; and the arrays of a step have the sizes of
those of the step before.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST = 1 << 16                                         # bytes: smaller arrays the C library keeps at hand itself
FIRST = 1 << 24                                         # bytes of the first chunk; what is not touched takes no memory
LINE = 64
IDLE = 2                                                # steps in which a chunk may lie idle

_here = threading.local()


class Chunk:
    """Memory cut into blocks, in order of their addresses. A block is free when no array lives in it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.touched = self.used = self.idle = 0        # the highest end of a block, ever and in this step; idle steps
        self._memory = memoryview(np.empty(size, np.uint8))
        self._blocks: list[tuple[int, int, np.ndarray]] = []  # start, end, and the array whose references tell

    def living(self) -> bool:
        """Whether an array lives here; forgets those that do not."""
        self._blocks = [block for block, count in zip(self._blocks, _references(self._blocks), strict=True) if count > FREE]
        return bool(self._blocks)

    def gap(self, size: int) -> tuple[int, int, int] | None:
        """Length, place and start of the smallest gap of so many bytes, after `living`."""
        best, start = None, 0
        for place in range(len(self._blocks) + 1):
            end = self._blocks[place][0] if place < len(self._blocks) else self.size
            if size <= end - start and (best is None or end - start < best[0]):
                best = end - start, place, start
            start = self._blocks[place][1] if place < len(self._blocks) else end
        return best

    def take(self, place: int, start: int, size: int) -> np.ndarray:
        """A block of the gap there."""
        # NumPy makes a view refer to the owner of the memory, past all arrays between, but not past a memoryview.
        made = np.frombuffer(self._memory[start : start + size], np.uint8)
        self._blocks.insert(place, (start, start + size, made))
        self.used = max(self.used, start + size)
        self.touched = max(self.touched, self.used)
        return made

    def step(self) -> None:
        """Another step begins."""
        self.idle = self.idle + 1 if 2 * self.used < self.touched else 0
        self.used = self._blocks[-1][1] if self.living() else 0


class Pages:
    """The memory of a model's steps. It grows by chunks; once a step has shown what it needs, one chunk holds all of it."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        return Pages, ()                                # a copy holds nothing

    @contextmanager
    def used(self, new_step: bool = False) -> Iterator[None]:
        """`check.empty` takes what it makes from here, in this thread, until the end of the block; not within another one."""
        if current() is not None:
            yield
            return
        if new_step:
            with self._lock:
                self._step()
        _here.pages = self
        try:
            yield
        finally:
            _here.pages = None

    def held(self) -> int:
        """Bytes that it keeps."""
        return sum(chunk.touched for chunk in self._chunks)

    def clear(self) -> None:
        """Give everything back; arrays that live keep their chunk."""
        with self._lock:
            self._chunks = []

    def take(self, size: int) -> np.ndarray:
        """A free block of so many bytes, from the smallest gap that has them."""
        size = -(-size // LINE) * LINE
        with self._lock:
            gaps = []
            for chunk in self._chunks:
                chunk.living()
                if gap := chunk.gap(size):
                    gaps.append((*gap, chunk))
            if not gaps:
                self._chunks.append(Chunk(max(size, FIRST, sum(chunk.size for chunk in self._chunks))))
                return self._chunks[-1].take(0, 0, size)
            _, place, start, chunk = min(gaps, key=lambda gap: gap[0])
            return chunk.take(place, start, size)

    def _step(self) -> None:
        for chunk in self._chunks:
            chunk.step()
        self._chunks = [chunk for chunk in self._chunks if chunk.idle < IDLE or chunk.living()]
        if len(self._chunks) > 1 and not any(chunk.living() for chunk in self._chunks):
            size = self.held()
            self._chunks = []                           # given back first
            self._chunks = [Chunk(size)]


def current() -> Pages | None:
    """The pages in use in this thread."""
    return getattr(_here, "pages", None)


def _references(blocks: list[tuple[int, int, np.ndarray]]) -> list[int]:
    return [sys.getrefcount(block[2]) for block in blocks]


FREE = _references([(0, 0, np.empty(0, np.uint8))])[0]  # a view of an array refers to it
