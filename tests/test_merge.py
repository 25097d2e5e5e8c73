"""Add, Concat, Multiply."""

from __future__ import annotations

import json

import numpy as np
import pytest

import convkit
from convkit import gradient_check
from convkit.layers import (
    Add,
    Concat,
    Conv2D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxUnpool1D,
    MaxUnpool2D,
    MaxUnpool3D,
    MinPool2D,
    Multiply,
)

CASES = [
    (Add(), [(3, 4, 2), (3, 4, 2)], lambda a, b: a + b),
    (Add(), [(5,), (5,), (5,)], lambda a, b, c: a + b + c),
    (Multiply(), [(3, 4, 2), (3, 4, 2)], lambda a, b: a * b),
    (Multiply(), [(3, 4, 2), (1, 1, 2), (3, 1, 1)], lambda a, b, c: a * b * c),
    (Concat(), [(3, 4, 2), (3, 4, 1), (3, 4, 3)], lambda *a: np.concatenate(a, axis=-1)),
    (Concat(axis=1), [(3, 4), (2, 4)], lambda *a: np.concatenate(a, axis=1)),
    (Concat(-2), [(3, 4), (2, 4)], lambda *a: np.concatenate(a, axis=1)),
]


@pytest.mark.parametrize(("layer", "shapes", "definition"), CASES)
def test_merging_is_what_numpy_says(layer, shapes, definition, rng):
    for dtype in (np.float32, np.float64):
        announced = layer.build(tuple(shapes), rng, dtype)
        for n in (0, 3):
            x = [rng.standard_normal((n, *shape)).astype(dtype) for shape in shapes]
            y, backward = layer.forward(tuple(x), training=True)
            np.testing.assert_allclose(y, definition(*x), rtol=1e-6)
            assert y.shape == (n, *announced)
            assert y.dtype == dtype
            dx = backward(y)
            assert [d.shape for d in dx] == [a.shape for a in x]
            assert layer.forward(x)[1] is None
    again = type(layer)(**json.loads(json.dumps(layer.config())))
    assert repr(again) == repr(layer)
    gradient_check(layer, tuple(rng.standard_normal((2, *shape)) for shape in shapes))


def test_shapes_that_do_not_fit_are_named():
    for layer, shapes, words in (
        (Add(), ((3, 4), (4, 3)), r"Add: tensors must have one shape, got \(3, 4\), \(4, 3\)"),
        (Add(), ((3, 4),), "Add: needs 2 tensors or more"),
        (Add(), (3, 4), "Add: needs 2 tensors or more"),
        (Multiply(), ((3, 4), (2, 4)), "Multiply: sizes must be equal, or 1"),
        (Multiply(), ((3, 4), (4,)), "Multiply: tensors must have the same number of axes"),
        (Concat(), ((3, 4), (2, 4)), "Concat: sizes must agree but along axis -1"),
        (Concat(3), ((3, 4), (3, 4)), r"Concat: axis must be in 1\.\.2, or -1\.\.-2, got 3"),
        (Concat(0), ((3, 4), (3, 4)), "Concat: axis must be"),
        (Concat(-3), ((3, 4), (3, 4)), "Concat: axis must be"),
    ):
        with pytest.raises(ValueError, match=words):
            layer.output_shape(shapes)
    with pytest.raises(TypeError, match="Concat: axis must be an int"):
        Concat("1")


UNPOOLS = [
    (MaxPool1D, MaxUnpool1D, {"kernel_size": 2}, (8, 3)),
    (MaxPool2D, MaxUnpool2D, {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0)}, (7, 8, 3)),
    (MinPool2D, MaxUnpool2D, {"kernel_size": 3, "stride": 1}, (5, 6, 2)),
    (MaxPool3D, MaxUnpool3D, {"kernel_size": 2}, (4, 2, 6, 2)),
]


@pytest.mark.parametrize(("pool", "unpool", "how", "shape"), UNPOOLS, ids=lambda case: getattr(case, "__name__", ""))
def test_unpooling_puts_values_where_pooling_found_them(pool, unpool, how, shape, rng, tmp_path):
    x = convkit.Input(shape)
    y, indices = pool(**how, return_indices=True)(x)
    model = convkit.Model(x, unpool(**how, output_size=shape[:-1])(y, indices), rng=0, dtype=np.float64)
    a = rng.standard_normal((2, *shape))
    got = model.predict(a)
    assert ((got == 0) | (got == a)).all()
    op, undo = (getattr(convkit, f"{kind}{len(shape) - 1}d") for kind in (pool.__name__[:3].lower() + "_pool", "max_unpool"))
    np.testing.assert_array_equal(got, undo(*op(a, **how, return_indices=True), **how, output_size=shape[:-1]))
    assert max(gradient_check(model, a).values()) < 1e-6
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(convkit.load_model(tmp_path / "m.safetensors").predict(a), got)


def test_unpooling_refuses_what_does_not_fit(rng):
    x = convkit.Input((8, 8, 3))
    y, indices = MaxPool2D(2, return_indices=True)(x)
    for given, words in (((y, x), "needs two inputs of one shape"), ((y,), "needs 2 tensors or more")):
        with pytest.raises(ValueError, match=words):
            MaxUnpool2D(2)(*given)
    with pytest.raises(ValueError, match="the output size along h must be from 7 to 9, got 10"):
        MaxUnpool2D(2, output_size=(10, 8))(y, indices)
    layer = MaxUnpool2D(2)
    layer.build(((4, 4, 3), (4, 4, 3)), rng)
    values, places = np.ones((1, 4, 4, 3), np.float32), np.full((1, 4, 4, 3), 64)
    with pytest.raises(ValueError, match="index 64 out of range for an output of 8x8"):
        layer.forward((values, places))
    with pytest.raises(TypeError, match="indices must be integers"):
        layer.forward((values, values))
    z = Conv2D(2, 1)(y)                                 # nobody reads the indices
    assert max(gradient_check(convkit.Model(x, z, rng=0, dtype=np.float64), rng.standard_normal((1, 8, 8, 3))).values()) < 1e-6
