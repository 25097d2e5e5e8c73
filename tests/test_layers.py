"""One table of layers; each goes through the same checks."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from layer_cases import CASES

from convkit import layers, ops
from convkit.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
    Param,
)

IDS = [f"{cls.__name__}{i}" for i, (cls, _, _) in enumerate(CASES)]
every_layer = pytest.mark.parametrize(("cls", "how", "shape"), CASES, ids=IDS)


def built(cls: type[Layer], how: dict, shape: tuple, dtype=np.float64) -> Layer:
    """A layer whose biases are not all zero."""
    layer = cls(**how)
    rng = np.random.default_rng(1)
    layer.build(shape, rng, dtype)
    if "b" in layer.params:
        layer.params["b"].value = rng.standard_normal(layer.params["b"].value.shape).astype(dtype)
    return layer


def output(layer: Layer, x: np.ndarray) -> np.ndarray:
    """What a training pass gives, with the same dropout each time."""
    return copy.deepcopy(layer).forward(x, training=True)[0]


def slopes(function, at: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of function() with respect to each element of `at`, which is changed in place meanwhile."""
    result = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        before = at[i]
        at[i] = before + h
        high = function()
        at[i] = before - h
        result[i] = (high - function()) / (2 * h)
        at[i] = before
    return result


def test_the_table_has_every_layer():
    classes = {getattr(layers, name) for name in layers.__all__} - {Layer, Param}
    classes -= {cls for cls in classes if cls.several}  # of them is test_merge.py
    assert {cls for cls, _, _ in CASES} == classes


@every_layer
def test_gradients_are_finite_differences(cls, how, shape, rng):
    layer = built(cls, how, shape)
    x = rng.standard_normal((2, *shape))
    weight = rng.standard_normal((2, *layer.output_shape(shape)))
    twin = copy.deepcopy(layer)
    _, backward = twin.forward(x, training=True)
    dx = backward(weight)
    np.testing.assert_allclose(dx, slopes(lambda: np.vdot(output(layer, x), weight), x), rtol=1e-6, atol=1e-8)
    for name, param in layer.params.items():

        def loss(param=param):
            param.version += 1  # slopes() writes behind the back of the packed filters
            return np.vdot(output(layer, x), weight)

        np.testing.assert_allclose(twin.params[name].grad, slopes(loss, param._value), rtol=1e-6, atol=1e-8)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes_are_as_announced(cls, how, shape, dtype, rng):
    layer = cls(**how)
    announced = layer.build(shape, rng, dtype)
    x = rng.standard_normal((3, *shape)).astype(dtype)
    y, backward = layer.forward(x, training=True)
    assert announced == layer.output_shape(shape) == y.shape[1:]
    assert all(type(n) is int for n in announced)
    assert len(y) == 3
    assert y.dtype == backward(y).dtype == dtype
    assert {name: p.value.shape for name, p in layer.params.items()} == layer.param_shapes(shape)
    assert all(p.value.dtype == p.grad.dtype == dtype for p in layer.params.values())


@every_layer
def test_inference_gives_the_same_and_no_backward(cls, how, shape, rng):
    layer = built(cls, how, shape)
    x = rng.standard_normal((2, *shape))
    y, backward = layer.forward(x)
    assert backward is None
    np.testing.assert_array_equal(y[1:], layer.forward(x[1:])[0])
    if not isinstance(layer, (Dropout, BatchNorm)):
        np.testing.assert_array_equal(y, layer.forward(x, training=True)[0])


@every_layer
def test_an_empty_batch_gives_an_empty_result(cls, how, shape):
    layer = built(cls, how, shape)
    x = np.empty((0, *shape))
    y, backward = layer.forward(x, training=True)
    assert y.shape == (0, *layer.output_shape(shape))
    assert backward(y).shape == x.shape
    assert not any(param.grad.any() for param in layer.params.values())


@every_layer
def test_config_round_trips_through_json(cls, how, shape):
    layer = cls(**how)
    again = cls(**json.loads(json.dumps(layer.config())))
    assert again.config() == layer.config()
    assert again.output_shape(shape) == layer.output_shape(shape)
    assert repr(again) == repr(layer)


@every_layer
def test_nothing_given_is_written_to(cls, how, shape, rng):
    layer = built(cls, how, shape)
    x = rng.standard_normal((2, *shape))
    x.flags.writeable = False
    y, backward = layer.forward(x, training=True)
    dy, values = rng.standard_normal(y.shape), [param.value.copy() for param in layer.params.values()]
    dy.flags.writeable = False
    before = y.copy()
    backward(dy)
    np.testing.assert_array_equal(y, before)
    assert all(np.array_equal(param.value, value) for param, value in zip(layer.params.values(), values, strict=True))


