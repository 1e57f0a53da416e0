"""The small VAE: shapes, a loss that is what the papers say, and that it learns."""

from utils.diffusion.small_model import SmallModelConfig, build_small_model
from utils.diffusion.trainers import AutoencoderTrainer
from utils.diffusion.training import TrainingConfig
from utils.diffusion.vae import build_decoder, build_encoder, sample_latents

import keras
import numpy as np
import pytest
from keras import ops

TINY = {"size": 16, "widths": (32, 32), "blocks": (0, 1), "latent_channels": 4, "groups": None}
CONFIG = TrainingConfig(learning_rate=3e-3, accumulation=1, warmup_updates=0, ema=None, weight_decay=0.0)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return AutoencoderTrainer(build_encoder(**TINY), build_decoder(**TINY), CONFIG)


def pictures(count=8):
    """Flat squares on flat backgrounds, in [-1, 1]."""
    rng = np.random.default_rng(0)
    batch = np.ones((count, 16, 16, 3), "float32") * rng.uniform(-1, 1, (count, 1, 1, 3))
    batch[:, 4:12, 4:12] = rng.uniform(-1, 1, (count, 1, 1, 3))
    return batch.astype("float32")


@pytest.mark.parametrize(("size", "channels"), [(64, 4), (128, 8)])
def test_shapes_of_the_two_sizes(size, channels):
    config = SmallModelConfig.for_size(size, vocabulary=("a",), unet_widths=(32,), unet_attention=(False,))
    diffusion = build_small_model(config)
    assert diffusion.image_encoder.output_shape == (None, 16, 16, 2 * channels)
    assert diffusion.decoder.input_shape == (None, 16, 16, channels)
    assert diffusion.decoder.output_shape == (None, size, size, 3)
    assert 1e6 < diffusion.image_encoder.count_params() + diffusion.decoder.count_params() < 4e6
    assert diffusion.latent_shape == (16, 16, channels)


def test_without_training_the_mean_is_decoded_and_nothing_is_random(model):
    batch = {"image": pictures()}
    first = model(batch)
    assert np.array_equal(first["reconstruction"], model(batch)["reconstruction"])
    assert np.allclose(first["reconstruction"], model.decoder(first["moments"][..., :4]), atol=1e-6)
    drawn = [np.asarray(model(batch, training=True)["reconstruction"]) for _ in range(2)]
    assert not np.array_equal(*drawn)


def test_loss_by_hand(model):
    x = pictures(2)
    mean, log_variance = np.full((2, 8, 8, 4), 2.0, "float32"), np.full((2, 8, 8, 4), -1.0, "float32")
    found = {"reconstruction": x + 0.5, "moments": np.concatenate([mean, log_variance], -1)}
    kl = 0.5 * (4.0 + np.exp(-1.0) - 1.0 + 1.0)
    expected = 0.8 * 0.25 + 0.2 * 0.5 + 1e-4 * kl
    assert float(model.compute_loss({"image": x}, y_pred=found)) == pytest.approx(expected, rel=1e-5)


def test_kl_is_zero_for_a_standard_normal(model):
    x, moments = pictures(2), np.zeros((2, 8, 8, 8), "float32")
    loss = model.compute_loss({"image": x}, y_pred={"reconstruction": x, "moments": moments})
    assert float(loss) == pytest.approx(0, abs=1e-7)


def test_it_learns(model):
    batch = {"image": pictures()}

    def error():
        return float(ops.mean(ops.square(model(batch)["reconstruction"] - batch["image"])))

    before = error()
    for _ in range(80):
        model.train_on_batch(batch)
    assert error() < before / 4


def test_latents_are_drawn_then_scaled_once():
    moments = np.concatenate([np.full((1, 64, 64, 4), 3.0), np.full((1, 64, 64, 4), np.log(0.25))], -1).astype(
        "float32"
    )
    mean = np.asarray(sample_latents(moments, scale=0.18215))
    np.testing.assert_allclose(mean, 3.0 * 0.18215, rtol=1e-6)
    drawn = np.asarray(sample_latents(moments, seed=1, shift=1.0, scale=2.0))
    assert drawn.mean() == pytest.approx(4.0, abs=0.05)
    assert drawn.std() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(drawn, np.asarray(sample_latents(moments, 1, 1.0, 2.0)))
    extreme = np.concatenate([np.zeros((1, 2, 2, 4)), np.full((1, 2, 2, 4), 1e9)], -1).astype("float32")
    assert np.isfinite(np.asarray(sample_latents(extreme, seed=1))).all()
