"""PyTorch's form of a network: modules in the order of its nodes, and how they predict and learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .. import networks
from ..definition_nets import step_result
from ..networks import Net
from ..shapes import Network
from .data import Prepared

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
ACTS = {"": lambda x: x, "relu": nn.functional.relu_, "relu6": lambda x: nn.functional.hardtanh_(x, 0, 6)}


class Module(nn.Module):
    def __init__(self, net: Net, weights: list[dict[str, np.ndarray]], training: bool) -> None:
        super().__init__()
        self.net, self.parts = net, nn.ModuleDict()
        for place, (node, own) in enumerate(zip(net.nodes, weights, strict=True)):
            if node.op == "dense":
                part = nn.Linear(own["w"].shape[1], len(own["w"]))
            elif node.op == "conv":
                how, norm = node.how, training and node.how["norm"]
                sizes = how["stride"], how["padding"], 1, how["groups"], not norm
                part = nn.Conv2d(own["w"].shape[1] * how["groups"], len(own["w"]), how["kernel"], *sizes)
                if norm:
                    self.parts[f"{place} norm"] = nn.BatchNorm2d(len(own["w"]))
                    self.parts[f"{place} norm"].bias.data = torch.from_numpy(own["b"])
            elif node.op == "up":
                part = nn.ConvTranspose2d(own["w"].shape[1], len(own["w"]), 2, 2)
            else:
                continue
            w = own["w"].swapaxes(0, 1).copy() if node.op == "up" else own["w"]
            part.weight.data = torch.from_numpy(w)
            if part.bias is not None:
                part.bias.data = torch.from_numpy(own["b"])
            self.parts[str(place)] = part

    def forward(self, x):
        values = [x]
        for place, node in enumerate(self.net.nodes[1:], 1):
            inputs, how = [values[i] for i in node.inputs], node.how
            if node.op in networks.WEIGHTED:
                y = self.parts[str(place)](inputs[0])
                y = self.parts[f"{place} norm"](y) if f"{place} norm" in self.parts else y
            elif node.op == "add":
                y = inputs[0] + inputs[1]
            elif node.op == "concat":
                y = torch.cat(inputs, 1)
            elif node.op == "max":
                y = nn.functional.max_pool2d(inputs[0], how["kernel"], how["stride"], how["padding"])
            elif node.op == "mean":
                y = inputs[0].mean((2, 3))
            else:
                y = inputs[0].flatten(1)
            values.append(ACTS[how.get("act", "")](y))
        return values[-1]


def _ready(library, case: Network, net: Net, dtype: str):
    """The module and its data, in the layout of the library."""
    module = Module(net, net.weights(dtype), case.training)
    module = module.to(getattr(torch, dtype))
    x, labels = (torch.from_numpy(a) for a in networks.samples(case.family, case.size, case.batch, dtype))
    if library.last:
        module, x = module.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return module, x, labels


def predict(library, case: Network, net: Net, dtype: str) -> Prepared:
    module, x, _ = _ready(library, case, net, dtype)
    run = library.maybe_compiled(module.eval())
    mode = torch.no_grad if library.compiled else torch.inference_mode
    return mode()(lambda: run(x)), lambda y: y.numpy()


def step(library, case: Network, net: Net, dtype: str) -> Prepared:
    """A step of stochastic gradient descent with momentum; the result is that of the first one."""
    module, x, labels = _ready(library, case, net, dtype)
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
    forward = library.maybe_compiled(module.train())

    def run():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    filters = [part.weight for name, part in module.parts.items() if not name.endswith("norm")]
    return run, lambda loss: step_result(loss.item(), *(w.grad.numpy() for w in (filters[0], filters[-1])))
