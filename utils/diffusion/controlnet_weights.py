"""The weights of a ControlNet's branch in the public checkpoints' layout.

They are kept as safetensors with the names and the axis order of ``lllyasviel/sd-controlnet-*`` in diffusers, at any
width, so that one file serves both libraries. Files with the names of the original code (``control_model.*``, as
``lllyasviel/ControlNet-v1-1`` has them) are read, too.
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
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read {path}: {_what_it_is(path) or error}.") from error
    set_controlnet_state_dict(controlnet, arrays)


def _what_it_is(path: Path) -> str:
    """Say what a file is that is no safetensors file, if it is one of those that people get instead."""
    with open(path, "rb") as file:
        start = file.read(200).lstrip()
    kinds = {
        b"version https://git-lfs": "it is a pointer of Git LFS: fetch the file itself with `git lfs pull`",
        b"<": "it is a web page, not the weights: download the file itself",
        b"PK\x03\x04": "it is a PyTorch file (.pth, .bin): take the .safetensors of the same model",
        b"\x80": "it is a PyTorch file (.pth, .bin): take the .safetensors of the same model",
    }
    if not start:
        return "it is empty: download it again"
    return next((said for magic, said in kinds.items() if start.startswith(magic)), "")


def controlnet_state_dict(controlnet: keras.Model) -> dict[str, np.ndarray]:
    """The branch's weights by diffusers' names, in PyTorch's axis order."""
    return {
        name: _to_torch(np.asarray(ops.convert_to_numpy(variable)), kind)
        for name, _, variable, kind in _named_variables(controlnet)
    }


