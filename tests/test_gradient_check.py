"""gradient_check finds what is wrong, says where, and accepts what is right."""

from __future__ import annotations

import numpy as np
import pytest

from convkit import gradient_check
from convkit.layers import BatchNorm, Conv2D, Dense, Dropout, Layer, Multiply


class Scale(Layer):
    """y = x * w + b, with an error that the class can be given."""

    wrong = ""

    def param_shapes(self, input_shape):
        return {"w": input_shape[-1:], "b": input_shape[-1:]}

    def _forward(self, x, training):
        w, b = self.params.values()

        def backward(dy, needs_input):
            w.grad += (dy * x).sum(axis=0) * (1.01 if self.wrong == "w" else 1)
            b.grad += 0 if self.wrong == "b" else dy.sum(axis=0)
            return dy.T if self.wrong == "shape" else dy * w.value + (np.nan if self.wrong == "x" else 0)

        return x * w.value + b.value, backward if training else None


def test_a_right_layer_of_ones_own_passes_in_float32_too(rng):
    layer = Scale()
    layer.build((3,), rng, np.float32)
    before = layer.params["w"].value.copy()
    errors = gradient_check(layer, rng.standard_normal((4, 3)).astype(np.float32))
    assert errors.keys() == {"x", "w", "b"}
    assert max(errors.values()) < 1e-8
    np.testing.assert_array_equal(layer.params["w"].value, before)
    assert not layer.params["w"].grad.any()
    assert layer.dtype == np.float32


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("w", r"Scale 'mine': the gradient of w is wrong: at \(\d,\) backward gives .*, finite .* error 0.00\d+ > 1e-06"),
        ("b", r"the gradient of b is wrong: at \(\d,\) backward gives 0, .* relative error 1 > 1e-06"),
        ("x", r"the gradient of x is wrong: at \(0, 0\) backward gives nan"),
        ("shape", r"the gradient of x has shape \(3, 4\), wanted \(4, 3\)"),
    ],
)
def test_a_wrong_gradient_is_named(wrong, words, rng):
    layer = Scale(name="mine")
    layer.wrong = wrong
    with pytest.raises(ValueError, match=words):
        gradient_check(layer, rng.standard_normal((4, 3)))


def test_drawn_masks_and_statistics_are_the_same_in_each_pass(rng):
    gradient_check(Dropout(0.5), rng.standard_normal((4, 30)))
    layer = BatchNorm()
    layer.build((3,), rng)
    gradient_check(layer, rng.standard_normal((5, 3)))
    assert not layer.buffers["mean"].any()


def test_large_arrays_are_sampled_and_merges_get_tuples(rng):
    assert gradient_check(Dense(40), rng.standard_normal((3, 50)), samples=20).keys() == {"x", "w", "b"}
    gradient_check(Conv2D(2, 3, activation="relu"), rng.standard_normal((1, 5, 5, 1)))
    assert gradient_check(Multiply(), tuple(rng.standard_normal((2, 3, 4)))).keys() == {"x[0]", "x[1]"}


def test_wrong_arguments(rng):
    with pytest.raises(TypeError, match="layer must be a layer or a model, got LayerType"):
        gradient_check(Dense, rng.standard_normal((2, 3)))
    with pytest.raises(ValueError, match=r"put Flatten\(\) before it"):
        gradient_check(Dense(2), rng.standard_normal((2, 3, 4)))
