"""A latent diffusion model: its parts together, at small and at real size."""

from diffusion_tiny import controlled_inputs, run, tiny_diffusion, tiny_unet, unet_inputs
from utils.diffusion import controlnet, latent_diffusion
from utils.diffusion.schedule import timestep_embedding
from utils.diffusion.unet import build_unet

import numpy as np
import pytest


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
    for widths, attention, side, message in (
        ((40, 64), (True, True), 8, "width 40 must be a multiple of groups"),
        ((32, 64), (True,), 8, "2 widths but 1 entries"),
        ((32, 64, 96), (True, True, True), 10, "cannot be halved 2 times"),
    ):
        with pytest.raises(ValueError, match=message):
            build_unet((side, side, 4), (6, 32), widths, 1, attention, groups=32)
    with pytest.raises(ValueError, match="parts must be of"):
        latent_diffusion.load_stable_diffusion(parts=("unet", "vae"))
    with pytest.raises(ValueError, match="multiple of 64"):
        latent_diffusion.load_stable_diffusion(image_size=100)
    with pytest.raises(ValueError, match="needs the part decoder"):
        latent_diffusion.LatentDiffusion().decode(np.zeros((1, 8, 8, 4)))


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(latent_diffusion, "TextEncoder", no_network)
    with pytest.raises(RuntimeError, match=r"weights of the text_encoder could not be fetched \(no network\)"):
        latent_diffusion.load_stable_diffusion(parts=("text_encoder",))


@pytest.mark.slow
def test_vae_at_real_size_gives_moments_and_undoes_its_scale():
    vae = latent_diffusion.load_stable_diffusion(image_size=64, pretrained=False, parts=("image_encoder", "decoder"))
    assert vae.image_encoder.count_params() == 34_163_664
    assert vae.decoder.count_params() == 49_490_199
    moments = vae.encode_images(np.zeros((1, 64, 64, 3)))
    assert moments.shape == (1, 8, 8, 8)
    assert vae.decode(np.asarray(vae.sample_latents(moments, seed=0))).shape == (1, 64, 64, 3)


@pytest.mark.slow
def test_real_size_starts_bit_identical_and_only_the_branch_moves():
    """Stable Diffusion 1 at 128x128 with random weights. Needs 13 GB of memory."""
    from utils.diffusion import batches, trainers, training

    sd = latent_diffusion.load_stable_diffusion(image_size=128, pretrained=False, parts=("unet",))
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
    trainer = trainers.ControlNetTrainer(sd, branch, config)
    rng = np.random.default_rng(0)
    inputs = {
        "latent": rng.normal(size=(1, 16, 16, 4)).astype("float32"),
        "timestep_embedding": np.asarray(timestep_embedding(np.array([500]), 320)),
        "context": rng.normal(size=(1, 77, 768)).astype("float32"),
    }
    hint = rng.random((1, 128, 128, 3), "float32")
    residuals = run(branch, {**inputs, "hint": hint})
    assert len(residuals) == 13
    plain = run(sd.unet, inputs)
    np.testing.assert_array_equal(run(trainer.unet, controlled_inputs(inputs, residuals)), plain)

    examples = {"moments": rng.normal(size=(1, 16, 16, 8)), "context": inputs["context"], "hint": hint}
    examples = {name: array.astype("float32") for name, array in examples.items()}
    history = training.train(trainer, batches.cached_batches(examples, 1, seed=0), progress=False)
    assert np.isfinite(history["loss"]).all()
    np.testing.assert_array_equal(run(sd.unet, inputs), plain)
    assert all(residual.any() for residual in run(branch, {**inputs, "hint": hint}))


@pytest.mark.slow
def test_real_unet_takes_the_weights_of_kerascv_and_computes_the_same():
    """Stable Diffusion 1 at 64x64, ours and KerasCV's. Needs 10 GB of memory."""
    from keras_cv.models.stable_diffusion import DiffusionModel

    theirs = DiffusionModel(64, 64, 77, download_weights=False)
    ours = latent_diffusion.load_stable_diffusion(64, pretrained=False, parts=("unet",)).unet
    ours.set_weights(theirs.get_weights())
    rng = np.random.default_rng(0)
    shapes = {"latent": (8, 8, 4), "timestep_embedding": (320,), "context": (77, 768)}
    inputs = {name: rng.normal(size=(1, *shape)).astype("float32") for name, shape in shapes.items()}
    np.testing.assert_allclose(run(ours, inputs), run(theirs, inputs), atol=1e-3)
