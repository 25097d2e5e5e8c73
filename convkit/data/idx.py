"""IDX files, the format of MNIST, Fashion-MNIST and EMNIST: a big-endian header, then the numbers; plain or in gzip."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from convkit.data.dataset import ArrayDataset
from convkit.ops import check

__all__ = ["IDXDataset", "read", "write"]

CODES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
DTYPES = {np.dtype(text).newbyteorder("="): code for code, text in CODES.items()}
GZIP = b"\x1f\x8b"
CHUNK = 1 << 20  # bytes decompressed at a time: a header may promise more than there is


def read(path: str | os.PathLike[str], *, mmap: bool = False) -> np.ndarray:
    """Read an IDX file, plain or compressed by gzip, whatever its name.

    Parameters
    ----------
    path : path
    mmap : bool, default False
        Leave the numbers of a plain file on disk, and read them as they are used. Those of a compressed one are read.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64, of the shape that the file tells; in the byte order of the machine,
        or, if mapped, of the file, and read-only.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an IDX file, cut off, or longer than its header says; the message names it.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from convkit.data import idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     idx.write(f"{folder}/labels.gz", np.arange(3, dtype=np.int32))
    ...     idx.read(f"{folder}/labels.gz")
    array([0, 1, 2], dtype=int32)
    """
    with _naming(path), open(path, "rb") as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as plain:
                return _native(_array(plain, None))
        size = os.fstat(file.fileno()).st_size
        if not mmap:
            return _native(_array(file, size))
        dtype, shape = _header(file)
        _check_size(dtype, shape, size - file.tell())
        if not math.prod(shape):  # nothing to map
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape)


def write(path: str | os.PathLike[str], array: Any) -> None:
    """Write an IDX file, compressed by gzip if its name ends in ``.gz``.

    Parameters
    ----------
    path : path
        An existing file is replaced.
    array : array_like
        uint8, int8, int16, int32, float32 or float64, of 1 to 255 axes shorter than 2**32 each.

    Raises
    ------
    TypeError, ValueError
        If the array is none of these; nothing is written then.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from convkit.data import idx
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     idx.write(file.name, np.zeros((2, 3), np.uint8))
    ...     file.read()
    b'\\x00\\x00\\x08\\x02\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x03\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    array = check.as_array(array, "idx.write", "array")
    code = DTYPES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise TypeError(f"idx.write: array must be one of {', '.join(map(str, DTYPES))}, got {array.dtype}")
    if not array.ndim or max(array.shape) >= 1 << 32:
        raise ValueError(f"idx.write: array must have 1 or more axes shorter than 2**32, got shape {array.shape}")
    header = bytes((0, 0, code, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    content = np.ascontiguousarray(array, CODES[code]).reshape(-1).view(np.uint8)
    with contextlib.ExitStack() as files:
        file: Any = files.enter_context(open(path, "wb"))
        if os.fspath(path).endswith(".gz"):  # no name and time inside: the same array is the same file
            file = files.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0))
        file.write(header)
        file.write(content)


class IDXDataset(ArrayDataset):
    """Images in an IDX file, with their labels in another one.

    Parameters
    ----------
    images : path
        An array of shape (N, H, W), or of any other with samples first. A plain file stays on disk, a compressed one is
        read into memory.
    labels : path, optional
        An array of shape (N,).
    transposed : bool, default False
        Exchange rows and columns, for EMNIST: its images lie column by column.

    Attributes
    ----------
    shape : tuple of int
        (H, W, 1) for images (N, H, W).

    Raises
    ------
    OSError
        If a file cannot be opened.
    ValueError
        If one is damaged, or they are not equally long; the message names them.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from convkit.data import IDXDataset, idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     idx.write(f"{folder}/images", np.zeros((5, 28, 28), np.uint8))
    ...     idx.write(f"{folder}/labels", np.arange(5, dtype=np.uint8))
    ...     data = IDXDataset(f"{folder}/images", f"{folder}/labels")
    ...     len(data), data.shape, data.targets
    (5, (28, 28, 1), array([0, 1, 2, 3, 4]))
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        labels: str | os.PathLike[str] | None = None,
        *,
        transposed: bool = False,
    ) -> None:
        check.flag(transposed, "IDXDataset", "transposed")
        x, y = read(images, mmap=True), None if labels is None else read(labels)
        if y is not None and (y.shape != x.shape[:1] or y.dtype.kind not in "iu"):
            got = f"{x.shape[0]} samples, the other {y.dtype} of shape {y.shape}"
            raise ValueError(f"IDXDataset: {images} and {labels} do not belong together: one has {got}")
        if transposed:
            if x.ndim < 3:
                raise ValueError(f"IDXDataset: transposed is for images, {images} holds an array of shape {x.shape}")
            x = x.swapaxes(1, 2)
        super().__init__(x[..., np.newaxis] if x.ndim == 3 else x, None if y is None else y.astype(np.int64))


def _array(file: BinaryIO, size: int | None) -> np.ndarray:
    dtype, shape = _header(file)
    if size is not None:
        _check_size(dtype, shape, size - file.tell())
    wanted = math.prod(shape) * dtype.itemsize
    content = bytearray()
    while len(content) <= wanted and (chunk := file.read(min(CHUNK, wanted + 1 - len(content)))):
        content += chunk
    _check_size(dtype, shape, len(content))
    return np.frombuffer(content, dtype).reshape(shape)


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in CODES or not magic[3]:
        begin = magic.hex(" ") or "nothing"
        raise ValueError(f"it begins with {begin}, not with 00 00, the code of a type and a number of axes")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(f"it is cut off within its header of {magic[3]} sizes")
    return np.dtype(CODES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _check_size(dtype: np.dtype, shape: tuple[int, ...], found: int) -> None:
    wanted = math.prod(shape) * dtype.itemsize
    if found != wanted:
        text = f"{' x '.join(map(str, shape))} numbers of {dtype.itemsize} bytes, {wanted:,} bytes"
        has = "more" if found > wanted else f"{found:,}; it is cut off"
        raise ValueError(f"its header tells of {text}, but it holds {has}")


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what damage can raise into one error that names the file."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"idx.read: {os.fspath(path)} is not a sound IDX file: {error}") from error
