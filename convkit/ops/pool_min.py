"""Min pooling and its gradient: max pooling of the numbers in reverse order."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.ops import pooling as run

__all__ = ["min_pool1d", "min_pool1d_grad", "min_pool2d", "min_pool2d_grad", "min_pool3d", "min_pool3d_grad"]


def min_pool2d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Smallest element of each window: ``y[n, i, j, c] = min over a, b of x[n, i*sh + a*dil_h - ph, j*sw + b*dil_w - pw, c]``.

    The padding never wins: a window that holds nothing else (with dilation it can) gives inf, the largest integer or
    True. NaN counts as the smallest value. Of equal elements (-0.0 equals 0.0) the first one in row-major order is taken.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32, float64, any integer up to 64 bits, or bool
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
        As in `max_pool2d`.

    Returns
    -------
    y : ndarray (N, OH, OW, C)
    indices : ndarray (N, OH, OW, C) of int64, if `return_indices`
        ``h*W + w`` of the minimum; -1 where the window holds only padding.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import min_pool2d
    >>> min_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 0.,  2.],
           [ 8., 10.]])
    """
    return _pool(
        "min_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def min_pool2d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of min_pool2d: ``dx[m] = sum of dy over the windows whose (first) minimum is element m of x``.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C)
        Gradient of the result.
    x : array_like (N, H, W, C), float32 or float64
        What min_pool2d was given; so are the other arguments.
    kernel_size, stride, padding, dilation, ceil_mode, layout, threads
        As in `max_pool2d`.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import min_pool2d_grad
    >>> x = np.array([3.0, 1.0, 1.0, 2.0]).reshape(1, 2, 2, 1)
    >>> min_pool2d_grad(np.full((1, 1, 1, 1), 5.0), x, 2)[0, :, :, 0]
    array([[0., 5.],
           [0., 0.]])
    """
    return _grad("min_pool2d_grad", 2, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def min_pool1d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Smallest element of each window along one axis: x (N, L, C) -> y (N, OL, C); see `min_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops import min_pool1d
    >>> min_pool1d(np.arange(4.0).reshape(1, 4, 1), 2).ravel()
    array([0., 2.])
    """
    return _pool(
        "min_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def min_pool1d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NLC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of min_pool1d: dy (N, OL, C), x (N, L, C) -> dx like x; see `min_pool2d_grad`."""
    return _grad("min_pool1d_grad", 1, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def min_pool3d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Smallest element of each window along three axes: x (N, D, H, W, C) -> y (N, OD, OH, OW, C); see `min_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops import min_pool3d
    >>> min_pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), 2).ravel()
    array([0.])
    """
    return _pool(
        "min_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def min_pool3d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NDHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of min_pool3d: dy (N, OD, OH, OW, C), x (N, D, H, W, C) -> dx like x; see `min_pool2d_grad`."""
    return _grad("min_pool3d_grad", 3, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def in_training(op, rank, x, kernel_size, stride, padding, dilation, ceil_mode):
    """min_pool, channels last, and a function dy -> dx."""
    x = _reversed(check.array(x, op, "x"))
    y, backward = run.max_pool_in_training(op, rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    return _reversed(y, out=y), backward


def _reversed(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Numbers whose order is that of x reversed, and back again; no value is lost."""
    return (np.negative if x.dtype.kind == "f" else np.invert)(x, out=out)


def _pool(op, rank, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads):
    x = _reversed(check.array(x, op, "x", run.COMPARED))
    how = kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    result = run.max_pool(op, rank, x, *how)
    y = result[0] if return_indices else result
    _reversed(y, out=y)
    return result


def _grad(op, rank, dy, x, *how):
    return run.max_pool_grad(op, rank, dy, _reversed(check.array(x, op, "x")), *how)
