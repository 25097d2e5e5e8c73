"""The functions of convkit.compat.scipy give what SciPy's give."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from convkit.compat import scipy as signal

theirs = pytest.importorskip("scipy.signal")

MODES, BOUNDARIES = ("full", "valid", "same"), ("fill", "wrap", "symm")
SHAPES_2D = [((6, 7), (3, 3)), ((6, 7), (2, 4)), ((5, 5), (1, 1)), ((5, 6), (5, 6)), ((3, 4), (5, 6)), ((2, 3), (7, 8)),
             ((1, 9), (1, 4)), ((8, 6), (3, 5)), ((9, 10), (8, 7)), ((9, 2), (2, 9))]  # fmt: skip
SHAPES = {
    1: [((9,), (3,)), ((9,), (4,)), ((3,), (8,)), ((1,), (1,)), ((6,), (6,)), ((30,), (1,))],
    2: SHAPES_2D,
    3: [((4, 5, 6), (3, 2, 3)), ((2, 3, 2), (4, 3, 5)), ((3, 3, 3), (1, 2, 3))],
}


def data(shape: tuple, dtype: str, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def same_result(function: str, *args, exact: bool = False, **how) -> None:
    """Equal up to the rounding of another order of sums; or both refuse."""
    try:
        want = getattr(theirs, function)(*args, **how)
    except ValueError:
        with pytest.raises(ValueError, match=f"^{function}: "):
            getattr(signal, function)(*args, **how)
        return
    got = getattr(signal, function)(*args, **how)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if exact:
        assert got.tolist() == want.tolist()
    else:
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 if got.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("function", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_two_axes(function, mode, boundary):
    for (one, other), dtype in itertools.product(SHAPES_2D, ("float32", "float64")):
        a, b = data(one, dtype, 0), data(other, dtype, 1)
        same_result(function, a, b, mode=mode, boundary=boundary)
        same_result(function, a, b, mode=mode, boundary=boundary, fillvalue=1.5)
        same_result(function, a.round(), b.round(), exact=True, mode=mode, boundary=boundary)


@pytest.mark.parametrize("function", ["convolve", "correlate"])
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_axes(function, mode, method):
    for rank, dtype in itertools.product(SHAPES, ("float32", "float64")):
        for one, other in SHAPES[rank]:
            same_result(function, data(one, dtype, 0), data(other, dtype, 1), mode=mode, method=method)


@pytest.mark.parametrize("function", ["convolve", "correlate", "convolve2d", "correlate2d"])
def test_signatures_and_defaults(function):
    names = lambda f: [(p.name, p.default, p.kind) for p in inspect.signature(f).parameters.values()]  # noqa: E731
    assert names(getattr(signal, function)) == names(getattr(theirs, function))


def test_lists_scalars_nothing_and_mixed_precisions():
    same_result("convolve", [1.0, 2.0], [3.0, 4.0, 5.0])
    same_result("convolve", np.array(2.0), np.array(3.0))
    assert signal.convolve(np.array([]), np.array([1.0])).tolist() == []
    same_result("convolve", data((5,), "float32", 0), data((3,), "float64", 0))
    same_result("convolve2d", data((5, 4), "float64", 0), data((3, 2), "float32", 0))


def test_wrong_arguments_are_one_clear_error():
    a = np.ones((3, 3))
    for function in ("convolve", "correlate", "convolve2d", "correlate2d"):
        call = getattr(signal, function)
        for args, how, error, word in (
            ((a, a.astype(int)), {}, TypeError, "in2 must be float32 or float64, got int64; write .astype"),
            ((a.astype(complex), a), {}, TypeError, "in1 must be float32 or float64, got complex128"),
            ((a, a[0]), {}, ValueError, "in1 and in2 must"),
            ((a, a), {"mode": "middle"}, ValueError, "mode must be one of"),
            ((np.ones((4, 2)), np.ones((2, 4))), {"mode": "valid"}, ValueError, "at least as large"),
        ):
            with pytest.raises(error, match=f"^{function}: {word}" if word[0] == "i" else f"^{function}: .*{word}"):
                call(*args, **how)
    for how in ({"boundary": "reflect"}, {"boundary": "symmetric"}):
        with pytest.raises(ValueError, match=r"^convolve2d: boundary must be one of 'fill', 'wrap', 'symm'"):
            signal.convolve2d(a, a, **how)
    with pytest.raises(TypeError, match=r"^convolve2d: fillvalue"):
        signal.convolve2d(a, a, fillvalue=1j)
    with pytest.raises(ValueError, match=r"^convolve: method must be"):
        signal.convolve(a, a, method="slow")
    with pytest.raises(ValueError, match=r"^convolve: in1 and in2 must have the same number of axes, at most 3"):
        signal.convolve(np.ones((1,) * 4), np.ones((1,) * 4))
