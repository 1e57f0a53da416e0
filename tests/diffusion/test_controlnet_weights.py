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
