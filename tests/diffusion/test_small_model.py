"""The small model's files and its configuration."""

import dataclasses
import json

from small_tiny import CONFIG
from utils.diffusion import small_model as S

import keras
import numpy as np
import pytest


@pytest.fixture(scope="module")
def diffusion():
    keras.utils.set_random_seed(0)
    return S.build_small_model(CONFIG)


@pytest.fixture
def folder(tmp_path, diffusion):
    S.save_small_model(diffusion, CONFIG, tmp_path / "weights")
    return tmp_path / "weights"


def test_sizes_of_the_model_that_is_shipped():
    full = S.build_small_model(S.SmallModelConfig.for_size(64, vocabulary=tuple(f"w{i}" for i in range(1100))))
    parts = (full.unet, full.text_encoder, full.image_encoder, full.decoder)
    assert 5e6 <= sum(part.count_params() for part in parts) <= 20e6
    assert full.decoder.output_shape == (None, 64, 64, 3)


def test_what_is_saved_is_loaded_to_within_half_precision(folder, diffusion):
    config, loaded = S.load_small_model(folder)
    assert config == CONFIG
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


def test_the_decoder_undoes_what_sample_latents_does(diffusion):
    means = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype("float32")
    latents = np.asarray(diffusion.sample_latents(np.concatenate([means, means], -1)))
    assert np.allclose(latents, (means - CONFIG.latent_mean) / CONFIG.latent_std, atol=1e-5)
    restored = diffusion.decoder.layers[1](latents)
    assert np.allclose(restored, means, atol=1e-5)


@pytest.mark.parametrize("name", ["small_model.json", "vae.safetensors", "diffusion.safetensors"])
def test_a_missing_file_is_named_with_what_to_do(folder, name):
    (folder / name).unlink()
    with pytest.raises(S.WeightsError, match=rf"{name}: not found.*utils\.diffusion\.pretrain"):
        S.load_small_model(folder)


@pytest.mark.parametrize("name", ["vae.safetensors", "diffusion.safetensors"])
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(S.WeightsError, match=f"{name}: cannot be read"):
        S.load_small_model(folder)


def test_a_configuration_that_is_none(folder):
    for text in ("{", '{"vocabulary": ["a"], "colour": 3}', "[1]"):
        (folder / "small_model.json").write_text(text)
        with pytest.raises(S.WeightsError, match="not a configuration"):
            S.load_small_model(folder)


@pytest.mark.parametrize("change", [{"text_depth": 2}, {"unet_widths": [32, 64]}, {"vocabulary": ["a"]}])
def test_weights_that_do_not_fit_their_configuration(folder, change):
    values = json.loads((folder / "small_model.json").read_text())
    (folder / "small_model.json").write_text(json.dumps(values | change))
    with pytest.raises(S.WeightsError, match="does not fit"):
        S.load_small_model(folder)


def test_weights_that_are_not_finite_are_not_written(tmp_path, diffusion):
    bias = diffusion.image_encoder.weights[1]
    kept = bias.numpy() if hasattr(bias, "numpy") else np.array(bias)
    bias.assign(np.full(bias.shape, 1e6))
    with pytest.raises(S.WeightsError, match="not finite"):
        S.save_small_model(diffusion, CONFIG, tmp_path)
    bias.assign(kept)


def test_files_of_the_first_edition_are_read(tmp_path):
    old = {"vocabulary": ["a", "b"], "latent_mean": [0, 1, 2, 3], "latent_deviation": [1, 2, 3, 4], "image_size": 64}
    (tmp_path / "small_model.json").write_text(json.dumps({**old, "text_depth": 1}))
    config = S.read_config(tmp_path / "small_model.json")
    assert (config.latent_std, config.text_depth) == ((1, 2, 3, 4), 1)
    assert config == S.SmallModelConfig.for_size(
        64, vocabulary=("a", "b"), latent_mean=(0, 1, 2, 3), latent_std=(1, 2, 3, 4), text_depth=1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hint_widths": (8, 8)}, "3 vae_widths but 2 entries in hint_widths"),
        ({"image_size": 34}, "cannot be halved 2 times"),
        ({"latent_std": (1.0,)}, "expected 4 numbers in latent_std"),
    ],
)
def test_sizes_that_contradict_each_other_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)
    with pytest.raises(ValueError, match=r"one of \(64, 128\), got 96"):
        S.SmallModelConfig.for_size(96, vocabulary=("a",))


def test_encoder_decoder_and_unet_take_their_groups_from_the_configuration():
    config = dataclasses.replace(CONFIG, encoder_groups=16, decoder_groups=None, unet_groups=32)
    encoder, decoder = config.build_vae()
    unet = S.build_small_model(config).unet

    def groups(network):
        norms = [layer for layer in network.layers if isinstance(layer, keras.layers.GroupNormalization)]
        return {layer.groups for layer in norms}

    assert (groups(encoder), groups(decoder), groups(unet)) == ({16}, {4}, {32})
