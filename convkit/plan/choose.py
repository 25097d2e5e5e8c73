"""Which algorithm runs a pass of a convolution: the one that was named, or the fastest one that is right for the shape.

An algorithm is a module of this folder with two functions of a convolution and one of its passes ("forward", "input" for the
gradient of the input, "filters" for that of the filters):

refusal(conv, which)           why it cannot run the pass, or None
pays(conv, which, itemsize)    whether it beats those after it in `ALGORITHMS`

The choice reads shapes alone; never the threads, nor, for a result (see `Conv.is_gradient`), the batch: both would show in the
bits.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

# The first that fits and pays is chosen.
ALGORITHMS = ("depthwise", "grouped", "im2col", "winograd", "fft", "first", "few", "direct", "winograd2")
ROUNDS_MORE = ("winograd", "winograd2", "fft")          # not under accuracy("strict")


@cache
def modules() -> dict[str, ModuleType]:
    """The algorithms by name. They are imported for the first convolution: who only imports convkit does not wait for them."""
    from convkit.plan import depthwise, direct, few, fft, first, grouped, im2col, winograd, winograd2

    return dict(zip(ALGORITHMS, (depthwise, grouped, im2col, winograd, fft, first, few, direct, winograd2), strict=True))


def algorithm(conv, which: str, name: str, itemsize: int, strict: bool) -> str:
    """The name of the algorithm for a pass of `conv` where the caller asked for `name`."""
    if name != "auto":
        reason = modules()[name].refusal(conv, which)
        if reason is None and strict and name in ROUNDS_MORE:
            reason = "accuracy is 'strict'"
        if reason is not None:
            raise ValueError(f"algorithm {name!r} cannot run this {PASSES[which]}: {reason}")
        return name
    key = which, itemsize, strict
    if key not in conv.chosen:
        conv.chosen[key] = next(
            name
            for name, runs in modules().items()
            if not (strict and name in ROUNDS_MORE) and runs.refusal(conv, which) is None and runs.pays(conv, which, itemsize)
        )
    return conv.chosen[key]


PASSES = {"forward": "convolution", "input": "gradient of the input", "filters": "gradient of the filters"}
