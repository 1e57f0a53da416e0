"""The small model's files, and the script that trains it: restarts, batches, clear stops."""

import dataclasses
import json

from utils.diffusion import checkpoints, controlnet, metrics, pretrain, small

import keras
import numpy as np
import pytest

CONFIG = small.SmallConfig(
    vocabulary=("a", "background", "blue", "on", "red", "tent"),
    latent_mean=(1.0, -2.0, 0.5, 0.0),
    latent_deviation=(2.0, 1.0, 0.5, 3.0),
    image_size=32,
    caption_length=10,
    text_width=32,
    text_depth=1,
    unet_widths=(32, 32),
    unet_attention=(False, True),
)


@pytest.fixture(scope="module")
def diffusion():
    keras.utils.set_random_seed(0)
    return small.build_small_model(CONFIG)


@pytest.fixture
def folder(tmp_path, diffusion):
    small.save_small_model(diffusion, CONFIG, tmp_path / "weights")
    return tmp_path / "weights"


# The files


def test_sizes_of_the_model_that_is_shipped():
    full = small.build_small_model(small.SmallConfig(vocabulary=tuple(f"w{i}" for i in range(1100))))
    parts = (full.unet, full.text_encoder, full.image_encoder, full.decoder)
    assert 5e6 <= sum(part.count_params() for part in parts) <= 20e6
    assert full.decoder.output_shape == (None, 64, 64, 3)


def test_what_is_saved_is_loaded_to_within_half_precision(folder, diffusion):
    loaded = small.load_small_model(folder)
    rng = np.random.default_rng(0)
    contexts = diffusion.encode_text("a red tent on a blue background")
    assert np.allclose(contexts, loaded.encode_text("a red tent on a blue background"), atol=0.02)
    photos = rng.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    assert np.allclose(diffusion.encode_images(photos), loaded.encode_images(photos), atol=0.05)
    inputs = {
        "latent": rng.normal(size=(1, 8, 8, 4)).astype("float32"),
        "timestep_embedding": rng.normal(size=(1, 32)).astype("float32"),
        "context": contexts,
    }
    assert np.allclose(diffusion.unet.predict(inputs, verbose=0), loaded.unet.predict(inputs, verbose=0), atol=0.05)
    assert loaded.tokenizer.vocabulary == list(CONFIG.vocabulary)
    before, after = (model.decode(inputs["latent"]).astype(int) for model in (diffusion, loaded))
    assert np.abs(before - after).max() <= 2


def test_the_decoder_undoes_what_draw_latents_does(diffusion):
    means = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    latents = np.asarray(diffusion.draw_latents(np.concatenate([means, means], -1)))
    assert np.allclose(latents, (means - CONFIG.latent_mean) / CONFIG.latent_deviation, atol=1e-5)
    restored = diffusion.decoder.layers[1](latents)
    assert np.allclose(restored, means, atol=1e-5)


@pytest.mark.parametrize("name", ["small_model.json", "vae.safetensors", "diffusion.safetensors"])
def test_a_missing_file_is_named_with_what_to_do(folder, name):
    (folder / name).unlink()
    with pytest.raises(small.WeightsError, match=rf"{name}: not found.*utils\.diffusion\.pretrain"):
        small.load_small_model(folder)


@pytest.mark.parametrize("name", ["vae.safetensors", "diffusion.safetensors"])
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(small.WeightsError, match=f"{name}: cannot be read"):
        small.load_small_model(folder)


def test_a_configuration_that_is_none(folder):
    for text in ("{", '{"vocabulary": ["a"], "colour": 3}', "[1]"):
        (folder / "small_model.json").write_text(text)
        with pytest.raises(small.WeightsError, match="not a configuration"):
            small.load_small_model(folder)


@pytest.mark.parametrize("change", [{"text_depth": 2}, {"unet_widths": [32, 64]}, {"vocabulary": ["a"]}])
def test_weights_that_do_not_fit_their_configuration(folder, change):
    values = json.loads((folder / "small_model.json").read_text())
    (folder / "small_model.json").write_text(json.dumps(values | change))
    with pytest.raises(small.WeightsError, match="does not fit"):
        small.load_small_model(folder)


