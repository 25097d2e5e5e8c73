"""convkit's ops between the convolutions, each as a function of no argument for the result and one for result and gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..definition_ops import EPS, GROUPS
from ..shapes import Op
from .data import aligned, arrays, last

Pair = tuple[Callable[[], object], Callable[[], object]]


def prepare(ck, case: Op, dtype: str, threads: int) -> Pair:
    """The two functions; results go into memory that is reused where the function takes `out`."""
    data = arrays(case, dtype)
    x, dy = last(data["x"]), last(data["dy"])
    if case.family == "cross_entropy":
        return _cross_entropy(ck, x, data["labels"], threads)
    if case.family.startswith("resize"):
        return _resize(ck, case, x, dy, threads)
    if case.family in ("batch_norm_relu", "layer_norm", "group_norm"):
        return _norm(ck, case, x, dy, (data["w"], data["b"]), threads)
    function, gradient = getattr(ck, case.family), getattr(ck, case.family + "_grad")
    y, dx, of_result = aligned(x), aligned(x), case.family in ("softmax", "tanh", "relu")

    def both():
        function(x, out=y, threads=threads)
        return gradient(dy, y if of_result else x, out=dx, threads=threads)

    return lambda: function(x, out=y, threads=threads), both


def _cross_entropy(ck, x: np.ndarray, labels: np.ndarray, threads: int) -> Pair:
    def run(part: int):
        with ck.threads(threads):
            return ck.losses.cross_entropy(x, labels)[part]

    return lambda: run(0), lambda: run(1)


def _resize(ck, case: Op, x: np.ndarray, dy: np.ndarray, threads: int) -> Pair:
    mode, y, size = case.family.split("_")[1], aligned(dy), dy.shape[1:-1]

    def forward():
        return ck.resize(x, size, mode=mode, out=y, threads=threads)

    def both():
        forward()
        return ck.resize_grad(dy, x.shape, mode=mode, threads=threads)

    return forward, both


def _norm(ck, case: Op, x: np.ndarray, dy: np.ndarray, affine: tuple[np.ndarray, np.ndarray], threads: int) -> Pair:
    y, how = aligned(x), {"eps": EPS, "threads": threads}
    if case.family == "batch_norm_relu":
        between: tuple = ()
        function, gradient = ck.batch_norm, ck.batch_norm_grad
        how |= {"training": True, "activation": "relu"}
        weights = {"weight": affine[0], "bias": affine[1]}
    else:
        between = (x.shape[-1],) if case.family == "layer_norm" else (GROUPS,)
        function, gradient, weights = getattr(ck, case.family), getattr(ck, case.family + "_grad"), {"weight": affine[0]}

    def both():
        _, stats = function(x, *between, weight=affine[0], bias=affine[1], return_stats=True, out=y, **how)
        return gradient(dy, x, *between, **weights, stats=stats, **how)[0]

    return lambda: function(x, *between, weight=affine[0], bias=affine[1], out=y, **how), both
