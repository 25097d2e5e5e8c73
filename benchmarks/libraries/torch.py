"""PyTorch: contiguous (`torch`), channels last (`torch_cl`), and channels last compiled by Inductor (`torch_compiled`).

Layers run in inference mode, gradients by PyTorch's own backward operators (the indices of maxima given); ops and networks
by autograd. A compiled layer has its filters packed once, by freezing.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .. import networks
from ..definition_ops import EPS, GROUPS
from ..shapes import Conv, Network, Op, Pool
from .data import Prepared, arrays


class Torch:
    install = "pip install torch --index-url https://download.pytorch.org/whl/cpu"

    def __init__(self, threads: int, last: bool = False, compiled: bool = False) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.last, self.compiled, self.versions = torch, last, compiled, {"torch": torch.__version__}
        if compiled:
            import torch._inductor.config as inductor

            inductor.freezing, inductor.compile_threads = True, 1

    def tensors(self, case: Conv | Pool | Op, dtype: str) -> dict:
        """The data as tensors, in channels-last memory where that is asked for (PyTorch has it for 2-D and 3-D only)."""
        data, ranks = arrays(case, dtype), {4: self.torch.channels_last, 5: self.torch.channels_last_3d}
        if self.last and data["x"].ndim not in ranks and not self.compiled:
            raise NotImplementedError("no channels-last memory format for this rank")
        tensors = {name: self.torch.from_numpy(a) for name, a in data.items()}
        if self.last:
            tensors = {name: t.contiguous(memory_format=ranks[t.ndim]) if t.ndim in ranks else t for name, t in tensors.items()}
        return tensors

    def maybe_compiled(self, function):
        return self.torch.compile(function, dynamic=False) if self.compiled else function

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        t, rank = self.tensors(case, dtype), len(case.spatial)
        x, w, b, dy = (t[name] for name in ("x", "w", "b", "dy"))
        if what == "fwd":
            return self.forward_conv(case, x, w, b), lambda y: y.numpy()
        if self.compiled:
            raise NotImplementedError("compiled for the forward pass alone: backward is the operator of torch_cl")
        backward, part = self.torch.ops.aten.convolution_backward, "xw".index(what[1])
        sizes = ([value] * rank for value in (case.stride, case.padding, case.dilation))
        rest = (*sizes, False, [0] * rank, case.groups, [what == "dx", what == "dw", False])
        return self.torch.no_grad()(lambda: backward(dy, x, w, [0], *rest)[part]), lambda y: y.numpy()

    def forward_conv(self, case: Conv, x, w, b):
        rank = len(case.spatial)
        if not self.compiled:
            forward = getattr(self.torch.nn.functional, f"conv{rank}d")
            return self.torch.inference_mode()(
                lambda: forward(x, w, b, case.stride, case.padding, case.dilation, case.groups)
            )
        how = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        layer = getattr(self.torch.nn, f"Conv{rank}d")(case.channels, case.filters, case.kernel, **how).eval()
        layer.weight, layer.bias = self.torch.nn.Parameter(w), self.torch.nn.Parameter(b)
        layer = self.maybe_compiled(layer)
        return self.torch.no_grad()(lambda: layer(x))

    def pool(self, case: Pool, what: str, dtype: str) -> Prepared:
        if self.compiled:
            raise NotImplementedError("not compiled for pooling alone")
        t, rank = self.tensors(case, dtype), len(case.spatial)
        x, dy, op = t["x"], t["dy"], f"{case.family}_pool{rank}d"
        where = (list(case.kernel), [case.stride] * rank, [case.padding] * rank)
        forward, aten = getattr(self.torch.nn.functional, op), self.torch.ops.aten
        mean_of_all = case.family == "avg" and case.kernel == case.spatial
        if what == "both":                              # by autograd's own operators, as in training
            return self.pool_step(case, x, dy, where), lambda dx: dx.numpy()
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

    def pool_step(self, case: Pool, x, dy, where):
        op, rank, aten = f"{case.family}_pool{len(case.spatial)}d", len(case.spatial), self.torch.ops.aten
        forward = getattr(self.torch.nn.functional, op)
        if case.family == "max":
            backward = getattr(aten, f"{op}_with_indices_backward")

            def run():
                return backward(dy, x, *where, [1] * rank, False, forward(x, *where, return_indices=True)[1])
        else:
            backward = getattr(aten, f"{op}_backward")

            def run():
                forward(x, *where)
                return backward(dy, x, *where, False, True, None)

        return self.torch.no_grad()(run)

    def op(self, case: Op, what: str, dtype: str) -> Prepared:
        t = self.tensors(case, dtype)
        x, dy, w, b = t["x"], t["dy"], t["w"], t["b"]
        function = self.maybe_compiled(self.function(case, t))
        if what == "fwd":
            run = self.torch.inference_mode()(lambda: function(x, w, b)) if not self.compiled else (
                self.torch.no_grad()(lambda: function(x, w, b)))  # fmt: skip
            return run, lambda y: np.atleast_1d(y.numpy())
        learned = [x, w, b] if case.family.endswith("norm") or case.family.startswith("batch") else [x]
        for each in learned:
            each.requires_grad_()
        given = None if case.family == "cross_entropy" else dy
        return lambda: self.torch.autograd.grad(function(x, w, b), learned, given)[0], lambda dx: dx.numpy()

    def function(self, case: Op, t: dict):
        """Of x, a weight and a bias."""
        f, labels, shape = self.torch.nn.functional, t["labels"], t["dy"].shape
        functions = {
            "batch_norm_relu": lambda x, w, b: f.relu(f.batch_norm(x, None, None, w, b, True, eps=EPS)),
            "layer_norm": lambda x, w, b: f.layer_norm(x, x.shape[1:], w, b, EPS),
            "group_norm": lambda x, w, b: f.group_norm(x, GROUPS, w, b, EPS),
            "softmax": lambda x, w, b: f.softmax(x, 1),
            "cross_entropy": lambda x, w, b: f.cross_entropy(x, labels),
            "resize_linear": lambda x, w, b: f.interpolate(x, shape[2:], mode="bilinear", align_corners=False),
            "resize_nearest": lambda x, w, b: f.interpolate(x, shape[2:], mode="nearest"),
            "tanh": lambda x, w, b: self.torch.tanh(x),
        }
        plain = getattr(f, case.family, None)
        return functions.get(case.family) or (lambda x, w, b: plain(x))

    def net(self, case: Network, what: str, dtype: str) -> Prepared:
        from .torch_nets import predict, step

        module = networks.build(case.family, case.size)
        return (step if what == "step" else predict)(self, case, module, dtype)
