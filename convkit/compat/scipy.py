"""Convolution and correlation as in ``scipy.signal``: the same arguments, the same results, on convkit's kernels.

In place of ``from scipy import signal`` write ``from convkit.compat import scipy as signal``. Arrays are real: float32 or
float64, and float64 where both meet. How many threads run is as for all of convkit; see `convkit.threads`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import check, conv1d, conv2d, conv3d

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d"]

CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}
MODES = ("full", "valid", "same")
METHODS = ("auto", "direct", "fft")
BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> np.ndarray:
    """Convolution of two arrays of 1 to 3 axes, as ``scipy.signal.convolve``.

    out[k] = sum over l of in1[l] * in2[k - l], with zeros outside of the arrays

    Parameters
    ----------
    in1, in2 : array_like
        float32 or float64, with the same number of axes.
    mode : "full", "valid" or "same"
        All sums, those without zeros from outside, or as many as `in1` has elements, from the middle.
    method : "auto", "direct" or "fft"
        Accepted for the sake of SciPy's; the result is that of "direct".

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        For arrays that are not real floating point.
    ValueError
        For arrays with another number of axes, and other names.

    Examples
    --------
    >>> from convkit.compat import scipy as signal
    >>> signal.convolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    return _any_rank("convolve", in1, in2, mode, method, True)


def correlate(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> np.ndarray:
    """Cross-correlation of two arrays of 1 to 3 axes, as ``scipy.signal.correlate``: `convolve` with `in2` turned around.

    Parameters
    ----------
    in1, in2, mode, method
        As for `convolve`.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        As `convolve`.

    Examples
    --------
    >>> from convkit.compat import scipy as signal
    >>> signal.correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    array([0.5, 2. , 3.5, 3. , 0. ])
    """
    return _any_rank("correlate", in1, in2, mode, method, False)


def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> np.ndarray:
    """Convolution of two images, as ``scipy.signal.convolve2d``.

    Parameters
    ----------
    in1, in2 : array_like with 2 axes
        float32 or float64.
    mode : "full", "valid" or "same"
        As for `convolve`.
    boundary : "fill", "wrap" or "symm"
        What lies outside of `in1`: `fillvalue`, its other end, or its mirror image.
    fillvalue : float
        For boundary "fill".

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        As `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.compat import scipy as signal
    >>> image = np.arange(9, dtype=np.float32).reshape(3, 3)
    >>> signal.convolve2d(image, np.ones((3, 3), np.float32), mode="same", boundary="symm")
    array([[12., 18., 24.],
           [30., 36., 42.],
           [48., 54., 60.]], dtype=float32)
    """
    return _two_axes("convolve2d", in1, in2, mode, boundary, fillvalue, True)


def correlate2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0
) -> np.ndarray:
    """Cross-correlation of two images, as ``scipy.signal.correlate2d``: `convolve2d` with `in2` turned around.

    Parameters
    ----------
    in1, in2, mode, boundary, fillvalue
        As for `convolve2d`.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        As `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.compat import scipy as signal
    >>> image, step = np.arange(6.0).reshape(2, 3), np.array([[-1.0, 1.0]])
    >>> signal.correlate2d(image, step, mode="valid")
    array([[1., 1.],
           [1., 1.]])
    """
    return _two_axes("correlate2d", in1, in2, mode, boundary, fillvalue, False)


def _any_rank(op: str, in1, in2, mode, method, flip: bool) -> np.ndarray:
    in1, in2 = _arrays(op, in1, in2)
    check.choice(mode, MODES, op, "mode")
    check.choice(method, METHODS, op, "method")
    if in1.ndim != in2.ndim or in1.ndim > 3:
        raise ValueError(f"{op}: in1 and in2 must have the same number of axes, at most 3, got {in1.shape} and {in2.shape}")
    if in1.ndim == 0:
        return in1 * in2
    return _run(op, in1, in2, mode, flip, "constant", 0) if in1.size and in2.size else np.array([], in1.dtype)


def _two_axes(op: str, in1, in2, mode, boundary, fillvalue, flip: bool) -> np.ndarray:
    in1, in2 = _arrays(op, in1, in2)
    check.choice(mode, MODES, op, "mode")
    check.choice(boundary, tuple(BOUNDARIES), op, "boundary")
    fill = np.asarray(fillvalue)
    if fill.ndim or fill.dtype.kind not in "biuf":
        raise TypeError(f"{op}: fillvalue must be a real number, got {fillvalue!r}")
    if in1.ndim != 2 or in2.ndim != 2 or not in1.size or not in2.size:
        raise ValueError(f"{op}: in1 and in2 must be 2-D and not empty, got {in1.shape} and {in2.shape}")
    return _run(op, in1, in2, mode, flip, BOUNDARIES[boundary], float(fill))


def _arrays(op: str, in1, in2) -> list[np.ndarray]:
    arrays = [check.array(x, op, name) for x, name in ((in1, "in1"), (in2, "in2"))]
    return [x.astype(np.result_type(*arrays), copy=False) for x in arrays]


def _run(op: str, in1: np.ndarray, in2: np.ndarray, mode: str, flip: bool, pad_mode: str, fill: float) -> np.ndarray:
    """The sums of in1, padded, with in2 for a filter."""
    exchanged = _exchanged(op, in1, in2, mode, pad_mode == "constant" and fill == 0)
    if exchanged:
        in1, in2 = in2, in1
    margins = {"full": lambda n: (n - 1, n - 1), "same": lambda n: (n // 2, (n - 1) // 2), "valid": lambda n: (0, 0)}
    padding = tuple(map(margins[mode], in2.shape))
    if op == "correlate2d":                             # SciPy's other functions take the middle of "full"
        padding = tuple((lo, hi) for hi, lo in padding)
    if fill or (pad_mode != "constant" and any(max(pads) > n for pads, n in zip(padding, in1.shape, strict=True))):
        how = {"constant_values": fill} if pad_mode == "constant" else {}
        in1, padding = np.pad(in1, padding, pad_mode, **how), 0     # the mirror images of mirror images
        pad_mode = "constant"
    y = CONVOLUTIONS[in1.ndim](in1[..., None], in2[None, ..., None], padding=padding, pad_mode=pad_mode, flip=flip)[..., 0]
    return np.ascontiguousarray(np.flip(y)) if exchanged and not flip else y


def _exchanged(op: str, in1: np.ndarray, in2: np.ndarray, mode: str, zeros: bool) -> bool:
    """Whether in1 is to be the filter: it must be the smaller one, and is the faster one."""
    if mode == "valid":
        larger, smaller = (all(a >= b for a, b in zip(*shapes, strict=True)) for shapes in
                           ((in1.shape, in2.shape), (in2.shape, in1.shape)))  # fmt: skip
        if not (larger or smaller):
            raise ValueError(f"{op}: for mode 'valid' one of in1 and in2 must be at least as large as the other along every "
                             f"axis, got {in1.shape} and {in2.shape}")  # fmt: skip
        return not larger
    return mode == "full" and zeros and in2.size > in1.size
