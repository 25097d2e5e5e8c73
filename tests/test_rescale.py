"""Rescale and Normalize: images of uint8 go into a model as they are, and statistics are those of the data."""

import numpy as np
import pytest

import convkit
from convkit.data import ArrayDataset
from convkit.layers import Conv2D, Dense, Flatten, Normalize, Rescale


def built(layer, shape=(4, 5, 3), dtype=np.float32):
    layer.build(shape, np.random.default_rng(0), dtype)
    return layer


def images(n=30, shape=(4, 5, 3)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (Rescale(), lambda x: x / 255),
        (Rescale(1 / 127.5, -1), lambda x: x / 127.5 - 1),
        (Rescale(2, 3), lambda x: 2 * x + 3),
        (Normalize(100, 50), lambda x: (x - 100) / 50),
        (Normalize([1, 2, 3], (4.0, 5.0, 6.0)), lambda x: (x - [1, 2, 3]) / [4.0, 5.0, 6.0]),
        (Normalize(np.array([1, 2, 3]), 2), lambda x: (x - [1, 2, 3]) / 2),
    ],
    ids=lambda value: repr(value) if isinstance(value, (Rescale, Normalize)) else "formula",
)
def test_pixels_of_uint8_and_of_the_layers_dtype_give_the_same(layer, wanted, dtype):
    x = images()
    layer = built(type(layer)(**layer.config()), dtype=dtype)
    y, backward = layer.forward(x, True)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, wanted(x.astype(np.float64)), rtol=1e-6, atol=1e-6)
    again, _ = layer.forward(x.astype(dtype))
    assert np.array_equal(y, again)
    dy = np.random.default_rng(1).random(y.shape).astype(dtype)
    np.testing.assert_allclose(backward(dy), dy * (wanted(np.ones(3)) - wanted(np.zeros(3))), rtol=1e-5)


def model(*first, seed=0):
    return convkit.Sequential([*first, Conv2D(4, 3), Flatten(), Dense(2)], rng=seed)


@pytest.mark.parametrize("make", [Rescale, lambda: Normalize(128, 64)])
def test_a_model_learns_from_uint8_with_the_bits_of_the_same_floats(make):
    x, y = images(64), np.arange(64) % 2
    x[y == 1] //= 2
    both = []
    for data in (x, x.astype(np.float32)):
        net = model(make())
        history = net.fit(data, y, epochs=3, validation_split=0.25, verbose=0, rng=0)
        both.append((history.history["loss"], net.predict(data), net.evaluate(data, y)))
    (losses, outputs, figures), (other_losses, other_outputs, other_figures) = both
    assert losses == other_losses
    assert np.array_equal(outputs, other_outputs)
    assert figures == other_figures
    assert losses[-1] < losses[0]


def test_without_such_a_layer_the_error_names_it():
    net = model()
    net.build((4, 5, 3))
    for call in (lambda: net.fit(images(), np.zeros(30, int)), lambda: net.predict(images())):
        with pytest.raises(TypeError, match=r"dtype uint8.*Rescale\(\)"):
            call()
    rescaled = model(Rescale())
    with pytest.raises(TypeError, match="int16"):
        rescaled.fit(images().astype(np.int16), np.zeros(30, int))


def test_a_saved_model_takes_uint8_too(tmp_path):
    net = model(Normalize().adapt(images()))
    net.build((4, 5, 3))
    net.save(tmp_path / "m.safetensors")
    again = convkit.load_model(tmp_path / "m.safetensors")
    assert again.layers[0].config() == net.layers[0].config()
    assert np.array_equal(again.predict(images()), net.predict(images()))


@pytest.mark.parametrize("as_dataset", [False, True])
def test_adapt_finds_the_statistics_of_each_channel(as_dataset):
    x = np.random.default_rng(0).standard_normal((700, 3, 2, 3)) * [1, 10, 0] + [1e6, -5, 7]
    layer = Normalize()
    assert layer.adapt(ArrayDataset(x) if as_dataset else x) is layer
    np.testing.assert_allclose(layer.mean, x.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.std, [x[..., 0].std(), x[..., 1].std(), 1], rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Rescale(0), ValueError),
        (lambda: Rescale("1"), TypeError),
        (lambda: Rescale(1, float("nan")), ValueError),
        (lambda: Normalize(1), ValueError),
        (lambda: Normalize(1, 0), ValueError),
        (lambda: Normalize([1, 2], [1, 2, 3]), ValueError),
        (lambda: Normalize([[1]], 1), ValueError),
        (lambda: Normalize([], []), ValueError),
        (lambda: Normalize(["a"], [1]), TypeError),
        (lambda: Normalize(1, float("inf")), ValueError),
        (lambda: built(Normalize()), ValueError),
        (lambda: built(Normalize([1, 2], [1, 2])), ValueError),
        (lambda: Normalize().adapt(np.zeros((0, 3))), ValueError),
        (lambda: Normalize().adapt(np.zeros(3)), ValueError),
        (lambda: Normalize().adapt(np.array([[np.nan]])), ValueError),
        (lambda: Normalize().adapt(np.array([["a"]])), ValueError),
    ],
)
def test_bad_arguments_are_refused(make, error):
    with pytest.raises(error, match=r"^(Rescale|Normalize): "):
        make()
