"""Augmentation: what each transform does, that it depends on (seed, row) alone, and that bad arguments are told at once."""

import numpy as np
import pytest

import convkit
from convkit.data import ArrayDataset, Augmented, ahead, augment
from convkit.data.draws import Draws
from convkit.layers import Dense

ALL = [
    augment.Flip(),
    augment.Flip("vertical", p=1),
    augment.Crop((5, 6), pad=2),
    augment.Crop(4, fill="edge"),
    augment.Shift(),
    augment.Shift(3, fill="edge", p=0.5),
    augment.Rotate(30),
    augment.Rotate(180, fill=1, p=0.5),
    augment.Scale(),
    augment.Scale(0.5, 0.9, fill="edge"),
    augment.Brightness(),
    augment.Contrast(0.7),
    augment.Noise(0.1),
    augment.Noise(0.3, p=0.4),
    augment.Cutout(),
    augment.Cutout(3, fill=1, p=0.5),
    augment.MixUp(1.0),
]
DTYPES = [np.uint8, np.float32, np.float64]


def images(dtype=np.uint8, n=40, shape=(8, 9, 3)):
    x = np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(dtype)
    return x if dtype == np.uint8 else x / dtype(255)


def augmented(*transforms, dtype=np.uint8, x=None):
    x = images(dtype) if x is None else x
    return Augmented(ArrayDataset(x, np.arange(len(x)) % 5), transforms)


def drawn(transform, x, seed=0):
    return transform(x, Draws(seed, np.arange(len(x)), 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_a_sample_depends_on_seed_and_row_alone(transform, dtype):
    data = augmented(transform, dtype=dtype)
    rows = np.arange(len(data))
    x, y = data.batch(rows, 7)
    assert x.dtype == dtype
    assert x.shape == (len(data), *data.shape)
    mixed = np.random.default_rng(1).permutation(rows)
    for some in (mixed, rows[::-3], [11], [3, 3], []):
        part, labels = data.batch(np.array(some, int), 7)
        assert np.array_equal(part, x[np.array(some, int)])
        assert np.array_equal(labels, y[np.array(some, int)])
    assert not np.array_equal(data.batch(rows, 8)[0], x) or transform.p == 1


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_samples_are_not_all_changed_alike(transform):
    x = np.broadcast_to(images(n=1), (60, 8, 9, 3))
    changed, _ = Augmented(ArrayDataset(x, np.zeros(60, int)), [transform]).batch(range(60), 3)
    kinds = len(np.unique(changed.reshape(60, -1), axis=0))
    assert kinds >= (1 if getattr(transform, "direction", "") == "vertical" or isinstance(transform, augment.MixUp) else 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_the_images_given_stay_as_they_are_and_nothing_is_random_without_a_seed(transform, dtype):
    x = images(dtype)
    data = Augmented(ArrayDataset(x, np.arange(40) % 5), [transform])
    data.batch(range(40), 0)
    drawn_from_views = transform(x[:8], Draws(0, np.arange(8), 0)) if isinstance(transform, augment.Transform) else None
    assert drawn_from_views is None or len(drawn_from_views) == 8
    assert np.array_equal(x, images(dtype))
    first, second = data.batch(range(40))[0], data.batch(range(40))[0]
    assert np.array_equal(first, second)
    assert first.shape[1:] == data.shape
    if not isinstance(transform, augment.Crop):
        assert np.array_equal(first, x)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bits_do_not_depend_on_threads(workers):
    data = augmented(*ALL)
    batches = np.random.default_rng(0).permutation(40).reshape(5, 8)
    plain, threaded = (list(ahead(data, batches, 3, w)) for w in (0, workers))
    for one, other in zip(plain, threaded, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_transforms_follow_one_another_with_draws_of_their_own():
    one, two = augment.Shift(2), augment.Shift(2)
    x = images()
    once, twice = (augmented(*t, x=x).batch(range(40), 1)[0] for t in ([one], [one, two]))
    assert np.array_equal(twice, two(once, Draws(1, np.arange(40), 1)))
    assert not np.array_equal(twice, two(once, Draws(1, np.arange(40), 0)))


def test_flip():
    x = images(n=200)
    flipped = drawn(augment.Flip(p=0.3), x)
    turned = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, x, strict=True)])
    assert np.array_equal(flipped[~turned], x[~turned])
    assert 30 < turned.sum() < 90
    assert np.array_equal(drawn(augment.Flip("vertical", p=1), x), x[:, ::-1])
    assert np.array_equal(drawn(augment.Flip(p=0), x), x)


def test_crop_and_shift_take_every_place():
    x = np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5, 1).repeat(400, axis=0)
    room = np.pad(x[0, ..., 0], 1)
    crops = {bytes(room[i : i + 4, j : j + 4]) for i in range(4) for j in range(4)}
    assert {bytes(y.copy()) for y in drawn(augment.Crop(4, pad=1), x)} == crops
    room = np.pad(x[0, ..., 0], 1, mode="edge")
    shifts = {bytes(room[i : i + 5, j : j + 5]) for i in range(3) for j in range(3)}
    assert {bytes(y.copy()) for y in drawn(augment.Shift(0.2, fill="edge"), x)} == shifts
    assert np.array_equal(augment.Crop(3, pad=2).plain(x)[0, ..., 0], x[0, 1:4, 1:4, 0])


