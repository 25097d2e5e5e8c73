"""What benchmarks hold results to: definitions of ops and networks, by finite differences; and convkit's forms of them."""

from __future__ import annotations

from dataclasses import replace

import bench_rows  # noqa: F401 (the way to benchmarks/)
import numpy as np
import pytest

from benchmarks import definition, definition_nets, definition_ops, layers, networks
from benchmarks.libraries.numerical import Numpy
from benchmarks.libraries.ours import Convkit
from benchmarks.shapes import Conv, Network, Op, Pool

STEP = 1e-6
OPS = sorted({case.family for case in layers.OPS})


def small(family: str) -> Op:
    rows = family in ("layer_norm", "softmax", "cross_entropy")
    return Op(family, (3, 5) if rows else (2, 32, 3, 2))


@pytest.mark.parametrize("family", OPS)
def test_gradients_of_ops_by_finite_differences(family):
    case, rng = small(family), np.random.default_rng(1)
    data = {name: a.astype(float) if a.dtype.kind == "f" else a for name, a in definition.arrays(case, "float64").items()}
    dx = definition_ops.op(case, "both", **data)
    dy = np.ones(1) if family == "cross_entropy" else data["dy"]
    for _ in range(5):
        where = tuple(int(rng.integers(n)) for n in data["x"].shape)
        values = []
        for sign in (1, -1):
            x = data["x"].copy()
            x[where] += sign * STEP
            values.append((definition_ops.op(case, "fwd", **data | {"x": x}) * dy).sum())
        assert dx[where] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("what", ["fwd", "both"])
@pytest.mark.parametrize("family", OPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ops_of_convkit_are_those_of_the_definition(family, what, dtype):
    case = small(family)
    run, to_numpy = Convkit(threads=1).op(case, what, dtype)
    truth = definition.define(case, what, dtype)
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, dtype)


CONVS = [
    Conv("", 2, (7, 6), 3, 4, (3, 3), stride=2, padding=1),
    Conv("", 1, (9,), 2, 3, (5,), padding=2),
    Conv("", 1, (4, 5, 4), 2, 2, (2, 2, 2)),
]


@pytest.mark.parametrize("what", Conv.passes)
@pytest.mark.parametrize("case", CONVS, ids=lambda case: case.name)
def test_the_textbook_convolution_is_that_of_the_definition(case, what):
    run, to_numpy = Numpy(1).conv(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, "float32")


@pytest.mark.parametrize("family", ["max", "avg"])
def test_the_textbook_pooling_is_that_of_the_definition(family):
    case = Pool(family, 2, (7, 6), 3, (3, 3), 2, 1)
    run, to_numpy = Numpy(1).pool(case, "fwd", "float32")
    assert definition.error(case, to_numpy(run()), definition.define(case, "fwd", "float32")) < 1e-6


def test_networks_cost_what_their_papers_say():
    gflop = {"ResNet-18": 3.63, "ResNet-50": 8.18, "VGG-16": 30.9, "MobileNetV2": 0.60, "ResNet-20": 0.082}
    millions = {"ResNet-18": 11.69, "ResNet-50": 25.56, "VGG-16": 138.36, "MobileNetV2": 3.50, "ResNet-20": 0.27}
    for family, wanted in gflop.items():
        net = networks.build(family, 32 if family == "ResNet-20" else 224)
        assert net.flop / 1e9 == pytest.approx(wanted, rel=0.01)
        filters = sum(node.shape[0] * net.terms(node) for node in net.nodes if node.op in ("conv", "dense"))
        assert filters / 1e6 == pytest.approx(millions[family], rel=0.03)


@pytest.fixture
def tiny_network(monkeypatch) -> Network:
    """Every kind of node, a norm, a branch and ReLU6."""

    def make(net: networks.Net) -> None:
        x = net.conv(0, 4, 3, 2, act="relu6")
        y = net.conv(net.conv(x, 4, 3, groups=4), 4, 1, act="")
        x = net.max(net.add(y, x), 3, 2, 1)
        net.dense(net.dense(net.flatten(net.conv(x, 3, 1, norm=False)), 6, "relu"), 5)

    monkeypatch.setitem(networks.NETWORKS, "tiny", (2, make))
    networks.build.cache_clear()
    yield Network("tiny", 9, 3, suite="train")
    networks.build.cache_clear()


def test_the_gradients_of_a_network_by_finite_differences(tiny_network):
    run = definition_nets.Run(tiny_network, "float64")

    def loss() -> tuple[float, np.ndarray]:
        del run.values[1:], run.kept[1:]
        logits = run.forward()
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        one = np.arange(p.shape[1]) == run.labels[:, None]
        return -np.log(p[one]).mean(), (p - one) / len(p)

    run.backward(loss()[1])
    for place, grad in run.grads.items():
        w, where = run.weights[place]["w"], np.unravel_index(np.abs(grad).argmax(), grad.shape)
        start, values = w[where], []
        for sign in (1, -1):
            w[where] = start + sign * STEP
            values.append(loss()[0])
        w[where] = start
        assert grad[where] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-4), run.net.nodes[place]


def test_the_result_of_a_step_is_judged_part_by_part(tiny_network):
    truth = definition.define(tiny_network, "step", "float64")
    assert definition.error(tiny_network, truth, truth) == 0
    wrong = truth.copy()
    wrong[-3:] *= 3                                     # a few numbers of the last gradient, far smaller than the loss
    assert definition.error(tiny_network, wrong, truth) > 0.01


NETWORKS = {"predict": layers.MODELS[1], "step": replace(layers.TRAIN[0], batch=4),
            "U-Net": replace(layers.MODELS[-1], size=32)}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_networks_of_convkit_are_those_of_the_definition(case):
    what = case.passes[0]
    run, to_numpy = Convkit(threads=1).net(case, what, "float32")
    truth = definition.define(case, what, "float32")
    assert definition.error(case, to_numpy(run()), truth) <= definition.tolerance(case, what, "float32")
