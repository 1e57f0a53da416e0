"""The noise: schedule, noising, time embedding, steps and weights of the loss."""

from utils.diffusion import schedule

import keras
import numpy as np
import pytest
from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD
from keras_cv.src.models.stable_diffusion.stable_diffusion import StableDiffusionBase


def test_schedule_is_that_of_the_published_weights():
    ours = schedule.alphas_cumprod()
    assert np.abs(ours - np.array(_ALPHAS_CUMPROD)).max() < 3e-7
    assert (np.diff(ours) < 0).all()


def test_noise_keeps_the_variance_and_ends_in_noise():
    rng = np.random.default_rng(0)
    latents, noise = rng.normal(size=(2, 3, 32, 32, 4)).astype("float32")
    noisy = np.asarray(schedule.add_noise(keras.ops.convert_to_tensor(latents), noise, np.array([0, 500, 999])))
    np.testing.assert_allclose(noisy.std(axis=(1, 2, 3)), 1.0, atol=0.05)
    for index, step in enumerate((0, 500, 999)):
        signal = schedule.alphas_cumprod()[step]
        expected = np.sqrt(signal) * latents[index] + np.sqrt(1 - signal) * noise[index]
        np.testing.assert_allclose(noisy[index], expected, atol=1e-5)


def test_time_embedding_agrees_with_kerascv_for_every_step_of_a_batch():
    steps = np.array([0, 1, 480, 999])
    ours = np.asarray(schedule.timestep_embedding(steps, 320))
    theirs = [np.asarray(StableDiffusionBase()._get_timestep_embedding(int(step), 1))[0] for step in steps]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=2e-4)  # float32 angles of up to 999 radians
    with pytest.raises(ValueError, match="width must be even"):
        schedule.timestep_embedding(steps, width=7)


def test_balance_lifts_strong_noise_up_to_the_error_of_v():
    signal = schedule.alphas_cumprod().astype("float64")
    plain, lifted, of_v = (schedule.loss_weights(None, balance) for balance in (0.0, 0.5, 1.0))
    assert (plain == 1).all()
    np.testing.assert_allclose(of_v, 1 / signal, rtol=1e-4)  # v = (noise - sqrt(1 - signal) z) / sqrt(signal)
    np.testing.assert_allclose(lifted, np.sqrt(of_v), rtol=1e-4)
    np.testing.assert_allclose(schedule.loss_weights(5.0, 0.5), schedule.loss_weights(5.0) * lifted, rtol=1e-4)


def test_steps_of_a_batch_are_spread_evenly():
    for offset in (0.0, 0.3, 0.99999):
        steps = np.asarray(schedule.stratified_timesteps(np.array([offset], "float32"), 8))
        assert steps.dtype == np.int32 and 0 <= steps.min() and steps.max() < 1000
        assert (np.sort(steps) // 125 == np.arange(8)).all()
