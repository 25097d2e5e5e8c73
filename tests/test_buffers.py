"""Running statistics: learnt in training, used afterwards, saved and loaded, never trained."""

from __future__ import annotations

import numpy as np

import convkit
from convkit.layers import GELU, BatchNorm, Conv2D, Dense, Dropout, Flatten


def test_batch_norm_learns_the_statistics_and_uses_them_afterwards(rng):
    layer = BatchNorm(0.5)
    layer.build((6, 3), rng, np.float64)
    x = rng.standard_normal((40, 6, 3)) * 3 + 5
    for _ in range(30):
        layer.forward(x, training=True)
    np.testing.assert_allclose(layer.buffers["mean"], x.mean(axis=(0, 1)))
    np.testing.assert_allclose(layer.buffers["var"], x.reshape(-1, 3).var(axis=0, ddof=1))
    want = (x - x.mean(axis=(0, 1))) / np.sqrt(x.reshape(-1, 3).var(axis=0, ddof=1) + 1e-5)
    np.testing.assert_allclose(layer.forward(x)[0], want, rtol=1e-6, atol=1e-6)
    assert set(layer.saved) == {"w", "b", "mean", "var"}


def test_a_model_keeps_them_in_its_file(tmp_path, rng):
    model = convkit.Sequential(
        [Conv2D(4, 3, bias=False), BatchNorm(activation="relu"), GELU(), Flatten(), Dropout(0.2), Dense(2)], rng=0
    )
    x = rng.standard_normal((200, 6, 6, 1)).astype(np.float32)
    y = (x[:, 2:4, 2:4].sum(axis=(1, 2, 3)) > 0).astype(np.int64)
    model.fit(x, y, epochs=20, optimizer=convkit.optim.Adam(0.02), verbose=0)
    assert model.evaluate(x, y)["accuracy"] > 0.85
    assert not any(name.endswith(("mean", "var")) for name in model.params)
    statistics = model.layers[1].buffers
    assert abs(statistics["var"] - 1).max() > 0.01
    model.save(tmp_path / "model")
    again = convkit.load_model(tmp_path / "model")
    for name, values in again.layers[1].buffers.items():
        np.testing.assert_array_equal(values, statistics[name])
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.fit(x, y, epochs=1, verbose=0)
    assert not np.array_equal(again.layers[1].buffers["mean"], statistics["mean"])


def test_a_copy_has_its_own(rng):
    import copy

    layer = BatchNorm()
    layer.build((3,), rng, np.float64)
    other = copy.deepcopy(layer)
    other.forward(rng.standard_normal((5, 3)), training=True)
    assert not layer.buffers["mean"].any()
    assert other.buffers["mean"].any()
