"""Filters packed once for many calls."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convkit._core.call import Calls
from convkit.ops import check
from convkit.plan import geometry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


class PackedFilters:
    """Filters of a convolution, with the packed form that each algorithm used last for each pass.

    Made by `pack_filters`; accepted wherever `w` is. `w` is channels last whatever the layout of the caller.
    """

    def __init__(self, w: np.ndarray, groups: int, keeps: bool = True):
        self.w, self.groups, self.keeps = w, groups, keeps          # keeps: it lives longer than a call
        self.rank = w.ndim - 2
        self._packs: dict[tuple, tuple[object, np.ndarray]] = {}
        self.calls = Calls()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the filters, channels last: (O, *kernel, I / groups)."""
        return self.w.shape

    @property
    def dtype(self) -> np.dtype:
        return self.w.dtype

    @property
    def nbytes(self) -> int:
        """Bytes held: the filters and their packed forms."""
        twin = vars(self).get("flipped")
        packs = (*self._packs.values(), *(twin._packs.values() if twin else ()))
        return self.w.nbytes + sum(pack.nbytes for _, pack in packs)

    @cached_property
    def flipped(self) -> PackedFilters:
        """The same filters, turned around along their spatial axes; a view with packed forms of its own."""
        return PackedFilters(np.flip(self.w, tuple(range(1, self.rank + 1))), self.groups, self.keeps)

    @cached_property
    def finite(self) -> bool:
        # A sum that is finite has finite terms; one that is not may have overflowed.
        with np.errstate(over="ignore", invalid="ignore"):
            total = self.w.sum()
        return bool(np.isfinite(total) or np.isfinite(self.w).all())

    def __repr__(self):
        return f"PackedFilters(shape={self.shape}, dtype={self.dtype})"

    def held(self, slot: tuple, key: object) -> np.ndarray | None:
        """The packed form kept for `slot`, an algorithm and its pass, if it was made for `key`."""
        held, pack = self._packs.get(slot, (None, None))
        return pack if held == key else None

    def keep(self, slot: tuple, key: object, pack: np.ndarray) -> np.ndarray:
        self._packs[slot] = key, pack
        return pack

    def of(self, slot: tuple, key: object, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The packed form kept for `slot`, or else a new one."""
        pack = self.held(slot, key)
        return self.keep(slot, key, make()) if pack is None else pack


def pack_filters(w: ArrayLike, *, groups: int = 1, layout: str | None = None) -> PackedFilters:
    """Copies filters into an object that any convolution takes in place of `w`, packing them only once.

    Parameters
    ----------
    w : array_like of shape (O, *kernel, I / groups), or (O, I / groups, *kernel) for a channels-first `layout`
        float32 or float64, with one to three spatial axes.
    groups : int
        As the convolution will be given.
    layout : str, optional
        Order of the axes of `w`, as for the convolution: "NLC", "NHWC" or "NDHWC" (the default), or "NCL", "NCHW", "NCDHW".

    Returns
    -------
    PackedFilters
        A snapshot: later changes of `w` do not show in it.

    Raises
    ------
    TypeError, ValueError
        Where `w` is not an array of floats with three to five axes, or `groups` or `layout` does not fit it.

    Examples
    --------
    >>> import convkit, numpy as np
    >>> w = convkit.pack_filters(np.ones((4, 3, 3, 2), np.float32))
    >>> convkit.conv2d(np.ones((1, 5, 5, 2), np.float32), w).shape
    (1, 3, 3, 4)
    """
    op = "pack_filters"
    w = check.array(w, op, "w")
    rank = w.ndim - 2
    if rank not in check.LAYOUTS:
        raise ValueError(f"{op}: w must have 3 to 5 axes, got {w.ndim}-D {w.shape}")
    first = check.channels_first(layout, rank, op)
    groups = geometry.integer(groups, op, "groups")
    w = check.images(w, rank, first, op, "w")
    if groups < 1 or len(w) % groups:
        raise ValueError(f"{op}: groups must divide the {len(w)} output channels, got {groups}")
    return PackedFilters(np.array(w, order="C"), groups)
