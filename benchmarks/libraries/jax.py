"""JAX: compiled for the shape, channels last, constant filters."""

from __future__ import annotations

import os

import numpy as np

from .. import networks
from ..definition_ops import EPS
from ..shapes import Conv, Network, Op
from .data import Prepared, arrays, first, last


class Jax:
    install = "pip install jax"

    def __init__(self, threads: int) -> None:
        os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax

        self.jax, self.versions = jax, {"jax": jax.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        data, rank, numbers = arrays(case, dtype), len(case.spatial), self.jax.numpy.asarray
        x, dy, b = (numbers(last(data[name])) for name in ("x", "dy", "b"))
        w = numbers(np.moveaxis(data["w"], (0, 1), (-1, -2)))
        image, pads = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank], [(case.padding, case.padding)] * rank
        how = {"rhs_dilation": [case.dilation] * rank, "feature_group_count": case.groups,
               "dimension_numbers": (image, image[1:-1] + "IO", image)}  # fmt: skip

        def conv(x, w):
            return self.jax.lax.conv_general_dilated(x, w, [case.stride] * rank, pads, **how)

        transpose = self.jax.linear_transpose               # a convolution is linear in x and in w: its gradients
        passes = {
            "fwd": (lambda x: conv(x, w) + b, (x,)),
            "dx": (lambda dy: transpose(lambda x: conv(x, w), x)(dy)[0], (dy,)),
            "dw": (lambda x, dy: transpose(lambda w: conv(x, w), w)(dy)[0], (x, dy)),
        }

        def to_numpy(y) -> np.ndarray:
            return np.moveaxis(np.asarray(y), (-1, -2), (0, 1)) if what == "dw" else first(np.asarray(y))

        return self.compiled(*passes[what]), to_numpy

    def compiled(self, function, given: tuple):
        ready = self.jax.jit(function)
        return lambda: ready(*given).block_until_ready()

    def op(self, case: Op, what: str, dtype: str) -> Prepared:
        data, nn, np_ = arrays(case, dtype), self.jax.nn, self.jax.numpy
        x, dy, w, b = (np_.asarray(last(data[name])) for name in ("x", "dy", "w", "b"))

        def norm(x, axes: tuple[int, ...]):
            return (x - x.mean(axes, keepdims=True)) / np_.sqrt(x.var(axes, keepdims=True) + EPS) * w + b

        functions = {
            "batch_norm_relu": lambda x: nn.relu(norm(x, (0, 1, 2))),
            "layer_norm": lambda x: norm(x, (1,)),
            "relu": nn.relu, "silu": nn.silu, "tanh": np_.tanh, "softmax": nn.softmax,
            "gelu": lambda x: nn.gelu(x, approximate=False),
            "cross_entropy": lambda x: -nn.log_softmax(x)[np_.arange(len(x)), data["labels"]].mean()[None],
        }  # fmt: skip
        function = functions.get(case.family)
        if function is None:
            raise NotImplementedError("not measured")
        if what == "fwd":
            return self.compiled(function, (x,)), lambda y: first(np.asarray(y)) if y.ndim > 1 else np.asarray(y)
        given = np_.ones(1, x.dtype) if case.family == "cross_entropy" else dy

        def both(x, dy):
            return self.jax.vjp(function, x)[1](dy)[0]

        return self.compiled(both, (x, given)), lambda dx: first(np.asarray(dx))

    def net(self, case: Network, what: str, dtype: str) -> Prepared:
        if what != "fwd":
            raise NotImplementedError("measured for prediction alone")
        net, lax, np_ = networks.build(case.family, case.size), self.jax.lax, self.jax.numpy
        weights = [{name: np_.asarray(_turned(net, node, name, a)) for name, a in own.items()}
                   for node, own in zip(net.nodes, net.weights(dtype), strict=True)]  # fmt: skip

        def conv(x, how, w, b):
            pads, groups = [(how["padding"],) * 2] * 2, how["groups"]
            return b + lax.conv_general_dilated(x, w, [how["stride"]] * 2, pads, feature_group_count=groups,
                                                dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip

        def up(x, how, w, b):
            return b + lax.conv_transpose(x, w[::-1, ::-1], (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

        def pool(x, how):
            pads, kernel, stride = [(0, 0), (how["padding"],) * 2, (how["padding"],) * 2, (0, 0)], how["kernel"], how["stride"]
            return lax.reduce_window(x, -np_.inf, lax.max, (1, kernel, kernel, 1), (1, stride, stride, 1), pads)

        ops = {
            "conv": conv, "max": pool, "dense": lambda x, how, w, b: x @ w + b, "add": lambda x, y, how: x + y,
            "up": up, "concat": lambda x, y, how: np_.concatenate([x, y], -1),
            "mean": lambda x, how: x.mean((1, 2)), "flatten": lambda x, how: x.reshape(len(x), -1),
        }  # fmt: skip
        acts = {"relu": self.jax.nn.relu, "relu6": self.jax.nn.relu6, "": lambda y: y}

        def predict(x):
            values = [x]
            for node, own in zip(net.nodes[1:], weights[1:], strict=True):
                y = ops[node.op](*(values[i] for i in node.inputs), how=node.how, **own)
                values.append(acts[node.how.get("act", "")](y))
            return values[-1]

        x, _ = networks.samples(case.family, case.size, case.batch, dtype)
        return self.compiled(predict, (np_.asarray(last(x)),)), lambda y: first(np.asarray(y))


def _turned(net: networks.Net, node: networks.Node, name: str, a: np.ndarray) -> np.ndarray:
    """Weights for channels last."""
    if name == "b":
        return a
    if node.op in ("conv", "up"):
        return a.transpose(2, 3, 1, 0)
    source = net.nodes[node.inputs[0]]
    shape = net.nodes[source.inputs[0]].shape if source.op == "flatten" else None
    return (np.moveaxis(a.reshape(len(a), *shape), 1, -1).reshape(a.shape) if shape else a).T
