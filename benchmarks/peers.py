"""Libraries under measurement; engines.py has more. Each runs in a process of its own, in its best layout, with its filters
packed once.

A library is a class with `conv(case, what, dtype)` and `pool(case, what, dtype)`. Both return `run`, which computes one pass
and is what gets timed, and `to_numpy`, which brings its result into channels-first NumPy order for the check.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod, sqrt

import numpy as np

from .shapes import Case, Conv, Pool

Prepared = tuple[Callable[[], object], Callable[[object], np.ndarray]]


@lru_cache(maxsize=1)
def arrays(case: Case, dtype: str) -> dict[str, np.ndarray]:
    """The same data in every process, channels first: x, dy and, for a convolution, w and b. Nobody writes into them."""
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    outputs = case.filters if isinstance(case, Conv) else case.channels
    data = {"x": normal(case.batch, case.channels, *case.spatial), "dy": normal(case.batch, outputs, *case.out_spatial)}
    if isinstance(case, Conv):
        w = normal(case.filters, case.channels // case.groups, *case.kernel)
        data |= {"w": w / np.asarray(sqrt(case.terms("fwd")), dtype), "b": normal(case.filters)}
    return data


class Convkit:
    """This package, channels last, with `pack_filters` for the forward pass of convolutions."""

    install = "pip install ."

    def __init__(self, threads: int, algorithm: str = "auto") -> None:
        import convkit

        self.ck, self.how, self.algorithm = convkit, {"threads": threads}, algorithm
        self.versions = {"convkit": convkit.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        data = {name: channels_last(a) for name, a in arrays(case, dtype).items()}
        x, w, b, dy = (data[name] for name in ("x", "w", "b", "dy"))
        how = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        how |= {"algorithm": self.algorithm, **self.how}
        op = f"conv{len(case.spatial)}d"
        if what == "fwd":
            conv, packed = getattr(self.ck, op), self.ck.pack_filters(w, groups=case.groups)
            return lambda: conv(x, packed, b, **how), channels_first
        grad, needs = getattr(self.ck, op + "_grad"), what[1]
        return lambda: grad(dy, x, w, needs=(needs,), **how)["xw".index(needs)], channels_first

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
        x, dy = (channels_last(a) for a in arrays(case, dtype).values())
        how = {"stride": case.stride, "padding": case.padding, **self.how}
        op = f"{case.family}_pool{len(case.spatial)}d"
        if what == "fwd":
            pool = getattr(self.ck, op)
            y = pool(x, case.kernel, **how)
            return lambda: pool(x, case.kernel, out=y, **how), channels_first
        grad, source = getattr(self.ck, op + "_grad"), x if case.family == "max" else x.shape
        return lambda: grad(dy, source, case.kernel, **how), channels_first


class Torch:
    """PyTorch: inference mode for the forward pass, its own backward operators (maximum indices given) for the gradients."""

    install = "pip install torch --index-url https://download.pytorch.org/whl/cpu"

    def __init__(self, threads: int, last: bool = False) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.last, self.versions = torch, last, {"torch": torch.__version__}

    def tensors(self, case: Case, dtype: str) -> dict:
        """The data as tensors, in channels-last memory where that is asked for (PyTorch has it for 2-D and 3-D only)."""
        formats = {2: self.torch.channels_last, 3: self.torch.channels_last_3d}
        rank = len(case.spatial)
        if self.last and rank not in formats:
            raise NotImplementedError("no channels-last memory format for 1-D")
        tensors = {name: self.torch.from_numpy(a) for name, a in arrays(case, dtype).items()}
        if self.last:
            tensors = {name: t.contiguous(memory_format=formats[rank]) if t.ndim > 1 else t for name, t in tensors.items()}
        return tensors

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        t, rank = self.tensors(case, dtype), len(case.spatial)
        x, w, b, dy = (t[name] for name in ("x", "w", "b", "dy"))
        if what == "fwd":
            forward = getattr(self.torch.nn.functional, f"conv{rank}d")
            run = self.torch.inference_mode()(lambda: forward(x, w, b, case.stride, case.padding, case.dilation, case.groups))
        else:
            backward, part = self.torch.ops.aten.convolution_backward, "xw".index(what[1])
            sizes = ([value] * rank for value in (case.stride, case.padding, case.dilation))
            rest = (*sizes, False, [0] * rank, case.groups, [what == "dx", what == "dw", False])
            run = self.torch.no_grad()(lambda: backward(dy, x, w, [0], *rest)[part])
        return run, lambda y: y.numpy()

    def pool(self, case: Pool, what: str, dtype: str) -> Prepared:
        t, rank = self.tensors(case, dtype), len(case.spatial)
        x, dy, op = t["x"], t["dy"], f"{case.family}_pool{rank}d"
        where = (list(case.kernel), [case.stride] * rank, [case.padding] * rank)
        forward, aten = getattr(self.torch.nn.functional, op), self.torch.ops.aten
        mean_of_all = case.family == "avg" and case.kernel == case.spatial
        if what == "fwd" and mean_of_all and not self.last:  # faster than avg_pool here, slower in channels last
            axes = tuple(range(2, rank + 2))
            run = self.torch.inference_mode()(lambda: x.mean(axes, keepdim=True))
        elif what == "fwd":
            run = self.torch.inference_mode()(lambda: forward(x, *where))
        elif mean_of_all:  # what autograd does for a mean: faster than avg_pool's
            spread = x.clone()
            run = self.torch.no_grad()(lambda: spread.copy_((dy / prod(case.kernel)).expand(x.shape)))
        elif case.family == "max":
            indices, backward = forward(x, *where, return_indices=True)[1], getattr(aten, f"{op}_with_indices_backward")
            run = self.torch.no_grad()(lambda: backward(dy, x, *where, [1] * rank, False, indices))
        else:
            backward = getattr(aten, f"{op}_backward")
            run = self.torch.no_grad()(lambda: backward(dy, x, *where, False, True, None))
        return run, lambda y: y.numpy()


class OnnxRuntime:
    """ONNX Runtime: constant filters (packed when the session is made), input and output bound, so that no call copies."""

    install = "pip install onnxruntime onnx"

    def __init__(self, threads: int) -> None:
        import onnx
        import onnxruntime

        self.onnx, self.ort, self.threads = onnx, onnxruntime, threads
        self.versions = {"onnxruntime": onnxruntime.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        data, rank = arrays(case, dtype), len(case.spatial)
        sizes = {"strides": [case.stride] * rank, "pads": [case.padding] * 2 * rank, "dilations": [case.dilation] * rank}
        node = self.onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], group=case.groups, **sizes)
        return self.session(node, what, data["x"], data["dy"].shape, {"w": data["w"], "b": data["b"]})

    def pool(self, case: Pool, what: str, dtype: str) -> Prepared:
        data, rank, op = arrays(case, dtype), len(case.spatial), "MaxPool" if case.family == "max" else "AveragePool"
        sizes = {"kernel_shape": case.kernel, "strides": [case.stride] * rank, "pads": [case.padding] * 2 * rank}
        sizes |= {"count_include_pad": 1} if case.family == "avg" else {}
        node = self.onnx.helper.make_node(op, ["x"], ["y"], **sizes)
        if case.kernel == case.spatial:
            node = self.onnx.helper.make_node("Global" + op, ["x"], ["y"])
        return self.session(node, what, data["x"], data["dy"].shape, {})

    def session(self, node, what: str, x: np.ndarray, y_shape: tuple[int, ...], constants: dict) -> Prepared:
        if what != "fwd":
            raise NotImplementedError("ONNX Runtime has no gradients")
        h, real = self.onnx.helper, self.onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
        ends = [h.make_tensor_value_info("x", real, x.shape)], [h.make_tensor_value_info("y", real, y_shape)]
        weights = [self.onnx.numpy_helper.from_array(a, name) for name, a in constants.items()]
        model = h.make_model(h.make_graph([node], "one", *ends, weights), opset_imports=[h.make_opsetid("", 17)], ir_version=9)
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = self.ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        y = self.ort.OrtValue.ortvalue_from_shape_and_type(y_shape, x.dtype)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", self.ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output("y", y)

        def run():
            session.run_with_iobinding(binding)
            return y

        return run, lambda y: y.numpy()


def channels_last(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(a, 1, -1)) if a.ndim > 1 else a


def channels_first(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(a, -1, 1)
