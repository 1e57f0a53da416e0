"""The parts of Stable Diffusion: schedule, time embedding, latents, tokenizers, small and real networks."""

import gzip

from diffusion_tiny import controlled_inputs, run, tiny_diffusion, tiny_unet, unet_inputs
from utils.diffusion import stable_diffusion

import keras
import numpy as np
import pytest
from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD
from keras_cv.src.models.stable_diffusion.stable_diffusion import StableDiffusionBase


def test_schedule_is_that_of_the_published_weights():
    ours = stable_diffusion.alphas_cumprod()
    assert np.abs(ours - np.array(_ALPHAS_CUMPROD)).max() < 3e-7
    assert (np.diff(ours) < 0).all()


def test_noise_keeps_the_variance_and_ends_in_noise():
    rng = np.random.default_rng(0)
    latents, noise = rng.normal(size=(2, 3, 32, 32, 4)).astype("float32")
    noisy = np.asarray(stable_diffusion.add_noise(keras.ops.convert_to_tensor(latents), noise, np.array([0, 500, 999])))
    np.testing.assert_allclose(noisy.std(axis=(1, 2, 3)), 1.0, atol=0.05)
    for index, step in enumerate((0, 500, 999)):
        signal = stable_diffusion.alphas_cumprod()[step]
        expected = np.sqrt(signal) * latents[index] + np.sqrt(1 - signal) * noise[index]
        np.testing.assert_allclose(noisy[index], expected, atol=1e-5)


def test_time_embedding_agrees_with_kerascv_for_every_step_of_a_batch():
    steps = np.array([0, 1, 480, 999])
    ours = np.asarray(stable_diffusion.timestep_embedding(steps))
    theirs = [np.asarray(StableDiffusionBase()._get_timestep_embedding(int(step), 1))[0] for step in steps]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=2e-4)  # float32 angles of up to 999 radians
    with pytest.raises(ValueError, match="width must be even"):
        stable_diffusion.timestep_embedding(steps, width=7)


def test_latents_are_drawn_then_scaled_once():
    moments = np.concatenate([np.full((1, 64, 64, 4), 3.0), np.full((1, 64, 64, 4), np.log(0.25))], -1).astype(
        "float32"
    )
    mean = np.asarray(stable_diffusion.draw_latents(moments))
    np.testing.assert_allclose(mean, 3.0 * 0.18215, rtol=1e-6)
    drawn = np.asarray(stable_diffusion.draw_latents(moments, seed=1, shift=1.0, scale=2.0))
    assert drawn.mean() == pytest.approx(4.0, abs=0.05)
    assert drawn.std() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(drawn, np.asarray(stable_diffusion.draw_latents(moments, 1, 1.0, 2.0)))
    extreme = np.concatenate([np.zeros((1, 2, 2, 4)), np.full((1, 2, 2, 4), 1e9)], -1).astype("float32")
    assert np.isfinite(np.asarray(stable_diffusion.draw_latents(extreme, seed=1))).all()


def test_word_tokenizer_pads_cuts_and_knows_what_it_does_not_know():
    tokenizer = stable_diffusion.WordTokenizer(["a", "red", "bird"], max_length=6)
    assert tokenizer.size == 7
    rows = tokenizer(["A red bird.", "", "a red green bird a red", "bird"])
    assert rows.tolist() == [[1, 4, 5, 6, 2, 0], [1, 2, 0, 0, 0, 0], [1, 4, 5, 3, 6, 2], [1, 6, 2, 0, 0, 0]]
    assert tokenizer("bird").dtype == "int32"
    with pytest.raises(ValueError, match=r"more than once: \['red'\]"):
        stable_diffusion.WordTokenizer(["red", "red"])
    with pytest.raises(TypeError, match="caption 1 is None"):
        tokenizer(["bird", None])


@pytest.fixture
def vocabulary_path(tmp_path):
    """A byte-pair vocabulary in CLIP's format with two merges."""
    path = tmp_path / "bpe.txt.gz"
    path.write_bytes(gzip.compress(b"#version: 0.2\nr e\nre d</w>"))
    return path


def test_clip_tokenizer_reads_a_local_vocabulary_pads_and_cuts(vocabulary_path):
    tokenizer = stable_diffusion.ClipTokenizer(vocabulary_path)
    start, end = tokenizer.size - 2, tokenizer.size - 1
    rows = tokenizer(["red", "red " * 200])
    assert rows.shape == (2, 77)
    assert rows[0, :4].tolist() == [start, tokenizer.size - 3, end, end]
    assert (rows[0, 3:] == end).all()
    assert rows[1, 0] == start
    assert rows[1, -1] == end
    assert (rows[1, 1:-1] == tokenizer.size - 3).all()
    assert stable_diffusion.ClipTokenizer(vocabulary_path, pad=0)("red")[0, 3:].max() == 0
    with pytest.raises(FileNotFoundError, match="absent"):
        stable_diffusion.ClipTokenizer(vocabulary_path.with_name("absent"))
    vocabulary_path.write_bytes(b"no gzip file")
    with pytest.raises(RuntimeError, match="byte-pair vocabulary"):
        stable_diffusion.ClipTokenizer(vocabulary_path)