def set_controlnet_state_dict(controlnet: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Set the branch's weights from arrays by diffusers' or the original names; every name and shape must fit.

    Raises
    ------
    CheckpointError
        A name is missing or not known, a shape does not fit, or a number is not finite. Nothing was changed.
    """
    named = [(name, variable, kind) for name, _, variable, kind in _named_variables(controlnet)]
    arrays = _by_diffusers_names(controlnet, arrays)
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
        value = value.astype("float32")
        if not np.isfinite(value).all():
            raise CheckpointError(f"{name} holds numbers that are not finite: the file is of a training that failed.")
        values.append(value)
    for (_, variable, _), value in zip(named, values, strict=True):
        variable.assign(value)


def _by_diffusers_names(controlnet: keras.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays under diffusers' names where they have the original ones, with ``control_model.`` or without."""
    prefix = "control_model."
    if any(name.startswith(prefix) for name in arrays):  # beside it, such a file may hold all of Stable Diffusion
        arrays = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    if "input_blocks.0.0.weight" not in arrays:
        return arrays
    names = {original: name for name, original, _, _ in _named_variables(controlnet)}
    return {names.get(name, name): array for name, array in arrays.items()}


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


def _named_variables(controlnet: keras.Model) -> Iterator[tuple[str, str, Any, str]]:
    """Diffusers' name, the original name, variable and kind ("conv", "dense" or "vector") of each weight."""
    seen = 0
    for layer, name, original in _named_layers(controlnet):
        for label, variable in _weights_of(layer):
            seen += 1
            ndim = len(variable.shape)
            yield f"{name}.{label}", f"{original}.{label}", variable, {4: "conv", 2: "dense"}.get(ndim, "vector")
    if seen != len(controlnet.weights):
        raise CheckpointError(f"{controlnet.name!r} has {len(controlnet.weights)} weights, only {seen} have a name.")


def _weights_of(layer: layers.Layer) -> list[tuple[str, Any]]:
    if isinstance(layer, PaddedConv2D):
        layer = layer.conv2d
    if isinstance(layer, (layers.GroupNormalization, layers.LayerNormalization)):
        return [("weight", layer.gamma), ("bias", layer.beta)]
    return [("weight", layer.kernel)] + ([("bias", layer.bias)] if layer.use_bias else [])


def _named_layers(controlnet: keras.Model) -> Iterator[tuple[layers.Layer, str, str]]:
    """Layer with weights, diffusers' name and the original name, of a branch from ``build_controlnet``."""
    yield controlnet.get_layer("time_0"), "time_embedding.linear_1", "time_embed.0"
    yield controlnet.get_layer("time_2"), "time_embedding.linear_2", "time_embed.2"
    blocks = _control_blocks(controlnet)
    level, resnets = 0, 0
    for index, block in enumerate(blocks[:-1]):
        first, there = block[0], f"input_blocks.{index}"
        if index == 0:
            yield first, "conv_in", f"{there}.0"
        elif isinstance(first, PaddedConv2D):
            yield first, f"down_blocks.{level}.downsamplers.0.conv", f"{there}.0.op"
            level, resnets = level + 1, 0
        else:
            for number, layer in enumerate(block):
                yield from _block_layers(layer, f"down_blocks.{level}", resnets, f"{there}.{number}")
            resnets += 1
    for number, (layer, position) in enumerate(zip(blocks[-1], (0, 0, 1), strict=True)):
        yield from _block_layers(layer, "mid_block", position, f"middle_block.{number}")
    yield from _hint_layers(controlnet)
    for index in range(len(blocks) - 1):
        yield controlnet.get_layer(f"zero_{index}"), f"controlnet_down_blocks.{index}", f"zero_convs.{index}.0"
    yield controlnet.get_layer(f"zero_{len(blocks) - 1}"), "controlnet_mid_block", "middle_block_out.0"


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


def _block_layers(
    layer: layers.Layer, prefix: str, position: int, original: str
) -> Iterator[tuple[layers.Layer, str, str]]:
    if isinstance(layer, ResBlock):
        parts = [
            (layer.entry_flow[0], "norm1", "in_layers.0"),
            (layer.entry_flow[2], "conv1", "in_layers.2"),
            (layer.embedding_flow[1], "time_emb_proj", "emb_layers.1"),
            (layer.exit_flow[0], "norm2", "out_layers.0"),
            (layer.exit_flow[2], "conv2", "out_layers.3"),
        ]
        if isinstance(layer.residual_projection, PaddedConv2D):
            parts.append((layer.residual_projection, "conv_shortcut", "skip_connection"))
        for part, name, there in parts:
            yield part, f"{prefix}.resnets.{position}.{name}", f"{original}.{there}"
    elif isinstance(layer, SpatialTransformer):
        block = layer.transformer_block
        inner = [(layer.norm, "norm"), (layer.proj1, "proj_in")]
        for number, attention in ((1, block.attn1), (2, block.attn2)):
            attend = f"transformer_blocks.0.attn{number}"
            inner += [(getattr(attention, f"to_{label}"), f"{attend}.to_{label}") for label in ("q", "k", "v")]
            inner.append((attention.out_proj, f"{attend}.to_out.0"))
        inner += [(getattr(block, f"norm{number}"), f"transformer_blocks.0.norm{number}") for number in (1, 2, 3)]
        inner += [(block.geglu.dense, "transformer_blocks.0.ff.net.0.proj")]
        inner += [(block.dense, "transformer_blocks.0.ff.net.2"), (layer.proj2, "proj_out")]
        for part, name in inner:  # these names are the same in both
            yield part, f"{prefix}.attentions.{position}.{name}", f"{original}.{name}"


def _hint_layers(controlnet: keras.Model) -> Iterator[tuple[layers.Layer, str, str]]:
    hint = [layer for layer in controlnet.layers if layer.name.startswith("hint_")]
    hint.sort(key=lambda layer: int(layer.name.removeprefix("hint_")))
    names = ["conv_in", *(f"blocks.{index}" for index in range(len(hint) - 2)), "conv_out"]
    for index, (layer, name) in enumerate(zip(hint, names, strict=True)):  # in the original a SiLU stands between two
        yield layer, f"controlnet_cond_embedding.{name}", f"input_hint_block.{2 * index}"
