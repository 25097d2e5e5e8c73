"""ONNX models of cases, for the libraries that read them: ONNX Runtime, OpenVINO, OpenCV and MNN."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .. import networks
from ..shapes import Conv, Network, Pool
from .data import arrays


def conv(case: Conv, dtype: str) -> bytes:
    data, rank = arrays(case, dtype), len(case.spatial)
    sizes = {"strides": [case.stride] * rank, "pads": [case.padding] * 2 * rank, "dilations": [case.dilation] * rank}
    sizes |= {"kernel_shape": case.kernel}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=case.groups, **sizes)
    return model([node], data["x"].shape, data["dy"].shape, dtype, {"w": data["w"], "b": data["b"]})


def pool(case: Pool, dtype: str) -> bytes:
    data, rank, op = arrays(case, dtype), len(case.spatial), "MaxPool" if case.family == "max" else "AveragePool"
    sizes = {"kernel_shape": case.kernel, "strides": [case.stride] * rank, "pads": [case.padding] * 2 * rank}
    sizes |= {"count_include_pad": 1} if case.family == "avg" else {}
    node = helper.make_node(op, ["x"], ["y"], **sizes)
    if case.kernel == case.spatial:
        node = helper.make_node("Global" + op, ["x"], ["y"])
    return model([node], data["x"].shape, data["dy"].shape, dtype, {})


def network(case: Network, dtype: str) -> bytes:
    """The network for prediction; its input is "x", its result "y"."""
    net = networks.build(case.family, case.size)
    nodes, constants, names = [], {}, ["x"]
    for place, (node, own) in enumerate(zip(net.nodes[1:], net.weights(dtype)[1:], strict=True), 1):
        own = own | {"w": own["w"].swapaxes(0, 1).copy()} if node.op == "up" else own
        constants |= {f"{name}{place}": value for name, value in own.items()}
        inputs = [names[i] for i in node.inputs] + [f"{name}{place}" for name in own]
        nodes += _nodes(node, inputs, f"v{place}")
        names.append(nodes[-1].output[0])
    nodes[-1].output[0] = "y"
    shape = (case.batch, *net.nodes[0].shape)
    constants |= {"zero": np.array(0, dtype), "six": np.array(6, dtype)} if case.family == "MobileNetV2" else {}
    return model(nodes, shape, (case.batch, *net.nodes[-1].shape), dtype, constants)


def _nodes(node: networks.Node, inputs: list[str], name: str) -> list:
    """The nodes of one of ours, the result of the last of which counts."""
    how, make = node.how, helper.make_node
    pads = [how["padding"]] * 4 if "padding" in how else []
    if node.op == "conv":
        sizes = {"kernel_shape": [how["kernel"]] * 2, "strides": [how["stride"]] * 2, "pads": pads}
        found = [make("Conv", inputs, [name], group=how["groups"], **sizes)]
    elif node.op == "up":
        found = [make("ConvTranspose", inputs, [name], kernel_shape=[2, 2], strides=[2, 2])]
    elif node.op == "concat":
        found = [make("Concat", inputs, [name], axis=1)]
    elif node.op == "max":
        found = [make("MaxPool", inputs, [name], kernel_shape=[how["kernel"]] * 2, strides=[how["stride"]] * 2, pads=pads)]
    elif node.op == "mean":
        found = [make("GlobalAveragePool", inputs, [name + "m"]), make("Flatten", [name + "m"], [name])]
    elif node.op == "dense":
        found = [make("Gemm", inputs, [name], transB=1)]
    else:
        found = [make({"add": "Add", "flatten": "Flatten"}[node.op], inputs, [name])]
    if how.get("act") == "relu":
        found.append(make("Relu", [name], [name + "a"]))
    elif how.get("act") == "relu6":
        found.append(make("Clip", [name, "zero", "six"], [name + "a"]))
    return found


def model(nodes: list, x_shape: tuple, y_shape: tuple, dtype: str, constants: dict[str, np.ndarray]) -> bytes:
    real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [helper.make_tensor_value_info("x", real, x_shape)], [helper.make_tensor_value_info("y", real, y_shape)]
    weights = [numpy_helper.from_array(a, name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "one", *ends, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def given(case: Conv | Pool | Network, dtype: str) -> tuple[bytes, np.ndarray, tuple[int, ...]]:
    """The model of a case, its input, and the shape of its result."""
    if isinstance(case, Network):
        x, _ = networks.samples(case.family, case.size, case.batch, dtype)
        return network(case, dtype), x, (case.batch, *networks.build(case.family, case.size).nodes[-1].shape)
    data = arrays(case, dtype)
    return (conv if isinstance(case, Conv) else pool)(case, dtype), data["x"], data["dy"].shape