def test_weights_that_are_not_finite_are_not_written(tmp_path, diffusion):
    bias = diffusion.image_encoder.weights[1]
    kept = bias.numpy() if hasattr(bias, "numpy") else np.array(bias)
    bias.assign(np.full(bias.shape, 1e6))
    with pytest.raises(small.WeightsError, match="not finite"):
        small.save_small_model(diffusion, CONFIG, tmp_path)
    bias.assign(kept)


# The training script


class Line(keras.Model):
    """Learns the sum of its inputs: the smallest model that `train` can train."""

    def __init__(self, steps):
        super().__init__()
        keras.utils.set_random_seed(1)
        self.dense = keras.layers.Dense(1)
        self.compile(optimizer=pretrain.make_optimizer(steps, 1e-2), jit_compile=keras.backend.backend() == "jax")
        self(np.zeros((1, 3), "float32"))
        self.optimizer.build(self.trainable_variables)

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred - keras.ops.sum(x, axis=1, keepdims=True)))


def batch(step):
    return np.random.default_rng(step).normal(size=(16, 3)).astype("float32")


def test_a_restarted_run_ends_with_the_same_weights(tmp_path):
    whole, first, second = Line(30), Line(30), Line(30)
    pretrain.train(whole, tmp_path / "whole", 30, batch, lambda: {}, every=10)

    def stop_at_17(step):
        if step == 17:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        pretrain.train(first, tmp_path / "cut", 30, stop_at_17, lambda: {}, every=10)
    pretrain.train(second, tmp_path / "cut", 30, batch, lambda: {}, every=10)
    for expected, found in zip(whole.get_weights(), second.get_weights(), strict=True):
        assert np.allclose(expected, found, atol=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]


def test_evaluation_sees_the_average_and_training_goes_on_from_the_raw_weights(tmp_path):
    model, seen = Line(12), []
    pretrain.train(model, tmp_path, 12, batch, lambda: seen.append(model.get_weights()) or {}, every=12)
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(seen[0], model.get_weights(), strict=True))
    averaged = Line(12)
    averaged.load_weights(tmp_path / "ema.weights.h5")
    for expected, found in zip(seen[0], averaged.get_weights(), strict=True):
        assert np.allclose(expected, found)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(tmp_path):
    def poisoned(step):
        return batch(step) * (np.nan if step == 14 else 1)

    with pytest.raises(FloatingPointError, match=r"nan at step 14.*last\.weights\.h5"):
        pretrain.train(Line(30), tmp_path, 30, poisoned, lambda: {}, every=10)
    model = Line(30)
    model.load_weights(tmp_path / "last.weights.h5")
    assert int(model.optimizer.iterations) == 10 and np.isfinite(model.get_weights()[0]).all()


def test_learning_rate_warms_up_and_decays():
    optimizer = pretrain.make_optimizer(1000, 1e-3, warm_up=100)
    rate = [float(optimizer._learning_rate(step)) for step in (0, 50, 100, 550, 1000)]
    assert rate == pytest.approx([0.0, 5e-4, 1e-3, 5.05e-4, 1e-5], rel=0.02)


@pytest.fixture
def cache(tmp_path):
    table = [
        {"caption": "a red tent on a blue background", "thing": "tent", "colours": ["red"], "background": "blue"},
        {"caption": "a blue tent on a red background", "thing": "tent", "colours": ["blue"], "background": "red"},
    ]
    for side, rows in (("train", table), ("held_out", 2 * table)):
        (tmp_path / f"{side}.json").write_text(json.dumps(rows))
    latents = np.stack([np.full((8, 8, 4), value) for value in (0.0, 1.0)]).astype("float16")
    np.save(tmp_path / "train_latents.npy", latents)
    return tmp_path


