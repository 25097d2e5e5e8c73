"""The command line: help, errors of one line, exit codes, predictions."""

import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import convkit
from convkit.apps.predict import predict
from convkit.apps.run_folder import Classes, run_folder, write_classes
from convkit.apps.terminal import table, text_pictures
from convkit.cli import main

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")


@pytest.fixture
def model(tmp_path):
    """A run folder with a network that names an image by its brightness."""
    network = convkit.Sequential([convkit.layers.Flatten(), convkit.layers.Dense(2)], input_shape=(2, 2, 1), rng=0)
    network.params["dense_1.w"].value = np.array([[-5] * 4, [5] * 4], np.float32)
    network.params["dense_1.b"].value = np.array([10, -10], np.float32)
    folder = tmp_path / "run"
    folder.mkdir()
    network.save(folder / "model.safetensors")
    write_classes(folder, Classes(("dark", "light"), 2, "grey"))
    return folder


@pytest.fixture
def images(tmp_path):
    for name, value in ("night.png", 10), ("snow.jpg", 240):
        Image.new("L", (8, 8), value).save(tmp_path / name)
    return [str(tmp_path / "night.png"), str(tmp_path / "snow.jpg")]


def error_of(capsys, *arguments):
    """Run a command that must fail; its one line on the standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse's own way out
        code = stop.code
    told = capsys.readouterr()
    assert code == 2
    assert told.err.startswith("convkit: error: ")
    assert told.err.count("\n") == 1
    return told.err


def test_help_tells_every_command(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(command in told for command in ("demo", "train", "predict", "info"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["demo", "--help"], ["train", "--help"], ["predict", "--help"]]
)
def test_help_and_version_end_well(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "convkit" in capsys.readouterr().out


def test_module_runs_as_the_command():
    told = subprocess.run([sys.executable, "-m", "convkit", "--version"], check=True, capture_output=True, text=True)
    assert told.stdout == f"convkit {convkit.__version__}\n"


def test_info_tells_what_runs(capsys):
    assert main(["info"]) == 0
    assert convkit.isa() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demoo"], "invalid choice"),
        (["demo", "--epochs", "0"], "--epochs: wanted 1 to"),
        (["demo", "--epochs", "many"], "whole number"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--threads", "0"], "--threads"),
        (["train"], "SOURCE"),
        (["train", "nowhere"], "no folder nowhere"),
        (["train", "x", "--validation", "1"], "share over 0 and under 1"),
        (["train", "x", "--learning-rate", "nan"], "number over 0"),
        (["train", "x", "--learning-rate", "fast"], "wanted a number"),
        (["train", "x", "--size", "5000"], "1 to 4096"),
        (["train", "x", "--grey", "--rgb"], "not allowed with"),
        (["train", "x", "--model", "alexnet"], "unknown network 'alexnet'; known are small, lenet"),
        (["train", "x", "--optimizer", "best"], "unknown optimizer 'best'; known are adam"),
        (["train", "x", "--schedule", "steep"], "unknown schedule 'steep'; known are constant"),
        (["train", "x", "--augment", "flop"], "unknown augmentation 'flop'; known are flip"),
        (["train", "x", "--augment", "flip=1"], "'flip' takes no number"),
        (["train", "x", "--augment", "rotate=200"], "'rotate=200': Rotate: degrees must be"),
        (["train", "x", "--augment", "scale=0"], "'scale=0'"),
        (["train", "x", "--augment", "noise=much"], "'noise=much'"),
        (["train", "x", "--resume", "run"], "leave out source"),
        (["train", "--resume", "nowhere"], "no nowhere/run.json to go on from"),
        (["train", "a", "b", "c"], "two IDX files, got 3"),
        (["predict", "m"], "IMAGE"),
        (["predict", "nowhere", "x.png"], "nowhere: No such file"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_predict_prints_a_table(capsys, model, images):
    assert main(["predict", str(model / "model.safetensors"), *images]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["file", "class", "probability"]
    assert [line[1] for line in lines[1:]] == ["dark", "light"]


def test_predict_takes_the_run_folder_and_prints_json(capsys, model, images):
    assert main(["predict", str(model), *images, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(entry["file"], entry["class"]) for entry in found] == [(images[0], "dark"), (images[1], "light")]
    assert found[0]["probabilities"].keys() == {"dark", "light"}
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)


def test_predict_can_exchange_dark_and_bright(model, images):
    _, probabilities = predict(str(model), images, invert=True)
    assert probabilities.argmax(axis=1).tolist() == [1, 0]


def test_predict_names_what_is_wrong(capsys, model, images, tmp_path):
    assert "nope.png: No such file" in error_of(capsys, "predict", model, images[0], tmp_path / "nope.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "bad.png is not a readable image" in error_of(capsys, "predict", model, tmp_path / "bad.png")
    assert "not a sound model" in error_of(capsys, "predict", model / "classes.json", images[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no"),
        ("", "damaged"),
        ("[]", "damaged"),
        ("{}", "'classes' is missing"),
        ('{"classes": ["a"], "size": 2, "colour": "grey"}', "at least two"),
        ('{"classes": ["a", 1], "size": 2, "colour": "grey"}', "names"),
        ('{"classes": ["a", "b"], "size": "2", "colour": "grey"}', "damaged"),
        ('{"classes": ["a", "b"], "size": 2, "colour": ["grey"]}', "damaged"),
        ('{"classes": ["a", "b", "c"], "size": 2, "colour": "grey"}', "do not belong together"),
        ('{"classes": ["a", "b"], "size": 3, "colour": "grey"}', "do not belong together"),
    ],
)
def test_predict_refuses_classes_that_do_not_fit(capsys, model, images, content, message):
    path = model / "classes.json"
    path.unlink() if content is None else path.write_text(content)
    told = error_of(capsys, "predict", model, images[0])
    assert message in told
    assert "classes.json" in told


def test_a_missing_package_is_named_before_any_work(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = error_of(capsys, "demo")
    assert 'convkit demo needs matplotlib; run pip install "convkit-numpy[demo]"' in told
    assert not list(tmp_path.iterdir())


def test_a_run_folder_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with run_folder(None, "digits") as first, run_folder(None, "digits") as second:
        assert first != second
    (first / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(ValueError, match="holds files already"), run_folder(str(first), "digits"):
        pass
    assert (first / "model.safetensors").read_bytes() == b"precious"


def failing_run(folder, writes):
    with run_folder(str(folder), "digits") as made:
        if writes:
            (made / "model.safetensors").write_bytes(b"so far")
        raise KeyboardInterrupt


def test_a_run_folder_goes_when_the_run_fails_with_nothing_written(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new", "used"):
        with pytest.raises(KeyboardInterrupt):
            failing_run(tmp_path / name, writes=name == "used")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "used"]


def test_a_run_folder_where_none_can_be_is_an_error(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in error_of(capsys, "demo", "--out", tmp_path / "file" / "run")


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_stops_with_130_and_no_traceback(tmp_path):
    call = [sys.executable, "-m", "convkit", "demo", "--out", "run", "--epochs", "100000"]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with subprocess.Popen(call, **how) as process:
        while "epoch" not in (line := process.stderr.readline()):
            assert line, "the demo ended before its first epoch"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.rstrip().endswith("convkit: stopped")
    assert not (tmp_path / "run").exists()


def test_text_pictures_fit_the_terminal(monkeypatch):
    image = np.array([[[0, 16], [16, 0]]])
    assert text_pictures(image, ["x"], encoding="utf-8").splitlines()[0] == "  ██"
    assert text_pictures(image, ["x"], encoding="ascii").splitlines()[0] == "  ##"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert text_pictures(image * 0, [""]).strip() == ""


def test_table_aligns_columns():
    assert table(["a", "b"], [["xx", "1"]], right=frozenset([1])) == "a   b\nxx  1"
