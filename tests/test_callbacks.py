"""Callbacks: when they are called, what stops a run, what they write."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from test_model import images, same, small, weights

import convkit
from convkit.callbacks import BestModel, Callback, CSVLog, EarlyStopping, JSONLog, Plot, Schedule, TimeLimit
from convkit.metrics import ConfusionMatrix
from convkit.optim import SGD, Adam


def scripted(*values: float):
    """A metric that says what is written, batch by batch; one batch an epoch."""
    left = list(values)

    def figure(outputs, targets):
        return left.pop(0)

    return figure


def fit(model=None, epochs=6, rng=None, **how):
    x, y = images(np.random.default_rng(0), 30)
    return (model or small()).fit(x, y, batch_size=30, epochs=epochs, **{"verbose": 0, **how})


def test_the_order_of_calls():
    calls = []

    class Spy(Callback):
        def start(self, run):
            calls.append(("start", run.epoch, run.step))

        def step_end(self, run):
            calls.append(("step", run.epoch, run.step))

        def epoch_end(self, run, logs):
            calls.append(("epoch", run.epoch, sorted(logs)))

        def end(self, run):
            calls.append(("end", run.epoch, run.step))

    x, y = images(np.random.default_rng(0), 30)
    small().fit(x, y, batch_size=20, epochs=2, verbose=0, callbacks=[Spy()])
    names = ["accuracy", "loss", "seconds"]
    assert calls == [("start", 0, 0), ("step", 0, 1), ("step", 0, 2), ("epoch", 0, names), ("step", 1, 1), ("step", 1, 2),
                     ("epoch", 1, names), ("end", 2, 0)]


def test_early_stopping_waits_for_its_patience():
    figure = scripted(5, 4, 4.5, 3.95, 4.2, 1)
    history = fit(metrics=[figure], callbacks=[EarlyStopping("figure", patience=2, min_delta=0.1)])
    assert history.history["figure"] == [5, 4, 4.5, 3.95]
    assert history.stopped == "EarlyStopping: figure has not become better than 4 for 2 epochs"
    assert fit(metrics=[scripted(*range(6))], callbacks=[EarlyStopping("figure", mode="max", patience=1)]).stopped is None


def test_early_stopping_restores_the_best_weights():
    kept = []
    model = small()
    stop = EarlyStopping("figure", patience=2, restore_best=True)
    fit(model, metrics=[scripted(5, 1, 2, 3)], callbacks=[stop, lambda m, epoch, logs: kept.append(weights(m))])
    assert len(kept) == 4
    assert same(weights(model), kept[1])
    fit(model, metrics=[scripted(5, 6, 7)], callbacks=[stop])  # anew
    assert stop.best.value == 5


def test_the_best_model_is_in_the_file(tmp_path):
    pytest.importorskip("safetensors")
    kept, path = [], tmp_path / "best"
    fit(metrics=[scripted(5, 1, 2, 0.5, 3, 3)], callbacks=[
        BestModel(path, "figure"), lambda m, epoch, logs: kept.append((weights(m), weights(convkit.load_model(path))))])
    for epoch, best in enumerate((0, 1, 1, 3, 3, 3)):
        assert same(kept[epoch][1], kept[best][0])


def test_a_function_stops_the_run_by_returning_true():
    def enough(model, epoch, logs):
        return epoch == 2

    history = fit(callbacks=[enough])
    assert len(history.history["loss"]) == 3
    assert history.stopped == "enough returned True"


def test_a_time_limit_stops_after_a_step():
    history = fit(epochs=10**6, callbacks=[TimeLimit(0.05)])
    assert history.stopped == "TimeLimit: 0.05 seconds are over"
    assert 0.04 < sum(history.history["seconds"]) < 5


def test_a_schedule_of_epochs():
    optimizer = Adam(1.0)
    history = fit(epochs=3, optimizer=optimizer, callbacks=[Schedule(lambda epoch: 0.1 / (epoch + 1))])
    assert history.history["learning_rate"] == [0.1, 0.05, 0.1 / 3]
    assert optimizer.learning_rate == 0.1 / 3
    one, other = small(), small()
    fit(one, epochs=1, optimizer=optimizer, callbacks=[Schedule(lambda epoch: 0.25)])
    fit(other, epochs=1, optimizer=Adam(0.25))
    assert np.allclose(weights(one)[0], weights(other)[0], atol=0.3)


def test_logs_are_whole_after_each_epoch(tmp_path):
    paths = tmp_path / "log.csv", tmp_path / "log.jsonl"
    seen = []
    history = fit(epochs=3, metrics=["accuracy", ConfusionMatrix(), scripted(1, float("nan"), 3)], callbacks=[
        CSVLog(paths[0]), JSONLog(paths[1]), lambda *_: seen.append([path.read_text() for path in paths])])
    for epoch, (table, lines) in enumerate(seen, 1):
        rows, objects = list(csv.DictReader(table.splitlines())), [json.loads(line) for line in lines.splitlines()]
        assert len(rows) == len(objects) == epoch
        assert [float(row["loss"]) for row in rows] == [row["loss"] for row in objects] == history.history["loss"][:epoch]
        assert objects[0]["confusion_matrix"] == history.history["confusion_matrix"][0].tolist()
    assert [row["figure"] for row in objects] == [1, None, 3]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_a_picture_after_each_epoch(tmp_path):
    pytest.importorskip("matplotlib")
    path, sizes = tmp_path / "plot.png", []
    x, y = images(np.random.default_rng(0))
    fit(epochs=2, metrics=["accuracy", "confusion_matrix"], validation_data=(x, y), callbacks=[
        Plot(path), lambda *_: sizes.append(len(path.read_bytes()))])
    assert len(sizes) == 2
    assert min(sizes) > 5000
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: EarlyStopping(patience=0), ValueError, "EarlyStopping: patience must be >= 1"),
        (lambda: EarlyStopping(mode="up"), ValueError, "EarlyStopping: mode must be"),
        (lambda: TimeLimit(0), ValueError, "TimeLimit: seconds must be finite and > 0"),
        (lambda: Schedule(0.1), TypeError, "Schedule: rate must be a function of the epoch"),
        (lambda: CSVLog("nowhere/log.csv"), FileNotFoundError, "CSVLog: there is no folder for nowhere/log.csv"),
        (lambda: BestModel("nowhere/best"), FileNotFoundError, "BestModel: there is no folder"),
        (lambda: fit(callbacks=[EarlyStopping()]), ValueError, "EarlyStopping monitors 'val_loss', but there are loss"),
        (lambda: fit(callbacks=[BestModel("x", "f1")], optimizer=SGD()), ValueError, "BestModel monitors 'f1'"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, error, words):
    with pytest.raises(error, match=words):
        make()
