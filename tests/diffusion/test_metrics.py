"""The scores against cases whose answer is known by hand."""

from utils.diffusion import metrics as M
from utils.diffusion.colours import COLOURS

import numpy as np
import pytest


def scene(thing="red", background="blue", box=(20, 44, 20, 44), size=64):
    picture = np.empty((size, size, 3), "uint8")
    picture[:] = COLOURS[background][0]
    top, bottom, left, right = box
    picture[top:bottom, left:right] = COLOURS[thing][0]
    return picture


def test_edge_f1_by_hand():
    first = np.zeros((9, 9), bool)
    first[4, :] = True
    moved = np.roll(first, 1, axis=0)
    assert M.edge_f1(first, first, tolerance=0) == pytest.approx(1)
    assert M.edge_f1(first, moved, tolerance=0) == 0
    assert M.edge_f1(first, moved, tolerance=1) == pytest.approx(1)
    assert M.edge_f1(first, np.roll(first, 2, axis=0), tolerance=1) == 0
    half = first.copy()
    half[4, 5:] = False  # precision 1, recall 5/9
    assert M.edge_f1(half, first, tolerance=0) == pytest.approx(2 * (5 / 9) / (1 + 5 / 9))


def test_edge_f1_of_empty_maps():
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    assert M.edge_f1(empty, empty) == 1
    assert M.edge_f1(empty, full) == M.edge_f1(full, empty) == 0


def test_iou_by_hand():
    first, second = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    first[0], second[:, 0] = True, True
    assert M.iou(first, second) == pytest.approx(1 / 5)
    assert M.iou(first & False, second & False) == 1


def test_silhouette_is_the_thing_whatever_its_colour():
    for thing, background in [("red", "blue"), ("white", "black"), ("pink", "green")]:
        mask = M.silhouette(scene(thing, background))
        assert mask.sum() == 24 * 24 and mask[20:44, 20:44].all()


def test_perfect_pictures_score_one_and_others_less():
    truth = np.stack([scene(), scene("green", "white", (10, 30, 30, 60))])
    perfect = M.control_scores(truth, truth)
    recoloured = M.control_scores(np.stack([scene("yellow", "black"), scene("red", "grey", (10, 30, 30, 60))]), truth)
    swapped = M.control_scores(truth[::-1], truth)
    assert set(perfect) == {"edge_f1", "edge_f1_strict", "silhouette_iou", "ssim"}
    for name, values in perfect.items():
        assert values.shape == (2,) and values == pytest.approx(1)
        assert (swapped[name] < 0.75).all()
    assert (recoloured["silhouette_iou"] == 1).all()  # shape, not colour, is what control answers for
    assert (recoloured["edge_f1"] > 0.95).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 8, 8, 3), "float32"), np.zeros((8, 8, 3), "uint8")])
def test_pictures_of_a_wrong_kind(bad):
    with pytest.raises(ValueError, match=r"expected uint8 \(n, height, width, 3\)"):
        M.control_scores(bad, bad)
    with pytest.raises(ValueError, match="expected equal"):
        M.control_scores(np.zeros((2, 16, 16, 3), "uint8"), np.zeros((3, 16, 16, 3), "uint8"))


def test_share_of_the_range():
    assert M.share_of_range(0.5, 0.4, 0.8) == pytest.approx(0.25)
    assert np.isnan([M.share_of_range(0.5, floor, 0.8) for floor in (0.8, 0.9)]).all(), "there is no range"


def test_psnr_by_hand():
    first = np.full((2, 4, 4, 3), 100, "uint8")
    second = np.stack([np.full((4, 4, 3), 105, "uint8"), np.full((4, 4, 3), 100, "uint8")])
    assert M.psnr(first, second) == pytest.approx([20 * np.log10(255 / 5), 100.0])


def test_control_table_puts_everything_in_its_place():
    boxes = [(8, 30, 8, 30), (20, 50, 30, 60), (5, 20, 5, 58), (30, 60, 20, 35)]
    truth = np.stack([scene(box=box) for box in boxes])
    near = np.stack([scene(box=tuple(v + 2 for v in box)) for box in boxes])
    table = M.control_table(truth, np.stack([near, near]), {"shuffled": truth[None, ::-1]}, ceiling=truth)
    assert len(table) == 4
    row = next(row for row in table if row.score == "silhouette_iou")
    floor, value, share = row.floors["shuffled"], row.value, row.share
    assert floor < value.low <= value.value <= value.high < row.ceiling == 1
    assert 0 < share.low <= share.value <= share.high < 1
    assert share.value == pytest.approx((value.value - floor) / (1 - floor))


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        found = M.bootstrap_interval(rng.normal(1.0, 2.0, 60))
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_more_seeds_of_the_same_sketches_do_not_shrink_the_interval_for_nothing():
    values = np.random.default_rng(0).normal(size=40)
    one = M.bootstrap_interval(values)
    three = M.bootstrap_interval(np.stack([values] * 3))
    assert (three.low, three.high) == pytest.approx((one.low, one.high))
    assert M.bootstrap_interval(np.ones(5)) == M.Interval(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least 2"):
        M.bootstrap_interval([1.0])


def test_colours_are_read_off_pictures():
    pictures = np.stack([scene(thing, background) for thing, background in [("red", "blue"), ("white", "green")]])
    assert M.background_colours(pictures).tolist() == ["blue", "green"]
    assert M.main_colours(pictures).tolist() == ["red", "white"]
    scores = M.caption_scores(pictures, ["blue", "red"], ["green", "white"])
    assert scores["background"].tolist() == [True, False]
    assert scores["main_colour"].tolist() == [False, True]


def test_main_colour_goes_by_area_and_an_empty_picture_has_none():
    picture = scene("red", "blue", (10, 50, 10, 50))
    picture[10:50, 10:22] = COLOURS["yellow"][0]
    assert M.main_colours(np.stack([picture, scene("blue", "blue")])).tolist() == ["red", ""]


def test_caption_scores_of_lists_that_do_not_fit():
    with pytest.raises(ValueError, match="1 pictures, 2 backgrounds"):
        M.caption_scores(scene()[None], ["blue", "red"], ["red"])


def test_kid_is_near_zero_for_one_distribution_and_grows_with_distance():
    rng = np.random.default_rng(0)
    reference, same = rng.normal(size=(300, 8)), rng.normal(size=(300, 8))
    distances = [M.kid(same + shift, reference)[0] for shift in (0.0, 0.5, 1.0)]
    assert abs(distances[0]) < 0.05
    assert distances[0] < distances[1] < distances[2]
    assert M.kid(same, reference) == M.kid(same, reference)
    with pytest.raises(ValueError, match="kid: features"):
        M.kid(same, reference[:, :4])


def test_mmd_is_unbiased_by_hand():
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    within = 2 * (2 + 1) ** 3 / 2 + 2 * 1 / 2
    between = (1 + 8 + 1 + 27) / 4
    assert M._mmd2(x, y) == pytest.approx(within - 2 * between)


def test_vae_features_tell_pictures_apart():
    import keras

    inputs = keras.Input((64, 64, 3))
    encoder = keras.Model(inputs, keras.layers.Conv2D(8, 4, strides=4)(inputs))
    pictures = np.stack([scene("red"), scene("red"), scene("green")])
    features = M.vae_features(pictures, encoder)
    assert features.shape == (3, 2 * 4 * 4 * 4)
    assert (features[0] == features[1]).all() and (features[0] != features[2]).any()
