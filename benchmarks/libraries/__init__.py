"""The libraries under measurement, by the names that the options take; each runs in a process of its own.

A library is a class with some of the methods `conv`, `pool`, `op` and `net`, each of (case, what, dtype). They return `run`,
which computes one pass and is what gets timed, and `to_numpy`, which brings its result into channels-first NumPy order for
the check. A pass that it has no function for is a NotImplementedError.
"""

from __future__ import annotations

from functools import partial

from .jax import Jax
from .ncnn import Ncnn
from .numerical import Numpy, Scipy
from .ours import Algorithm, Convkit
from .runtimes import Mnn, OnnxRuntime, OpenCv, OpenVino
from .torch import Torch

LIBRARIES = {
    "convkit": Convkit,
    "torch": Torch,
    "torch_cl": partial(Torch, last=True),
    "torch_compiled": partial(Torch, last=True, compiled=True),
    "ort": OnnxRuntime,
    "openvino": OpenVino,
    "jax": Jax,
    "ncnn": Ncnn,
    "mnn": Mnn,
    "opencv": OpenCv,
    "scipy": Scipy,
    "numpy": Numpy,
}
INSTALL = {name: getattr(library, "func", library).install for name, library in LIBRARIES.items()}

# What keeps a library to an instruction set; the others have no setting that does (JAX has one, its convolutions ignore it).
ONEDNN = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
TORCH = ONEDNN | {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
LIMITS = {"avx2": {"torch": TORCH, "torch_cl": TORCH, "torch_compiled": TORCH, "openvino": ONEDNN}}


def start(library: str, threads: int, algorithm: str = "auto"):
    """The library; any other name is that of an algorithm of convkit."""
    if library == "convkit":
        return Convkit(threads, algorithm)
    return LIBRARIES[library](threads) if library in LIBRARIES else Algorithm(threads, library)
