"""The scikit-learn estimators: scikit-learn's own checks, and what a person does with them."""

import copy

import numpy as np
import pytest

import convkit

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from convkit.data import digits  # noqa: E402
from convkit.estimators import ConvNetClassifier, ConvNetRegressor  # noqa: E402
from convkit.layers import Conv2D, Dense, GlobalAvgPool2D, ReLU  # noqa: E402


@parametrize_with_checks([ConvNetClassifier(), ConvNetRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def images():
    data = digits()
    return data.x_train[:500, ..., 0].reshape(500, 64), data.y_train[:500], data.x_test.reshape(-1, 64), data.y_test


def tiny(shape, outputs, rng):
    layers = [Conv2D(8, 3, padding=1), ReLU(), Conv2D(16, 3), ReLU(), GlobalAvgPool2D(), Dense(outputs)]
    return convkit.Sequential(layers, input_shape=shape, rng=rng)


def test_rows_become_images_by_input_shape(images):
    x, y, x_test, y_test = images
    net = ConvNetClassifier(input_shape=(8, 8, 1), epochs=8, random_state=0).fit(x, y)
    assert net.model_.input_shape == (8, 8, 1)
    assert net.score(x_test, y_test) > 0.93
    as_images = ConvNetClassifier(epochs=8, random_state=0).fit(x.reshape(-1, 8, 8, 1), y)
    assert np.array_equal(as_images.predict_proba(x_test.reshape(-1, 8, 8, 1)), net.predict_proba(x_test))


def test_a_network_of_ones_own(images):
    x, y, _, _ = images
    net = ConvNetClassifier(tiny, input_shape=(8, 8, 1), epochs=1, random_state=0).fit(x, y)
    assert len(net.model_.layers) == 6
    assert clone(net).network is tiny


@pytest.mark.parametrize("make", [ConvNetClassifier, ConvNetRegressor])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_model_works_in_the_dtype_of_the_data(make, dtype):
    x, y = load_iris(return_X_y=True)
    net = make(epochs=2, random_state=0).fit(x.astype(dtype), y)
    assert net.model_.dtype == dtype
    assert getattr(net, "predict_proba", net.predict)(x.astype(dtype)).dtype == dtype


def test_the_same_random_state_gives_the_same_bits_and_another_does_not():
    x, y = load_iris(return_X_y=True)
    first, second, other = (ConvNetClassifier(epochs=3, random_state=s).fit(x, y).predict_proba(x) for s in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_labels_may_be_words():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    net = ConvNetClassifier(random_state=0).fit(x, names)
    assert net.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert (net.predict(x) == names).mean() > 0.95


def test_it_goes_into_a_pipeline_and_a_grid_search():
    x, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), ConvNetClassifier(epochs=15, random_state=0))
    assert cross_val_score(pipe, x, y, cv=3).mean() > 0.85
    grid = GridSearchCV(pipe, {"convnetclassifier__hidden": [(8,), (32, 16)], "convnetclassifier__epochs": [1, 60]}, cv=3)
    grid.fit(x, y)
    assert grid.best_params_["convnetclassifier__epochs"] == 60
    assert grid.best_score_ > 0.9


def test_early_stopping_keeps_the_best_weights():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 30))
    y = (x[:, 0] + rng.standard_normal(80) > 0).astype(int)  # mostly noise: it is soon learnt by heart
    how = {"epochs": 200, "learning_rate": 0.01, "random_state": 0}
    net = ConvNetClassifier(early_stopping=True, validation_fraction=0.3, patience=5, **how).fit(x, y)
    losses = net.history_["val_loss"]
    assert net.n_iter_ == len(losses) < 100
    assert net.n_iter_ - 1 - int(np.argmin(losses)) == 5
    assert "val_loss" not in ConvNetClassifier(**{**how, "epochs": 2}).fit(x, y).history_


def test_partial_fit_goes_on_where_it_was():
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    net = ConvNetClassifier(random_state=0)
    scores = []
    for _ in range(20):
        for part in np.array_split(order, 3):
            net.partial_fit(x[part], y[part], classes=[0, 1, 2])
        scores.append(net.score(x, y))
    assert net.n_iter_ == 60
    assert scores[-1] > 0.9 > scores[0]
    with pytest.raises(ValueError, match=r"7.*not one of the classes"):
        net.partial_fit(x[:2], [0, 7])
    with pytest.raises(ValueError, match="others"):
        net.partial_fit(x[:2], [0, 1], classes=[0, 1])
    with pytest.raises(ValueError, match="classes must be given"):
        ConvNetClassifier().partial_fit(x, y)
    assert net.fit(x, y).n_iter_ == 50


def test_regression_of_several_numbers_on_their_own_scales():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    y = np.stack([1e6 * x[:, 0] + 5e6, 1e-3 * np.sin(x[:, 1]), np.full(400, 7.0)], axis=1)
    net = ConvNetRegressor(random_state=0).fit(x, y)
    assert net.predict(x).shape == (400, 3)
    errors = np.abs(net.predict(x) - y).mean(axis=0)
    assert errors[0] < 2e5
    assert errors[1] < 2e-4
    assert errors[2] < 0.3
    with pytest.raises(ValueError, match="y must have shape"):
        net.partial_fit(x, y[:, 0])
    assert net.partial_fit(x, y).n_iter_ == 51


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"optimizer": "best"}, "optimizer must be one of"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"input_shape": (3, 3, 1)}, "input_shape"),
        ({"input_shape": (2, 2)}, "need a network"),
        ({"early_stopping": True, "validation_fraction": 2}, "validation_split"),
    ],
)
def test_bad_parameters_are_told_by_fit_and_leave_it_unfitted(how, message):
    x, y = load_iris(return_X_y=True)
    net = ConvNetClassifier(**how)
    with pytest.raises((TypeError, ValueError), match=message):
        net.fit(x, y)
    with pytest.raises(NotFittedError):
        net.predict(x)


def test_a_failed_fit_leaves_what_was_fitted():
    x, y = load_iris(return_X_y=True)
    net = ConvNetClassifier(epochs=1, random_state=0).fit(x, y)
    before = net.predict_proba(x)
    with pytest.raises(ValueError, match="optimizer"):
        net.set_params(optimizer="best").fit(x, np.arange(150) % 5)
    assert np.array_equal(net.predict_proba(x), before)


def test_images_must_be_of_the_shape_that_was_fitted(images):
    x, y, _, _ = images
    net = ConvNetClassifier(epochs=1).fit(x[:50].reshape(-1, 8, 8, 1), y[:50])
    with pytest.raises(ValueError, match="shape"):
        net.predict(x[:50].reshape(-1, 8, 4, 2))


def test_a_fitted_estimator_can_be_copied():
    x, y = load_iris(return_X_y=True)
    net = ConvNetClassifier(epochs=2, random_state=0).fit(x, y)
    other = copy.deepcopy(net)
    before = net.predict_proba(x)
    other.partial_fit(x, y)
    assert np.array_equal(net.predict_proba(x), before)
    assert not np.array_equal(other.predict_proba(x), before)
