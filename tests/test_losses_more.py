"""Every loss is its definition in float64 and its gradient finite differences, with every option."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from bounds import assert_same_bits
from reference_more import slopes

import convkit
from convkit import losses
from convkit.layers import Conv2D, Dense
from convkit.losses import (
    LOSSES,
    binary_cross_entropy,
    binary_focal,
    cross_entropy,
    dice,
    focal,
    huber,
    kl_divergence,
    mae,
    mse,
)

N, K = 6, 4
WEIGHTS = [0.5, 2.0, 0.0, 1.0]


def softmax(z):
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def classes(z, labels, weights=None, ignore=None, smoothing=0.0):
    """Loss of each row, and what the mean divides by."""
    result, count = [], 0.0
    for row, label in zip(z.reshape(-1, z.shape[-1]), labels.reshape(-1, *labels.shape[z.ndim - 1 :]), strict=True):
        hard = np.ndim(label) == 0
        if hard and label == ignore:
            result.append(0.0)
            continue
        t = [float(k == label) for k in range(len(row))] if hard else list(label)
        t = [(1 - smoothing) * v + smoothing / len(row) for v in t]
        w = [1.0] * len(row) if weights is None else weights
        result.append(-sum(a * b * math.log(p) for a, b, p in zip(w, t, softmax(row), strict=True)))
        count += w[int(label)] if hard else 1
    return np.array(result), count


def focals(z, labels, gamma=2.0, weights=None, ignore=None):
    result = []
    for row, label in zip(z.reshape(-1, z.shape[-1]), labels.ravel(), strict=True):
        p = 1.0 if label == ignore else softmax(row)[label]
        weight = 1 if weights is None or label == ignore else weights[label]
        result.append(-weight * (1 - p) ** gamma * math.log(p))
    return np.array(result), float(np.sum(labels != ignore))


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def binary(z, t, pos_weight=1.0):
    pairs = zip(z.flat, t.flat, strict=True)
    each = [-pos_weight * b * math.log(sigmoid(a)) - (1 - b) * math.log(sigmoid(-a)) for a, b in pairs]
    return np.array(each), len(each)


def binary_focals(z, t, gamma=2.0, alpha=0.25):
    def one(a):
        return -(sigmoid(-a) ** gamma) * math.log(sigmoid(a))

    each = [alpha * b * one(a) + (1 - alpha) * (1 - b) * one(-a) for a, b in zip(z.flat, t.flat, strict=True)]
    return np.array(each), len(each)


def dices(z, t, activation="sigmoid", smooth=1.0):
    p = np.vectorize(sigmoid)(z) if activation == "sigmoid" else np.apply_along_axis(lambda r: np.array(softmax(r)), -1, z)
    t = np.eye(z.shape[-1])[t] if t.ndim < z.ndim else t.astype(float)
    p, t = (a.reshape(len(z), -1, z.shape[-1]) for a in (p, t))
    each = [1 - (2 * sum(p[n, :, k] * t[n, :, k]) + smooth) / (sum(p[n, :, k]) + sum(t[n, :, k]) + smooth)
            for n in range(len(z)) for k in range(z.shape[-1])]
    return np.array(each), len(each)


def elements(function):
    return lambda z, t: (np.array([function(a - b) for a, b in zip(z.flat, t.flat, strict=True)]), z.size)


def huber_of(delta):
    return lambda e: e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2)


def labels(shape, rng):
    return rng.integers(0, K, shape[:-1])


def ignoring(shape, rng):
    found = rng.integers(0, K, shape[:-1])
    found.flat[1] = found.flat[-1] = -7
    return found


def chances(shape, rng):
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def shares(shape, rng):
    return rng.choice([0.0, 1.0, 0.25], shape)


def masks(shape, rng):
    return rng.random(shape) < 0.4


def values(shape, rng):
    return rng.standard_normal(shape) * 2


def kl(z, t):
    each, count = classes(z, t)
    return each + np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0).sum(axis=-1).ravel(), count


ONE, MANY = (N, K), (2, 3, 2, K)
CASES = [
    ("labels", cross_entropy, classes, ONE, labels, {}, {}),
    ("labels of pixels", cross_entropy, classes, MANY, labels, {}, {}),
    ("probabilities", cross_entropy, classes, MANY, chances, {}, {}),
    ("smoothed", cross_entropy, classes, ONE, labels, {"label_smoothing": 0.2}, {"smoothing": 0.2}),
    ("weighted", cross_entropy, classes, ONE, labels, {"class_weights": WEIGHTS}, {"weights": WEIGHTS}),
    ("ignored", cross_entropy, classes, MANY, ignoring, {"ignore_index": -7}, {"ignore": -7}),
    ("all of it", cross_entropy, classes, ONE, ignoring, {"class_weights": WEIGHTS, "ignore_index": -7, "label_smoothing": 0.1},
     {"weights": WEIGHTS, "ignore": -7, "smoothing": 0.1}),
    ("weighted probabilities", cross_entropy, classes, ONE, chances, {"class_weights": WEIGHTS, "label_smoothing": 0.3},
     {"weights": WEIGHTS, "smoothing": 0.3}),
    ("focal", focal, focals, MANY, labels, {}, {}),
    ("focal, weighted", focal, focals, ONE, ignoring, {"gamma": 0.5, "class_weights": WEIGHTS, "ignore_index": -7},
     {"gamma": 0.5, "weights": WEIGHTS, "ignore": -7}),
    ("focal, gamma 0", focal, focals, ONE, labels, {"gamma": 0}, {"gamma": 0}),
    ("Kullback-Leibler", kl_divergence, kl, MANY, chances, {}, {}),
    ("binary", binary_cross_entropy, binary, MANY, shares, {}, {}),
    ("binary, masks", binary_cross_entropy, binary, (5,), masks, {"pos_weight": 3}, {"pos_weight": 3}),
    ("binary focal", binary_focal, binary_focals, ONE, shares, {}, {}),
    ("binary focal, gamma 0.5", binary_focal, binary_focals, ONE, masks, {"gamma": 0.5, "alpha": 0.6},
     {"gamma": 0.5, "alpha": 0.6}),
    ("Dice", dice, dices, MANY, masks, {}, {}),
    ("Dice, softmax", dice, dices, MANY, labels, {"activation": "softmax", "smooth": 0.1},
     {"activation": "softmax", "smooth": 0.1}),
    ("Dice, shares", dice, dices, ONE, shares, {"activation": "softmax"}, {"activation": "softmax"}),
    ("squared", mse, elements(lambda e: e * e), (2, 3, 4), values, {}, {}),
    ("absolute", mae, elements(abs), (7,), values, {}, {}),
    ("Huber", huber, elements(huber_of(1)), ONE, values, {}, {}),
    ("Huber, delta 0.3", huber, elements(huber_of(0.3)), ONE, values, {"delta": 0.3}, {}),
]  # fmt: skip
each_case = pytest.mark.parametrize(("loss", "definition", "shape", "make", "how", "by"), [c[1:] for c in CASES],
                                    ids=[c[0] for c in CASES])


def data(shape, make, rng, dtype=np.float64):
    z, t = rng.standard_normal(shape) * 2, make(shape, rng)
    return z.astype(dtype), t.astype(dtype) if t.dtype.kind == "f" else t


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loss_is_its_definition(loss, definition, shape, make, how, by, dtype, rng):
    z, t = data(shape, make, rng, dtype)
    each, count = definition(z.astype(np.float64), t.astype(np.float64) if t.dtype.kind == "f" else t, **by)
    rel = 1e-5 if dtype == np.float32 else 1e-12
    total, gradient = loss(z, t, **how, reduction="sum")
    assert type(total) is float
    assert total == pytest.approx(each.sum(), rel=rel)
    assert gradient.dtype == dtype
    assert gradient.shape == shape
    mean, over = loss(z, t, **how)
    assert mean == pytest.approx(each.sum() / count, rel=rel)
    np.testing.assert_allclose(over * count, gradient, rtol=10 * rel, atol=rel)
    alone, same = loss(z, t, **how, reduction="none")
    np.testing.assert_allclose(alone.ravel(), each, rtol=10 * rel, atol=rel)
    assert alone.dtype == dtype
    assert_same_bits(same, gradient)


@each_case
def test_the_gradient_is_finite_differences(loss, definition, shape, make, how, by, rng):
    z, t = data(shape, make, rng)
    for reduction in ("mean", "sum"):
        _, gradient = loss(z, t, **how, reduction=reduction)
        slope = slopes(lambda r=reduction: loss(z, t, **how, reduction=r)[0], z)
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)


@each_case
def test_strides_change_no_bit_and_nothing_given_is_written_to(loss, definition, shape, make, how, by, rng):
    z, t = data(shape, make, rng, np.float32)
    want, gradient = loss(z, t, **how)
    twice = [np.repeat(a, 2, axis=0)[::2] for a in (z, t)]
    for view in (np.asfortranarray(z), np.ascontiguousarray(z[::-1])[::-1], z.astype(">f4"), twice[0]):
        view.flags.writeable = False
        again, same = loss(view, twice[1], **how)
        assert again == want
        assert_same_bits(same, gradient)


@each_case
def test_a_nan_among_the_outputs_is_a_nan_loss(loss, definition, shape, make, how, by, rng):
    if "class_weights" in how or "ignore_index" in how:
        how = {}
        make = labels
    z, t = data(shape, make, rng)
    z.flat[0] = np.nan
    value, gradient = loss(z, t, **how)
    assert math.isnan(value)
    assert np.isnan(gradient.flat[0])
    assert not np.isnan(gradient[-1]).all()


def test_the_losses_of_infinite_logits_are_their_limits():
    z = np.array([np.inf, -np.inf, np.inf, -np.inf])
    t = np.array([1.0, 0, 0, 1])
    for loss in (binary_cross_entropy, binary_focal):
        value, gradient = loss(z, t, reduction="none")
        assert value.tolist()[:2] == [0, 0]
        assert value.tolist()[2:] == [np.inf, np.inf]
        assert np.isfinite(gradient).all()
    for loss in (cross_entropy, focal):
        value, gradient = loss(np.array([[-np.inf, 0.0], [-np.inf, 0.0]]), np.array([1, 0]), reduction="none")
        assert value.tolist() == [0, np.inf]
        assert np.array_equal(gradient[0], [0, 0])
        assert not np.isnan(gradient).any()


@pytest.mark.parametrize("z", [30.0, 80.0])
def test_a_small_loss_keeps_its_digits(z):
    exact = math.log1p(math.exp(-z))
    assert binary_cross_entropy(np.array([z], np.float32), np.array([True]))[0] == pytest.approx(exact, rel=1e-6)
    assert binary_cross_entropy(np.array([-z], np.float32), np.array([False]))[0] == pytest.approx(exact, rel=1e-6)


def test_rows_without_a_label_are_out_of_it():
    z = np.array([[1.0, 2], [np.nan, np.inf]])
    loss, gradient = cross_entropy(z, [0, -100], ignore_index=-100)
    want, first = cross_entropy(z[:1], [0])
    assert loss == want
    assert np.array_equal(gradient, [first[0], [0, 0]])
    for run in (cross_entropy, focal):
        assert run(z, [-100, -100], ignore_index=-100)[0] == 0
        assert not run(z, [-100, -100], ignore_index=-100)[1].any()
    assert cross_entropy(z[:1], np.array([0], np.uint8), ignore_index=-100)[0] == want


@pytest.mark.parametrize("k", [1, 7, 16, 33, 20001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_any_number_of_classes(k, dtype, isa, rng):
    z, labels = (4 * rng.standard_normal((9, k))).astype(dtype), rng.integers(0, k, 9)
    weights = rng.uniform(0, 2, k).astype(dtype)
    wide = z.astype(np.float64)
    log_p = wide - wide.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    for smoothing, w in ((0, np.ones(k)), (0.25, weights.astype(np.float64))):
        how = {"label_smoothing": smoothing, "class_weights": weights if smoothing else None, "reduction": "none"}
        loss, gradient = cross_entropy(z, labels, **how)
        t = w * ((1 - smoothing) * (np.arange(k) == labels[:, None]) + smoothing / k)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(loss, -(t * log_p).sum(axis=1), rtol=20 * eps, atol=100 * eps)
        np.testing.assert_allclose(gradient, np.exp(log_p) * t.sum(axis=1, keepdims=True) - t, rtol=40 * eps, atol=10 * eps)
        for threads in (1, 2, 3, 7):
            with convkit.threads(threads):
                again = cross_entropy(z, labels, **how)
            np.testing.assert_array_equal(again[0], loss)
            np.testing.assert_array_equal(again[1], gradient)


Z = np.zeros((2, 3))
WRONG = [
    (lambda: cross_entropy(Z, [0, 3]), ValueError, r"cross_entropy: labels holds the label 3, wanted 0\.\.2"),
    (lambda: cross_entropy(Z, [0, -1], ignore_index=-2), ValueError, "label -1"),
    (lambda: cross_entropy(Z, np.ones((2, 3)) / 3, ignore_index=0), ValueError, "ignore_index is for class numbers"),
    (lambda: cross_entropy(Z, [0, 1], ignore_index=1.5), TypeError, "ignore_index must be an int or None"),
    (lambda: cross_entropy(Z, [0, 1], class_weights=[1, 2]), ValueError, r"class_weights must have shape \(3,\), got \(2,\)"),
    (lambda: cross_entropy(Z, [0, 1], class_weights=[1, 2, -1]), ValueError, "class_weights must be >= 0"),
    (lambda: cross_entropy(Z, [0, 1], class_weights=["a", "b", "c"]), TypeError, "class_weights must be numbers"),
    (lambda: cross_entropy(Z, [0, 1], label_smoothing=1.5), ValueError, "label_smoothing must be >= 0 and <= 1, got 1.5"),
    (lambda: cross_entropy(Z, [0, 1], label_smoothing="x"), TypeError, "label_smoothing must be a number"),
    (lambda: cross_entropy(Z, [0, 1], reduction="avg"), ValueError, "reduction must be one of 'mean', 'sum', 'none'"),
    (lambda: cross_entropy(Z[None], [0, 1]), ValueError, r"must have shape \(1, 2\), got \(2,\)"),
    (lambda: focal(Z, np.ones((2, 3)) / 3), TypeError, r"labels must be class numbers.*argmax"),
    (lambda: focal(Z, [0, 1], gamma=-1), ValueError, "gamma must be >= 0 and finite, got -1"),
    (lambda: focal(Z, [0, 1], gamma=np.nan), ValueError, "gamma must be"),
    (lambda: kl_divergence(Z, [0, 1]), TypeError, "targets must be probabilities"),
    (lambda: kl_divergence(Z, np.ones((2, 3))), ValueError, "sum to 1"),
    (lambda: binary_cross_entropy(Z, Z + 2), ValueError, r"targets must lie in 0\.\.1"),
    (lambda: binary_cross_entropy(Z, Z * np.nan), ValueError, r"targets must lie in 0\.\.1"),
    (lambda: binary_cross_entropy(Z, Z.astype(np.float32)), TypeError, "must have the same dtype"),
    (lambda: binary_cross_entropy(Z, Z.astype(int)), TypeError, "binary_cross_entropy: targets must be"),
    (lambda: binary_cross_entropy(Z, Z[:1]), ValueError, "must have the same shape"),
    (lambda: binary_cross_entropy(Z, Z, pos_weight=0), ValueError, "pos_weight must be > 0"),
    (lambda: binary_focal(Z, Z, alpha=2), ValueError, "alpha must be >= 0 and <= 1"),
    (lambda: dice(Z, Z, activation="tanh"), ValueError, "activation must be one of 'sigmoid', 'softmax'"),
    (lambda: dice(Z, Z, smooth=-1), ValueError, "smooth must be >= 0"),
    (lambda: dice(Z, [0, 3], activation="softmax"), ValueError, "label 3"),
    (lambda: dice(Z[0], Z[0]), ValueError, "logits must have shape"),
    (lambda: mse(Z, Z.astype(np.float32)), TypeError, "outputs and targets must have the same dtype"),
    (lambda: mse(Z, Z[:, :2]), ValueError, r"same shape, got \(2, 3\) and \(2, 2\)"),
    (lambda: mae(Z[:0], Z[:0]), ValueError, "mae: outputs must not be empty"),
    (lambda: mse(Z.astype(int), Z), TypeError, "mse: outputs must be float32 or float64"),
    (lambda: huber(Z, Z, delta=0), ValueError, "delta must be > 0"),
    (lambda: huber(Z, np.ma.masked_array(Z)), TypeError, "masked"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_a_wrong_argument_is_one_clear_error(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- in fit ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_fit_takes_every_loss_by_its_name(name, rng):
    x = rng.standard_normal((64, 5)).astype(np.float32)
    if name in ("cross_entropy", "focal"):
        y = (x[:, 0] > 0).astype(np.int64)
    elif name == "kl_divergence":
        y = np.eye(2, dtype=np.float32)[(x[:, 0] > 0).astype(np.int64)]
    elif name in ("mse", "mae", "huber"):
        y = x[:, :2] * 2
    else:
        y = x[:, :2] > 0
    model = convkit.Sequential([Dense(2)], rng=0)
    history = model.fit(x, y, epochs=15, loss=name, optimizer=convkit.optim.Adam(0.05), verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert ("accuracy" in history) == (name in ("cross_entropy", "focal", "kl_divergence"))
    figures = model.evaluate(x, y, loss=name)
    assert figures["loss"] == pytest.approx(LOSSES[name](model.predict(x), y)[0], rel=1e-5)


def test_fit_learns_a_class_for_each_pixel(rng):
    x = rng.standard_normal((24, 6, 6, 1)).astype(np.float32)
    y = (x[..., 0] > 0).astype(np.int64)
    model = convkit.Sequential([Conv2D(2, 1)], rng=0)
    history = model.fit(x, y, epochs=20, optimizer=convkit.optim.Adam(0.1), verbose=0).history
    assert history["accuracy"][-1] > 0.95


def test_a_loss_with_options_is_a_partial_function(rng):
    x, y = rng.standard_normal((20, 3)).astype(np.float32), rng.integers(0, 2, 20)
    model = convkit.Sequential([Dense(2)], rng=0)
    loss = functools.partial(losses.cross_entropy, label_smoothing=0.1)
    assert math.isfinite(model.fit(x, y, loss=loss, verbose=0).history["loss"][0])


@pytest.mark.parametrize(("y", "loss", "error", "words"), [
    (np.zeros((8, 2)), "mse", TypeError, r"fit: y has dtype float64, the model works in float32; write y.astype\(np.float32\)"),
    (np.zeros((8, 3), np.float32), "mae", ValueError, r"fit: y must have the shape of the outputs \(8, 2\), got \(8, 3\)"),
    (np.zeros((8, 2), bool), "huber", TypeError, "fit: y has dtype bool"),
    (np.zeros(8, np.float32), "focal", TypeError, "must be integers"),
])
def test_targets_that_do_not_fit_the_loss_are_refused_before_any_work(y, loss, error, words):
    model = convkit.Sequential([Dense(2)], rng=0)
    with pytest.raises(error, match=words):
        model.fit(np.zeros((8, 3), np.float32), y, loss=loss, verbose=0)
    assert model.input_shape is None