@every_layer
def test_gradients_add_up_and_needs_input_changes_nothing_else(cls, how, shape, rng):
    layer = built(cls, how, shape)
    y, backward = layer.forward(rng.standard_normal((2, *shape)), training=True)
    dy = rng.standard_normal(y.shape)
    backward(dy, needs_input=False)
    once = [param.grad.copy() for param in layer.params.values()]
    backward(dy)
    assert all(np.array_equal(param.grad, 2 * grad) for param, grad in zip(layer.params.values(), once, strict=True))


@every_layer
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_independent(cls, how, shape, clone, rng):
    layer = built(cls, how, shape)
    x = rng.standard_normal((2, *shape))
    y, _ = layer.forward(x)
    other = clone(layer)
    np.testing.assert_array_equal(other.forward(x)[0], y)
    for param in other.params.values():
        param.value = param.value + 1
        param.grad += 1
    np.testing.assert_array_equal(layer.forward(x)[0], y)
    assert not any(param.grad.any() for param in layer.params.values())


@every_layer
def test_wrong_calls_are_one_clear_error(cls, how, shape, rng):
    fresh, name = cls(**how), cls.__name__
    with pytest.raises(ValueError, match=rf"{name}: the layer is not built"):
        fresh.forward(np.zeros((1, *shape)))
    layer = built(cls, how, shape)
    x = rng.standard_normal((2, *shape))
    with pytest.raises(TypeError, match=rf"{name}: x must be an ndarray of dtype float64, got float32"):
        layer.forward(x.astype(np.float32))
    with pytest.raises(TypeError, match=f"{name}: x must be an ndarray"):
        layer.forward(x.tolist())
    with pytest.raises(ValueError, match=rf"{name}: x must have shape \(N, "):
        layer.forward(x[..., None])
    y, backward = layer.forward(x, training=True)
    with pytest.raises(ValueError, match=rf"{name}: dy must have shape \(2, "):
        backward(y[:1])
    with pytest.raises(TypeError, match=f"{name}: dy must be"):
        backward(y.astype(np.float32))


