"""What this machine can do at this moment: multiply-adds in registers, and copies in memory.

The clock of a machine in a cloud wanders by 15 % from second to second, so these are measured right before and right after
every timed sample, on the same cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def multiply_add_peak(threads: int, dtype: str, seconds: float = 0.01) -> float:
    """FLOP/s of multiply-adds that never leave the registers, at convkit's instruction set in use.

    The best of three looks: one alone may catch a thread that is just waking up.
    """
    from convkit._core import cpu

    return max(cpu.multiply_add_peak(threads=threads, dtype=dtype, seconds=seconds / 3) for _ in range(3))


def copy_bandwidth(threads: int, size: int, seconds: float = 0.01) -> float:
    """Bytes per second read and written by NumPy's copies of `size` / 2 bytes, one piece for each thread.

    `size` is what the timed pass moves, so that both run from the same level of the cache.
    """
    pieces = [np.ones(max(size // 2 // threads, 1), np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda piece: _copy_rate(piece, seconds), pieces))


def _copy_rate(source: np.ndarray, seconds: float) -> float:
    target, best = np.ones_like(source), float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.size / best


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="samples of each (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Prints the multiply-add peak of every instruction set that this machine runs."""
    from convkit._core import cpu

    for threads in map(int, args.threads.split(",")):
        for name in cpu.isas():
            cpu.use_isa(name)
            for dtype in ("float32", "float64"):
                rates = [multiply_add_peak(threads, dtype) / 1e9 for _ in range(args.rounds)]
                print(
                    f"{name:8} {dtype} {threads} threads: best {max(rates):6.1f}, median {statistics.median(rates):6.1f}, "
                    f"least {min(rates):6.1f} GFLOP/s"
                )
        copies = [copy_bandwidth(threads, size) / 1e9 for size in (1 << 18, 1 << 22, 1 << 26)]
        print(f"copy of 256 KB, 4 MB, 64 MB, {threads} threads: " + ", ".join(f"{rate:.1f}" for rate in copies) + " GB/s")
    return 0