def test_batches_keep_latents_and_captions_together_and_drop_some(cache, diffusion):
    make_batch = pretrain.caption_batches(cache, diffusion.tokenizer, 4000, empty=0.1, unnamed=0.2)
    batch, again, other = make_batch(3), make_batch(3), make_batch(4)
    assert all((batch[name] == again[name]).all() for name in batch)
    assert (batch["noise"] != other["noise"]).any()
    red, blue = (diffusion.tokenizer._numbers[word] for word in ("red", "blue"))
    first = batch["tokens"][:, 2]  # start, article, first colour
    named = first != 0
    assert 0.08 < 1 - np.isin(first, (red, blue)).mean() < 0.12
    assert 0.19 < (batch["tokens"][named][:, 3] == 3).mean() < 0.26  # 0.2 of 0.9: the thing is unknown
    is_red = batch["latents"][:, 0, 0, 0] == 0
    assert not (first[is_red] == blue).any()
    assert not (first[~is_red] == red).any()
    assert batch["timesteps"].min() >= 0 and 900 < batch["timesteps"].max() < 1000


def test_caption_trainer_loss_by_hand_and_it_learns(cache, diffusion):
    model = pretrain.CaptionTrainer(diffusion.unet, diffusion.text_encoder)
    model.compile(optimizer=keras.optimizers.Adam(2e-3), jit_compile=keras.backend.backend() == "jax")
    make_batch = pretrain.caption_batches(cache, diffusion.tokenizer, 8)
    batch = make_batch(0)
    prediction = batch["noise"] + 0.5
    weights = pretrain.loss_weights(5.0, 0.5)[batch["timesteps"]]
    assert float(model.compute_loss(batch, y_pred=prediction)) == pytest.approx(0.25 * weights.mean(), rel=1e-4)
    losses = [float(model.train_on_batch(make_batch(step))) for step in range(40)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


# The branch


@pytest.fixture
def sketches(cache):
    rng = np.random.default_rng(0)
    for side, count in (("train", 2), ("held_out", 4)):
        np.save(cache / f"{side}_sketches.npy", rng.integers(0, 256, (count, 32, 32), dtype="uint8"))
        np.save(cache / f"{side}_photos.npy", rng.integers(0, 256, (count, 32, 32, 3), dtype="uint8"))
    return cache


def test_branch_learns_from_the_cached_latents_and_inverted_sketches(sketches, diffusion):
    examples = pretrain.branch_examples(sketches, CONFIG, diffusion)
    assert {name: array.shape for name, array in examples.items()} == {
        "moments": (2, 8, 8, 8),
        "context": (2, 10, 32),
        "hint": (2, 32, 32, 3),
    }
    latents = np.asarray(diffusion.draw_latents(examples["moments"], seed=0))
    assert np.allclose(latents, np.load(sketches / "train_latents.npy"), atol=0.01)
    assert (examples["hint"][..., 1] == 255 - np.load(sketches / "train_sketches.npy")).all()
    expected = diffusion.encode_text(["a red tent on a blue background", "a blue 0 on a red background"])
    assert np.allclose(examples["context"], expected, atol=0.01)


def test_branch_is_exported_logged_and_goes_on(sketches, monkeypatch):
    own = small.build_small_model(CONFIG)  # training freezes it
    few = dataclasses.replace(pretrain.BRANCH, batch_size=2, save_every=1, preview_every=2, warmup_updates=0)
    monkeypatch.setattr(pretrain, "BRANCH", few)
    monkeypatch.setattr(pretrain, "load_trained", lambda cache: (CONFIG, own))
    for steps in (2, 4):
        pretrain.train_branch(sketches, steps, sketches / "weights")
    log = [json.loads(line) for line in (sketches / "checkpoints" / "branch" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [2, 4] and "silhouette_iou" in log[0] and "main_colour" in log[0]
    branch = controlnet.build_controlnet(own.unet, hint_widths=small.HINT_WIDTHS)
    checkpoints.load_controlnet(branch, sketches / "weights" / small.BRANCH_FILE)
    assert any(np.any(weights) for weights in branch.get_layer("zero_0").get_weights()), "the exits have moved"
    small.save_small_model(own, CONFIG, sketches / "weights")
    monkeypatch.setitem(pretrain.VARIANTS, "held_out", 2)
    monkeypatch.setattr(metrics, "normalise", lambda value, floor, ceiling: value)  # noise has no range
    results = pretrain.evaluate_branch(sketches, sketches / "weights", seeds=1)
    assert results["sketches"] == 2 and len(results["control"]) == 4
    assert list(results["captions"]) == ["no control", "shuffled sketches", "control"]
    assert json.loads((sketches / "weights" / "control.json").read_text())["seeds"] == 1
