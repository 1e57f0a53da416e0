"""The branch in diffusers' layout and back, and what is said about a file that does not fit."""

from diffusion_tiny import fresh_branch, hints, open_branch, run, unet_inputs
from utils.diffusion import controlnet_weights
from utils.diffusion.checkpoints import CheckpointError

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


def outputs(branch):
    return run(branch, {**unet_inputs(), "hint": hints()})


def test_round_trip_through_a_file_gives_equal_outputs(tmp_path):
    expected = outputs(open_branch())
    controlnet_weights.save_controlnet(open_branch(), tmp_path / "branch.safetensors")
    branch = fresh_branch()
    assert not any(residual.any() for residual in outputs(branch))
    controlnet_weights.load_controlnet(branch, tmp_path / "branch.safetensors")
    for ours, theirs in zip(outputs(branch), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_half_precision_halves_the_file_and_keeps_the_outputs_close(tmp_path):
    branch = open_branch()
    expected = outputs(branch)
    for dtype in ("float32", "float16"):
        controlnet_weights.save_controlnet(branch, tmp_path / dtype, dtype=dtype)
    assert (tmp_path / "float16").stat().st_size < 0.6 * (tmp_path / "float32").stat().st_size
    controlnet_weights.load_controlnet(branch, tmp_path / "float16")
    for ours, theirs in zip(outputs(branch), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_gradient_checkpointing_does_not_change_the_file():
    plain, wrapped = (controlnet_weights.controlnet_state_dict(open_branch(remat=remat)) for remat in (False, True))
    assert list(plain) == list(wrapped)
    for name in plain:
        np.testing.assert_array_equal(plain[name], wrapped[name])


def test_names_and_shapes_are_those_of_diffusers():
    state = controlnet_weights.controlnet_state_dict(fresh_branch())
    shapes = {name: array.shape for name, array in state.items()}
    expected = {
        "conv_in.weight": (32, 4, 3, 3),
        "time_embedding.linear_1.weight": (128, 32),
        "down_blocks.0.resnets.0.norm1.weight": (32,),
        "down_blocks.0.attentions.0.proj_in.weight": (32, 32, 1, 1),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (32, 32),
        "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight": (256, 32),
        "down_blocks.0.downsamplers.0.conv.weight": (32, 32, 3, 3),
        "down_blocks.1.resnets.0.conv_shortcut.weight": (64, 32, 1, 1),
        "mid_block.attentions.0.proj_out.bias": (64,),
        "mid_block.resnets.1.conv2.bias": (64,),
        "controlnet_cond_embedding.conv_in.weight": (8, 3, 3, 3),
        "controlnet_cond_embedding.blocks.3.weight": (8, 8, 3, 3),
        "controlnet_cond_embedding.conv_out.weight": (32, 8, 3, 3),
        "controlnet_down_blocks.3.weight": (64, 64, 1, 1),
        "controlnet_mid_block.weight": (64, 64, 1, 1),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert sum(array.size for array in state.values()) == fresh_branch().count_params()


def test_matrices_for_1x1_convolutions_are_read_too():
    """Some public files keep a 1x1 convolution as a matrix, and the other way round."""
    state = controlnet_weights.controlnet_state_dict(open_branch())
    name, linear = "controlnet_mid_block.weight", "time_embedding.linear_1.weight"
    changed = {**state, name: state[name][:, :, 0, 0], linear: state[linear][:, :, None, None]}
    branch = fresh_branch()
    controlnet_weights.set_controlnet_state_dict(branch, changed)
    after = controlnet_weights.controlnet_state_dict(branch)
    for key in (name, linear):
        np.testing.assert_array_equal(after[key], state[key])


def original_names(state):
    """The names of the tiny branch in the code that ControlNet was published with, written down by hand."""
    block = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"}
    block |= {"conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    places = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "down_blocks.1.attentions.0": "input_blocks.3.1",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "controlnet_cond_embedding.conv_in": "input_hint_block.0",
        **{f"controlnet_cond_embedding.blocks.{i}": f"input_hint_block.{2 * i + 2}" for i in range(4)},
        "controlnet_cond_embedding.conv_out": "input_hint_block.10",
        **{f"controlnet_down_blocks.{i}": f"zero_convs.{i}.0" for i in range(4)},
        "controlnet_mid_block": "middle_block_out.0",
    }
    renamed = {}
    for name, array in state.items():
        place = max((p for p in places if name.startswith(f"{p}.")), key=len)
        part, _, kind = name[len(place) + 1 :].rpartition(".")
        renamed[".".join(filter(None, (places[place], block.get(part, part), kind)))] = array
    return renamed


@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_files_of_the_original_code_are_read(tmp_path, prefix):
    state = controlnet_weights.controlnet_state_dict(open_branch())
    original = {f"{prefix}{name}": np.ascontiguousarray(a) for name, a in original_names(state).items()}
    assert len(original) == len(state) and f"{prefix}input_blocks.3.0.skip_connection.weight" in original
    if prefix:
        original["model.diffusion_model.out.2.bias"] = np.zeros(4, "float32")  # all of Stable Diffusion lies beside it
    save_file(original, tmp_path / "control_v11p_sd15_scribble.safetensors")
    branch = fresh_branch()
    controlnet_weights.load_controlnet(branch, tmp_path / "control_v11p_sd15_scribble.safetensors")
    for ours, theirs in zip(outputs(branch), outputs(open_branch()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    branch = open_branch()
    before = branch.get_weights()
    state = controlnet_weights.controlnet_state_dict(branch)
    state["mid_block.resnets.1.conv2.bias"] = np.full_like(state["mid_block.resnets.1.conv2.bias"], value)
    with pytest.raises(CheckpointError, match=r"mid_block\.resnets\.1\.conv2\.bias holds numbers that are not finite"):
        controlnet_weights.set_controlnet_state_dict(branch, state)
    for ours, theirs in zip(branch.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


INSTEAD = {
    "pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1445157120\n",
    "web page": b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
    "take the .safetensors": b"PK\x03\x04archive/data.pkl",
    "PyTorch file": b"\x80\x02}q\x00.",
    "it is empty": b"",
}


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_people_get_instead_of_weights_is_named(tmp_path, kind):
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    path.write_bytes(INSTEAD[kind])
    with pytest.raises(CheckpointError, match=kind):
        controlnet_weights.load_controlnet(fresh_branch(), path)


def test_a_file_that_does_not_fit_is_named_and_changes_nothing(tmp_path):
    branch = open_branch()
    before = branch.get_weights()
    path = tmp_path / "branch.safetensors"
    controlnet_weights.save_controlnet(branch, path)
    state = load_file(path)
    state["strange.weight"] = state.pop("conv_in.weight")
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"missing \['conv_in.weight'\].*strange.weight"):
        controlnet_weights.load_controlnet(branch, path)
    state["conv_in.weight"] = np.zeros((2, 4, 3, 3), "float32")
    del state["strange.weight"]
    with pytest.raises(CheckpointError, match=r"conv_in.weight has shape \(2, 4, 3, 3\)"):
        controlnet_weights.set_controlnet_state_dict(branch, state)
    path.write_bytes(b"not a file of weights")
    with pytest.raises(CheckpointError, match="cannot read"):
        controlnet_weights.load_controlnet(branch, path)
    with pytest.raises(CheckpointError, match="there is no file"):
        controlnet_weights.load_controlnet(branch, tmp_path / "absent.safetensors")
    for ours, theirs in zip(branch.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
