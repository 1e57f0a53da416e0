"""The parts of Stable Diffusion: schedule, tokenizers, text encoder, VAE and U-Net, at real and at small size.

The real-size parts are KerasCV's. The small ones are made from the same KerasCV blocks at other widths and have the
same inputs by name, so the rest of this package does not know which of the two it works on. Everything that is private
in KerasCV is imported here and nowhere else.

Sources: Rombach et al. 2022 (arXiv 2112.10752) for latent diffusion; Ho et al. 2020 (arXiv 2006.11239) for the noise.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import backend, layers, ops
from keras_cv.models.stable_diffusion import Decoder, DiffusionModel, ImageEncoder, SimpleTokenizer, TextEncoder
from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
from keras_cv.src.models.stable_diffusion.diffusion_model import (
    GEGLU,
    CrossAttention,
    DiffusionModelV2,
    ResBlock,
    SpatialTransformer,
    Upsample,
)
from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D
from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock
from keras_cv.src.models.stable_diffusion.text_encoder import CLIPEmbedding, CLIPEncoderLayer, TextEncoderV2, quick_gelu

__all__ = [
    "TRAIN_STEPS",
    "AttentionBlock",
    "ClipTokenizer",
    "CrossAttention",
    "LatentDiffusion",
    "PaddedConv2D",
    "ResBlock",
    "ResnetBlock",
    "SpatialTransformer",
    "Upsample",
    "WordTokenizer",
    "add_noise",
    "alphas_cumprod",
    "build_text_encoder",
    "build_unet",
    "draw_latents",
    "load_stable_diffusion",
    "timestep_embedding",
    "use_fast_layers",
]

TRAIN_STEPS = 1000
MAX_PROMPT_LENGTH = 77
SD_LATENT_SCALE = 0.18215


# The noise ------------------------------------------------------------------------------------------------------------


def alphas_cumprod(steps: int = TRAIN_STEPS) -> np.ndarray:
    """Cumulative signal ᾱ of Stable Diffusion's schedule.

    The square roots of the betas rise linearly from √0.00085 to √0.012 ("scaled linear"). KerasCV's ``NoiseScheduler``
    has another schedule by default, with which the pretrained weights do not work.

    Returns
    -------
    np.ndarray
        Shape (steps,), float32, falling from 0.99915 to 0.0047.
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, steps, dtype="float64") ** 2
    return np.cumprod(1.0 - betas).astype("float32")


def add_noise(latents, noise, timesteps):
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


def timestep_embedding(timesteps, width: int = 320):
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


def draw_latents(moments, seed=None, shift=0.0, scale=SD_LATENT_SCALE):
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
        deviation = ops.exp(0.5 * ops.clip(log_variance, -30.0, 20.0))
        mean = mean + deviation * keras.random.normal(ops.shape(mean), seed=seed)
    shift, scale = ops.convert_to_tensor(shift, "float32"), ops.convert_to_tensor(scale, "float32")
    return (mean - shift) * scale


# From words to numbers ------------------------------------------------------------------------------------------------


class WordTokenizer:
    """Words to numbers, for the small text encoder.

    Number 0 pads, 1 starts, 2 ends and 3 stands for every word that is not in the vocabulary; the vocabulary's words
    follow from 4 on. Case and punctuation are ignored.

    Parameters
    ----------
    vocabulary : sequence of str
        Different lower-case words.
    max_length : int
        Length of every row, start and end included; longer captions are cut and still end in the end token.
    """

    SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")

    def __init__(self, vocabulary: Sequence[str], max_length: int = 16):
        words = list(vocabulary)
        if len(set(words)) != len(words):
            repeated = sorted({word for word in words if words.count(word) > 1})
            raise ValueError(f"WordTokenizer: the vocabulary names these words more than once: {repeated[:10]}.")
        self.vocabulary = words
        self.max_length = max_length
        self._numbers = {word: number for number, word in enumerate(words, start=len(self.SPECIAL))}

    @property
    def size(self) -> int:
        """How many numbers there are, the special ones included: the text encoder's ``vocabulary_size``."""
        return len(self.SPECIAL) + len(self.vocabulary)

    @staticmethod
    def words(caption: str) -> list[str]:
        """Split a caption into lower-case words: letters, digits and inner apostrophes."""
        return re.findall(r"[^\W_]+(?:'[^\W_]+)?", caption.lower())

    def __call__(self, captions: str | Sequence[str]) -> np.ndarray:
        """Return tokens of shape (captions, max_length), int32."""
        rows = [[self._numbers.get(word, 3) for word in self.words(caption)] for caption in _as_list(captions)]
        return _pad_rows(rows, start=1, end=2, pad=0, max_length=self.max_length)


