"""The libraries under measurement, by the names that the commands take."""

from __future__ import annotations

from functools import partial

from .engines import Jax, Ncnn, OpenVino
from .peers import Convkit, OnnxRuntime, Torch

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
