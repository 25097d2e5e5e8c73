"""convkit's form of a network, as a user writes it: its layers, `predict`, and steps as `fit` makes them."""

from __future__ import annotations

import numpy as np

from .. import networks
from ..definition_nets import step_result
from ..networks import Net, Node
from ..shapes import Network
from .data import Prepared, last

LEARNING_RATE, MOMENTUM = 1e-3, 0.9


def prepare(ck, case: Network, dtype: str, threads: int) -> Prepared:
    """A prediction or a step, with so many threads."""
    net, training = networks.build(case.family, case.size), case.suite == "train"
    x, labels = networks.samples(case.family, case.size, case.batch, dtype)
    model = build(ck, net, training, dtype)
    run, to_numpy = (_step if training else _predict)(ck, model, last(x), labels)

    def with_threads():
        with ck.threads(threads):
            return run()

    return with_threads, to_numpy


def _predict(ck, model, x: np.ndarray, labels: np.ndarray) -> Prepared:
    return lambda: model.predict(x), np.asarray


def _step(ck, model, x: np.ndarray, labels: np.ndarray) -> Prepared:
    optimizer = ck.optim.SGD(LEARNING_RATE, momentum=MOMENTUM)
    params = list(model.params.values())
    filters = [param for param in params if param.value.ndim > 1]

    def run():
        for param in params:
            param.grad.fill(0)
        outputs, backward = model.forward(x, training=True)
        loss, d_outputs = ck.losses.cross_entropy(outputs, labels)
        backward(d_outputs, needs_input=False)
        optimizer.step(params)
        return loss

    def to_numpy(loss: float) -> np.ndarray:
        first, end = filters[0].grad, filters[-1].grad
        return step_result(loss, np.moveaxis(first, -1, 1), end)

    return run, to_numpy


def build(ck, net: Net, training: bool, dtype: str):
    """The model, with the weights that every library has."""
    channels, *size = net.nodes[0].shape
    tensors, weighted = [ck.Input((*size, channels))], []
    for node, own in zip(net.nodes[1:], net.weights(dtype)[1:], strict=True):
        inputs = [tensors[place] for place in node.inputs]
        for layer, values in _layers(ck.layers, net, node, own, training):
            inputs = [layer(*inputs)]
            weighted.append((layer, values))
        tensors += inputs
    model = ck.Model(tensors[0], tensors[-1], dtype=dtype, rng=0)
    for layer, values in weighted:
        for name, value in values.items():
            layer.params[name].value = value
    return model


def _layers(layers, net: Net, node: Node, own: dict[str, np.ndarray], training: bool) -> list[tuple]:
    """The layers of a node, each with the values of its parameters."""
    how, act = node.how, node.how.get("act") or None
    relu, after = (act if act == "relu" else None), ([(layers.ReLU6(), {})] if act == "relu6" else [])
    if node.op == "conv":
        sizes = {"stride": how["stride"], "padding": how["padding"], "groups": how["groups"]}
        values = {"w": np.moveaxis(own["w"], 1, -1)}
        if not (training and how["norm"]):
            conv = layers.Conv2D(node.shape[0], how["kernel"], **sizes, activation=relu)
            return [(conv, values | {"b": own["b"]}), *after]
        conv = layers.Conv2D(node.shape[0], how["kernel"], **sizes, bias=False)
        return [(conv, values), (layers.BatchNorm(activation=relu), {"b": own["b"]}), *after]
    if node.op == "dense":
        source, w = net.nodes[node.inputs[0]], own["w"]
        if source.op == "flatten":                      # pixels in the order of memory: channels last
            shape = net.nodes[source.inputs[0]].shape
            w = np.moveaxis(w.reshape(len(w), *shape), 1, -1).reshape(w.shape)
        return [(layers.Dense(len(w), activation=relu), {"w": w, "b": own["b"]})]
    if node.op == "max":
        return [(layers.MaxPool2D(how["kernel"], stride=how["stride"], padding=how["padding"]), {})]
    if node.op == "add":
        return [(layers.Add(), {}), *([(layers.ReLU(), {})] if relu else after)]
    return [(layers.GlobalAvgPool2D() if node.op == "mean" else layers.Flatten(), {})]
