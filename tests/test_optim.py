"""What all optimisers share: memory for each Param, learning rates, errors. Their formulas are in test_optim_formulas.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from bounds import assert_same_bits

import convkit
from convkit.layers import Param
from convkit.optim import LAMB, OPTIMIZERS, SGD, Adam, AdamW, Lion, NAdam, RMSprop


def with_gradients(rng, steps: int, dtype=np.float64) -> tuple[Param, list[np.ndarray]]:
    return Param(rng.standard_normal(5).astype(dtype)), [rng.standard_normal(5).astype(dtype) for _ in range(steps)]


def run(optimizer, param: Param, gradients) -> np.ndarray:
    for gradient in gradients:
        param.grad[...] = gradient
        optimizer.step([param])
        np.testing.assert_array_equal(param.grad, gradient)  # a step leaves the gradient for who looks at it
    return param.value


ALL = [
    lambda: SGD(0.1), lambda: SGD(0.1, momentum=0.9), lambda: SGD(0.1, momentum=0.9, nesterov=True, ema=0.5),
    lambda: RMSprop(), lambda: RMSprop(momentum=0.5), lambda: Adam(0.01), lambda: AdamW(0.01, clip_norm=0.5), lambda: NAdam(),
    lambda: Lion(clip_value=0.1), lambda: LAMB(weight_decay=0.1), lambda: SGD(clip_global_norm=0.1),
]  # fmt: skip


@pytest.mark.parametrize("make", ALL[:-1])  # the last one looks at all parameters
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
    first = optimizer._memory[param].kept["m"]
    assert (first == 0).all()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_threads(make, dtype):
    results = []
    for threads in (1, 2, 3, 7):
        rng = np.random.default_rng(0)
        params = [Param(rng.standard_normal(shape).astype(dtype)) for shape in ((100, 301), (5,), (3, 3, 8200), (1,))]
        optimizer = make()
        with convkit.threads(threads):
            for _ in range(3):
                for param in params:
                    param.grad[...] = rng.standard_normal(param.grad.shape)
                optimizer.step(params)
        results.append(params)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a.value, b.value)
    assert np.isfinite(results[0][0].value).all()


@pytest.mark.parametrize("make", ALL)
def test_a_state_goes_on_with_the_same_bits(make, rng):
    (first, gradients), (second, _) = with_gradients(rng, 6), with_gradients(rng, 6)
    alone = copy.deepcopy(first)
    run(make(), alone, gradients)
    optimizer = make()
    run(optimizer, first, gradients[:3])
    state = {name: array.copy() for name, array in optimizer.state({"w": first, "other": second}).items()}
    assert {name.split("/")[0] for name in state} == {"steps", "averaged", "learning_rate", "w"}
    later = make()
    later.load_state({"w": first, "other": second}, state)
    assert later.steps == 3
    run(later, first, gradients[3:])
    assert_same_bits(first.value, alone.value)


def test_a_state_of_another_optimiser_or_other_parameters_is_refused_and_changes_nothing(rng):
    param, gradients = with_gradients(rng, 2)
    optimizer = Adam()
    run(optimizer, param, gradients)
    state = optimizer.state({"w": param})
    kept = {name: array.copy() for name, array in state.items()}
    with pytest.raises(ValueError, match=r"SGD: the state lacks \['w/m'\]|SGD: the state lacks \[\] and has \['w/m', 'w/v'\]"):
        SGD().load_state({"w": param}, state)
    with pytest.raises(ValueError, match=r"Adam: the state lacks \['w/average'\]"):
        Adam(ema=0.9).load_state({"w": param}, state)
    with pytest.raises(ValueError, match=r"Adam: w/m must be float64 \(6,\), got float64 \(5,\)"):
        optimizer.load_state({"w": Param(np.zeros(6))}, state)
    with pytest.raises(ValueError, match=r"and has \['w/m', 'w/steps', 'w/v'\] besides"):
        optimizer.load_state({"b": param}, state)
    assert all(np.array_equal(kept[name], array) for name, array in optimizer.state({"w": param}).items())


def test_averages_of_the_weights_change_places_with_them(rng):
    param, gradients = with_gradients(rng, 5)
    optimizer, average = SGD(0.1, ema=0.75), param.value.copy()
    plain = copy.deepcopy(param)
    for gradient in gradients:
        run(optimizer, param, [gradient])
        average = 0.75 * average + 0.25 * param.value
    weights = param.value.copy()
    for _ in range(2):
        optimizer.use_averages([param])
        np.testing.assert_allclose(param.value, average, rtol=1e-14)
    optimizer.use_averages([param], False)
    assert_same_bits(param.value, weights)
    optimizer.use_averages([param])
    run(optimizer, param, gradients)  # a step takes the weights again
    run(SGD(0.1), plain, gradients + gradients)
    assert_same_bits(param.value, plain.value)


def test_names():
    assert sorted(OPTIMIZERS) == ["adam", "adamw", "lamb", "lion", "nadam", "rmsprop", "sgd"]
    assert all(isinstance(kind(), kind) for kind in OPTIMIZERS.values())


def test_a_step_at_any_stride_of_the_gradient(rng):
    param, twin = Param(rng.standard_normal((6, 4))), Param(np.zeros((6, 4)))
    twin.value = param.value
    param.grad[...] = rng.standard_normal((6, 4))
    twin.grad = np.asfortranarray(param.grad)
    for each in (param, twin):
        Adam().step([each])
    assert_same_bits(param.value, twin.value)


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
        (lambda: SGD(nesterov=True), ValueError, "SGD: nesterov needs a momentum > 0"),
        (lambda: RMSprop(rho=1), ValueError, r"RMSprop: rho must be in \[0, 1\), got 1"),
        (lambda: LAMB(weight_decay=-1), ValueError, "LAMB: weight_decay must be finite and >= 0, got -1"),
        (lambda: Lion(ema=1), ValueError, r"Lion: ema must be in \[0, 1\), got 1"),
        (lambda: NAdam(momentum_decay=-1), ValueError, "NAdam: momentum_decay"),
        (lambda: AdamW(clip_norm=0), ValueError, "AdamW: clip_norm must be finite and > 0, got 0"),
        (lambda: AdamW(clip_norm=1, clip_value=2), ValueError, "AdamW: give one of .*, got clip_value, clip_norm"),
        (lambda: SGD(lambda step: -1.0).step([]), ValueError, "SGD: the learning rate at step 0 must be .* >= 0, got -1"),
        (lambda: SGD(lambda step: "x").step([]), TypeError, "SGD: the learning rate at step 0 must be a number"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, error, words):
    with pytest.raises(error, match=words):
        make()
