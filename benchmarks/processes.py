"""The worker processes: starting, asking, and what to do when one dies."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_TO_ANSWER = 900
# A library's idle threads spin for a while after its last call and would slow down whoever comes next.
SECONDS_TO_SETTLE = 0.04

# Of glibc. Where times count: fresh pages cost up to 1 us each, and not every library reuses its outputs. Where memory counts:
# what is freed must not stay, as it does by default once a large block was freed.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
GIVE_BACK = dict.fromkeys(KEEP, str(1 << 16))


@dataclass
class Worker:
    """A library at one number of threads and, for convkit, at one instruction set."""

    library: str
    threads: int
    python: str
    isa: str | None = None
    algorithm: str = "auto"
    limits: dict[str, str] = field(default_factory=dict)    # of the environment: what keeps a peer to an instruction set
    keeps_memory: bool = True                               # freed memory stays with the process
    facts: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None
    log: object = None

    @property
    def label(self) -> str:
        return f"{self.library} {self.isa}" if self.isa else self.library

    def begin(self) -> None:
        """Start the process without waiting for it."""
        self._running()

    def ask(self, do: str, **request) -> dict:
        """The answer, or {"error": ...} also when the process dies or hangs; the next question starts a new one."""
        try:
            process = self._running()
            process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], SECONDS_TO_ANSWER)[0]:
                self.close()
                return {"error": f"no answer within {SECONDS_TO_ANSWER} s"}
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": self._last_words()}
        return answer | {"error": without_paths(answer["error"])} if "error" in answer else answer

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(BrokenPipeError):      # a question that it did not live to read
                    pipe.close()
            self.log.close()
        self.process = None

    def _running(self) -> subprocess.Popen:
        if self.process is None:
            command = [self.python, "-m", "benchmarks.worker", self.library, str(self.threads), self.algorithm]
            self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (close() closes it)
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment(), text=True,
                                            start_new_session=True, **pipes)  # fmt: skip
        return self.process

    def _environment(self) -> dict[str, str]:
        pools = ("OMP", "MKL", "OPENBLAS", "CONVKIT")
        environment = os.environ | {f"{pool}_NUM_THREADS": str(self.threads) for pool in pools}
        environment |= KEEP if self.keeps_memory else GIVE_BACK
        return environment | self.limits | ({"CONVKIT_ISA": self.isa} if self.isa else {})

    def _last_words(self) -> str:
        self.process.wait()
        self.log.seek(0)
        words = self.log.read().strip().splitlines()[-1:]
        status = self.process.returncode
        self.close()
        return without_paths(f"the process died ({status})" + (f": {words[0][:200]}" if words else ""))


def without_paths(text: str) -> str:
    """The text with the last part of each absolute path alone: a report tells nothing about the folders of a machine."""
    return re.sub(r"(?<![\w.])(?:/[^\s/:'\",]+)+/([^\s/:'\",]+)", r"\1", text)


def settle(threads: int) -> None:
    """Wait until the pool of the process that ran last has gone to sleep."""
    if threads > 1:
        time.sleep(SECONDS_TO_SETTLE)
