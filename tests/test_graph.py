"""Models as graphs: symbolic tensors, shared layers, several inputs and outputs, models in models, names, weights."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from typing import ClassVar

import numpy as np
import pytest

import convkit
from convkit import Input, Model, Sequential, gradient_check
from convkit.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    Multiply,
    ReLU,
    Tanh,
)
from convkit.ops.pointwise import add


def residual(rng=0, **how) -> Model:
    image = Input((6, 6, 2), name="image")
    x = ReLU()(BatchNorm()(Conv2D(4, 3, padding=1)(image)))
    y = BatchNorm()(Conv2D(4, 3, padding=1)(x))
    y = ReLU()(Add()(x, y))
    return Model(image, Dense(3)(GlobalAvgPool2D()(y)), rng=rng, **how)


def test_a_residual_network_learns(rng):
    x = rng.standard_normal((90, 6, 6, 2)).astype(np.float32)
    y = np.arange(90) % 3
    x[y == 0, 2] += 2
    x[y == 1, :, 3] += 2
    model = residual()
    model.fit(x, y, epochs=20, optimizer=convkit.optim.Adam(0.01), verbose=0)
    assert model.evaluate(x, y)["accuracy"] > 0.9


def test_gradients_of_a_graph_are_finite_differences(rng):
    errors = gradient_check(residual(), rng.standard_normal((3, 6, 6, 2)))
    assert {"x", "conv2d_1.w", "batch_norm_2.b", "dense_1.b"} < errors.keys()


def test_a_shared_layer_adds_up_its_gradients(rng):
    a, b = Input((4,)), Input((4,))
    shared = Dense(4, name="shared")
    model = Model([a, b], Add()(shared(Tanh()(shared(a))), shared(b)), rng=0)
    assert model.count_params() == 20
    errors = gradient_check(model, tuple(rng.standard_normal((2, 3, 4))))
    assert errors.keys() == {"x[0]", "x[1]", "shared.w", "shared.b"}


@pytest.mark.parametrize("shape", [(1,), (0, 3), (3, 8192), (7, 5003)])
def test_gradients_that_meet_are_added(shape, rng, isa):
    for dtype in ("f4", "f8"):
        a, b = rng.standard_normal((2, *shape)).astype(dtype)
        kept = a.copy(), b.copy()
        for threads in (1, 3):
            with convkit.threads(threads):
                np.testing.assert_array_equal(add(a, b), a + b)
                np.testing.assert_array_equal(add(a.T, b.T), (a + b).T)
        np.testing.assert_array_equal((a, b), kept)


def test_a_convolution_may_be_shared_by_images_of_two_sizes(rng):
    small, large = Input((4, 4, 3)), Input((8, 6, 3))
    conv = Conv2D(2, 3, padding=1)
    model = Model((small, large), [conv(small), conv(large)], rng=0)
    assert model.output_shape() == ((4, 4, 2), (8, 6, 2))
    gradient_check(model, (rng.standard_normal((2, 4, 4, 3)), rng.standard_normal((2, 8, 6, 3))))
    dense = Dense(2)
    with pytest.raises(ValueError, match=r"dense_1 is shared, but would need other parameters for \(9,\) than for \(4,\)"):
        Model([a := Input((4,)), b := Input((9,))], Add()(dense(a), dense(b)))


def test_several_inputs_and_outputs(rng):
    a, b = Input((3,)), Input((3,))
    both = Concat()(a, b)
    model = Model([a, b], [Dense(2)(both), Multiply()(a, b), both], rng=0)
    x = tuple(rng.standard_normal((2, 5, 3)).astype(np.float32))
    y, backward = model.forward(x, training=True)
    assert [array.shape for array in y] == [(5, 2), (5, 3), (5, 6)]
    assert model.output_names == ("dense_1", "multiply_1", "concat_1")
    np.testing.assert_array_equal(y[2], np.concatenate(x, axis=1))
    dx = backward((np.zeros((5, 2), np.float32), np.ones((5, 3), np.float32), None))
    np.testing.assert_allclose(dx[0], x[1], rtol=1e-6)
    np.testing.assert_allclose(dx[1], x[0], rtol=1e-6)
    gradient_check(model, x)


def test_models_are_layers(rng):
    encoder = Sequential([Conv2D(4, 3, padding=1), ReLU(), Dropout(0.0)], name="encoder")
    pair = Model([a := Input((6, 6, 4)), b := Input((6, 6, 4))], [Add()(a, b), Multiply()(a, b)], name="pair")
    left, right = Input((6, 6, 2)), Input((6, 6, 2))
    model = Model([left, right], Concat()(pair(encoder(left), encoder(right))), rng=0)
    assert model.layers.names == ("encoder", "pair", "concat_1")
    assert set(model.params) == {"encoder.conv2d_1.w", "encoder.conv2d_1.b"}
    assert model.layers["encoder"].layers[0] is encoder.layers["conv2d_1"]
    gradient_check(model, tuple(rng.standard_normal((2, 2, 6, 6, 2)) + 0.1))
    assert gradient_check(Sequential([encoder, Flatten(), Dense(2)]), rng.standard_normal((2, 6, 6, 2)))


def test_two_models_share_what_both_hold(rng):
    image = Input((6, 6, 2))
    maps = Conv2D(4, 3)(image)
    features = Model(image, maps, rng=0)
    classifier = Model(image, Dense(2)(Flatten()(maps)), rng=0)
    assert classifier.params["conv2d_1.w"] is features.params["conv2d_1.w"]
    x = rng.standard_normal((3, 6, 6, 2)).astype(np.float32)
    rest = Sequential(classifier.layers[1:], input_shape=(4, 4, 4))
    np.testing.assert_array_equal(rest.predict(features.predict(x)), classifier.predict(x))
    middle = Model(maps, Flatten()(maps))               # from the middle of a graph
    assert middle.input_shape == (4, 4, 4)


def test_the_same_as_by_hand(rng):
    """A diamond, against NumPy."""
    x = Input((3,))
    one, two = Dense(3, bias=False), Dense(3, bias=False)
    model = Model(x, Add()(Multiply()(one(x), two(x)), x), rng=0, dtype=np.float64)
    a = rng.standard_normal((4, 3))
    u, v = (model.params[f"dense_{i}.w"].value for i in (1, 2))
    y, backward = model.forward(a, training=True)
    np.testing.assert_allclose(y, (a @ u.T) * (a @ v.T) + a, rtol=1e-12)
    dy = rng.standard_normal(y.shape)
    kept = dy.copy()
    np.testing.assert_allclose(backward(dy), (dy * (a @ v.T)) @ u + (dy * (a @ u.T)) @ v + dy, rtol=1e-12)
    np.testing.assert_array_equal(dy, kept)


def test_the_same_bits_for_any_number_of_threads(rng):
    x, y = rng.standard_normal((40, 6, 6, 2)).astype(np.float32), np.arange(40) % 3
    found = []
    for n in (1, 2, 3):
        model = residual()
        with convkit.threads(n):
            model.fit(x, y, epochs=2, verbose=0)
        found.append(model.get_weights())
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in found[0])


# --- memory -----------------------------------------------------------------------------------------------------------------


class Watched(Layer):
    """Passes a copy on, and notes how many of such arrays are alive when it runs."""

    alive: ClassVar[list] = []
    forward_counts: ClassVar[list] = []
    backward_counts: ClassVar[list] = []

    def _forward(self, x, training):
        y = x.copy()
        type(self).forward_counts.append(self.count())
        type(self).alive.append(weakref.ref(y))

        def backward(dy, needs_input):
            type(self).backward_counts.append(self.count())
            return dy * (y == y)

        return y, backward if training else None

    @classmethod
    def count(cls):
        return sum(ref() is not None for ref in cls.alive)


@pytest.fixture
def deep():
    for counts in (Watched.alive, Watched.forward_counts, Watched.backward_counts):
        counts.clear()
    gc.disable()                                        # nothing may wait for it
    yield Sequential([*[Watched() for _ in range(8)], Dense(2)], input_shape=(4,), rng=0)
    gc.enable()


def test_inference_drops_what_no_later_layer_reads(deep):
    deep.predict(np.ones((2, 4), np.float32))
    assert max(Watched.forward_counts) == 1
    assert Watched.count() == 0


def test_backward_drops_arrays_as_it_goes(deep):
    _, backward = deep.forward(np.ones((2, 4), np.float32), training=True)
    assert Watched.count() == 8
    backward(np.ones((2, 2), np.float32))
    assert Watched.backward_counts == list(range(8, 0, -1))
    assert Watched.count() == 0
    with pytest.raises(ValueError, match="backward has run already"):
        backward(np.ones((2, 2), np.float32))


def test_what_only_the_gradient_of_the_input_needs_is_not_kept(deep):
    _, backward = deep.forward(np.ones((2, 4), np.float32), training=True, needs_input=False)
    assert Watched.count() == 1                         # the input of Dense
    assert backward(np.ones((2, 2), np.float32)) is None
    assert not Watched.backward_counts


# --- names and weights ---------------------------------------------------------------------------------------------------


def test_names_are_given_or_count_up():
    layers = [Conv2D(2, 3), BatchNorm(name="norm"), Conv2D(2, 1, name="conv2d_2"), Conv2D(2, 1), ReLU(), GlobalAvgPool2D()]
    model = Sequential(layers, input_shape=(6, 6, 1), rng=0)
    assert model.layers.names == ("conv2d_1", "norm", "conv2d_2", "conv2d_3", "relu_1", "global_avg_pool2d_1")
    assert model.layers["norm"] is model.layers[1] is layers[1]
    assert "norm" in model.layers
    assert layers[3] in model.layers
    assert list(model.layers) == model.layers[:] == layers
    assert "name='norm'" in repr(model)
    with pytest.raises(KeyError, match=r"no layer is called 'nrm'; there are conv2d_1, norm"):
        model.layers["nrm"]
    with pytest.raises(ValueError, match="two layers are called 'a'"):
        Sequential([ReLU(name="a"), Tanh(name="a")])
    for name, error in (("a.b", ValueError), ("", ValueError), (3, TypeError)):
        with pytest.raises(error, match="ReLU: name must be a"):
            ReLU(name=name)


def test_help_shows_the_name():
    assert list(inspect.signature(Conv2D).parameters)[:2] == ["out_channels", "kernel_size"]
    assert list(inspect.signature(Conv2D).parameters)[-1] == "name"
    assert "name" in inspect.signature(ReLU).parameters


def test_weights_go_from_model_to_model(rng):
    one, other = residual(0), residual(1)
    x = rng.standard_normal((8, 6, 6, 2)).astype(np.float32)
    one.fit(x, np.arange(8) % 3, epochs=2, verbose=0)
    weights = one.get_weights()
    assert {"batch_norm_1.mean", "conv2d_2.w"} < weights.keys()
    other.set_weights(weights)
    np.testing.assert_array_equal(other.predict(x), one.predict(x))
    weights["dense_1.w"][...] = 0                       # copies
    assert one.params["dense_1.w"].value.any()


def test_wrong_weights_change_nothing():
    model = residual()
    before, good = model.get_weights(), residual(1).get_weights()
    lost = {name: a for name, a in good.items() if name != "dense_1.w"}
    for bad, error, words in (
        (lost, ValueError, "missing: dense_1.w; unknown: none"),
        ({**good, "dense_1.w": good["dense_1.w"].T}, ValueError, r"dense_1.w must be float32 \(3, 4\), got float32 \(4, 3\)"),
        ({**good, "dense_1.w": good["dense_1.w"].astype(float)}, ValueError, "got float64"),
        (list(good.values()), TypeError, "must be a dict of arrays, got list"),
    ):
        with pytest.raises(error, match=words):
            model.set_weights(bad)
    assert all(np.array_equal(model.get_weights()[name], a) for name, a in before.items())


def test_copies_stand_alone(rng):
    x = rng.standard_normal((4, 6, 6, 2)).astype(np.float32)
    model = residual()
    before = model.predict(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin.fit(x, np.arange(4) % 3, verbose=0)
        assert not np.array_equal(twin.predict(x), before)
        assert twin.layers.names == model.layers.names
    np.testing.assert_array_equal(model.predict(x), before)


def test_a_deep_graph_can_be_copied():
    x = y = Input((2,))
    for _ in range(1500):
        y = ReLU()(y)
    assert len(copy.deepcopy(Model(x, y)).layers) == 1500


def test_activations_are_told_layer_by_layer(rng):
    model, x = residual(), rng.standard_normal((2, 6, 6, 2)).astype(np.float32)
    told = dict(model.activations(x))
    assert list(told) == list(model.layers.names)
    assert told["add_1"].min() < 0 <= told["relu_2"].min()
    np.testing.assert_allclose(told["dense_1"], model.predict(x), rtol=1e-4, atol=1e-6)


# --- errors --------------------------------------------------------------------------------------------------------------


def test_wrong_graphs_are_one_clear_error(rng):
    a, b = Input((4, 4, 2), name="left"), Input((4, 4, 3), name="right")
    with pytest.raises(ValueError, match=r"Add 'sum', which gets \(\(4, 4, 2\), \(4, 4, 3\)\): Add: tensors must"):
        Add(name="sum")(a, b)
    with pytest.raises(ValueError, match=r"Dense, which gets \(4, 4, 2\): .* put Flatten\(\) before it"):
        Dense(3)(a)
    with pytest.raises(TypeError, match="Conv2D: takes one tensor, got 2"):
        Conv2D(3, 1)(a, b)
    with pytest.raises(TypeError, match=r"ReLU: layers are called on what Input gives, got ndarray; forward\(x\) takes arrays"):
        ReLU()(np.ones(3))
    with pytest.raises(ValueError, match=r"Model: no output depends on Tensor\(shape=\(4, 4, 3\), from Input right\)"):
        Model([a, b], ReLU()(a))
    with pytest.raises(ValueError, match=r"the outputs depend on Tensor\(.* from Input right\), which is not among the inputs"):
        Model(a, Concat()(a, b))
    with pytest.raises(ValueError, match="no layers"):
        Model(a, a)
    with pytest.raises(ValueError, match="inputs must be one tensor or more, each once"):
        Model([a, a], ReLU()(a))
    with pytest.raises(TypeError, match="outputs must be what Input or a layer gave, got ReLU"):
        Model(a, ReLU())
    with pytest.raises(ValueError, match="two inputs are called 'x'"):
        Model([c := Input((2,), name="x"), d := Input((2,), name="x")], Add()(c, d))
    with pytest.raises(TypeError, match="Sequential: Add takes several tensors; it needs a Model"):
        Sequential([Add()])
    with pytest.raises(TypeError, match="holds no numbers"):
        np.asarray(a)
    with pytest.raises(TypeError):
        np.add(a, 1)


def test_a_cycle_is_found():
    x = Input((2,))
    first = ReLU()(x)
    last = Tanh(name="last")(Add()(first, x))
    first.node.inputs = (last,)
    with pytest.raises(ValueError, match=r"a cycle: ReLU reads Tensor\(shape=\(2,\), from Tanh 'last'\)"):
        Model(x, last)


def test_arrays_that_do_not_fit_several_inputs(rng):
    model = Model([a := Input((3,)), b := Input((3,))], Add()(a, b))
    x = rng.standard_normal((5, 3)).astype(np.float32)
    for bad, error, words in (
        (x, TypeError, "x must be a tuple of 2 arrays"),
        ((x, x, x), TypeError, "x must be a tuple of 2 arrays"),
        ((x, x[:, :2]), ValueError, r"Add: x\[1\] must have shape \(5, 3\), got \(5, 2\)"),
        ((x, x[:4]), ValueError, r"Add: x\[1\] must have shape \(5, 3\), got \(4, 3\)"),
        ((x, x.astype(np.float64)), TypeError, r"Add: x\[1\] must be an ndarray of dtype float32, got float64"),
    ):
        with pytest.raises(error, match=words):
            model.forward(bad)


def test_a_model_built_for_another_dtype_cannot_be_a_part(rng):
    inner = Sequential([MaxPool2D()], input_shape=(4, 4, 1), dtype=np.float64)
    with pytest.raises(ValueError, match=r"layer sequential_1 is built for float64 of shape \(4, 4, 1\), here it gets float32"):
        Sequential([inner], input_shape=(4, 4, 1))
