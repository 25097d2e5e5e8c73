"""Errors about arrays, and the arrays themselves: one clear message before any work, then nothing can fail.

Inside, every array is channels last; `layout` only says how the caller's axes are named.
"""

from __future__ import annotations

import math
import numbers
from functools import partial
from math import prod

import numpy as np

from convkit._core import layout
from convkit.ops import pages
from convkit.plan import geometry

LAYOUTS = {1: ("NLC", "NCL"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
CHANNELS_LAST = {FLOATS[0]: layout.channels_last["float"], FLOATS[1]: layout.channels_last["double"]}
ALIGNMENT = 64                                          # bytes; NumPy promises 16
SMALL = 1024                                            # elements: not worth aligning


def planned(op: str, plan, *arguments):
    """``plan(*arguments)``, with the op in front of its errors about shapes."""
    try:
        return plan(*arguments)
    except ValueError as error:
        raise ValueError(f"{op}: {error}") from None


def channels_first(name, rank: int, op: str) -> bool:
    """Whether the layout `name` puts the channels before the spatial axes."""
    last, first = LAYOUTS[rank]
    if name is None:
        return False
    if not isinstance(name, str):
        raise TypeError(f"{op}: layout must be {last!r} or {first!r}, got {name!r}")
    if name not in (last, first):
        raise ValueError(f"{op}: layout must be {last!r} or {first!r}, got {name!r}")
    return name == first


def choice(value, allowed, op: str, name: str):
    """`value` if it is one of `allowed`."""
    if not isinstance(value, str) and value not in allowed:
        raise TypeError(f"{op}: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    if value not in allowed:
        raise ValueError(f"{op}: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def array(value, op: str, name: str, dtypes=FLOATS) -> np.ndarray:
    """`value` as a plain, native, aligned array of one of `dtypes`; no number is changed on the way."""
    x = value if type(value) is np.ndarray else as_array(value, op, name)
    if x.dtype in dtypes and x.flags.aligned:           # a byte-swapped dtype is not `in`
        return x
    native = x.dtype.newbyteorder("=")
    if native not in dtypes:
        raise TypeError(f"{op}: {name} must be {wanted(dtypes)}, got {x.dtype}{hint(x.dtype, dtypes)}")
    return np.require(x, native, "A")


def as_array(value, op: str, name: str) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} is a masked array; masked arrays are not supported; use .filled()")
    try:
        x = np.asarray(value)
    except ValueError as error:                         # ragged nesting
        raise ValueError(f"{op}: {name} is not an array: {error}") from None
    if x.dtype == object:
        raise TypeError(f"{op}: {name} must be an array of numbers, got {type(value).__name__}")
    return x.view(np.ndarray)


def wanted(dtypes) -> str:
    return "float32 or float64" if tuple(dtypes) == FLOATS else ", ".join(str(dtype) for dtype in dtypes)


def hint(dtype: np.dtype, dtypes) -> str:
    """The cast to write, where a cast to float32 keeps the sense."""
    return "; write .astype(np.float32)" if dtype.kind in "biuf" and FLOATS[0] in dtypes else ""


def same_dtype(op: str, **arrays: np.ndarray | None) -> None:
    """Refuses to mix precisions: that would be a hidden copy."""
    first, x = "", None
    for name, other in arrays.items():
        if x is None:
            first, x = name, other
        elif other is not None and other.dtype != x.dtype:
            raise TypeError(f"{op}: {first} and {name} must have the same dtype, got {x.dtype} and {other.dtype}")


def images(x: np.ndarray, rank: int, first: bool, op: str, name: str = "x") -> np.ndarray:
    """A view of a batch of images with the channels last."""
    if x.ndim != rank + 2:
        raise ValueError(f"{op}: {name} must be {rank + 2}-D {axes_text(LAYOUTS[rank][first])}, got {x.ndim}-D {x.shape}")
    return np.moveaxis(x, 1, -1) if first else x


def batch_of_one(out):
    """`out` for one image, as the batch that it is worked out as; what is no array is left to `output`."""
    return out[None] if isinstance(out, np.ndarray) else out


def named(shape, first: bool) -> tuple[int, ...]:
    """A channels-last shape in the caller's order of axes."""
    return (shape[0], shape[-1], *shape[1:-1]) if first else tuple(shape)


def shapes(x_shape, w_shape, layout_name, op: str) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
    """Whether channels come first, and both shapes channels last, of a convolution that is only named by shapes."""
    x_shape, w_shape = shape_of(x_shape, op, "x_shape"), shape_of(w_shape, op, "w_shape")
    rank = len(x_shape) - 2
    if rank not in LAYOUTS:
        raise ValueError(f"{op}: x_shape must have 3 to 5 sizes, got {x_shape}")
    if len(w_shape) != rank + 2:
        raise ValueError(f"{op}: w_shape must have {rank + 2} sizes like x_shape, got {w_shape}")
    first = channels_first(layout_name, rank, op)
    if first:
        x_shape, w_shape = ((s[0], *s[2:], s[1]) for s in (x_shape, w_shape))
    return first, x_shape, w_shape


def shape_of(shape, op: str, name: str) -> tuple[int, ...]:
    if not hasattr(shape, "__len__") or isinstance(shape, str):
        raise TypeError(f"{op}: {name} must be a sequence of ints, got {shape!r}")
    return geometry.sizes(shape, len(shape), op, name, least=0)


def bias(b, outputs: int, op: str) -> np.ndarray:
    b = array(b, op, "b")
    if b.shape != (outputs,):
        raise ValueError(f"{op}: bias must have shape ({outputs},), got {b.shape}")
    return np.ascontiguousarray(b)


def residual(value, shape, first: bool, op: str) -> np.ndarray:
    """What is added to a result of channels-last `shape`, as a view with the channels last."""
    added = images(array(value, op, "residual"), len(shape) - 2, first, op, "residual")
    if added.shape != tuple(shape):
        got = named(added.shape, first)
        raise ValueError(f"{op}: residual must have the shape of the output {named(shape, first)}, got {got}")
    return added


def axes_text(name: str) -> str:
    return "(" + ", ".join(name) + ")"


def lifted(x: np.ndarray | None) -> np.ndarray | None:
    """A view of channels-last (N, ..., C) as (N, D, H, W, C)."""
    return None if x is None else x[(slice(None), *(None,) * (5 - x.ndim))]


def lifted_shape(shape) -> tuple[int, ...]:
    return (shape[0], *(1,) * (5 - len(shape)), *shape[1:])


def readable(x: np.ndarray, threads: int = 1) -> np.ndarray:
    """`x` (channels last) itself if neighbouring channels are neighbours in memory, else a copy for which they are."""
    if x.shape[-1] <= 1 or x.strides[-1] == x.itemsize:
        return x
    if x.dtype not in FLOATS or not x.size:
        return np.ascontiguousarray(x)
    y = empty(x.shape, x.dtype, "convkit")
    CHANNELS_LAST[x.dtype](lifted(x), lifted(y), threads)
    return y


def empty(shape, dtype, op: str, zeros: bool = False) -> np.ndarray:
    """A new array; unless it is small it starts on a cache line."""
    count, make = prod(shape), np.zeros if zeros else np.empty
    if 0 < count < SMALL:
        return make(shape, dtype)
    dtype = np.dtype(dtype)
    geometry.check_bytes(shape, dtype.itemsize, op)
    return aligned(shape, count, dtype, zeros) if count else make(shape, dtype)


def aligned(shape: tuple[int, ...], count: int, dtype: np.dtype, zeros: bool = False) -> np.ndarray:
    """`empty` for a shape that was checked and is not small."""
    make, spare = np.zeros if zeros else np.empty, ALIGNMENT // dtype.itemsize
    size = (count + spare) * dtype.itemsize
    again = pages.current() if size >= pages.LEAST else None
    if again is None:
        buffer = make(count + spare, dtype)
    else:
        buffer = again.take(size).view(dtype)
        if zeros:
            buffer.fill(0)
    start = -layout.address(buffer) % ALIGNMENT // dtype.itemsize
    return buffer[start : start + count].reshape(shape)


def maker(shape: tuple[int, ...], dtype: np.dtype):
    """`empty` for a shape that was checked."""
    count = prod(shape)
    return partial(aligned, shape, count, dtype) if count >= SMALL else partial(np.empty, shape, dtype)


def output(out, shape, dtype, first: bool, inputs, op: str) -> np.ndarray | None:
    """`out` as a channels-last view that may be written at once, or None where a new array must be made and copied.

    Raises if `out` cannot hold the result. `shape` is channels last.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{op}: out must be a numpy array, got {type(out).__name__}")
    rank = len(shape) - 2
    expected = named(shape, first)
    if out.dtype != dtype:
        raise TypeError(f"{op}: out must have dtype {dtype}, got {out.dtype}")
    if out.shape != expected:
        raise ValueError(f"{op}: out must have shape {expected}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{op}: out is read-only")
    if out.size > 1 and not out.flags.c_contiguous and overlaps_itself(out):
        raise ValueError(f"{op}: out overlaps itself (strides {out.strides})")
    y = images(out.view(np.ndarray), rank, first, op, "out")
    direct = out.flags.aligned and (y.shape[-1] <= 1 or y.strides[-1] == y.itemsize)
    return y if direct and not any(np.may_share_memory(y, x) for x in inputs if x is not None) else None


def result(out, shape, dtype, first: bool, inputs, op: str) -> np.ndarray:
    """Where to write a result of channels-last `shape`: `out` itself if it can be written at once, else a new array."""
    y = None if out is None else output(out, shape, dtype, first, inputs, op)
    return empty(shape, dtype, op) if y is None else y


def returned(y: np.ndarray, out, first: bool) -> np.ndarray:
    """What `result` gave, now filled, in the caller's order of axes; in `out` if there is one."""
    y = np.moveaxis(y, -1, 1) if first else y
    if out is None:
        return y
    if not np.may_share_memory(y, out):                 # `out` could not be written at once
        out[...] = y
    return out


def gradient(dy: np.ndarray, shape, first: bool, op: str) -> None:
    """Refuses a gradient, channels last, that has not the shape of the output."""
    if dy.shape != shape:
        raise ValueError(f"{op}: dy must have the shape of the output {named(shape, first)}, got {named(dy.shape, first)}")


def overlaps_itself(x: np.ndarray) -> bool:
    """Whether two elements of `x` share memory: exact for arrays made by slicing and transposing."""
    reach = x.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(x.strides, x.shape, strict=True) if size > 1):
        if stride < reach:
            return True
        reach = stride * (size - 1) + reach
    return False


def flag(value, op: str, name: str) -> bool:
    """`value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} must be True or False, got {value!r}")
    return bool(value)


def number(value, op: str, name: str, least: float, most: float = math.inf, above: bool = False) -> float:
    """`value` as a finite float in least..most, or `above` least."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not (least < value if above else least <= value) or not value <= most or math.isinf(value):
        wanted = f"{'>' if above else '>='} {least:g}" + (" and finite" if most == math.inf else f" and <= {most:g}")
        raise ValueError(f"{op}: {name} must be {wanted}, got {value}")
    return float(value)
