"""The invariants of ControlNet: it starts as if it were not there, and then only it moves."""

from diffusion_tiny import (
    RESIDUALS,
    control_loss,
    controlled_inputs,
    fresh_branch,
    gradients,
    hints,
    open_branch,
    run,
    tiny_controlled_unet,
    tiny_unet,
    unet_inputs,
)
from utils.diffusion import controlnet
from utils.diffusion.blocks import (
    AttentionBlock,
    FastGroupNormalization,
    ResBlock,
    ResnetBlock,
    SpatialTransformer,
)
from utils.diffusion.unet import Remat, build_unet, read_unet

import keras
import numpy as np
import pytest
from keras_cv.src.models.stable_diffusion import attention_block as kerascv_attention
from keras_cv.src.models.stable_diffusion import diffusion_model as kerascv_unet
from keras_cv.src.models.stable_diffusion import resnet_block as kerascv_vae


def named(branch, prefix):
    return [layer for layer in branch.layers if layer.name.startswith(prefix) and layer.weights]


def test_a_fresh_branch_leaves_the_unet_bit_identical():
    inputs = unet_inputs()
    branch = controlnet.build_controlnet(tiny_unet(), hint_widths=(8, 8, 8))
    residuals = run(branch, {**inputs, "hint": hints()})
    assert not any(residual.any() for residual in residuals)
    plain = run(tiny_unet(), inputs)
    assert np.std(plain) > 1e-3
    np.testing.assert_array_equal(run(tiny_controlled_unet(), controlled_inputs(inputs, residuals)), plain)


def test_every_residual_reaches_the_output():
    inputs, rng = unet_inputs(), np.random.default_rng(0)
    shapes = [tuple(tensor.shape[1:]) for tensor in tiny_controlled_unet().inputs[3:]]
    assert len(shapes) == len(fresh_branch().outputs) == RESIDUALS
    plain = run(tiny_unet(), inputs)
    for index in range(RESIDUALS):
        residuals = [rng.normal(size=(2, *shape)).astype("float32") * (i == index) for i, shape in enumerate(shapes)]
        changed = run(tiny_controlled_unet(), controlled_inputs(inputs, residuals))
        assert np.abs(changed - plain).max() > 1e-4, f"residual {index} changes nothing"


