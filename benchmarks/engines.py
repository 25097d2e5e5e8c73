"""Peers that are measured for convolutions alone: JAX, and forward OpenVINO and ncnn; see peers.py for what a library is."""

from __future__ import annotations

import os
import struct
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .peers import Prepared, arrays, channels_first, channels_last
from .shapes import Case, Conv


class ForwardOnly:
    """What these libraries have in common: `forward(case, data)` is theirs."""

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        if what != "fwd":
            raise NotImplementedError("measured for the forward pass alone")
        return self.forward(case, arrays(case, dtype))

    def pool(self, case: Case, what: str, dtype: str) -> Prepared:
        raise NotImplementedError("measured for convolutions alone")


class OpenVino(ForwardOnly):
    """OpenVINO: constant filters, arithmetic in the type of the data, input and output shared, so that no call copies."""

    install = "pip install openvino"

    def __init__(self, threads: int) -> None:
        import openvino
        import openvino.opset13 as op

        self.openvino, self.op, self.threads = openvino, op, threads
        self.versions = {"openvino": version("openvino")}

    def forward(self, case: Conv, data: dict[str, np.ndarray]) -> Prepared:
        x, w, rank, groups = data["x"], data["w"], len(case.spatial), case.groups
        source = self.op.parameter(x.shape, x.dtype)
        sizes = [case.stride] * rank, [case.padding] * rank, [case.padding] * rank, [case.dilation] * rank
        if groups == 1:
            y = self.op.convolution(source, self.op.constant(w), *sizes)
        else:
            w = w.reshape(groups, case.filters // groups, *w.shape[1:])
            y = self.op.group_convolution(source, self.op.constant(w), *sizes)
        y = self.op.add(y, self.op.constant(data["b"].reshape(1, -1, *[1] * rank)))
        how = {"INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY",
               "INFERENCE_PRECISION_HINT": {"float32": "f32", "float64": "f64"}[x.dtype.name]}  # fmt: skip
        model = self.openvino.Core().compile_model(self.openvino.Model([y], [source], "one"), "CPU", how)
        request = model.create_infer_request()
        return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0], np.array


class Jax:
    """JAX: compiled for the shape, channels last, constant filters."""

    install = "pip install jax"

    def __init__(self, threads: int) -> None:
        os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax

        self.jax, self.versions = jax, {"jax": jax.__version__}

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        data, rank, numbers = arrays(case, dtype), len(case.spatial), self.jax.numpy.asarray
        x, dy, b = (numbers(channels_last(data[name])) for name in ("x", "dy", "b"))
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
        compiled, given = self.jax.jit(passes[what][0]), passes[what][1]

        def to_numpy(y) -> np.ndarray:
            return np.moveaxis(np.asarray(y), (-1, -2), (0, 1)) if what == "dw" else channels_first(np.asarray(y))

        return lambda: compiled(*given).block_until_ready(), to_numpy

    def pool(self, case: Case, what: str, dtype: str) -> Prepared:
        raise NotImplementedError("measured for convolutions alone")


class Ncnn(ForwardOnly):
    """ncnn, which runs Winograd: one image at a time, float32 storage and arithmetic."""

    install = "pip install ncnn"

    def __init__(self, threads: int) -> None:
        import ncnn

        self.ncnn, self.threads, self.versions = ncnn, threads, {"ncnn": version("ncnn")}

    def forward(self, case: Conv, data: dict[str, np.ndarray]) -> Prepared:
        x, w = data["x"], data["w"]
        if len(case.spatial) != 2 or x.dtype != np.float32:
            raise NotImplementedError("2-D convolution of float32 alone")
        kind, (height, width) = "Convolution" if case.groups == 1 else "ConvolutionDepthWise", case.kernel
        fields = {0: case.filters, 1: width, 11: height, 2: case.dilation, 3: case.stride, 4: case.padding, 5: 1, 6: w.size}
        fields |= {7: case.groups} if case.groups > 1 else {}
        layer = " ".join(f"{number}={value}" for number, value in fields.items())
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        for shorter in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(net.opt, shorter, False)
        with tempfile.TemporaryDirectory() as folder:
            text, numbers = Path(folder, "net.param"), Path(folder, "net.bin")
            text.write_text(f"7767517\n2 2\nInput x 0 1 x\n{kind} conv 1 1 x y {layer}\n")
            numbers.write_bytes(struct.pack("<I", 0) + w.tobytes() + data["b"].tobytes())   # 0: float32, as they are
            net.load_param(str(text))
            net.load_model(str(numbers))
        images = [self.ncnn.Mat(image).clone() for image in x]

        def run() -> list:
            return [self.one(net, image) for image in images]

        return run, lambda results: np.stack([np.array(y) for y in results])

    @staticmethod
    def one(net, image):
        extractor = net.create_extractor()
        extractor.input("x", image)
        return extractor.extract("y")[1]
