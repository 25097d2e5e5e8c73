"""Adaptive max and average pooling and their gradients: windows that share out each axis evenly."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import adaptive as run

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool1d_grad", "adaptive_avg_pool2d", "adaptive_avg_pool2d_grad",
    "adaptive_avg_pool3d", "adaptive_avg_pool3d_grad", "adaptive_max_pool1d", "adaptive_max_pool1d_grad",
    "adaptive_max_pool2d", "adaptive_max_pool2d_grad", "adaptive_max_pool3d", "adaptive_max_pool3d_grad",
]  # fmt: skip


def adaptive_avg_pool2d(
    x: Any, output_size: Any, *, layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each of OH x OW windows that share out the image: along an axis, output i is the mean of the pixels
    ``floor(i*H/OH) <= h < ceil((i + 1)*H/OH)``.

    Neighbouring windows overlap by a pixel where the sizes do not divide, and repeat pixels where the result is larger.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32 or float64
    output_size : int, or 2 of int and None
        None keeps the size of the axis; 0 gives an empty result.
    layout : "NHWC" or "NCHW"
    out : ndarray of the result's shape and dtype, optional
    threads : int, optional

    Returns
    -------
    ndarray (N, OH, OW, C)

    Raises
    ------
    TypeError
        If an argument has the wrong type or `x` another dtype.
    ValueError
        If a size is negative or too large, `x` has another number of axes or no pixels, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import adaptive_avg_pool2d
    >>> adaptive_avg_pool2d(np.arange(12.0).reshape(1, 3, 4, 1), 2)[0, :, :, 0]
    array([[2.5, 4.5],
           [6.5, 8.5]])
    """
    return run.average("adaptive_avg_pool2d", 2, x, output_size, layout, out, threads)


def adaptive_avg_pool2d_grad(
    dy: Any, x_shape: Any, *, layout: str = "NHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of adaptive_avg_pool2d: ``dx[m] = sum of dy / count over the windows that cover element m of x``.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C), float32 or float64
        Gradient of the result.
    x_shape : 4 ints
        Shape of what adaptive_avg_pool2d was given.
    layout, threads
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d`, and if `dy` has other images or channels than `x_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import adaptive_avg_pool2d_grad
    >>> adaptive_avg_pool2d_grad(np.full((1, 1, 2, 1), 6.0), (1, 1, 3, 1)).ravel()
    array([3., 6., 3.])
    """
    return run.average_grad("adaptive_avg_pool2d_grad", 2, dy, x_shape, layout, threads)


def adaptive_max_pool2d(
    x: Any, output_size: Any, *, return_indices: bool = False, layout: str = "NHWC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each of OH x OW windows that share out the image, as `adaptive_avg_pool2d` has them.

    NaN counts as the largest value; of equal elements the first one in row-major order is taken.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32, float64, any integer up to 64 bits, or bool
    output_size, layout, out, threads
        As in `adaptive_avg_pool2d`.
    return_indices : bool, default False
        Also return where each maximum is, ``h*W + w``, as int64.

    Returns
    -------
    y : ndarray (N, OH, OW, C)
    indices : ndarray (N, OH, OW, C) of int64, if `return_indices`

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import adaptive_max_pool2d
    >>> adaptive_max_pool2d(np.arange(12.0).reshape(1, 3, 4, 1), (2, None))[0, :, :, 0]
    array([[ 4.,  5.,  6.,  7.],
           [ 8.,  9., 10., 11.]])
    """
    return run.maximum("adaptive_max_pool2d", 2, x, output_size, return_indices, layout, out, threads)


def adaptive_max_pool2d_grad(dy: Any, x: Any, *, layout: str = "NHWC", threads: int | None = None) -> np.ndarray:
    """Gradient of adaptive_max_pool2d: ``dx[m] = sum of dy over the windows whose (first) maximum is element m of x``.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C)
        Gradient of the result.
    x : array_like (N, H, W, C), float32 or float64
        What adaptive_max_pool2d was given.
    layout, threads
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d`, and if `dy` and `x` differ in dtype, images or channels.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import adaptive_max_pool2d_grad
    >>> x = np.array([1.0, 4.0, 2.0]).reshape(1, 1, 3, 1)
    >>> adaptive_max_pool2d_grad(np.ones((1, 1, 2, 1)), x).ravel()
    array([0., 2., 0.])
    """
    return run.maximum_grad("adaptive_max_pool2d_grad", 2, dy, x, layout, threads)


def adaptive_avg_pool1d(
    x: Any, output_size: Any, *, layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each of OL windows that share out a sequence: x (N, L, C) -> y (N, OL, C); see `adaptive_avg_pool2d`."""
    return run.average("adaptive_avg_pool1d", 1, x, output_size, layout, out, threads)


def adaptive_avg_pool1d_grad(
    dy: Any, x_shape: Any, *, layout: str = "NLC", threads: int | None = None
) -> np.ndarray:
    """Gradient of adaptive_avg_pool1d: dy (N, OL, C) -> dx (N, L, C) = `x_shape`; see `adaptive_avg_pool2d_grad`."""
    return run.average_grad("adaptive_avg_pool1d_grad", 1, dy, x_shape, layout, threads)


def adaptive_max_pool1d(
    x: Any, output_size: Any, *, return_indices: bool = False, layout: str = "NLC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Maximum of each of OL windows that share out a sequence: x (N, L, C) -> y (N, OL, C); see `adaptive_max_pool2d`."""
    return run.maximum("adaptive_max_pool1d", 1, x, output_size, return_indices, layout, out, threads)


def adaptive_max_pool1d_grad(dy: Any, x: Any, *, layout: str = "NLC", threads: int | None = None) -> np.ndarray:
    """Gradient of adaptive_max_pool1d: dy (N, OL, C), x (N, L, C) -> dx like x; see `adaptive_max_pool2d_grad`."""
    return run.maximum_grad("adaptive_max_pool1d_grad", 1, dy, x, layout, threads)


def adaptive_avg_pool3d(
    x: Any, output_size: Any, *, layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """Mean of each of OD x OH x OW windows that share out a volume; see `adaptive_avg_pool2d`."""
    return run.average("adaptive_avg_pool3d", 3, x, output_size, layout, out, threads)


def adaptive_avg_pool3d_grad(
    dy: Any, x_shape: Any, *, layout: str = "NDHWC", threads: int | None = None
) -> np.ndarray:
    """Gradient of adaptive_avg_pool3d: dy -> dx (N, D, H, W, C) = `x_shape`; see `adaptive_avg_pool2d_grad`."""
    return run.average_grad("adaptive_avg_pool3d_grad", 3, dy, x_shape, layout, threads)


def adaptive_max_pool3d(
    x: Any, output_size: Any, *, return_indices: bool = False, layout: str = "NDHWC", out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Maximum of each of OD x OH x OW windows that share out a volume; see `adaptive_max_pool2d`."""
    return run.maximum("adaptive_max_pool3d", 3, x, output_size, return_indices, layout, out, threads)


def adaptive_max_pool3d_grad(dy: Any, x: Any, *, layout: str = "NDHWC", threads: int | None = None) -> np.ndarray:
    """Gradient of adaptive_max_pool3d: dy, x (N, D, H, W, C) -> dx like x; see `adaptive_max_pool2d_grad`."""
    return run.maximum_grad("adaptive_max_pool3d_grad", 3, dy, x, layout, threads)
