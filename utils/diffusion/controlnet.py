"""ControlNet for any U-Net of Stable Diffusion's shape: the trainable branch, and the U-Net that listens to it.

The branch is a copy of the U-Net's encoder and middle that also sees a hint (a sketch). Each of its outputs passes a
1x1 convolution that starts at zero and is added to a skip connection of the frozen U-Net, so that training starts from
exactly the U-Net's own behaviour.

Source: Zhang, Rao, Agrawala 2023 (arXiv 2302.05543). The hint encoder is that of the published code, whose weights are
in use, not that of the paper's text.
"""

import itertools
from collections.abc import Iterator, Sequence

from utils.diffusion.blocks import PaddedConv2D
from utils.diffusion.schedule import Tensor
from utils.diffusion.unet import UNetLayers, maybe_remat, read_unet, run_layer

import keras
from keras import layers

__all__ = [
    "HINT_WIDTHS",
    "add_residuals",
    "build_controlled_unet",
    "build_controlnet",
    "copy_encoder_weights",
    "copy_layer_pairs",
]

HINT_WIDTHS = (16, 32, 96, 256)  # of the published code, for a VAE that shrinks by 8


# The branch -----------------------------------------------------------------------------------------------------------


def build_controlnet(unet: keras.Model, hint_widths: Sequence[int] = HINT_WIDTHS, remat: bool = False) -> keras.Model:
    """The trainable branch for a U-Net, with the U-Net's present encoder weights copied into it.

    Load pretrained weights into the U-Net first.

    Parameters
    ----------
    unet : keras.Model
        From ``build_unet``.
    hint_widths : sequence of int
        Channels of the hint encoder; each step from one to the next halves height and width, so a VAE that shrinks by
        4 needs three entries, one that shrinks by 8 four.
    remat : bool
        Gradient checkpointing: keep no activations inside residual blocks and transformers.

    Returns
    -------
    keras.Model
        Inputs ``latent``, ``timestep_embedding``, ``context`` and ``hint``, of the pictures' size with 3 channels (in
        [0, 1] for the published weights); output a list of residuals, one for each skip and one for the middle (13 in
        Stable Diffusion).
    """
    parts = read_unet(unet)
    inputs = {tensor.name: keras.Input(tensor.shape[1:], name=tensor.name) for tensor in unet.inputs}
    latent, context = inputs["latent"], inputs["context"]
    factor = 2 ** (len(hint_widths) - 1)
    inputs["hint"] = keras.Input((latent.shape[1] * factor, latent.shape[2] * factor, 3), name="hint")
    copies = {source.name: maybe_remat(_fresh(source, label), remat) for label, source in _labelled(parts)}

    time = inputs["timestep_embedding"]
    for layer in parts.time:
        time = copies[layer.name](time)
    outputs: list[Tensor] = []
    x = latent
    for block in [*parts.encoder, parts.middle]:
        for layer in block:
            x = run_layer(copies[layer.name], x, time, context)
        if not outputs:
            x = layers.Add(name="add_hint")([x, _encode_hint(inputs["hint"], hint_widths, x.shape[-1])])
        outputs.append(_zero_convolution(x.shape[-1], f"zero_{len(outputs)}")(x))
    controlnet = keras.Model(list(inputs.values()), outputs, name="controlnet")
    copy_encoder_weights(unet, controlnet)
    return controlnet


def _labelled(parts: UNetLayers) -> Iterator[tuple[str, layers.Layer]]:
    """Pairs (name of the copy, layer of the U-Net) of all that the branch copies."""
    for index, layer in enumerate(parts.time):
        yield f"time_{index}", layer
    for index, block in enumerate(parts.encoder):
        for layer in block:
            yield f"encoder_{index}_{type(layer).__name__}", layer
    for index, layer in enumerate(parts.middle):
        yield f"middle_{index}_{type(layer).__name__}", layer


def _fresh(source: layers.Layer, name: str) -> layers.Layer:
    """A new layer of the same configuration, trainable also where the source is frozen."""
    return type(source).from_config({**source.get_config(), "name": name, "trainable": True})


def _encode_hint(hint: Tensor, widths: Sequence[int], channels: int) -> Tensor:
    """The published hint encoder: 3x3 convolutions with SiLU, the last one zero."""
    x = layers.Conv2D(widths[0], 3, padding="same", activation="silu", name="hint_0")(hint)
    for index, (width, wider) in enumerate(itertools.pairwise(widths)):
        x = layers.Conv2D(width, 3, padding="same", activation="silu", name=f"hint_{2 * index + 1}")(x)
        x = PaddedConv2D(wider, 3, padding=1, strides=2, name=f"hint_{2 * index + 2}")(x)
        x = layers.Activation("silu")(x)
    last = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name=f"hint_{2 * len(widths) - 1}")
    return last(x)


def _zero_convolution(channels: int, name: str) -> layers.Layer:
    return layers.Conv2D(channels, 1, kernel_initializer="zeros", name=name)


def copy_layer_pairs(unet: keras.Model, controlnet: keras.Model) -> list[tuple[layers.Layer, layers.Layer]]:
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

    def listen(x: Tensor) -> Tensor:
        index = len(inputs) - len(unet.inputs)
        inputs[f"control_{index}"] = keras.Input(x.shape[1:], name=f"control_{index}")
        return layers.Add(name=f"add_control_{index}")([x, inputs[f"control_{index}"]])

    x, skips = inputs["latent"], []
    for block in parts.encoder:
        for layer in block:
            x = run_layer(maybe_remat(layer, remat), x, time, context)
        skips.append(listen(x))
    for layer in parts.middle:
        x = run_layer(maybe_remat(layer, remat), x, time, context)
    x = listen(x)
    for layer in parts.decoder:
        if isinstance(layer, layers.Concatenate):
            x = layer([x, skips.pop()])
        else:
            x = run_layer(maybe_remat(layer, remat), x, time, context)
    return keras.Model(list(inputs.values()), x, name=f"controlled_{unet.name}")


def add_residuals(several: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Sum of the residuals of several branches, block by block."""
    return [sum(residuals[1:], residuals[0]) for residuals in zip(*several, strict=True)]
