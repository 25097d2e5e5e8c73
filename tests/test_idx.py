"""IDX files: every type, plain and compressed, mapped; and each kind of damage named."""

import gzip
import tracemalloc

import numpy as np
import pytest

from convkit.data import IDXDataset, idx

TYPES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("dtype", TYPES)
def test_what_was_written_is_read(tmp_path, dtype, name):
    array = (np.random.default_rng(0).standard_normal((3, 4, 2)) * 100).astype(dtype)
    idx.write(tmp_path / name, array[:, ::2])
    for mmap in (False, True):
        found = idx.read(tmp_path / name, mmap=mmap)
        assert np.array_equal(found, array[:, ::2])
        assert found.dtype.newbyteorder("=") == dtype
    raw = (tmp_path / name).read_bytes()
    raw = gzip.decompress(raw) if name.endswith("gz") else raw
    assert raw[:4] == bytes((0, 0, TYPES[dtype], 3))
    assert raw[4:16] == bytes((0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2))
    assert raw[16:] == array[:, ::2].astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    assert idx.read(tmp_path / name).dtype.isnative


def test_the_same_array_is_the_same_file(tmp_path):
    for name in ("a.gz", "b.gz"):
        idx.write(tmp_path / name, np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_compression_is_seen_in_the_file_and_not_in_its_name(tmp_path):
    idx.write(tmp_path / "a.gz", np.arange(3, dtype=np.uint8))
    (tmp_path / "a.gz").rename(tmp_path / "a")
    assert idx.read(tmp_path / "a").tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28)])
def test_no_samples(tmp_path, shape):
    for name in ("a", "a.gz"):
        idx.write(tmp_path / name, np.zeros(shape, np.uint8))
        assert idx.read(tmp_path / name).shape == idx.read(tmp_path / name, mmap=True).shape == shape


def test_a_mapped_file_is_not_loaded(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(bytes((0, 0, 8, 2)) + np.array([1 << 20, 1 << 10], ">u4").tobytes())
        file.truncate(12 + (1 << 30))  # a hole
    tracemalloc.start()
    data = IDXDataset(path)
    x, _ = data.batch([0, (1 << 20) - 1])
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert x.shape == (2, 1 << 10)


GOOD = bytes((0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3)) + bytes(6)
HUGE = bytes((0, 0, 14, 4)) + bytes((255,)) * 16 + bytes(8)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (GOOD[:3], "begins with 00 00 08"),
        (b"\1" + GOOD[1:], "begins with 01"),
        (b"\0\0\x0a" + GOOD[3:], "begins with 00 00 0a 02"),
        (b"\0\0\x08\0" + GOOD[4:], "begins with 00 00 08 00"),
        (GOOD[:10], "cut off within its header of 2 sizes"),
        (GOOD[:-1], "2 x 3 numbers of 1 bytes, 6 bytes, but it holds 5; it is cut off"),
        (GOOD + b"x", "but it holds more"),
        (HUGE, "but it holds 8; it is cut off"),
    ],
)
def test_damage_is_told_with_the_name_of_the_file(tmp_path, content, message, packed):
    path = tmp_path / "bad.idx"
    path.write_bytes(gzip.compress(content) if packed else content)
    for mmap in (False, True):
        with pytest.raises(ValueError, match=rf"bad\.idx is not a sound IDX file: .*{message}"):
            idx.read(path, mmap=mmap)


@pytest.mark.parametrize("cut", [1, 5, 12, -1, -8])
def test_damaged_compression_is_told_too(tmp_path, cut):
    content = gzip.compress(GOOD)
    path = tmp_path / "bad.idx.gz"
    path.write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"bad\.idx\.gz is not a sound IDX file"):
        idx.read(path)
    path.write_bytes(content[:14] + b"\xff\xff" + content[16:])
    with pytest.raises(ValueError, match=r"bad\.idx\.gz is not a sound IDX file"):
        idx.read(path)


@pytest.mark.parametrize("packed", [False, True])
def test_no_mutated_file_raises_anything_else(tmp_path, packed):
    rng = np.random.default_rng(0)
    good = np.frombuffer(gzip.compress(GOOD) if packed else GOOD, np.uint8)
    path = tmp_path / "m"
    read = 0
    for _ in range(400):
        bad = good.copy()
        bad[rng.integers(len(bad), size=rng.integers(1, 4))] = rng.integers(256)
        path.write_bytes(bad[: rng.integers(len(bad) // 2, len(bad) + 1)])
        try:
            idx.read(path)
            read += 1
        except ValueError:
            pass
    assert read < 300


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        idx.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("array", "error"),
    [(np.zeros(3, np.int64), TypeError), (np.zeros(3, bool), TypeError), (np.uint8(3), ValueError), (["a"], TypeError)],
)
def test_what_the_format_cannot_hold_is_refused_before_a_file_is_touched(tmp_path, array, error):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(error, match=r"idx\.write: array must"):
        idx.write(tmp_path / "a", array)
    assert (tmp_path / "a").read_text() == "mine"


def test_images_with_labels_are_a_data_set(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4), np.uint8)
    idx.write(tmp_path / "images", images)
    idx.write(tmp_path / "labels.gz", np.arange(6, dtype=np.uint8))
    data = IDXDataset(tmp_path / "images", tmp_path / "labels.gz")
    assert (len(data), data.shape, data.dtype) == (6, (3, 4, 1), np.uint8)
    assert data.targets.dtype == np.int64
    x, y = data.batch([4, 1])
    assert np.array_equal(x[..., 0], images[[4, 1]])
    assert y.tolist() == [4, 1]
    turned = IDXDataset(tmp_path / "images", transposed=True)
    assert np.array_equal(turned.batch([2])[0][0, ..., 0], images[2].T)


@pytest.mark.parametrize("labels", [np.zeros(5, np.uint8), np.zeros((6, 1), np.uint8), np.zeros(6, np.float32)])
def test_labels_of_other_images_are_refused_by_name(tmp_path, labels):
    idx.write(tmp_path / "images", np.zeros((6, 3, 4), np.uint8))
    idx.write(tmp_path / "labels", labels)
    with pytest.raises(ValueError, match=r"images and .*labels do not belong together"):
        IDXDataset(tmp_path / "images", tmp_path / "labels")
