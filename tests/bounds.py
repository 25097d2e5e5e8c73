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
    assert_near(got, want, magnitude, terms, dtype)
    assert_not_trivial(want, magnitude)


def assert_near(got: np.ndarray, want: np.ndarray, magnitude: np.ndarray, terms: int, dtype: Any) -> None:
    """The same where `magnitude` reaches further than the definition."""
    assert got.shape == want.shape, f"shape {got.shape}, wanted {want.shape}"
    assert got.dtype == dtype, f"dtype {got.dtype}, wanted {dtype}"
    allowed = (gamma(terms, dtype) + gamma(terms, np.float64)) * magnitude + terms * float(np.finfo(dtype).tiny)
    error = np.abs(got.astype(np.float64) - want)
    wrong = np.flatnonzero(~(error <= allowed))  # written so that NaN counts as wrong
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], got.shape))
        raise AssertionError(f"{wrong.size} of {got.size} elements outside the bound, the first at {at}: "
                             f"got {got[at]!r}, wanted {want[at]!r} within {allowed[at]:.3g}")


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


# --- Winograd -------------------------------------------------------------------------------------------------------------
#
# An output of a tile is  y_i = sum over points p of A[i,p] * (sum over t of G[p,t] g_t) * (sum over j of B[p,j] d_j).  Every
# rounding is relative to a sum of absolute values, so |computed - exact| <= gamma(roundings) * M with
#
#     M_i = sum over t, j of T[i,t,j] |g_t| |d_j|,      T[i,t,j] = sum over p of |A[i,p]| |G[p,t]| |B[p,j]|
#
# (Higham, section 3.5; Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", 2020, theorem 1).
# How points are scaled cancels in T. Which tile an output is in does not matter to M's bound by the largest T of all places
# in all tiles: then it is a convolution of |x| with wider filters, which `reference` computes. Two axes multiply.

WINOGRAD_ROUNDINGS = 48  # of three transforms along two axes, each at most 8, beside those of the sum of products
_P, _Q = 5 / 8, 3 / 2


def winograd_matrices(points: tuple, outputs: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (outputs, n), G (n, taps), B (n, n) of Toom and Cook for these points and infinity; n = outputs + taps - 1."""
    n = outputs + taps - 1
    assert len(points) == n - 1
    a, g, b = np.zeros((outputs, n)), np.zeros((n, taps)), np.zeros((n, n))
    for p, x in enumerate(points):
        others = [q for q in points if q != x]
        a[:, p] = x ** np.arange(outputs)
        g[p] = x ** np.arange(taps) / np.prod([x - q for q in others])
        b[p, : n - 1] = np.poly(others)[::-1]
    a[-1, -1] = g[-1, -1] = 1
    b[-1] = np.poly(points)[::-1]
    return a, g, b


def winograd_spread(taps: int, small: bool, filters: bool) -> np.ndarray:
    """K (taps, taps + 2*e): the largest T of tap t and a pixel d - e to the right of the first that the output reads.

    `filters`: of the gradient of the filters, where the outputs of the tile are taps and the taps are outputs.
    """
    if taps == 1:
        return np.ones((1, 1))
    all_points = (0.0, 1.0, -1.0) if small else (0.0, _P, -_P, _Q, -_Q)
    most = len(all_points) + 2 - taps
    widest = np.zeros((taps, taps + 2 * (most - 1)))
    for outputs in range(1, most + 1):
        count = outputs + taps - 2
        if count < 3:
            continue  # there is no tile with fewer than four points
        a, g, b = winograd_matrices(all_points[:count], *((taps, outputs) if filters else (outputs, taps)))
        t = np.einsum("ip,pt,pj->ijt" if not filters else "tp,pi,pj->ijt", abs(a), abs(g), abs(b))
        for i in range(outputs):
            at = slice(most - 1 - i, most - 1 - i + t.shape[1])
            widest[:, at] = np.maximum(widest[:, at], t[i].T)
    return widest