def test_small_networks_have_the_inputs_of_kerascv():
    unet = tiny_unet()
    assert [tensor.name for tensor in unet.inputs] == ["latent", "timestep_embedding", "context"]
    inputs = unet_inputs()
    backwards = dict(reversed(inputs.items()))
    np.testing.assert_array_equal(run(unet, inputs), run(unet, backwards))
    assert unet.output_shape == (None, 8, 8, 4)
    assert [tensor.name for tensor in tiny_diffusion().text_encoder.inputs] == ["tokens", "positions"]


def test_context_and_step_reach_the_output():
    inputs = unet_inputs()
    for name in ("context", "timestep_embedding"):
        assert np.abs(run(tiny_unet(), inputs) - run(tiny_unet(), {**inputs, name: inputs[name] + 1})).max() > 1e-4


def test_captions_become_contexts_that_depend_on_what_was_said_before():
    contexts = tiny_diffusion().encode_text(["red bird", "blue bird", "red fish"])
    assert contexts.shape == (3, 6, 32)
    np.testing.assert_allclose(contexts[0, :2], contexts[2, :2], atol=1e-5)  # "<start> red": nothing ahead is seen
    assert np.abs(contexts[0, 2] - contexts[1, 2]).max() > 1e-3  # "bird" after "red" and after "blue"


def test_sizes_that_do_not_fit_are_named():
    for options, message in (
        ({"widths": (40, 64), "attention": (True, True)}, "width 40 must be a multiple of 32"),
        ({"widths": (32, 64), "attention": (True,)}, "2 widths but 1 entries"),
        ({"latent_shape": (10, 10, 4)}, "cannot be halved 2 times"),
    ):
        with pytest.raises(ValueError, match=message):
            stable_diffusion.build_unet(**options)
    for options, message in (
        ({"version": "3"}, "version must be one of"),
        ({"weights": "imagenet"}, "weights must be one of"),
        ({"parts": ("unet", "vae")}, "parts must be one of"),
        ({"image_size": 100}, "multiple of 64"),
    ):
        with pytest.raises(ValueError, match=message):
            stable_diffusion.load_stable_diffusion(**options)


@pytest.mark.slow
def test_vae_at_real_size_gives_moments_and_undoes_its_scale():
    vae = stable_diffusion.load_stable_diffusion(image_size=64, weights=None, parts=("image_encoder", "decoder"))
    assert vae.image_encoder.count_params() == 34_163_664
    assert vae.decoder.count_params() == 49_490_199
    moments = vae.encode_images(np.zeros((1, 64, 64, 3)))
    assert moments.shape == (1, 8, 8, 8)
    assert vae.decode(np.asarray(vae.draw_latents(moments, seed=0))).shape == (1, 64, 64, 3)


@pytest.mark.slow
def test_real_size_starts_bit_identical_and_only_the_branch_moves():
    """Stable Diffusion 1 at 128x128 with random weights. Needs 13 GB of memory."""
    from utils.diffusion import controlnet, training

    sd = stable_diffusion.load_stable_diffusion(image_size=128, weights=None, parts=("unet",))
    branch = controlnet.build_controlnet(sd.unet)
    assert sd.unet.count_params() == 859_520_964
    assert branch.count_params() == 361_279_120
    parts = {
        "zero": sum(layer.count_params() for layer in branch.layers if layer.name.startswith("zero_")),
        "hint": sum(layer.count_params() for layer in branch.layers if layer.name.startswith("hint_")),
        "copied": sum(copy.count_params() for _, copy in controlnet.copy_layer_pairs(sd.unet, branch)),
    }
    assert parts == {"zero": 11_479_680, "hint": 1_086_480, "copied": 348_712_960}

    config = training.TrainingConfig(
        steps=2, batch_size=1, accumulation=1, ema=None, warmup_updates=0, learning_rate=1e-4, prompt_dropout=0.0
    )
    trainer = training.ControlNetTrainer(sd, branch, config)
    rng = np.random.default_rng(0)
    inputs = {
        "latent": rng.normal(size=(1, 16, 16, 4)).astype("float32"),
        "timestep_embedding": np.asarray(stable_diffusion.timestep_embedding(np.array([500]))),
        "context": rng.normal(size=(1, 77, 768)).astype("float32"),
    }
    hint = rng.random((1, 128, 128, 3), "float32")
    residuals = run(branch, {**inputs, "hint": hint})
    assert len(residuals) == 13
    plain = run(sd.unet, inputs)
    np.testing.assert_array_equal(run(trainer.unet, controlled_inputs(inputs, residuals)), plain)

    examples = {"moments": rng.normal(size=(1, 16, 16, 8)), "context": inputs["context"], "hint": hint}
    examples = {name: array.astype("float32") for name, array in examples.items()}
    history = training.train(trainer, examples, progress=False)
    assert np.isfinite(history["loss"]).all()
    np.testing.assert_array_equal(run(sd.unet, inputs), plain)
    assert all(residual.any() for residual in run(branch, {**inputs, "hint": hint}))
