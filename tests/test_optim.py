"""SGD and Adam."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from convkit.layers import Param
from convkit.optim import SGD, Adam


def with_gradients(rng, steps: int, dtype=np.float64) -> tuple[Param, list[np.ndarray]]:
    return Param(rng.standard_normal(5).astype(dtype)), [rng.standard_normal(5).astype(dtype) for _ in range(steps)]


def run(optimizer, param: Param, gradients) -> np.ndarray:
    for gradient in gradients:
        param.grad[...] = gradient
        optimizer.step([param])
        np.testing.assert_array_equal(param.grad, gradient)  # a step leaves the gradient for who looks at it
    return param.value


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sgd_is_its_definition(momentum, dtype, rng):
    param, gradients = with_gradients(rng, 40, dtype)
    w, v = param.value.astype(np.float64), np.zeros(5)
    for g in gradients:
        v = momentum * v + g
        w = w - 0.1 * v
    result = run(SGD(0.1, momentum=momentum), param, gradients)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, w, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_is_its_definition(dtype, rng):
    param, gradients = with_gradients(rng, 40, dtype)
    w, m, v = param.value.astype(np.float64), np.zeros(5), np.zeros(5)
    for t, g in enumerate(gradients, 1):
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g.astype(np.float64) ** 2
        w = w - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
    result = run(Adam(0.01, betas=(0.8, 0.95), eps=1e-6), param, gradients)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, w, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("make", [lambda: SGD(0.1, momentum=0.9), lambda: Adam(0.01)])
def test_each_param_has_its_own_averages_and_a_copy_goes_on_alike(make, rng):
    (first, gradients), (second, others) = with_gradients(rng, 6), with_gradients(rng, 6)
    alone = copy.deepcopy(first)
    run(make(), alone, gradients)
    optimizer = make()
    for i in range(3):
        first.grad[...], second.grad[...] = gradients[i], others[i]
        optimizer.step([first, second])
    optimizer, first = copy.deepcopy((optimizer, first))
    run(optimizer, first, gradients[3:])
    np.testing.assert_array_equal(first.value, alone.value)


def test_a_step_counts_as_a_change_of_the_weights(rng):
    param, gradients = with_gradients(rng, 3)
    run(SGD(0.1), param, gradients)
    assert param.version == 3


@pytest.mark.parametrize("optimizer", [SGD(1.0, momentum=0.9), Adam()])
def test_averages_of_a_silent_gradient_do_not_stay_subnormal(optimizer):
    param = Param(np.zeros(4, np.float32))
    param.grad[...] = 1
    optimizer.step([param])
    run(optimizer, param, [np.zeros(4, np.float32)] * 1200)
    first = optimizer._memory[param].averages[0]
    assert (first == 0).all()


def test_the_learning_rate_may_change_between_steps():
    param, optimizer = Param(np.zeros(1)), SGD(1.0)
    param.grad[...] = 1
    optimizer.step([param])
    optimizer.learning_rate = 0.5
    optimizer.step([param])
    assert param.value[0] == -1.5


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SGD(float("nan")), ValueError, "SGD: learning_rate must be finite and > 0, got nan"),
        (lambda: SGD(float("inf")), ValueError, "learning_rate"),
        (lambda: Adam(0), ValueError, "Adam: learning_rate"),
        (lambda: Adam(-1e-3), ValueError, "Adam: learning_rate"),
        (lambda: Adam("1e-3"), TypeError, "Adam: learning_rate must be a number"),
        (lambda: SGD(True), TypeError, "SGD: learning_rate must be a number"),
        (lambda: setattr(SGD(), "learning_rate", -1), ValueError, "SGD: learning_rate"),
        (lambda: SGD(momentum=1), ValueError, r"SGD: momentum must be in \[0, 1\), got 1"),
        (lambda: SGD(momentum=float("nan")), ValueError, "SGD: momentum"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"Adam: betas\[1\]"),
        (lambda: Adam(betas=0.9), ValueError, "Adam: betas must be 2 numbers"),
        (lambda: Adam(eps=0), ValueError, "Adam: eps"),
        (lambda: Adam(eps=None), TypeError, "Adam: eps"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, error, words):
    with pytest.raises(error, match=words):
        make()
