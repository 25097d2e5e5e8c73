"""The libraries under measurement, by the names that the commands take."""

from __future__ import annotations

from functools import partial

from .engines import Jax, Ncnn, OpenVino
from .peers import Convkit, OnnxRuntime, Prepared, Torch
from .shapes import Conv

LIBRARIES = {
    "convkit": Convkit,
    "torch": Torch,
    "torch_cl": partial(Torch, last=True),
    "ort": OnnxRuntime,
    "openvino": OpenVino,
    "jax": Jax,
    "ncnn": Ncnn,
}
INSTALL = {name: getattr(library, "func", library).install for name, library in LIBRARIES.items()}

# What keeps a library to an instruction set; the others have no setting that does (JAX has one, its convolutions ignore it).
ONEDNN = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
TORCH = ONEDNN | {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
LIMITS = {"avx2": {"torch": TORCH, "torch_cl": TORCH, "openvino": ONEDNN}}


class Algorithm(Convkit):
    """One of convkit's algorithms by its name; absent where it cannot run a pass."""

    chosen = None

    def conv(self, case: Conv, what: str, dtype: str) -> Prepared:
        run, to_numpy = super().conv(case, what, dtype)
        try:
            run()
        except ValueError as refusal:
            raise NotImplementedError(str(refusal)) from None
        return run, to_numpy


def start(library: str, threads: int, algorithm: str = "auto"):
    """The library; any other name is that of an algorithm of convkit."""
    if library == "convkit":
        return Convkit(threads, algorithm)
    return LIBRARIES[library](threads) if library in LIBRARIES else Algorithm(threads, library)
