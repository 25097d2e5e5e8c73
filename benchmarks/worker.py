"""One library in a process of its own: answers JSON lines on stdin with JSON lines on stdout.

python -m benchmarks.worker LIBRARY THREADS ALGORITHM

{"do": "hello"} -> versions · {"do": "prepare", "case", "what", "dtype", "file"} computes once and saves the result ·
{"do": "time", "seconds", "dtype"} -> best and median seconds of a run · {"do": "peak", "dtype", "seconds"} -> FLOP/s ·
{"do": "copy", "size", "seconds"} -> bytes/s. A request that fails is answered by {"error": ...}, one that the library has no
function for by {"absent": ...}. LIBRARY "definition" is the float64 reference. {"do": "memory"} and {"do": "flat"} belong to
memory.py.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time

LOOK = 0.001  # seconds of one look at the peak
BURST = 0.008  # seconds of runs between two looks: the first run after a look is slower, and peers have none
LONG = 0.1  # seconds of a run that needs no other one to warm up, nor three to be sure


def pin(threads: int) -> None:
    """Keep this process on its first `threads` CPUs; must come before any library starts its pool."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Session:
    """The library, and the pass that was prepared last."""

    def __init__(self, library: str, threads: int, algorithm: str) -> None:
        from .libraries import start

        self.threads, self.run, self.last = threads, None, 0.0
        self.library = None if library == "definition" else start(library, threads, algorithm)

    def hello(self) -> dict:
        facts = {"versions": dict(self.library.versions) if self.library else {}}
        if "convkit" in sys.modules:
            from convkit._core import cpu

            facts |= {"isa": cpu.isa(), "compiler": cpu.compiler}
        return facts

    def prepare(self, case: dict, what: str, dtype: str, file: str) -> dict:
        import numpy as np

        from . import definition, shapes

        self.run, shape = None, shapes.from_json(case)
        if self.library is None:
            np.save(file, definition.define(shape, what, dtype))
            return {}
        make = getattr(self.library, shape.kind, None)
        if make is None:
            raise NotImplementedError(f"not measured for {shape.kind}")
        run, to_numpy = make(shape, what, dtype)
        start = time.perf_counter()
        result = run()
        self.last = time.perf_counter() - start
        np.save(file, to_numpy(result))
        self.run = run
        chosen = getattr(self.library, "chosen", None)
        return {"algorithm": chosen(shape, what, dtype)} if chosen and shape.kind == "conv" else {}

    def time(self, seconds: float, dtype: str | None = None) -> dict:
        """At least 3 runs (fewer where they take much longer) and `seconds` of them, after a tenth of that to warm up.

        The first run of all was that of the check, so one that takes long is not made for warming up again.

        With a dtype, the machine's peak is looked at before and after every burst of a few milliseconds of runs; "cost" is
        then the FLOP that the machine could have done in the time of one run.
        """
        from .peak import multiply_add_peak

        clock, run, times, costs, peaks = time.perf_counter, self.run, [], [], []
        end = clock() + seconds / 10
        if self.last < LONG:
            run()
        while clock() < end and self.last < LONG:
            run()
        end, enough = clock() + seconds, clock() + 2 * seconds
        if dtype:
            peaks.append(multiply_add_peak(self.threads, dtype, LOOK))
        while not times or clock() < (end if len(times) >= 3 else enough):
            burst, burst_end = [], clock() + BURST
            while not burst or clock() < burst_end:
                start = clock()
                run()
                burst.append(clock() - start)
            times += burst
            if dtype:
                peaks.append(multiply_add_peak(self.threads, dtype, LOOK))
                costs.append(statistics.median(burst) * statistics.mean(peaks[-2:]))
        self.last = min(times)
        answer = {"best": min(times), "median": statistics.median(times), "runs": len(times)}
        return answer | ({"cost": statistics.median(costs), "peak": statistics.median(peaks)} if dtype else {})

    def peak(self, dtype: str, seconds: float) -> dict:
        from .peak import multiply_add_peak

        return {"rate": multiply_add_peak(self.threads, dtype, seconds)}

    def copy(self, size: int, seconds: float) -> dict:
        from .peak import copy_bandwidth

        return {"rate": copy_bandwidth(self.threads, size, seconds)}

    def memory(self, case: dict, what: str, dtype: str) -> dict:
        from . import memory, shapes

        return memory.of_a_pass(self.library, shapes.from_json(case), what, dtype)

    def flat(self, calls: int, seed: int) -> dict:
        from . import memory

        return memory.over_shapes(self.library, calls, seed)


def main() -> None:
    library, threads, algorithm = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    pin(threads)
    gc.disable()
    session = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            session = session or Session(library, threads, algorithm)
            answer = getattr(session, request.pop("do"))(**request)
        except NotImplementedError as error:
            answer = {"absent": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
