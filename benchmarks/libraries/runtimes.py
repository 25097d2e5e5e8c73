"""Runtimes that read ONNX and predict: ONNX Runtime, OpenVINO, OpenCV's dnn, MNN."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..shapes import Conv, Network, Pool
from .data import Prepared, arrays


class Runtime:
    """What they share: `load(case, model, x, y_shape)` makes a model ready to run."""

    kinds: tuple[type, ...] = (Conv, Pool, Network)

    def prepared(self, case: Conv | Pool | Network, what: str, dtype: str) -> Prepared:
        if what != "fwd":
            raise NotImplementedError("has no gradients")
        if not isinstance(case, self.kinds):
            raise NotImplementedError(f"not measured for {case.suite}")
        from . import onnx

        return self.load(case, *onnx.given(case, dtype))

    conv = pool = net = prepared

    def load(self, case, model: bytes, x: np.ndarray, y_shape: tuple[int, ...]) -> Prepared:
        raise NotImplementedError


class OnnxRuntime(Runtime):
    """Constant filters, packed when the session is made; input and output bound, so that no call copies."""

    install = "pip install onnxruntime onnx"

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.ort, self.threads, self.versions = onnxruntime, threads, {"onnxruntime": onnxruntime.__version__}

    def load(self, case, model: bytes, x: np.ndarray, y_shape: tuple[int, ...]) -> Prepared:
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = self.ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        y = self.ort.OrtValue.ortvalue_from_shape_and_type(y_shape, x.dtype)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", self.ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output("y", y)

        def run():
            session.run_with_iobinding(binding)
            return y

        return run, lambda y: y.numpy()


class OpenVino(Runtime):
    """Constant filters, arithmetic in the type of the data, input and output shared, so that no call copies."""

    install, kinds = "pip install openvino onnx", (Conv, Network)

    def __init__(self, threads: int) -> None:
        import openvino

        self.openvino, self.threads, self.versions = openvino, threads, {"openvino": version("openvino")}

    def load(self, case, model: bytes, x: np.ndarray, y_shape: tuple[int, ...]) -> Prepared:
        how = {"INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY",
               "INFERENCE_PRECISION_HINT": {"float32": "f32", "float64": "f64"}[x.dtype.name]}  # fmt: skip
        core = self.openvino.Core()
        request = core.compile_model(core.read_model(model), "CPU", how).create_infer_request()
        return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0], np.array


class OpenCv(Runtime):
    """cv2.filter2D for one channel, else cv2.dnn."""

    install, kinds = "pip install opencv-python-headless onnx", (Conv, Network)

    def __init__(self, threads: int) -> None:
        import cv2

        cv2.setNumThreads(threads)
        self.cv2, self.versions = cv2, {"opencv": cv2.__version__}

    def load(self, case, model: bytes, x: np.ndarray, y_shape: tuple[int, ...]) -> Prepared:
        if x.dtype != np.float32:
            raise NotImplementedError("float32 alone")
        if isinstance(case, Conv) and case.channels == case.filters == case.batch == case.stride == 1 and x.ndim == 4:
            return self.filter(case)
        net = self.cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        net.setInput(x)
        return net.forward, lambda y: np.array(y).reshape(y_shape)

    def filter(self, case: Conv) -> Prepared:
        data = arrays(case, "float32")
        x, w, b = np.pad(data["x"][0, 0], case.padding), data["w"][0, 0], float(data["b"][0])
        y, edge = np.empty_like(x), tuple(k // 2 for k in case.kernel)
        inside = tuple(slice(k, k + n) for k, n in zip(edge, case.out_spatial, strict=True))
        return lambda: self.cv2.filter2D(x, -1, w, y, delta=b, borderType=self.cv2.BORDER_CONSTANT), (
            lambda y: y[inside][None, None])  # fmt: skip


class Mnn(Runtime):
    """MNN, which runs Winograd: networks, float32 storage and arithmetic."""

    install, kinds = "pip install MNN onnx", (Network,)

    def __init__(self, threads: int) -> None:
        import MNN

        self.mnn, self.threads, self.versions = MNN, threads, {"mnn": version("mnn")}

    def load(self, case, model: bytes, x: np.ndarray, y_shape: tuple[int, ...]) -> Prepared:
        if x.dtype != np.float32:
            raise NotImplementedError("float32 alone")
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "net.onnx"), Path(folder, "net.mnn")
            source.write_bytes(model)
            command = [sys.executable, "-m", "MNN.tools.mnnconvert", "-f", "ONNX", "--modelFile", str(source),
                       "--MNNModel", str(target), "--bizCode", "bench"]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
            if not target.exists():
                raise RuntimeError(f"mnnconvert: {(done.stderr or done.stdout)[-200:]}")
            interpreter = self.mnn.Interpreter(str(target))
        how = {"backend": "CPU", "numThread": self.threads, "precision": "high"}
        session = interpreter.createSession(how)
        source = interpreter.getSessionInput(session)
        data = self.mnn.Tensor(x.shape, self.mnn.Halide_Type_Float, x, self.mnn.Tensor_DimensionType_Caffe)

        def run():
            source.copyFrom(data)
            interpreter.runSession(session)
            return interpreter.getSessionOutput(session)

        def to_numpy(y) -> np.ndarray:
            host = self.mnn.Tensor(y_shape, self.mnn.Halide_Type_Float, np.zeros(y_shape, np.float32),
                                   self.mnn.Tensor_DimensionType_Caffe)  # fmt: skip
            y.copyToHostTensor(host)
            return np.array(host.getData(), np.float32).reshape(y_shape)

        return run, to_numpy
