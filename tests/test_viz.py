"""Pictures: what they hold, and that they are drawn without pyplot's global state."""

import subprocess
import sys

import numpy as np
import pytest

from convkit import viz

pytest.importorskip("matplotlib")
HISTORY = {"loss": [2.0, 1.0], "accuracy": [0.5, 0.9], "val_loss": [1.5, 1.1], "val_accuracy": [0.6, 0.8]}
CLASSES = ["cat", "dog", "$owl$"]


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def some(rng=None, n=5, channels=1):
    rng = rng or np.random.default_rng(0)
    return rng.random((n, 8, 8, channels)), rng.integers(0, 3, n), rng.dirichlet(np.ones(3), n)


def all_figures(channels=1, classes=CLASSES):
    images, labels, probabilities = some(channels=channels)
    steps = [("Conv2D", np.ones((8, 8, 70))), ("ReLU", np.full((4, 4, 3), np.nan))]
    return {
        "curves": viz.curves(HISTORY),
        "confusion": viz.confusion(labels, probabilities.argmax(1), classes),
        "mistakes": viz.mistakes(images, labels, probabilities, classes),
        "filters": viz.filters(np.zeros((100, 3, 3, channels))),
        "journey": viz.journey(images[0], steps, probabilities[0], classes, label=0),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_can_be_saved(tmp_path, channels):
    for name, figure in all_figures(channels).items():
        viz.save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_pictures_leave_pyplot_alone():
    draw = "import sys; from convkit import viz; viz.curves({'loss': [1.0], 'accuracy': [0.5]})"
    code = draw + "; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_viz_does_not_import_matplotlib():
    code = "import sys; import convkit.viz; assert not {'matplotlib', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_curves_tell_the_last_values():
    written = {text.get_text() for axes in viz.curves(HISTORY).axes for text in axes.texts}
    assert {"90.0 %", "80.0 %", "1.000", "1.100"} <= written


@pytest.mark.parametrize("history", [{}, {"loss": [], "accuracy": []}, {"loss": [1.0]}])
def test_curves_need_a_history(history):
    with pytest.raises(ValueError, match="curves"):
        viz.curves(history)


def test_confusion_counts_rows_by_truth():
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    figure = viz.confusion(labels, predicted, CLASSES)
    found = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert found == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "1"}  # (column, row)
    assert "1 mistake in 4 images (75.00 % right)" in texts(figure)


@pytest.mark.parametrize(("labels", "predicted"), [([], []), ([0], [0, 1]), ([3], [0]), ([-1], [0]), ([[0]], [[0]])])
def test_confusion_refuses_what_does_not_fit(labels, predicted):
    with pytest.raises(ValueError, match="confusion"):
        viz.confusion(np.array(labels, int), np.array(predicted, int), CLASSES)


def test_confusion_of_many_classes_stays_drawable(tmp_path):
    labels = np.arange(200)
    viz.save(viz.confusion(labels, labels, [f"class {i}" for i in labels]), tmp_path / "many.png")


def test_mistakes_come_first_and_worst_first():
    images, labels = np.zeros((3, 8, 8, 1)), np.array([0, 1, 2])
    probabilities = np.array([[0.9, 0.05, 0.05], [0.6, 0.4, 0.0], [0.99, 0.01, 0.0]])
    drawn = [axes.texts[1].get_text() for axes in viz.mistakes(images, labels, probabilities, CLASSES).axes]
    assert drawn == ["taken for cat, 99 %", "taken for cat, 60 %", "right, 90 %"]


def test_mistakes_need_equal_lengths():
    images, labels, probabilities = some()
    with pytest.raises(ValueError, match="mistakes"):
        viz.mistakes(images, labels[:-1], probabilities, CLASSES)


@pytest.mark.parametrize("shape", [(3, 3), (0, 3, 3, 1)])
def test_filters_must_be_filters(shape):
    with pytest.raises(ValueError, match="4-D"):
        viz.filters(np.zeros(shape))


def test_journey_draws_every_map():
    images, _, probabilities = some()
    steps = [("Conv2D", np.ones((8, 8, 5))), ("MaxPool2D", np.ones((4, 4, 5)))]
    figure = viz.journey(images[0], steps, probabilities[0], CLASSES)
    assert "5 maps of 4 x 4" in texts(figure)
    for axes, side in zip(figure.axes[1:3], (8, 4), strict=True):
        assert axes.images[0].get_array().count() >= 5 * side**2


@pytest.mark.parametrize(("maps", "classes"), [(np.ones((8, 8)), CLASSES), (np.ones((8, 8, 1)), CLASSES[:2])])
def test_journey_refuses_what_does_not_fit(maps, classes):
    images, _, probabilities = some()
    with pytest.raises(ValueError, match="journey"):
        viz.journey(images[0], [("Conv2D", maps)], probabilities[0], classes)
