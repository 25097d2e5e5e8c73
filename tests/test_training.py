"""What fit is given: data sets and iterables, weights, parts of a batch, averages; and where a loss that is no number began."""

from __future__ import annotations

import numpy as np
import pytest
from test_model import images, same, small, weights

import convkit
from convkit import Sequential, losses
from convkit.callbacks import Callback
from convkit.data import ArrayDataset, Dataset
from convkit.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, ReLU
from convkit.metrics import F1, ConfusionMatrix
from convkit.optim import SGD, Adam
from convkit.schedules import Cosine, Plateau


class Noisy(Dataset):
    """Images whose noise is drawn anew in each epoch, read by threads."""

    workers = 2

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.targets, self.shape, self.dtype = x, y, x.shape[1:], x.dtype

    def __len__(self) -> int:
        return len(self.x)

    def _read(self, rows, seed):
        x = self.x[rows]
        if seed is not None:
            x = x + np.stack([np.random.default_rng([seed, row]).standard_normal(self.shape) for row in rows]).astype(x.dtype)
        return x, self.targets[rows]


def batches_of(x, y, size=16, *more):
    return [(x[i : i + size], y[i : i + size], *(each[i : i + size] for each in more)) for i in range(0, len(x), size)]


def test_arrays_and_a_data_set_of_them_train_alike(rng):
    x, y = images(rng)
    one, other = small(), small()
    history = one.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
    again = other.fit(ArrayDataset(x, y), epochs=2, validation_split=0.2, verbose=0)
    assert same(weights(one), weights(other))
    assert {k: v for k, v in history.history.items() if k != "seconds"} == {
        k: v for k, v in again.history.items() if k != "seconds"}
    assert one.evaluate(x, y) == one.evaluate(ArrayDataset(x, y), batch_size=256)
    np.testing.assert_array_equal(one.predict(ArrayDataset(x, y), batch_size=7), one.predict(x))


def test_a_data_set_is_random_by_the_seed_alone(rng):
    x, y = images(rng)

    def run(seed):
        model = small(rng=seed)
        model.fit(Noisy(x, y), epochs=2, validation_split=0.2, verbose=0)
        return weights(model)

    assert same(run(0), run(0))
    assert not same(run(0), run(1))


def test_a_data_set_is_validated_without_noise(rng):
    x, y = images(rng)
    model = small()
    figures = model.fit(Noisy(x, y), optimizer=SGD(1e-30), validation_data=Noisy(x, y), verbose=0).history
    assert figures["val_loss"][0] == pytest.approx(model.evaluate(x, y)["loss"], rel=1e-6)
    assert figures["loss"][0] != pytest.approx(figures["val_loss"][0], rel=1e-3)


@pytest.mark.parametrize("wrap", [list, iter], ids=["list", "iterator"])
def test_an_iterable_gives_its_batches_in_order(wrap, rng):
    x, y = images(rng)
    seen = []

    class Spy(Flatten):
        def _forward(self, x, training):
            seen.extend([x[..., 0].tobytes()] * training)
            return super()._forward(x, training)

    model = Sequential([Spy(), Dense(3)], rng=0)
    history = model.fit(wrap(batches_of(x, y)), epochs=1, validation_data=ArrayDataset(x, y), verbose=0)
    assert seen == [part[..., 0].tobytes() for part, _ in batches_of(x, y)]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert model.evaluate(wrap(batches_of(x, y))) == pytest.approx(model.evaluate(x, y), rel=1e-5)
    for given in (batches_of(x, y), [(part,) for part, _ in batches_of(x, y)], [part for part, _ in batches_of(x, y)]):
        np.testing.assert_array_equal(model.predict(iter(given)), model.predict(x))


