"""fit, evaluate and predict with several inputs and outputs."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import Checkpoint, Input, Model
from convkit.layers import Concat, Conv2D, Dense, Flatten, GlobalAvgPool2D
from convkit.losses import cross_entropy, mse
from convkit.optim import Adam


def model(rng=0) -> Model:
    """An image and two numbers; a class and the sum of the numbers."""
    image, numbers = Input((6, 6, 1), name="image"), Input((2,), name="numbers")
    both = Concat()(Flatten()(Conv2D(4, 3, activation="relu")(image)), numbers)
    return Model([image, numbers], [Dense(2, name="kind")(both), Dense(1, name="sum")(both)], rng=rng)


@pytest.fixture
def data(rng):
    x = rng.standard_normal((60, 6, 6, 1)).astype(np.float32), rng.standard_normal((60, 2)).astype(np.float32)
    kind = np.arange(60) % 2
    x[0][kind == 1, 2] += 2
    return x, (kind, x[1].sum(axis=1, keepdims=True))


LOSS = {"loss": ("cross_entropy", "mse")}


def test_both_outputs_are_learnt(data):
    net, (x, y) = model(), data
    how = {"optimizer": Adam(0.02), "verbose": 0, **LOSS}
    history = net.fit(x, y, epochs=30, batch_size=20, validation_split=0.2, **how).history
    assert set(history) == {"loss", "kind_accuracy", "val_loss", "val_kind_accuracy", "seconds"}
    figures = net.evaluate(x, y, **LOSS)
    assert figures["kind_accuracy"] > 0.9
    kind, total = net.predict(x)
    assert figures["loss"] == pytest.approx(cross_entropy(kind, y[0])[0] + mse(total, y[1])[0], rel=1e-5)
    assert mse(total, y[1])[0] < 0.3
    for batch_size in (1, 7):
        for a, b in zip(net.predict(x, batch_size=batch_size), (kind, total), strict=True):
            np.testing.assert_array_equal(a, b)


def test_names_tuples_and_batches_are_the_same(data):
    x, y = data
    by_name = {"numbers": x[1], "image": x[0]}, {"sum": y[1], "kind": y[0]}
    expected = model()
    expected.fit(x, y, verbose=0, batch_size=60, **LOSS)
    other = model()
    loss = {"loss": {"sum": mse, "kind": "cross_entropy"}, "metrics": {"sum": (), "kind": ["accuracy"]}}
    other.fit(*by_name, verbose=0, batch_size=60, **loss)
    streamed = model()
    streamed.fit([(x, y)], verbose=0, **LOSS)
    for a, b, c in zip(expected.predict(x), other.predict(by_name[0]), streamed.predict(iter([(x, y)])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # another order of the samples
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(streamed.predict(iter([x]))[0], streamed.predict(x)[0])


def test_loss_weights_scale_losses_and_gradients(data):
    x, y = data
    one, two = (model().evaluate(x, y, loss_weights=weights, **LOSS)["loss"] for weights in ((1, 0), {"kind": 0, "sum": 1}))
    both = model().evaluate(x, y, loss_weights=(0.5, 3.0), **LOSS)["loss"]
    assert both == pytest.approx(0.5 * one + 3 * two, rel=1e-6)
    net = model()
    before = net.get_weights()
    net.fit(x, y, loss_weights=(1, 0), verbose=0, **LOSS)
    after = net.get_weights()
    assert np.array_equal(before["sum.w"], after["sum.w"])
    assert not np.array_equal(before["kind.w"], after["kind.w"])


def test_accumulation_and_weights_of_samples(data):
    x, y = data
    whole, parts = model(), model()
    whole.fit(x, y, batch_size=60, verbose=0, **LOSS)
    parts.fit(x, y, batch_size=15, accumulate=4, verbose=0, **LOSS)
    for name, array in whole.get_weights().items():
        np.testing.assert_allclose(parts.get_weights()[name], array, rtol=1e-3, atol=1e-4)
    weights = (y[0] == 0).astype(float)
    chosen, half = model(), model()
    chosen.fit(x, y, sample_weight=weights, batch_size=60, verbose=0, **LOSS)
    kept = weights > 0
    half.fit(tuple(a[kept] for a in x), tuple(a[kept] for a in y), batch_size=30, verbose=0, **LOSS)
    for name, array in half.get_weights().items():      # Adam's first step does not see the factor of a half
        np.testing.assert_allclose(chosen.get_weights()[name], array, rtol=1e-3, atol=1e-4)


def test_a_run_can_be_resumed(data, tmp_path):
    pytest.importorskip("safetensors")
    x, y = data
    whole, first, rest = model(), model(), model()
    whole.fit(x, y, epochs=3, verbose=0, **LOSS)
    first.fit(x, y, epochs=2, verbose=0, callbacks=[Checkpoint(tmp_path / "run")], **LOSS)
    rest.fit(x, y, epochs=3, verbose=0, resume=tmp_path / "run", **LOSS)
    assert all(np.array_equal(rest.get_weights()[name], array) for name, array in whole.get_weights().items())


def test_two_outputs_of_one_input(rng):
    image = Input((6, 6, 1))
    maps = Conv2D(3, 3)(image)
    net = Model(image, [GlobalAvgPool2D(name="mean")(maps), Dense(2)(Flatten()(maps))], rng=0)
    x = rng.standard_normal((12, 6, 6, 1)).astype(np.float32)
    net.fit(x, (np.arange(12) % 3, np.arange(12) % 2), verbose=0, validation_split=0.25)
    assert [a.shape for a in net.predict(x)] == [(12, 3), (12, 2)]


WRONG = [
    ({"x": lambda x: x[0]}, TypeError, "fit: x must be a tuple of 2, or a dict of image, numbers, got ndarray"),
    ({"x": lambda x: (*x, x[0])}, ValueError, "fit: x must be a tuple of 2, or a dict of image, numbers, got 3"),
    ({"x": lambda x: {"image": x[0]}}, ValueError, "got a dict of image"),
    ({"x": lambda x: (x[0], x[1][:-1])}, ValueError, "the arrays of x must be equally long, got 60, 59"),
    ({"x": lambda x: (x[0].astype(float), x[1])}, TypeError, r"fit: x\['image'\] has dtype float64"),
    ({"x": lambda x: (x[0], x[1][:, :1])}, ValueError, r"fit: x\['numbers'\] must have shape \(N, 2\), got \(60, 1\)"),
    ({"y": lambda y: y[0]}, TypeError, "fit: y must be a tuple of 2, or a dict of kind, sum, got ndarray"),
    ({"y": lambda y: (y[0] + 1, y[1])}, ValueError, r"fit: y\['kind'\] holds the label 2"),
    ({"y": lambda y: (y[0], y[1][:3])}, ValueError, r"fit: x has 60 samples, y\['sum'\] has shape \(3, 1\)"),
    ({"y": lambda y: (y[0], y[1][:, 0])}, ValueError, r"fit: y\['sum'\] must have the shape of the outputs"),
    ({"loss": ("cross_entropy",)}, ValueError, "fit: loss must be a tuple of 2, or a dict of kind, sum, got 1"),
    ({"loss": {"kind": "cross_entropy"}}, ValueError, "fit: loss must be"),
    ({"loss": ("cross_entropy", "hinge")}, ValueError, "fit: unknown loss 'hinge'"),
    ({"loss_weights": (1, -1)}, ValueError, "fit: loss_weights must be finite numbers >= 0, got -1"),
    ({"loss_weights": 2}, TypeError, "fit: loss_weights must be a tuple of 2"),
    ({"class_weight": {0: 2}}, TypeError, "fit: class_weight is for models with one output"),
    ({"metrics": {"kind": ["accuracy"]}}, ValueError, "fit: metrics must be"),
]


@pytest.mark.parametrize(("change", "error", "words"), WRONG)
def test_wrong_data_are_one_clear_error(change, error, words, data):
    how = {**LOSS, **change}
    x, y = (how.pop(name, lambda a: a)(given) for name, given in zip("xy", data, strict=True))
    net = model()
    before = net.get_weights()
    with pytest.raises(error, match=words):
        net.fit(x, y, verbose=0, **how)
    assert all(np.array_equal(net.get_weights()[name], array) for name, array in before.items())


def test_loss_weights_need_several_outputs(rng):
    image = Input((3,))
    with pytest.raises(TypeError, match="loss_weights is for models with several outputs"):
        Model(image, Dense(2)(image)).fit(np.zeros((2, 3), np.float32), [0, 1], loss_weights=(1,), verbose=0)
