"""Global max and average pooling and their gradients: one window, the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.ops import pooling as run

__all__ = [
    "global_avg_pool1d", "global_avg_pool1d_grad", "global_avg_pool2d", "global_avg_pool2d_grad", "global_avg_pool3d",
    "global_avg_pool3d_grad", "global_max_pool1d", "global_max_pool1d_grad", "global_max_pool2d", "global_max_pool2d_grad",
    "global_max_pool3d", "global_max_pool3d_grad",
]  # fmt: skip


def global_avg_pool2d(
    x: Any, *, keepdims: bool = False, layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each channel of each image: ``y[n, c] = (sum over h, w of x[n, h, w, c]) / (H*W)``.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32 or float64
    keepdims : bool, default False
        Keep the spatial axes with size 1: (N, 1, 1, C) instead of (N, C).
    layout : "NHWC" or "NCHW"
    out : ndarray of the result's shape and dtype, optional
    threads : int, optional

    Returns
    -------
    ndarray (N, C)

    Raises
    ------
    TypeError
        If an argument has the wrong type or `x` another dtype.
    ValueError
        If `x` has another number of axes or no pixels, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import global_avg_pool2d
    >>> global_avg_pool2d(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]])
    """
    return _average("global_avg_pool2d", 2, x, keepdims, layout, out, threads)


def global_avg_pool2d_grad(
    dy: Any, x_shape: Any, *, keepdims: bool = False, layout: str = "NHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_avg_pool2d: ``dx[n, h, w, c] = dy[n, c] / (H*W)``.

    Parameters
    ----------
    dy : array_like (N, C), or (N, 1, 1, C) with `keepdims`
        Gradient of the result.
    x_shape : 4 ints
        Shape of what global_avg_pool2d was given.
    keepdims, layout, threads
        As in `global_avg_pool2d`.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in `global_avg_pool2d`, and if `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import global_avg_pool2d_grad
    >>> global_avg_pool2d_grad(np.array([[8.0]]), (1, 2, 2, 1))[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    return _average_grad("global_avg_pool2d_grad", 2, dy, x_shape, keepdims, layout, threads)


def global_max_pool2d(
    x: Any, *, keepdims: bool = False, return_indices: bool = False, layout: str = "NHWC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each channel of each image: ``y[n, c] = max over h, w of x[n, h, w, c]``.

    NaN counts as the largest value; of equal elements the first one is taken.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32, float64, any integer up to 64 bits, or bool
    keepdims, layout, out, threads
        As in `global_avg_pool2d`.
    return_indices : bool, default False
        Also return where each maximum is, ``h*W + w``, as int64.

    Returns
    -------
    y : ndarray (N, C)
    indices : ndarray (N, C) of int64, if `return_indices`

    Raises
    ------
    TypeError, ValueError
        As in `global_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import global_max_pool2d
    >>> global_max_pool2d(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[6., 7.]])
    """
    return _maximum("global_max_pool2d", 2, x, keepdims, return_indices, layout, out, threads)


def global_max_pool2d_grad(
    dy: Any, x: Any, *, keepdims: bool = False, layout: str = "NHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_max_pool2d: the (first) maximum of each channel gets its dy, all others 0.

    Parameters
    ----------
    dy : array_like (N, C), or (N, 1, 1, C) with `keepdims`
        Gradient of the result.
    x : array_like (N, H, W, C), float32 or float64
        What global_max_pool2d was given.
    keepdims, layout, threads
        As in `global_avg_pool2d`.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `global_avg_pool2d`, and if `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import global_max_pool2d_grad
    >>> global_max_pool2d_grad(np.array([[5.0]]), np.array([1.0, 3.0, 3.0, 2.0]).reshape(1, 2, 2, 1))[0, :, :, 0]
    array([[0., 5.],
           [0., 0.]])
    """
    return _maximum_grad("global_max_pool2d_grad", 2, dy, x, keepdims, layout, threads)


