"""A small variational autoencoder of Stable Diffusion's structure, from KerasCV's blocks.

Pictures are float (batch, side, side, 3) in [-1, 1]; latents are (batch, side / 4, side / 4, 4).
Source: Rombach et al. 2022 (arXiv 2112.10752), section 3.1; Kingma and Welling 2014 (arXiv 1312.6114).
"""

from utils.diffusion.stable_diffusion import AttentionBlock, PaddedConv2D, ResnetBlock, draw_latents, use_fast_layers

import keras
from keras import ops

WIDTHS = (32, 64, 128)
ENCODER_BLOCKS = (0, 1, 1)  # few at full size, where a step spends most of its time
DECODER_BLOCKS = (1, 2, 2)
LATENT_CHANNELS = 4


def _output(x, channels: int):
    x = keras.layers.GroupNormalization(epsilon=1e-5)(x)
    x = keras.layers.Activation("swish")(x)
    return PaddedConv2D(channels, 3, padding=1)(x)


def build_encoder(size: int = 64, widths=WIDTHS, blocks=ENCODER_BLOCKS, latent_channels: int = LATENT_CHANNELS):
    """Build the encoder: pictures to moments, (batch, size / 4, size / 4, 2 * latent_channels), mean then log-variance.

    Each width but the first begins with a convolution of stride 2; the last level ends in attention, as in SD.
    """
    pictures = keras.Input((size, size, 3), name="picture")
    x = PaddedConv2D(widths[0], 3, padding=1)(pictures)
    for level, width in enumerate(widths):
        if level > 0:
            x = PaddedConv2D(widths[level - 1], 3, padding=((0, 1), (0, 1)), strides=2)(x)
        for _ in range(blocks[level]):
            x = ResnetBlock(width)(x)
    x = AttentionBlock(widths[-1])(x)
    x = ResnetBlock(widths[-1])(x)
    last = PaddedConv2D(2 * latent_channels, 1)
    encoder = keras.Model(pictures, last(_output(x, 2 * latent_channels)), name="encoder")
    # Begin with little noise: from a log-variance of 0 it falls very slowly, and the pictures stay blurred meanwhile.
    last.conv2d.bias.assign([0.0] * latent_channels + [-6.0] * latent_channels)
    return use_fast_layers(encoder)


def build_decoder(size: int = 64, widths=WIDTHS, blocks=DECODER_BLOCKS, latent_channels: int = LATENT_CHANNELS):
    """Build the decoder: latents to pictures in about [-1, 1]."""
    side = size // 2 ** (len(widths) - 1)
    latents = keras.Input((side, side, latent_channels), name="latent")
    x = PaddedConv2D(widths[-1], 3, padding=1)(PaddedConv2D(latent_channels, 1)(latents))
    x = ResnetBlock(widths[-1])(x)
    x = AttentionBlock(widths[-1])(x)
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(blocks[level]):
            x = ResnetBlock(width)(x)
        if level > 0:
            x = keras.layers.UpSampling2D(2)(x)
            x = PaddedConv2D(widths[level - 1], 3, padding=1)(x)
    return use_fast_layers(keras.Model(latents, _output(x, 3), name="decoder"))


class Autoencoder(keras.Model):
    """Encoder and decoder trained together: reconstruction plus a very small pull of the latents to N(0, 1).

    Parameters
    ----------
    encoder, decoder : keras.Model
        From `build_encoder` and `build_decoder`.
    kl_weight : float
        Weight of the Kullback-Leibler divergence, a mean over latent entries.
    l1_weight : float
        The reconstruction loss is `(1 - l1_weight)` × squared error + `l1_weight` × absolute error.
    """

    def __init__(self, encoder, decoder, kl_weight: float = 1e-4, l1_weight: float = 0.2, seed: int = 0):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.kl_weight, self.l1_weight = kl_weight, l1_weight
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, pictures, training=False):
        moments = self.encoder(pictures, training=training)
        if training:
            latents = draw_latents(moments, self.seed_generator, scale=1.0)
        else:
            latents = ops.split(moments, 2, axis=-1)[0]
        return self.decoder(latents, training=training), moments

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        reconstruction, moments = (ops.cast(part, "float32") for part in y_pred)
        error = reconstruction - ops.cast(x, "float32")
        loss = (1 - self.l1_weight) * ops.mean(ops.square(error)) + self.l1_weight * ops.mean(ops.abs(error))
        mean, log_variance = ops.split(moments, 2, axis=-1)
        log_variance = ops.clip(log_variance, -30.0, 20.0)
        kl = 0.5 * ops.mean(ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)
        return loss + self.kl_weight * kl


def psnr(pictures, reconstructions):
    """Return the peak signal-to-noise ratio in dB of each pair of pictures in [-1, 1], shape (batch,)."""
    error = ops.clip(ops.cast(reconstructions, "float32"), -1.0, 1.0) - ops.cast(pictures, "float32")
    return 10.0 * ops.log(4.0 / ops.maximum(ops.mean(ops.square(error), axis=(1, 2, 3)), 1e-10)) / ops.log(10.0)
