"""ControlNet for any U-Net of Stable Diffusion's shape: the trainable branch, and the U-Net that listens to it.

The branch is a copy of the U-Net's encoder and middle that also sees a hint (a sketch). Each of its outputs passes a
1x1 convolution that starts at zero and is added to a skip connection of the frozen U-Net, so that training starts from
exactly the U-Net's own behaviour.

Source: Zhang, Rao, Agrawala 2023 (arXiv 2302.05543). The hint encoder is that of the published code, whose weights are
in use, not that of the paper's text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from utils.diffusion.stable_diffusion import (
    PaddedConv2D,
    ResBlock,
    SpatialTransformer,
    Upsample,
    use_fast_layers,
)

import keras
import numpy as np
from keras import layers

__all__ = [
    "UNetLayers",
    "add_residuals",
    "block_scales",
    "build_controlled_unet",
    "build_controlnet",
    "copy_encoder_weights",
    "copy_layer_pairs",
    "read_unet",
]

GUESS_MODE_DECAY = 0.825


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

    time: list
    encoder: list
    middle: list
    decoder: list


def read_unet(unet: keras.Model) -> UNetLayers:
    """Sort a U-Net's layers into time embedding, encoder, middle and decoder.

    Works on KerasCV's ``DiffusionModel`` and ``DiffusionModelV2`` and on ``stable_diffusion.build_unet``: a functional
    model lists its layers in execution order, and there is one skip for each ``Concatenate``.
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
    blocks: list[list] = []
    for layer in chain:
        if isinstance(layer, SpatialTransformer):
            blocks[-1].append(layer)
        else:
            blocks.append([layer])
    rest = [layer for block in blocks[skips:] for layer in block]
    first_join = next(i for i, layer in enumerate(rest) if isinstance(layer, layers.Concatenate))
    decoder = [*rest[first_join:-1], swish[1], rest[-1]]
    return UNetLayers([dense[0], swish[0], dense[1]], blocks[:skips], rest[:first_join], decoder)


def _run(layer, x, time, context):
    if isinstance(layer, Remat):
        inputs = {ResBlock: [x, time], SpatialTransformer: [x, context]}[type(layer.layer)]
        return layer(inputs)
    if isinstance(layer, ResBlock):
        return layer([x, time])
    if isinstance(layer, SpatialTransformer):
        return layer([x, context])
    return layer(x)


class Remat(layers.Layer):
    """A layer whose activations are computed again in the backward pass instead of being kept (``keras.remat``)."""

    def __init__(self, layer):
        super().__init__(name=layer.name)
        self.layer = layer

    def compute_output_spec(self, inputs):
        spec = self.layer(inputs)  # builds the inner layer
        return keras.KerasTensor(spec.shape, spec.dtype)

    def call(self, inputs):
        return keras.remat(lambda *tensors: self.layer(list(tensors)))(*inputs)


def _maybe_remat(layer, remat):
    return Remat(layer) if remat and isinstance(layer, (ResBlock, SpatialTransformer)) else layer


# The branch -----------------------------------------------------------------------------------------------------------


def build_controlnet(
    unet: keras.Model,
    hint_shape: tuple[int, int, int] | None = None,
    hint_widths: Sequence[int] = (16, 32, 96, 256),
    remat: bool = False,
    name: str = "controlnet",
) -> keras.Model:
    """The trainable branch for a U-Net, with the U-Net's present encoder weights copied into it.

    Load pretrained weights into the U-Net first.

    Parameters
    ----------
    unet : keras.Model
        See :func:`read_unet`.
    hint_shape : (height, width, channels), optional
        By default the latents' height and width times ``2 ** (len(hint_widths) - 1)``, and 3 channels.
    hint_widths : sequence of int
        Channels of the hint encoder; each step from one to the next halves height and width. The published code has
        (16, 32, 96, 256) for a VAE that shrinks by 8; a VAE that shrinks by 4 needs three entries.
    remat : bool
        Gradient checkpointing: keep no activations inside residual blocks and transformers.

    Returns
    -------
    keras.Model
        Inputs ``latent``, ``timestep_embedding``, ``context`` and ``hint`` (in [0, 1] for the published weights);
        output a list of residuals, one for each skip and one for the middle (13 in Stable Diffusion).
    """
    parts = read_unet(unet)
    inputs = {tensor.name: keras.Input(tensor.shape[1:], name=tensor.name) for tensor in unet.inputs}
    latent, context = inputs["latent"], inputs["context"]
    inputs["hint"] = keras.Input(_hint_shape(hint_shape, latent.shape, hint_widths), name="hint")
    copies = {source.name: _maybe_remat(_fresh(source, label), remat) for label, source in _labelled(parts)}

    time = inputs["timestep_embedding"]
    for layer in parts.time:
        time = copies[layer.name](time)
    outputs, x = [], latent
    for block in [*parts.encoder, parts.middle]:
        for layer in block:
            x = _run(copies[layer.name], x, time, context)
        if not outputs:
            x = layers.Add(name="add_hint")([x, _encode_hint(inputs["hint"], hint_widths, x.shape[-1])])
        outputs.append(_zero_convolution(x.shape[-1], f"zero_{len(outputs)}")(x))
    controlnet = use_fast_layers(keras.Model(list(inputs.values()), outputs, name=name))
    copy_encoder_weights(unet, controlnet)
    return controlnet


def _hint_shape(hint_shape, latent_shape, hint_widths):
    factor = 2 ** (len(hint_widths) - 1)
    expected = (latent_shape[1] * factor, latent_shape[2] * factor)
    hint_shape = hint_shape or (*expected, 3)
    if tuple(hint_shape[:2]) != expected:
        raise ValueError(
            f"build_controlnet: hints of {tuple(hint_shape[:2])} do not fit latents of {tuple(latent_shape[1:3])}: "
            f"hint_widths with {len(hint_widths)} entries shrink by {factor}, so hints must be {expected}."
        )
    return tuple(hint_shape)


