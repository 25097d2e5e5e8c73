"""Files that are either whole or as they were."""

from __future__ import annotations

import contextlib
import os
import secrets

__all__ = ["replace"]


def replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a temporary file beside `path`, make sure it is on disk, and put it in place in one step.

    Raises
    ------
    OSError
        If the file cannot be written; the old one stays.

    Examples
    --------
    >>> import os, tempfile
    >>> from convkit.disk import replace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace(os.path.join(folder, "new"), b"text")
    ...     os.listdir(folder)
    ['new']
    """
    folder, name = os.path.split(os.path.realpath(path))
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, os.path.join(folder, name))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the new name is safe only when the folder is on disk too
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