@every_layer
def test_backward_after_the_weights_changed_is_refused(cls, how, shape, rng):
    layer = built(cls, how, shape)
    y, backward = layer.forward(rng.standard_normal((2, *shape)), training=True)
    for param in layer.params.values():
        param.value = param.value * 2
        with pytest.raises(ValueError, match="weights changed since forward"):
            backward(y)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Conv2D(0, 3), ValueError, "Conv2D: out_channels must be >= 1, got 0"),
        (lambda: Conv2D(4, 0), ValueError, "Conv2D: kernel_size must be >= 1"),
        (lambda: Conv2D(4, (3, 3, 3)), ValueError, "Conv2D: kernel_size must be an int or 2 ints"),
        (lambda: Conv2D(4, 3, stride=1.0), TypeError, "Conv2D: stride must be"),
        (lambda: Conv2D(4, 3, dilation=True), TypeError, "Conv2D: dilation must be"),
        (lambda: Conv2D(4, 3, groups=0), ValueError, "Conv2D: groups must be >= 1, got 0"),
        (lambda: Conv2D(4, 3, bias=1), TypeError, "Conv2D: bias must be True or False"),
        (lambda: Conv2D(4, 3, activation="tanh"), ValueError, 'Conv2D: activation must be None or "relu"'),
        (lambda: Conv2D(4, 3).output_shape((8, 8)), ValueError, r"Conv2D: the input must be \(height, width, channels\)"),
        (lambda: Conv2D(4, 3, groups=2).output_shape((8, 8, 3)), ValueError, "groups=2 must divide the 3 input channels"),
        (lambda: Conv2D(3, 3, groups=2).output_shape((8, 8, 4)), ValueError, "groups"),
        (lambda: Conv2D(4, 5).output_shape((4, 8, 1)), ValueError, "kernel"),
        (lambda: Conv2D(4, 3, pad_mode="mirror"), ValueError, "Conv2D: pad_mode must be one of 'constant', 'edge'"),
        (lambda: Conv2D(4, 3, padding=4, pad_mode="reflect").output_shape((4, 8, 1)), ValueError, "padding along h must be"),
        (lambda: ConvTranspose2D(4, 3, pad_mode="edge"), TypeError, "pad_mode"),
        (lambda: Conv2D(4, 3, padding=-1).output_shape((4, 8, 1)), ValueError, "padding"),
        (lambda: Dense(0), ValueError, "Dense: units must be >= 1, got 0"),
        (lambda: Dense(2.5), TypeError, "Dense: units must be an int"),
        (lambda: Dense(2).output_shape((4, 4, 1)), ValueError, r"put Flatten\(\) before it"),
        (lambda: MaxPool2D(0), ValueError, "MaxPool2D: kernel_size must be >= 1"),
        (lambda: MaxPool2D(5).output_shape((4, 4, 1)), ValueError, "kernel"),
        (lambda: MaxPool2D(2).output_shape((4, 4)), ValueError, "MaxPool2D: the input must be"),
        (lambda: AvgPool2D(2, ceil_mode=1), TypeError, "AvgPool2D: ceil_mode must be True or False"),
        (lambda: AvgPool2D(2, count_include_pad=None), TypeError, "AvgPool2D: count_include_pad"),
        (lambda: Dropout(-0.1), ValueError, r"Dropout: p must be in \[0, 1\], got -0.1"),
        (lambda: Dropout(1.1), ValueError, "Dropout: p must be"),
        (lambda: Dropout(float("nan")), ValueError, "Dropout: p must be"),
        (lambda: Dropout("0.5"), TypeError, "Dropout: p must be a number"),
        (lambda: Dropout(True), TypeError, "Dropout: p must be a number"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_dropout_of_none_all_and_half(rng):
    x = rng.standard_normal((50, 40))
    x[0, 0] = np.inf
    for p in (0, 1, 0.5):
        layer = Dropout(p)
        layer.build((40,), np.random.default_rng(0), np.float64)
        y, backward = layer.forward(x, training=True)
        dx = backward(np.ones_like(x))
        kept = y != 0
        assert kept.mean() == pytest.approx(1 - p, abs=0.03)
        np.testing.assert_array_equal(y[kept], x[kept] / (1 - p) if p < 1 else [])
        np.testing.assert_array_equal(dx, np.where(kept, 1 / (1 - p) if p < 1 else 0, 0))
        assert not np.isnan(y).any()
        assert layer.forward(x)[0] is x


def test_dropout_draws_anew_and_is_seeded():
    def masks(seed):
        layer = Dropout(0.5)
        layer.build((64,), np.random.default_rng(seed), np.float32)
        return [layer.forward(np.ones((1, 64), np.float32), training=True)[0] for _ in range(2)]

    first, again, other = masks(0), masks(0), masks(1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, other)


def test_weights_of_a_transposed_convolution_keep_the_scale_of_its_result():
    """He normal: with 256 channels of 4x4 filters and stride 2, an output sums 256 * 4 products."""
    layer = ConvTranspose2D(3, 4, stride=2, padding=1)
    layer.build((6, 6, 256), np.random.default_rng(0))
    assert 0.9 < layer.params["w"].value.var() * 256 * 4 / 2 < 1.1


def test_weights_start_as_he_normal_with_zero_bias():
    layer = Conv2D(64, 3)
    layer.build((8, 8, 32), np.random.default_rng(0), np.float32)
    w = layer.params["w"].value
    assert w.std() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.03)
    assert abs(w.mean()) < 0.001
    assert not layer.params["b"].value.any()
    same = Conv2D(64, 3)
    same.build((8, 8, 32), np.random.default_rng(0), np.float64)
    np.testing.assert_array_equal(w, same.params["w"].value.astype(np.float32))


def test_filters_are_packed_once_for_each_version(monkeypatch, rng):
    calls = []
    pack = ops.pack_filters
    monkeypatch.setattr(ops, "pack_filters", lambda *args, **how: calls.append(1) or pack(*args, **how))
    layer = built(Conv2D, {"out_channels": 2, "kernel_size": 3}, (5, 5, 1))
    x = rng.standard_normal((1, 5, 5, 1))
    y = layer.forward(x)[0]
    layer.forward(x)
    assert len(calls) == 1
    layer.params["w"].writable()[...] *= 2
    layer.params["b"].value = layer.params["b"].value * 2
    np.testing.assert_allclose(layer.forward(x)[0], 2 * y, rtol=1e-12)
    assert len(calls) == 2


def test_a_param_cannot_be_changed_unnoticed():
    param = Param(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        param.value[0] = 1
    with pytest.raises(ValueError, match=r"Param: value must have shape \(3,\), got \(1,\)"):
        param.value = np.zeros(1)
    with pytest.raises(TypeError, match="Param: value must have dtype float64, got float32"):
        param.value = np.zeros(3, np.float32)
    assert param.version == 0


def test_a_failed_build_changes_nothing():
    layer = built(Conv2D, {"out_channels": 2, "kernel_size": 3}, (5, 5, 1))
    before = layer.params
    with pytest.raises(ValueError, match="kernel"):
        layer.build((2, 2, 1), np.random.default_rng(0), np.float64)
    assert layer.params is before
    assert layer.input_shape == (5, 5, 1)