class ClipTokenizer:
    """CLIP's byte-pair tokenizer, cut and padded to 77 tokens (KerasCV's own neither cuts nor pads).

    Parameters
    ----------
    vocabulary_path : path, optional
        A local ``bpe_simple_vocab_16e6.txt.gz``. Without it KerasCV downloads the file once.
    max_length : int
        Length of every row, start and end included.
    pad : int, optional
        Number of the padding token; by default the end token, as CLIP and Stable Diffusion 1 do. Stable Diffusion 2
        was trained with 0.
    """

    def __init__(self, vocabulary_path=None, max_length: int = MAX_PROMPT_LENGTH, pad: int | None = None):
        if vocabulary_path is not None and not pathlib.Path(vocabulary_path).is_file():
            raise FileNotFoundError(
                f"ClipTokenizer: there is no file {vocabulary_path}; expected CLIP's bpe_simple_vocab_16e6.txt.gz."
            )
        try:
            self._tokenizer = SimpleTokenizer(None if vocabulary_path is None else str(vocabulary_path))
        except Exception as error:
            raise RuntimeError(
                f"ClipTokenizer: could not read the byte-pair vocabulary ({error}). "
                "Pass vocabulary_path with a local copy of CLIP's bpe_simple_vocab_16e6.txt.gz."
            ) from error
        self.max_length = max_length
        self.pad = self._tokenizer.end_of_text if pad is None else pad

    @property
    def size(self) -> int:
        """How many different tokens there are (49,408 with CLIP's vocabulary)."""
        return len(self._tokenizer.vocab)

    def __call__(self, captions: str | Sequence[str]) -> np.ndarray:
        """Return tokens of shape (captions, max_length), int32."""
        rows = [self._tokenizer.encode(caption)[1:-1] for caption in _as_list(captions)]
        start, end = self._tokenizer.start_of_text, self._tokenizer.end_of_text
        return _pad_rows(rows, start=start, end=end, pad=self.pad, max_length=self.max_length)


def _as_list(captions):
    captions = [captions] if isinstance(captions, str) else list(captions)
    for position, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise TypeError(f"caption {position} is {caption!r}; expected a string.")
    return captions


def _pad_rows(rows, start, end, pad, max_length):
    tokens = np.full((len(rows), max_length), pad, dtype="int32")
    for line, row in zip(tokens, rows, strict=True):
        row = [start, *row[: max_length - 2], end]
        line[: len(row)] = row
    return tokens


# The networks at small size -------------------------------------------------------------------------------------------


def build_text_encoder(vocabulary_size: int, max_length: int = 16, width: int = 128, depth: int = 2, heads: int = 4):
    """A small CLIP text encoder from KerasCV's blocks.

    Returns
    -------
    keras.Model
        Inputs ``tokens`` and ``positions``, int32 of shape (batch, max_length), as KerasCV's ``TextEncoder``; output
        the contexts, (batch, max_length, width).
    """
    if width % heads:
        raise ValueError(f"build_text_encoder: width {width} is not a multiple of heads {heads}.")
    tokens = keras.Input((max_length,), dtype="int32", name="tokens")
    positions = keras.Input((max_length,), dtype="int32", name="positions")
    x = CLIPEmbedding(vocabulary_size, width, max_length)([tokens, positions])
    for _ in range(depth):
        x = CLIPEncoderLayer(width, heads, activation=quick_gelu)(x)
    return keras.Model([tokens, positions], layers.LayerNormalization(epsilon=1e-5)(x), name="text_encoder")


