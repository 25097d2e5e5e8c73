"""The bundled digits and folders of images."""

import numpy as np
import pytest

from convkit.data import FolderDataset, ahead, digits, image_folder, read_image, stratified_split

Image = pytest.importorskip("PIL.Image")


def paint(path, value=128, size=(6, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


@pytest.fixture
def two_classes(tmp_path):
    for name, value in ("dark", 20), ("light", 220):
        for i in range(3):
            paint(tmp_path / name / f"{i}.png", value + i)
    return tmp_path


def test_digits_are_the_published_ones():
    data = digits()
    images, labels = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.min() == 0
    assert images.max() == 16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images.sum(dtype=np.int64) == 561718
    assert data.x_train[0, :2, :, 0].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]


def test_held_out_fifth_is_fixed_and_stratified():
    first, second = digits(), digits()
    assert len(first.x_test) == 359
    assert len(first.x_train) == 1438
    assert set(np.bincount(first.y_test)) <= {35, 36, 37}
    for one, other in zip(vars(first).values(), vars(second).values(), strict=True):
        assert np.array_equal(one, other)
    seen = {image.tobytes() for image in first.x_train}
    assert not any(image.tobytes() in seen for image in first.x_test)


def test_digits_arrays_are_the_callers_own():
    digits().x_train[:] = 0
    assert digits().x_train.any()


def test_image_folder_reads_classes_in_order(two_classes):
    data = image_folder(two_classes)
    assert data.classes == ("dark", "light")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.images.shape == (6, 4, 4, 1)
    assert data.images.dtype == np.uint8
    assert data.images[:, 0, 0, 0].tolist() == [20, 21, 22, 220, 221, 222]
    assert (data.size, data.colour) == (4, "grey")


def test_image_folder_size_and_colour_can_be_chosen(two_classes):
    assert image_folder(two_classes, size=9, colour="rgb").images.shape == (6, 9, 9, 3)
    paint(two_classes / "dark" / "c.jpg", (1, 2, 3), mode="RGB")
    assert image_folder(two_classes).colour == "rgb"


def test_image_folder_passes_over_what_is_not_an_image(two_classes):
    (two_classes / "dark" / "notes.txt").write_text("not an image")
    (two_classes / "dark" / "._0.png").write_bytes(b"resource fork")
    (two_classes / ".hidden").mkdir()
    assert len(image_folder(two_classes).images) == 6


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_a_folder_is_read_by_batches_with_the_same_pixels(two_classes, workers):
    whole, data = image_folder(two_classes), FolderDataset(two_classes)
    assert (data.classes, data.paths, len(data), data.shape, data.dtype) == (
        whole.classes, whole.paths, 6, whole.images.shape[1:], whole.images.dtype)
    assert np.array_equal(data.targets, whole.labels)
    rows = [[5, 0], [3, 3], [1, 4]]
    for (x, y), wanted in zip(ahead(data, rows, workers=workers), rows, strict=True):
        assert np.array_equal(x, whole.images[wanted])
        assert np.array_equal(y, whole.labels[wanted])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_found_when_it_is_read(two_classes, workers):
    (two_classes / "light" / "1.png").write_bytes((two_classes / "light" / "1.png").read_bytes()[:40])
    data = FolderDataset(two_classes, size=4, colour="grey")
    reading = ahead(data, [[0, 1], [4], [2]], workers=workers)
    assert len(next(reading)[0]) == 2
    with pytest.raises(ValueError, match=r"light.1\.png is not a readable image"):
        next(reading)
    assert next(reading, None) is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda root: root / "nowhere", FileNotFoundError, "no folder"),
        (lambda root: paint(root / "x.png"), NotADirectoryError, "is a file"),
        (lambda root: root, ValueError, "no subfolder"),
        (lambda root: paint(root / "only" / "x.png").parent.parent, ValueError, "one subfolder only"),
        (lambda root: (root / "empty").mkdir() or paint(root / "full" / "x.png").parent.parent, ValueError, "holds no images"),
    ],
)
def test_image_folder_refuses_what_cannot_be_learnt_from(tmp_path, make, error, message):
    with pytest.raises(error, match=message):
        image_folder(make(tmp_path))


def test_image_folder_refuses_a_class_name_that_cannot_be_printed(two_classes):
    paint(two_classes / "new\nline" / "x.png")
    with pytest.raises(ValueError, match="cannot be printed"):
        image_folder(two_classes)


@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_damaged_image_is_one_error_that_names_it(two_classes, content, size):
    (two_classes / "dark" / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.png is not a readable image"):
        image_folder(two_classes, size=size, colour=None if size is None else "grey")


def test_a_truncated_image_is_an_error(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut\.png"):
        read_image(path, size=8, colour="grey")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"size": 0}, ValueError),
        ({"size": 5000}, ValueError),
        ({"size": True}, TypeError),
        ({"size": 2.0}, TypeError),
        ({"colour": "cmyk"}, ValueError),
    ],
)
def test_image_form_is_checked_before_reading(tmp_path, how, error):
    with pytest.raises(error):
        image_folder(tmp_path / "nowhere", **how)


@pytest.mark.parametrize(
    ("mode", "value", "grey"),
    [
        ("1", 1, 255),
        ("L", 77, 77),
        ("I;16", 257 * 99, 99),
        ("RGB", (50, 50, 50), 50),
        ("RGBA", (0, 0, 0, 0), 255),
        ("LA", (9, 255), 9),
    ],
)
def test_read_image_understands_every_mode(tmp_path, mode, value, grey):
    path = paint(tmp_path / "x.png", value, mode=mode)
    assert np.unique(read_image(path, size=3, colour="grey")).tolist() == [grey]
    rgb = read_image(path, size=3, colour="rgb")
    assert rgb.shape == (3, 3, 3)
    assert np.unique(rgb).tolist() == [grey]


def test_read_image_obeys_the_orientation_tag(tmp_path):
    image = Image.fromarray(np.array([[0, 0], [255, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half a turn
    image.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png", size=2, colour="grey")[..., 0].tolist() == [[255, 255], [0, 0]]


def test_stratified_split_holds_out_a_share_of_each_class():
    labels = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    kept, held = stratified_split(labels, 0.2, np.random.default_rng(0))
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(113))
    assert np.bincount(labels[held], minlength=4).tolist() == [20, 2, 1, 0]


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_stratified_split_refuses_a_share_that_is_none(share):
    with pytest.raises(ValueError, match="share"):
        stratified_split(np.zeros(9, int), share, np.random.default_rng(0))


def test_stratified_split_needs_two_images_of_some_class():
    with pytest.raises(ValueError, match="one image only"):
        stratified_split(np.arange(5), 0.2, np.random.default_rng(0))
