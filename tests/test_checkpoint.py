"""Checkpoints: a run that is stopped anywhere and resumed ends with the same bits; wrong and damaged files change nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from test_model import images, same, small, weights

from convkit import Checkpoint, ModelFileError, Sequential
from convkit.callbacks import CSVLog, EarlyStopping, TimeLimit
from convkit.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU
from convkit.metrics import AUC, F1
from convkit.model import checkpoint
from convkit.optim import LAMB, SGD, Adam, Lion, RMSprop
from convkit.schedules import OneCycle, Plateau

pytest.importorskip("safetensors")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


class Stop(Exception):
    pass


def stop_after(steps: int):
    """A checkpoint that dies after so many steps, when it has been written."""

    class Dying(Checkpoint):
        def step_end(self, run):
            super().step_end(run)
            if self._steps == steps:
                raise Stop

    return Dying


def model(**how) -> Sequential:
    return Sequential([Conv2D(4, 3), BatchNorm(), ReLU(), Dropout(0.3), Flatten(), Dense(3)], rng=0, **how)


def state_of(model: Sequential) -> list[np.ndarray]:
    return weights(model) + [buffer.copy() for layer in model.layers for buffer in layer.buffers.values()]


def figures(history) -> dict:
    return {name: values for name, values in history.history.items() if name != "seconds"}


@pytest.mark.parametrize("steps", [5, 8, 15])
@pytest.mark.parametrize(
    "optimizer",
    [lambda: Adam(Plateau(0.01, patience=1), ema=0.9), lambda: SGD(OneCycle(0.1, 24), momentum=0.9, clip_norm=1.0),
     lambda: RMSprop(momentum=0.5), lambda: Lion(0.01, clip_value=0.1), lambda: LAMB(0.01, clip_global_norm=1.0)],
    ids=["adam", "sgd", "rmsprop", "lion", "lamb"],
)  # fmt: skip
def test_a_run_that_died_and_is_resumed_has_the_bits_of_one_that_did_not(steps, optimizer, tmp_path, rng):
    """3 epochs of 8 steps; step 8 ends an epoch, but for the validation."""
    x, y = images(rng)
    path = tmp_path / "run"
    how = {"epochs": 3, "batch_size": 3, "accumulate": 2, "validation_split": 0.2, "metrics": ["accuracy", F1(), AUC()],
           "verbose": 0}

    def early():
        return EarlyStopping(patience=2, restore_best=True, min_delta=0.01)

    whole, parts = model(), model()
    expected = whole.fit(x, y, optimizer=optimizer(), callbacks=[early()], **how)
    with pytest.raises(Stop):
        parts.fit(x, y, optimizer=optimizer(), callbacks=[stop_after(steps)(path, every=steps), early()], **how)
    parts = model()
    history = parts.fit(x, y, optimizer=optimizer(), callbacks=[early(), Checkpoint(path)], resume=path, **how)
    assert same(state_of(whole), state_of(parts))
    assert figures(history) == figures(expected)
    assert history.stopped == expected.stopped
    again = model()
    assert figures(again.fit(x, y, optimizer=optimizer(), callbacks=[early()], resume=path, **how)) == figures(expected)
    assert same(state_of(whole), state_of(again))


@pytest.mark.parametrize("part", ["optimizer/conv2d_1.w/m", "model/batch_norm_1.mean", "metric/f1/matrix"])
def test_every_part_of_a_checkpoint_counts(part, tmp_path, rng):
    """The comparison above would see it if one were lost."""
    x, y = images(rng)
    path, how = tmp_path / "run", {"epochs": 2, "batch_size": 10, "metrics": [F1()], "verbose": 0}
    whole, parts = model(), model()
    expected = whole.fit(x, y, **how)
    with pytest.raises(Stop):
        parts.fit(x, y, callbacks=[stop_after(3)(path, every=1)], **how)
    saved = checkpoint.read(path)
    assert part in saved.arrays
    saved.arrays[part] = np.zeros_like(saved.arrays[part])
    write(path, saved)
    parts = model()
    history = parts.fit(x, y, resume=path, **how)
    assert not (same(state_of(whole), state_of(parts)) and figures(history) == figures(expected))


def write(path, saved) -> None:
    import json

    import safetensors.numpy

    from convkit.model import files

    text = json.dumps(saved.info)
    metadata = {"format": checkpoint.FORMAT, "version": checkpoint.VERSION, "run": text}
    metadata["sha256"] = files._digest(text, saved.arrays)
    path.write_bytes(safetensors.numpy.save(saved.arrays, metadata))


def test_batches_of_an_iterable_that_were_done_are_passed_over(tmp_path, rng):
    x, y = images(rng)
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 60, 10)]
    path, whole, parts = tmp_path / "run", small(), small()
    whole.fit(batches, epochs=3, verbose=0)
    with pytest.raises(Stop):
        parts.fit(batches, epochs=3, callbacks=[stop_after(9)(path, every=1)], verbose=0)
    parts = small()
    parts.fit(batches, epochs=3, resume=path, verbose=0)
    assert same(weights(whole), weights(parts))


@pytest.mark.filterwarnings("ignore:fit. interrupted")
def test_ctrl_c_and_a_time_limit_leave_a_checkpoint_of_the_last_step(tmp_path, rng):
    x, y = images(rng)
    path, whole = tmp_path / "run", small()
    whole.fit(x, y, epochs=4, batch_size=7, verbose=0)

    class Press(Checkpoint):
        def step_end(self, run):
            if run.epoch == 1 and run.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    for how in ([Press(path)], [Checkpoint(path), TimeLimit(1e-9)]):
        parts = small()
        history = parts.fit(x, y, epochs=4, batch_size=7, callbacks=how, verbose=0)
        assert history.interrupted or history.stopped == "TimeLimit: 1e-09 seconds are over"
        parts = small()
        history = parts.fit(x, y, epochs=4, batch_size=7, resume=path, verbose=0)
        assert same(weights(whole), weights(parts))
        assert history.stopped is None
        assert len(history.history["loss"]) == 4


def test_a_log_goes_on_where_the_checkpoint_was(tmp_path, rng):
    x, y = images(rng)
    path, log = tmp_path / "run", tmp_path / "log.csv"
    with pytest.raises(Stop):
        small().fit(x, y, epochs=3, batch_size=20, verbose=0, callbacks=[stop_after(5)(path), CSVLog(log)])
    assert len(log.read_text().splitlines()) == 2
    small().fit(x, y, epochs=3, batch_size=20, resume=path, verbose=0, callbacks=[CSVLog(log)])
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == ["epoch", "1", "2", "3"]


@pytest.fixture
def saved(tmp_path, rng):
    path = tmp_path / "run"
    model().fit(*images(rng), epochs=2, batch_size=10, verbose=0, callbacks=[Checkpoint(path)])
    return path


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(saved, rng):
    x, y = images(rng)
    wider = Sequential([Conv2D(5, 3), BatchNorm(), ReLU(), Dropout(0.3), Flatten(), Dense(3)], rng=0)
    plain = Sequential([Conv2D(4, 3), ReLU(), Flatten(), Dense(3)], rng=0)
    for other, how, words in (
        (wider, {}, r"run is a checkpoint of another model: it has Conv2D\(.*=4, .* as conv2d_1, here it is Conv2D\(.*=5"),
        (plain, {}, r"another model: it has BatchNorm.* as batch_norm_1, which this model lacks; Dropout\(p=0.3\) as drop"),
        (model(dtype=np.float64), {}, r"has float32 \(4,\) as batch_norm_1.b, here it is float64 .* and 4 differences more"),
        (model(), {"batch_size": 20}, "is a checkpoint of a run with batch_size 10, here it is 20"),
        (model(), {"accumulate": 2}, "with accumulate 1, here it is 2"),
        (model(), {"validation_split": 0.5}, "with training samples 60, here it is 30"),
        (model(), {"metrics": ["f1"]}, r"with metrics \['accuracy'\], here it is \['f1'\]"),
        (model(), {"optimizer": SGD()}, "does not fit the optimiser: SGD: the state lacks .* and has"),
        (model(), {"rng": np.random.Generator(np.random.MT19937(0))}, "a state of PCG64 for fit's rng, which is a MT19937"),
    ):
        other.build((6, 6, 1))
        before = state_of(other)
        with pytest.raises(ValueError, match=words):
            other.fit(x.astype(other.dtype), y, **{"epochs": 3, "batch_size": 10, "verbose": 0, "resume": saved, **how})
        assert same(before, state_of(other))


def test_a_damaged_file_is_one_error_and_the_model_stays(saved, tmp_path, rng):
    x, y = images(rng)
    content, fresh = saved.read_bytes(), model(input_shape=(6, 6, 1))
    before, bad = state_of(fresh), tmp_path / "bad"
    flips = [(i, bytes([content[i] ^ 1])) for i in np.linspace(0, len(content) - 1, 60).astype(int)]
    for broken in [content[:n] for n in (0, 7, 100, len(content) - 1)] + [content[:i] + b + content[i + 1 :] for i, b in flips]:
        bad.write_bytes(broken)
        with pytest.raises(ModelFileError, match="bad is not a sound model file"):
            fresh.fit(x, y, batch_size=10, resume=bad, verbose=0)
    fresh.save(bad)
    with pytest.raises(ModelFileError, match="not a checkpoint"):
        fresh.fit(x, y, batch_size=10, resume=bad, verbose=0)
    assert same(before, state_of(fresh))
    assert saved.read_bytes() == content


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(saved, monkeypatch, rng):
    x, y = images(rng)
    content = saved.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        model().fit(x, y, verbose=0, callbacks=[Checkpoint(saved)])
    assert saved.read_bytes() == content
    assert os.listdir(saved.parent) == ["run"]


def test_wrong_arguments(tmp_path, rng):
    with pytest.raises(FileNotFoundError, match="Checkpoint: there is no folder"):
        Checkpoint(tmp_path / "nowhere" / "run")
    with pytest.raises(ValueError, match="Checkpoint: every must be >= 1"):
        Checkpoint(tmp_path / "run", every=0)
    with pytest.raises(ValueError, match="Checkpoint: seconds must be"):
        Checkpoint(tmp_path / "run", seconds=-1)

    class Own:
        def step(self, params):
            pass

    with pytest.raises(TypeError, match="Checkpoint: the optimiser Own has no state"):
        small().fit(*images(rng), optimizer=Own(), verbose=0, callbacks=[Checkpoint(tmp_path / "run")])


@pytest.mark.skipif(os.name != "posix" or not (ROOT / "benchmarks").is_dir(), reason="needs SIGKILL and the source tree")
def test_runs_that_are_killed_at_random_end_with_the_same_bits(tmp_path):
    """`convkit bench resume` does the same with more runs."""
    from benchmarks import resume

    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    resume.disturbed(folders[0], random.Random(0), 0, 0)
    assert resume.disturbed(folders[1], random.Random(1), 2, 0.3) > 0
    assert not resume.differences(*folders)
    shutil.rmtree(tmp_path)
