"""scikit-learn estimators: networks with fit, predict and score, for pipelines, grid search and cross-validation.

Needs scikit-learn: ``pip install "convkit-numpy[sklearn]"``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError('convkit.estimators needs scikit-learn >= 1.6; run pip install "convkit-numpy[sklearn]"') from error

from convkit import Sequential, optim
from convkit.apps.network import image_network
from convkit.callbacks import EarlyStopping
from convkit.layers import Dense, ReLU
from convkit.ops import softmax
from convkit.plan import geometry

__all__ = ["ConvNetClassifier", "ConvNetRegressor"]

FITTED = ("model_", "mean_", "scale_", "n_iter_", "history_", "_optimizer", "_rng")


class _ConvNet(BaseEstimator):
    """What classifier and regressor share."""

    _loss = ""

    def __init__(
        self,
        network: Any = None,
        *,
        input_shape: tuple[int, ...] | None = None,
        hidden: tuple[int, ...] = (64,),
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float = 2e-3,
        standardize: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.input_shape = input_shape
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.min_delta = min_delta
        self.random_state = random_state
        self.verbose = verbose

    def _run(self, X: np.ndarray, y: np.ndarray, outputs: int, new: bool, epochs: int) -> dict[str, Any]:
        """Train on checked X and encoded y, a `new` network or the one that is there; what is fitted then, for `_keep`."""
        x = self._samples(X)
        fitted = self._begin(x, outputs) if new else {name: getattr(self, name) for name in FITTED}
        stop = None
        if self.early_stopping and epochs > 1:
            stop = EarlyStopping("val_loss", patience=self.patience, min_delta=self.min_delta, restore_best=True)
        history = fitted["model_"].fit(
            _standard(x, fitted["mean_"], fitted["scale_"]),
            y,
            batch_size=self.batch_size,
            epochs=epochs,
            optimizer=fitted["_optimizer"],
            loss=self._loss,
            validation_split=self.validation_fraction if stop else 0.0,
            callbacks=[stop] if stop else [],
            rng=fitted["_rng"],
            verbose=self.verbose,
        ).history
        past = fitted["history_"]
        fitted["history_"] = {name: [*past.get(name, ()), *values] for name, values in history.items()}
        fitted["n_iter_"] += len(history.get("loss", ()))
        return fitted

    def _begin(self, x: np.ndarray, outputs: int) -> dict[str, Any]:
        """What there is before the first step."""
        mean, scale = np.zeros(x.shape[-1]), np.ones(x.shape[-1])
        if self.standardize:
            axes = tuple(range(x.ndim - 1))
            mean, scale = x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
        optimizer = self._made_optimizer()
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        model = self._made_network(x.shape[1:], outputs, rng, x.dtype)
        return {"model_": model, "mean_": mean, "scale_": np.where(scale > 0, scale, 1.0), "n_iter_": 0, "history_": {},
                "_optimizer": optimizer, "_rng": rng}  # fmt: skip

    def _keep(self, fitted: dict[str, Any]) -> Any:
        """All at once: an estimator is fitted, or it is as it was."""
        for name, value in fitted.items():
            setattr(self, name, value)
        return self

    def _made_optimizer(self) -> Any:
        if self.optimizer not in optim.OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(sorted(optim.OPTIMIZERS))}, got {self.optimizer!r}")
        return optim.OPTIMIZERS[self.optimizer](self.learning_rate)

    def _made_network(self, shape: tuple[int, ...], outputs: int, rng: np.random.Generator, dtype: np.dtype) -> Any:
        if self.network is not None:
            return self.network(shape, outputs, rng)
        if len(shape) == 3:
            return image_network(shape, outputs, rng, dtype)
        if len(shape) != 1:
            raise ValueError(f"samples of shape {shape} need a network=; ready ones are for rows and for images (H, W, C)")
        layers = [layer for units in self.hidden for layer in (Dense(units), ReLU())]
        return Sequential([*layers, Dense(outputs)], input_shape=shape, rng=rng, dtype=dtype)

    def _samples(self, X: np.ndarray) -> np.ndarray:
        """X with samples of `input_shape`."""
        if self.input_shape is None:
            return X
        shape = geometry.sizes(self.input_shape, len(self.input_shape), type(self).__name__, "input_shape")
        if math.prod(shape) != math.prod(X.shape[1:]):
            raise ValueError(f"samples of shape {X.shape[1:]} cannot be brought to input_shape={shape}")
        return X.reshape(len(X), *shape)

    def _checked(self, X: Any, **how: Any) -> Any:
        return validate_data(self, X, dtype=(np.float32, np.float64), allow_nd=True, **how)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "model_")
        x = self._samples(self._checked(X, reset=False))
        return self.model_.predict(_standard(x, self.mean_, self.scale_).astype(self.model_.dtype, copy=False))

    def _is_new(self) -> bool:
        return not hasattr(self, "model_")


def _standard(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((x - mean) / scale).astype(x.dtype, copy=False)


class ConvNetClassifier(ClassifierMixin, _ConvNet):
    """A network that names classes, as a scikit-learn estimator.

    Parameters
    ----------
    network : callable (input_shape, outputs, rng) -> Model, optional
        Makes the model, built, without a softmax at its end. By default layers of `hidden` units for rows of features, and a
        small convolutional network for images (H, W, C).
    input_shape : tuple of int, optional
        Bring each row of X to this shape, such as (28, 28, 1); by default samples are as they come.
    hidden : tuple of int, default (64,)
        Units of the layers between, for rows of features.
    epochs : int, default 50
    batch_size : int, default 32
    optimizer : str, default "adam"
        A name of `convkit.optim`.
    learning_rate : float, default 0.002
    standardize : bool, default True
        Bring each feature, or channel, to mean 0 and variance 1; `partial_fit` takes both from its first batch.
    early_stopping : bool, default False
        Hold out a share of the samples, stop when their loss has not fallen for a while, and keep the best weights.
    validation_fraction : float, default 0.1
        That share, of each class alike.
    patience : int, default 10
        Epochs to wait for a lower loss.
    min_delta : float, default 1e-4
        A loss is lower if it is by more than this.
    random_state : int, RandomState or None
        Draws weights, the samples held out, and their order.
    verbose : 0, 1 or 2, default 0

    Attributes
    ----------
    classes_ : ndarray
    model_ : Model
    history_ : dict of str to list
        Figures of each epoch.
    n_iter_ : int
        Epochs done.
    mean_, scale_ : ndarray
        What `standardize` found.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X was a table with such names.

    Examples
    --------
    >>> from convkit.estimators import ConvNetClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> ConvNetClassifier(random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _loss = "cross_entropy"

    def fit(self, X: Any, y: Any) -> ConvNetClassifier:
        """Train a new network.

        Parameters
        ----------
        X : array_like of shape (n, features), or (n, H, W, C)
        y : array_like of shape (n,)
            Class labels of any kind.

        Returns
        -------
        ConvNetClassifier
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not as above.
        """
        X, y = self._checked(X, y=y)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        return self._keep({**self._run(X, labels, len(classes), True, self.epochs), "classes_": classes})

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> ConvNetClassifier:
        """Train on with one pass over some samples.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : array_like, optional
            All labels that will ever come; needed at the first call.

        Returns
        -------
        ConvNetClassifier
            The estimator itself.
        """
        new = self._is_new()
        X, y = self._checked(X, y=y, reset=new)
        check_classification_targets(y)
        if new and classes is None:
            raise ValueError("partial_fit: classes must be given at the first call")
        known = np.unique(classes) if new else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"partial_fit: classes are {known}, got others: {np.unique(classes)}")
        unknown = np.setdiff1d(y, known)
        if len(unknown):
            raise ValueError(f"partial_fit: y holds {unknown[0]!r}, which is not one of the classes {known}")
        return self._keep({**self._run(X, np.searchsorted(known, y), len(known), new, 1), "classes_": known})

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes), in the order of `classes_`."""
        return softmax(self._outputs(X))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sample."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]


class ConvNetRegressor(RegressorMixin, _ConvNet):
    """A network that predicts numbers, as a scikit-learn estimator; it minimises the mean squared error.

    Targets are brought to mean 0 and variance 1 for training (`partial_fit` takes both from its first batch).

    Parameters
    ----------
    network, input_shape, hidden, epochs, batch_size, optimizer, learning_rate, standardize, early_stopping, \
