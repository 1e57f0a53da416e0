"""The weights of a ControlNet's branch in the public checkpoints' layout.

They are kept as safetensors with the names and the axis order of ``lllyasviel/sd-controlnet-*`` in diffusers, at any
width, so that one file serves both libraries.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.diffusion.blocks import PaddedConv2D, ResBlock, SpatialTransformer
from utils.diffusion.checkpoints import CheckpointError, written_whole
from utils.diffusion.unet import Remat

import keras
import numpy as np
from keras import layers, ops
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

__all__ = ["controlnet_state_dict", "load_controlnet", "save_controlnet", "set_controlnet_state_dict"]


def save_controlnet(controlnet: keras.Model, path: str | Path, dtype: str = "float32") -> None:
    """Write the branch alone, in diffusers' names, as safetensors."""
    arrays = {name: np.ascontiguousarray(a, dtype) for name, a in controlnet_state_dict(controlnet).items()}
    with written_whole(Path(path)) as temporary:
        save_file(arrays, temporary, metadata={"format": "pt"})


def load_controlnet(controlnet: keras.Model, path: str | Path) -> None:
    """Read a file of :func:`save_controlnet` or diffusers' ``diffusion_pytorch_model.safetensors`` into the branch."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}; expected a ControlNet in safetensors format.")
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"cannot read {path}: {error}.") from error
    set_controlnet_state_dict(controlnet, arrays)


def controlnet_state_dict(controlnet: keras.Model) -> dict[str, np.ndarray]:
    """The branch's weights by diffusers' names, in PyTorch's axis order."""
    return {
        name: _to_torch(np.asarray(ops.convert_to_numpy(variable)), kind)
        for name, variable, kind in _named_variables(controlnet)
    }


