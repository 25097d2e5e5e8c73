"""Rows of benchmarks as the runner writes them, made up; and the way to the folder benchmarks/ of the source tree."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)
sys.path.append(str(ROOT))                              # last: the convkit under test comes before that of the checkout


def row(library="convkit", medians=(1.0,), share=None, **fields) -> dict:
    """A row as the runner writes it."""
    entry = {"suite": "random", "layer": "a", "family": "3x3", "what": "fwd", "dtype": "float32", "threads": 1, "work": 1,
             "library": library, "isa": "avx512", "status": "ok", "note": "", "unit": "FLOP", "source": ""}  # fmt: skip
    entry["samples"] = [{"best": m, "median": m, "runs": 3} for m in medians]
    if medians:
        entry |= {"median": float(np.median(medians)), "best": min(medians), "spread": 0.0}
    return entry | ({"fraction_median": share, "fraction_best": share} if share else {}) | fields


def result(*rows: dict) -> dict:
    return {"head": {"commit": "none"}, "missing": {}, "results": list(rows)}
