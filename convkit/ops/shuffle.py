"""Pixel shuffle: channels become pixels, and pixels channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops import check
from convkit.plan import geometry

__all__ = ["pixel_shuffle", "pixel_unshuffle"]

ORDERS = ("CRD", "DCR")


def pixel_shuffle(
    x: Any, factor: int, *, order: str = "CRD", layout: str = "NHWC", out: np.ndarray | None = None
) -> np.ndarray:
    """Rearranges channels into blocks of pixels: ``y[n, h*r + i, w*r + j, c] = x[n, h, w, (c*r + i)*r + j]``.

    Its gradient is `pixel_unshuffle` of dy, and the other way round.

    Parameters
    ----------
    x : array_like (N, H, W, C*r*r), float32 or float64
    factor : int
        The r above.
    order : "CRD" or "DCR"
        Which channel goes where, as ONNX names it: "CRD" as above, as in PyTorch; "DCR" reads channel ``(i*r + j)*C + c``, as
        in TensorFlow's depth_to_space.
    layout : "NHWC" or "NCHW"
    out : ndarray of the result's shape and dtype, optional

    Returns
    -------
    ndarray (N, H*r, W*r, C)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, `r*r` does not divide the channels, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import pixel_shuffle
    >>> pixel_shuffle(np.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0]
    array([[0., 1.],
           [2., 3.]])
    """
    op = "pixel_shuffle"
    first, x, r = _images(op, x, factor, order, layout)
    n, h, w, channels = x.shape
    if channels % (r * r):
        raise ValueError(f"{op}: factor*factor = {r * r} must divide the {channels} channels")
    c = channels // (r * r)
    y = check.result(out, (n, h * r, w * r, c), x.dtype, first, (x,), op)
    if y.size:
        blocks = x.reshape(n, h, w, *((c, r, r) if order == "CRD" else (r, r, c)))
        axes = (0, 1, 4, 2, 5, 3) if order == "CRD" else (0, 1, 3, 2, 4, 5)
        _write(y, blocks.transpose(axes))
    return check.returned(y, out, first)


def pixel_unshuffle(
    x: Any, factor: int, *, order: str = "CRD", layout: str = "NHWC", out: np.ndarray | None = None
) -> np.ndarray:
    """Rearranges blocks of pixels into channels: the inverse, and the gradient, of `pixel_shuffle`.

    Parameters
    ----------
    x : array_like (N, H*r, W*r, C), float32 or float64
    factor, order, layout, out
        As in `pixel_shuffle`.

    Returns
    -------
    ndarray (N, H, W, C*r*r)

    Raises
    ------
    TypeError, ValueError
        As in `pixel_shuffle`, and if `factor` does not divide the height and the width.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import pixel_unshuffle
    >>> pixel_unshuffle(np.arange(4.0).reshape(1, 2, 2, 1), 2).ravel()
    array([0., 1., 2., 3.])
    """
    op = "pixel_unshuffle"
    first, x, r = _images(op, x, factor, order, layout)
    n, height, width, c = x.shape
    if height % r or width % r:
        raise ValueError(f"{op}: factor {r} must divide the height {height} and the width {width}")
    h, w = height // r, width // r
    y = check.result(out, (n, h, w, c * r * r), x.dtype, first, (x,), op)
    if y.size:
        axes = (0, 1, 3, 5, 2, 4) if order == "CRD" else (0, 1, 3, 2, 4, 5)
        _write(y, x.reshape(n, h, r, w, r, c).transpose(axes))
    return check.returned(y, out, first)


def _images(op: str, x: Any, factor: Any, order: Any, layout: Any) -> tuple[bool, np.ndarray, int]:
    first = check.channels_first(layout, 2, op)
    x = check.images(check.array(x, op, "x"), 2, first, op)
    (r,) = geometry.sizes(factor, 1, op, "factor")
    check.choice(order, ORDERS, op, "order")
    return first, x, r


def _write(y: np.ndarray, blocks: np.ndarray) -> None:
    """y = blocks, six axes of which make the four of y."""
    if y.flags.c_contiguous:
        y.reshape(blocks.shape)[...] = blocks
    else:
        y[...] = blocks.reshape(y.shape)
