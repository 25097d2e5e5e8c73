"""Max and average pooling and their gradients on plain arrays, for 1, 2 and 3 spatial axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import pooling as run

__all__ = [
    "avg_pool1d", "avg_pool1d_grad", "avg_pool2d", "avg_pool2d_grad", "avg_pool3d", "avg_pool3d_grad",
    "max_pool1d", "max_pool1d_grad", "max_pool2d", "max_pool2d_grad", "max_pool3d", "max_pool3d_grad",
]  # fmt: skip

def max_pool2d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each window: ``y[n, i, j, c] = max over a, b of x[n, i*sh + a*dil_h - ph, j*sw + b*dil_w - pw, c]``.

    The padding never wins: a window that holds nothing else (with dilation it can) gives -inf, the smallest integer or
    False. NaN counts as the largest value. Of equal elements (-0.0 equals 0.0) the first one in row-major order is taken.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32, float64, any integer up to 64 bits, or bool
        Any strides; neighbouring channels that are not neighbours in memory cost a copy.
    kernel_size : int or 2 ints
    stride : int or 2 ints, default `kernel_size`
    padding : int, 2 ints, 2 pairs (before, after), "valid" or "same"
        Smaller than the effective kernel, ``dilation*(kernel_size - 1) + 1``.
    dilation : int or 2 ints, default 1
    ceil_mode : bool, default False
        Round the output size up: a last window may hang over the end, but not start behind the input.
    return_indices : bool, default False
        Also return where each maximum is.
    layout : "NHWC" or "NCHW"
        Order of the axes of x, out and the results; with "NCHW" these are views of channels-last memory.
    out : ndarray of the result's shape and dtype, optional
    threads : int, optional

    Returns
    -------
    y : ndarray (N, OH, OW, C)
    indices : ndarray (N, OH, OW, C) of int64, if `return_indices`
        ``h*W + w`` of the maximum; -1 where the window holds only padding.

    Raises
    ------
    TypeError
        If an argument has the wrong type or `x` another dtype.
    ValueError
        If a size is out of range, the kernel is larger than the padded input, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops.pool import max_pool2d
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> max_pool2d(x, 2)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return run.max_pool(
        "max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def max_pool2d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of max_pool2d: ``dx[m] = sum of dy over the windows whose (first) maximum is element m of x``.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C)
        Gradient of the result.
    x : array_like (N, H, W, C), float32 or float64
        What max_pool2d was given; so are the other arguments.
    kernel_size, stride, padding, dilation, ceil_mode, layout, threads
        As in `max_pool2d`.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`, and if `dy` and `x` differ in dtype or `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops.pool import max_pool2d_grad
    >>> x = np.array([3.0, 1.0, 3.0, 2.0]).reshape(1, 2, 2, 1)
    >>> max_pool2d_grad(np.full((1, 1, 1, 1), 5.0), x, 2)[0, :, :, 0]
    array([[5., 0.],
           [0., 0.]])
    """
    return run.max_pool_grad("max_pool2d_grad", 2, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def avg_pool2d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    layout: str = "NHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Mean of each window: ``y[n, i, j, c] = (sum over a, b of x[n, i*sh + a - ph, j*sw + b - pw, c]) / count``.

    The sum runs in row-major order in the dtype of `x`, then one division follows, so a sum that overflows gives inf.
    A window of padding only (over an empty axis) has the mean 0.

    Parameters
    ----------
    x : array_like (N, H, W, C), float32 or float64
    kernel_size, stride, padding, ceil_mode, layout, out, threads
        As in `max_pool2d`; padding counts as zeros.
    count_include_pad : bool, default True
        Whether elements of the padding count. What ceil_mode adds behind the padding never does.

    Returns
    -------
    ndarray (N, OH, OW, C)

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`; integers are a TypeError.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops.pool import avg_pool2d
    >>> avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return run.avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, out, threads)


def avg_pool2d_grad(
    dy: Any, x_shape: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, layout: str = "NHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of avg_pool2d: ``dx[m] = sum of dy / count over the windows that cover element m of x``.

    Parameters
    ----------
    dy : array_like (N, OH, OW, C), float32 or float64
        Gradient of the result.
    x_shape : 4 ints
        Shape of what avg_pool2d was given.
    kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
        As in `avg_pool2d`.

    Returns
    -------
    ndarray of shape `x_shape`

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d`, and if `dy` has not the shape of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops.pool import avg_pool2d_grad
    >>> avg_pool2d_grad(np.full((1, 1, 1, 1), 8.0), (1, 2, 2, 1), 2)[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    return run.avg_pool_grad(
        "avg_pool2d_grad", 2, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
    )


def max_pool1d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each window along one axis: x (N, L, C) -> y (N, OL, C); see `max_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops.pool import max_pool1d
    >>> max_pool1d(np.arange(4.0).reshape(1, 4, 1), 2).ravel()
    array([1., 3.])
    """
    return run.max_pool(
        "max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def max_pool1d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NLC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of max_pool1d: dy (N, OL, C), x (N, L, C) -> dx like x; see `max_pool2d_grad`."""
    return run.max_pool_grad("max_pool1d_grad", 1, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def avg_pool1d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    layout: str = "NLC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Mean of each window along one axis: x (N, L, C) -> y (N, OL, C); see `avg_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops.pool import avg_pool1d
    >>> avg_pool1d(np.arange(4.0).reshape(1, 4, 1), 2).ravel()
    array([0.5, 2.5])
    """
    return run.avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, out, threads)


def avg_pool1d_grad(
    dy: Any, x_shape: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, layout: str = "NLC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of avg_pool1d: dy (N, OL, C) -> dx (N, L, C) = `x_shape`; see `avg_pool2d_grad`."""
    return run.avg_pool_grad(
        "avg_pool1d_grad", 1, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
    )


def max_pool3d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Largest element of each window along three axes: x (N, D, H, W, C) -> y (N, OD, OH, OW, C); see `max_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops.pool import max_pool3d
    >>> max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), 2).ravel()
    array([7.])
    """
    return run.max_pool(
        "max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out, threads
    )


def max_pool3d_grad(
    dy: Any, x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    layout: str = "NDHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of max_pool3d: dy (N, OD, OH, OW, C), x (N, D, H, W, C) -> dx like x; see `max_pool2d_grad`."""
    return run.max_pool_grad("max_pool3d_grad", 3, dy, x, kernel_size, stride, padding, dilation, ceil_mode, layout, threads)


def avg_pool3d(
    x: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    layout: str = "NDHWC", out: np.ndarray | None = None, threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Mean of each window along three axes: x (N, D, H, W, C) -> y (N, OD, OH, OW, C); see `avg_pool2d`.

    >>> import numpy as np
    >>> from convkit.ops.pool import avg_pool3d
    >>> avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), 2).ravel()
    array([3.5])
    """
    return run.avg_pool("avg_pool3d", 3, x, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, out, threads)


def avg_pool3d_grad(
    dy: Any, x_shape: Any, kernel_size: Any, *, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, layout: str = "NDHWC", threads: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Gradient of avg_pool3d: dy (N, OD, OH, OW, C) -> dx (N, D, H, W, C) = `x_shape`; see `avg_pool2d_grad`."""
    return run.avg_pool_grad(
        "avg_pool3d_grad", 3, dy, x_shape, kernel_size, stride, padding, ceil_mode, count_include_pad, layout, threads
    )
