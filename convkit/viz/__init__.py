"""Pictures of training, of mistakes and of what a network sees; arrays in, a matplotlib Figure out."""

from convkit.viz.images import filters, mistakes
from convkit.viz.journey import journey
from convkit.viz.scores import confusion, curves
from convkit.viz.sheet import save_sheet
from convkit.viz.style import save

__all__ = ["confusion", "curves", "filters", "journey", "mistakes", "save", "save_sheet"]
