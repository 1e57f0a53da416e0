"""The shared figures: what they draw, and what they refuse."""

import io

import matplotlib

matplotlib.use("Agg")

from utils import plotting

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def close_figures():
    plotting.use_style()
    yield
    plt.close("all")


def test_style_gives_every_line_a_colour_and_a_line_style():
    cycle = list(plt.rcParams["axes.prop_cycle"])
    assert len({c["color"] for c in cycle}) == len({str(c["linestyle"]) for c in cycle}) == len(cycle) == 7


def test_grey_images_share_one_value_range_and_are_not_interpolated():
    fig = plotting.show_images(np.random.default_rng(0).random((5, 8, 8)), titles=list("abcde"), columns=3)
    shown = [axis.images[0] for axis in fig.axes if axis.images]
    assert len(shown) == 5 and {image.get_clim() for image in shown} == {(0.0, 1.0)}
    assert {image.get_interpolation() for image in shown} == {"none"}


def test_colour_images_are_mapped_from_their_limits():
    fig = plotting.show_images(np.full((1, 2, 2, 3), -1.0), limits=(-1, 1), columns=1)
    assert np.all(fig.axes[0].images[0].get_array() == 0)


@pytest.mark.parametrize("shape", [(28, 28), (2, 8, 8, 4)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match="images: expected shape"):
        plotting.show_images(np.zeros(shape))


def test_wrong_number_of_titles():
    with pytest.raises(ValueError, match="expected one for each of the 2 pictures, got 1"):
        plotting.show_images(np.zeros((2, 8, 8)), titles=["a"])


def test_learning_curves_draw_training_and_validation():
    history = {"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "accuracy": [0.1, 0.2]}
    fig = plotting.learning_curves({"": history}, title="It learns")
    loss, accuracy = fig.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert loss.lines[1].get_ydata().tolist() == [2.5, 1.5] and loss.get_xlabel() == "epoch"
    assert len(accuracy.lines) == 1


def test_rows_have_labels_and_titles():
    pictures = np.zeros((3, 4, 5, 3), "uint8")
    fig = plotting.show_rows({"sketch": pictures, "truth": pictures / 255}, titles=["a", "b\nc", "d"])
    assert [ax.get_ylabel() for ax in fig.axes[::3]] == ["sketch", "truth"]
    assert [ax.get_title() for ax in fig.axes[:3]] == ["a", "b\nc", "d"]
    shown = [ax.images[0].get_array() for ax in fig.axes]
    np.testing.assert_allclose(shown[:3], shown[3:])  # the same pictures as uint8 and as floats
    np.testing.assert_allclose(shown[:3], pictures / 255, atol=0.51 / 31)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="'truth': 2"):
        plotting.show_rows({"sketch": np.zeros((3, 4, 4, 3)), "truth": np.zeros((2, 4, 4, 3))})


def test_learning_curves_draw_every_history_each_with_its_own_look():
    histories = {f"run {n}": {"loss": [2.0, 1.0]} for n in range(6)}
    (axis,) = plotting.learning_curves(histories, metrics=("loss",)).axes
    assert [line.get_label() for line in axis.lines] == [f"run {n} training" for n in range(6)]
    assert len({(line.get_color(), line.get_marker()) for line in axis.lines}) == 6


def test_figures_of_a_notebook_are_sharp_and_have_a_text_for_those_who_do_not_see_them():
    fig, axes = plt.subplots(1, 2, figsize=(4, 2), dpi=50)
    axes[0].set(xlabel="epoch", ylabel="loss", title="It falls")
    axes[1].set(xlabel="epoch", ylabel="loss", title="It rises")
    fig.suptitle("Two runs")
    png, shown = plotting._sharp_png(fig)
    assert shown["alt"] == "Two runs. It falls: loss against epoch. It rises: loss against epoch"
    assert [side // 2 for side in Image.open(io.BytesIO(png)).size] == [shown["width"], shown["height"]]
    assert shown["width"] > 150  # of 4 inches at 50 dots, without the margin
