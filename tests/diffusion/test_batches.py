"""The pipeline from files to training: it never mixes up or separates a pair, and batches go on where they were."""

from diffusion_tiny import tiny_encoders
from pairs_folder import write_folder
from utils.diffusion import batches as B
from utils.diffusion.pairs import load_pairs

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data")


def test_jpeg_photos_of_any_size_with_png_sketches(tmp_path):
    pairs = load_pairs(write_folder(tmp_path / "data", size=(97, 61), suffix="jpg"))
    batch = next(iter(B.make_dataset(pairs, size=32)))
    assert batch["image"].shape == batch["hint"].shape == (8, 32, 32, 3)


def test_fewer_pairs_than_a_batch(tmp_path):
    pairs = load_pairs(write_folder(tmp_path / "data", count=5), minimum=5)
    with pytest.raises(ValueError, match="5 pairs are fewer than one batch of 8"):
        B.make_dataset(pairs, 8)


def test_ranges_of_photos_and_hints(folder):
    pairs = load_pairs(folder)
    batch = next(iter(B.make_dataset(pairs, size=40, shuffle=0, augment=False)))
    photo, hint = batch["image"].numpy(), batch["hint"].numpy()
    assert photo.dtype == hint.dtype == np.float32
    expected = np.arange(8) * 20 / 127.5 - 1
    assert photo[:, 5, -1, 0] == pytest.approx(expected, abs=1e-6)
    assert hint[:, 5, -1, 0] == pytest.approx(1 - np.arange(8) * 20 / 255, abs=1e-6)  # inverted
    assert (hint[:, 5, 0] == 0).all()
    other = next(iter(B.make_dataset(pairs, 40, shuffle=0, augment=False, hint_range=(-1, 1))))
    assert other["hint"].numpy()[:, 5, -1, 0] == pytest.approx(-expected, abs=1e-6)


def test_augmentation_moves_photo_and_hint_together(folder):
    pairs = load_pairs(folder)
    data = B.make_dataset(pairs, size=40, shuffle=0, hint_range=(-1, 1), drop_remainder=False)
    flipped = 0
    for batch in data.repeat(4):
        photo, hint = batch["image"].numpy(), batch["hint"].numpy()
        moved_photo, moved_hint = photo[..., 1] > 0.99, hint[..., 0] < -0.99
        assert (moved_photo == moved_hint).mean() > 0.97
        flipped += (~moved_photo[:, 20, 2]).sum()
    assert 8 < flipped < 40  # of 48: some are flipped, some are not


def test_augmentation_differs_between_epochs_and_repeats_with_its_seed(folder):
    pairs = load_pairs(folder)

    def epochs(seed):
        data = B.make_dataset(pairs, size=16, seed=seed)
        return [np.concatenate([b["image"].numpy() for b in data]) for _ in range(2)]

    first, second = epochs(1), epochs(1)
    assert (first[0] == second[0]).all() and (first[0] != first[1]).any()
    assert (first[0] != epochs(2)[0]).any()


@pytest.mark.parametrize("options", [{}, {"cache": True}, {"parallel": False, "prefetch": False}])
def test_caption_photo_and_sketch_never_part(folder, options):
    pairs = load_pairs(folder)
    seen = []
    for batch in B.make_dataset(pairs, size=8, augment=False, drop_remainder=False, **options).repeat(2):
        number = np.array([int(c.decode().split()[1]) for c in batch["caption"].numpy()])
        right = batch["image"].numpy()[:, 4, -1, 0]
        assert right == pytest.approx(number * 20 / 127.5 - 1, abs=1e-5)
        assert batch["hint"].numpy()[:, 4, -1, 0] == pytest.approx(1 - number * 20 / 255, abs=1e-5)
        seen += number.tolist()
    assert sorted(seen) == sorted([*range(12)] * 2)
    assert seen[:12] != list(range(12)) and seen[:12] != seen[12:]


def test_batches_depend_on_the_seed_and_can_start_anywhere():
    data = {"a": np.arange(10), "b": -np.arange(10)}
    whole = [batch for batch, _ in zip(B.cached_batches(data, 3, seed=1)(0), range(9), strict=False)]
    later = [batch for batch, _ in zip(B.cached_batches(data, 3, seed=1)(4), range(5), strict=False)]
    for ours, theirs in zip(later, whole[4:], strict=True):
        np.testing.assert_array_equal(ours["a"], theirs["a"])
    assert all((batch["a"] == -batch["b"]).all() for batch in whole)
    epoch = np.concatenate([batch["a"] for batch in whole[:3]])
    assert len(set(epoch.tolist())) == 9
    assert (epoch != np.concatenate([batch["a"] for batch in whole[3:6]])).any()
    with pytest.raises(ValueError, match="at least 20"):
        B.cached_batches(data, 20, seed=1)


def test_examples_are_encoded_once_each_with_its_own_caption(folder):
    diffusion = tiny_encoders()
    dataset = B.make_dataset(load_pairs(folder), 32, 5, shuffle=0, augment=False, drop_remainder=False)
    examples = B.encode_examples(dataset, diffusion, lambda captions: ["red" if c[-1] in "05" else c for c in captions])
    whole = next(dataset.unbatch().batch(12).as_numpy_iterator())
    np.testing.assert_allclose(examples["moments"], diffusion.encode_images(whole["image"]), atol=1e-5)
    np.testing.assert_allclose(examples["hint"], whole["hint"], atol=1e-3)
    captions = [c.decode() for c in whole["caption"]]
    expected = diffusion.encode_text(["red" if c[-1] in "05" else c for c in captions])
    np.testing.assert_allclose(examples["context"], expected, atol=1e-5)


def test_batches_from_files_go_on_where_they_were():
    captions = ["red bird", "blue bird", "red fish", "blue fish"]
    columns = {"image": np.arange(4.0), "hint": -np.arange(4.0), "caption": captions}
    dataset = tf.data.Dataset.from_tensor_slices(columns).batch(2)
    tokenizer = tiny_encoders().tokenizer
    read = B.streamed_batches(dataset, tokenizer)(3)
    for expected in ([2, 3], [0, 1]):
        batch = next(read)
        np.testing.assert_array_equal(batch["image"], expected)
        np.testing.assert_array_equal(batch["hint"], np.negative(expected))
        np.testing.assert_array_equal(batch["tokens"], tokenizer([captions[i] for i in expected]))
