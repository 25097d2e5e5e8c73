"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading

__all__ = ["Interrupt"]


class Interrupt:
    """Notes the first Ctrl-C instead of raising KeyboardInterrupt in the middle of a step; the second one raises.

    Only where Python's own handler is in force: in the main thread, and unless the program has put another in place.
    """

    def __init__(self) -> None:
        self.asked = False
        main = threading.current_thread() is threading.main_thread()
        self.ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> Interrupt:
        if self.ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
