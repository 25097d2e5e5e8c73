"""Add, Concat, Multiply."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convkit import gradient_check
from convkit.layers import Add, Concat, Multiply

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
