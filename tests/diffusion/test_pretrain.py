"""The small model's training: its batches, its stages at tiny size, and what they leave for each other."""

import dataclasses
import json

import small_tiny
from utils.diffusion import checkpoints, metrics
from utils.diffusion.controlnet_weights import load_controlnet
from utils.diffusion.pretrain import data, evaluation, judge, report, stages
from utils.diffusion.schedule import loss_weights
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.small_model import CONFIG_FILE, build_small_model, write_config
from utils.diffusion.trainers import CaptionTrainer

import keras
import numpy as np
import pytest
import tensorflow as tf

CONFIG = dataclasses.replace(small_tiny.CONFIG, unet_widths=(32,), unet_attention=(False,))  # attends in the middle


@pytest.fixture
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
    monkeypatch.setitem(data.VARIANTS, "train", 1)
    monkeypatch.setattr(stages, "EVALUATION_STEPS", 2)
    monkeypatch.setattr(report, "SEEDS", 1)
    few = {"batch_size": 2, "save_every": 1, "preview_every": 1, "warmup_updates": 0, "steps": 1}
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


def test_all_stages_in_a_row(cache, monkeypatch, eagerly):
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
    stages.train_branch(cache, None, weights)
    history = checkpoints.read_history(cache / "checkpoints" / "branch")
    assert [step for step, _ in history.scores] == [1] and {"silhouette_iou", "main_colour"} <= set(
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
    judge.build_judge(2, 32).save_weights(cache / judge.FILE)
    monkeypatch.setattr(evaluation, "FRESH", dataclasses.replace(evaluation.FRESH, steps=1, batch_size=2))
    added = evaluation.evaluate(cache, weights, count=2, seeds=1)
    assert set(added) == {
        "trained_captions_top1",
        "trained_captions_top5",
        "silhouette_share",
        "main_colour_control",
        "frame_std_ratio",
        "fresh_share",
    }
    assert added["trained_captions_top5"] == [1.0, 1.0, 1.0], "there are only two drawings"
    assert json.loads((weights / "results.json").read_text()) == {**results, **added}
    control = json.loads((weights / "control.json").read_text())
    assert (control["sketches"], control["seeds"], len(control["control"])) == (2, 1, 4)
    assert list(control["captions"]) == ["no control", "shuffled sketches", "control"]


def test_judge_tells_shapes_apart_whatever_their_colours(tmp_path, monkeypatch):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    with pytest.raises(FileNotFoundError, match="train the judge first"):
        judge.load_judge(tmp_path, 3, 32)
    down, right = np.mgrid[:32, :32] - 16
    drawings = [down**2 + right**2 < 80, (abs(down) < 3) & (abs(right) < 12), abs(abs(down) - abs(right)) < 2]
    masks = [np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in drawings for _ in range(8)]
    colours = rng.integers(0, 2, (len(masks), 3)) * 255
    photos = np.where(np.array(masks)[..., None], colours[:, None, None], 255 - colours[:, None, None]).astype("uint8")
    assert np.allclose(judge.shapes(photos), judge.shapes(255 - photos), atol=1e-5)
    np.save(tmp_path / "train_photos.npy", photos)
    monkeypatch.setitem(data.VARIANTS, "train", 8)
    assert judge.train_judge(tmp_path, epochs=1) < 0.95
    assert judge.train_judge(tmp_path, epochs=120) >= 0.95
    referee = judge.load_judge(tmp_path, 3, 32)
    assert (judge.places(referee, photos[:8], np.full(8, 1)) > 0).all()


def test_frame_ratio_is_one_for_true_pictures_and_grows_with_noise_there():
    truth = np.random.default_rng(0).integers(100, 120, (4, 16, 16, 3), dtype="uint8")
    assert evaluation.frame_ratio(truth[None], truth)[0] == pytest.approx(1)
    louder = (truth.astype(int) * 2 - 100).astype("uint8")
    assert evaluation.frame_ratio(louder[None], truth)[0] == pytest.approx(2, abs=1e-6)
    inner = truth.copy()
    inner[:, 1:-1, 1:-1] = 255
    assert evaluation.frame_ratio(inner[None], truth)[0] == pytest.approx(1), "only the frame counts"
    with pytest.raises(ValueError, match="measure with more things"):
        evaluation.frame_ratio(inner[None], np.full_like(truth, 7))
