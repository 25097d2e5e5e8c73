"""Padding and cropping of the spatial axes, and the gradient of padding."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from convkit.ops import border, check, padding_kinds
from convkit.plan import border as plan
from convkit.plan import geometry

__all__ = ["crop", "pad", "pad_grad"]

MODES = (*plan.MODES, *padding_kinds.MODES)


def pad(
    x: Any, padding: Any, *, mode: str = "constant", value: float = 0.0, stat_length: Any = None,
    layout: str | None = None, out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Adds pixels around each image, as `numpy.pad` does with the mode of the same name.

    Parameters
    ----------
    x : array_like (N, L, C), (N, H, W, C) or (N, D, H, W, C), float32 or float64
    padding : int, an int for each spatial axis, or a pair (before, after) for each
    mode : str, default "constant"
        "constant": a constant. "edge": the outermost pixel. "reflect", "symmetric": the mirror image without or with the
        outermost pixel. "wrap": the other end. "linear_ramp": from the outermost pixel to `value`, evenly. "maximum", "mean",
        "median", "minimum": of the pixels of the axis. "empty": whatever is there.
    value : float, default 0
        The constant, or the end of a ramp.
    stat_length : int, an int for each spatial axis, or a pair for each, optional
        How many pixels next to the padding "maximum", "mean", "median" and "minimum" look at; all by default.
    layout : str, default channels last
        "NCL", "NCHW" or "NCDHW" for channels first.
    out : ndarray of the result's shape and dtype, optional

    Returns
    -------
    ndarray, x with its spatial axes padded

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, an axis without pixels is to be padded with pixels, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import pad
    >>> pad(np.arange(3.0).reshape(1, 3, 1), ((2, 1),), mode="reflect").ravel()
    array([2., 1., 0., 1., 2., 1.])
    """
    op = "pad"
    x, first, pairs = _arguments(op, x, "x", padding, "padding", layout)
    mode = check.choice(mode, MODES, op, "mode")
    stat = padding_kinds.lengths(stat_length, mode, x.ndim - 2, op)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: value must be a number, got {value!r}")
    spatial = x.shape[1:-1]
    _sources(op, spatial, pairs, mode)
    shape = (len(x), *(n + lo + hi for n, (lo, hi) in zip(spatial, pairs, strict=True)), x.shape[-1])
    y = check.result(out, shape, x.dtype, first, (x,), op)
    if y.size and mode in padding_kinds.MODES:
        padding_kinds.fill(x, pairs, mode, value, stat, y)
    elif y.size:
        _fill(x, pairs, mode, value, y)
    return check.returned(y, out, first)