def _labelled(parts: UNetLayers):
    """Pairs (name of the copy, layer of the U-Net) of all that the branch copies."""
    for index, layer in enumerate(parts.time):
        yield f"time_{index}", layer
    for index, block in enumerate(parts.encoder):
        for layer in block:
            yield f"encoder_{index}_{type(layer).__name__}", layer
    for index, layer in enumerate(parts.middle):
        yield f"middle_{index}_{type(layer).__name__}", layer


def _fresh(source, name):
    """A new layer of the same configuration (KerasCV's blocks have no ``get_config`` to clone from)."""
    if isinstance(source, PaddedConv2D):
        conv = source.conv2d
        padding = source.padding2d.padding
        return PaddedConv2D(conv.filters, conv.kernel_size, padding=padding, strides=conv.strides, name=name)
    if isinstance(source, ResBlock):
        return ResBlock(source.output_dim, name=name)
    if isinstance(source, SpatialTransformer):
        attention = source.transformer_block.attn1
        linear = isinstance(source.proj1, layers.Dense)
        return SpatialTransformer(attention.num_heads, attention.head_size, fully_connected=linear, name=name)
    return type(source).from_config({**source.get_config(), "name": name, "trainable": True})  # also of a frozen U-Net


def _encode_hint(hint, widths, channels):
    """The published hint encoder: 3x3 convolutions with SiLU, the last one zero."""
    x = layers.Conv2D(widths[0], 3, padding="same", activation="silu", name="hint_0")(hint)
    for index, (width, wider) in enumerate(itertools.pairwise(widths)):
        x = layers.Conv2D(width, 3, padding="same", activation="silu", name=f"hint_{2 * index + 1}")(x)
        x = PaddedConv2D(wider, 3, padding=1, strides=2, name=f"hint_{2 * index + 2}")(x)
        x = layers.Activation("silu")(x)
    last = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name=f"hint_{2 * len(widths) - 1}")
    return last(x)


def _zero_convolution(channels, name):
    return layers.Conv2D(channels, 1, kernel_initializer="zeros", name=name)


def copy_layer_pairs(unet: keras.Model, controlnet: keras.Model) -> list[tuple]:
    """Pairs (layer of the U-Net, its copy in the branch)."""
    return [(source, controlnet.get_layer(name)) for name, source in _labelled(read_unet(unet))]


def copy_encoder_weights(unet: keras.Model, controlnet: keras.Model) -> None:
    """Copy the time embedding, the encoder and the middle of the U-Net into the branch."""
    for source, copy in copy_layer_pairs(unet, controlnet):
        copy.set_weights(source.get_weights())


# The U-Net that listens -----------------------------------------------------------------------------------------------


def build_controlled_unet(unet: keras.Model, remat: bool = False) -> keras.Model:
    """The same U-Net, sharing its layers and weights, with a residual added to every skip and to the middle.

    Returns
    -------
    keras.Model
        Inputs: the U-Net's and ``control_0`` ... ``control_n``, the residuals of :func:`build_controlnet` in order.
        With residuals of zero the output is bit-identical to the U-Net's.
    """
    parts = read_unet(unet)
    inputs = {tensor.name: keras.Input(tensor.shape[1:], name=tensor.name) for tensor in unet.inputs}
    context, time = inputs["context"], inputs["timestep_embedding"]
    for layer in parts.time:
        time = layer(time)

    def listen(x):
        index = len(inputs) - len(unet.inputs)
        inputs[f"control_{index}"] = keras.Input(x.shape[1:], name=f"control_{index}")
        return layers.Add(name=f"add_control_{index}")([x, inputs[f"control_{index}"]])

    x, skips = inputs["latent"], []
    for block in parts.encoder:
        for layer in block:
            x = _run(_maybe_remat(layer, remat), x, time, context)
        skips.append(listen(x))
    for layer in parts.middle:
        x = _run(_maybe_remat(layer, remat), x, time, context)
    x = listen(x)
    for layer in parts.decoder:
        if isinstance(layer, layers.Concatenate):
            x = layer([x, skips.pop()])
        else:
            x = _run(_maybe_remat(layer, remat), x, time, context)
    return keras.Model(list(inputs.values()), x, name=f"controlled_{unet.name}")


# Residuals ------------------------------------------------------------------------------------------------------------


def block_scales(count: int, scale: float | Sequence[float] = 1.0, guess_mode: bool = False) -> np.ndarray:
    """How strongly each residual acts.

    Parameters
    ----------
    count : int
        Number of residuals, 13 in Stable Diffusion.
    scale : float or sequence of ``count`` floats
    guess_mode : bool
        Also multiply by 0.825 ** (count - 1 - i), so that shallow blocks act less (published code).

    Returns
    -------
    np.ndarray
        Shape (count,), float32.
    """
    scales = np.asarray(scale, "float32")
    if scales.shape not in ((), (count,)):
        raise ValueError(f"control scale: expected one number or {count}, got shape {scales.shape}.")
    scales = np.broadcast_to(scales, (count,))
    if guess_mode:
        scales = scales * GUESS_MODE_DECAY ** np.arange(count - 1, -1, -1)
    return scales.astype("float32")


def add_residuals(several: Sequence[Sequence]) -> list:
    """Sum of the residuals of several branches, block by block."""
    return [sum(residuals[1:], residuals[0]) for residuals in zip(*several, strict=True)]
