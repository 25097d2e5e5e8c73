"""Whole networks in float64: the prediction, and the loss and gradients of a step of training."""

from __future__ import annotations

import numpy as np

from . import definition, networks
from .networks import Node
from .shapes import Conv, Network, Pool

EPS = 1e-5


def network(case: Network, dtype: str) -> np.ndarray:
    """The logits; of a step `step_result` of its loss and gradients."""
    run = Run(case, dtype)
    logits = run.forward()
    if not case.training:
        return logits
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    one = np.arange(p.shape[1]) == run.labels[:, None]
    run.backward((p - one) / case.batch)
    return step_result(-np.log(p[one]).mean(), run.grads[min(run.grads)], run.grads[max(run.grads)])


def step_result(loss: float, dw_first: np.ndarray, dw_last: np.ndarray) -> np.ndarray:
    """What a step is judged by: the loss, and the gradients of the first and the last filters, (O, C, kh, kw) and (O, C)."""
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in (loss, dw_first, dw_last)])


def step_error(case: Network, got: np.ndarray, truth: np.ndarray) -> float:
    """The largest relative error of the three parts, each by its norm."""
    net = networks.build(case.family, case.size)
    filters = next(node for node in net.nodes if node.op == "conv")
    cuts = [1, 1 + filters.shape[0] * net.terms(filters)]
    pairs = zip(np.split(got, cuts), np.split(truth, cuts), strict=True)
    return max(float(np.linalg.norm(mine - right) / np.linalg.norm(right)) for mine, right in pairs)


class Run:
    """The values of all nodes, and going back through them."""

    def __init__(self, case: Network, dtype: str) -> None:
        self.net, self.training = networks.build(case.family, case.size), case.training
        self.weights = [{k: a.astype(np.float64) for k, a in each.items()} for each in self.net.weights(dtype)]
        x, self.labels = networks.samples(case.family, case.size, case.batch, dtype)
        self.values, self.kept = [x.astype(np.float64)], [()]
        self.grads: dict[int, np.ndarray] = {}

    def forward(self) -> np.ndarray:
        for node, weights in zip(self.net.nodes[1:], self.weights[1:], strict=True):
            inputs = [self.values[place] for place in node.inputs]
            y, kept = getattr(self, "_" + node.op)(node, *inputs, **weights)
            act = node.how.get("act", "")
            self.values.append(np.clip(y, 0, 6 if act == "relu6" else None) if act else y)
            self.kept.append(kept)
            if not self.training:
                self._forget(len(self.values))
        return self.values[-1]

    def _forget(self, done: int) -> None:
        """Values that no later node reads."""
        needed = {place for node in self.net.nodes[done:] for place in node.inputs} | {done - 1}
        self.values = [value if place in needed else None for place, value in enumerate(self.values)]

    def _case(self, node: Node, batch: int) -> Conv:
        how, channels = node.how, self.net.nodes[node.inputs[0]].shape
        return Conv("", batch, channels[1:], channels[0], node.shape[0], (how["kernel"],) * 2, how["stride"], how["padding"],
                    groups=how["groups"])  # fmt: skip

    def _conv(self, node: Node, x: np.ndarray, w: np.ndarray, b: np.ndarray):
        norm = self.training and node.how["norm"]
        case, shape = self._case(node, len(x)), (len(x), *node.shape)
        y = definition.conv(case, "fwd", x, w, np.zeros_like(b) if norm else b, np.broadcast_to(0.0, shape))
        if not norm:
            return y, ()
        axes = (0, 2, 3)
        rstd = 1 / np.sqrt(y.var(axes, keepdims=True) + EPS)
        xhat = (y - y.mean(axes, keepdims=True)) * rstd
        return xhat + b.reshape(1, -1, 1, 1), (xhat, rstd)

    def _up(self, node: Node, x: np.ndarray, w: np.ndarray, b: np.ndarray):
        y = np.empty((len(x), *node.shape))
        for i, j in np.ndindex(2, 2):
            y[:, :, i::2, j::2] = np.moveaxis(np.tensordot(x, w[:, :, i, j], (1, 1)), -1, 1)
        return y + b.reshape(-1, 1, 1), ()

    def _concat(self, node: Node, x: np.ndarray, y: np.ndarray):
        return np.concatenate([x, y], 1), ()

    def _dense(self, node: Node, x: np.ndarray, w: np.ndarray, b: np.ndarray):
        return x @ w.T + b, ()

    def _add(self, node: Node, x: np.ndarray, y: np.ndarray):
        return x + y, ()

    def _max(self, node: Node, x: np.ndarray):
        case = Pool("max", len(x), x.shape[2:], x.shape[1], (node.how["kernel"],) * 2, node.how["stride"], node.how["padding"])
        return definition.pool(case, "fwd", x, np.empty((len(x), *node.shape))), case

    def _mean(self, node: Node, x: np.ndarray):
        return x.mean((2, 3)), ()

    def _flatten(self, node: Node, x: np.ndarray):
        return x.reshape(len(x), -1), ()

    def backward(self, dy: np.ndarray) -> None:
        """Leaves the gradient of each node's filters in `grads`."""
        waiting = {len(self.values) - 1: dy}
        for place in range(len(self.values) - 1, 0, -1):
            node, dy, act = self.net.nodes[place], waiting.pop(place), self.net.nodes[place].how.get("act", "")
            if act:
                y = self.values[place]
                dy = dy * ((y > 0) & ((y < 6) if act == "relu6" else True))
            for source, dx in zip(node.inputs, self._back(place, node, dy), strict=True):
                waiting[source] = waiting[source] + dx if source in waiting else dx

    def _back(self, place: int, node: Node, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        x = self.values[node.inputs[0]]
        if node.op == "add":
            return dy, dy
        if node.op == "flatten":
            return (dy.reshape(x.shape),)
        if node.op == "mean":
            return (np.broadcast_to(dy[:, :, None, None] / (x.shape[2] * x.shape[3]), x.shape),)
        if node.op == "max":
            return (definition.pool(self.kept[place], "dx", x, dy),)
        w = self.weights[place]["w"]
        if node.op == "dense":
            self.grads[place] = dy.T @ x
            return (dy @ w,)
        if self.kept[place]:
            xhat, rstd = self.kept[place]
            means = dy.mean((0, 2, 3), keepdims=True), (dy * xhat).mean((0, 2, 3), keepdims=True)
            dy = rstd * (dy - means[0] - xhat * means[1])
        case, b = self._case(node, len(x)), self.weights[place]["b"]
        self.grads[place] = definition.conv(case, "dw", x, w, b, dy)
        return (definition.conv(case, "dx", x, w, b, dy) if node.inputs[0] else np.zeros_like(x),)
