"""convkit itself: channels last, packed filters, the algorithm that it chooses unless one is named."""

from __future__ import annotations

import numpy as np

from ..shapes import Conv, Network, Op, Pool
from .data import Prepared, arrays, first, last


class Convkit:
    """This package, with `pack_filters` for the forward pass of convolutions, and results in memory that is reused."""

    install = "pip install ."

    def __init__(self, threads: int, algorithm: str = "auto") -> None:
        import convkit

        self.ck, self.how, self.algorithm, self.count = convkit, {"threads": threads}, algorithm, threads
        self.versions = {"convkit": convkit.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        x, w, b, dy = (last(arrays(case, dtype)[name]) for name in ("x", "w", "b", "dy"))
        how = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        how |= {"algorithm": self.algorithm, **self.how}
        op = f"conv{len(case.spatial)}d"
        if what == "fwd":
            conv, packed = getattr(self.ck, op), self.ck.pack_filters(w, groups=case.groups)
            y = conv(x, packed, b, **how)
            return lambda: conv(x, packed, b, out=y, **how), first
        grad, needs = getattr(self.ck, op + "_grad"), what[1]
        return lambda: grad(dy, x, w, needs=(needs,), **how)["xw".index(needs)], first

    def chosen(self, case: Conv, what: str, dtype: str) -> str:
        """The algorithm of a pass."""
        from convkit._core import cpu
        from convkit.ops import conv
        from convkit.plan import choose

        x_shape = case.batch, *case.spatial, case.channels
        w_shape = case.filters, *case.kernel, case.channels // case.groups
        how = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        plan = conv.planned(f"conv{len(case.spatial)}d", x_shape, w_shape, **how)
        which = {"fwd": "forward", "dx": "input", "dw": "filters"}[what]
        return choose.algorithm(plan, which, self.algorithm, np.dtype(dtype).itemsize, cpu.strict())

    def pool(self, case: Pool, what: str, dtype: str) -> Prepared:
        x, dy = (last(a) for a in arrays(case, dtype).values())
        how = {"stride": case.stride, "padding": case.padding, **self.how}
        op = f"{case.family}_pool{len(case.spatial)}d"
        if what == "fwd":
            pool = getattr(self.ck, op)
            y = pool(x, case.kernel, **how)
            return lambda: pool(x, case.kernel, out=y, **how), first
        if what == "both":
            return self.pool_layer(case, x, dy, how, step=True), first
        if case.family == "max":
            return self.pool_layer(case, x, dy, how), first
        grad = getattr(self.ck, op + "_grad")
        return lambda: grad(dy, x.shape, case.kernel, **how), first

    def pool_layer(self, case: Pool, x: np.ndarray, dy: np.ndarray, how: dict, step: bool = False):
        """The layer in training, which keeps where each maximum was: a whole step, or the gradient alone."""
        how = {name: value for name, value in how.items() if name != "threads"}
        layer = getattr(self.ck.layers, f"{case.family.title()}Pool{len(case.spatial)}D")(case.kernel, **how)
        layer.build(x.shape[1:], np.random.default_rng(0), x.dtype)
        backward = layer.forward(x, training=True)[1]

        def run():
            with self.ck.threads(self.count):
                return (layer.forward(x, training=True)[1] if step else backward)(dy)

        return run

    def op(self, case: Op, what: str, dtype: str) -> Prepared:
        from . import ours_ops

        forward, both = ours_ops.prepare(self.ck, case, dtype, self.count)
        return (forward if what == "fwd" else both), lambda y: first(np.atleast_1d(y))

    def net(self, case: Network, what: str, dtype: str) -> Prepared:
        from . import ours_nets

        return ours_nets.prepare(self.ck, case, dtype, self.count)


class Algorithm(Convkit):
    """One of convkit's algorithms by its name; absent where it cannot run a pass."""

    chosen = None

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        try:
            run, to_numpy = super().conv(case, what, dtype)
            run()
        except ValueError as refusal:
            raise NotImplementedError(str(refusal)) from None
        return run, to_numpy
