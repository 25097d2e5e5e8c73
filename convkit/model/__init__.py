"""Models: a list of layers that fits, predicts, saves and loads."""

from convkit.callbacks import History
from convkit.model.checkpoint import Checkpoint
from convkit.model.files import ModelFileError
from convkit.model.model import Model
from convkit.model.sequential import Sequential

load_model = Sequential.load

__all__ = ["Checkpoint", "History", "Model", "ModelFileError", "Sequential", "load_model"]
