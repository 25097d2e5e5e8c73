"""Sequential: build, summary, fit, evaluate, predict."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import convkit
from convkit import Sequential
from convkit.layers import Conv1D, Conv2D, ConvTranspose1D, Dense, Dropout, Flatten, MaxPool2D, ReLU
from convkit.losses import cross_entropy
from convkit.optim import SGD, Adam


def images(rng, n: int = 60, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row (class 0), column (1) or neither (2)."""
    x, y = rng.standard_normal((n, 6, 6, 1)).astype(dtype) / 2, np.arange(n) % 3
    x[y == 0, 2] += 2
    x[y == 1, :, 3] += 2
    return x, y


def small(rng=0, **how) -> Sequential:
    return Sequential([Conv2D(4, 3), ReLU(), MaxPool2D(), Dropout(0.1), Flatten(), Dense(3)], rng=rng, **how)


def weights(model: Sequential) -> list[np.ndarray]:
    return [param.value.copy() for param in model.params.values()]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.05, momentum=0.9)])
def test_a_model_learns(dtype, optimizer, rng):
    x, y = images(rng, 150, dtype)
    model = small(dtype=dtype)
    history = model.fit(x, y, epochs=15, optimizer=optimizer, validation_split=0.2, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert all(len(values) == 15 for values in history.history.values())
    assert not history.interrupted
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    test = images(rng, 90, dtype)
    figures = model.evaluate(*test)
    assert figures["accuracy"] > 0.9
    logits = model.predict(test[0], batch_size=7)
    assert logits.dtype == dtype
    assert figures["loss"] == pytest.approx(cross_entropy(logits, test[1])[0], rel=1e-5)


def test_the_gradient_of_a_whole_model_is_finite_differences(rng):
    x, y = images(rng, 5, np.float64)
    layers = [Conv2D(3, 3, padding="same", activation="relu"), MaxPool2D(), Flatten(), Dense(4, activation="relu"), Dense(3)]
    model = Sequential(layers, input_shape=(6, 6, 1), rng=0, dtype=np.float64)
    _, backward = model.forward(x, training=True)
    dx = backward(cross_entropy(model.predict(x), y)[1])
    assert dx.shape == x.shape
    for param in model.params.values():
        direction, start, h = rng.standard_normal(param.value.shape), param.value.copy(), 1e-6
        losses = []
        for sign in (1, -1):
            param.value = start + sign * h * direction
            losses.append(cross_entropy(model.predict(x), y)[0])
        param.value = start
        assert np.vdot(param.grad, direction) == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-6)


def test_the_first_layer_is_spared_the_gradient_of_its_input(monkeypatch, rng):
    asked = []
    grad = Conv2D._grad
    monkeypatch.setattr(Conv2D, "_grad", lambda *args, needs, **how: asked.append(needs) or grad(*args, needs=needs, **how))
    model = Sequential([Dropout(0), Conv2D(2, 3), ReLU(), Conv2D(2, 3, bias=False), Flatten(), Dense(3)], rng=0)
    x, y = images(rng, 4)
    model.fit(x, y, batch_size=4, verbose=0)
    assert asked == [("x", "w"), ("w", "b")]


def test_the_same_seed_gives_the_same_model(rng):
    x, y = images(rng)

    def run(seed, **how):
        model = small(rng=seed)
        model.fit(x, y, epochs=2, verbose=0, validation_split=0.1, **how)
        return weights(model)

    assert same(run(0), run(0))
    assert same(run(np.random.default_rng(0)), run(0))
    assert same(run(0, rng=5), run(0, rng=5))
    assert not same(run(0), run(1))
    assert not same(run(0, rng=5), run(0, rng=6))


def test_the_memory_of_the_data_does_not_matter(rng):
    x, y = images(rng)
    expected = small()
    expected.fit(x, y, verbose=0)
    wide = np.zeros((120, 6, 6, 2), np.float32)
    wide[::2, ..., 1:] = x
    for other in (wide[::2, ..., 1:], np.asfortranarray(x), x.astype(">f4"), x.tolist()):
        model = small()
        model.fit(np.asarray(other, np.float32) if isinstance(other, list) else other, y.tolist(), verbose=0)
        assert same(weights(model), weights(expected))


def test_a_run_stopped_and_resumed_gives_the_same_bits(rng):
    x, y = images(rng)
    whole, parts, optimizer = small(), small(), Adam()
    whole.fit(x, y, epochs=4, verbose=0)
    parts.fit(x, y, epochs=2, optimizer=optimizer, verbose=0)
    parts, optimizer = copy.deepcopy((parts, optimizer))
    parts.fit(x, y, epochs=2, optimizer=optimizer, verbose=0)
    assert same(weights(whole), weights(parts))


def test_splitting_a_batch_does_not_change_a_prediction(rng):
    x, _ = images(rng)
    model = small(input_shape=(6, 6, 1))
    whole = model.predict(x)
    for batch_size in (1, 7, 10**9):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size), whole)
    assert model.predict(x[:0]).shape == (0, 3)


