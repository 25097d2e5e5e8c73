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
IDLE = 2                                                # steps that a buffer may lie unused

_here = threading.local()


class Pages:
    """Buffers of the steps of a model. One is free when no array lives in it; one that lies idle is given back."""

    def __init__(self) -> None:
        self._step = 0
        self._held: dict[int, list[list]] = {}          # by bytes: [buffer, step that took it last]

    def __reduce__(self) -> tuple:
        return Pages, ()                                # a copy holds nothing

    @contextmanager
    def used(self, new_step: bool = False) -> Iterator[None]:
        """`check.empty` takes what it makes from here, in this thread, until the end of the block; not within another one."""
        if current() is not None:
            yield
            return
        if new_step:
            self._step += 1
            self._drop_idle()
        _here.pages = self
        try:
            yield
        finally:
            _here.pages = None

    def clear(self) -> None:
        """Give back all buffers; arrays that live keep theirs."""
        self._held.clear()

    def take(self, size: int) -> np.ndarray:
        """A free buffer of so many bytes."""
        held = self._held.setdefault(size, [])
        for entry in held:
            if _references(entry) == FREE:
                entry[1] = self._step
                return entry[0]
        held.append([np.empty(size, np.uint8), self._step])
        return held[-1][0]

    def _drop_idle(self) -> None:
        for size, held in list(self._held.items()):
            held[:] = [entry for entry in held if entry[1] >= self._step - IDLE or _references(entry) != FREE]
            if not held:
                del self._held[size]


def current() -> Pages | None:
    """The pages in use in this thread."""
    return getattr(_here, "pages", None)


def _references(entry: list) -> int:
    return sys.getrefcount(entry[0])


FREE = _references([np.empty(0, np.uint8), 0])          # a view of an array refers to it
