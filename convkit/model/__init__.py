"""Models: a list of layers that fits, predicts, saves and loads."""

from convkit.callbacks import History
from convkit.model.files import ModelFileError
from convkit.model.graph import Sequential

load_model = Sequential.load

__all__ = ["History", "ModelFileError", "Sequential", "load_model"]
