"""convkit's form of a network, as a user writes it: `predict` of those in convkit.models, steps as `fit` makes them.

For training a model is put together from the nodes, as those in convkit.models may have dropout, which no two libraries draw
alike.
"""

from __future__ import annotations

import numpy as np

from .. import networks
from ..definition_nets import EPS, step_result
from ..networks import Net, Node
from ..shapes import Network
from .data import Prepared, first, last

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
MODELS = {"LeNet": "lenet", "ResNet-20": "resnet20", "MobileNetV2": "mobilenet_v2", "ResNet-18": "resnet18",
          "ResNet-50": "resnet50", "VGG-16": "vgg16", "U-Net": "unet"}  # fmt: skip
SMALLER = {"U-Net": {"width": 32}}                      # than convkit.models has it


def prepare(ck, case: Network, dtype: str, threads: int) -> Prepared:
    """A prediction or a step, with so many threads."""
    net, training = networks.build(case.family, case.size), case.training
    x, labels = networks.samples(case.family, case.size, case.batch, dtype)
    ready_made = not training and case.family in MODELS
    model = with_weights(ck, case.family, net, dtype) if ready_made else build(ck, net, training, dtype)
    run, to_numpy = (_step if training else _predict)(ck, model, last(x), labels)

    def with_threads():
        with ck.threads(threads):
            return run()

    return with_threads, to_numpy


def _predict(ck, model, x: np.ndarray, labels: np.ndarray) -> Prepared:
    return lambda: model.predict(x), first


def _step(ck, model, x: np.ndarray, labels: np.ndarray) -> Prepared:
    optimizer = ck.optim.SGD(LEARNING_RATE, momentum=MOMENTUM)
    params = list(model.params.values())
    filters = [param for param in params if param.value.ndim > 1]

    def run():
        for param in params:
            param.clear()
        outputs, backward = model.forward(x, training=True)
        loss, d_outputs = ck.losses.cross_entropy(outputs, labels)
        backward(d_outputs, needs_input=False)
        optimizer.step(params)
        return loss

    def to_numpy(loss: float) -> np.ndarray:
        first, end = filters[0].grad, filters[-1].grad
        return step_result(loss, np.moveaxis(first, -1, 1), end)

    return run, to_numpy


def with_weights(ck, family: str, net: Net, dtype: str):
    """One of convkit.models, with the weights that every library has; a norm adds the bias and does nothing else."""
    channels, *size = net.nodes[0].shape
    model = getattr(ck.models, MODELS[family])(input_shape=(*size, channels), rng=0, dtype=dtype, **SMALLER.get(family, {}))
    pairs = iter([(node, own) for node, own in zip(net.nodes, net.weights(dtype), strict=True) if own])
    weights = model.get_weights()
    for name, value in weights.items():
        kind = name.rsplit(".", 1)[1]
        if kind == "w" and value.ndim > 1:
            node, own = next(pairs)
            weights[name] = turned(net, node, own["w"])
        elif kind == "b":
            weights[name] = own["b"]
        elif kind == "var":
            weights[name] = np.full_like(value, 1 - EPS)
    model.set_weights(weights)
    return model


def turned(net: Net, node: Node, w: np.ndarray) -> np.ndarray:
    """Filters for channels last; of a dense layer after flattening, too, which numbers pixels in the order of memory."""
    if node.op == "conv":
        return np.moveaxis(w, 1, -1)
    if node.op == "up":
        return w.transpose(1, 2, 3, 0)
    source = net.nodes[node.inputs[0]]
    if source.op != "flatten":
        return w
    return np.moveaxis(w.reshape(len(w), *net.nodes[source.inputs[0]].shape), 1, -1).reshape(w.shape)


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
        values = {"w": turned(net, node, own["w"])}
        if not (training and how["norm"]):
            conv = layers.Conv2D(node.shape[0], how["kernel"], **sizes, activation=relu)
            return [(conv, values | {"b": own["b"]}), *after]
        conv = layers.Conv2D(node.shape[0], how["kernel"], **sizes, bias=False)
        return [(conv, values), (layers.BatchNorm(activation=relu), {"b": own["b"]}), *after]
    if node.op == "dense":
        return [(layers.Dense(len(own["w"]), activation=relu), {"w": turned(net, node, own["w"]), "b": own["b"]})]
    if node.op == "max":
        return [(layers.MaxPool2D(how["kernel"], stride=how["stride"], padding=how["padding"]), {})]
    if node.op == "add":
        return [(layers.Add(), {}), *([(layers.ReLU(), {})] if relu else after)]
    return [(layers.GlobalAvgPool2D() if node.op == "mean" else layers.Flatten(), {})]