def test_copy_has_the_weights_of_the_encoder_and_computes_the_same():
    unet, branch, inputs = tiny_unet(), fresh_branch(), unet_inputs()
    pairs = controlnet.copy_layer_pairs(unet, branch)
    for source, copy in pairs:
        for ours, theirs in zip(copy.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    copied = run(keras.Model(branch.inputs, pairs[-1][1].output), {**inputs, "hint": hints()})
    original = run(keras.Model(unet.inputs, read_unet(unet).middle[-1].output), inputs)
    np.testing.assert_array_equal(copied, original)


def test_copy_follows_weights_loaded_later():
    unet, branch = tiny_unet(), fresh_branch()
    before = [layer.get_weights() for layer, _ in controlnet.copy_layer_pairs(unet, branch)]
    try:
        for layer, _ in controlnet.copy_layer_pairs(unet, branch):
            layer.set_weights([weight + 1.0 for weight in layer.get_weights()])
        controlnet.copy_encoder_weights(unet, branch)
        for source, copy in controlnet.copy_layer_pairs(unet, branch):
            for ours, theirs in zip(copy.get_weights(), source.get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    finally:
        for (layer, _), weights in zip(controlnet.copy_layer_pairs(unet, branch), before, strict=True):
            layer.set_weights(weights)


def gradient_sizes(branch):
    """The gradients, and the largest one of each layer."""
    variables = branch.trainable_variables
    found = gradients(lambda: control_loss(branch, tiny_controlled_unet()), variables)
    sizes = {v.path: np.abs(g).max() for v, g in zip(variables, found, strict=True)}
    layers = [layer for layer in branch.layers if layer.weights]
    return found, {layer.name: max(sizes[v.path] for v in layer.trainable_variables) for layer in layers}


def test_gradients_before_and_after_the_first_update():
    branch = fresh_branch()
    found, sizes = gradient_sizes(branch)
    zero = {layer.name for layer in named(branch, "zero_")}
    assert len(zero) == RESIDUALS
    assert all(sizes[name] > 0 for name in zero), "a zero convolution has no gradient through the frozen decoder"
    assert all(size == 0 for name, size in sizes.items() if name not in zero), "a copy has a gradient at the start"

    for variable, gradient in zip(branch.trainable_variables, found, strict=True):
        variable.assign(variable - 0.1 * gradient)
    _, sizes = gradient_sizes(branch)
    # the hint encoder ends in a zero convolution of its own, which opens first; what is before it follows one update on
    waiting = {layer.name for layer in named(branch, "hint_")[:-1]}
    assert {name for name, size in sizes.items() if size == 0} == waiting


def checkpointed_gradients(remat):
    branch = open_branch(remat=remat)
    return gradients(lambda: control_loss(branch, tiny_controlled_unet(remat=remat)), branch.trainable_variables)


def test_gradient_checkpointing_changes_no_number():
    plain, checkpointed = checkpointed_gradients(remat=False), checkpointed_gradients(remat=True)
    wrapped = [layer for layer in tiny_controlled_unet(remat=True).layers if isinstance(layer, Remat)]
    assert len(wrapped) == 12
    assert max(np.abs(g).max() for g in plain) > 1e-3
    for first, second in zip(plain, checkpointed, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6, rtol=1e-3)


def numbers(layer, inputs, weights):
    """Output and gradients of a layer of KerasCV or of ours on values far from zero, with the given weights."""
    tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
    call = (lambda: layer(tensors)) if len(tensors) > 1 else (lambda: layer(tensors[0]))
    call()
    layer.set_weights(weights or layer.get_weights())
    target = np.random.default_rng(1).normal(size=call().shape).astype("float32")
    found = gradients(lambda: keras.ops.mean(keras.ops.square(call() - target)), layer.trainable_variables)
    return [np.asarray(call()), *found], layer.get_weights()


BLOCKS = {
    "residual": (kerascv_unet.ResBlock(64), ResBlock(64, 32), [(8, 8, 32), (16,)]),
    "transformer": (kerascv_unet.SpatialTransformer(2, 32), SpatialTransformer(2, 32, 32), [(8, 8, 64), (6, 32)]),
    "residual of the VAE": (kerascv_vae.ResnetBlock(64), ResnetBlock(64, 32), [(8, 8, 32)]),
    "attention of the VAE": (kerascv_attention.AttentionBlock(32), AttentionBlock(32, 32), [(8, 8, 32)]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_give_the_numbers_and_gradients_of_kerascv_with_its_weights(name):
    theirs, ours, shapes = BLOCKS[name]
    rng = np.random.default_rng(0)
    inputs = [rng.normal(10.0, size=(4, *shape)).astype("float32") for shape in shapes]
    expected, weights = numbers(theirs, inputs, None)
    found, _ = numbers(ours, inputs, weights)
    assert max(np.abs(array).max() for array in expected[1:]) > 1e-2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-3)


def test_groups_are_as_asked_or_four_channels_wide_and_copies_keep_them():
    widths = {16: 4, 64: 16, 128: 32, 256: 32, 2: 1}
    for channels, groups in widths.items():
        layer = FastGroupNormalization(None)
        layer.build((None, 4, 4, channels))
        assert layer.groups == groups
        x = np.random.default_rng(0).normal(3.0, size=(2, 4, 4, channels)).astype("float32")
        plain = keras.layers.GroupNormalization(groups, epsilon=1e-5)(x)
        np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(plain), atol=1e-5)
    for block in fresh_branch().layers:
        if isinstance(block, ResBlock):
            assert {layer.groups for layer in (block.entry_flow[0], block.exit_flow[0])} == {8}
        if isinstance(block, SpatialTransformer):
            assert block.norm.groups == 8


def test_residuals_are_summed_by_block():
    total = controlnet.add_residuals([[np.ones(2), np.ones(3)], [np.full(2, 2.0), np.full(3, 30.0)]])
    assert [x.tolist() for x in total] == [[3.0, 3.0], [31.0, 31.0, 31.0]]


def test_the_hint_encoder_decides_the_size_of_the_hints():
    unet = build_unet((8, 8, 4), (6, 32), (32, 64), 1, (True, False), groups=8, head_size=16)
    branch = controlnet.build_controlnet(unet)
    assert branch.get_layer("hint").output.shape == (None, 64, 64, 3)


def test_another_model_is_named():
    with pytest.raises(ValueError, match="not a U-Net"):
        read_unet(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="line"))
