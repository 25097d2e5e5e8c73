"""Frozen layers: no gradient, no step, running statistics."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import Input, Model, Sequential, gradient_check
from convkit.layers import Add, BatchNorm, Conv2D, ConvTranspose2D, Dense, Flatten, LayerNorm, PReLU, ReLU


def network() -> Model:
    image = Input((6, 6, 1))
    x = PReLU(name="slope")(BatchNorm(name="norm")(Conv2D(4, 3, name="first")(image)))
    x = LayerNorm(name="last_norm")(ReLU()(Add()(x, Conv2D(4, 3, padding=1, name="second")(x))))
    return Model(image, Dense(3, name="classes")(Flatten()(x)), rng=0)


@pytest.mark.parametrize("frozen", ["first", "norm slope", "second last_norm", "classes", "first norm slope"])
def test_frozen_layers_stay_as_they_are_and_all_others_learn(frozen, rng):
    model, frozen = network(), frozen.split()
    for name in frozen:
        model.layers[name].trainable = False
    before = model.get_weights()
    x, y = rng.standard_normal((12, 6, 6, 1)).astype(np.float32), np.arange(12) % 3
    model.fit(x, y, epochs=2, verbose=0)
    after = model.get_weights()
    for name, array in before.items():
        assert np.array_equal(after[name], array) == (name.split(".")[0] in frozen), name
    assert not any(param.grad.any() for name in frozen for param in model.layers[name].params.values())
    assert set(model.learning) == {name for name in model.params if name.split(".")[0] not in frozen}


def test_no_time_is_spent_on_gradients_of_frozen_filters(monkeypatch, rng):
    asked = []
    for kind in (Conv2D, ConvTranspose2D):
        grad = kind._grad
        monkeypatch.setattr(
            kind, "_grad", lambda *args, needs, grad=grad, **how: asked.append(needs) or grad(*args, needs=needs, **how)
        )
    layers = [Conv2D(2, 3), Conv2D(2, 3), ConvTranspose2D(2, 3), Conv2D(2, 3), Flatten(), Dense(3)]
    model = Sequential(layers, rng=0)
    for i in (0, 2):
        layers[i].trainable = False
    model.fit(rng.standard_normal((4, 8, 8, 1)).astype(np.float32), np.arange(4) % 3, batch_size=4, verbose=0)
    assert asked == [("x", "w", "b"), ("x",), ("w", "b")]


def test_gradients_of_frozen_networks_are_finite_differences(rng):
    model, x = network(), rng.standard_normal((4, 6, 6, 1))
    for name in ("norm", "second"):
        model.layers[name].trainable = False
    model.layers["norm"].buffers["mean"][...] = rng.standard_normal(4)
    errors = gradient_check(model, x)
    assert {name.split(".")[0] for name in errors} == {"x", "first", "slope", "last_norm", "classes"}


def test_freezing_a_model_freezes_all_within():
    inner = Sequential([Conv2D(2, 3), BatchNorm()], name="inner")
    model = Sequential([inner, Flatten(), Dense(2)], input_shape=(6, 6, 1), rng=0)
    inner.trainable = False
    assert set(model.learning) == {"dense_1.w", "dense_1.b"}
    assert "66 parameters are trained, 24 are frozen." in model.summary()
    assert model.trainable
    model.trainable = False
    assert not model.trainable
    with pytest.raises(ValueError, match="no parameters to train, all are frozen"):
        model.fit(np.zeros((2, 6, 6, 1), np.float32), [0, 1], verbose=0)
    model.trainable = True
    assert len(model.learning) == 6
    with pytest.raises(TypeError, match="Dense: trainable must be True or False, got 1"):
        model.layers["dense_1"].trainable = 1


def test_a_frozen_batch_norm_takes_a_single_value(rng):
    layer = BatchNorm()
    layer.build((3,), rng)
    layer.trainable = False
    x = rng.standard_normal((1, 3)).astype(np.float32)
    y, backward = layer.forward(x, training=True)
    np.testing.assert_allclose(y, x, rtol=1e-4)
    np.testing.assert_allclose(backward(x), x, rtol=1e-4)
