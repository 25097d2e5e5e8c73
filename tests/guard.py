"""Arrays against guard pages: `python tests/guard.py end|start EXAMPLES` runs random calls on nothing else.

Each array lies in pages of its own between two that may not be touched; it ends where the last of them begins, or begins
where the first one ends. The arguments are read-only for the processor too, and the bytes beside an array must keep their
value. What convkit allocates itself (results, packed filters, scratch) is placed in the same way: its ways to memory are
replaced. A byte read or written too far kills the process, which leaves its last call in the file that GUARD_LAST names.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Iterable
from math import prod

import numpy as np
import strategies
from bounds import assert_same_bits
from cases import Conv, Pool, examples, numbers, op, to_layout
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit
from convkit.ops import check
from convkit.plan import choose

PAGE, SPARE = mmap.PAGESIZE, 0xA5
MOST_PAIRS = 100  # of channels for "fft": NumPy transforms each of them, and nothing else depends on how many there are
_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_empty, _zeros, _contiguous = np.empty, np.zeros, np.ascontiguousarray


def protect(address: int, nbytes: int, rights: int) -> None:
    if _protect(address, nbytes, rights):
        raise OSError(ctypes.get_errno(), "mprotect")


class Guard:
    """Places arrays, and checks the bytes beside them when it is left."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end
        self.beside: list[np.ndarray] = []

    def array(self, shape: int | tuple, dtype: object = float, seal: np.ndarray | None = None) -> np.ndarray:
        """A new array, or with `seal` a copy that nobody may write."""
        shape, dtype = tuple(shape) if isinstance(shape, Iterable) else (int(shape),), np.dtype(dtype)
        nbytes = prod(shape) * dtype.itemsize
        room = -(-nbytes // PAGE) * PAGE
        memory = mmap.mmap(-1, room + 2 * PAGE)
        pages = np.frombuffer(memory, np.uint8, room, PAGE)
        pages.fill(SPARE)
        start = room - nbytes if self.at_end else 0
        self.beside.append(pages[:start] if self.at_end else pages[nbytes:])
        result = np.ndarray(shape, dtype, memory, PAGE + start)
        first = np.frombuffer(memory, np.uint8).ctypes.data
        protect(first, PAGE, 0)
        protect(first + PAGE + room, PAGE, 0)
        if seal is not None:
            result[...] = seal
            if room:
                protect(first + PAGE, room, mmap.PROT_READ)
        return result

    def sealed(self, a: np.ndarray) -> np.ndarray:
        return self.array(a.shape, a.dtype, seal=a)

    def zeros(self, shape: int | tuple, dtype: object = float) -> np.ndarray:
        result = self.array(shape, dtype)
        result.fill(0)
        return result

    def __enter__(self) -> Guard:
        """From here on convkit gets its memory from this object."""
        def contiguous(a: object, dtype: object = None) -> np.ndarray:
            made = _contiguous(a, dtype)
            return made if made is a or (isinstance(a, np.ndarray) and np.may_share_memory(made, a)) else self.sealed(made)

        np.empty, np.zeros, np.ascontiguousarray = self.array, self.zeros, contiguous
        self.replaced, check.empty = check.empty, lambda shape, dtype, op, zeros=False: (
            self.zeros(shape, dtype) if zeros else self.array(shape, dtype))
        return self

    def __exit__(self, *raised: object) -> None:
        np.empty, np.zeros, np.ascontiguousarray, check.empty = _empty, _zeros, _contiguous, self.replaced
        if raised[0] is None:
            assert all((beside == SPARE).all() for beside in self.beside), "bytes beside an array were written"


def conv_calls(case: Conv, dtype: str, seed: int, first: bool, threads: int, place: Callable) -> dict[str, np.ndarray]:
    """The result and the gradients, by every algorithm that can; `place` is given each argument."""
    layout = case.layouts()[first]
    x, w, dy = (place(to_layout(numbers(shape, dtype, seed), layout)) for shape in (case.x, case.w, case.y))
    b, packed, how = place(numbers((case.o,), dtype, seed)), None, {"layout": layout, "threads": threads, **case.how}
    results = {}
    for name in choose.ALGORITHMS:
        if name == "fft" and case.x[-1] * case.o > MOST_PAIRS:
            continue

        def run(key: str, suffix: str, *arguments: object, name: str = name, **options: object) -> None:
            try:
                results[name, key] = op("conv", case, suffix)(*arguments, algorithm=name, **how, **options)
            except ValueError:  # an algorithm may refuse a shape
                results[name, key] = None

        packed = convkit.pack_filters(w, groups=case.groups, layout=layout)
        run("y", "", x, w, b)
        run("packed y", "", x, packed, activation="relu")
        run("out", "", x, w, out=np.empty(dy.shape, dtype))
        for which in "xwb":
            run(f"d{which}", "_grad", dy, x, w, needs=(which,))
    assert results["direct", "y"] is not None
    return {f"{name} {key}": a["xwb".index(key[-1])] if isinstance(a, tuple) else a
            for (name, key), a in results.items() if a is not None}


def pool_calls(case: Pool, dtype: str, seed: int, first: bool, threads: int, place: Callable) -> dict[str, np.ndarray]:
    """Both poolings and their gradients; maxima of the dtype, the rest of floats."""
    layout = case.layouts()[first]
    x, dy = (to_layout(numbers(shape, np.float32, seed), layout) for shape in (case.x, case.y))
    values, floats = place((x * 50).astype(dtype)), dtype if dtype.startswith("float") else "float32"
    x, dy, more = place(x.astype(floats)), place(dy.astype(floats)), {"layout": layout, "threads": threads}
    y, indices = op("max_pool", case)(values, case.k, return_indices=True, **more, **case.max_how)
    results = {"y": y, "indices": indices, "max": op("max_pool", case)(values, case.k, **more, **case.max_how),
               "max dx": op("max_pool", case, "_grad")(dy, x, case.k, **more, **case.max_how)}
    if np.max(case.dilation) == 1:
        results["avg"] = op("avg_pool", case)(x, case.k, **more, **case.avg_how)
        results["avg dx"] = op("avg_pool", case, "_grad")(dy, x.shape, case.k, **more, **case.avg_how)
    return results


def compare(calls: Callable, at_end: bool, *arguments: object) -> None:
    """The same calls on ordinary arrays and on guarded ones."""
    with open(os.environ["GUARD_LAST"], "w") as last:
        last.write(f"{calls.__name__}{arguments}")
    want = calls(*arguments, lambda a: a)
    with Guard(at_end) as guard:
        got = calls(*arguments, guard.sealed)
    assert got.keys() == want.keys()
    for name, value in got.items():
        assert_same_bits(value, want[name], name)


def main(at_end: bool, count: int) -> None:
    types = st.sampled_from(["float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
    how = {"seed": strategies.seeds, "first": st.booleans(), "threads": strategies.threads}

    @settings(max_examples=examples(count))
    @given(case=strategies.convs() | strategies.convs() | strategies.busy_convs(), dtype=strategies.dtypes, **how)
    def convolutions(case: Conv, dtype: str, seed: int, first: bool, threads: int) -> None:
        compare(conv_calls, at_end, case, dtype, seed, first, threads)

    @settings(max_examples=examples(count))
    @given(case=strategies.pools() | strategies.pools(dilated=False), dtype=types, **how)
    def poolings(case: Pool, dtype: str, seed: int, first: bool, threads: int) -> None:
        compare(pool_calls, at_end, case, dtype, seed, first, threads)

    convolutions()
    poolings()
    print("survived")


def touch(place: str) -> None:
    """What the processor must not allow."""
    with open(os.environ["GUARD_LAST"], "w") as last:
        last.write(place)
    guard, a = Guard(place == "behind"), np.ones(5, np.float32)
    guarded = guard.sealed(a) if place == "argument" else guard.array(a.shape, a.dtype)
    at = {"before": -1, "behind": guarded.nbytes, "argument": 0}[place]
    ctypes.memset(guarded.ctypes.data + at, 0, 1)


if __name__ == "__main__":
    settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=False)
    settings.load_profile("ci")
    if sys.argv[1] in ("end", "start"):
        main(sys.argv[1] == "end", int(sys.argv[2]))
    else:
        touch(sys.argv[1])
