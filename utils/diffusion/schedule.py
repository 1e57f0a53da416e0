"""The noise: Stable Diffusion's schedule, noising, the embedding of the step, and the weights of the loss.

Sources: Ho et al. 2020 (arXiv 2006.11239) for the noise; Rombach et al. 2022 (arXiv 2112.10752) for the schedule; Hang
et al. 2023 (arXiv 2303.09556) for the Min-SNR weights; Kingma et al. 2021 (arXiv 2107.00630) for stratified steps.
"""

import math
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

__all__ = ["TRAIN_STEPS", "add_noise", "alphas_cumprod", "loss_weights", "stratified_timesteps", "timestep_embedding"]

Tensor: TypeAlias = Any  # a tensor of the backend, an array, or Keras's symbolic tensor: they have no common type

TRAIN_STEPS = 1000


def alphas_cumprod() -> np.ndarray:
    """Cumulative signal ᾱ of Stable Diffusion's schedule.

    The square roots of the betas rise linearly from √0.00085 to √0.012 ("scaled linear"). KerasCV's ``NoiseScheduler``
    has another schedule by default, with which the pretrained weights do not work.

    Returns
    -------
    np.ndarray
        Shape (1000,), float32, falling from 0.99915 to 0.0047.
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS, dtype="float64") ** 2
    return np.cumprod(1.0 - betas).astype("float32")


def add_noise(latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Latents at a diffusion step: √ᾱ latents + √(1 − ᾱ) noise (Ho et al. 2020, equation 4).

    Parameters
    ----------
    latents, noise : tensor
        Shape (batch, height, width, channels), any float dtype.
    timesteps : tensor
        Shape (batch,), int, in [0, 999].
    """
    signal = ops.take(ops.convert_to_tensor(alphas_cumprod()), timesteps)[:, None, None, None]
    noisy = ops.sqrt(signal) * ops.cast(latents, "float32") + ops.sqrt(1.0 - signal) * ops.cast(noise, "float32")
    return ops.cast(noisy, latents.dtype)


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of the step at ``width / 2`` frequencies from 1 down to nearly 1/10000.

    Parameters
    ----------
    timesteps : tensor
        Shape (batch,), int or float, in [0, 999].
    width : int
        Even; 320 in Stable Diffusion.

    Returns
    -------
    tensor
        Shape (batch, width), float32, in [-1, 1].
    """
    if width % 2:
        raise ValueError(f"timestep_embedding: width must be even, got {width}.")
    frequencies = ops.exp(-math.log(10000.0) * ops.arange(width // 2, dtype="float32") / (width // 2))
    angles = ops.cast(timesteps, "float32")[:, None] * frequencies[None]
    return ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)


def embedding_width(unet: keras.Model) -> int:
    """The width of the time embedding that a U-Net reads."""
    return int(unet.get_layer("timestep_embedding").output.shape[-1])


def stratified_timesteps(offset: Tensor, count: int) -> Tensor:
    """Steps that cover [0, 1000) evenly, shifted together at random: less noise in the loss than independent draws.

    Source: Kingma et al. 2021, appendix I.1.

    Parameters
    ----------
    offset : tensor of shape (1,), in [0, 1)
    count : int
        How many.

    Returns
    -------
    tensor
        Shape (count,), int32; each is uniform, all together are a comb.
    """
    positions = ops.arange(count, dtype="float32") / ops.cast(count, "float32") + offset
    return ops.minimum(ops.cast(positions % 1.0 * TRAIN_STEPS, "int32"), TRAIN_STEPS - 1)


def loss_weights(min_snr: float | None, balance: float = 0.0) -> np.ndarray:
    """Weight of the error at each step for a U-Net that predicts noise.

    Min-SNR: min(SNR, gamma) / SNR, so that weak noise, which is only fine grain, does not outweigh the rest (Hang et
    al. 2023, section 3.4). Times (1 + 1 / SNR) ** balance: strong noise is easy to recognise, so its error is small and
    teaches little, though it decides shape and colour. With 1, and without Min-SNR, the loss is the error of
    Salimans and Ho's v (2022, arXiv 2202.00512, section 4). With Min-SNR 5 and 0.5, weight times error of the course's
    small model lies between 0.05 and 0.20 at all steps from 50 on (things never seen); with 0 it falls from 0.18 at
    step 200 to 0.003 at step 999. Karras et al. learn weights that make all levels contribute alike (2024, arXiv
    2312.02696, section 2.2).

    Parameters
    ----------
    min_snr : float, optional
        Gamma; None leaves Min-SNR out.
    balance : float
        The exponent; 0 leaves that factor out.

    Returns
    -------
    np.ndarray
        Shape (1000,), float32, positive.
    """
    signal = alphas_cumprod().astype("float64")
    ratio = signal / (1.0 - signal)
    weights = 1.0 if min_snr is None else np.minimum(ratio, min_snr) / ratio
    return (weights * (1.0 + 1.0 / ratio) ** balance).astype("float32")
