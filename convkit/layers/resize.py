"""Layers that resize: interpolation, and pixel shuffle."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape, positive
from convkit.ops import interpolate as functions
from convkit.plan.geometry import sizes

__all__ = [
    "PixelShuffle", "PixelUnshuffle", "Resize1D", "Resize2D", "Resize3D", "UpSampling1D", "UpSampling2D", "UpSampling3D",
]  # fmt: skip

AXES = ("length", "height, width", "depth, height, width")
TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


class _Interpolation(Layer):
    """What layers that interpolate share; `how` are the arguments of `resize`."""

    rank = 0

    def __init__(self, how: dict[str, Any]) -> None:
        super().__init__()
        self.how = how

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.rank + 1:
            raise ValueError(f"{type(self).__name__}: the input must be ({AXES[self.rank - 1]}, channels), got {input_shape}")
        return ops.resize(np.empty((0, *input_shape), np.float32), **self.how).shape[1:]  # an empty batch costs no work

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction, int], ...] | None:
        """The pixels that an output reads, and the distance of two outputs; known once the layer is built."""
        if self.input_shape is None:
            return None
        spatial = zip(self.input_shape[:-1], self.output_shape(self.input_shape)[:-1], strict=True)
        return tuple((TAPS[self.how["mode"]], Fraction(n, size), 1) for n, size in spatial)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        shape = x.shape  # the gradient needs no more of x
        how = {name: value for name, value in self.how.items() if name != "size"}

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.resize_grad(dy, shape, **how)

        return ops.resize(x, **self.how), backward if training else None


class _Resize(_Interpolation):
    """Interpolation to a given size, of any rank, channels last.

    Parameters
    ----------
    size : int or tuple of int
        Of the output.
    mode : "linear", "nearest" or "cubic"
    coordinates : str, default "half_pixel"
        As for `convkit.resize`; "align_corners" is another.
    antialias : bool, default False
        Average over as many pixels as an output covers.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import Resize2D
    >>> Resize2D((32, 48)).output_shape((28, 28, 8))
    (32, 48, 8)
    """

    def __init__(
        self, size: Any, *, mode: str = "linear", coordinates: str = "half_pixel", antialias: bool = False
    ) -> None:
        name = type(self).__name__
        size = sizes(size, self.rank, name, "size")
        rule = functions.rule_of(name, mode, coordinates, "round_prefer_floor", antialias, -0.75, False)
        super().__init__({"size": size, "mode": rule.mode, "coordinates": rule.coordinates, "antialias": rule.antialias})

    def config(self) -> dict[str, Any]:
        return {**self.how, "size": list(self.how["size"])}


class _UpSampling(_Interpolation):
    """Interpolation by a factor, of any rank, channels last.

    Parameters
    ----------
    scale : float or tuple of float, default 2
        Size of the output over that of the input, which is rounded down.
    mode : "nearest", "linear" or "cubic"
    coordinates : str, default "half_pixel"
        As for `convkit.resize`; "align_corners" is another.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import UpSampling2D
    >>> UpSampling2D(2, mode="linear").output_shape((28, 28, 8))
    (56, 56, 8)
    """

    def __init__(self, scale: Any = 2, *, mode: str = "nearest", coordinates: str = "half_pixel") -> None:
        name = type(self).__name__
        scale = functions.scale_factors(scale, self.rank, name)
        rule = functions.rule_of(name, mode, coordinates, "round_prefer_floor", False, -0.75, False)
        super().__init__({"scale": scale, "mode": rule.mode, "coordinates": rule.coordinates})

    def config(self) -> dict[str, Any]:
        return {**self.how, "scale": list(self.how["scale"])}


class Resize1D(_Resize):
    __doc__ = _Resize.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class Resize2D(_Resize):
    __doc__ = _Resize.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class Resize3D(_Resize):
    __doc__ = _Resize.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3


class UpSampling1D(_UpSampling):
    __doc__ = _UpSampling.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class UpSampling2D(_UpSampling):
    __doc__ = _UpSampling.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class UpSampling3D(_UpSampling):
    __doc__ = _UpSampling.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3


class PixelShuffle(Layer):
    """Channels become blocks of pixels, ``(N, H, W, C*r*r) -> (N, H*r, W*r, C)``; see `convkit.pixel_shuffle`.

    Parameters
    ----------
    factor : int
        The r above.

    Raises
    ------
    TypeError, ValueError
        If `factor` is no int >= 1, or at build if its square does not divide the channels.

    Examples
    --------
    >>> from convkit.layers import PixelShuffle
    >>> PixelShuffle(2).output_shape((14, 14, 12))
    (28, 28, 3)
    """

    _op, _grad = staticmethod(ops.pixel_shuffle), staticmethod(ops.pixel_unshuffle)

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = positive(factor, type(self).__name__, "factor")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 3:
            raise ValueError(f"{type(self).__name__}: the input must be (height, width, channels), got {input_shape}")
        return self._op(np.empty((0, *input_shape), np.float32), self.factor).shape[1:]

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction, int], ...]:
        return ((1, Fraction(1, self.factor), 1),) * 2

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return self._grad(dy, self.factor)

        return self._op(x, self.factor), backward if training else None


class PixelUnshuffle(PixelShuffle):
    """Blocks of pixels become channels, ``(N, H*r, W*r, C) -> (N, H, W, C*r*r)``; see `convkit.pixel_unshuffle`.

    Parameters
    ----------
    factor : int
        The r above.

    Raises
    ------
    TypeError, ValueError
        If `factor` is no int >= 1, or at build if it does not divide the height and the width.

    Examples
    --------
    >>> from convkit.layers import PixelUnshuffle
    >>> PixelUnshuffle(2).output_shape((28, 28, 3))
    (14, 14, 12)
    """

    _op, _grad = staticmethod(ops.pixel_unshuffle), staticmethod(ops.pixel_shuffle)

    @property
    def receptive_field(self) -> tuple[tuple[int, Fraction, int], ...]:
        return ((self.factor, Fraction(self.factor), 1),) * 2
