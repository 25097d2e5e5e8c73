"""How far a right answer may lie from the float64 definition: derived from the number of roundings, never tuned.

Each element an op returns is a sum of n products, plus a few roundings more (a bias, a division). Whatever the order of the
summation, and with or without fused multiply-adds, every product passes at most one rounding of its own and one for each of
the n - 1 additions, so (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1, eq. 3.4 and 3.5)

    |computed - exact| <= gamma(n + more) * (|x| . |w|),        gamma(m) = m*u / (1 - m*u),  u = 2**-24 or 2**-53

The definition is itself computed in float64, hence gamma is added once more for u = 2**-53. Products that underflow may be
flushed to zero: each loses at most the smallest normal number. ReLU and the maximum never widen an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def gamma(roundings: int, dtype: Any) -> float:
    """The relative error that `roundings` roundings can add up to."""
    total = roundings * float(np.finfo(dtype).eps) / 2
    return total / (1 - total)


def assert_within_rounding(got: np.ndarray, want: np.ndarray, magnitude: np.ndarray, terms: int, dtype: Any) -> None:
    """`magnitude` is the definition applied to absolute values, `terms` the largest number of roundings one element passes."""
    assert got.shape == want.shape, f"shape {got.shape}, wanted {want.shape}"
    assert got.dtype == dtype, f"dtype {got.dtype}, wanted {dtype}"
    allowed = (gamma(terms, dtype) + gamma(terms, np.float64)) * magnitude + terms * float(np.finfo(dtype).tiny)
    error = np.abs(got.astype(np.float64) - want)
    wrong = np.flatnonzero(~(error <= allowed))  # written so that NaN counts as wrong
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], got.shape))
        raise AssertionError(f"{wrong.size} of {got.size} elements outside the bound, the first at {at}: "
                             f"got {got[at]!r}, wanted {want[at]!r} within {allowed[at]:.3g}")
    assert_not_trivial(want, magnitude)


def assert_exact(got: np.ndarray, want: np.ndarray, dtype: Any) -> None:
    """Every element equal: what integer-valued data gives, however it is summed."""
    assert got.shape == want.shape, f"shape {got.shape}, wanted {want.shape}"
    assert got.dtype == dtype, f"dtype {got.dtype}, wanted {dtype}"
    wrong = np.flatnonzero(got.astype(np.float64) != want)
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], got.shape))
        raise AssertionError(f"{wrong.size} of {got.size} elements differ, the first at {at}: "
                             f"got {got[at]!r}, wanted {want[at]!r}")


def assert_not_trivial(want: np.ndarray, magnitude: np.ndarray) -> None:
    """A case that is mostly zeros proves nothing: at least half of the elements that any product reaches are not zero."""
    reached = np.count_nonzero(magnitude)
    assert 2 * np.count_nonzero(want) >= reached, f"only {np.count_nonzero(want)} of {reached} elements are not zero"


def assert_same_bits(got: np.ndarray, want: np.ndarray, what: str = "") -> None:
    """Equal shape, dtype and bit pattern, so that -0.0 and NaN count too."""
    assert got.shape == want.shape, f"{what}: shape {got.shape}, wanted {want.shape}"
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, wanted {want.dtype}"
    word = np.dtype(f"u{got.dtype.itemsize}")
    differ = np.ascontiguousarray(got).view(word) != np.ascontiguousarray(want).view(word)
    assert not differ.any(), f"{what}: {np.count_nonzero(differ)} of {differ.size} elements have other bits"
