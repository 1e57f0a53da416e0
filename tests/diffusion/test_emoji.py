"""The emoji pairs: honest captions, sketches that lie over their pictures, a split that keeps relatives together."""

from utils.diffusion import emoji
from utils.diffusion.colours import COLOURS, colour_shares, lab_to_rgb, name_colour, name_colours, rgb_to_lab
from utils.diffusion.edges import extract_edges
from utils.diffusion.metrics import background_colours, caption_scores
from utils.diffusion.pairs import load_pairs

import numpy as np
import pytest
from scipy import ndimage


@pytest.fixture(scope="module")
def drawings():
    return emoji.load_drawings()


@pytest.fixture(scope="module")
def pairs(drawings):
    chosen = np.random.default_rng(3).choice(len(drawings), 60, replace=False)
    return [emoji.make_pair(drawings[i], np.random.default_rng([7, i])) for i in chosen]


def test_lab_of_known_colours():
    known = {(255, 255, 255): (100, 0, 0), (0, 0, 0): (0, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20)}
    for rgb, lab in known.items():
        assert rgb_to_lab(np.array(rgb)) == pytest.approx(lab, abs=0.02)


def test_lab_there_and_back():
    rgb = np.random.default_rng(0).integers(0, 256, (500, 3))
    assert np.abs(lab_to_rgb(rgb_to_lab(rgb)).astype(int) - rgb).max() <= 1


def test_every_shade_has_its_own_name():
    for name, shades in COLOURS.items():
        assert {name_colour(shade) for shade in shades} == {name}
    assert name_colours(np.zeros((2, 3, 3))).shape == (2, 3)


def test_shares_add_up_and_an_empty_set_has_none():
    pixels = np.array([[221, 46, 68]] * 3 + [[250, 250, 250]])
    assert colour_shares(pixels) == {"red": 0.75, "white": 0.25}
    assert colour_shares(np.zeros((0, 3))) == {}


def test_over_a_thousand_different_drawings_of_single_things(drawings):
    assert len(drawings) >= 1000
    assert len({d.code for d in drawings}) == len({d.svg for d in drawings}) == len(drawings)
    assert not [d for d in drawings if d.category in emoji.DROPPED_CATEGORIES or "-" in d.code]


def test_names_carry_no_colour_words(drawings):
    assert emoji.clean_name("GREEN HEART") == "heart"
    assert not [d.thing for d in drawings if set(d.thing.split()) & set(COLOURS)]


def test_a_drawing_as_it_is_lies_on_white(drawings):
    tomato = next(d for d in drawings if d.thing == "tomato")
    picture = emoji.draw(tomato, size=32)
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert name_colour(picture[20, 16]) == "red"


def test_split_keeps_relatives_together_and_loses_nothing(drawings):
    train, held_out = emoji.split_drawings(drawings)
    assert 150 <= len(held_out) <= 170
    assert not {d.group for d in train} & {d.group for d in held_out}
    assert not {d.thing for d in train} & {d.thing for d in held_out}
    assert sorted(d.code for d in train + held_out) == sorted(d.code for d in drawings)


def test_known_relatives_share_a_group(drawings):
    group = {d.code: d.group for d in drawings}
    for first, second in [("1f34e", "1f34f"), ("1f600", "1f603"), ("1f947", "1f948"), ("1f4d5", "1f4d7")]:
        assert group[first] == group[second]
    assert group["1f34e"] != group["1f4a3"]


def test_split_refuses_more_than_there_is(drawings):
    with pytest.raises(ValueError, match="160 drawings are to be held out"):
        emoji.split_drawings(drawings[:100])


def test_pairs_are_pictures_of_the_asked_size(pairs):
    for pair in pairs:
        assert pair.image.shape == pair.sketch.shape == (64, 64, 3)
        assert pair.image.dtype == pair.sketch.dtype == np.uint8
        assert pair.sketch.min() < 60 and pair.sketch[..., 0].mean() > 128  # dark lines on white


def test_one_seed_gives_one_pair(drawings):
    first, second = (emoji.make_pair(drawings[5], np.random.default_rng(1)) for _ in range(2))
    other = emoji.make_pair(drawings[5], np.random.default_rng(2))
    assert first.caption == second.caption and (first.image == second.image).all()
    assert (first.image != other.image).any()