def test_weights_multiply_the_loss_of_samples_and_classes(rng):
    x, y = images(rng, 30)
    by_class, by_sample = [1.0, 3.0, 0.5], rng.random(30)
    for how in ({"class_weight": {1: 3.0, 2: 0.5}}, {"sample_weight": np.array(by_class)[y]}):
        model, twin = small(), small()
        model.fit(x, y, batch_size=30, class_weight=by_class, verbose=0)
        twin.fit(x, y, batch_size=30, verbose=0, **how)
        assert same(weights(model), weights(twin))
    model, twin = (Sequential([Flatten(), Dense(3)], rng=0, dtype=np.float64) for _ in range(2))
    x = x.astype(np.float64)
    figures = model.fit(x, y, batch_size=30, sample_weight=by_sample, class_weight=by_class, optimizer=SGD(0.1), verbose=0)

    def weighted(outputs, targets):
        each, gradient = losses.cross_entropy(outputs, targets, reduction="none")
        rows = [np.flatnonzero((logits == row).all(axis=1))[0] for row in outputs]
        own = (by_sample * np.array(by_class)[y])[rows]
        return float(np.mean(each * own)), gradient * own[:, None] / 30

    twin.build((6, 6, 1))
    logits = twin.predict(x)
    expected = twin.fit(x, y, batch_size=30, loss=weighted, optimizer=SGD(0.1), metrics=["accuracy"], verbose=0)
    assert figures.history["loss"] == pytest.approx(expected.history["loss"])
    for a, b in zip(weights(model), weights(twin), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_an_iterable_may_weigh_its_samples(rng):
    x, y = images(rng, 30)
    own = rng.random(30)
    model, twin = small(), small()
    model.fit(batches_of(x, y, 30, own), verbose=0)
    order = np.random.default_rng(0).permutation(30)
    twin.fit([(x, y, own)], verbose=0)
    assert same(weights(model), weights(twin))
    twin.fit([(x[order], y[order])], verbose=0)
    assert not same(weights(model), weights(twin))


def test_a_weight_of_zero_is_a_sample_that_is_not_there(rng):
    x, y = images(rng, 30)
    own = (np.arange(30) < 20).astype(float) * 1.5  # the mean is over all 30
    model, twin = (Sequential([Flatten(), Dense(3)], rng=0, dtype=np.float64) for _ in range(2))
    x = x.astype(np.float64)
    model.fit([(x, y, own)], optimizer=SGD(0.1), verbose=0)
    twin.fit([(x[:20], y[:20])], optimizer=SGD(0.1), verbose=0)
    for a, b in zip(weights(model), weights(twin), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_gradients_of_several_batches_add_up_to_that_of_one(rng):
    x, y = images(rng, 50, np.float64)
    model, twin = (Sequential([Flatten(), Dense(3)], rng=0, dtype=np.float64) for _ in range(2))
    steps = []
    model.fit(x, y, epochs=2, batch_size=8, accumulate=4, verbose=0, callbacks=[lambda m, e, logs: steps.append(e)])
    twin.fit(x, y, epochs=2, batch_size=32, verbose=0)
    for a, b in zip(weights(model), weights(twin), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_averaged_weights_are_validated_kept_and_trained_on(rng):
    x, y = images(rng)
    seen = []
    model, raw = small(), small()
    optimizer = Adam(0.01, ema=0.9)
    history = model.fit(x, y, epochs=3, optimizer=optimizer, validation_data=(x, y), verbose=0,
                        callbacks=[lambda m, epoch, logs: seen.append(m.evaluate(x, y)["loss"])])
    raw.fit(x, y, epochs=3, optimizer=Adam(0.01), verbose=0)
    assert history.history["val_loss"] == pytest.approx(seen)
    assert model.evaluate(x, y)["loss"] == seen[-1]
    assert not same(weights(model), weights(raw))
    optimizer.use_averages(model.params.values(), False)
    assert same(weights(model), weights(raw))


def test_metrics_by_object_and_by_name(rng):
    x, y = images(rng)
    model = small()
    history = model.fit(x, y, epochs=2, metrics=["accuracy", F1("micro"), "auc", ConfusionMatrix()], validation_data=(x, y),
                        verbose=2).history
    assert history["f1"] == pytest.approx(history["accuracy"])  # of one class a sample
    assert np.trace(history["val_confusion_matrix"][1]) == pytest.approx(history["val_accuracy"][1] * 60)
    with pytest.raises(ValueError, match="two metrics are called 'f1'"):
        model.fit(x, y, metrics=[F1(), F1("micro")], verbose=0)


def test_the_learning_rate_is_logged_where_it_changes(rng):
    x, y = images(rng)
    rates = small().fit(x, y, epochs=3, batch_size=20, optimizer=Adam(Cosine(0.01, 9)), verbose=0).history["learning_rate"]
    assert rates == [Cosine(0.01, 9)(step) for step in (3, 6, 9)]
    plateau = Plateau(0.01, "val_loss", factor=0.5, patience=1, min_delta=100)
    rates = small().fit(x, y, epochs=4, optimizer=SGD(plateau), validation_split=0.2, verbose=0).history["learning_rate"]
    assert rates == [0.01, 0.01, 0.005, 0.0025]
    with pytest.raises(ValueError, match="fit: Plateau monitors 'val_loss', but there are loss, accuracy, without validation"):
        small().fit(x, y, optimizer=SGD(plateau), verbose=0)


def test_a_whole_run_has_the_same_bits_with_any_number_of_threads(rng):
    x, y = images(rng, 60)
    results = []
    for threads in (1, 2, 3):
        layers = [Conv2D(24, 3, padding=1, bias=False), BatchNorm(), ReLU(), Conv2D(24, 3), Flatten(), Dense(3)]
        model = Sequential(layers, rng=0)
        with convkit.threads(threads):
            history = model.fit(x, y, epochs=3, optimizer=Adam(0.01, ema=0.9, clip_global_norm=0.5), validation_split=0.2,
                                verbose=0)
        results.append((weights(model), [b.copy() for layer in model.layers for b in layer.buffers.values()],
                        history.history["val_loss"]))
    for other in results[1:]:
        assert same(results[0][0], other[0])
        assert same(results[0][1], other[1])
        assert results[0][2] == other[2]


class Broken(Layer):
    """Infinity from its second batch on."""

    calls = 0

    def _forward(self, x, training):
        self.calls += training
        return (x * np.float32("inf") if self.calls > 1 else x), lambda dy, needs_input: dy


def test_a_nan_is_traced_to_the_layer_where_it_began(rng):
    x, y = images(rng)
    model = Sequential([Conv2D(4, 3), BatchNorm(), Broken(), ReLU(), Flatten(), Dense(3)], rng=0)
    kept = []

    class Keep(Callback):
        def step_end(self, run):
            kept.append(run.model.get_weights())

    words = r"loss is nan in step 2 of epoch 1: it began in layer broken_1 \(Broken"
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
        model.fit(x, y, verbose=0, callbacks=[Keep()])
    assert len(kept) == 1
    for name, array in model.saved.items():
        np.testing.assert_array_equal(array, kept[0][name])
    assert not any("forward" in vars(layer) for layer in model.layers)


def test_a_nan_is_traced_to_weights_data_or_the_loss(rng):
    x, y = images(rng)
    model = small(input_shape=(6, 6, 1))

    def nothing(outputs, targets):
        return float("inf"), np.zeros_like(outputs)

    with pytest.raises(ValueError, match=r"loss is inf .* began in the loss; look at the targets"):
        model.fit(x, y, loss=nothing, verbose=0)
    model.params["dense_1.w"].value = np.full_like(model.params["dense_1.w"].value, np.inf)
    with pytest.raises(ValueError, match=r"the weights dense_1\.w are not finite since an"), np.errstate(all="ignore"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"x": 3, "y": None}, TypeError, "fit: x must be a Dataset or an iterable of .* got int"),
        ({"y": None}, TypeError, r"fit: x must be a Dataset or .* got ndarray of shape \(60, 6, 6, 1\)"),
        ({"x": [], "y": None}, ValueError, "fit: x gives no batches"),
        ({"x": [3], "y": None}, TypeError, r"fit: batch 0 must be \(x, y\) or \(x, y, weights\), got int"),
        ({"class_weight": [1, 2]}, ValueError, "fit: class_weight must be finite numbers >= 0, one for each of 3 classes"),
        ({"class_weight": {3: 1.0}}, ValueError, r"fit: class_weight has the class 3, wanted 0\.\.2"),
        ({"class_weight": {0: -1.0}}, ValueError, "fit: class_weight must be finite"),
        ({"sample_weight": np.ones(59)}, ValueError, r"fit: sample_weight must have shape \(60,\).* got \(59,\)"),
        ({"sample_weight": np.full(60, np.nan)}, ValueError, "fit: sample_weight must be finite and >= 0"),
        ({"sample_weight": np.ones(60), "loss": lambda a, b: (0.0, a)}, TypeError, "sample_weight needs a loss that knows red"),
        ({"class_weight": [1] * 3, "loss": "mse", "y": np.ones((60, 3), np.float32)}, TypeError, "is for losses about classes"),
        ({"optimizer": SGD(Plateau(0.1))}, ValueError, "fit: Plateau monitors 'val_loss', but there are loss, accuracy"),
        ({"accumulate": 0}, ValueError, "fit: accumulate must be >= 1"),
        ({"callbacks": Callback()}, TypeError, "fit: callbacks must be a list"),
        ({"metrics": [F1]}, TypeError, "fit: metric must be a name, an object of convkit.metrics or a function"),
        ({"resume": "nowhere.safetensors"}, FileNotFoundError, "nowhere"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_clear_error_before_any_work(how, error, words, rng):
    x, y = images(rng)
    model = small()
    with pytest.raises(error, match=words):
        model.fit(**{"x": x, "y": y, "verbose": 0, **how})
    assert model.input_shape is None


def test_wrong_batches_are_named(rng):
    x, y = images(rng)
    model = small()
    with pytest.raises(ValueError, match=r"fit: batch 2: x must have shape \(N, 6, 6, 1\), got \(16, 6, 5, 1\)"):
        model.fit([*batches_of(x, y)[:2], (x[:16, :, :5], y[:16])], verbose=0)
    with pytest.raises(ValueError, match="fit: batch 1: y holds the label 3"):
        small().fit([(x, y), (x, y + 1)], verbose=0)
    with pytest.raises(TypeError, match="x is an iterator, which gives its batches once; for 2 epochs give"):
        small().fit(iter([(x, y)]), epochs=2, verbose=0)
    with pytest.raises(TypeError, match="validation_split is for arrays and data sets"):
        small().fit([(x, y)], validation_split=0.5, verbose=0)
    with pytest.raises(ValueError, match="fit: y holds the label 3"):
        small().fit(ArrayDataset(x, y + 1), verbose=0)
    with pytest.raises(ValueError, match=r"the samples of x must have shape \(6, 6, 1\), got \(6, 5, 1\)"):
        model.fit(ArrayDataset(x[:, :, :5], y), verbose=0)
    with pytest.raises(TypeError, match="has its own targets"):
        small().fit(ArrayDataset(x, y), y, verbose=0)
