"""The ready networks: published parameter counts, small ones that learn."""

from __future__ import annotations

import numpy as np
import pytest

import convkit
from convkit import models
from convkit.optim import Adam

# at their full size; VGG-16 below, by arithmetic
PUBLISHED = [
    (models.lenet, 61_706, 416_520),
    (models.resnet20, 272_474, 40_813_184),
    (models.resnet18, 11_689_512, 1_814_073_344),
    (models.resnet50, 25_557_032, 4_089_184_256),
    (models.mobilenet_v2, 3_504_872, 300_774_272),
]


@pytest.mark.parametrize(("make", "parameters", "work"), PUBLISHED, ids=lambda value: getattr(value, "__name__", None))
def test_parameters_and_work_are_those_published(make, parameters, work):
    model = make(rng=0)
    assert model.count_params() == parameters
    assert model.multiply_adds() == work


def test_vgg16_has_the_published_number_of_parameters():
    small = models.vgg16(1000, (32, 32, 3), rng=0, width=1 / 8)
    wide = {name: np.array(param.value.shape) for name, param in small.params.items()}
    total = 0
    for name, shape in wide.items():
        full = shape.copy()
        full[0] *= 1 if name.startswith("classes") else 8
        if name.endswith(".w") and not name.startswith("block1_conv1"):
            full[-1] *= 8 * (49 if name == "dense1.w" else 1)  # 7 x 7 positions instead of one
        total += int(full.prod())
    assert total == 138_357_544


SMALL = [
    (models.lenet, (12, 12, 1), {}),
    (models.resnet20, (8, 8, 1), {"width": 4}),
    (models.resnet18, (32, 32, 1), {"width": 4}),
    (models.resnet50, (32, 32, 1), {"width": 2}),
    (models.mobilenet_v2, (32, 32, 1), {"width": 0.1}),
    (models.vgg16, (32, 32, 1), {"width": 1 / 32}),
]


@pytest.mark.parametrize(("make", "shape", "how"), SMALL, ids=lambda value: getattr(value, "__name__", None))
def test_small_ones_learn_and_come_back_from_a_file(make, shape, how, rng, tmp_path):
    pytest.importorskip("safetensors")
    model = make(3, shape, rng=0, **how)
    assert model.output_shape() == (3,)
    x, y = rng.standard_normal((24, *shape)).astype(np.float32), np.arange(24) % 3
    losses = model.fit(x, y, epochs=10, batch_size=12, optimizer=Adam(0.001), verbose=0).history["loss"]
    assert min(losses[4:]) < losses[0]
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(convkit.load_model(tmp_path / "model").predict(x), model.predict(x))
    assert all(param.value.any() for name, param in model.params.items() if name.endswith(".w"))


def test_unet_learns_where_things_are(rng):
    model = models.unet(2, (16, 16, 1), width=4, depth=2, rng=0)
    x = rng.standard_normal((8, 16, 16, 1)).astype(np.float32)
    y = (x[..., 0] > 0).astype(np.int64)
    model.fit(x, y, epochs=25, batch_size=4, optimizer=Adam(0.02), verbose=0)
    assert model.evaluate(x, y)["accuracy"] > 0.9
    with pytest.raises(ValueError, match=r"unet: height and width must be multiples of 4, got \(18, 16, 1\)"):
        models.unet(2, (18, 16, 1), depth=2)


def test_the_same_seed_gives_the_same_network_in_both_dtypes():
    single, double = (models.resnet20(2, (8, 8, 1), width=4, rng=3, dtype=dtype) for dtype in ("float32", "float64"))
    for name, param in double.params.items():
        np.testing.assert_array_equal(single.params[name].value, param.value.astype(np.float32))


def test_residual_blocks_run_as_fused_steps():
    model = models.resnet20(2, (8, 8, 1), width=4, rng=0)
    kinds = [type(step.layer).__name__ for step in model._fused.steps]
    assert kinds.count("BatchNorm") == kinds.count("Conv2D") == 21
    assert not {"ReLU", "Add"} & set(kinds)
    assert [type(step.layer).__name__ for step in model._folded.steps] == ["Folded"] * 21 + ["GlobalAvgPool2D", "Dense"]
