"""Arrays in .npz files."""

import numpy as np
import pytest

from convkit.data import read_npz


@pytest.fixture
def archive(tmp_path):
    def make(**arrays):
        np.savez_compressed(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return make


@pytest.mark.parametrize("names", [("x", "y"), ("x_train", "y_train"), ("images", "labels"), ("data", "target")])
def test_the_usual_names_are_known(archive, names):
    x, y = np.random.default_rng(0).random((4, 3, 3, 1)), np.arange(4)
    data = read_npz(archive(**dict(zip(names, (x, y), strict=True)), other=np.zeros(1)))
    assert np.array_equal(data.batch([3, 1])[0], x[[3, 1]])
    assert np.array_equal(data.targets, y)


def test_names_can_be_given(archive):
    path = archive(x=np.zeros((2, 1)), y=np.zeros(2), a=np.ones((3, 1)), b=np.arange(3))
    assert read_npz(path, "a", "b").targets.tolist() == [0, 1, 2]
    assert read_npz(path, "a").targets is None


@pytest.mark.parametrize(
    ("how", "message"),
    [({}, "it holds a, b"), ({"x": "c"}, "no array 'c' but a, b"), ({"y": "b"}, "not x"), ({"x": "a", "y": "b"}, "4 samples")],
)
def test_what_is_missing_is_named(archive, how, message):
    with pytest.raises(ValueError, match=rf"a\.npz cannot be used: .*{message}"):
        read_npz(archive(a=np.zeros((4, 1)), b=np.zeros(3)), **how)


def test_python_objects_are_never_loaded(archive):
    with pytest.raises(ValueError, match=r"a\.npz cannot be used"):
        read_npz(archive(x=np.array([{}, {}], object), y=np.zeros(2)))


def test_a_damaged_file_is_one_error_that_names_it(archive):
    path = archive(x=np.random.default_rng(0).random((40, 9)), y=np.zeros(40))
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    named = read = 0
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(len(bad), size=3):
            bad[place] = rng.integers(256)
        path.write_bytes(bad[: len(bad) if rng.random() < 0.7 else rng.integers(len(bad))])
        try:
            read_npz(path)
        except ValueError as error:
            named += "a.npz" in str(error)
        else:
            read += 1
    assert named > 100
    assert named + read == 200


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "a.npz")