validation_fraction, patience, min_delta, random_state, verbose
        As of `ConvNetClassifier`.

    Attributes
    ----------
    model_, history_, n_iter_, mean_, scale_, n_features_in_, feature_names_in_
        As of `ConvNetClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.estimators import ConvNetRegressor
    >>> X = np.random.default_rng(0).standard_normal((300, 2))
    >>> y = 100 * np.sin(X[:, 0]) + 20 * X[:, 1]
    >>> ConvNetRegressor(random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _loss = "mse"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> ConvNetRegressor:
        """Train a new network.

        Parameters
        ----------
        X : array_like of shape (n, features), or (n, H, W, C)
        y : array_like of shape (n,) or (n, outputs)

        Returns
        -------
        ConvNetRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not as above.
        """
        return self._learn(*self._checked(X, y=y, y_numeric=True, multi_output=True), True, self.epochs)

    def partial_fit(self, X: Any, y: Any) -> ConvNetRegressor:
        """Train on with one pass over some samples; arguments as of `fit`."""
        new = self._is_new()
        X, y = self._checked(X, y=y, y_numeric=True, multi_output=True, reset=new)
        if not new and y.shape[1:] != self._y_shape:
            raise ValueError(f"partial_fit: y must have shape (n, {', '.join(map(str, self._y_shape))}), got {y.shape}")
        return self._learn(X, y, new, 1)

    def _learn(self, X: np.ndarray, y: np.ndarray, new: bool, epochs: int) -> ConvNetRegressor:
        rows = y.astype(np.float64).reshape(len(y), -1)
        mean, scale = (rows.mean(axis=0), rows.std(axis=0)) if new else (self._y_mean, self._y_scale)
        scale = np.where(scale > 0, scale, 1.0)
        fitted = self._run(X, _standard(rows, mean, scale).astype(X.dtype), rows.shape[1], new, epochs)
        return self._keep({**fitted, "_y_mean": mean, "_y_scale": scale, "_y_shape": y.shape[1:]})

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers (n,) or (n, outputs)."""
        y = self._outputs(X)
        return (y * self._y_scale + self._y_mean).astype(y.dtype).reshape(len(y), *self._y_shape)