def set_controlnet_state_dict(controlnet: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Set the branch's weights from arrays by diffusers' names; every name and shape must fit."""
    named = list(_named_variables(controlnet))
    expected = {name for name, _, _ in named}
    if expected != set(arrays):
        raise CheckpointError(
            f"the file does not fit this ControlNet: missing {sorted(expected - set(arrays))[:3]}, "
            f"not known here {sorted(set(arrays) - expected)[:3]} "
            f"({len(expected - set(arrays))} and {len(set(arrays) - expected)} names)."
        )
    values = []
    for name, variable, kind in named:
        value = _from_torch(np.asarray(arrays[name]), kind)
        if value.shape != tuple(variable.shape):
            raise CheckpointError(f"{name} has shape {arrays[name].shape}, which does not fit {tuple(variable.shape)}.")
        values.append(value)
    for (_, variable, _), value in zip(named, values, strict=True):
        variable.assign(value.astype("float32"))


def _to_torch(array: np.ndarray, kind: str) -> np.ndarray:
    if kind == "conv":
        return array.transpose(3, 2, 0, 1)
    return array.T if kind == "dense" else array


def _from_torch(array: np.ndarray, kind: str) -> np.ndarray:
    if kind == "conv" and array.ndim == 2:  # the public files keep some 1x1 convolutions as matrices
        array = array[:, :, None, None]
    if kind == "dense" and array.ndim == 4:
        array = array[:, :, 0, 0]
    if kind == "conv" and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if kind == "dense" and array.ndim == 2 else array


def _named_variables(controlnet: keras.Model) -> Iterator[tuple[str, Any, str]]:
    """Triples (diffusers' name, variable, kind), kind one of "conv", "dense" and "vector"."""
    seen = 0
    for layer, name in _named_layers(controlnet):
        for label, variable in _weights_of(layer):
            seen += 1
            ndim = len(variable.shape)
            yield f"{name}.{label}", variable, {4: "conv", 2: "dense"}.get(ndim, "vector")
    if seen != len(controlnet.weights):
        raise CheckpointError(f"{controlnet.name!r} has {len(controlnet.weights)} weights, only {seen} have a name.")


def _weights_of(layer: layers.Layer) -> list[tuple[str, Any]]:
    if isinstance(layer, PaddedConv2D):
        layer = layer.conv2d
    if isinstance(layer, (layers.GroupNormalization, layers.LayerNormalization)):
        return [("weight", layer.gamma), ("bias", layer.beta)]
    return [("weight", layer.kernel)] + ([("bias", layer.bias)] if layer.use_bias else [])


def _named_layers(controlnet: keras.Model) -> Iterator[tuple[layers.Layer, str]]:
    """Pairs (layer with weights, diffusers' name) of a branch from ``build_controlnet``."""
    yield controlnet.get_layer("time_0"), "time_embedding.linear_1"
    yield controlnet.get_layer("time_2"), "time_embedding.linear_2"
    blocks = _control_blocks(controlnet)
    level, resnets = 0, 0
    for index, block in enumerate(blocks[:-1]):
        first = block[0]
        if index == 0:
            yield first, "conv_in"
        elif isinstance(first, PaddedConv2D):
            yield first, f"down_blocks.{level}.downsamplers.0.conv"
            level, resnets = level + 1, 0
        else:
            for layer in block:
                yield from _block_layers(layer, f"down_blocks.{level}", resnets)
            resnets += 1
    for layer, position in zip(blocks[-1], (0, 0, 1), strict=True):
        yield from _block_layers(layer, "mid_block", position)
    yield from _hint_layers(controlnet)
    for index in range(len(blocks) - 1):
        yield controlnet.get_layer(f"zero_{index}"), f"controlnet_down_blocks.{index}"
    yield controlnet.get_layer(f"zero_{len(blocks) - 1}"), "controlnet_mid_block"


def _control_blocks(controlnet: keras.Model) -> list[list[layers.Layer]]:
    """The copied layers of each residual: encoder blocks in order, then the middle."""
    encoder: dict[int, list[layers.Layer]] = {}
    middle: list[layers.Layer] = []
    for layer in controlnet.layers:
        stage, _, rest = layer.name.partition("_")
        if stage in ("encoder", "middle"):
            inner = layer.layer if isinstance(layer, Remat) else layer
            (middle if stage == "middle" else encoder.setdefault(int(rest.split("_")[0]), [])).append(inner)
    return [*(encoder[index] for index in sorted(encoder)), middle]


def _block_layers(layer: layers.Layer, prefix: str, position: int) -> Iterator[tuple[layers.Layer, str]]:
    if isinstance(layer, ResBlock):
        prefix = f"{prefix}.resnets.{position}"
        yield layer.entry_flow[0], f"{prefix}.norm1"
        yield layer.entry_flow[2], f"{prefix}.conv1"
        yield layer.embedding_flow[1], f"{prefix}.time_emb_proj"
        yield layer.exit_flow[0], f"{prefix}.norm2"
        yield layer.exit_flow[2], f"{prefix}.conv2"
        if isinstance(layer.residual_projection, PaddedConv2D):
            yield layer.residual_projection, f"{prefix}.conv_shortcut"
    elif isinstance(layer, SpatialTransformer):
        prefix = f"{prefix}.attentions.{position}"
        block = layer.transformer_block
        yield layer.norm, f"{prefix}.norm"
        yield layer.proj1, f"{prefix}.proj_in"
        for number, attention in ((1, block.attn1), (2, block.attn2)):
            for label in ("q", "k", "v"):
                yield getattr(attention, f"to_{label}"), f"{prefix}.transformer_blocks.0.attn{number}.to_{label}"
            yield attention.out_proj, f"{prefix}.transformer_blocks.0.attn{number}.to_out.0"
        for number in (1, 2, 3):
            yield getattr(block, f"norm{number}"), f"{prefix}.transformer_blocks.0.norm{number}"
        yield block.geglu.dense, f"{prefix}.transformer_blocks.0.ff.net.0.proj"
        yield block.dense, f"{prefix}.transformer_blocks.0.ff.net.2"
        yield layer.proj2, f"{prefix}.proj_out"


def _hint_layers(controlnet: keras.Model) -> Iterator[tuple[layers.Layer, str]]:
    hint = [layer for layer in controlnet.layers if layer.name.startswith("hint_")]
    hint.sort(key=lambda layer: int(layer.name.removeprefix("hint_")))
    yield hint[0], "controlnet_cond_embedding.conv_in"
    for index, layer in enumerate(hint[1:-1]):
        yield layer, f"controlnet_cond_embedding.blocks.{index}"
    yield hint[-1], "controlnet_cond_embedding.conv_out"
