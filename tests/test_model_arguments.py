"""Wrong arguments and data of Sequential: one clear error before any work."""

from __future__ import annotations

import numpy as np
import pytest
from test_model import images, small

from convkit import Sequential
from convkit.layers import Conv2D, Dense, Flatten, ReLU, Softmax
from convkit.optim import Adam

BAD_FIT = [
    ({"x": lambda x: (x * 8).astype(np.uint8)}, TypeError,
     r"fit: x has dtype uint8, the model works in float32; write x\.astype\(np\.float32\) / 255"),
    ({"x": lambda x: x.astype(np.int64)}, TypeError, r"write x\.astype\(np\.float32\)"),
    ({"x": lambda x: x.astype(np.float64)}, TypeError, r"x has dtype float64, the model works in float32; write x\.astype"),
    ({"x": lambda x: x.astype(np.float16)}, TypeError, "x has dtype float16"),
    ({"x": lambda x: np.ma.masked_array(x)}, TypeError, "masked"),
    ({"x": lambda x: None}, TypeError, "fit: x"),
    ({"x": lambda x: x[:0], "y": lambda y: y[:0]}, ValueError, "fit: x is empty"),
    ({"x": lambda x: x[:, 0, 0, 0]}, ValueError, r"fit: x must have shape \(N, "),
    ({"x": lambda x: x[:, :, :, 0]}, ValueError, "layer conv2d_1, .*Conv2D: the input must be"),
    ({"x": lambda x: x[:, :2]}, ValueError, "layer conv2d_1, .*kernel"),
    ({"y": lambda y: y[:-1]}, ValueError, r"fit: x has 60 samples, y has shape \(59,\)"),
    ({"y": lambda y: y[:0]}, ValueError, "fit: x has 60 samples"),
    ({"y": lambda y: y + 1}, ValueError, r"fit: y holds the label 3, wanted 0\.\.2"),
    ({"y": lambda y: y - 1}, ValueError, "fit: y holds the label -1"),
    ({"y": lambda y: y.astype(float)}, TypeError, r"fit: y must be integers .* write y\.astype\(np\.int64\)"),
    ({"y": lambda y: np.eye(3, dtype=int)[y]}, ValueError, "argmax"),
    ({"y": lambda y: np.eye(4)[y]}, ValueError, "probabilities in y"),
    ({"batch_size": 0}, ValueError, "fit: batch_size must be >= 1, got 0"),
    ({"batch_size": 2.0}, TypeError, "fit: batch_size must be an int"),
    ({"batch_size": True}, TypeError, "fit: batch_size"),
    ({"epochs": 0}, ValueError, "fit: epochs must be >= 1"),
    ({"optimizer": "adagrad"}, ValueError, "fit: unknown optimizer 'adagrad', wanted one of adam, adamw, lamb, "),
    ({"optimizer": Adam}, TypeError, "fit: optimizer must be"),
    ({"optimizer": None}, TypeError, "fit: optimizer must be"),
    ({"loss": "hinge"}, ValueError, "fit: unknown loss 'hinge', wanted one of binary_cross_entropy, "),
    ({"loss": 3}, TypeError, "fit: loss must be"),
    ({"metrics": ("rmse",)}, ValueError, "fit: unknown metric 'rmse', wanted one of accuracy, auc, "),
    ({"metrics": "accuracy"}, TypeError, "fit: metrics must be a tuple"),
    ({"metrics": (1,)}, TypeError, "fit: metric must be"),
    ({"verbose": 3}, ValueError, "fit: verbose"),
    ({"callbacks": (3,)}, TypeError, "fit: a callback must be"),
    ({"validation_split": 1.0}, ValueError, r"fit: validation_split must be in \[0, 1\), got 1.0"),
    ({"validation_split": float("nan")}, ValueError, "fit: validation_split"),
    ({"validation_split": "0.1"}, TypeError, "fit: validation_split"),
    ({"validation_split": 0.001}, ValueError, "validation_split=0.001 of 60 samples leaves none"),
    ({"validation_split": 0.2, "validation_data": (1, 2)}, ValueError, "not both"),
    ({"validation_data": 3}, TypeError, "validation_data must be a pair"),
    ({"validation_data": (np.zeros((2, 6, 5, 1), np.float32), [0, 1])}, ValueError, "validation x must have shape"),
    ({"validation_data": (np.zeros((2, 6, 6, 1), np.float32), [0, 3])}, ValueError, "validation y holds the label 3"),
    ({"rng": "0"}, TypeError, "fit: rng must be"),
    ({"rng": -1}, ValueError, "fit: rng must be >= 0"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD_FIT)
def test_bad_input_is_one_clear_error_before_any_work(change, error, words, rng):
    x, y = images(rng)
    how = dict(change)
    x, y = how.pop("x", lambda x: x)(x), how.pop("y", lambda y: y)(y)
    model = small()
    with pytest.raises(error, match=words):
        model.fit(x, y, **{"verbose": 0, **how})
    assert model.input_shape is None
    assert not model.params


def test_bad_models_are_one_clear_error():
    with pytest.raises(ValueError, match="no layers"):
        Sequential([])
    with pytest.raises(TypeError, match="is not a layer"):
        Sequential([Dense])
    layer = ReLU()
    with pytest.raises(ValueError, match="appears twice"):
        Sequential([layer, layer])
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got int32"):
        Sequential([ReLU()], dtype=np.int32)
    for shape, error in (((), ValueError), ((0, 3), ValueError), ((2.0,), TypeError), (5, TypeError)):
        with pytest.raises(error, match="input_shape"):
            Sequential([ReLU()], input_shape=shape)
    with pytest.raises(ValueError, match=r"layer dense_1, which gets \(4, 4, 2\): Dense: .* put Flatten\(\)"):
        Sequential([Conv2D(2, 3), Dense(3)], input_shape=(6, 6, 1))
    for rng, error in ((True, TypeError), (1.5, TypeError), (-1, ValueError)):
        with pytest.raises(error, match="Sequential: rng"):
            Sequential([ReLU()], rng=rng)


def test_a_model_that_is_not_built_or_not_for_this_data(rng):
    x, y = images(rng, 4)
    for use in (lambda m: m.predict(x), lambda m: m.evaluate(x, y), lambda m: m.summary(), lambda m: m.save("never"),
                lambda m: m.forward(x)):  # fmt: skip
        with pytest.raises(ValueError, match="not built"):
            use(small())
    model = small(input_shape=(6, 6, 1))
    assert model.build((6, 6, 1)) == (3,)
    with pytest.raises(ValueError, match=r"built for samples of shape \(6, 6, 1\), got \(7, 6, 1\)"):
        model.build((7, 6, 1))
    for call in (model.predict, lambda x: model.fit(x, y, verbose=0), lambda x: model.evaluate(x, y)):
        with pytest.raises(ValueError, match=r"x must have shape \(N, 6, 6, 1\), got \(4, 6, 6\)"):
            call(x[..., 0])
        with pytest.raises(TypeError, match=r"write x\.astype"):
            call(x.astype(np.int8))
    with pytest.raises(ValueError, match="predict: batch_size"):
        model.predict(x, batch_size=0)
    with pytest.raises(ValueError, match="evaluate: x is empty"):
        model.evaluate(x[:0], y[:0])


def test_models_that_cannot_be_trained_for_classes(rng):
    x, y = images(rng, 6)
    with pytest.raises(ValueError, match="leave out the Softmax"):
        Sequential([Flatten(), Dense(3), Softmax()]).fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"outputs of shape \(K,\), the model gives \(4, 4, 3\)"):
        Sequential([Conv2D(3, 3)]).fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="no parameters to train"):
        Sequential([Flatten()]).fit(x, y, verbose=0)
