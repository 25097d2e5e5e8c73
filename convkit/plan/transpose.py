"""What a transposed convolution looks like: the gradient of the input of the convolution that has its filters.

x (N, *size, I) stands where that convolution has its result, y (N, *out, O) where it has its input, and the filters
(I, *kernel, O / groups) are that convolution's as they are. So every pass is one that the engine already has: y is the
gradient of the input, dx the forward pass, dw the gradient of the filters with x and dy exchanged.
"""

from __future__ import annotations

from functools import lru_cache

from convkit.plan import geometry
from convkit.plan.conv import PLANS, Conv
from convkit.plan.geometry import Axis


@lru_cache(maxsize=PLANS)
def conv_transpose(x_shape, w_shape, stride, padding, output_padding, dilation, groups: int) -> Conv:
    """The convolution of which this is the transpose; arguments as from `geometry.sizes` and `geometry.padding_of`."""
    rank = len(x_shape) - 2
    (batch, *spatial, channels), (inputs, *kernel, depth) = x_shape, w_shape
    geometry.check_filters(kernel, groups)
    if inputs != channels:
        raise ValueError(f"w has {inputs} input channels, x has {channels}")
    if channels % groups:
        raise ValueError(f"groups must divide the input channels, got groups={groups} for {channels}")
    each = zip(geometry.AXES[rank], spatial, kernel, stride, output_padding, dilation, strict=True)
    pads = (padding,) * rank if isinstance(padding, str) else padding
    axes = tuple(axis(*one, pad) for one, pad in zip(each, pads, strict=True))
    flat = (Axis(1, 1, 1, 1, 0, 0, 1),) * (3 - rank)
    return Conv(batch, depth * groups, channels, groups, (*flat, *axes), rank, transposed=True)


def axis(name: str, size: int, kernel: int, stride: int, extra: int, dilation: int, pads) -> Axis:
    """The window of the convolution that makes `size` pixels of (size - 1) * stride + effective kernel - lo - hi + extra."""
    reach = geometry.effective(kernel, dilation)
    if reach > geometry.LARGEST:
        raise ValueError(f"effective kernel size {reach} along {name} is more than {geometry.LARGEST}")
    if size < 1:
        raise ValueError(f"x must have at least one pixel along {name}, got {size}")
    if extra >= max(stride, dilation):
        raise ValueError(f"output_padding along {name} must be from 0 to {max(stride, dilation) - 1}, less than the larger of "
                         f"stride {stride} and dilation {dilation}, got {extra}")  # fmt: skip
    if pads == "same":                                  # size * stride pixels, those of a "same" convolution back to `size`
        if extra:
            raise ValueError(f"output_padding must be 0 for padding='same', got {extra} along {name}")
        out = size * stride
        lo, hi = geometry.named_padding("same", out, kernel, stride, dilation)
    else:
        lo, hi = (0, 0) if pads == "valid" else pads
        out = (size - 1) * stride + reach - lo - hi + extra
    if out < 1:
        raise ValueError(f"the output size along {name} would be {out}: the padding there must be at most {out + lo + hi - 1} "
                         f"in all, got {lo + hi}")  # fmt: skip
    if lo + out + hi > geometry.LARGEST:
        raise ValueError(f"padded output size {lo + out + hi} along {name} is more than {geometry.LARGEST}")
    # What cannot matter is made small, so that the offsets fit: the stride of one window, the dilation of one tap.
    return Axis(out, kernel, min(stride, lo + out + hi) if size == 1 else stride, dilation if kernel > 1 else 1, lo, hi, size)