def test_fit_sees_each_sample_once_an_epoch_and_holds_out_a_share_of_each_class(rng):
    x, y = np.arange(200, dtype=np.float32)[:, None], np.repeat([0, 1, 2], [100, 60, 40])
    seen: list = []

    class Spy(Dense):
        def _forward(self, x, training):
            seen.append((training, x[:, 0].astype(int)))
            return super()._forward(x, training)

    Sequential([Spy(3)], rng=0).fit(x, y, epochs=2, batch_size=32, optimizer=SGD(1e-9), validation_split=0.15, verbose=0)
    trained = np.concatenate([rows for training, rows in seen if training])
    held = np.concatenate([rows for training, rows in seen if not training])
    assert len(trained) == 2 * 170
    assert set(trained[:170]) == set(trained[170:])
    assert not np.array_equal(trained[:170], trained[170:])
    assert set(held) | set(trained) == set(range(200))
    assert not set(held) & set(trained)
    assert all(abs(count - share) <= 1 for count, share in zip(np.bincount(y[held[:30]]), [15, 9, 6], strict=True))


def test_figures_are_means_over_samples_not_batches(rng):
    x, y = images(rng, 50)
    model = small(input_shape=(6, 6, 1))
    parts = model.evaluate(x, y, batch_size=32)
    whole = model.evaluate(x, y, batch_size=50)
    assert parts == pytest.approx(whole, rel=1e-5)
    history = model.fit(x, y, optimizer=SGD(1e-30), validation_data=(x, y), verbose=0).history
    assert history["val_loss"][0] == pytest.approx(whole["loss"], rel=1e-5)


def test_own_losses_metrics_and_callbacks(rng):
    x = rng.standard_normal((64, 3)).astype(np.float32)
    y = (x[:, :1] * 2 - x[:, 1:2]).astype(np.float32)

    def squared_error(outputs, targets):
        error = outputs - targets
        return float(np.mean(error**2)), 2 * error / error.size

    def worst(outputs, targets):
        return float(np.abs(outputs - targets).max())

    calls = []
    model = Sequential([Dense(1)], rng=0)
    history = model.fit(
        x, y, epochs=40, optimizer=Adam(0.1), loss=squared_error, metrics=[worst], verbose=0,
        callbacks=[lambda *args: calls.append(args)],
    )  # fmt: skip
    assert history.history["loss"][-1] < 1e-2
    assert model.evaluate(x, y, loss=squared_error, metrics=(worst,))["worst"] < 0.5
    assert [(m is model, epoch) for m, epoch, _ in calls] == [(True, i) for i in range(40)]
    assert calls[3][2] == {name: values[3] for name, values in history.history.items()}


def test_a_callback_may_change_the_samples_of_the_next_epoch(rng):
    x, y = images(rng)
    losses = small().fit(x, y, epochs=2, optimizer=SGD(1e-9), verbose=0, callbacks=[lambda *_: x.fill(0)]).history["loss"]
    assert losses[1] == pytest.approx(np.log(3), abs=1e-6)  # of nothing but zeros, all classes are alike
    assert losses[0] != pytest.approx(np.log(3), abs=1e-3)


def test_probabilities_as_targets(rng):
    x, y = images(rng, 90)
    model, twin = small(), small()
    model.fit(x, np.eye(3)[y], epochs=2, verbose=0)
    twin.fit(x, y, epochs=2, verbose=0)
    assert model.evaluate(x, y) == pytest.approx(twin.evaluate(x, y), rel=1e-4)


def test_probabilities_can_be_split(rng):
    x, y = images(rng, 40)
    history = small().fit(x, np.eye(3)[y], validation_split=0.25, verbose=0).history
    assert 0 <= history["val_accuracy"][0] * 10 <= 10


def test_models_may_share_layers_that_are_built(rng):
    x, y = images(rng)
    whole = small()
    whole.fit(x, y, verbose=0)
    first = Sequential(whole.layers[:3], input_shape=(6, 6, 1))
    assert first.params["conv2d_1.w"] is whole.params["conv2d_1.w"]
    maps = first.predict(x)
    np.testing.assert_array_equal(Sequential(whole.layers[3:], input_shape=maps.shape[1:]).predict(maps), whole.predict(x))
    before = weights(whole)
    for shape, dtype in (((6, 6, 2), np.float32), ((6, 6, 1), np.float64)):
        with pytest.raises(ValueError, match=r"layer conv2d_1 is built for float32 of shape \(6, 6, 1\)"):
            Sequential(whole.layers[:3], input_shape=shape, dtype=dtype)
    assert same(weights(whole), before)


