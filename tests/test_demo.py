"""The demo and training on a folder, as a person runs them."""

import json
import subprocess
import sys

import numpy as np
import pytest

import convkit
from convkit.apps.choices import transforms
from convkit.apps.learn import learn
from convkit.apps.network import image_network
from convkit.apps.predict import predict
from convkit.cli import main
from convkit.data import ArrayDataset, digits

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

WRITTEN = {
    "model.safetensors", "classes.json", "history.json", "curves.png", "confusion.png", "mistakes.png", "filters.png",
    "journey.png", "summary.png", "result.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the text of one whole demo."""
    where = tmp_path_factory.mktemp("demo")
    call = [sys.executable, "-m", "convkit", "demo", "--out", "my run"]
    done = subprocess.run(call, cwd=where, check=True, capture_output=True, text=True, encoding="utf-8")
    return where / "my run", done.stdout


def test_demo_reads_98_5_percent_of_the_held_out_digits(run):
    folder, _ = run
    files = sorted(map(str, (folder / "held-out").glob("*/*.png")))
    assert len(files) == len(digits().x_test)
    classes, probabilities = predict(str(folder), files)
    named = [classes.classes[k] for k in probabilities.argmax(axis=1)]
    right = np.mean([name == file.split("held-out")[1][1] for name, file in zip(named, files, strict=True)])
    assert right >= 0.985
    told = json.loads((folder / "history.json").read_text())["val_accuracy"][-1]
    assert abs(told - right) <= 1.5 / len(files)  # PNG files round the ink to 8 bits


def test_demo_writes_what_it_says(run):
    folder, told = run
    assert {path.name for path in folder.iterdir()} == WRITTEN | {"digits", "held-out"}
    assert all(name in told for name in WRITTEN)
    for picture in folder.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 300
    history = json.loads((folder / "history.json").read_text())
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= history.keys()
    assert len({len(values) for values in history.values()}) == 1


def test_demo_tells_the_data_the_model_and_what_to_do_next(run):
    _, told = run
    assert "1,797 digits" in told
    assert "receptive field" in told
    next_lines = told.split("Try next")[1].splitlines()
    commands = [line.strip() for line in next_lines if line.startswith("  python -m convkit")]
    assert [command.split()[3] for command in commands] == ["predict", "train", "demo"]
    assert "'my run'/model.safetensors" in commands[0]


def test_demo_learns_the_same_from_the_same_seed(tmp_path, capsys):
    for name, seed in ("a", 7), ("b", 7), ("c", 8):
        assert main(["demo", "--out", str(tmp_path / name), "--epochs", "1", "--seed", str(seed)]) == 0
    a, b, c = (convkit.load_model(tmp_path / name / "model.safetensors").params.values() for name in "abc")
    assert all(np.array_equal(one.value, other.value) for one, other in zip(a, b, strict=True))
    assert not all(np.array_equal(one.value, other.value) for one, other in zip(a, c, strict=True))


def test_train_on_a_folder_then_predict(run, tmp_path, capsys):
    folder, _ = run
    source, out = tmp_path / "some", tmp_path / "out"
    for digit in "03":
        (source / digit).mkdir(parents=True)
        for file in sorted((folder / "digits" / digit).iterdir())[:40]:
            (source / digit / file.name).write_bytes(file.read_bytes())
    assert main(["train", str(source), "--out", str(out), "--epochs", "6"]) == 0
    told = capsys.readouterr().out
    assert "80 images" in told
    assert "8 x 8 pixels, grey" in told
    assert {path.name for path in out.iterdir()} == WRITTEN | {"run.json"}
    files = [str(file) for digit in "03" for file in sorted((folder / "held-out" / digit).iterdir())[:10]]
    classes, probabilities = predict(str(out), files)
    assert classes.classes == ("0", "3")
    assert (probabilities.argmax(axis=1) == np.repeat([0, 1], 10)).mean() > 0.9


def test_train_on_colour_photographs_of_another_size(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in" / name / f"{i}.jpg")
    how = ["--out", str(tmp_path / "out"), "--epochs", "1", "--size", "21", "--validation", "0.5", "--threads", "1"]
    assert main(["train", str(tmp_path / "in"), *how]) == 0
    assert "(21, 21, 3)" in capsys.readouterr().out


def test_train_stops_when_the_loss_is_no_number(tmp_path, capsys):
    for name, value in ("a", 0), ("b", 255):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), value).save(tmp_path / "in" / name / f"{i}.png")
    how = ["--out", str(tmp_path / "out"), "--learning-rate", "1e30"]
    with np.errstate(all="ignore"):
        assert main(["train", str(tmp_path / "in"), *how]) == 2
    assert "learning rate" in capsys.readouterr().err
    assert "model.safetensors" not in {path.name for path in (tmp_path / "out").glob("*")}


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_takes_any_size(size, channels):
    network = image_network((size, size, channels), 5, np.random.default_rng(0))
    assert network.predict(np.zeros((2, size, size, channels), np.float32)).shape == (2, 5)


def test_each_epoch_sees_other_shifts(monkeypatch):
    seen = []
    network = image_network((8, 8, 1), 2, np.random.default_rng(0))
    forward = network.forward

    def watch(x, training=False, **how):
        seen.extend([np.sort(x.sum(axis=(1, 2, 3)))] if training else [])
        return forward(x, training, **how)

    monkeypatch.setattr(network, "forward", watch)
    x, y = np.random.default_rng(0).random((12, 8, 8, 1), np.float32), np.arange(12) % 2
    before, data = x.copy(), ArrayDataset(x, y)
    rng = np.random.default_rng(0)
    learn(network, data, data, epochs=3, batch_size=12, rng=rng, transforms=transforms("shift"), verbose=0)
    assert len(seen) == 3
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])
    assert np.array_equal(x, before)
