"""What is told about a training run, and what may act on it: after steps, after epochs, at the end."""

from convkit.callbacks.base import Callback, Run
from convkit.callbacks.logs import CSVLog, JSONLog, Plot
from convkit.callbacks.progress import History, Progress
from convkit.callbacks.stops import BestModel, EarlyStopping, Schedule, TimeLimit

__all__ = [
    "BestModel", "CSVLog", "Callback", "EarlyStopping", "History", "JSONLog", "Plot", "Progress", "Run", "Schedule",
    "TimeLimit",
]  # fmt: skip