def test_edges_of_the_picture_lie_on_lines_of_its_sketch(pairs):
    """A mirrored sketch fails: the share of edges on lines is then near that of any other sketch."""
    own, mirrored = [], []
    for pair in pairs:
        edges = extract_edges(pair.image)
        lines = ndimage.binary_dilation(pair.sketch[..., 0] < 160)
        own.append(lines[edges].mean())
        mirrored.append(lines[:, ::-1][edges].mean())
    assert np.mean(own) > 0.95
    assert np.mean(mirrored) < 0.75


def test_captions_say_what_the_pixels_show(pairs):
    photos = np.stack([pair.image for pair in pairs])
    scores = caption_scores(photos, [p.background for p in pairs], [p.colours[0] for p in pairs])
    assert scores["background"].all()
    assert scores["main_colour"].mean() > 0.9
    for pair in pairs:
        assert pair.caption == emoji.caption_for(pair.drawing.thing, pair.colours, pair.background)


def test_colours_and_backgrounds_vary(drawings):
    drawing = next(d for d in drawings if d.code == "1f34e")
    many = [emoji.make_pair(drawing, np.random.default_rng(i), size=24) for i in range(60)]
    assert len({p.colours[0] for p in many}) >= 6
    assert len({p.background for p in many}) >= 8
    assert len(set(background_colours(np.stack([p.image for p in many])))) >= 8


def test_swapped_colours_stay_apart(drawings):
    svg = '<svg viewBox="0 0 36 36"><path fill="#DD2E44"/><path fill="#77B255"/><path fill="#A0041E"/></svg>'
    for seed in range(20):
        swapped = emoji.FILL.findall(emoji.swap_colours(svg, np.random.default_rng(seed)))
        assert len(set(swapped)) == 3


def test_articles():
    assert emoji.caption_for("apple", ("orange", "red"), "blue") == "an orange and red apple on a blue background"
    assert emoji.caption_for("tent", ("red",), "orange") == "a red tent on an orange background"


def test_the_thing_of_a_caption_can_be_hidden_and_nothing_else():
    for things, colours, background in (
        (("umbrella on ground", "0 0 0"), ("red",), "orange"),
        (("cat", "0"), ("orange", "red"), "blue"),
    ):
        captions = [emoji.caption_for(thing, colours, background) for thing in things]
        assert emoji.hide_thing(captions[0]) == captions[1]
    with pytest.raises(ValueError, match=r"'a photo of a cat' does not have the form"):
        emoji.hide_thing("a photo of a cat")


def test_written_pairs_are_read_back_as_they_were(tmp_path, pairs):
    read = load_pairs(emoji.write_pairs(tmp_path / "emoji", pairs[:12]))
    assert read.captions.tolist() == [p.caption for p in pairs[:12]]
    groups = [p.drawing.group for p in pairs[:12]]
    same = np.equal.outer(groups, groups)
    assert (np.equal.outer(read.groups, read.groups) == same).all()
    import tensorflow as tf

    for path, pair in zip(read.images, pairs, strict=False):
        assert (tf.io.decode_image(tf.io.read_file(str(path))).numpy() == pair.image).all()


def test_bundled_pairs_are_written_once_and_whole(tmp_path, monkeypatch):
    few = emoji.load_drawings()[:3]
    monkeypatch.setattr(emoji, "load_drawings", lambda: few)
    folder = emoji.bundled_pairs(tmp_path / "pairs", variants=2)
    names = sorted(path.name for path in (folder / "photos").iterdir())
    assert len(names) == 6 and [name.split("_")[1] for name in names[:3]] == [f"{d.code}.png" for d in few]
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"], "nothing unfinished is left beside it"
    photo = (folder / "photos" / names[0]).read_bytes()
    (folder / "photos" / names[1]).unlink()
    assert emoji.bundled_pairs(folder, variants=2) == folder and not (folder / "photos" / names[1]).exists()
    again = emoji.bundled_pairs(tmp_path / "again", variants=2)
    assert (again / "photos" / names[0]).read_bytes() == photo