def build_unet(
    latent_shape: tuple[int, int, int] = (16, 16, 4),
    context_shape: tuple[int, int] = (16, 128),
    widths: Sequence[int] = (64, 96, 128),
    blocks: int = 2,
    attention: Sequence[bool] = (False, True, True),
    head_size: int = 32,
    heads: int | None = None,
):
    """A U-Net of Stable Diffusion's shape from KerasCV's blocks, at any widths.

    ``build_unet((64, 64, 4), (77, 768), widths=(320, 640, 1280, 1280), attention=(True, True, True, False),
    heads=8)`` is the U-Net of Stable Diffusion 1, layer by layer.

    Parameters
    ----------
    latent_shape : (height, width, channels)
        Height and width divisible by ``2 ** (len(widths) - 1)``.
    context_shape : (length, width)
        Of the text encoder's output.
    widths : sequence of int
        Channels of each level, multiples of 32 (the groups of the group normalisation) and of ``head_size``.
    blocks : int
        Residual blocks of a level of the encoder; a level of the decoder has one more.
    attention : sequence of bool
        Which levels have a spatial transformer after each residual block. The middle always has one.
    head_size : int
        Channels of an attention head, as in Stable Diffusion 2 (64).
    heads : int, optional
        Instead of ``head_size``: the same number of heads at every level, as in Stable Diffusion 1 (8).

    Returns
    -------
    keras.Model
        Inputs ``latent``, ``timestep_embedding`` (batch, widths[0]) and ``context``; output the predicted noise.
    """
    _check_unet_sizes(latent_shape, widths, attention, heads or head_size)
    context = keras.Input(context_shape, name="context")
    embedding = keras.Input((widths[0],), name="timestep_embedding")
    latent = keras.Input(latent_shape, name="latent")
    time = layers.Dense(4 * widths[0])(embedding)
    time = layers.Dense(4 * widths[0])(layers.Activation("swish")(time))

    def block(x, width, attend):
        x = ResBlock(width)([x, time])
        size = width // heads if heads else head_size
        return SpatialTransformer(width // size, size)([x, context]) if attend else x

    x = PaddedConv2D(widths[0], 3, padding=1)(latent)
    skips = [x]
    for level, (width, attend) in enumerate(zip(widths, attention, strict=True)):
        if level:
            x = PaddedConv2D(widths[level - 1], 3, strides=2, padding=1)(x)
            skips.append(x)
        for _ in range(blocks):
            x = block(x, width, attend)
            skips.append(x)
    x = ResBlock(widths[-1])([block(x, widths[-1], True), time])
    for level, (width, attend) in reversed(list(enumerate(zip(widths, attention, strict=True)))):
        for _ in range(blocks + 1):
            x = block(layers.Concatenate()([x, skips.pop()]), width, attend)
        if level:
            x = Upsample(width)(x)
    x = layers.Activation("swish")(layers.GroupNormalization(epsilon=1e-5)(x))
    output = PaddedConv2D(latent_shape[-1], 3, padding=1)(x)
    return use_fast_layers(keras.Model([latent, embedding, context], output, name="unet"))


def _check_unet_sizes(latent_shape, widths, attention, divisor):
    if len(attention) != len(widths):
        raise ValueError(f"build_unet: {len(widths)} widths but {len(attention)} entries in attention.")
    for width in widths:
        if width % 32 or width % divisor:
            raise ValueError(f"build_unet: width {width} must be a multiple of 32 and of heads or head_size {divisor}.")
    factor = 2 ** (len(widths) - 1)
    if latent_shape[0] % factor or latent_shape[1] % factor:
        raise ValueError(f"build_unet: latents of {latent_shape[:2]} cannot be halved {len(widths) - 1} times.")


# Faster layers --------------------------------------------------------------------------------------------------------


class FastCrossAttention(CrossAttention):
    """KerasCV's cross-attention through ``keras.ops.dot_product_attention``.

    It does not keep the (batch, heads, queries, keys) scores where the backend has a fused kernel.
    JAX has it on CPUs in float32 and bfloat16, not in float16.
    """

    def call(self, inputs, context=None):
        context = inputs if context is None else context

        def heads(x):
            return ops.reshape(x, (-1, x.shape[1], self.num_heads, self.head_size))

        query, key, value = heads(self.to_q(inputs)), heads(self.to_k(context)), heads(self.to_v(context))
        x = ops.dot_product_attention(query, key, value, scale=self.scale)
        return self.out_proj(ops.reshape(x, (-1, inputs.shape[1], self.num_heads * self.head_size)))


class FastGEGLU(GEGLU):
    """KerasCV's GEGLU with ``split``, whose gradient is one concatenation, and Keras's own GELU."""

    def call(self, inputs):
        x, gate = ops.split(self.dense(inputs), 2, axis=-1)
        return x * ops.gelu(gate, approximate=True)


class FastGroupNormalization(layers.GroupNormalization):
    """Keras's group normalization over (batch, ..., channels) that splits only the averages into groups.

    Keras splits the whole input, and its last axis then has as few entries as a group: two of the small model's 64.
    """

    def call(self, inputs):
        x = ops.cast(inputs, backend.result_type(inputs.dtype, "float32"))
        centred = x - self._average(x)
        scale = ops.rsqrt(self._average(ops.square(centred)) + self.epsilon) * ops.cast(self.gamma, x.dtype)
        return ops.cast(centred * scale + ops.cast(self.beta, x.dtype), self.compute_dtype)

    def _average(self, x):
        """The average of every group, repeated for each of its channels: (batch, 1, ..., channels)."""
        channels = x.shape[-1]
        means = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
        means = ops.mean(ops.reshape(means, (-1, self.groups, channels // self.groups)), axis=-1)
        means = ops.repeat(means, channels // self.groups, axis=-1)
        return ops.reshape(means, (-1, *[1] * (len(x.shape) - 2), channels))


_FAST = {
    CrossAttention: FastCrossAttention,
    GEGLU: FastGEGLU,
    layers.GroupNormalization: FastGroupNormalization,
}


def use_fast_layers(model: keras.Model) -> keras.Model:
    """Let the layers inside a model's blocks compute the same numbers faster, in place; the weights stay as they are.

    For channels-last group normalization with scale and offset, as all of KerasCV's is. All builders of this package
    do it. `scripts/benchmark_diffusion.py` has what it brings.
    """
    for layer in model._flatten_layers():
        if type(layer) in _FAST:
            layer.__class__ = _FAST[type(layer)]
    return model


# All parts together ---------------------------------------------------------------------------------------------------


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
        Photos (batch, height, width, 3) in [-1, 1] to moments: the mean, then the log-variance.
    decoder : keras.Model
        Latents in the U-Net's range to photos, about [-1, 1]. It undoes ``shift`` and ``scale`` itself.
    latent_shift, latent_scale : float or array of shape (channels,)
        The U-Net's latents are ``(z - shift) * scale``.
    """

    unet: keras.Model | None = None
    text_encoder: keras.Model | None = None
    image_encoder: keras.Model | None = None
    decoder: keras.Model | None = None
    tokenizer: Callable | None = None
    latent_shift: float | np.ndarray = 0.0
    latent_scale: float | np.ndarray = SD_LATENT_SCALE

    def encode_text(self, captions: str | Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Contexts of captions, (captions, length, width), float32. The empty caption is the unconditional context."""
        return self.encode_tokens(self.tokenizer(captions), batch_size)

    def encode_tokens(self, tokens: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Contexts of tokens."""
        positions = np.broadcast_to(np.arange(tokens.shape[1], dtype="int32"), tokens.shape)
        inputs = {"tokens": tokens, "positions": positions}
        return _predict(self.text_encoder, inputs, batch_size)

    def encode_images(self, photos: np.ndarray, batch_size: int = 16) -> np.ndarray:
        """Moments of photos in [-1, 1], float32; ``draw_latents`` draws from them."""
        return _predict(self.image_encoder, np.asarray(photos, "float32"), batch_size)

    def draw_latents(self, moments, seed=None):
        """Latents in the U-Net's range; see :func:`draw_latents`."""
        return draw_latents(moments, seed, self.latent_shift, self.latent_scale)

    def decode(self, latents: np.ndarray, batch_size: int = 16) -> np.ndarray:
        """Photos of latents, uint8 of shape (batch, height, width, 3)."""
        photos = _predict(self.decoder, np.asarray(latents, "float32"), batch_size)
        return np.clip(np.round((photos + 1.0) * 127.5), 0, 255).astype("uint8")


def _predict(model, inputs, batch_size):
    count = len(keras.tree.flatten(inputs)[0])
    if keras.distribution.distribution() is not None:  # every device must get as many rows
        missing = -count % batch_size
        inputs = keras.tree.map_structure(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]), inputs)
    return np.asarray(model.predict(inputs, batch_size=batch_size, verbose=0), "float32")[:count]


# The networks at real size --------------------------------------------------------------------------------------------

PARTS = ("unet", "text_encoder", "image_encoder", "decoder", "tokenizer")
_UNETS = {"1.4": DiffusionModel, "2.1": DiffusionModelV2}
_TEXT_ENCODERS = {"1.4": TextEncoder, "2.1": TextEncoderV2}
_PADDING = {"1.4": None, "2.1": 0}


def load_stable_diffusion(
    version: str = "1.4",
    image_size: int = 512,
    weights: str | None = "pretrained",
    parts: Sequence[str] = PARTS,
    vocabulary_path=None,
) -> LatentDiffusion:
    """Stable Diffusion 1.4 or 2.1 from KerasCV's parts.

    Parameters
    ----------
    version : {"1.4", "2.1"}
    image_size : int
        Side of the photos, a multiple of 64.
    weights : {"pretrained", None}
        KerasCV downloads the published weights once (about 4 GB, cached by Keras); None leaves them random.
    parts : sequence of str
        Which parts to build; the others stay None.
    vocabulary_path : path, optional
        See :class:`ClipTokenizer`.

    Raises
    ------
    ValueError
        A parameter is not one of those above.
    RuntimeError
        The weights could not be downloaded.
    """
    _check_choice("version", version, tuple(_UNETS))
    _check_choice("weights", weights, ("pretrained", None))
    for part in parts:
        _check_choice("parts", part, PARTS)
    if image_size % 64:
        raise ValueError(f"load_stable_diffusion: image_size must be a multiple of 64, got {image_size}.")
    builders = {
        "unet": lambda load: _UNETS[version](image_size, image_size, MAX_PROMPT_LENGTH, download_weights=load),
        "text_encoder": lambda load: _TEXT_ENCODERS[version](MAX_PROMPT_LENGTH, download_weights=load),
        "image_encoder": lambda load: _moments_encoder(ImageEncoder(download_weights=load)),
        "decoder": lambda load: Decoder(image_size, image_size, download_weights=load),
        "tokenizer": lambda load: ClipTokenizer(vocabulary_path, pad=_PADDING[version]),
    }
    return LatentDiffusion(**{part: _build_part(part, builders[part], weights == "pretrained") for part in parts})


def _build_part(part, builder, load):
    try:
        built = builder(load)
        return built if part == "tokenizer" else use_fast_layers(built)
    except Exception as error:
        if not load or part == "tokenizer":
            raise
        raise RuntimeError(
            f"load_stable_diffusion: the published weights of the {part} could not be fetched ({error}). "
            "Connect to the internet once (Keras keeps the files in ~/.keras/datasets), or pass weights=None."
        ) from error


def _moments_encoder(encoder):
    """KerasCV's image encoder without its last layer, which drops the log-variance and scales the mean."""
    return keras.Model(encoder.inputs, encoder.layers[-2].output, name="image_encoder")


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"load_stable_diffusion: {name} must be one of {choices}, got {value!r}.")
