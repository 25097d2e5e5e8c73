"""Resizing of sequences, images and volumes by interpolation, and its gradient."""

from __future__ import annotations

import math
import numbers
from functools import partial
from typing import Any

import numpy as np

from convkit._core.call import Calls
from convkit.ops import check, resampling
from convkit.plan import geometry
from convkit.plan import resample as plan

__all__ = ["resize", "resize_grad"]

USUAL_CUBIC = -0.75
CALLS = Calls(32)                                       # the last ones: the layers of a network


def resize(
    x: Any, size: Any = None, *, scale: Any = None, mode: str = "linear", coordinates: str = "half_pixel",
    rounding: str = "round_prefer_floor", antialias: bool = False, cubic_a: float = -0.75, exclude_outside: bool = False,
    layout: str | None = None, out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Interpolates between the pixels of each channel, along all spatial axes: up- and downsampling.

    Output pixel o of an axis lies at ``(o + 0.5) / scale - 0.5`` of the source and is the weighted sum of its neighbours: of
    the nearest one, of two ("linear": bilinear, trilinear), or of four ("cubic"). Beyond the ends the first and last pixel go
    on. Two axes multiply. With mode="nearest" pixels are copied bit by bit.

    Parameters
    ----------
    x : array_like (N, L, C), (N, H, W, C) or (N, D, H, W, C), float32 or float64
    size : int or an int for each spatial axis
        Of the result; or give `scale`.
    scale : float or a float for each spatial axis
        The size of the result is ``floor(scale * size of x)``.
    mode : "nearest", "linear" or "cubic", default "linear"
    coordinates : str, default "half_pixel"
        Where output o lies, as ONNX names it: "half_pixel" as above; "align_corners": ``o * (n - 1) / (size - 1)``, the
        corners stay; "asymmetric": ``o / scale``; "pytorch_half_pixel": "half_pixel", but 0 for an axis of size 1;
        "half_pixel_symmetric": "half_pixel" about the centre where ``scale * n`` is no integer.
    rounding : "round_prefer_floor", "round_prefer_ceil", "floor" or "ceil"
        Which pixel is the nearest one.
    antialias : bool, default False
        Downsampling averages over as many pixels as an output covers; not for "nearest".
    cubic_a : float, default -0.75
        Of the cubic kernel (Keys, 1981): -0.5 is the other usual choice.
    exclude_outside : bool, default False
        Leave out neighbours beyond the ends and weigh the others more.
    layout : str, default channels last
        "NCL", "NCHW" or "NCDHW" for channels first.
    out : ndarray of the result's shape and dtype, optional
    threads : int, optional

    Returns
    -------
    ndarray (N, ..., C) with the spatial axes resized

    Raises
    ------
    TypeError
        If an argument has the wrong type or `x` another dtype.
    ValueError
        If a size or scale is out of range, both or none of them are given, a name is unknown, `x` has no pixels, or `out`
        does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import resize
    >>> resize(np.array([0.0, 4.0]).reshape(1, 2, 1), 4).ravel()
    array([0., 1., 3., 4.])
    >>> resize(np.zeros((1, 8, 8, 3), np.float32), scale=0.5, mode="nearest").shape
    (1, 4, 4, 3)
    """
    op = "resize"
    how = size, scale, mode, coordinates, rounding, antialias, exclude_outside, layout, threads
    usual = type(cubic_a) is float and cubic_a == USUAL_CUBIC
    y = CALLS.again((x,), out, how) if usual else None
    if y is not None:
        return y
    rule = rule_of(op, mode, coordinates, rounding, antialias, cubic_a, exclude_outside)
    x, first = _images(op, x, "x", layout)
    spatial = x.shape[1:-1]
    sizes, scales = _sizes(op, spatial, size, scale)
    if 0 in spatial:
        raise ValueError(f"{op}: x has no pixels, its spatial shape is {spatial}")
    y = check.result(out, (len(x), *sizes, x.shape[-1]), x.dtype, first, (x,), op)
    if y.size:
        tables = [plan.interpolation(n, o, s, rule).forward for n, o, s in zip(spatial, sizes, scales, strict=True)]
        resampling.blend(op, x, tables, y, threads)
        if usual and not first:
            CALLS.keep((x,), y.shape, how, partial(_again, op, tables, y.shape, threads))
    return check.returned(y, out, first)


def _again(op: str, tables: list, shape: tuple[int, ...], threads: Any, arrays: tuple, out: np.ndarray | None) -> np.ndarray:
    """A call that was checked before."""
    y = check.empty(shape, arrays[0].dtype, op) if out is None else out
    resampling.blend(op, arrays[0], tables, y, threads)
    return y


def resize_grad(
    dy: Any, x_shape: Any, *, scale: Any = None, mode: str = "linear", coordinates: str = "half_pixel",
    rounding: str = "round_prefer_floor", antialias: bool = False, cubic_a: float = -0.75, exclude_outside: bool = False,
    layout: str | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of resize: each element of dx is the sum of dy over the outputs that read it, with the weights they read it by.

    Parameters
    ----------
    dy : array_like, float32 or float64
        Gradient of the result.
    x_shape : 3 to 5 ints
        Shape of what resize was given.
    scale : float or floats, optional
        If resize was given one.
    mode, coordinates, rounding, antialias, cubic_a, exclude_outside, layout, threads
        As in `resize`.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in `resize`, and if `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import resize_grad
    >>> resize_grad(np.ones((1, 4, 1)), (1, 2, 1)).ravel()
    array([2., 2.])
    """
    op = "resize_grad"
    rule = rule_of(op, mode, coordinates, rounding, antialias, cubic_a, exclude_outside)
    dy, first = _images(op, dy, "dy", layout)
    x_shape = check.shape_of(x_shape, op, "x_shape")
    if len(x_shape) != dy.ndim:
        raise ValueError(f"{op}: x_shape must have {dy.ndim} sizes like dy, got {x_shape}")
    last = (x_shape[0], *x_shape[2:], x_shape[1]) if first else x_shape
    spatial = last[1:-1]
    sizes, scales = _sizes(op, spatial, dy.shape[1:-1] if scale is None else None, scale)
    check.gradient(dy, (last[0], *sizes, last[-1]), first, op)
    if 0 in spatial:
        raise ValueError(f"{op}: x_shape has no pixels: {x_shape}")
    dx = check.empty(last, dy.dtype, op)
    if dx.size:
        tables = [plan.interpolation(n, o, s, rule).backward for n, o, s in zip(spatial, sizes, scales, strict=True)]
        resampling.blend(op, dy, tables, dx, threads)
    return check.returned(dx, None, first)


def _images(op: str, x: Any, name: str, layout: Any) -> tuple[np.ndarray, bool]:
    """x channels last, of the rank that it has, and whether the caller's channels come first."""
    x = check.array(x, op, name)
    rank = x.ndim - 2
    if rank not in check.LAYOUTS:
        raise ValueError(f"{op}: {name} must be 3-D, 4-D or 5-D with a batch and channels, got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op)
    return check.images(x, rank, first, op, name), first


def rule_of(op, mode, coordinates, rounding, antialias, cubic_a, exclude_outside) -> plan.Rule:
    mode = check.choice(mode, plan.MODES, op, "mode")
    if isinstance(cubic_a, (bool, np.bool_)) or not isinstance(cubic_a, numbers.Real):
        raise TypeError(f"{op}: cubic_a must be a number, got {cubic_a!r}")
    if not math.isfinite(cubic_a):
        raise ValueError(f"{op}: cubic_a must be finite, got {cubic_a}")
    if check.flag(antialias, op, "antialias") and mode == "nearest":
        raise ValueError(f"{op}: antialias is for mode='linear' and 'cubic'")
    coordinates = check.choice(coordinates, plan.COORDINATES, op, "coordinates")
    rounding = check.choice(rounding, plan.ROUNDING, op, "rounding")
    outside = check.flag(exclude_outside, op, "exclude_outside")
    return plan.Rule(mode, coordinates, rounding, bool(antialias), float(cubic_a), outside)


def _sizes(op: str, spatial: tuple[int, ...], size: Any, scale: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size of the result and scale of each axis."""
    if (size is None) == (scale is None):
        raise ValueError(f"{op}: give size or scale, {'one of them' if size is None else 'not both'}")
    if scale is None:
        sizes = geometry.sizes(size, len(spatial), op, "size")
        return sizes, tuple(o / n if n else 1.0 for n, o in zip(spatial, sizes, strict=True))
    scales = scale_factors(scale, len(spatial), op)
    sizes = tuple(math.floor(n * s) for n, s in zip(spatial, scales, strict=True))
    if 0 in sizes and 0 not in spatial:
        raise ValueError(f"{op}: scale {scale} of {spatial} leaves no pixels")
    return sizes, scales


def scale_factors(scale: Any, rank: int, op: str) -> tuple[float, ...]:
    """`scale` as one float for each axis."""
    given = tuple(scale) if isinstance(scale, (tuple, list, np.ndarray)) and np.ndim(scale) else (scale,) * rank
    wanted = "a number" if rank == 1 else f"a number or {rank} numbers"
    if len(given) != rank:
        raise ValueError(f"{op}: scale must be {wanted}, got {scale!r}")
    if any(isinstance(s, (bool, np.bool_)) or not isinstance(s, numbers.Real) for s in given):
        raise TypeError(f"{op}: scale must be {wanted}, got {scale!r}")
    if not all(0 < s < math.inf for s in given):
        raise ValueError(f"{op}: scale must be > 0 and finite, got {scale!r}")
    return tuple(map(float, given))
