"""The way of the full profile at tiny size: a folder of one's own, examples, a branch, pictures, scores."""

import diffusion_tiny as tiny
from utils.diffusion import batches, metrics, pairs
from utils.diffusion.images import read_image, to_float, to_hints
from utils.diffusion.sampling import SamplingSettings
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.trainers import ControlNetTrainer
from utils.diffusion.training import TrainingConfig, train

import keras
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Twelve photos of different sizes, PNG and JPEG, captions, and no sketches."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    lines = ["file,caption"]
    for i in range(12):
        photo = np.full((40 + i, 48, 3), rng.integers(0, 256, 3), dtype="uint8")
        photo[10:30, 12:30] = rng.integers(0, 256, 3)
        name = f"{i}.{'png' if i % 2 else 'jpg'}"
        Image.fromarray(photo).save(tmp_path / "photos" / name)
        lines.append(f"{name},a red tent on a blue background")
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    return tmp_path


def read_all(paths):
    return np.stack([read_image(path, 32) for path in paths])


@pytest.mark.parametrize("streamed", [False, True])
def test_from_a_folder_of_photos_to_scores(folder, streamed):
    """Examples that are encoded once (fast profile), and batches straight from the disk (full profile)."""
    assert pairs.extract_sketches(folder) == 12
    train_pairs, test_pairs = pairs.split_pairs(pairs.load_pairs(folder), held_out=0.2)
    diffusion, branch = tiny.tiny_diffusion(), tiny.fresh_branch()
    dataset = batches.make_dataset(train_pairs, 32, batch_size=4)
    if streamed:
        data = batches.streamed_batches(dataset, diffusion.tokenizer)
    else:
        data = batches.cached_batches(batches.encode_examples(dataset, diffusion), 4, seed=0)
    config = TrainingConfig(steps=4, batch_size=4, warmup_updates=0, learning_rate=1e-3)
    trainer = ControlNetTrainer(diffusion, branch, config)
    trainer.run_eagerly = keras.backend.backend() == "tensorflow"  # compiling takes longer than four steps
    history = train(trainer, data, progress=False)
    assert np.isfinite(history.loss).all() and np.any(branch.get_layer("zero_0").get_weights()[0])

    model = SketchToImage(diffusion, branch, SamplingSettings(steps=2))
    truth, sketches = read_all(test_pairs.images), read_all(test_pairs.sketches)
    pictures = model.generate(list(test_pairs.captions), sketches)
    scores = metrics.control_scores(pictures, truth)
    assert pictures.shape == truth.shape and all(np.isfinite(values).all() for values in scores.values())


def test_evaluation_reads_pictures_as_training_does(folder):
    pairs.extract_sketches(folder)
    found = pairs.load_pairs(folder)
    batch = next(batches.make_dataset(found, 32, 12, shuffle=0, augment=False).as_numpy_iterator())
    truth, sketches = read_all(found.images), read_all(found.sketches)
    np.testing.assert_array_equal(batch["image"], to_float(truth))
    np.testing.assert_array_equal(batch["hint"], to_hints(sketches))


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(pairs.PairError, match=r"expected photos/, sketches/ and captions\.csv"):
        pairs.load_pairs(tmp_path / "pairs")
