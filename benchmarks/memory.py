"""Memory: what a pass needs at its peak beyond what it reads, and whether calls of ever new shapes leave any behind."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from . import networks
from .libraries.data import arrays
from .processes import Worker
from .random_shapes import Source
from .shapes import Case, Conv, Network, to_json

CALLS, QUICK_CALLS, SETTLED = 10_000, 200, 1_000        # shapes; calls after which caches are full
MOST_WORK = 2e7                                         # FLOP of one of many shapes
KINDS_OF_CALLS = ("convkit", "torch", "torch_cl")        # those that take any shape without compiling, and fast enough
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def steps(cases: list[Case], libraries: list[str]) -> int:
    """How many things `measure` does."""
    return sum(len(case.passes) for case in cases) * len(libraries) + len(set(KINDS_OF_CALLS) & set(libraries))


def measure(cases: list[Case], libraries: list[str], python: Callable[[str], str], quick: bool, step: Callable) -> dict:
    """Rows of passes and of many calls; each in a fresh process, so that nothing is left over."""
    found: dict[str, list] = {"passes": [], "calls": []}
    for library in libraries:
        for case in cases:
            for what in case.passes:
                step(f"{library} {case.name} {what}")
                request = {"case": to_json(case), "what": what, "dtype": "float32"}
                found["passes"].append({"library": library, "layer": case.name, "what": what,
                                        **_once(library, python(library), "memory", **request)})  # fmt: skip
        if library in KINDS_OF_CALLS:
            step(f"{library}, many shapes")
            calls = QUICK_CALLS if quick else CALLS
            answer = _once(library, python(library), "flat", calls=calls, seed=1)
            found["calls"].append({"library": library, "calls": calls, **answer})
    return found


def _once(library: str, python: str, do: str, **request) -> dict:
    worker = Worker(library, 1, python, keeps_memory=False)
    try:
        return worker.ask(do, **request)
    finally:
        worker.close()


def of_a_pass(library, case: Case, what: str, dtype: str) -> dict:
    """Peak megabytes beyond what the pass reads; "result MB" is the part that any library needs."""
    if isinstance(case, Network):
        return _of_a_step(library, case, what, dtype)
    data = arrays(case, dtype)
    read = sum(data[name].nbytes for name in (("x", "w", "b") if what == "fwd" else ("x", "w", "dy")))
    result = data[{"fwd": "dy", "dx": "x", "dw": "w"}[what]].nbytes
    del data
    arrays.cache_clear()
    before = resident()
    run, _ = getattr(library, case.kind)(case, what, dtype)
    arrays.cache_clear()                                # who has turned the data into another order keeps that alone
    return {"MB": (_highest_of(run) - before - read) / 1e6, "result MB": result / 1e6}


def _of_a_step(library, case: Network, what: str, dtype: str) -> dict:
    """Beyond the model and the images: activations, gradients and what the optimiser keeps; the result are the gradients."""
    if not hasattr(library, "net"):
        raise NotImplementedError("no networks")
    run, _ = library.net(case, what, dtype)
    weights = sum(w.nbytes for own in networks.build(case.family, case.size).weights(dtype) for w in own.values())
    gc.collect()
    before = resident()
    return {"MB": (_highest_of(run) - before) / 1e6, "result MB": weights / 1e6}


def _highest_of(run: Callable) -> int:
    """The most bytes that the process had during three runs."""
    gc.collect()
    reset_peak()
    for _ in range(3):
        run()
    return peak()


def over_shapes(library, calls: int, seed: int) -> dict:
    """Megabytes in use after the caches are full and at the end, over forward and gradients of random shapes."""
    sizes = []
    for number, case in enumerate(_shapes(calls, seed)):
        for what in ("fwd", "dx", "dw"):
            try:
                run, _ = library.conv(case, what, "float32")
            except NotImplementedError:
                continue
            run()
            del run
        if number + 1 in (min(SETTLED, calls // 2), calls):
            arrays.cache_clear()
            gc.collect()
            sizes.append(resident())
    return {"settled MB": sizes[0] / 1e6, "grown MB": (sizes[1] - sizes[0]) / 1e6}


def _shapes(count: int, seed: int) -> Iterator[Conv]:
    source, made = Source(seed), 0
    while made < count:
        case = source.shape(source.family())
        if case is not None and case.work("fwd", 4) <= MOST_WORK:
            made += 1
            yield case


def resident() -> int:
    """Bytes of memory of this process; their highest number where the system tells no other."""
    return _status("VmRSS") or _highest()


def peak() -> int:
    return _status("VmHWM") or _highest()


def reset_peak() -> None:
    """Forget the highest number of bytes, where the system can."""
    if RESET.exists() and os.access(RESET, os.W_OK):
        RESET.write_text("5")


def _status(field: str) -> int:
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
