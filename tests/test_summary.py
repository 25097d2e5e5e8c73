"""What summary tells about graphs."""

from __future__ import annotations

from convkit import Input, Model, Sequential
from convkit.layers import Add, Concat, Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU, UpSampling2D


def lines(model) -> dict[str, list[str]]:
    """The cells of each line by its name, shapes and lists without spaces."""
    text = model.summary().replace(" KiB", "K").replace(" MiB", "M").replace(" B", "B").replace(", ", ",")
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if "---" not in line}


def test_a_graph_tells_what_is_read_where_it_is_not_the_line_above(capsys):
    image = Input((8, 8, 3), name="image")
    conv = Conv2D(3, 3, padding=1, name="eye")
    x = conv(image)
    y = ReLU()(conv(x))
    model = Model(image, Flatten()(MaxPool2D()(Add(name="sum")(x, y))), rng=0)
    told = lines(model)
    assert capsys.readouterr().out
    assert told["image"] == ["(8,8,3)", "768B", "1x1", "1x1"]
    assert told["sum"] == ["(Add)", "(8,8,3)", "768B", "0", "0", "5x5", "1x1", "eye,relu_1"]
    assert told["max_pool2d_1"] == ["(4,4,3)", "192B", "0", "0", "6x6", "2x2"]
    assert told["eye"] == ["(Conv2D)", "(8,8,3)", "768B", "shared", "5,184", "5x5", "1x1"]  # the second use
    assert told["total"] == ["4.1K", "84", "10,368"]
    assert told["84"] == ["parameters", "are", "trained."]


def test_fields_that_meet_are_as_large_as_the_larger(capsys):
    image = Input((8, 8, 1))
    small, large = Conv2D(1, 1)(image), Conv2D(1, 5, padding=2)(image)
    model = Model(image, Concat()(small, UpSampling2D()(MaxPool2D()(large))), rng=0)
    assert lines(model)["concat_1"][-3:-1] == ["6x6", "1x1"]
    whole = Model(image, Add()(GlobalAvgPool2D()(small), GlobalAvgPool2D()(large)), rng=0)
    assert "all" in lines(whole)["add_1"]


def test_a_model_within_is_one_line_with_all_that_it_holds(capsys):
    inner = Sequential([Conv2D(4, 3), MaxPool2D(), Conv2D(4, 3)], name="inner")
    model = Sequential([inner, Flatten(), Dense(2)], input_shape=(20, 20, 1), rng=0)
    alone = Sequential([Conv2D(4, 3), MaxPool2D(), Conv2D(4, 3)], input_shape=(20, 20, 1), rng=0)
    last = lines(alone)["conv2d_2"]
    told = lines(model)["inner"]
    assert told[0] == "(Sequential)"
    assert told[1] == last[0] == "(7,7,4)"
    assert told[-2:] == last[-2:] == ["8x8", "2x2"]
    assert told[3] == str(alone.count_params())
    assert told[4] == f"{alone.multiply_adds():,}"
    inner.trainable = False
    assert model.summary().endswith(f"{model.count_params() - alone.count_params()} parameters are trained, 188 are frozen.")
