"""convkit: fast convolution for NumPy.

Functions on plain arrays (convolution, pooling and their gradients), trainable layers and a small model API. Needs NumPy
alone; what needs more (files, pictures, progress bars) says so when it is used.
"""

from typing import TYPE_CHECKING

from convkit import ops as _ops
from convkit._core.cpu import accuracy, isa, threads
from convkit._version import __version__
from convkit.config import show_config

if TYPE_CHECKING:
    from convkit import callbacks, data, layers, losses, metrics, models, optim, schedules
    from convkit.model import Checkpoint, History, Input, Model, ModelFileError, Sequential, gradient_check, load_model
    from convkit.ops import *  # noqa: F403

__all__ = [
    "Checkpoint",
    "History",
    "Input",
    "Model",
    "ModelFileError",
    "Sequential",
    "__version__",
    "accuracy",
    "callbacks",
    "data",
    "gradient_check",
    "isa",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "optim",
    "schedules",
    "show_config",
    "threads",
    *_ops.__all__,
]


def __getattr__(name: str):
    """What is imported when first used: who wants to convolve does not wait for layers and models, nor for the rarer ops."""
    if name not in __all__:
        raise AttributeError(f"module 'convkit' has no attribute {name!r}")
    if name in _ops.__all__:
        import convkit

        setattr(convkit, name, getattr(_ops, name))     # so that this is asked once
        return getattr(_ops, name)
    import convkit.callbacks
    import convkit.data
    import convkit.layers
    import convkit.losses
    import convkit.metrics
    import convkit.models
    import convkit.optim
    import convkit.schedules
    from convkit import model

    return getattr(model, name) if hasattr(model, name) else vars(convkit)[name]


def __dir__() -> list[str]:
    return sorted(__all__)
