"""Layers that pad and crop."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import ops
from convkit.layers.base import Backward, Layer, Shape
from convkit.ops import check, padding_kinds
from convkit.ops.padding import MODES, pairs

__all__ = ["Crop1D", "Crop2D", "Crop3D", "Pad1D", "Pad2D", "Pad3D", "ZeroPad1D", "ZeroPad2D", "ZeroPad3D"]

DEFINED = tuple(mode for mode in MODES if mode != "empty")
AXES = ("length", "height, width", "depth, height, width")


class _Border(Layer):
    """What the layers of this file share."""

    rank = 0

    def _run(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.rank + 1:
            raise ValueError(f"{type(self).__name__}: the input must be ({AXES[self.rank - 1]}, channels), got {input_shape}")
        return self._run(np.empty((0, *input_shape), np.float32)).shape[1:]  # an empty batch costs no work


class _Pad(_Border):
    """Pixels added around each input, of any rank, channels last.

    Parameters
    ----------
    padding : int, tuple of int or pairs ``((before, after), ...)``, default 1
    mode : str, default "constant"
        As for `numpy.pad`, but "empty"; the constant, and the end of a "linear_ramp", is 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import Pad2D
    >>> Pad2D(((1, 2), (0, 3)), mode="reflect").output_shape((28, 28, 8))
    (31, 31, 8)
    """

    def __init__(self, padding: Any = 1, *, mode: str = "constant") -> None:
        super().__init__()
        name = type(self).__name__
        self.padding = pairs(padding, self.rank, name, "padding")
        self.mode = check.choice(mode, DEFINED, name, "mode")

    def config(self) -> dict[str, Any]:
        return {"padding": list(map(list, self.padding)), "mode": self.mode}

    def _run(self, x: np.ndarray) -> np.ndarray:
        return ops.pad(x, self.padding, mode=self.mode)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        kept = x if self.mode in padding_kinds.NEED_X else None

        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.pad_grad(dy, self.padding, kept, mode=self.mode)

        return self._run(x), backward if training else None


class _ZeroPad(_Pad):
    """Zeros added around each input, of any rank, channels last.

    Parameters
    ----------
    padding : int, tuple of int or pairs ``((before, after), ...)``, default 1

    Raises
    ------
    TypeError, ValueError
        If `padding` is not one of the above, or at build if the input does not fit.

    Examples
    --------
    >>> from convkit.layers import ZeroPad2D
    >>> ZeroPad2D(1).output_shape((28, 28, 8))
    (30, 30, 8)
    """

    def __init__(self, padding: Any = 1) -> None:
        super().__init__(padding)

    def config(self) -> dict[str, Any]:
        return {"padding": list(map(list, self.padding))}


class _Crop(_Border):
    """Pixels cut off around each input, of any rank, channels last.

    Parameters
    ----------
    cropping : int, tuple of int or pairs ``((before, after), ...)``, default 1

    Raises
    ------
    TypeError, ValueError
        If `cropping` is not one of the above, or at build if it leaves nothing of the input.

    Examples
    --------
    >>> from convkit.layers import Crop2D
    >>> Crop2D(((0, 1), (2, 3))).output_shape((28, 28, 8))
    (27, 23, 8)
    """

    def __init__(self, cropping: Any = 1) -> None:
        super().__init__()
        self.cropping = pairs(cropping, self.rank, type(self).__name__, "cropping")

    def config(self) -> dict[str, Any]:
        return {"cropping": list(map(list, self.cropping))}

    def _run(self, x: np.ndarray) -> np.ndarray:
        return ops.crop(x, self.cropping)

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Backward | None]:
        def backward(dy: np.ndarray, needs_input: bool) -> np.ndarray:
            return ops.pad(dy, self.cropping)

        return self._run(x), backward if training else None


class Pad1D(_Pad):
    __doc__ = _Pad.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class Pad2D(_Pad):
    __doc__ = _Pad.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class Pad3D(_Pad):
    __doc__ = _Pad.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3


class ZeroPad1D(_ZeroPad):
    __doc__ = _ZeroPad.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class ZeroPad2D(_ZeroPad):
    __doc__ = _ZeroPad.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class ZeroPad3D(_ZeroPad):
    __doc__ = _ZeroPad.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3


class Crop1D(_Crop):
    __doc__ = _Crop.__doc__.replace("of any rank", "of sequences (N, L, C)")
    rank = 1


class Crop2D(_Crop):
    __doc__ = _Crop.__doc__.replace("of any rank", "of images (N, H, W, C)")
    rank = 2


class Crop3D(_Crop):
    __doc__ = _Crop.__doc__.replace("of any rank", "of volumes (N, D, H, W, C)")
    rank = 3
