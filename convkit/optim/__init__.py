"""Optimisers: `step(params)` moves every Param against its gradient, in place and in one pass over memory."""

from convkit.optim.adam import LAMB, Adam, AdamW, NAdam
from convkit.optim.base import Optimizer
from convkit.optim.momentum import SGD, Lion, RMSprop

__all__ = ["LAMB", "OPTIMIZERS", "SGD", "Adam", "AdamW", "Lion", "NAdam", "Optimizer", "RMSprop"]

OPTIMIZERS = {kind.__name__.lower(): kind for kind in (SGD, RMSprop, Adam, AdamW, NAdam, Lion, LAMB)}
