"""The smallest model that has all parts of the small one."""

from utils.diffusion.sampling import SamplingSettings
from utils.diffusion.small_model import SmallModelConfig

CONFIG = SmallModelConfig(
    vocabulary=("a", "background", "blue", "on", "red", "tent"),
    image_size=32,
    vae_widths=(16, 16, 32),
    encoder_blocks=(0, 0, 1),
    decoder_blocks=(0, 0, 1),
    latent_channels=4,
    hint_widths=(8, 8, 8),
    latent_mean=(1.0, -2.0, 0.5, 0.0),
    latent_std=(2.0, 1.0, 0.5, 3.0),
    unet_widths=(32, 32),
    unet_attention=(False, True),
    caption_length=10,
    text_width=32,
    text_depth=1,
    sampling=SamplingSettings(steps=2),
)
