"""Arguments that are sizes, and the shape arithmetic of sliding windows, on Python ints of any size.

Errors about arguments name the op; those about shapes do not know it, and `ops/check.py` puts it in front.
"""

import operator
from math import prod
from typing import NamedTuple

import numpy as np

LARGEST = 2**63 - 1                                     # of an offset or a size in bytes
AXES = {1: "l", 2: "hw", 3: "dhw"}


def integer(value, op: str, name: str, wanted: str = "an int") -> int:
    """`value` as an int, by ``operator.index``; a bool is not a size."""
    if type(value) is int:
        return value
    if not isinstance(value, (bool, np.bool_)):         # NumPy 1's bool has an __index__
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{op}: {name} must be {wanted}, got {value!r}")


def is_integer(value) -> bool:
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def sizes(value, n: int, op: str, name: str, least: int = 1) -> tuple[int, ...]:
    """`value`, an int for all axes or a sequence of `n` ints, as `n` ints of at least `least`."""
    if type(value) is int and value >= least:
        return (value,) * n
    if type(value) is tuple and len(value) == n and all(type(item) is int and item >= least for item in value):
        return value
    wanted = "an int" if n == 1 else f"an int or {n} ints"
    if is_integer(value):
        result = (integer(value, op, name, wanted),) * n
    elif isinstance(value, (str, bytes, dict, set, float, complex)) or not hasattr(value, "__len__"):
        raise TypeError(f"{op}: {name} must be {wanted}, got {value!r}")
    elif len(value) != n:
        raise ValueError(f"{op}: {name} must be {wanted}, got {value!r}")
    else:
        result = tuple(integer(item, op, name, wanted) for item in value)
    if min(result, default=least) < least:
        raise ValueError(f"{op}: {name} must be >= {least}, got {value!r}")
    return result


class Axis(NamedTuple):
    """A window that slides along one axis: `lo` and `hi` are the padding, `out` the number of positions."""

    size: int
    kernel: int
    stride: int
    dilation: int
    lo: int
    hi: int
    out: int


def effective(kernel: int, dilation: int) -> int:
    """Pixels from the first tap of a window to its last."""
    return dilation * (kernel - 1) + 1


def named_padding(name: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding that a name stands for, along one axis."""
    reach = effective(kernel, dilation) - 1
    if name == "same":                                  # ceil(size / stride) positions, the extra at the end
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        return total // 2, total - total // 2
    return {"valid": (0, 0), "full": (reach, reach), "causal": (reach, 0)}[name]


def padding_of(value, n: int, op: str, transposed: bool = False) -> str | tuple[tuple[int, int], ...]:
    """`padding=` of any form as a name or as one pair (lo, hi) per axis."""
    if type(value) is int and value >= 0:
        return ((value, value),) * n
    if isinstance(value, str):
        names = ("valid", "same") + (() if transposed else ("full", "causal") if n == 1 else ("full",))
        if value not in names:
            raise ValueError(f"{op}: padding must be an int or one of {', '.join(map(repr, names))}, got {value!r}")
        return value
    if not is_integer(value) and hasattr(value, "__len__") and any(hasattr(item, "__len__") for item in value):
        if len(value) != n:
            raise ValueError(f"{op}: padding must have {n} pairs (lo, hi), got {value!r}")
        return tuple(sizes(pair, 2, op, "padding", least=0) for pair in value)
    return tuple((pad, pad) for pad in sizes(value, n, op, "padding", least=0))


def axes(shape, kernel, stride, padding, dilation, ceil_mode: bool = False) -> tuple[Axis, ...]:
    """The windows along each axis of an input with spatial `shape`.

    `kernel`, `stride` and `dilation` are as from `sizes`, `padding` is as from `padding_of`.
    """
    result = []
    for i, one in enumerate(zip(shape, kernel, stride, dilation, strict=True)):
        pads = named_padding(padding, *one) if isinstance(padding, str) else padding[i]
        result.append(axis(AXES[len(shape)][i], *one, pads, ceil_mode))
    return tuple(result)


def axis(name, size, kernel, stride, dilation, pads, ceil_mode: bool) -> Axis:
    """One window: out = floor((size + lo + hi - effective kernel) / stride) + 1, or ceil."""
    lo, hi = pads
    reach, padded = effective(kernel, dilation), size + lo + hi
    if reach > LARGEST:
        raise ValueError(f"effective kernel size {reach} along {name} is more than {LARGEST}")
    if padded > LARGEST:
        raise ValueError(f"padded input size {padded} along {name} is more than {LARGEST}")
    if reach > padded:
        raise ValueError(f"the kernel is larger than the padded input along {name}: {reach} (effective) and {padded}")
    room = padded - reach
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (out - 1) * stride >= size + lo:   # a window that would start in the right padding
        out -= 1
    # What cannot matter is made small, so that the offsets below fit: the dilation of one tap, the stride of one window.
    return Axis(size, kernel, min(stride, max(padded, 1)) if out <= 1 else stride, dilation if kernel > 1 else 1, lo, hi, out)


def check_filters(kernel, groups: int) -> None:
    if groups < 1:
        raise ValueError(f"groups must be >= 1, got {groups}")
    if 0 in kernel:
        raise ValueError(f"w has an empty kernel {tuple(kernel)}")


def check_bytes(shape, itemsize: int, op: str, what: str = "output") -> None:
    """Refuses a result that no address space can hold; a smaller one is left to the allocator."""
    total = prod(shape) * itemsize
    if total > LARGEST:
        raise ValueError(f"{op}: {what} {tuple(shape)} needs {total} bytes")
