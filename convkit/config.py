"""What was built, what the CPU offers, and what runs."""

from __future__ import annotations

import numpy as np

from convkit._core import cpu
from convkit._version import __version__


def show_config(mode: str = "print") -> dict | None:
    """Says what was built, what the CPU has, what runs, how many threads and why.

    Parameters
    ----------
    mode : "print" or "dict"
        Print it, or return it as a dictionary.

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import convkit
    >>> convkit.show_config("dict")["isa"] == convkit.isa()
    True
    """
    import platform  # takes longer to import than all of convkit.ops

    if mode not in ("print", "dict"):
        raise ValueError(f"show_config: mode must be 'print' or 'dict', got {mode!r}")
    threads, reason = cpu.thread_count()
    rows = {
        "convkit": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "compiler": cpu.compiler,
        "openmp": cpu.openmp or "no",
        "isas built": cpu.built(),
        "isas of this cpu": cpu.isas(),
        "isa": cpu.isa(),
        "tile float32": _tile(4),
        "tile float64": _tile(8),
        "threads": threads,
        "threads because of": reason,
    }
    if mode == "dict":
        return rows
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {', '.join(value) if isinstance(value, list) else value}")
    return None


def _tile(itemsize: int) -> str:
    vector, vecs, rows = cpu.tile(itemsize)
    return f"{rows[vecs]}x{vecs * vector}"
