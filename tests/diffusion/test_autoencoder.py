"""The small VAE: shapes, a loss that is what the papers say, and that it learns."""

from utils.diffusion import autoencoder as A

import keras
import numpy as np
import pytest
from keras import ops

TINY = {"size": 16, "widths": (32, 32), "blocks": (0, 1)}


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return A.Autoencoder(A.build_encoder(**TINY), A.build_decoder(**TINY))


def pictures(count=8):
    """Flat squares on flat backgrounds, in [-1, 1]."""
    rng = np.random.default_rng(0)
    batch = np.ones((count, 16, 16, 3), "float32") * rng.uniform(-1, 1, (count, 1, 1, 3))
    batch[:, 4:12, 4:12] = rng.uniform(-1, 1, (count, 1, 1, 3))
    return batch.astype("float32")


def test_shapes_of_the_model_that_is_shipped():
    encoder, decoder = A.build_encoder(), A.build_decoder()
    assert encoder.output_shape == (None, 16, 16, 8)
    assert decoder.input_shape == (None, 16, 16, 4) and decoder.output_shape == (None, 64, 64, 3)
    assert 1e6 < encoder.count_params() + decoder.count_params() < 4e6


def test_without_training_the_mean_is_decoded_and_nothing_is_random(model):
    x = pictures()
    first, moments = model(x)
    assert np.array_equal(first, model(x)[0])
    assert np.allclose(first, model.decoder(moments[..., :4]), atol=1e-6)
    assert not np.array_equal(model(x, training=True)[0], model(x, training=True)[0])


def test_loss_by_hand(model):
    x = pictures(2)
    reconstruction = x + 0.5
    mean, log_variance = np.full((2, 8, 8, 4), 2.0, "float32"), np.full((2, 8, 8, 4), -1.0, "float32")
    moments = np.concatenate([mean, log_variance], -1)
    kl = 0.5 * (4.0 + np.exp(-1.0) - 1.0 + 1.0)
    expected = 0.8 * 0.25 + 0.2 * 0.5 + 1e-4 * kl
    assert float(model.compute_loss(x, y_pred=(reconstruction, moments))) == pytest.approx(expected, rel=1e-5)


def test_kl_is_zero_for_a_standard_normal(model):
    x, moments = pictures(2), np.zeros((2, 8, 8, 8), "float32")
    assert float(model.compute_loss(x, y_pred=(x, moments))) == pytest.approx(0, abs=1e-7)


def test_it_learns(model):
    model.compile(optimizer=keras.optimizers.Adam(3e-3), jit_compile=keras.backend.backend() == "jax")
    x = pictures()
    before = float(ops.mean(A.psnr(x, model(x)[0])))
    for _ in range(80):
        model.train_on_batch(x)
    assert float(ops.mean(A.psnr(x, model(x)[0]))) > before + 6


def test_psnr_by_hand():
    x = np.zeros((2, 4, 4, 3), "float32")
    y = np.stack([np.full((4, 4, 3), 0.2), np.full((4, 4, 3), 7.0)]).astype("float32")  # 7 is clipped to 1
    assert np.array(A.psnr(x, y)) == pytest.approx([20.0, 10 * np.log10(4)], abs=1e-3)
