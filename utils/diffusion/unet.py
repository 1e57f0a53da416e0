"""The U-Net of Stable Diffusion's shape at any size, and how to read the layers of one.

Source: Rombach et al. 2022 (arXiv 2112.10752); Ho et al. 2020 (arXiv 2006.11239), appendix B, for its form.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from utils.diffusion.blocks import FastGroupNormalization, PaddedConv2D, ResBlock, SpatialTransformer, Upsample
from utils.diffusion.schedule import Tensor

import keras
from keras import layers

__all__ = ["Remat", "UNetLayers", "build_unet", "maybe_remat", "read_unet", "run_layer"]


def build_unet(
    latent_shape: tuple[int, int, int],
    context_shape: tuple[int, int],
    widths: Sequence[int],
    blocks: int,
    attention: Sequence[bool],
    groups: int,
    head_size: int = 32,
    heads: int | None = None,
) -> keras.Model:
    """Build a U-Net with random weights.

    ``build_unet((64, 64, 4), (77, 768), (320, 640, 1280, 1280), 2, (True, True, True, False), groups=32, heads=8)`` is
    the U-Net of Stable Diffusion 1, layer by layer.

    Parameters
    ----------
    latent_shape : (height, width, channels)
        Height and width divisible by ``2 ** (len(widths) - 1)``.
    context_shape : (length, width)
        Of the text encoder's output.
    widths : sequence of int
        Channels of each level, multiples of ``groups`` and of ``head_size``.
    blocks : int
        Residual blocks of a level of the encoder; a level of the decoder has one more.
    attention : sequence of bool
        Which levels have a spatial transformer after each residual block. The middle always has one.
    groups : int
        Of every group normalisation.
    head_size : int
        Channels of an attention head.
    heads : int, optional
        Instead of ``head_size``: the same number of heads at every level, as in Stable Diffusion 1 (8).

    Returns
    -------
    keras.Model
        Inputs ``latent``, ``timestep_embedding`` (batch, widths[0]) and ``context``; output the predicted noise.
    """
    _check_sizes(latent_shape, widths, attention, groups, heads or head_size)
    context = keras.Input(context_shape, name="context")
    embedding = keras.Input((widths[0],), name="timestep_embedding")
    latent = keras.Input(latent_shape, name="latent")
    time = layers.Dense(4 * widths[0])(embedding)
    time = layers.Dense(4 * widths[0])(layers.Activation("swish")(time))

    def block(x: Tensor, width: int, attend: bool) -> Tensor:
        x = ResBlock(width, groups)([x, time])
        size = width // heads if heads else head_size
        return SpatialTransformer(width // size, size, groups)([x, context]) if attend else x

    x = PaddedConv2D(widths[0], 3, padding=1)(latent)
    skips = [x]
    for level, (width, attend) in enumerate(zip(widths, attention, strict=True)):
        if level:
            x = PaddedConv2D(widths[level - 1], 3, strides=2, padding=1)(x)
            skips.append(x)
        for _ in range(blocks):
            x = block(x, width, attend)
            skips.append(x)
    x = ResBlock(widths[-1], groups)([block(x, widths[-1], True), time])
    for level, (width, attend) in reversed(list(enumerate(zip(widths, attention, strict=True)))):
        for _ in range(blocks + 1):
            x = block(layers.Concatenate()([x, skips.pop()]), width, attend)
        if level:
            x = Upsample(width)(x)
    x = layers.Activation("swish")(FastGroupNormalization(groups)(x))
    output = PaddedConv2D(latent_shape[-1], 3, padding=1)(x)
    return keras.Model([latent, embedding, context], output, name="unet")


def _check_sizes(
    latent_shape: tuple[int, int, int], widths: Sequence[int], attention: Sequence[bool], groups: int, divisor: int
) -> None:
    if len(attention) != len(widths):
        raise ValueError(f"build_unet: {len(widths)} widths but {len(attention)} entries in attention.")
    for width in widths:
        if width % groups or width % divisor:
            raise ValueError(
                f"build_unet: width {width} must be a multiple of groups ({groups}) and of heads or head_size "
                f"({divisor})."
            )
    factor = 2 ** (len(widths) - 1)
    if latent_shape[0] % factor or latent_shape[1] % factor:
        raise ValueError(f"build_unet: latents of {latent_shape[:2]} cannot be halved {len(widths) - 1} times.")


# Reading a U-Net ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class UNetLayers:
    """The layers of a U-Net in the order in which they run.

    Attributes
    ----------
    time : list of layers
        Dense, activation, Dense: from the step's embedding to what every residual block receives.
    encoder : list of lists of layers
        One list for each skip connection; its last layer's output is the skip. The first is the input convolution.
    middle, decoder : list of layers
    """

    time: list[layers.Layer]
    encoder: list[list[layers.Layer]]
    middle: list[layers.Layer]
    decoder: list[layers.Layer]


def read_unet(unet: keras.Model) -> UNetLayers:
    """Sort the layers of a U-Net from `build_unet` into time embedding, encoder, middle and decoder.

    A functional model lists its layers in execution order, and there is one skip for each ``Concatenate``.
    """
    kinds = (PaddedConv2D, ResBlock, SpatialTransformer, Upsample, layers.Concatenate, layers.GroupNormalization)
    dense = [layer for layer in unet.layers if isinstance(layer, layers.Dense)]
    swish = [layer for layer in unet.layers if isinstance(layer, layers.Activation)]
    chain = [layer for layer in unet.layers if isinstance(layer, kinds)]
    skips = sum(isinstance(layer, layers.Concatenate) for layer in chain)
    if len(dense) != 2 or len(swish) != 2 or not skips:
        raise ValueError(
            f"read_unet: {unet.name!r} is not a U-Net of Stable Diffusion's shape: expected 2 Dense and 2 Activation "
            f"layers and some Concatenate, found {len(dense)}, {len(swish)} and {skips}."
        )
    blocks: list[list[layers.Layer]] = []
    for layer in chain:
        if isinstance(layer, SpatialTransformer):
            blocks[-1].append(layer)
        else:
            blocks.append([layer])
    rest = [layer for block in blocks[skips:] for layer in block]
    first_join = next(i for i, layer in enumerate(rest) if isinstance(layer, layers.Concatenate))
    decoder = [*rest[first_join:-1], swish[1], rest[-1]]
    return UNetLayers([dense[0], swish[0], dense[1]], blocks[:skips], rest[:first_join], decoder)


def run_layer(layer: layers.Layer, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
    """Call a layer of a U-Net with the second input that its kind needs, if any."""
    kind = layer.layer if isinstance(layer, Remat) else layer
    if isinstance(kind, ResBlock):
        return layer([x, time])
    if isinstance(kind, SpatialTransformer):
        return layer([x, context])
    return layer(x)


class Remat(layers.Layer):
    """A layer whose activations are computed again in the backward pass instead of being kept (gradient checkpointing).

    `keras.RematScope` does not fit: it marks layers as they are created, and these are shared with a U-Net that exists.
    """

    def __init__(self, layer: layers.Layer):
        super().__init__(name=layer.name)
        self.layer = layer

    def compute_output_spec(self, inputs: list[Tensor]) -> keras.KerasTensor:
        spec = self.layer(inputs)  # builds the inner layer
        return keras.KerasTensor(spec.shape, spec.dtype)

    def call(self, inputs: list[Tensor]) -> Tensor:
        again: Callable[..., Any] = keras.remat(lambda *tensors: self.layer(list(tensors)))
        return again(*inputs)


def maybe_remat(layer: layers.Layer, remat: bool) -> layers.Layer:
    """Wrap residual blocks and transformers in `Remat` if asked for."""
    return Remat(layer) if remat and isinstance(layer, (ResBlock, SpatialTransformer)) else layer
