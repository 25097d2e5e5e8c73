"""Data sets and reading ahead: the same batches by any number of threads, errors where they happen, no thread left."""

import gc
import threading
import time

import numpy as np
import pytest

from convkit.data import ArrayDataset, Dataset, ahead


class Slow(Dataset):
    """Each batch takes its time, later ones less; row 13 cannot be read."""

    shape, dtype = (2,), np.dtype(np.float32)

    def __init__(self, n=40):
        self.n, self.seen = n, set()

    def __len__(self):
        return self.n

    def _read(self, rows, seed):
        self.seen.add(threading.get_ident())
        time.sleep(0.002 * (rows[0] % 3))
        if 13 in rows:
            raise OSError("row 13 is gone")
        noise = [np.random.default_rng((seed or 0, row)).random(2, np.float32) for row in rows]
        return np.stack(noise), rows.copy()


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("convkit-read")]


def batches(n=12, size=3):
    return np.random.default_rng(0).permutation(n).reshape(-1, size)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_do_not_depend_on_the_number_of_threads(workers):
    data = Slow()
    plain, threaded = (list(ahead(data, batches(), 5, w)) for w in (0, workers))
    assert len(plain) == len(threaded) == 4
    for (x, y), (other_x, other_y), rows in zip(plain, threaded, batches(), strict=True):
        assert np.array_equal(x, other_x)
        assert np.array_equal(y, other_y)
        assert np.array_equal(y, rows)
    assert not readers()
    assert threading.get_ident() in data.seen
    assert len(data.seen) > 1


def test_the_seed_reaches_every_batch():
    first, second = (np.concatenate([x for x, _ in ahead(Slow(), batches(), seed, 2)]) for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_in_its_turn_and_ends_the_threads(workers):
    found = []
    with pytest.raises(OSError, match="row 13"):
        found.extend(y.tolist() for _, y in ahead(Slow(), [[1, 2], [3, 4], [13, 5], [6, 7]], 0, workers))
    assert found == [[1, 2], [3, 4]]
    assert not readers()


@pytest.mark.parametrize("how", ["close", "drop"])
def test_no_thread_stays_when_the_reader_stops_early(how):
    reading = ahead(Slow(), batches(36), 0, 3)
    next(reading)
    assert readers()
    if how == "close":
        reading.close()
    else:
        del reading
        gc.collect()
    assert not readers()


def test_no_more_is_read_ahead_than_there_is_room_for():
    asked = []

    def rows():
        for row in range(30):
            if row != 13:
                asked.append(row)
                yield [row]

    reading = ahead(Slow(), rows(), 0, 2)
    next(reading)
    assert len(asked) == 5
    reading.close()


def test_arrays_are_read_where_they_lie():
    x, y = np.zeros((4, 3), np.uint8), np.arange(4)
    data = ArrayDataset(x, y)
    x[2] = 7
    got, labels = data.batch([2, 0])
    assert got.tolist() == [[7, 7, 7], [0, 0, 0]]
    assert labels.tolist() == [2, 0]
    got[:] = 9
    assert x[2, 0] == 7
    assert (len(data), data.shape, data.dtype, data.targets is y or data.targets.base is y) == (4, (3,), np.uint8, True)


def test_arrays_without_targets_and_in_another_byte_order():
    data = ArrayDataset(np.arange(3.0).astype(">f4")[:, None])
    x, y = data.batch(np.array([], int))
    assert (x.shape, x.dtype, y) == ((0, 1), np.dtype(np.float32), None)
    assert data.batch([1])[0] == 1
    assert data.batch([1])[0].dtype.isnative


def test_a_mapped_file_is_read_by_batches(tmp_path):
    path = tmp_path / "large.npy"
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1), np.uint8)
    np.save(path, images)
    data = ArrayDataset(np.load(path, mmap_mode="r"), np.arange(50))
    assert data.workers == 1
    for (x, _), rows in zip(ahead(data, batches(48, 16)), batches(48, 16), strict=True):
        assert type(x) is np.ndarray
        assert np.array_equal(x, images[rows])


def test_a_file_larger_than_memory_is_not_loaded(tmp_path):
    """A sparse file of 1 TiB, which no machine could read whole."""
    path = tmp_path / "huge.bin"
    path.touch()
    try:
        with path.open("r+b") as file:
            file.truncate(1 << 40)
    except OSError:
        pytest.skip("the file system has no sparse files of this size")
    n = (1 << 40) // 1024
    data = ArrayDataset(np.memmap(path, np.uint8, "r", shape=(n, 16, 16, 4)))
    (x, _), (last, _) = ahead(data, [[0, 1], [n - 1]])
    assert x.shape == (2, 16, 16, 4)
    assert not last.any()


def test_subsets_are_numbered_anew():
    data = ArrayDataset(np.arange(10.0), np.arange(10)).subset([7, 3, 5]).subset([2, 0])
    assert data.targets.tolist() == [5, 7]
    assert data.batch([1, 0, 1])[0].tolist() == [7, 5, 7]
    with pytest.raises(ValueError, match=r"rows must be in 0\.\.1, got 2\.\.2"):
        data.batch([2])


@pytest.mark.parametrize("rows", [[-1], [4], [[0, 1]], [0.0], [True]])
def test_rows_that_are_none_are_refused(rows):
    with pytest.raises((TypeError, ValueError), match="rows must be"):
        ArrayDataset(np.zeros((4, 1))).batch(rows)


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_a_seed_is_a_number(seed):
    with pytest.raises((TypeError, ValueError), match="seed"):
        ArrayDataset(np.zeros((4, 1))).batch([0], seed)


@pytest.mark.parametrize("workers", [-1, 1.5, True])
def test_workers_are_counted(workers):
    with pytest.raises((TypeError, ValueError), match="workers"):
        ahead(Slow(), [[0]], workers=workers)


@pytest.mark.parametrize(
    ("x", "y"), [(np.zeros(3), np.zeros(4)), (np.zeros(()), None), ([[1], [2, 3]], None), (np.zeros(2), np.zeros(()))]
)
def test_arrays_that_do_not_fit_are_refused(x, y):
    with pytest.raises(ValueError, match="ArrayDataset"):
        ArrayDataset(x, y)


def test_a_data_set_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match="Dataset: a data set needs __len__"):
        Dataset().batch([0])