class Turn(augment.Rotate):
    """By an angle of one's own choice."""

    angle = 0.0

    def _matrices(self, draw):
        cos, sin = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        return np.tile(np.array([[cos, -sin], [sin, cos]]), (len(draw), 1, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("angle", "quarters"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_turns_by_a_right_angle_are_exact(dtype, angle, quarters):
    x, turn = images(dtype, shape=(7, 7, 2)), Turn(fill=1)
    turn.angle = angle
    wanted = np.stack([np.rot90(image, -quarters) for image in x])
    np.testing.assert_allclose(drawn(turn, x), wanted, atol=1e-6)


def test_rotation_is_bilinear():
    """A plane stays a plane, wherever its corners do not count."""
    rows, columns = np.indices((21, 21)) - 10.0
    x = (2 * rows - columns)[None, ..., None].repeat(3, 0)
    turn = Turn(fill="edge")
    turn.angle = 20.0
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    wanted = 2 * (cos * rows - sin * columns) - (sin * rows + cos * columns)
    np.testing.assert_allclose(drawn(turn, x)[0, 4:-4, 4:-4, 0], wanted[4:-4, 4:-4], atol=1e-12)


def test_scale_enlarges_about_the_centre_and_fills():
    x = np.zeros((50, 9, 9, 1))
    x[:, 3:6, 3:6] = 1
    shrunk = drawn(augment.Scale(0.4, 0.5, fill=7), x)
    np.testing.assert_allclose(shrunk[:, 0], 7)
    np.testing.assert_allclose(drawn(augment.Scale(4, 5), x)[:, 3:6, 3:6], 1)
    area = drawn(augment.Scale(0.5, 2), x).sum(axis=(1, 2, 3))
    assert area.min() < 5 < 9 < area.max()
    np.testing.assert_allclose(drawn(augment.Scale(1, 1), x), x)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.float32, 1), (np.float64, 1)])
def test_brightness_adds_the_same_everywhere(dtype, full):
    x = (images(dtype, n=300) / 4 + full / 4).astype(dtype)
    moved = (drawn(augment.Brightness(0.2), x).astype(float) - x).reshape(300, -1) / full
    assert np.ptp(moved, axis=1).max() < (1.5 / 255 if dtype == np.uint8 else 1e-5)
    assert -0.203 < moved.min() < -0.17
    assert 0.17 < moved.max() < 0.203
    assert dtype != np.uint8 or drawn(augment.Brightness(1.0), images()).max() == 255


@pytest.mark.parametrize("dtype", DTYPES)
def test_contrast_keeps_the_mean(dtype):
    x = images(dtype, n=200)
    axes, full = (1, 2, 3), 255 if dtype == np.uint8 else 1
    x = (x / 3 + full / 3).astype(dtype)
    y = drawn(augment.Contrast(0.5), x)
    np.testing.assert_allclose(y.mean(axes), x.mean(axes), atol=0.01 * full)
    factor = y.std(axes) / x.std(axes)
    assert 0.48 < factor.min() < 0.6
    assert 1.4 < factor.max() < 1.52


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.float32, 1), (np.float64, 1)])
def test_noise_is_normal(dtype, full):
    x = np.full((50, 16, 16, 3), full / 2).astype(dtype)
    noise = (drawn(augment.Noise(0.1), x).astype(float) - x) / full
    assert abs(noise.mean()) < 0.002
    assert abs(noise.std() - 0.1) < 0.002
    assert 0.66 < (np.abs(noise) < 0.1).mean() < 0.70


def test_cutout_covers_a_square():
    x = images(np.float64, n=500, shape=(8, 10, 2)) + 1
    covered = drawn(augment.Cutout(3, fill=-1), x) == -1
    assert np.array_equal(covered[..., 0], covered[..., 1])
    areas = covered[..., 0].sum(axis=(1, 2))
    assert set(np.unique(areas)) == {4, 6, 9}
    assert covered.any(axis=0).all()
    assert np.array_equal(drawn(augment.Cutout(3, fill=-1), x)[~covered], x[~covered])
    assert (drawn(augment.Cutout(0.5, fill=-1), x) == -1)[..., 0].sum(axis=(1, 2)).max() == 16


@pytest.mark.parametrize("dtype", DTYPES)
def test_mixup_mixes_images_and_targets_alike(dtype):
    x = np.arange(20).astype(dtype)[:, None, None, None] * np.ones((1, 2, 2, 1), dtype)
    data = Augmented(ArrayDataset(x, np.arange(20)), [augment.MixUp(1.0, classes=22)])
    mixed, y = data.batch(range(20), 4)
    assert y.shape == (20, 22)
    assert y.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], y @ np.arange(22), atol=0.51 if dtype == np.uint8 else 1e-5)
    assert ((y > 0.02).sum(axis=1) == 2).sum() > 12
    assert data.batch([3])[1].tolist() == [3]
    assert data.targets.tolist() == list(range(20))


