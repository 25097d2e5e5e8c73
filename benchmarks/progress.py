"""How far a run is, on the terminal: one line that is written over, or a line now and then where the output is a file."""

from __future__ import annotations

import shutil
import sys
import time

EVERY, WIDTH = 20.0, 24                                 # seconds between lines in a file; columns of the bar


class Progress:
    """`step(text)` before each thing that is done, `close()` at the end."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start, self.said = total, -1, time.monotonic(), 0.0
        self.live = sys.stderr.isatty()

    def step(self, text: str) -> None:
        self.done += 1
        self.show(text)

    def show(self, text: str) -> None:
        """Say what is going on, without a step forward."""
        now, done = time.monotonic(), max(self.done, 0)
        share = min(done / max(self.total, 1), 1.0)
        left = f", {_clock((now - self.start) * (1 / share - 1))} left" if share > 0.03 else ""
        line = f"{done}/{self.total} {_clock(now - self.start)}{left}  {text}"
        if self.live:
            bar = "#" * round(share * WIDTH)
            room = shutil.get_terminal_size().columns - 1
            print("\r" + f"[{bar:.<{WIDTH}}] {line}"[:room].ljust(room), end="", file=sys.stderr, flush=True)
        elif now - self.said > EVERY:
            self.said = now
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.live:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
