"""A latent diffusion model: all its frozen parts together, at any size, and Stable Diffusion 1.4 at its own.

The real-size VAE and text encoder are KerasCV's, the U-Net is of our blocks with KerasCV's weights. The small parts
have the same inputs by name, so the rest of this package does not know which of the two it works on.
Source: Rombach et al. 2022 (arXiv 2112.10752).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from utils.diffusion import hosts
from utils.diffusion.images import to_uint8
from utils.diffusion.schedule import Tensor
from utils.diffusion.tokenizers import MAX_PROMPT_LENGTH, ClipTokenizer, Tokenizer
from utils.diffusion.unet import build_unet
from utils.diffusion.vae import sample_latents

import keras
import numpy as np
from keras_cv.models.stable_diffusion import Decoder, DiffusionModel, ImageEncoder, TextEncoder

__all__ = ["LatentDiffusion", "load_stable_diffusion"]

SD_LATENT_SCALE = 0.18215
TEXTS_AT_ONCE, IMAGES_AT_ONCE = 64, 16


@dataclasses.dataclass
class LatentDiffusion:
    """The frozen parts that a ControlNet stands beside.

    Attributes
    ----------
    unet : keras.Model
        Inputs ``latent``, ``timestep_embedding``, ``context``; output the predicted noise.
    text_encoder, tokenizer
        ``tokenizer(captions)`` gives tokens, the text encoder turns them into contexts.
    image_encoder : keras.Model
        Pictures (batch, height, width, 3) in [-1, 1] to moments: the mean, then the log-variance.
    decoder : keras.Model
        Latents in the U-Net's range to pictures, about [-1, 1]. It undoes ``shift`` and ``scale`` itself.
    latent_shift, latent_scale : float or array of shape (channels,)
        The U-Net's latents are ``(z - shift) * scale``.
    """

    unet: keras.Model | None = None
    text_encoder: keras.Model | None = None
    image_encoder: keras.Model | None = None
    decoder: keras.Model | None = None
    tokenizer: Tokenizer | None = None
    latent_shift: float | np.ndarray = 0.0
    latent_scale: float | np.ndarray = SD_LATENT_SCALE

    def part(self, name: str) -> Any:
        """Return a part by its name; ValueError where it was not built."""
        found = getattr(self, name)
        if found is None:
            raise ValueError(f"LatentDiffusion: this needs the part {name}, which was not built.")
        return found

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the U-Net's latents."""
        return tuple(self.part("unet").get_layer("latent").output.shape[1:])

    def encode_text(self, captions: str | Sequence[str]) -> np.ndarray:
        """Contexts of captions, (captions, length, width), float32. The empty caption is the unconditional context."""
        tokens = self.part("tokenizer")(captions)
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype="int32"), tokens.shape)
        return _predict(self.part("text_encoder"), {"tokens": tokens, "positions": positions}, TEXTS_AT_ONCE)

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        """Moments of pictures in [-1, 1], float32; `sample_latents` draws from them."""
        return _predict(self.part("image_encoder"), np.asarray(images, "float32"), IMAGES_AT_ONCE)

    def sample_latents(self, moments: Tensor, seed: int | keras.random.SeedGenerator | None = None) -> Tensor:
        """Latents in the U-Net's range; see `vae.sample_latents`."""
        return sample_latents(moments, seed, self.latent_shift, self.latent_scale)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Pictures of latents, uint8 of shape (batch, height, width, 3)."""
        return to_uint8(_predict(self.part("decoder"), np.asarray(latents, "float32"), IMAGES_AT_ONCE))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Pictures in [-1, 1] through the VAE and back, by the mean latents, as uint8: the best any sampler can do."""
        return self.decode(np.asarray(self.sample_latents(self.encode_images(images))))


def _predict(model: keras.Model, inputs: Any, batch_size: int) -> np.ndarray:
    count = len(keras.tree.flatten(inputs)[0])
    if keras.distribution.distribution() is not None:  # every device must get as many rows
        missing = -count % batch_size
        inputs = keras.tree.map_structure(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]), inputs)
    if hosts.count() > 1:  # `predict` would return rows that are on other hosts; here each host computes them all
        parts = [
            model.predict_on_batch(keras.tree.map_structure(lambda x, first=i: x[first : first + batch_size], inputs))
            for i in range(0, count, batch_size)
        ]
        return np.concatenate(parts).astype("float32")[:count]
    return np.asarray(model.predict(inputs, batch_size=batch_size, verbose=0), "float32")[:count]


# Stable Diffusion at its own size -------------------------------------------------------------------------------------

PARTS = ("unet", "text_encoder", "image_encoder", "decoder", "tokenizer")


def load_stable_diffusion(
    image_size: int = 512, pretrained: bool = True, parts: Sequence[str] = PARTS
) -> LatentDiffusion:
    """Stable Diffusion 1.4.

    Parameters
    ----------
    image_size : int
        Side of the pictures, a multiple of 64.
    pretrained : bool
        KerasCV downloads the published weights once (about 4 GB, cached by Keras); without them they are random.
    parts : sequence of str
        Which parts to build; the others stay None.

    Raises
    ------
    ValueError
        A parameter is not one of those above.
    RuntimeError
        The weights could not be downloaded.
    """
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"load_stable_diffusion: parts must be of {PARTS}, got {part!r}.")
    if image_size % 64:
        raise ValueError(f"load_stable_diffusion: image_size must be a multiple of 64, got {image_size}.")
    builders: dict[str, Callable[[], Any]] = {
        "unet": lambda: _real_unet(image_size, pretrained),
        "text_encoder": lambda: TextEncoder(MAX_PROMPT_LENGTH, download_weights=pretrained),
        "image_encoder": lambda: _moments_encoder(ImageEncoder(download_weights=pretrained)),
        "decoder": lambda: Decoder(image_size, image_size, download_weights=pretrained),
        "tokenizer": ClipTokenizer,
    }
    return LatentDiffusion(**{part: _build_part(part, builders[part]) for part in parts})


def _build_part(part: str, builder: Callable[[], Any]) -> Any:
    try:
        return builder()
    except RuntimeError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise RuntimeError(
            f"load_stable_diffusion: the published weights of the {part} could not be fetched ({error}). "
            "Connect to the internet once (Keras keeps the files in ~/.keras/datasets)."
        ) from error


def _real_unet(image_size: int, pretrained: bool) -> keras.Model:
    """The U-Net of our blocks, which can listen and share layers, with the weights of KerasCV's, which cannot."""
    side = image_size // 8
    widths, attention = (320, 640, 1280, 1280), (True, True, True, False)
    unet = build_unet((side, side, 4), (MAX_PROMPT_LENGTH, 768), widths, 2, attention, groups=32, heads=8)
    if pretrained:
        published = DiffusionModel(image_size, image_size, MAX_PROMPT_LENGTH)
        for variable, value in zip(unet.weights, published.weights, strict=True):  # no third copy, as in `get_weights`
            variable.assign(value)
    return unet


def _moments_encoder(encoder: keras.Model) -> keras.Model:
    """KerasCV's image encoder without its last layer, which drops the log-variance and scales the mean."""
    return keras.Model(encoder.inputs, encoder.layers[-2].output, name="image_encoder")
