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
from utils.diffusion import autoencoder, controlnet, stable_diffusion

import keras
import numpy as np
import pytest


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
    original = run(keras.Model(unet.inputs, controlnet.read_unet(unet).middle[-1].output), inputs)
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
    wrapped = [layer for layer in tiny_controlled_unet(remat=True).layers if isinstance(layer, controlnet.Remat)]
    assert len(wrapped) == 12
    assert max(np.abs(g).max() for g in plain) > 1e-3
    for first, second in zip(plain, checkpointed, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6, rtol=1e-3)


def kerascv_blocks():
    """A residual block and a spatial transformer as KerasCV has them, on values far from zero."""
    keras.utils.set_random_seed(0)
    x, time, context = keras.Input((8, 8, 32)), keras.Input((16,)), keras.Input((6, 32))
    y = stable_diffusion.ResBlock(64)([x, time])
    y = stable_diffusion.SpatialTransformer(2, 32, fully_connected=True)([y, context])
    rng = np.random.default_rng(0)
    shapes = [(4, *tensor.shape[1:]) for tensor in (x, time, context)]
    inputs = [rng.normal(10.0, size=shape).astype("float32") for shape in shapes]
    return keras.Model([x, time, context], y), inputs


def test_fast_layers_give_the_numbers_and_gradients_of_kerascv():
    model, inputs = kerascv_blocks()
    target = np.random.default_rng(1).normal(size=(4, 8, 8, 64)).astype("float32")

    def loss():
        return keras.ops.mean(keras.ops.square(model(inputs) - target))

    def outputs_and_gradients():
        return [np.asarray(model(inputs)), *gradients(loss, model.trainable_variables)]

    plain = outputs_and_gradients()
    assert max(np.abs(array).max() for array in plain[1:]) > 1e-2
    kinds = {type(layer).__name__ for layer in stable_diffusion.use_fast_layers(model)._flatten_layers()}
    assert {"FastCrossAttention", "FastGEGLU", "FastGroupNormalization"} <= kinds
    for ours, theirs in zip(outputs_and_gradients(), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("model", [tiny_unet, fresh_branch, autoencoder.build_encoder, autoencoder.build_decoder])
def test_what_is_built_has_only_fast_layers(model):
    slow = (stable_diffusion.CrossAttention, stable_diffusion.GEGLU, keras.layers.GroupNormalization)
    kinds = {type(layer) for layer in model()._flatten_layers()}
    assert not kinds & set(slow)
    assert stable_diffusion.FastGroupNormalization in kinds


def test_block_scales():
    np.testing.assert_array_equal(controlnet.block_scales(3, 0.5), np.full(3, 0.5, "float32"))
    np.testing.assert_array_equal(controlnet.block_scales(3, [1, 0, 2]), np.array([1, 0, 2], "float32"))
    guess = controlnet.block_scales(13, guess_mode=True)
    assert guess[-1] == 1.0
    assert guess[0] == pytest.approx(0.825**12)
    with pytest.raises(ValueError, match="expected one number or 13"):
        controlnet.block_scales(13, [1.0, 2.0])


def test_residuals_are_summed_by_block():
    total = controlnet.add_residuals([[np.ones(2), np.ones(3)], [np.full(2, 2.0), np.full(3, 30.0)]])
    assert [x.tolist() for x in total] == [[3.0, 3.0], [31.0, 31.0, 31.0]]


def test_wrong_hint_size_and_wrong_model_are_named():
    with pytest.raises(ValueError, match=r"hints must be \(32, 32\)"):
        controlnet.build_controlnet(tiny_unet(), hint_shape=(64, 64, 3), hint_widths=(8, 8, 8))
    with pytest.raises(ValueError, match="not a U-Net"):
        controlnet.read_unet(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="line"))
