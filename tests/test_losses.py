"""Cross-entropy, its gradient, and accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from convkit.losses import cross_entropy
from convkit.metrics import accuracy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_its_definition(dtype, rng):
    logits, labels = rng.standard_normal((6, 4)).astype(dtype), rng.integers(0, 4, 6)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    loss, dlogits = cross_entropy(logits, labels)
    assert type(loss) is float
    assert dlogits.dtype == dtype
    assert loss == pytest.approx(-np.log(p[np.arange(6), labels]).mean(), rel=1e-6)
    np.testing.assert_allclose(dlogits, (p - np.eye(4)[labels]) / 6, atol=1e-7)


def test_one_hot_probabilities_are_labels(rng):
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    loss, dlogits = cross_entropy(logits, labels)
    for dtype in (np.float32, np.float64):
        again = cross_entropy(logits, np.eye(4, dtype=dtype)[labels])
        assert again[0] == pytest.approx(loss, rel=1e-14)
        np.testing.assert_allclose(again[1], dlogits, atol=1e-16)
        assert again[1].dtype == np.float64


@pytest.mark.parametrize("soft", [False, True])
def test_the_gradient_is_finite_differences(soft, rng):
    logits, h = rng.standard_normal((5, 3)), 1e-5
    targets = rng.dirichlet(np.ones(3), 5) if soft else rng.integers(0, 3, 5)
    _, dlogits = cross_entropy(logits, targets)
    for i in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[i] = h
        slope = (cross_entropy(logits + step, targets)[0] - cross_entropy(logits - step, targets)[0]) / (2 * h)
        assert dlogits[i] == pytest.approx(slope, rel=1e-6, abs=1e-10)


def test_huge_and_impossible_logits():
    loss, dlogits = cross_entropy(np.array([[1e4, 0], [0, 1e4]], np.float32), np.array([0, 0]))
    assert loss == pytest.approx(5e3)
    np.testing.assert_array_equal(dlogits, [[0, 0], [-0.5, 0.5]])
    for labels in (np.array([1]), np.array([[0.0, 1.0]])):
        assert cross_entropy(np.array([[-np.inf, 0.0]]), labels)[0] == 0


def test_nothing_given_is_written_to(rng):
    logits, labels = rng.standard_normal((4, 3)), np.array([0, 1, 2, 0], np.uint8)
    logits.flags.writeable = labels.flags.writeable = False
    before = logits.copy()
    cross_entropy(logits, labels)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([0, 1, 3], ValueError, r"cross_entropy: labels holds the label 3, wanted 0\.\.2 for 3 classes"),
        ([0, -1, 1], ValueError, "holds the label -1"),
        ([0, 1], ValueError, r"must have shape \(3,\), got \(2,\)"),
        (np.eye(3, dtype=int), ValueError, r"argmax\(axis=1\) if it is one-hot"),
        (1, ValueError, r"must have shape \(3,\), got \(\)"),
        ([0.0, 1.0, 2.0], TypeError, r"astype\(np\.int64\)"),
        (np.zeros((3, 2)), ValueError, r"must have shape \(3, 3\), got \(3, 2\)"),
        (np.ones((3, 3)), ValueError, "sum to 1"),
        (np.array([[2.0, -1, 0]] * 3), ValueError, "sum to 1"),
        (np.full((3, 3), np.nan), ValueError, "sum to 1"),
        ([True, False, True], TypeError, "must be integers"),
        (["a", "b", "c"], TypeError, "must be integers"),
        ([None, 0, 1], TypeError, "array of numbers"),
        (np.ma.masked_array([0, 1, 2]), TypeError, "masked"),
    ],
)
def test_wrong_labels_are_one_clear_error(labels, error, words):
    with pytest.raises(error, match=words):
        cross_entropy(np.zeros((3, 3)), labels)


@pytest.mark.parametrize("shape", [(3,), (3, 0), (0, 3)])
def test_wrong_logits_are_one_clear_error(shape):
    with pytest.raises(ValueError, match="logits must have shape"):
        cross_entropy(np.zeros(shape), np.zeros(shape[:1], int))
    with pytest.raises(TypeError, match="cross_entropy: logits must be"):
        cross_entropy(np.zeros((3, 3), int), [0, 1, 2])


def test_accuracy_counts_the_rows_that_are_right():
    outputs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [1, 0]])
    assert accuracy(outputs, np.array([0, 1, 0, 0])) == 0.75
    assert accuracy(outputs, np.eye(2)[[1, 1, 1, 1]]) == 0.5
    for wrong in (np.array([0, 1]), np.zeros((4, 3)), np.array(0)):
        with pytest.raises(ValueError, match="accuracy: wanted"):
            accuracy(outputs, wrong)
    with pytest.raises(ValueError, match="accuracy: wanted"):
        accuracy(np.zeros((0, 2)), np.zeros(0, int))
