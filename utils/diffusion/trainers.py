"""The models that train: each is one Keras model whose `call` is the forward pass and whose `compute_loss` the loss.

`training.train` runs all three. Sources: Zhang et al. 2023 (arXiv 2302.05543) for ControlNet's training; Rombach et al.
2022 (arXiv 2112.10752), section 3, for the autoencoder's and the diffusion model's.
"""

from typing import Any

from utils.diffusion.controlnet import build_controlled_unet
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.schedule import (
    Tensor,
    add_noise,
    embedding_width,
    loss_weights,
    stratified_timesteps,
    timestep_embedding,
)
from utils.diffusion.training import TrainingConfig, prepare
from utils.diffusion.vae import sample_latents

import keras
from keras import ops

__all__ = ["AutoencoderTrainer", "CaptionTrainer", "ControlNetTrainer"]

KL_WEIGHT = 1e-4  # of the Kullback-Leibler divergence, a mean over latent entries
L1_WEIGHT = 0.2  # of the absolute error in the reconstruction loss; the rest is the squared error's


class AutoencoderTrainer(keras.Model):
    """Encoder and decoder trained together: reconstruction plus a very small pull of the latents to N(0, 1).

    A batch is a dict with ``image``, float (batch, side, side, 3) in [-1, 1].

    Parameters
    ----------
    encoder, decoder : keras.Model
        From `vae.py`. Freeze the encoder (``trainable = False``) before to train the decoder alone.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, config: TrainingConfig):
        super().__init__(name="autoencoder_trainer")
        self.encoder, self.decoder = encoder, decoder
        prepare(self, config)

    def call(self, batch: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        moments = self.encoder(batch["image"], training=training)
        latents = sample_latents(moments, self.noise_seed if training else None)
        return {"reconstruction": self.decoder(latents, training=training), "moments": moments}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        error = ops.cast(y_pred["reconstruction"], "float32") - ops.cast(x["image"], "float32")
        loss = (1 - L1_WEIGHT) * ops.mean(ops.square(error)) + L1_WEIGHT * ops.mean(ops.abs(error))
        mean, log_variance = ops.split(ops.cast(y_pred["moments"], "float32"), 2, axis=-1)
        log_variance = ops.clip(log_variance, -30.0, 20.0)
        return loss + KL_WEIGHT * 0.5 * ops.mean(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


class _NoiseTrainer(keras.Model):
    """What both diffusion models share: noised latents with stratified steps, and the weighted error of the noise."""

    def _noised(self, latents: Tensor, width: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The U-Net's inputs but the context, and the noise and steps in them, drawn anew."""
        noise = keras.random.normal(ops.shape(latents), seed=self.noise_seed)
        timesteps = stratified_timesteps(keras.random.uniform((1,), seed=self.noise_seed), ops.shape(latents)[0])
        inputs = {
            "latent": add_noise(latents, noise, timesteps),
            "timestep_embedding": timestep_embedding(timesteps, width),
        }
        return inputs, {"noise": noise, "timesteps": timesteps}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Squared error of the predicted noise, weighted by noise level."""
        error = ops.cast(y_pred["noise"], "float32") - ops.cast(y_pred["prediction"], "float32")
        each = ops.mean(ops.square(error), axis=(1, 2, 3))
        weights = ops.convert_to_tensor(loss_weights(self.config.min_snr, self.config.balance))
        return ops.mean(each * ops.take(weights, y_pred["timesteps"]))


class CaptionTrainer(_NoiseTrainer):
    """U-Net and text encoder trained together to predict noise from captions alone.

    A batch is a dict with ``latent`` (batch, side, side, channels), in the U-Net's range, and ``tokens``.
    """

    def __init__(self, unet: keras.Model, text_encoder: keras.Model, config: TrainingConfig):
        super().__init__(name="caption_trainer")
        self.unet, self.text_encoder = unet, text_encoder
        prepare(self, config)

    def call(self, batch: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        inputs, truth = self._noised(batch["latent"], embedding_width(self.unet))
        context = self.text_encoder(_with_positions(batch["tokens"]), training=training)
        return {**truth, "prediction": self.unet({**inputs, "context": context}, training=training)}


class ControlNetTrainer(_NoiseTrainer):
    """A frozen U-Net with its trainable branch, and the loss that trains the branch.

    A batch is a dict with ``hint``, float in the range that the branch is for or uint8 for [0, 1], and

    - ``moments`` (from ``LatentDiffusion.encode_images``) or ``image`` (float in [-1, 1], encoded in every step), and
    - ``context`` (from ``LatentDiffusion.encode_text``) or ``tokens`` (encoded in every step).

    Parameters
    ----------
    diffusion : LatentDiffusion
        Its parts are frozen here (``trainable = False``).
    controlnet : keras.Model
        From ``build_controlnet``; the only part that moves.
    remat : bool
        Gradient checkpointing of the U-Net; give ``build_controlnet`` the same.
    """

    def __init__(
        self, diffusion: LatentDiffusion, controlnet: keras.Model, config: TrainingConfig, remat: bool = False
    ):
        super().__init__(name="controlnet_trainer")
        for part in (diffusion.unet, diffusion.text_encoder, diffusion.image_encoder):
            if part is not None:
                part.trainable = False
        self.controlnet = controlnet
        self.unet = build_controlled_unet(diffusion.part("unet"), remat=remat)
        self.unet.trainable = False
        self.text_encoder: Any = diffusion.text_encoder  # None where the examples are encoded already
        self.image_encoder: Any = diffusion.image_encoder
        self._sample_latents = diffusion.sample_latents
        self._empty_context = diffusion.encode_text("") if config.prompt_dropout else None
        prepare(self, config)

    def call(self, batch: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        latents = self._sample_latents(self._moments(batch), seed=self.noise_seed)
        inputs, truth = self._noised(latents, embedding_width(self.unet))
        inputs["context"] = self._context(batch, ops.shape(latents)[0])
        residuals = self.controlnet({**inputs, "hint": _hint_range(batch["hint"])}, training=training)
        controls = {f"control_{index}": residual for index, residual in enumerate(residuals)}
        return {**truth, "prediction": self.unet({**inputs, **controls})}

    def _moments(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["moments"] if "moments" in batch else ops.stop_gradient(self.image_encoder(batch["image"]))

    def _context(self, batch: dict[str, Tensor], count: Tensor) -> Tensor:
        if "context" in batch:
            context = batch["context"]
        else:
            context = ops.stop_gradient(self.text_encoder(_with_positions(batch["tokens"])))
        if self._empty_context is None:
            return context
        dropped = keras.random.uniform((count, 1, 1), seed=self.noise_seed) < self.config.prompt_dropout
        return ops.where(dropped, ops.cast(self._empty_context, context.dtype), context)


def _with_positions(tokens: Tensor) -> dict[str, Tensor]:
    positions = ops.broadcast_to(ops.arange(tokens.shape[1], dtype="int32"), ops.shape(tokens))
    return {"tokens": tokens, "positions": positions}


def _hint_range(hint: Tensor) -> Tensor:
    return ops.cast(hint, "float32") / 255.0 if keras.backend.standardize_dtype(hint.dtype) == "uint8" else hint
