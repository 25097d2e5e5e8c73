"""Files of graphs, of nested and frozen models, and of the first version."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from convkit import Input, Model, ModelFileError, Sequential, load_model
from convkit.layers import Add, BatchNorm, Concat, Conv2D, Dense, Flatten, ReLU
from convkit.model import files

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def graph() -> Model:
    left, right = Input((6, 6, 2), name="left"), Input((6, 6, 2))
    shared = Conv2D(3, 3, name="eye")
    inner = Sequential([BatchNorm(name="norm"), ReLU()], name="inner")
    pair = Model([a := Input((4, 4, 3)), b := Input((4, 4, 3))], [Add()(a, b), Concat()(a, b)], name="pair")
    total, both = pair(inner(shared(left)), shared(right))
    model = Model([left, right], [Dense(2)(Flatten()(total)), both], rng=0)
    shared.trainable = False
    return model


def content(path) -> tuple[dict, dict]:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size])["__metadata__"], safetensors_numpy.load(raw)


def write(path, architecture, weights, version="2") -> None:
    text = json.dumps(architecture)
    fields = {"format": "convkit", "version": version, "architecture": text, "sha256": files._digest(text, weights)}
    path.write_bytes(safetensors_numpy.save(weights, fields))


def test_a_graph_comes_back_bit_for_bit(tmp_path, rng):
    before, path = graph(), tmp_path / "model"
    x = tuple(rng.standard_normal((2, 5, 6, 6, 2)).astype(np.float32))
    before.save(path)
    after = load_model(path)
    for a, b in zip(before.forward(x)[0], after.forward(x)[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert repr(after) == repr(before)
    assert after.summary() == before.summary()
    assert (after.input_names, after.input_shape) == (("left", "input_2"), ((6, 6, 2), (6, 6, 2)))
    assert not after.layers["eye"].trainable
    assert after.layers["inner"].trainable
    assert set(content(path)[1]) == {"eye.w", "eye.b", "dense_1.w", "dense_1.b", *(
        f"inner.norm.{name}" for name in ("w", "b", "mean", "var"))}  # fmt: skip
    assert list(after.learning) == list(before.learning)


FORGERIES = {
    "an unknown layer": lambda a: a["layers"][0].update(layer="Popen"),
    "an unknown layer within a model": lambda a: a["layers"][1]["model"]["layers"][0].update(layer="os"),
    "a name that nobody has": lambda a: a["steps"][0].__setitem__(0, "ear"),
    "two layers of one name": lambda a: a["layers"][1].update(name="eye"),
    "a slot that nobody fills": lambda a: a["steps"][0].__setitem__(1, [9]),
    "a slot from later": lambda a: a["steps"][0].__setitem__(1, [4]),
    "a slot filled twice": lambda a: a["steps"][1].__setitem__(2, [2]),
    "a slot that is no number": lambda a: a["steps"][0].__setitem__(2, ["2"]),
    "a result too many": lambda a: a["steps"][0].__setitem__(2, [2, 99]),
    "an input too many": lambda a: a["steps"][0].__setitem__(1, [0, 1]),
    "an input that is not read": lambda a: a["inputs"].append({"name": "more", "shape": [3]}),
    "no inputs": lambda a: a["inputs"].clear(),
    "a huge input": lambda a: a["inputs"][0].update(shape=[2**40, 2**40, 2]),
    "no outputs": lambda a: a["outputs"].clear(),
    "an output that is not there": lambda a: a["outputs"].append(99),
    "steps that are a number": lambda a: a.update(steps=5),
    "no steps": lambda a: a["steps"].clear(),
    "frozen by a word": lambda a: a["layers"][0].update(frozen=1, trainable="no"),
    "a model that is text": lambda a: a["layers"][1].update(model="Sequential"),
    "a model within itself": lambda a: a["layers"][1].update(model=copy.deepcopy(a)),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_graph_is_refused(name, tmp_path):
    path = tmp_path / "forged"
    graph().save(path)
    metadata, weights = content(path)
    architecture = json.loads(metadata["architecture"])
    FORGERIES[name](architecture)
    write(path, architecture, weights)
    with pytest.raises(ModelFileError, match="is not a sound model file"):
        load_model(path)


def test_models_many_levels_deep_are_refused_or_read_but_never_crash(tmp_path):
    for depth in (20, 3000):
        about = {"input_shape": [3], "dtype": "float32", "layers": [{"layer": "ReLU"}]}
        for _ in range(depth):
            about = {"input_shape": [3], "dtype": "float32", "layers": [{"model": about}]}
        path, text = tmp_path / "deep", ""
        try:
            text = json.dumps(about)
        except RecursionError:
            text = '{"layers": [{"model": ' * depth + "1" + "}]}" * depth
        fields = {"format": "convkit", "version": "2", "architecture": text, "sha256": files._digest(text, {})}
        path.write_bytes(safetensors_numpy.save({}, fields))
        if depth == 20:
            assert load_model(path).output_shape() == (3,)
        else:
            with pytest.raises(ModelFileError):
                load_model(path)


def test_a_long_chain_is_read_in_time(tmp_path):
    steps = [["relu_1", [i], [i + 1]] for i in range(4000)]
    about = {"inputs": [{"name": "x", "shape": [2]}], "dtype": "float32", "layers": [{"layer": "ReLU"}], "steps": steps,
             "outputs": [4000]}  # fmt: skip
    write(tmp_path / "long", about, {})
    model = load_model(tmp_path / "long")
    np.testing.assert_array_equal(model.predict(np.full((1, 2), -1, np.float32)), [[0, 0]])


def test_files_of_the_first_version_are_read(tmp_path, rng):
    layers = [Conv2D(2, 3), BatchNorm(), ReLU(), Flatten(), Dense(3)]
    model = Sequential(layers, input_shape=(6, 6, 1), rng=0)
    x = rng.standard_normal((6, 6, 6, 1)).astype(np.float32)
    model.fit(x, np.arange(6) % 3, verbose=0)
    about = {"input_shape": [6, 6, 1], "dtype": "float32",
             "layers": [{"layer": type(layer).__name__, **layer.config()} for layer in layers]}  # fmt: skip
    weights = {f"{i}.{name}": np.array(a) for i, layer in enumerate(layers) for name, a in layer.saved.items()}
    write(tmp_path / "old", about, weights, version="1")
    again = load_model(tmp_path / "old")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.save(tmp_path / "old")
    assert content(tmp_path / "old")[0]["version"] == "2"
    for bad in ({}, {"x.w": weights["0.w"]}, {"9.w": weights["0.w"]}):
        write(tmp_path / "old", about, {**weights, **bad} if bad else {}, version="1")
        with pytest.raises(ModelFileError):
            load_model(tmp_path / "old")


def test_a_layer_beside_and_within_a_part_is_refused_at_saving(tmp_path):
    shared = Dense(3)
    inner = Sequential([shared])
    model = Sequential([inner, ReLU(), Sequential([shared], name="again")], input_shape=(3,), rng=0)
    with pytest.raises(ValueError, match=r"save: the layer sequential_1\.dense_1 is again\.dense_1 too"):
        model.save(tmp_path / "x")
