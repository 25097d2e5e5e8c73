"""Metrics against their definitions, over samples that come in batches of any size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convkit.metrics import AUC, F1, METRICS, Accuracy, ConfusionMatrix, IoU, Metric, Precision, Recall, TopK, accuracy


def cases(rng, n: int = 60, k: int = 4):
    """Outputs with ties, and targets of which the last class never comes."""
    return rng.integers(0, 5, (n, k)).astype(np.float32), rng.integers(0, k - 1, n)


def by_batches(metric: Metric, outputs, targets, size: int):
    metric = metric.fresh()
    for start in range(0, len(outputs), size):
        metric.add(outputs[start : start + size], targets[start : start + size])
    return metric.value()


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize("metric", [kind() for kind in METRICS.values()] + [F1("micro"), TopK(2), Recall(ignore=1)],
                         ids=lambda m: m.name)
def test_batches_do_not_matter(metric, size, rng):
    outputs, targets = cases(rng)
    np.testing.assert_array_equal(by_batches(metric, outputs, targets, size), metric(outputs, targets))
    assert metric.name in METRICS


def by_hand(outputs, targets, k):
    """(tp, fp, fn) of each class, by loops."""
    counts = np.zeros((k, 3))
    for output, target in zip(outputs, targets, strict=True):
        taken = max(range(k), key=lambda c: (output[c], -c))
        counts[target, 0 if taken == target else 2] += 1
        if taken != target:
            counts[taken, 1] += 1
    return counts.T


def test_figures_of_classes_are_their_definitions(rng):
    outputs, targets = cases(rng)
    tp, fp, fn = by_hand(outputs, targets, 4)
    assert tp[3] + fn[3] == 0 < fp[3]
    ratios = {
        Precision: lambda tp, fp, fn: tp / (tp + fp), Recall: lambda tp, fp, fn: tp / (tp + fn) if tp + fn else 0.0,
        F1: lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn), IoU: lambda tp, fp, fn: tp / (tp + fp + fn),
    }  # fmt: skip
    for kind, ratio in ratios.items():
        assert kind()(outputs, targets) == pytest.approx(np.mean([ratio(*each) for each in zip(tp, fp, fn, strict=True)]))
        assert kind("micro")(outputs, targets) == pytest.approx(ratio(tp.sum(), fp.sum(), fn.sum()))
        two = outputs[:, :2], np.minimum(targets, 1)
        first, second, third = by_hand(*two, 2)
        assert kind("binary")(*two) == pytest.approx(ratio(first[1], second[1], third[1]))
        single = (outputs[:, :1] - 2.5).astype(np.float32), np.minimum(targets, 1)[:, None]
        yes, true = single[0].ravel() > 0, single[1].ravel() == 1
        want = ratio(np.sum(yes & true), np.sum(yes & ~true), np.sum(~yes & true))
        assert kind()(*single) == kind()(single[0].ravel(), single[1].ravel()) == pytest.approx(want)
        assert kind("binary", threshold=0.2)(single[0] + 0.2, single[1]) == pytest.approx(want)
    assert accuracy(outputs, targets) == Accuracy()(outputs, targets) == tp.sum() / 60
    matrix = ConfusionMatrix()(outputs, targets)
    np.testing.assert_array_equal(np.diagonal(matrix), tp)
    np.testing.assert_array_equal(matrix.sum(axis=1), tp + fn)
    np.testing.assert_array_equal(matrix.sum(axis=0), tp + fp)


def test_a_class_that_nobody_sees_does_not_count():
    outputs, targets = np.eye(5)[[0, 1, 1, 2]], np.array([0, 1, 2, 2])
    assert IoU()(outputs, targets) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_pixels_and_a_label_for_none(rng):
    outputs, targets = rng.standard_normal((3, 4, 5, 2)), rng.integers(0, 2, (3, 4, 5))
    flat = outputs.reshape(-1, 2), targets.reshape(-1)
    for metric in (Accuracy(), IoU(), F1("micro"), AUC(), TopK(1)):
        assert metric(outputs, targets) == metric(*flat)
    masked = targets.copy()
    masked[0] = 255
    assert IoU(ignore=255)(outputs, masked) == IoU()(outputs[1:], targets[1:])
    with pytest.raises(ValueError, match=r"iou: targets must be classes 0\.\.1, got 0\.\.255"):
        IoU()(outputs, masked)


def test_top_k_is_the_place_in_the_order(rng):
    outputs, targets = cases(rng)
    places = [sorted(range(4), key=lambda c: (-row[c], c)).index(target) for row, target in zip(outputs, targets, strict=True)]
    for k in range(1, 5):
        assert TopK(k)(outputs, targets) == np.mean(np.array(places) < k)
    assert TopK(1)(outputs, targets) == accuracy(outputs, targets)


def test_auc_is_the_share_of_pairs_in_order(rng):
    scores, targets = rng.integers(0, 8, 50) / 4.0, rng.integers(0, 2, 50)
    pairs = list(itertools.product(scores[targets == 1], scores[targets == 0]))
    want = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert AUC()(scores, targets) == AUC()(scores[:, None], targets[:, None]) == pytest.approx(want)
    logits = np.stack([np.zeros(50), scores], axis=1)
    assert AUC()(logits, targets) == pytest.approx(want)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert AUC()(p, np.eye(2)[targets]) == pytest.approx(want)
    assert np.isnan(AUC()(scores, np.ones(50)))


def test_probabilities_as_targets(rng):
    outputs, targets = cases(rng)
    assert F1()(outputs, np.eye(4)[targets]) == F1()(outputs, targets)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: accuracy(np.zeros((2, 3)), np.zeros(3, int)), r"accuracy: wanted outputs \(N, K\).* got \(2, 3\) and \(3,\)"),
        (lambda: accuracy(np.zeros((0, 3)), np.zeros(0, int)), "accuracy: wanted"),
        (lambda: accuracy(np.zeros(2), np.zeros(3, int)), "accuracy: wanted outputs and targets of one shape"),
        (lambda: F1("weighted"), "F1: average must be one of macro, micro, binary, got 'weighted'"),
        (lambda: Recall("binary")(np.eye(3), np.arange(3)), "recall: average='binary' is for 2 classes, got 3"),
        (lambda: TopK(0), "TopK: k must be"),
        (lambda: TopK()(np.zeros((3, 1)), np.zeros(3)), "top_k: wanted outputs of 2 classes"),
        (lambda: AUC()(np.zeros((3, 2)), np.zeros(2)), "auc: outputs and targets do not fit"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, words):
    with pytest.raises(ValueError, match=words):
        make()
