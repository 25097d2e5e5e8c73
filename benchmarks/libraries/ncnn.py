"""ncnn, which runs Winograd: one image at a time, float32 storage and arithmetic."""

from __future__ import annotations

import struct
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import networks
from ..shapes import Conv, Network
from .data import Prepared, arrays

ACTS = {"": {}, "relu": {9: "1"}, "relu6": {9: "3", -23310: "2,0.0,6.0"}}    # written as fields of a layer


class Ncnn:
    install = "pip install ncnn"

    def __init__(self, threads: int) -> None:
        import ncnn

        self.ncnn, self.threads, self.versions = ncnn, threads, {"ncnn": version("ncnn")}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        if what != "fwd" or len(case.spatial) != 2 or dtype != "float32":
            raise NotImplementedError("forward 2-D convolution of float32 alone")
        data = arrays(case, dtype)
        writer = Writer()
        writer.conv(["x"], "y", data["w"], data["b"], case.kernel, case.stride, case.padding, case.dilation, case.groups)
        return self.ready(writer, data["x"], "y"), lambda results: np.stack([np.array(y) for y in results])

    def net(self, case: Network, what: str, dtype: str) -> Prepared:
        if what != "fwd" or dtype != "float32":
            raise NotImplementedError("prediction in float32 alone")
        x, _ = networks.samples(case.family, case.size, case.batch, dtype)
        writer, result = network(networks.build(case.family, case.size))
        return self.ready(writer, x, result), lambda results: self.results(case, results)

    @staticmethod
    def results(case: Network, found: list) -> np.ndarray:
        return np.stack([np.array(y) for y in found]).reshape(-1, *networks.build(case.family, case.size).nodes[-1].shape)

    def ready(self, writer: Writer, x: np.ndarray, result: str):
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        for shorter in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(net.opt, shorter, False)
        with tempfile.TemporaryDirectory() as folder:
            text, numbers = Path(folder, "net.param"), Path(folder, "net.bin")
            text.write_text(writer.text())
            numbers.write_bytes(b"".join(writer.numbers))
            net.load_param(str(text))
            net.load_model(str(numbers))
        images = [self.ncnn.Mat(image).clone() for image in x]

        def one(image):
            extractor = net.create_extractor()
            extractor.input("x", image)
            return extractor.extract(result)[1]

        return lambda: [one(image) for image in images]


class Writer:
    """The two files of a network: its layers as text, its numbers."""

    def __init__(self) -> None:
        self.lines, self.numbers, self.blobs = ["Input x 0 1 x"], [], 1

    def layer(self, kind: str, inputs: list[str], outputs: list[str], fields: dict) -> None:
        """`fields` by number; those of arrays are negative, as the format has it."""
        values = " ".join(f"{number}={value}" for number, value in fields.items())
        ends = f"{len(inputs)} {len(outputs)} {' '.join([*inputs, *outputs])}"
        self.lines.append(f"{kind} {outputs[0]} {ends} {values}".rstrip())
        self.blobs += len(outputs)

    def conv(self, inputs, output, w, b, kernel, stride, padding, dilation=1, groups=1, act="") -> None:
        fields = {0: len(w), 1: kernel[1], 11: kernel[0], 2: dilation, 3: stride, 4: padding, 5: 1, 6: w.size}
        fields |= ({7: groups} if groups > 1 else {}) | ACTS[act]
        self.layer("ConvolutionDepthWise" if groups > 1 else "Convolution", inputs, [output], fields)
        self.numbers += [struct.pack("<I", 0), w.tobytes(), b.tobytes()]    # 0: float32, as they are

    def text(self) -> str:
        return "\n".join(["7767517", f"{len(self.lines)} {self.blobs}", *self.lines]) + "\n"


def network(net: networks.Net) -> tuple[Writer, str]:
    """The files, and the name of the result. A blob has one reader: what several read is split."""
    writer, readers, names = Writer(), [0] * len(net.nodes), [["x"]]
    for node in net.nodes:
        for place in node.inputs:
            readers[place] += 1
    for place, (node, own) in enumerate(zip(net.nodes[1:], net.weights("float32")[1:], strict=True), 1):
        inputs, output, how = [names[i].pop() for i in node.inputs], f"v{place}", node.how
        if node.op == "conv":
            kernel = (how["kernel"],) * 2
            writer.conv(inputs, output, own["w"], own["b"], kernel, how["stride"], how["padding"], 1, how["groups"], how["act"])
        elif node.op == "up":
            writer.layer("Deconvolution", inputs, [output], {0: len(own["w"]), 1: 2, 3: 2, 5: 1, 6: own["w"].size})
            writer.numbers += [struct.pack("<I", 0), own["w"].tobytes(), own["b"].tobytes()]
        elif node.op == "concat":
            writer.layer("Concat", inputs, [output], {0: 0})
        elif node.op == "dense":
            writer.layer("InnerProduct", inputs, [output], {0: len(own["w"]), 1: 1, 2: own["w"].size} | ACTS[how["act"]])
            writer.numbers += [struct.pack("<I", 0), own["w"].tobytes(), own["b"].tobytes()]
        elif node.op == "max":
            fields = {0: 0, 1: how["kernel"], 2: how["stride"], 3: how["padding"], 5: 1}
            writer.layer("Pooling", inputs, [output], fields)
        elif node.op == "mean":
            writer.layer("Pooling", inputs, [output], {0: 1, 4: 1})
        elif node.op == "flatten":
            writer.layer("Flatten", inputs, [output], {})
        else:
            writer.layer("BinaryOp", inputs, [output], {0: 0})
            if how["act"]:
                writer.layer("ReLU", [output], [output + "a"], {})
                output += "a"
        names.append([output])
        if readers[place] > 1:
            names[-1] = [f"{output}_{i}" for i in range(readers[place])]
            writer.layer("Split", [output], names[-1], {})
    return writer, names[-1][0]