def test_mixup_takes_targets_that_are_no_classes_and_samples_of_any_shape():
    y = np.random.default_rng(0).random((30, 2))
    data = Augmented(ArrayDataset(np.concatenate([y, y], axis=1), y), [augment.MixUp(2.0)])
    x, mixed = data.batch(range(30), 0)
    np.testing.assert_allclose(x[:, :2], mixed)
    assert not np.allclose(mixed, y)


def test_a_subset_is_mixed_with_itself():
    x = np.zeros((30, 2, 2, 1))
    x[20:] = 1
    part = Augmented(ArrayDataset(x, np.arange(30) // 20), [augment.Flip(), augment.MixUp(1.0)]).subset(range(20))
    mixed, y = part.batch(range(20), 0)
    assert not mixed.any()
    assert y.shape == (20, 2)
    assert (y[:, 0] == 1).all()


def test_fit_never_mixes_validation_samples_in():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 6)).astype(np.float32), np.arange(40) % 2
    seen = []

    class Watched(ArrayDataset):
        def _read(self, rows, seed):
            seen.append((set(rows.tolist()), seed is None))
            return super()._read(rows, seed)

    model = convkit.Sequential([Dense(2)], rng=0)
    model.fit(Augmented(Watched(x, y), [augment.MixUp(1.0)]), epochs=20, validation_split=0.25, verbose=0, batch_size=8)
    trained, held = (set().union(*(rows for rows, plain in seen if plain is wanted)) for wanted in (False, True))
    assert (len(trained), len(held)) == (30, 10)
    assert not trained & held


BAD = [
    (augment.Flip, ("sideways",)),
    (augment.Flip, ("horizontal", 1.5)),
    (augment.Flip, ("horizontal", float("nan"))),
    (augment.Flip, ("horizontal", True)),
    (augment.Crop, (0,)),
    (augment.Crop, ((3, 3, 3),)),
    (augment.Shift, (0,)),
    (augment.Shift, (1.5,)),
    (augment.Shift, ("far",)),
    (augment.Rotate, (0,)),
    (augment.Rotate, (181,)),
    (augment.Rotate, (None,)),
    (augment.Scale, (0,)),
    (augment.Scale, (1.2, 1.1)),
    (augment.Scale, (1, float("inf"))),
    (augment.Brightness, (0,)),
    (augment.Brightness, (1.1,)),
    (augment.Contrast, (-0.1,)),
    (augment.Noise, (float("nan"),)),
    (augment.Cutout, (0,)),
    (augment.Cutout, (1.01,)),
    (augment.MixUp, (0,)),
]


@pytest.mark.parametrize(("make", "arguments"), BAD, ids=lambda v: getattr(v, "__name__", str(v)))
def test_bad_arguments_are_told_at_construction(make, arguments):
    with pytest.raises((TypeError, ValueError), match=rf"^{make.__name__}: "):
        make(*arguments)


@pytest.mark.parametrize(
    ("x", "y", "transform", "message"),
    [
        (np.zeros((4, 9)), None, augment.Flip(), "needs images"),
        (np.zeros((4, 8, 8, 1), np.int16), None, augment.Flip(), "uint8, float32 or float64"),
        (np.zeros((4, 8, 8, 1)), None, augment.Crop(9), "larger than images"),
        (np.zeros((4, 8, 8, 1)), None, "flip", "must be one of"),
        (np.zeros((4, 8, 8, 1)), None, augment.MixUp(), "no targets"),
        (np.zeros((4, 8)), np.array([0, 1, 2, 3]), augment.MixUp(classes=3), r"wanted 0\.\.2"),
        (np.zeros((4, 8)), np.array([0, 1, 2, -3]), augment.MixUp(), r"-3\.\.2"),
    ],
)
def test_data_that_cannot_be_changed_is_refused_at_construction(x, y, transform, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Augmented(ArrayDataset(x, y), [transform])
    with pytest.raises(TypeError, match="wrap arrays"):
        Augmented(x, [])


def test_draws_are_uniform_and_independent():
    draw = Draws(3, np.arange(20000), 0)
    one, two, other = draw.uniform(), draw.uniform(), Draws(3, np.arange(20000), 1).uniform()
    for u in (one, two, other):
        assert abs(u.mean() - 0.5) < 0.01
        assert abs(u.var() - 1 / 12) < 0.002
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef([one, two, other]) - np.eye(3)).max() < 0.03
    assert np.bincount(draw.below(7), minlength=7).min() > 2600
    later = Draws(4, np.arange(20000), 0).uniform()
    assert abs(np.corrcoef(one, later)[0, 1]) < 0.03