def pad_grad(
    dy: Any, padding: Any, x: Any = None, *, mode: str = "constant", stat_length: Any = None, layout: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of pad: each pixel of x gets the sum of dy over the places where it stands, or has a share in.

    The gradient of a "maximum" or "minimum" goes to the first of equal pixels, that of a "median" of an even number to the two
    in the middle, half to each. Padding with mode "empty" has none.

    Parameters
    ----------
    dy : array_like, float32 or float64
        Gradient of the result.
    padding, mode, stat_length, layout
        As in `pad`.
    x : array_like, optional
        What `pad` was given: needed for the modes "maximum", "median" and "minimum" alone.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `pad`, if `dy` is smaller than the padding, and if `x` is missing or does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import pad_grad
    >>> pad_grad(np.ones((1, 6, 1)), ((2, 1),), mode="reflect").ravel()
    array([1., 3., 2.])
    """
    op = "pad_grad"
    dy, first, pairs = _arguments(op, dy, "dy", padding, "padding", layout)
    mode = check.choice(mode, MODES, op, "mode")
    stat = padding_kinds.lengths(stat_length, mode, dy.ndim - 2, op)
    spatial = tuple(n - lo - hi for n, (lo, hi) in zip(dy.shape[1:-1], pairs, strict=True))
    if min(spatial) < 0:
        raise ValueError(f"{op}: dy must be at least as large as the padding, got the spatial shape {dy.shape[1:-1]}")
    _sources(op, spatial, pairs, mode)
    shape = (len(dy), *spatial, dy.shape[-1])
    x = padding_kinds.given(op, x, mode, shape, dy.dtype, dy.ndim - 2, first)
    dx = check.empty(shape, dy.dtype, op, zeros=True)
    if mode in ("constant", "empty"):
        dx[...] = dy[_inside(pairs, spatial)]
    elif dx.size and mode in padding_kinds.MODES:
        dx[...] = padding_kinds.grad(dy, x, pairs, mode, stat)
    elif dx.size:
        places = (np.arange(-lo, n + hi) for n, (lo, hi) in zip(spatial, pairs, strict=True))
        picks = tuple(plan.pixels(place, n, mode) for place, n in zip(places, spatial, strict=True))
        border.fold(dx, picks, np.ascontiguousarray(dy))
    return check.returned(dx, None, first)


def crop(x: Any, cropping: Any, *, layout: str | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """Cuts pixels off at the borders of each image; the result is a copy.

    Its gradient is `pad` of dy with zeros.

    Parameters
    ----------
    x : array_like (N, L, C), (N, H, W, C) or (N, D, H, W, C), float32 or float64
    cropping : int, an int for each spatial axis, or a pair (before, after) for each
    layout : str, default channels last
        "NCL", "NCHW" or "NCDHW" for channels first.
    out : ndarray of the result's shape and dtype, optional

    Returns
    -------
    ndarray, x with its spatial axes cropped

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, nothing would be left of an axis, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import crop
    >>> crop(np.arange(5.0).reshape(1, 5, 1), ((2, 1),)).ravel()
    array([2., 3.])
    """
    op = "crop"
    x, first, pairs = _arguments(op, x, "x", cropping, "cropping", layout)
    spatial = tuple(n - lo - hi for n, (lo, hi) in zip(x.shape[1:-1], pairs, strict=True))
    if min(spatial) < 1:
        raise ValueError(f"{op}: cropping {cropping!r} leaves nothing of the spatial shape {x.shape[1:-1]}")
    y = check.result(out, (len(x), *spatial, x.shape[-1]), x.dtype, first, (x,), op)
    y[...] = x[_inside(pairs, spatial)]
    return check.returned(y, out, first)


def _arguments(op: str, x: Any, name: str, pads: Any, pads_name: str, layout: Any):
    """x channels last, whether the caller's channels come first, and a pair (before, after) for each axis."""
    x = check.array(x, op, name)
    rank = x.ndim - 2
    if rank not in check.LAYOUTS:
        raise ValueError(f"{op}: {name} must be 3-D, 4-D or 5-D with a batch and channels, got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op)
    return check.images(x, rank, first, op, name), first, pairs(pads, rank, op, pads_name)


def pairs(value: Any, rank: int, op: str, name: str) -> tuple[tuple[int, int], ...]:
    """An int, ints or pairs as a pair (before, after) for each axis."""
    if not isinstance(value, (str, bytes)) and hasattr(value, "__len__") and any(hasattr(item, "__len__") for item in value):
        if len(value) != rank:
            raise ValueError(f"{op}: {name} must have {rank} pairs (before, after), got {value!r}")
        return tuple(geometry.sizes(pair, 2, op, name, least=0) for pair in value)
    return tuple((n, n) for n in geometry.sizes(value, rank, op, name, least=0))


def _sources(op: str, spatial: tuple[int, ...], pairs: tuple[tuple[int, int], ...], mode: str) -> None:
    """Refuses to repeat pixels that are not there."""
    for name, n, pads in zip(geometry.AXES[len(spatial)], spatial, pairs, strict=True):
        if mode not in ("constant", "empty") and n == 0 and any(pads):
            raise ValueError(f"{op}: mode={mode!r} needs a pixel to repeat, there is none along {name}")


def _inside(pairs: tuple[tuple[int, int], ...], spatial: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(lo, lo + n) for n, (lo, _) in zip(spatial, pairs, strict=True)))


def _fill(x: np.ndarray, pairs: tuple[tuple[int, int], ...], mode: str, value: float, y: np.ndarray) -> None:
    """y = x and around it, axis by axis, what the mode puts there."""
    if math.prod(x.shape):
        y[_inside(pairs, x.shape[1:-1])] = x
    for axis, (lo, hi) in enumerate(pairs, 1):
        n = x.shape[axis]
        # Along earlier axes the padding is there already, along later ones it comes later.
        before = (slice(None),) * axis
        after = _inside(pairs[axis:], x.shape[axis + 1 : -1])[1:]
        for start, stop in ((0, lo), (lo + n, lo + n + hi)):
            if start == stop:
                continue
            if mode == "constant":
                y[(*before, slice(start, stop), *after)] = value
            else:
                places = lo + plan.pixels(np.arange(start - lo, stop - lo), n, mode)
                y[(*before, slice(start, stop), *after)] = y[(*before, slice(None), *after)].take(places, axis)
