"""Model files: what is saved comes back, what is damaged is refused, and a failed save loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys

import numpy as np
import pytest

import convkit
from convkit import ModelFileError, Sequential, load_model
from convkit.layers import AvgPool2D, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Softmax
from convkit.model import architecture, files

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def model(dtype=np.float32) -> Sequential:
    layers = [
        Conv2D(4, (3, 2), padding=((1, 1), (0, 1)), stride=(1, 2), activation="relu"),
        MaxPool2D(2, stride=1),
        Conv2D(4, 3, padding="same", pad_mode="reflect", groups=2, bias=False),
        ReLU(),
        AvgPool2D(2, ceil_mode=True, count_include_pad=False),
        Flatten(),
        Dropout(0.25),
        Dense(3),
        Softmax(),
    ]
    return Sequential(layers, input_shape=(6, 8, 2), rng=0, dtype=dtype)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    model().save(path)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_comes_back_bit_for_bit(dtype, tmp_path, rng):
    before, path = model(dtype), tmp_path / "digits.model"
    before.save(path)
    after = load_model(path)
    x = rng.standard_normal((5, 6, 8, 2)).astype(dtype)
    np.testing.assert_array_equal(after.predict(x), before.predict(x))
    assert repr(after) == repr(before)
    assert after.dtype == dtype
    assert os.listdir(tmp_path) == ["digits.model"]
    after.save(str(path))
    assert repr(Sequential.load(str(path))) == repr(before)


def test_a_loaded_model_trains_on(saved, rng):
    x, y = rng.standard_normal((8, 6, 8, 2)).astype(np.float32), np.arange(8) % 3
    first, second = load_model(saved, rng=1), load_model(saved, rng=1)
    for each in (first, second):
        Sequential(each.layers[:-1], input_shape=(6, 8, 2), rng=1).fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(first.predict(x), second.predict(x))


def test_other_programs_read_the_weights(saved):
    weights = safetensors_numpy.load_file(saved)
    assert {name: array.shape for name, array in weights.items()} == {
        "conv2d_1.w": (4, 3, 2, 2), "conv2d_1.b": (4,), "conv2d_2.w": (4, 3, 3, 2), "dense_1.w": (3, 24), "dense_1.b": (3,),
    }  # fmt: skip


def test_the_permissions_are_those_of_any_new_file(saved, tmp_path):
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_link_stays_a_link(saved, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(saved)
    model().save(link)
    assert link.is_symlink()
    load_model(saved)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_save_leaves_the_last_good_file(call, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    other = model()
    other.params["dense_1.b"].value = np.ones(3, np.float32)
    if call == "write":
        monkeypatch.setattr(safetensors_numpy, "save", lambda *_: fail())
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        other.save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_saving_syncs_the_file_then_replaces_then_syncs_the_folder(saved, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(fd):
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda *args: calls.append("replace") or replace(*args))
    model().save(saved)
    assert calls == ["file", "replace", "folder"]


def test_a_folder_or_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        model().save(tmp_path / "none" / "model")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        load_model(tmp_path)


OTHER_KINDS = [b"", b"\0" * 7, b"\xff" * 8, b"\0" * 8, b"\x02" + b"\0" * 7 + b"{}", b"PK\3\4" * 99, b"\x80\4."]


@pytest.mark.parametrize("content", OTHER_KINDS)
def test_files_of_another_kind_are_refused(content, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not a sound model file"):
        load_model(path)


def test_every_truncation_and_2000_mutations_are_refused(saved, rng):
    good = saved.read_bytes()
    bad = saved.parent / "bad"
    mutants = [good[:n] for n in range(0, len(good), 7)] + [good + b"\0", good + good]
    for _ in range(2000):
        mutant = bytearray(good)
        for place in rng.integers(len(good), size=rng.integers(1, 4)):
            mutant[place] = rng.integers(256)
        mutants.append(bytes(mutant))
    for mutant in mutants:
        bad.write_bytes(mutant)
        try:
            same = load_model(bad)
        except ModelFileError:
            continue
        assert meaning(mutant) == meaning(good), "a changed file was accepted"
        assert repr(same) == repr(load_model(saved))


def meaning(content: bytes) -> tuple:
    """What a file says, whatever the spelling: a space more in the header or the order of its keys changes nothing."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def forged(path, change, weights=None, **metadata) -> None:
    """A file with a changed architecture and the right checksum."""
    good = model()
    good.save(path)
    architecture = json.loads(meaning(path.read_bytes())[0]["__metadata__"]["architecture"])
    architecture = change(architecture) or architecture
    weights = {name: param.value for name, param in good.params.items()} if weights is None else weights
    text = architecture if isinstance(architecture, str) else json.dumps(architecture)
    fields = {"format": "convkit", "version": "2", "architecture": text, "sha256": files._digest(text, weights), **metadata}
    path.write_bytes(safetensors_numpy.save(weights, fields))


