"""`convkit train` on every kind of source, with its options, stopped and resumed; and the data set made of digits."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import convkit
from convkit.apps.choices import NETWORKS, OPTIMIZERS, SCHEDULES, network, optimizer
from convkit.apps.predict import predict
from convkit.apps.sources import open_source
from convkit.cli import main
from convkit.data import digits, idx, write_digits_idx

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")


def pictures(n=64, side=8, channels=1, seed=0):
    """Images whose class is their brightness."""
    y = np.arange(n) % 2
    x = np.random.default_rng(seed).integers(0, 100, (n, side, side, channels)) + 150 * y[:, None, None, None]
    return x.astype(np.uint8), y


@pytest.fixture
def npz(tmp_path):
    x, y = pictures()
    np.savez(tmp_path / "some.npz", x=x, y=y)
    return str(tmp_path / "some.npz")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return write_digits_idx(tmp_path_factory.mktemp("mnist"), size=12, copies=1)


def train(*arguments):
    return main(["train", *map(str, arguments), "--threads", "1"])


def test_the_made_data_set_is_digits_and_always_the_same(mnist, tmp_path):
    again = write_digits_idx(tmp_path, size=12, copies=1)
    assert {path.name for path in mnist.iterdir()} == {
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    }
    assert all((again / path.name).read_bytes() == path.read_bytes() for path in mnist.iterdir())
    other = write_digits_idx(tmp_path / "other", size=12, copies=2, seed=1)
    assert idx.read(other / "train-images-idx3-ubyte.gz").shape == (2 * 1438, 12, 12)
    labels = idx.read(mnist / "t10k-labels-idx1-ubyte.gz")
    assert np.array_equal(np.bincount(labels), np.bincount(digits().y_test))
    images = idx.read(mnist / "t10k-images-idx3-ubyte.gz").astype(float)
    thin, thick = (images[labels == digit].mean() for digit in (1, 8))
    assert 10 < thin < thick < 120


def test_a_folder_of_idx_files_is_trained_on_and_tested_with_its_own_test_images(mnist, tmp_path, capsys):
    how = ["--epochs", 2, "--batch-size", 32, "--learning-rate", 0.004, "--augment", "none", "--out", tmp_path / "out"]
    assert train(mnist, *how) == 0
    told = capsys.readouterr().out
    assert "1,438 images are there to learn from; 359 are held out" in told
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["accuracy"] > 0.7  # of 0.98 after 20 epochs
    assert np.sum(result["confusion"]) == result["images"] == 359
    assert sum(of["right"] for of in result["classes"].values()) == np.trace(result["confusion"])
    assert result["epochs"] == 2


def test_predict_reads_what_train_on_arrays_learnt(npz, tmp_path):
    out = tmp_path / "out"
    how = ["--epochs", 6, "--augment", "flip,noise=0.02", "--schedule", "one-cycle"]
    assert train(npz, "--out", out, *how) == 0
    for name, image in zip(("0.png", "1.png"), pictures(2)[0], strict=True):
        Image.fromarray(image[..., 0]).save(tmp_path / name)
    classes, probabilities = predict(str(out), [str(tmp_path / "0.png"), str(tmp_path / "1.png")])
    assert classes.classes == ("0", "1")
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    with Image.open(out / "summary.png") as sheet:
        assert min(sheet.size) > 900
    assert json.loads((out / "run.json").read_text())["augment"] == "flip,noise=0.02"


def test_sources(tmp_path, npz):
    x, y = pictures(channels=3)
    idx.write(tmp_path / "my-images.idx.gz", x[..., 0])
    idx.write(tmp_path / "my-labels.idx", y.astype(np.uint8))
    idx.write(tmp_path / "other", (y + 7).astype(np.uint8))
    names = [str(tmp_path / name) for name in ("my-images.idx.gz", "other")]
    for given, classes in ((names[:1], ("0", "1")), (names, ("7", "8"))):
        source = open_source(given)
        assert (source.classes, source.size, source.colour) == (classes, 8, "grey")
        assert np.array_equal(source.data.targets, y)
        assert np.array_equal(source.data.batch([5])[0], x[5:6, ..., :1])
    assert open_source([npz], size=5, colour="rgb").data.shape == (5, 5, 3)
    for i, floats in enumerate((x / 255, x.astype(np.float32), x.astype(int))):
        np.savez(tmp_path / f"{i}.npz", images=floats, labels=y.astype(str))
        source = open_source([str(tmp_path / f"{i}.npz")])
        assert np.array_equal(source.data.batch(range(64))[0], x)
        assert (source.colour, source.classes) == ("rgb", ("0", "1"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 8, 8)), "y": np.zeros(4)}, "one class only"),
        ({"x": np.zeros((4, 8)), "y": np.arange(4)}, "wanted images"),
        ({"x": np.zeros((4, 8, 8, 2)), "y": np.arange(4)}, "wanted images"),
        ({"x": np.zeros((4, 8, 6)), "y": np.arange(4)}, "8 x 6; the network wants squares: bring them to one by --size"),
        ({"x": np.full((4, 8, 8), -1.0), "y": np.arange(4)}, "wanted 0 to 255"),
        ({"x": np.full((4, 8, 8), np.nan), "y": np.arange(4)}, "wanted 0 to 255"),
        ({"x": np.zeros((4, 8, 8)), "y": np.zeros((4, 2))}, "one label for each"),
        ({"x": np.zeros((4, 8, 8)), "y": np.zeros(3)}, "4 samples"),
        ({"a": np.zeros((4, 8, 8))}, "it holds a"),
    ],
)
def test_arrays_that_are_no_images_are_one_line(tmp_path, capsys, monkeypatch, arrays, message):
    monkeypatch.chdir(tmp_path)
    np.savez("some.npz", **arrays)
    assert train("some.npz") == 2
    told = capsys.readouterr().err
    assert message in told
    assert "some.npz" in told
    assert not (tmp_path / "runs").exists()


def test_damage_is_told_with_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    idx.write("train-images", np.zeros((4, 8, 8), np.uint8))
    assert train("train-images") == 2
    assert "the labels of train-images are not beside it as train-labels; name their file too" in capsys.readouterr().err
    idx.write("train-labels", np.arange(4, dtype=np.uint8))
    (tmp_path / "train-images").write_bytes((tmp_path / "train-images").read_bytes()[:-5])
    for source in ("train-images", "."):
        assert train(source) == 2
        assert "train-images is not a sound IDX file" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("no images")
    assert train("notes.txt") == 2
    assert "notes.txt is not a sound IDX file" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg16"])  # which has 134 million weights
def test_every_network_takes_images_of_uint8(name):
    model = network(name, (32, 32, 3), 2, np.random.default_rng(0))
    assert model.predict(pictures(2, 32, 3)[0]).shape == (2, 2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_every_schedule(name, schedule):
    made = optimizer(name, None, schedule, 10, 0.01)
    rates = [made.learning_rate(step) for step in range(10)]
    assert 0 < min(rates) <= max(rates) < 0.1
    assert optimizer(name, 0.5, "constant", 1).learning_rate(0) == 0.5


def test_a_network_by_name_and_early_stopping(npz, tmp_path, capsys):
    out = tmp_path / "out"
    how = ["--model", "lenet", "--size", 28, "--epochs", 40, "--patience", 1, "--optimizer", "sgd", "--learning-rate", 0.3]
    assert train(npz, "--out", out, *how) == 0
    assert json.loads((out / "result.json").read_text())["epochs"] < 40
    assert convkit.load_model(out / "model.safetensors").predict(pictures(4, side=28)[0]).shape == (4, 2)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_run_that_was_stopped_goes_on_to_the_same_model(npz, tmp_path, capsys):
    how = ["--epochs", "20", "--augment", "shift,mixup", "--patience", "20"]
    assert train(npz, "--out", tmp_path / "whole", *how) == 0
    call = [sys.executable, "-m", "convkit", "train", npz, "--out", str(tmp_path / "part"), "--threads", "1", *how]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call, **pipes) as process:
        while "epoch 3/" not in (line := process.stderr.readline()):
            assert line, "it ended before its third epoch"
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "train --resume" in told
    assert {"run.json", "checkpoint.safetensors", "model.safetensors"} <= {path.name for path in (tmp_path / "part").iterdir()}
    assert main(["train", "--resume", str(tmp_path / "part")]) == 0
    whole, part = (convkit.load_model(tmp_path / name / "model.safetensors").get_weights() for name in ("whole", "part"))
    assert all(np.array_equal(whole[name], part[name]) for name in whole)
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "part")]) == 2
    assert "the run is finished" in capsys.readouterr().err


def test_a_damaged_run_file_is_named(tmp_path, capsys):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    for content in ("", "[]", "{}", '{"source": ["x"], "threads": null, "colour": "mauve", "more": 1}'):
        (tmp_path / "run.json").write_text(content)
        assert main(["train", "--resume", str(tmp_path)]) == 2
        assert "run.json is damaged" in capsys.readouterr().err
