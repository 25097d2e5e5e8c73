"""Separable convolution: each channel on its own, then all channels of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import check
from convkit.ops.conv import conv2d, planned
from convkit.ops.filters import PackedFilters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convkit.ops.conv import Padding, Size


def separable_conv2d(
    x: ArrayLike,
    depthwise_w: ArrayLike | PackedFilters,
    pointwise_w: ArrayLike | PackedFilters,
    b: ArrayLike | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    pad_mode: str = "constant",
    flip: bool = False,
    layout: str = "NHWC",
    activation: str | None = None,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """2-D depthwise separable convolution: `conv2d` of each channel on its own, then a 1x1 convolution over the channels.

    t = conv2d(x, depthwise_w, groups=C), y = b + conv2d(t, pointwise_w)

    With M filters a channel that is M * (KH * KW + O) multiply-adds for a channel of a pixel instead of KH * KW * O.

    Parameters
    ----------
    x : array_like of shape (N, H, W, C)
        float32 or float64; (N, C, H, W) for layout "NCHW". One image without the axis N gives one.
    depthwise_w : array_like of shape (C * M, KH, KW, 1), or PackedFilters made with groups=C
        M filters for each channel; (C * M, 1, KH, KW) for layout "NCHW".
    pointwise_w : array_like of shape (O, 1, 1, C * M), or PackedFilters
        (O, C * M, 1, 1) for layout "NCHW".
    b : array_like of shape (O,), optional
        Bias.
    stride, padding, dilation, pad_mode, flip
        Of the depthwise convolution, as for `conv2d`.
    layout, activation, out, threads
        As for `conv2d`.

    Returns
    -------
    ndarray of shape (N, OH, OW, O)

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    See Also
    --------
    conv2d

    Notes
    -----
    Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (2017).

    Examples
    --------
    >>> import convkit, numpy as np
    >>> x = np.ones((1, 8, 8, 3), np.float32)
    >>> depthwise, pointwise = np.ones((6, 3, 3, 1), np.float32), np.ones((5, 1, 1, 6), np.float32)
    >>> y = convkit.separable_conv2d(x, depthwise, pointwise)
    >>> y.shape, float(y[0, 0, 0, 0])
    ((1, 6, 6, 5), 54.0)
    """
    op = "separable_conv2d"
    first = check.channels_first(layout, 2, op)
    x = check.array(x, op, "x")
    if x.ndim not in (3, 4):
        raise ValueError(f"{op}: x must be 4-D {check.axes_text(check.LAYOUTS[2][first])}, got {x.ndim}-D {x.shape}")
    images = check.images(x if x.ndim == 4 else x[None], 2, first, op)
    channels = images.shape[-1]
    depthwise = _filters(depthwise_w, channels, first, op, "depthwise_w")
    pointwise = _filters(pointwise_w, 1, first, op, "pointwise_w")
    outputs, (_, *kernel, inner) = depthwise.shape[0], pointwise.shape
    if channels < 1 or outputs % channels:
        raise ValueError(f"{op}: depthwise_w must have a multiple of the {channels} channels of x as filters, got {outputs}")
    if inner != outputs:
        raise ValueError(f"{op}: pointwise_w must have {outputs} input channels like the filters of depthwise_w, got {inner}")
    if kernel != [1, 1]:
        raise ValueError(f"{op}: pointwise_w must have 1x1 filters, got {'x'.join(map(str, kernel))}")
    check.choice(activation, (None, "relu"), op, "activation")
    check.same_dtype(op, x=x, depthwise_w=depthwise, pointwise_w=pointwise)
    if b is not None:
        b = check.bias(b, pointwise.shape[0], op)
        check.same_dtype(op, x=x, b=b)
    planned(op, images.shape, depthwise.shape, stride, padding, dilation, channels)     # its errors name this function
    how = {"stride": stride, "padding": padding, "dilation": dilation, "pad_mode": pad_mode, "flip": flip}
    between = conv2d(x, depthwise, groups=channels, layout=layout, threads=threads, **how)
    return conv2d(between, pointwise, b, layout=layout, activation=activation, out=out, threads=threads)


def _filters(w, groups: int, first: bool, op: str, name: str) -> PackedFilters:
    """`w` as filters that are channels last whatever the layout of the caller."""
    if not isinstance(w, PackedFilters):
        return PackedFilters(check.images(check.array(w, op, name), 2, first, op, name), groups, keeps=False)
    if (w.rank, w.groups) != (2, groups):
        raise ValueError(f"{op}: {name} must be packed from 4-D filters for groups={groups}, got {w.rank + 2}-D ones for "
                         f"groups={w.groups}")  # fmt: skip
    return w