def test_summary_counts_by_hand(capsys):
    model = Sequential([Conv2D(8, 3, padding=1), MaxPool2D(), Conv2D(16, 3, stride=2), Flatten(), Dense(10)],
                       input_shape=(8, 8, 1), rng=0)
    text = model.summary()
    assert capsys.readouterr().out == text + "\n"
    cells = [line.replace(", ", ",").split() for line in text.splitlines() if "-----" not in line]
    assert cells[1:] == [
        ["input", "(8,8,1)", "256", "B", "1x1", "1x1"],
        ["conv2d_1", "(8,8,8)", "2.0", "KiB", "80", "4,608", "3x3", "1x1"],
        ["max_pool2d_1", "(4,4,8)", "512", "B", "0", "0", "4x4", "2x2"],
        ["conv2d_2", "(1,1,16)", "64", "B", "1,168", "1,152", "8x8", "4x4"],
        ["flatten_1", "(16,)", "64", "B", "0", "0", "8x8", "4x4"],
        ["dense_1", "(10,)", "40", "B", "170", "160", "all"],
        ["total", "2.9", "KiB", "1,418", "5,920"],
        ["1,418", "parameters", "are", "trained."],
    ]
    assert len({len(line) for line in text.splitlines() if line.endswith("x4") or "-----" in line}) == 1


def test_summary_of_dilation_and_of_rows_of_numbers():
    text = Sequential([Conv1D(2, 3, dilation=4, stride=2), Conv1D(2, 3)], input_shape=(40, 1), rng=0).summary()
    assert [line.split()[-2] for line in text.splitlines()[2:5]] == ["1", "9", "13"]
    Sequential([Dense(2)], input_shape=(4,)).summary()


def test_summary_of_a_transposed_convolution_whose_outputs_lie_closer_than_its_inputs():
    layers = [Conv1D(2, 2, stride=2), ConvTranspose1D(1, 2, stride=2), Conv1D(2, 3)]
    text = Sequential(layers, input_shape=(40, 1), rng=0).summary()
    assert [line.split()[-2:] for line in text.splitlines()[2:6]] == [["1", "1"], ["2", "2"], ["2", "1"], ["4", "1"]]


def test_a_loss_that_is_not_finite_raises_unless_that_is_unwanted(rng):
    x, y = images(rng, 6)
    x[0, 0, 0] = np.nan
    model = small(input_shape=(6, 6, 1))
    before = weights(model)
    with pytest.raises(ValueError, match="fit: the loss is nan in step 1 of epoch 1: x holds numbers that are not finite"):
        model.fit(x, y, verbose=0)
    assert same(weights(model), before)
    assert np.isnan(model.fit(x, y, verbose=0, check_finite=False).history["loss"][0])


def test_progress_is_one_bar_or_lines_or_nothing(rng, capfd, monkeypatch):
    pytest.importorskip("tqdm")
    x, y = images(rng)
    small().fit(x, y, epochs=2, verbose=0)
    assert capfd.readouterr() == ("", "")
    small().fit(x, y, epochs=2, validation_split=0.2)
    out, err = capfd.readouterr()
    assert not out
    assert "epoch 2/2: 100%" in err
    assert all(f"{name}=" in err for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    assert err.count("\n") == 1
    lines = []
    for missing, verbose in ((False, 2), (True, 1)):
        if missing:
            monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        small().fit(x, y, epochs=2, verbose=verbose)
        lines.append([line.split("  ")[:3] for line in capfd.readouterr().err.splitlines()])
    assert lines[0] == lines[1]
    assert [line[0] for line in lines[0]] == ["epoch 1/2", "epoch 2/2"]


def test_ctrl_c_ends_the_run_after_the_step_with_the_model_intact(rng):
    x, y = images(rng)
    model = small()

    def press(model, epoch, logs):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(RuntimeWarning, match="interrupted after 2 of 50 epochs") as told:
        history = model.fit(x, y, epochs=50, verbose=0, callbacks=[press])
    assert told[0].filename == __file__
    assert history.interrupted
    assert len(history.history["loss"]) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert np.isfinite(model.predict(x)).all()
    assert not model.fit(x, y, verbose=0).interrupted


def test_ctrl_c_at_the_very_end_is_not_lost(rng):
    x, y = images(rng)
    with pytest.warns(RuntimeWarning, match="interrupted after 1 of 1 epochs"):
        history = small().fit(x, y, verbose=0, callbacks=[lambda *_: os.kill(os.getpid(), signal.SIGINT)])
    assert history.interrupted


def test_a_second_ctrl_c_raises_at_once_and_handlers_of_others_stay(rng):
    x, y = images(rng)

    def press_twice(*_):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        small().fit(x, y, epochs=50, verbose=0, callbacks=[press_twice])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    pressed = []
    previous = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        history = small().fit(x, y, epochs=2, verbose=0, callbacks=[press_twice])
    finally:
        signal.signal(signal.SIGINT, previous)
    assert len(history.history["loss"]) == 2
    assert len(pressed) == 4


def test_fit_in_another_thread(rng):
    x, y = images(rng)
    result = []
    thread = threading.Thread(target=lambda: result.append(small().fit(x, y, verbose=0)))
    thread.start()
    thread.join()
    expected = small().fit(x, y, verbose=0)
    assert result[0].history["loss"] == expected.history["loss"]


def test_importing_convkit_imports_nothing_but_numpy():
    code = "import sys, convkit; print([m for m in ('tqdm', 'rich', 'matplotlib', 'PIL', 'safetensors') if m in sys.modules])"
    path = os.path.dirname(os.path.dirname(convkit.__file__))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=path, check=True)
    assert result.stdout.strip() == "[]"
