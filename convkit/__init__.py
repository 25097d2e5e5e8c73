"""convkit: fast convolution for NumPy.

Functions on plain arrays (convolution, pooling and their gradients), trainable layers and a small model API. Needs NumPy
alone; what needs more (files, pictures, progress bars) says so when it is used.
"""

from convkit import data, layers, losses, optim
from convkit._core.cpu import isa, threads
from convkit._version import __version__
from convkit.config import show_config
from convkit.model import History, ModelFileError, Sequential, load_model
from convkit.ops import *  # noqa: F403
from convkit.ops import __all__ as _ops

__all__ = [
    "History",
    "ModelFileError",
    "Sequential",
    "__version__",
    "data",
    "isa",
    "layers",
    "load_model",
    "losses",
    "optim",
    "show_config",
    "threads",
    *_ops,
]