def layer(**config):
    return lambda a: a["layers"].__setitem__(0, config)


FORGERIES = {
    "an unknown layer": layer(layer="Popen", args="true"),
    "a class of Python": layer(layer="__import__"),
    "a base class": layer(layer="Layer"),
    "no layer": layer(),
    "a layer that is a list": layer(layer=["ReLU"]),
    "a layer that is no dict": lambda a: a["layers"].__setitem__(0, 5),
    "an unknown argument": layer(layer="ReLU", rm="/"),
    "a wrong type": layer(layer="Dropout", p="0.5"),
    "a wrong value": layer(layer="Dropout", p=2),
    "another shape of weights": layer(layer="Conv2D", out_channels=8, kernel_size=3),
    "a huge layer": layer(layer="Conv2D", out_channels=2**62, kernel_size=2**62),
    "a huge padding": layer(layer="MaxPool2D", kernel_size=2**61, padding=2**61),
    "a layer less": lambda a: a["layers"].pop(7),
    "no layers": lambda a: {**a, "layers": []},
    "a huge input": lambda a: {**a, "input_shape": [2**40, 2**40, 2]},
    "a negative input": lambda a: {**a, "input_shape": [-6, 8, 2]},
    "an input of text": lambda a: {**a, "input_shape": "682"},
    "an input of floats": lambda a: {**a, "input_shape": [6.0, 8, 2]},
    "another dtype": lambda a: {**a, "dtype": "float64"},
    "an unknown dtype": lambda a: {**a, "dtype": "O"},
    "a dtype that is a list": lambda a: {**a, "dtype": []},
    "no dtype": lambda a: {"layers": a["layers"], "input_shape": [6, 8, 2]},
    "a list": lambda a: [1],
    "a number": lambda a: "5",
    "deep nesting": lambda a: "[" * 100_000,
    "no JSON": lambda a: "{",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_architecture_is_refused(name, tmp_path):
    path = tmp_path / "forged"
    forged(path, FORGERIES[name])
    with pytest.raises(ModelFileError, match="is not a sound model file"):
        load_model(path)


def test_forged_weights_and_metadata_are_refused(tmp_path):
    path = tmp_path / "forged"
    good = {name: param.value for name, param in model().params.items()}
    wide, short = good["conv2d_1.b"].astype(np.float64), good["dense_1.b"]
    for weights in ({}, {**good, "8.w": good["conv2d_1.w"]}, {**good, "conv2d_1.b": wide}, {**good, "conv2d_1.b": short}):
        forged(path, lambda a: None, weights)
        with pytest.raises(ModelFileError, match=r"is not a sound model file: .*(weights must be|conv2d_1\.b must be)"):
            load_model(path)
    changes = [({"version": "3"}, "version is 3"), ({"format": "pt"}, "not a convkit model"), ({"sha256": "0"}, "SHA-256")]
    for change, words in changes:
        forged(path, lambda a: None, **change)
        with pytest.raises(ModelFileError, match=words):
            load_model(path)
    path.write_bytes(safetensors_numpy.save(good))
    with pytest.raises(ModelFileError, match="not a convkit model"):
        load_model(path)


def test_the_checksum_is_over_architecture_names_and_bytes():
    a, b = np.zeros(2, np.float32), np.ones(2, np.float32)
    digests = {
        files._digest(text, weights)
        for text in ("{}", "[]")
        for weights in ({"a": a}, {"b": a}, {"a": b}, {"a": a[:, None]}, {"a": a.view(np.int32)}, {"a": a, "b": b}, {})
    }
    assert len(digests) == 14
    assert files._digest("x", {}) == hashlib.sha256(b"x").hexdigest()


def test_every_layer_can_be_saved():
    known = {getattr(convkit.layers, name) for name in convkit.layers.__all__ if name not in ("Layer", "Param")}
    assert set(architecture.LAYERS.values()) == known
    assert all(cls.__name__ == name for name, cls in architecture.LAYERS.items())


def test_a_layer_of_ones_own_is_refused_at_saving(tmp_path):
    class Mine(ReLU):
        pass

    with pytest.raises(ValueError, match="Mine is not a layer that a file can name"):
        Sequential([Mine()], input_shape=(3,)).save(tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_a_missing_library_is_named(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: load_model(saved), lambda: model().save(saved)):
        with pytest.raises(ImportError, match="pip install"):
            call()


def test_errors_are_value_errors_and_do_not_hide_a_wrong_call(saved):
    assert issubclass(ModelFileError, ValueError)
    with pytest.raises(TypeError, match="load: rng"):
        load_model(saved, rng="0")
