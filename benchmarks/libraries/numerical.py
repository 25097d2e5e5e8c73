"""NumPy alone, as the textbooks do it (im2col, then one matrix product), and SciPy where it has the function."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..definition_ops import op as op_of_arrays
from ..shapes import Conv, Op, Pool
from .data import Prepared, arrays, first, last


class Numpy:
    install = "pip install numpy"

    def __init__(self, threads: int) -> None:
        self.versions = {"numpy": np.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        data, groups = arrays(case, dtype), case.groups
        if groups > 1 or case.dilation > 1:
            raise NotImplementedError("the textbook has neither groups nor dilation")
        x, dy = last(data["x"]), last(data["dy"])
        w, b, rank = last(data["w"]).reshape(case.filters, -1), data["b"], len(case.spatial)
        pads = [(0, 0), *[(case.padding, case.padding)] * rank, (0, 0)]
        outputs = dy.reshape(-1, case.filters)

        def columns():
            windows = sliding_window_view(np.pad(x, pads), case.kernel, tuple(range(1, rank + 1)))
            step = (slice(None), *[slice(None, None, case.stride)] * rank)
            return np.moveaxis(windows[step], rank + 1, -1).reshape(len(outputs), -1)

        if what == "fwd":
            wt, y = np.ascontiguousarray(w.T), np.empty_like(outputs)

            def forward():
                np.matmul(columns(), wt, out=y)
                return np.add(y, b, out=y)

            return forward, lambda y: first(y.reshape(dy.shape))
        if what == "dw":
            return lambda: outputs.T @ columns(), lambda dw: first(dw.reshape(case.filters, *case.kernel, case.channels))

        def to_input():
            dx = np.zeros([n + low + high for n, (low, high) in zip(x.shape, pads, strict=True)], dtype)
            each = (outputs @ w).reshape(*dy.shape[:-1], *case.kernel, case.channels)
            for tap in np.ndindex(*case.kernel):
                ends = zip(tap, case.out_spatial, strict=True)
                met = tuple(slice(t, t + case.stride * (n - 1) + 1, case.stride) for t, n in ends)
                dx[(slice(None), *met)] += each[(*[slice(None)] * (rank + 1), *tap)]
            return dx[(slice(None), *(slice(case.padding, case.padding + n) for n in case.spatial))]

        return to_input, first

    def pool(self, case: Pool, what: str, dtype: str) -> Prepared:
        if what != "fwd":
            raise NotImplementedError("measured for the forward pass alone")
        x, rank = last(arrays(case, dtype)["x"]), len(case.spatial)
        of = np.max if case.family == "max" else np.mean
        fill = {"constant_values": -np.inf if case.family == "max" else 0}
        pads = [(0, 0), *[(case.padding, case.padding)] * rank, (0, 0)]

        def run():
            windows = sliding_window_view(np.pad(x, pads, **fill), case.kernel, tuple(range(1, rank + 1)))
            step = (slice(None), *[slice(None, None, case.stride)] * rank)
            return of(windows[step], axis=tuple(range(-rank, 0)))

        return run, first

    def op(self, case: Op, what: str, dtype: str) -> Prepared:
        """The expressions of the definition, in the type of the data."""
        if case.family == "gelu":
            raise NotImplementedError("NumPy has no erf")
        data = arrays(case, dtype)

        def run():
            return op_of_arrays(case, what, **data)

        return run, lambda y: y


class Scipy:
    """Convolutions of one channel by scipy.signal, faster of direct and Fourier; functions of scipy.special."""

    install = "pip install scipy"

    def __init__(self, threads: int) -> None:
        import scipy
        import scipy.signal
        import scipy.special

        self.scipy, self.versions = scipy, {"scipy": scipy.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        if what != "fwd" or case.batch * case.channels * case.filters * case.stride * case.dilation > 1:
            raise NotImplementedError("measured for one image, one channel and one filter")
        data = arrays(case, dtype)
        x, w, b = np.pad(data["x"][0, 0], case.padding), data["w"][0, 0], data["b"][0]
        method = self.scipy.signal.choose_conv_method(x, w, "valid")
        turned = w[(slice(None, None, -1),) * w.ndim]
        convolve = self.scipy.signal.convolve
        return lambda: convolve(x, turned, "valid", method) + b, lambda y: y[None, None]

    def op(self, case: Op, what: str, dtype: str) -> Prepared:
        special, x = self.scipy.special, arrays(case, dtype)["x"]
        half, functions = x.dtype.type(0.5), {"softmax": lambda: special.softmax(x, 1), "silu": lambda: x * special.expit(x)}
        functions["gelu"] = lambda: half * x * (1 + special.erf(x * np.sqrt(half)))
        if what != "fwd" or case.family not in functions:
            raise NotImplementedError("SciPy has no such function")
        return functions[case.family], lambda y: y
