"""Learning rates by step, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convkit.layers import Param
from convkit.optim import SGD
from convkit.schedules import Best, Constant, Cosine, Exponential, OneCycle, Plateau, Step, WarmUp

STEPS = range(0, 260, 7)


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (Constant(0.3), lambda t: 0.3),
        (Step(0.3, 50, 0.5), lambda t: 0.3 * 0.5 ** (t // 50)),
        (Exponential(0.3, 0.9, 10), lambda t: 0.3 * 0.9 ** (t / 10)),
        (Cosine(0.3, 200, 0.1), lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 200) / 200)) / 2),
        (OneCycle(0.3, 200, rise=0.5, divide=3, divide_end=30),
         lambda t: 0.2 - 0.1 * math.cos(math.pi * t / 100) if t < 100
         else 0.01 + 0.29 * (1 + math.cos(math.pi * (min(t, 200) - 100) / 100)) / 2),
        (WarmUp(Step(0.3, 50, 0.5), 100, 0.1), lambda t: 0.1 + 0.2 * (t + 1) / 101 if t < 100 else 0.3 * 0.5 ** (t // 50 - 2)),
        (WarmUp(0.3, 10), lambda t: 0.3 * min((t + 1) / 11, 1)),
    ],
)  # fmt: skip
def test_rates_are_their_formulas(schedule, formula):
    assert [schedule(t) for t in STEPS] == pytest.approx([formula(t) for t in STEPS], rel=1e-12)


def test_an_optimiser_asks_for_the_rate_of_each_step():
    param, asked = Param(np.zeros(1)), []
    param.grad[...] = 1
    optimizer = SGD(lambda step: asked.append(step) or 2.0**-step)
    for _ in range(4):
        optimizer.step([param])
    assert asked == [0, 1, 2, 3]
    assert param.value[0] == -1.875
    assert optimizer.rate == 2.0**-4


@pytest.mark.parametrize("wrap", [lambda plateau: plateau, lambda plateau: WarmUp(plateau, 5)])
def test_a_plateau_falls_after_its_patience_and_goes_on_from_a_state(wrap):
    def make():
        return wrap(Plateau(1.0, "val_accuracy", factor=0.5, patience=2, min_delta=0, least=0.3))

    figures = [0.5, 0.6, 0.6, 0.5, 0.7, math.nan, 0.6, 0.8, 0.8, 0.8]
    whole, rates = make(), []
    for figure in figures:
        whole.epoch_end({"val_accuracy": figure})
        rates.append(whole(100))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    first, second = make(), make()
    for figure in figures[:3]:
        first.epoch_end({"val_accuracy": figure})
    second.load_state(first.state())
    second.epoch_end({"val_accuracy": figures[3]})
    assert second(100) == 0.5
    assert whole.monitor == "val_accuracy"


def test_what_is_better():
    assert Best("op", "val_loss", "auto", 0).update({"val_loss": 3.0})
    for monitor, mode, values, better in (
        ("loss", "auto", (2, 1.95, 1.8, 2.0), [True, False, True, False]),
        ("val_top_k", "auto", (2, 2.05, 2.2, 2.0), [True, False, True, False]),
        ("loss", "max", (2, 3, 1), [True, True, False]),
        ("mae", "auto", (2, 3, 1), [True, False, True]),
    ):
        best = Best("op", monitor, mode, 0.1)
        assert [best.update({monitor: value}) for value in values] == better
    with pytest.raises(ValueError, match="op: there is no figure 'mae' to monitor, only loss"):
        best.update({"loss": 1.0})


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Constant(-1), ValueError, "Constant: rate must be finite and > 0"),
        (lambda: Step("a", 1), TypeError, "Step: rate must be a number"),
        (lambda: Step(1, 0), ValueError, "Step: every must be >= 1"),
        (lambda: Cosine(1, 2.5), TypeError, "Cosine: steps must be an int"),
        (lambda: Cosine(1, 2, -1), ValueError, "Cosine: end must be finite and >= 0"),
        (lambda: Exponential(1, math.inf), ValueError, "Exponential: factor"),
        (lambda: OneCycle(1, 10, rise=1), ValueError, r"OneCycle: rise must be in \(0, 1\)"),
        (lambda: Plateau(1, factor=1), ValueError, r"Plateau: factor must be in \(0, 1\)"),
        (lambda: Plateau(1, mode="best"), ValueError, "Plateau: mode must be"),
        (lambda: Plateau(1, 3), TypeError, "Plateau: monitor must be a str"),
        (lambda: WarmUp("x", 3), TypeError, "Constant: rate must be a number"),
        (lambda: WarmUp(1, 3).epoch_end({}), AttributeError, "epoch_end"),
    ],
)
def test_wrong_arguments_are_one_clear_error(make, error, words):
    with pytest.raises(error, match=words):
        make()