def global_avg_pool1d(
    x: Any, *, keepdims: bool = False, layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each channel of each sequence: x (N, L, C) -> y (N, C); see `global_avg_pool2d`."""
    return _average("global_avg_pool1d", 1, x, keepdims, layout, out, threads)


def global_avg_pool1d_grad(
    dy: Any, x_shape: Any, *, keepdims: bool = False, layout: str = "NLC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_avg_pool1d: dy (N, C) -> dx (N, L, C) = `x_shape`; see `global_avg_pool2d_grad`."""
    return _average_grad("global_avg_pool1d_grad", 1, dy, x_shape, keepdims, layout, threads)


def global_max_pool1d(
    x: Any, *, keepdims: bool = False, return_indices: bool = False, layout: str = "NLC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each channel of each sequence: x (N, L, C) -> y (N, C); see `global_max_pool2d`."""
    return _maximum("global_max_pool1d", 1, x, keepdims, return_indices, layout, out, threads)


def global_max_pool1d_grad(
    dy: Any, x: Any, *, keepdims: bool = False, layout: str = "NLC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_max_pool1d: dy (N, C), x (N, L, C) -> dx like x; see `global_max_pool2d_grad`."""
    return _maximum_grad("global_max_pool1d_grad", 1, dy, x, keepdims, layout, threads)


def global_avg_pool3d(
    x: Any, *, keepdims: bool = False, layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each channel of each volume: x (N, D, H, W, C) -> y (N, C); see `global_avg_pool2d`."""
    return _average("global_avg_pool3d", 3, x, keepdims, layout, out, threads)


def global_avg_pool3d_grad(
    dy: Any, x_shape: Any, *, keepdims: bool = False, layout: str = "NDHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_avg_pool3d: dy (N, C) -> dx (N, D, H, W, C) = `x_shape`; see `global_avg_pool2d_grad`."""
    return _average_grad("global_avg_pool3d_grad", 3, dy, x_shape, keepdims, layout, threads)


def global_max_pool3d(
    x: Any, *, keepdims: bool = False, return_indices: bool = False, layout: str = "NDHWC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each channel of each volume: x (N, D, H, W, C) -> y (N, C); see `global_max_pool2d`."""
    return _maximum("global_max_pool3d", 3, x, keepdims, return_indices, layout, out, threads)


def global_max_pool3d_grad(
    dy: Any, x: Any, *, keepdims: bool = False, layout: str = "NDHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of global_max_pool3d: dy (N, C), x (N, D, H, W, C) -> dx like x; see `global_max_pool2d_grad`."""
    return _maximum_grad("global_max_pool3d_grad", 3, dy, x, keepdims, layout, threads)


def _window(op: str, rank: int, shape: tuple[int, ...], first: bool, name: str) -> tuple[int, ...]:
    """The spatial shape of an image, which is the window."""
    if len(shape) != rank + 2:
        wanted = check.axes_text(check.LAYOUTS[rank][first])
        raise ValueError(f"{op}: {name} must be {rank + 2}-D {wanted}, got {len(shape)}-D {shape}")
    window = shape[2:] if first else shape[1:-1]
    if 0 in window:
        raise ValueError(f"{op}: the mean or maximum of no pixels is not defined, {name} has the spatial shape {window}")
    return window


def _places(rank: int, first: bool) -> tuple:
    """The index that gives (N, C) spatial axes of size 1."""
    return (slice(None), slice(None), *(None,) * rank) if first else (slice(None), *(None,) * rank, slice(None))


def _spread_out(op: str, rank: int, value: Any, name: str, wanted: tuple[int, int], keepdims: bool, first: bool) -> Any:
    """`out` or `dy`, (N, C), with spatial axes; what is no array is left to later checks."""
    if keepdims or not isinstance(value, np.ndarray):
        return value
    if value.shape != wanted:
        raise ValueError(f"{op}: {name} must have shape {wanted}, got {value.shape}")
    return value[_places(rank, first)]


def _result(y: np.ndarray, out: np.ndarray | None, rank: int, keepdims: bool, first: bool) -> np.ndarray:
    if out is not None:
        return out
    return y if keepdims else y[(slice(None), slice(None), *(0,) * rank) if first else (slice(None), *(0,) * rank)]


def _average(op, rank, x, keepdims, layout, out, threads):
    first, x = check.channels_first(layout, rank, op), check.array(x, op, "x")
    window, keepdims = _window(op, rank, x.shape, first, "x"), check.flag(keepdims, op, "keepdims")
    channels = x.shape[1 if first else -1]
    whole = _spread_out(op, rank, out, "out", (len(x), channels), keepdims, first)
    y = run.avg_pool(op, rank, x, window, None, 0, False, True, layout, whole, threads)
    return _result(y, out, rank, keepdims, first)


def _average_grad(op, rank, dy, x_shape, keepdims, layout, threads):
    first, x_shape = check.channels_first(layout, rank, op), check.shape_of(x_shape, op, "x_shape")
    window, keepdims = _window(op, rank, x_shape, first, "x_shape"), check.flag(keepdims, op, "keepdims")
    dy = check.array(dy, op, "dy")
    dy = _spread_out(op, rank, dy, "dy", (x_shape[0], x_shape[1 if first else -1]), keepdims, first)
    return run.avg_pool_grad(op, rank, dy, x_shape, window, None, 0, False, True, layout, threads)


def _maximum(op, rank, x, keepdims, return_indices, layout, out, threads):
    first, x = check.channels_first(layout, rank, op), check.array(x, op, "x", run.COMPARED)
    window, keepdims = _window(op, rank, x.shape, first, "x"), check.flag(keepdims, op, "keepdims")
    channels = x.shape[1 if first else -1]
    whole = _spread_out(op, rank, out, "out", (len(x), channels), keepdims, first)
    result = run.max_pool(op, rank, x, window, None, 0, 1, False, return_indices, layout, whole, threads)
    if not return_indices:
        return _result(result, out, rank, keepdims, first)
    return _result(result[0], out, rank, keepdims, first), _result(result[1], None, rank, keepdims, first)


def _maximum_grad(op, rank, dy, x, keepdims, layout, threads):
    first, x = check.channels_first(layout, rank, op), check.array(x, op, "x")
    window, keepdims = _window(op, rank, x.shape, first, "x"), check.flag(keepdims, op, "keepdims")
    dy = check.array(dy, op, "dy")
    dy = _spread_out(op, rank, dy, "dy", (len(x), x.shape[1 if first else -1]), keepdims, first)
    return run.max_pool_grad(op, rank, dy, x, window, None, 0, 1, False, layout, threads)
