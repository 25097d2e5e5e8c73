"""Models: layers that are connected, which fit, predict, save and load."""

from convkit.callbacks import History
from convkit.layers.tensor import Input
from convkit.model.checkpoint import Checkpoint
from convkit.model.files import ModelFileError
from convkit.model.gradient_check import gradient_check
from convkit.model.model import Model
from convkit.model.sequential import Sequential

load_model = Model.load

__all__ = ["Checkpoint", "History", "Input", "Model", "ModelFileError", "Sequential", "gradient_check", "load_model"]
