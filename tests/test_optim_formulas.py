"""Each optimiser against its definition in float64, as the papers have it.

Each step begins with the weights and averages that the step before left, so that errors do not pile up: a result is a few
roundings away, of numbers no larger than the magnitudes that the definition adds up.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from convkit.layers import Param
from convkit.optim import LAMB, SGD, Adam, AdamW, Lion, NAdam, RMSprop

RATE, ROUNDINGS = 0.05, 64


def sgd(w, g, m, v, t, momentum=0.0, nesterov=False, decay=0.0):
    g = g + decay * w
    m = momentum * m + g
    return w - RATE * (g + momentum * m if nesterov else m), m, v


def rmsprop(w, g, m, v, t, rho=0.99, momentum=0.0, decay=0.0):
    g = g + decay * w
    v = rho * v + (1 - rho) * g**2
    m = momentum * m + g / (np.sqrt(v) + 1e-8)
    return w - RATE * m, m, v


def adam(w, g, m, v, t, b1=0.9, b2=0.999, coupled=0.0, decay=0.0, eps=1e-8):
    g = g + coupled * w
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    return w - RATE * (m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + decay * w), m, v


def nadam(w, g, m, v, t, b1=0.9, b2=0.999, psi=4e-3):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    mus = [b1 * (1 - 0.5 * 0.96 ** (i * psi)) for i in range(1, t + 2)]
    mean = mus[t] * m / (1 - np.prod(mus)) + (1 - mus[t - 1]) * g / (1 - np.prod(mus[:t]))
    return w - RATE * mean / (np.sqrt(v / (1 - b2**t)) + 1e-8), m, v


def lion(w, g, m, v, t, b1=0.9, b2=0.99, decay=0.0):
    return w - RATE * (np.sign(b1 * m + (1 - b1) * g) + decay * w), b2 * m + (1 - b2) * g, v


def lamb(w, g, m, v, t, decay=0.0):
    moved, m, v = adam(w, g, m, v, t, decay=decay, eps=1e-6)
    d = (w - moved) / RATE
    return w - RATE * np.linalg.norm(w) / np.linalg.norm(d) * d, m, v


CASES = {
    "sgd": (partial(SGD, RATE), sgd, {}),
    "sgd with decay": (partial(SGD, RATE, weight_decay=0.1), sgd, {"decay": 0.1}),
    "momentum": (partial(SGD, RATE, momentum=0.9, weight_decay=0.1), sgd, {"momentum": 0.9, "decay": 0.1}),
    "nesterov": (partial(SGD, RATE, momentum=0.75, nesterov=True), sgd, {"momentum": 0.75, "nesterov": True}),
    "rmsprop": (partial(RMSprop, RATE), rmsprop, {}),
    "rmsprop with all": (partial(RMSprop, RATE, rho=0.5, momentum=0.75, weight_decay=0.1), rmsprop,
                         {"rho": 0.5, "momentum": 0.75, "decay": 0.1}),
    "adam": (partial(Adam, RATE), adam, {}),
    "adam with all": (partial(Adam, RATE, betas=(0.5, 0.75), weight_decay=0.1, eps=1e-3), adam,
                      {"b1": 0.5, "b2": 0.75, "coupled": 0.1, "eps": 1e-3}),
    "adamw": (partial(AdamW, RATE, weight_decay=0.25), adam, {"decay": 0.25}),
    "nadam": (partial(NAdam, RATE), nadam, {}),
    "nadam with all": (partial(NAdam, RATE, betas=(0.5, 0.75), momentum_decay=0.5), nadam, {"b1": 0.5, "b2": 0.75, "psi": 0.5}),
    "lion": (partial(Lion, RATE, betas=(0.75, 0.5), weight_decay=0.25), lion, {"b1": 0.75, "b2": 0.5, "decay": 0.25}),
    "lamb": (partial(LAMB, RATE, weight_decay=0.25), lamb, {"decay": 0.25}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_each_step_is_its_definition(case, dtype, isa, rng):
    make, definition, how = CASES[case]
    optimizer = make()
    param = Param((rng.standard_normal((13, 71)) * 2).astype(dtype))
    for t in range(1, 9):
        memory = optimizer._memory.get(param)
        kept = [memory.kept.get(name, 0) if memory else 0 for name in ("m", "v")]
        before, m, v = (np.array(a, np.float64) for a in (param.value, *kept))
        param.grad[...] = rng.standard_normal(param.grad.shape)
        optimizer.step([param])
        want, m, v = definition(before, param.grad.astype(np.float64), m, v, t, **how)
        assert param.value.dtype == dtype
        unit = ROUNDINGS * float(np.finfo(dtype).eps)
        scale = np.abs(want - before) + np.abs(before)
        assert np.all(np.abs(param.value - want) <= unit * scale), f"step {t}"
        assert np.abs(want - before).max() > 1e-3
        for name, wanted in (("m", m), ("v", v)):
            got = optimizer._memory[param].kept.get(name)
            if got is not None:
                np.testing.assert_allclose(got, wanted, rtol=unit, atol=unit)


def gradients_of(params, rng, size):
    for param in params:
        param.grad[...] = size * rng.standard_normal(param.grad.shape)
    return [param.grad.astype(np.float64) for param in params]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.001, 1.0, 1e25])
def test_clipping_is_its_definition(dtype, size, isa, rng):
    """1e25: squares that float32 cannot hold."""
    shapes = ((40, 17), (3,), (5, 5, 9))
    for clip in ("clip_value", "clip_norm", "clip_global_norm"):
        params = [Param(np.zeros(shape, dtype)) for shape in shapes]
        grads = gradients_of(params, rng, size)
        SGD(1.0, **{clip: 0.5}).step(params)
        norms = [np.linalg.norm(grad) for grad in grads]
        if clip == "clip_value":
            wanted = [np.clip(grad, -0.5, 0.5) for grad in grads]
        else:
            norms = norms if clip == "clip_norm" else [np.linalg.norm(norms)] * len(norms)
            wanted = [grad * min(1, 0.5 / norm) for grad, norm in zip(grads, norms, strict=True)]
        for param, want in zip(params, wanted, strict=True):
            np.testing.assert_allclose(-param.value, want, rtol=1e-5 if dtype == np.float32 else 1e-13)


def test_a_nan_in_the_gradient_is_a_nan_in_the_weight(isa):
    for case, (make, _, _) in CASES.items():
        param = Param(np.ones(9))
        param.grad[...] = 1
        param.grad[4] = np.nan
        make(clip_value=1.0).step([param])
        assert np.isnan(param.value).tolist() == [i == 4 or make.func is LAMB for i in range(9)], case


def test_zeros_have_no_length_for_lamb():
    param = Param(np.zeros(4))
    optimizer = LAMB(0.5)
    optimizer.step([param])
    assert (param.value == 0).all()
    param.grad[...] = [1, -1, 2, -2]
    optimizer.step([param])
    assert np.isfinite(param.value).all()
    assert (param.value * param.grad < 0).all()
