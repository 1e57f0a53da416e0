"""The small model's training: its batches, its stages at tiny size, and what they leave for each other."""

import dataclasses
import json

from small_tiny import CONFIG
from utils.diffusion import checkpoints, metrics
from utils.diffusion.controlnet_weights import load_controlnet
from utils.diffusion.pretrain import data, report, stages
from utils.diffusion.schedule import loss_weights
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.small_model import CONFIG_FILE, build_small_model, write_config
from utils.diffusion.trainers import CaptionTrainer

import keras
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="module", autouse=True)
def eagerly():
    """Compiling takes longer than the few steps of these tests."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def diffusion():
    keras.utils.set_random_seed(0)
    return build_small_model(CONFIG)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Two training pairs and two of four held-out drawings, as `render` writes them."""
    table = [
        {"caption": "a red tent on a blue background", "colours": ["red"], "background": "blue"},
        {"caption": "a blue tent on a red background", "colours": ["blue"], "background": "red"},
    ]
    rng = np.random.default_rng(0)
    for side, rows in (("train", table), ("held_out", 2 * table)):
        (tmp_path / f"{side}.json").write_text(json.dumps(rows))
        np.save(tmp_path / f"{side}_sketches.npy", rng.integers(0, 256, (len(rows), 32, 32), dtype="uint8"))
        np.save(tmp_path / f"{side}_photos.npy", rng.integers(0, 256, (len(rows), 32, 32, 3), dtype="uint8"))
    latents = np.stack([np.full((8, 8, 4), value) for value in (0.0, 1.0)]).astype("float16")
    np.save(tmp_path / "train_latents.npy", latents)
    write_config(CONFIG, tmp_path / CONFIG_FILE)
    monkeypatch.setitem(data.VARIANTS, "held_out", 2)
    few = {"batch_size": 2, "save_every": 1, "preview_every": 2, "warmup_updates": 0, "steps": 2}
    for run, config in stages.RUNS.items():
        monkeypatch.setitem(stages.RUNS, run, dataclasses.replace(config, **few))
    return tmp_path


def test_batches_keep_latents_and_captions_together_and_drop_some(cache, diffusion):
    def read(start):
        return next(data.caption_batches(cache, diffusion.tokenizer, 4000, seed=2)(start))

    batch, again, other = read(3), read(3), read(4)
    assert all((batch[name] == again[name]).all() for name in batch)
    assert (batch["tokens"] != other["tokens"]).any()
    red, blue = (diffusion.tokenizer._numbers[word] for word in ("red", "blue"))
    first = batch["tokens"][:, 2]  # start, article, first colour
    named = first != 0
    assert 0.08 < 1 - np.isin(first, (red, blue)).mean() < 0.12
    assert 0.29 < (batch["tokens"][named][:, 3] == 3).mean() < 0.37  # 0.3 of 0.9: the thing is unknown
    is_red = batch["latent"][:, 0, 0, 0] == 0
    assert not (first[is_red] == blue).any()
    assert not (first[~is_red] == red).any()


def test_held_out_pairs_are_one_of_each_drawing(cache):
    held_out = data.read_held_out(cache)
    images = np.load(cache / "held_out_photos.npy")
    assert (held_out.images == images[::2]).all() and held_out.sketches.shape == (2, 32, 32, 3)
    assert (held_out.backgrounds, held_out.mains) == (["blue", "blue"], ["red", "red"])
    assert (data.read_held_out(cache, count=1, version=1).images == images[1:2]).all()


def test_caption_trainer_weighs_its_loss_and_learns(cache, diffusion):
    config = dataclasses.replace(stages.RUNS["unet"], steps=40, learning_rate=2e-3, ema=None)
    trainer = CaptionTrainer(diffusion.unet, diffusion.text_encoder, config)
    noise, timesteps = np.zeros((2, 8, 8, 4), "float32"), np.array([3, 700])
    loss = trainer.compute_loss(y_pred={"noise": noise, "prediction": noise + 0.5, "timesteps": timesteps})
    assert float(loss) == pytest.approx(0.25 * loss_weights(5.0, 0.5)[timesteps].mean(), rel=1e-4)
    read = data.caption_batches(cache, diffusion.tokenizer, 8, seed=0)(0)
    losses = [float(trainer.train_on_batch(next(read))) for _ in range(40)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_branch_learns_from_the_cached_latents_and_inverted_sketches(cache, diffusion):
    examples = stages.branch_examples(cache, CONFIG, diffusion)
    assert {name: array.shape for name, array in examples.items()} == {
        "moments": (2, 8, 8, 8),
        "context": (2, 10, 32),
        "hint": (2, 32, 32, 3),
    }
    latents = np.asarray(diffusion.sample_latents(examples["moments"], seed=0))
    assert np.allclose(latents, np.load(cache / "train_latents.npy"), atol=0.01)
    assert (examples["hint"][..., 1] == 255 - np.load(cache / "train_sketches.npy")).all()
    expected = diffusion.encode_text(["a red tent on a blue background", "a blue 0 on a red background"])
    assert np.allclose(examples["context"], expected, atol=0.01)


def test_all_stages_in_a_row(cache, monkeypatch):
    """From the pictures to the files that the course ships; what one stage leaves the next one reads."""
    weights = cache / "weights"
    with pytest.raises(FileNotFoundError, match="train the VAE first"):
        stages.encode_latents(cache)
    stages.train_vae(cache)
    stages.encode_latents(cache)
    latents = np.load(cache / "train_latents.npy").astype("float64")
    assert latents.shape == (2, 8, 8, 4) and np.allclose(latents.std(axis=(0, 1, 2)), 1, atol=0.01)
    stages.train_unet(cache)
    stages.train_vae(cache, only_decoder=True)
    for steps in (2, 4):
        stages.train_branch(cache, steps, weights)
    history = checkpoints.read_history(cache / "checkpoints" / "branch")
    assert [step for step, _ in history.scores] == [2, 4] and {"silhouette_iou", "main_colour"} <= set(
        history.scores[0][1]
    )
    report.export(cache, weights, cache / "figures")
    assert len(list((cache / "figures").iterdir())) == 2
    results = json.loads((weights / "results.json").read_text())
    assert set(results["runs"]) == set(stages.RUNS) and results["drawings"] == 2
    model = SketchToImage.load(weights)
    before = model.controlnet.get_weights()
    load_controlnet(model.controlnet, weights / "controlnet.safetensors")
    assert any(np.any(w) for w in model.controlnet.get_layer("zero_0").get_weights()), "the exits have moved"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.controlnet.get_weights(), strict=True))
    monkeypatch.setattr(metrics, "share_of_range", lambda value, floor, ceiling: value)  # noise has no range
    results = report.evaluate_branch(cache, weights, count=2, seeds=1)
    assert results["sketches"] == 2 and len(results["control"]) == 4
    assert list(results["captions"]) == ["no control", "shuffled sketches", "control"]
    assert json.loads((weights / "control.json").read_text())["seeds"] == 1
