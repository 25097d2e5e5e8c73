"""Fused steps compute what the layers say one by one."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest

from convkit import Input, Model, Sequential, gradient_check
from convkit.layers import Add, BatchNorm, Conv1D, Conv2D, Conv3D, ConvTranspose2D, Dense, Flatten, MaxPool2D, ReLU
from convkit.model.fuse import Folded


def block(x, *layers):
    for layer in layers:
        x = layer(x)
    return x


def conv_relu(x):
    return block(x, Conv2D(4, 3), ReLU())


def norm_relu(x):
    return block(x, BatchNorm(), ReLU())


def conv_norm_relu(x):
    return block(x, Conv2D(4, 3, padding=1, groups=2), BatchNorm(eps=0.1), ReLU())


def conv_relu_pool(x):
    return block(x, Conv2D(4, 3, padding=1), ReLU(), MaxPool2D(3, stride=1, padding=1), Conv2D(3, 2, activation="relu"),
                 MaxPool2D(2))  # fmt: skip


def transpose_relu(x):
    return block(x, ConvTranspose2D(4, 3), ReLU())


def residual(x):
    return block(Add()(block(x, Conv2D(4, 3, padding=1, bias=False), BatchNorm()), x), ReLU())


def residual_of_a_convolution(x):
    return Add()(x, Conv2D(4, 3, padding=1)(x))


def projected(x):
    return ReLU()(Add()(block(x, Conv2D(3, 3, padding=1), BatchNorm()), block(x, Conv2D(3, 1), BatchNorm())))


def three(x):
    return ReLU()(Add()(x, Conv2D(4, 1)(x), BatchNorm()(x)))


def dense(x):
    return block(x, Flatten(), Dense(5), BatchNorm(), ReLU(), Dense(3), ReLU())


# what is built; kinds of the steps in training, and outside
GRAPHS = [
    (conv_relu, "Conv2D", "Conv2D"),
    (norm_relu, "BatchNorm", "BatchNorm"),
    (conv_norm_relu, "Conv2D BatchNorm", "Folded"),
    (conv_relu_pool, "Conv2D Conv2D", "Conv2D MaxPool2D Conv2D MaxPool2D"),
    (transpose_relu, "ConvTranspose2D", "ConvTranspose2D"),
    (residual, "Conv2D BatchNorm", "Folded"),
    (residual_of_a_convolution, "Conv2D", "Conv2D"),
    (projected, "Conv2D BatchNorm Conv2D BatchNorm", "Folded Folded"),
    (three, "Conv2D BatchNorm Add", "Conv2D BatchNorm Add"),
    (dense, "Flatten Dense BatchNorm Dense", "Flatten Folded Dense"),
]


def model_of(build, dtype=np.float64) -> Model:
    image = Input((5, 6, 4))
    model, rng = Model(image, build(image), rng=0, dtype=dtype), np.random.default_rng(1)
    model.set_weights({name: a + 0.3 * rng.random(a.shape).astype(dtype) for name, a in model.get_weights().items()})
    return model


@pytest.mark.parametrize(("build", "training", "inference"), GRAPHS)
def test_fused_steps_give_what_single_layers_give(build, training, inference, rng):
    model = model_of(build)
    for graph, kinds in ((model._fused, training), (model._folded, inference)):
        assert [type(step.layer).__name__ for step in graph.steps] == kinds.split()
    x = rng.standard_normal((3, 5, 6, 4))
    *_, (_, alone) = model.activations(x)
    np.testing.assert_allclose(model.forward(x)[0], alone, rtol=1e-12, atol=1e-12)

    twin = copy.deepcopy(model)
    y, backward = model.forward(x, training=True)
    expected, expected_backward = twin.graph.train([x], True)
    np.testing.assert_allclose(y, expected[0], rtol=1e-12, atol=1e-12)
    dy = rng.standard_normal(y.shape)
    np.testing.assert_allclose(backward(dy), expected_backward([dy], True)[0], rtol=1e-10, atol=1e-10)
    for name, param in model.params.items():
        np.testing.assert_allclose(param.grad, twin.params[name].grad, rtol=1e-10, atol=1e-10)
    for name, buffer in model.buffers.items():
        np.testing.assert_allclose(buffer, twin.buffers[name], rtol=1e-12)
    gradient_check(model, x)


@pytest.mark.parametrize(("build", "training", "inference"), GRAPHS)
def test_in_float32_folding_stays_within_rounding(build, training, inference, rng):
    model, x = model_of(build, np.float32), rng.standard_normal((3, 5, 6, 4)).astype(np.float32)
    *_, (_, alone) = model.activations(x)
    np.testing.assert_allclose(model.predict(x), alone, rtol=1e-5, atol=1e-5 * np.abs(alone).max())


def test_what_somebody_else_reads_is_not_left_out():
    image = Input((4, 4, 2))
    maps = Conv2D(2, 1)(image)
    for outputs in ([ReLU()(maps), maps], [ReLU()(maps), BatchNorm()(maps)]):
        model = Model(image, outputs)
        assert len(model._folded.steps) == len(model.graph.steps) == len(model.layers)
    twice = BatchNorm()(maps)
    model = Model(image, Add()(twice, twice))
    assert [type(step.layer) for step in model._fused.steps] == [Conv2D, BatchNorm, Add]


def test_max_pooling_joins_the_relu_of_a_convolution_where_nobody_else_reads_it():
    image = Input((6, 6, 2))
    maps = Conv2D(2, 3, activation="relu")(image)
    layer = MaxPool2D(2)
    pooled = layer(maps)
    assert [step.fused for step in Model(image, pooled)._fused.steps] == [{"pool": layer}]
    assert not any(step.fused for step in Model(image, [pooled, maps])._fused.steps)


def test_classes_of_ones_own_are_left_alone():
    class Mine(Conv2D):
        def _forward(self, x, training):
            y, backward = super()._forward(x, training)
            return y + 1, backward

    model = Sequential([Mine(2, 1), ReLU(), BatchNorm()], input_shape=(4, 4, 2))
    assert len(model._folded.steps) == 3
    assert not any(isinstance(step.layer, Folded) for step in model._folded.steps)
    activated = Sequential([Conv2D(2, 1, activation="relu"), BatchNorm()], input_shape=(4, 4, 2))
    assert len(activated._folded.steps) == 2


def test_folded_filters_follow_the_weights_and_the_statistics(rng):
    layers = [Conv2D(3, 3), BatchNorm(), Flatten(), Dense(2)]
    model = Sequential(layers, input_shape=(6, 6, 2), rng=0)
    x = rng.standard_normal((6, 6, 6, 2)).astype(np.float32)

    def agrees():
        *_, (_, alone) = model.activations(x)
        np.testing.assert_allclose(model.predict(x), alone, rtol=1e-4, atol=1e-5)
        return model.predict(x)

    seen = [agrees()]
    layers[0].params["w"].writable()[...] *= 2
    seen.append(agrees())
    layers[1].buffers["mean"][...] = 1
    seen.append(agrees())
    layers[1].params["b"].value = np.ones(3, np.float32)
    seen.append(agrees())
    model.fit(x, np.arange(6) % 2, verbose=0)
    seen.append(agrees())
    other = Sequential([Conv2D(3, 3), BatchNorm(), Flatten(), Dense(2)], input_shape=(6, 6, 2), rng=5)
    model.set_weights(other.get_weights())
    seen.append(agrees())
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(seen))


def test_what_cannot_be_folded_runs_layer_by_layer(rng):
    model = Sequential([Conv2D(2, 1), BatchNorm(eps=0.0)], input_shape=(3, 3, 1), rng=0)
    model.layers[1].buffers["var"][0] = 0
    x = rng.standard_normal((2, 3, 3, 1)).astype(np.float32)
    with np.errstate(all="ignore"):
        *_, (_, alone) = model.activations(x)
        np.testing.assert_array_equal(model.predict(x), alone)


def test_convolutions_of_any_rank_fold(rng):
    for kind, shape in ((Conv1D, (7, 2)), (Conv3D, (3, 4, 3, 2))):
        model = Sequential([kind(3, 2), BatchNorm(), ReLU()], input_shape=shape, rng=0)
        model.layers[1].buffers["mean"][...] = 0.5
        x = rng.standard_normal((2, *shape)).astype(np.float32)
        *_, (_, alone) = model.activations(x)
        assert len(model._folded.steps) == 1
        np.testing.assert_allclose(model.predict(x), alone, rtol=1e-4, atol=1e-6)
        for batch_size in (1, 2):
            np.testing.assert_array_equal(model.predict(x, batch_size=batch_size), model.predict(x))
