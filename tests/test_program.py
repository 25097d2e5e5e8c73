"""Repeated predictions run as a program: the bits of the plain steps, for the weights of the moment, in memory of their own."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from bounds import assert_same_bits

import convkit
from convkit import Input, Model, Sequential
from convkit._core import cpu
from convkit.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm,
    Concat,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    ReLU6,
    Softmax,
)
from convkit.model import program


def residual_net(image):
    x = ReLU()(BatchNorm()(Conv2D(16, 3, padding=1)(image)))
    y = BatchNorm()(Conv2D(16, 3, padding=1)(x))
    x = MaxPool2D(3, stride=2, padding=1)(ReLU()(Add()(y, x)))
    return Dense(5)(Dropout(0.5)(GlobalAvgPool2D()(x)))


def mobile_net(image):
    x = ReLU6()(BatchNorm()(Conv2D(24, 1, bias=False)(image)))
    x = ReLU6()(BatchNorm()(Conv2D(24, 3, padding=1, stride=2, groups=24)(x)))
    return Add()(Conv2D(8, 1)(x), AvgPool2D(2)(Conv2D(8, 1)(image)))


def with_other_layers(image):
    x = GELU()(Conv2D(6, 5, padding=2)(image))          # in between, and not in a program of its own
    x = Concat()(x, Conv2D(4, 3, padding=1, groups=2)(image))
    x = Sequential([Conv2D(8, 1), MaxPool2D()])(x)
    return [Softmax()(Dense(3)(Flatten()(x))), Flatten()(x)]


NETS = [residual_net, mobile_net, with_other_layers]


def made(build, dtype=np.float32, shape=(20, 18, 4)) -> tuple[Model, np.ndarray]:
    image, rng = Input(shape), np.random.default_rng(1)
    model = Model(image, build(image), rng=0, dtype=dtype)
    model.set_weights({name: a + 0.1 * rng.random(a.shape).astype(dtype) for name, a in model.get_weights().items()})
    return model, rng.standard_normal((2, *shape)).astype(dtype)


def plain(model, x):
    return model._folded.infer([x])


def repeated(model, x):
    """The outputs of a call that a program answers."""
    for _ in range(2):
        model.forward(x)
    assert any(one.fits([x], cpu.thread_count()[0]) and one.fresh() for one in model._programs.kept)
    y = model.forward(x)[0]
    return list(y) if isinstance(y, tuple) else [y]


def agrees(model, x):
    for got, want in zip(repeated(model, x), plain(model, x), strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", NETS)
def test_a_program_has_the_bits_of_its_steps(build, dtype, isa):
    model, x = made(build, dtype)
    for threads in (1, 2, 3):
        with convkit.threads(threads):
            agrees(model, x)
            agrees(model, x[:1])
    with convkit.accuracy("strict"):
        agrees(model, x)


def test_other_ranks_too(rng):
    for kind, shape in ((Conv1D, (70, 3)), (Conv3D, (5, 6, 7, 3))):
        model = Sequential([kind(20, 3, padding=1), ReLU(), kind(4, 3, activation="relu")], input_shape=shape, rng=0)
        agrees(model, rng.standard_normal((3, *shape)).astype(np.float32))


def test_what_is_not_finite_comes_out_as_ever():
    model, x = made(residual_net)
    repeated(model, x)
    for value in (np.inf, np.nan):
        x[1, 7, 7, 2] = value
        assert not np.isfinite(plain(model, x)[0]).all()
        agrees(model, x)


def test_changed_weights_are_seen():
    model, x = made(residual_net)
    conv, norm, dense = (model.layers[name] for name in ("conv2d_1", "batch_norm_1", "dense_1"))
    other = {name: a * 1.5 for name, a in model.get_weights().items()}
    changes = [
        lambda: conv.params["w"].writable().__imul__(2),
        lambda: dense.params["b"].writable().__iadd__(1),
        lambda: norm.buffers["mean"].__iadd__(0.5),
        lambda: norm.buffers.update(var=norm.buffers["var"] * 2),
        lambda: norm.params["w"].writable().__imul__(3),
        lambda: setattr(norm, "eps", 1.0),
        lambda: model.set_weights(other),
        lambda: model.fit(x, np.array([0, 1]), verbose=0),
    ]
    seen = [repeated(model, x)[0]]
    for change in changes:
        change()
        now = model.forward(x)[0]                       # at once, not from the third call on
        assert_same_bits(now, plain(model, x)[0])
        assert not np.array_equal(now, seen[-1])
        seen += repeated(model, x)


def test_results_are_nobody_elses():
    model, x = made(with_other_layers)
    repeated(model, x)
    first, kept = model.predict(x), [a.copy() for a in model.predict(x)]
    second = model.predict(-x)
    for a, b, old in zip(first, second, kept, strict=True):
        assert not np.may_share_memory(a, b)
        assert not np.may_share_memory(a, model._programs.room.memory)
        assert_same_bits(a, old)
        a.fill(7)
    for again, old in zip(model.predict(x), kept, strict=True):
        assert_same_bits(again, old)


def test_errors_are_as_before_the_program():
    model, x = made(residual_net)
    repeated(model, x)
    for call in (model.predict, model.forward):
        with pytest.raises(TypeError, match="float32"):
            call(x.astype(np.float64))
        with pytest.raises(ValueError, match=r"must have shape \(N, 20, 18, 4\)"):
            call(x[:, 1:])
    assert_same_bits(model.forward(x[:, ::-1, ::-1])[0], plain(model, np.ascontiguousarray(x[:, ::-1, ::-1]))[0])
    assert model.predict(x[:0]).shape == (0, 5)


def test_many_threads_of_python_share_a_model():
    model, x = made(residual_net)
    xs = [np.ascontiguousarray(x + i) for i in range(6)] + [x[:1] - i for i in range(6)]
    want, wrong = [plain(model, one)[0] for one in xs], []

    def work(start):
        for i in range(start, start + 60):
            if not np.array_equal(model.predict(xs[i % 12]), want[i % 12]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(5 * n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert model._programs.kept


def test_few_programs_are_kept():
    model = Sequential([Conv2D(4, 3, padding=1), GlobalAvgPool2D()], input_shape=(8, 8, 2), rng=0)
    for n in range(1, 60):
        repeated(model, np.ones((n, 8, 8, 2), np.float32))
    assert len(model._programs.kept) == program.MOST
    assert len(model._programs.seen) <= program.SEEN


def test_copies_of_a_model_have_programs_of_their_own():
    model, x = made(residual_net)
    repeated(model, x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not twin._programs.kept
        twin.layers["conv2d_1"].params["w"].writable()[...] = 0
        agrees(twin, x)
        agrees(model, x)


def test_layers_of_ones_own_keep_to_the_ordinary_way():
    class Count(ReLU):
        calls = 0

        def _forward(self, x, training):
            Count.calls += 1
            return super()._forward(x, training)

    model = Sequential([Conv2D(4, 3), Count()], input_shape=(8, 8, 2), rng=0)
    for _ in range(5):
        model.forward(np.ones((1, 8, 8, 2), np.float32))
    assert Count.calls == 5
    assert not model._programs.kept


def test_a_model_of_ones_own_keeps_to_the_ordinary_way():
    class Gate(Sequential):
        closed = False

        def forward(self, x, training=False, **how):
            return (np.zeros_like(x) if self.closed else x), None

    gate, image = Gate([ReLU()], rng=0), Input((6, 6, 3))
    model = Model(image, Conv2D(2, 3, bias=False)(gate(image)), rng=0)
    x = np.ones((1, 6, 6, 3), np.float32)
    for _ in range(3):
        assert model.predict(x).any()
    gate.closed = True
    assert not model.predict(x).any()


def test_inputs_of_many_axes_and_several_outputs(monkeypatch):
    deep = Sequential([Flatten(), Dense(4)], rng=0, input_shape=(2, 1, 1, 1, 1, 3))
    x = np.ones((3, 2, 1, 1, 1, 1, 3), np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(deep.predict(x), deep._folded.infer([x])[0])
    image, calls = Input((6, 6, 3)), []
    model = Model(image, [Conv2D(2, 3)(image), image], rng=0)
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *a, **how: calls.append(a) or forward(*a, **how))
    x = np.ones((2, 6, 6, 3), np.float32)
    maps, same = model.predict(x)
    assert len(calls) == 1
    assert maps.shape == (2, 4, 4, 2)
    assert not np.may_share_memory(same, x)
