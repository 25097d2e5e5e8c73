"""Text on the terminal: images as shades, tables, and how this program was called."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SHADES, PLAIN_SHADES = " ░▒▓█", " .:*#"


def text_pictures(images: np.ndarray, captions: Sequence[str], *, encoding: str | None = None) -> str:
    """Draw small images beside each other, two characters a pixel.

    Parameters
    ----------
    images : ndarray of shape (N, H, W)
        Values from 0 (paper) to the largest value found (full ink).
    captions : sequence of str of length N
        A line for under each image.
    encoding : str, optional
        What the characters must be written in; by default the standard output's. Where it lacks the block
        characters, ASCII is used.

    Returns
    -------
    str
        H lines of shades and one of captions.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.apps.terminal import text_pictures
    >>> print(text_pictures(np.array([[[0, 4], [2, 4]]]), ["ink"], encoding="ascii"))
      ##
    ::##
    ink
    """
    shades = SHADES if _can_write(SHADES, encoding or sys.stdout.encoding) else PLAIN_SHADES
    full = max(float(images.max(initial=0)), 1e-9)
    steps = np.rint(images / full * (len(shades) - 1)).astype(int)
    width = 2 * images.shape[2]
    lines = ["  ".join("".join(2 * shades[step] for step in image[row]) for image in steps) for row in range(images.shape[1])]
    lines.append("  ".join(caption.center(width) for caption in captions))
    return "\n".join(line.rstrip() for line in lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Set rows of text in columns, those in ``right`` aligned to the right.

    Examples
    --------
    >>> from convkit.apps.terminal import table
    >>> print(table(["name", "n"], [["a", "10"], ["bcd", "7"]], right=frozenset([1])))
    name   n
    a     10
    bcd    7
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    set_cell = [str.rjust if i in right else str.ljust for i in range(len(head))]
    lines = ("  ".join(s(text, width) for s, text, width in zip(set_cell, row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)


def needs(task: str, *modules: str) -> None:
    """Raise ImportError if one of the optional packages that a task needs is missing, before any work is done."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            name = {"PIL": "Pillow"}.get(module, module)
            raise ImportError(f'{task} needs {name}; run pip install "convkit-numpy[demo]"')


def live() -> int:
    """The verbosity for training: a live bar on a terminal, one line per epoch elsewhere."""
    sys.stdout.flush()  # the bar goes to the standard error, and must not overtake what was printed before it
    return 1 if sys.stderr.isatty() else 2


def program() -> str:
    """What to type to call this program again in the same way."""
    return "python -m convkit" if Path(sys.argv[0]).name == "__main__.py" else "convkit"


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
