"""A small variational autoencoder of Stable Diffusion's structure.

Pictures are float (batch, side, side, 3) in [-1, 1]; latents are (batch, side / factor, side / factor, channels), where
the factor is 2 ** (number of widths - 1).
Source: Rombach et al. 2022 (arXiv 2112.10752), section 3.1; Kingma and Welling 2014 (arXiv 1312.6114).
"""

from collections.abc import Sequence

from utils.diffusion.blocks import AttentionBlock, FastGroupNormalization, PaddedConv2D, ResnetBlock
from utils.diffusion.schedule import Tensor

import keras
import numpy as np
from keras import ops

__all__ = ["build_decoder", "build_encoder", "sample_latents"]


def build_encoder(
    size: int, widths: Sequence[int], blocks: Sequence[int], latent_channels: int, groups: int | None
) -> keras.Model:
    """Build the encoder: pictures to moments, (batch, side, side, 2 * latent_channels), mean then log-variance.

    Each width but the first begins with a convolution of stride 2; the last level ends in attention, as in SD.

    Parameters
    ----------
    size : int
        Side of the pictures.
    widths, blocks : sequence of int
        Channels and residual blocks of each level. Few blocks at full size, where a step spends most of its time.
    latent_channels : int
    groups : int, optional
        Of every group normalisation; None: four channels a group, at most 32 groups.
    """
    images = keras.Input((size, size, 3), name="picture")
    x = PaddedConv2D(widths[0], 3, padding=1)(images)
    for level, width in enumerate(widths):
        if level > 0:
            x = PaddedConv2D(widths[level - 1], 3, padding=((0, 1), (0, 1)), strides=2)(x)
        for _ in range(blocks[level]):
            x = ResnetBlock(width, groups)(x)
    x = AttentionBlock(widths[-1], groups)(x)
    x = ResnetBlock(widths[-1], groups)(x)
    last = PaddedConv2D(2 * latent_channels, 1)
    encoder = keras.Model(images, last(_output(x, 2 * latent_channels, groups)), name="encoder")
    # Begin with little noise: from a log-variance of 0 it falls very slowly, and the pictures stay blurred meanwhile.
    last.conv2d.bias.assign([0.0] * latent_channels + [-6.0] * latent_channels)
    return encoder


def build_decoder(
    size: int, widths: Sequence[int], blocks: Sequence[int], latent_channels: int, groups: int | None
) -> keras.Model:
    """Build the decoder, latents to pictures in about [-1, 1]; the parameters are those of `build_encoder`."""
    side = size // 2 ** (len(widths) - 1)
    latents = keras.Input((side, side, latent_channels), name="latent")
    x = PaddedConv2D(widths[-1], 3, padding=1)(PaddedConv2D(latent_channels, 1)(latents))
    x = ResnetBlock(widths[-1], groups)(x)
    x = AttentionBlock(widths[-1], groups)(x)
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(blocks[level]):
            x = ResnetBlock(width, groups)(x)
        if level > 0:
            x = keras.layers.UpSampling2D(2)(x)
            x = PaddedConv2D(widths[level - 1], 3, padding=1)(x)
    return keras.Model(latents, _output(x, 3, groups), name="decoder")


def _output(x: Tensor, channels: int, groups: int | None) -> Tensor:
    x = keras.layers.Activation("swish")(FastGroupNormalization(groups)(x))
    return PaddedConv2D(channels, 3, padding=1)(x)


def sample_latents(
    moments: Tensor,
    seed: int | keras.random.SeedGenerator | None = None,
    shift: float | np.ndarray = 0.0,
    scale: float | np.ndarray = 1.0,
) -> Tensor:
    """Draw latents from the VAE's moments and bring them to the U-Net's range.

    Parameters
    ----------
    moments : tensor
        Shape (batch, height, width, 2 * channels): the mean, then the log-variance, which is clipped to [-30, 20].
    seed : int or keras.random.SeedGenerator, optional
        None takes the mean instead of drawing.
    shift, scale : float or array of shape (channels,)
        The latents become ``(z - shift) * scale``, once. Stable Diffusion: 0 and 0.18215.
    """
    mean, log_variance = ops.split(ops.cast(moments, "float32"), 2, axis=-1)
    if seed is not None:
        std = ops.exp(0.5 * ops.clip(log_variance, -30.0, 20.0))
        mean = mean + std * keras.random.normal(ops.shape(mean), seed=seed)
    shift, scale = ops.convert_to_tensor(shift, "float32"), ops.convert_to_tensor(scale, "float32")
    return (mean - shift) * scale
