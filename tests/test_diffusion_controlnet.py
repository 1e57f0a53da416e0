"""The invariants of ControlNet: it starts as if it were not there, and then only it moves."""

import keras
import numpy as np
import pytest
from diffusion_tiny import controlled_inputs, gradients, hints, mean_square, tiny_controlnet, tiny_unet, unet_inputs

from utils.diffusion import controlnet, stable_diffusion


@pytest.fixture(scope="module")
def unet():
    return tiny_unet()


@pytest.fixture(scope="module")
def controlled(unet):
    return controlnet.build_controlled_unet(unet)


def call(model, inputs):
    return model({name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}, training=False)


def labels(branch, prefix):
    return [layer for layer in branch.layers if layer.name.startswith(prefix)]


def test_a_fresh_branch_leaves_the_unet_bit_identical(unet, controlled):
    inputs = unet_inputs()
    residuals = call(tiny_controlnet(unet), {**inputs, "hint": hints()})
    assert all(not np.any(np.asarray(residual)) for residual in residuals)
    plain = np.asarray(call(unet, inputs))
    assert np.std(plain) > 1e-3
    np.testing.assert_array_equal(np.asarray(call(controlled, controlled_inputs(inputs, residuals))), plain)


def test_every_residual_reaches_the_output(unet, controlled):
    inputs, rng = unet_inputs(), np.random.default_rng(0)
    shapes = [tuple(tensor.shape[1:]) for tensor in controlled.inputs[3:]]
    assert len(shapes) == len(tiny_controlnet(unet).outputs) == 5
    plain = np.asarray(call(unet, inputs))
    for index in range(len(shapes)):
        residuals = [rng.normal(size=(2, *shape)).astype("float32") * (i == index) for i, shape in enumerate(shapes)]
        changed = np.asarray(call(controlled, controlled_inputs(inputs, residuals)))
        assert np.abs(changed - plain).max() > 1e-4, f"residual {index} changes nothing"


def test_copy_has_the_weights_of_the_encoder_and_computes_the_same(unet):
    branch = tiny_controlnet(unet)
    pairs = controlnet.copy_layer_pairs(unet, branch)
    for source, copy in pairs:
        for ours, theirs in zip(copy.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    middle = keras.Model(branch.inputs, pairs[-1][1].output)
    original = keras.Model(unet.inputs, controlnet.read_unet(unet).middle[-1].output)
    inputs = unet_inputs()
    np.testing.assert_array_equal(
        np.asarray(call(middle, {**inputs, "hint": hints()})), np.asarray(call(original, inputs))
    )


def test_copy_follows_weights_loaded_later(unet):
    branch = tiny_controlnet(unet)
    for layer, _ in controlnet.copy_layer_pairs(unet, branch):
        layer.set_weights([weight + 1.0 for weight in layer.get_weights()])
    controlnet.copy_encoder_weights(unet, branch)
    source, copy = controlnet.copy_layer_pairs(unet, branch)[-1]
    np.testing.assert_array_equal(source.get_weights()[0], copy.get_weights()[0])


def branch_gradients(unet, controlled, branch):
    inputs = unet_inputs()

    def loss():
        residuals = call(branch, {**inputs, "hint": hints()})
        return mean_square(call(controlled, controlled_inputs(inputs, residuals)))

    found = dict(zip([v.path for v in branch.trainable_variables], gradients(loss, branch.trainable_variables)))
    sizes = {}
    for layer in branch.layers:
        if layer.weights:
            sizes[layer.name] = max(np.abs(found[v.path]).max() for v in layer.trainable_variables)
    return found, sizes


def test_gradients_before_and_after_the_first_update(unet, controlled):
    branch = tiny_controlnet(unet)
    found, sizes = branch_gradients(unet, controlled, branch)
    zero = {layer.name for layer in labels(branch, "zero_")}
    assert len(zero) == 5
    assert all(sizes[name] > 0 for name in zero), "a zero convolution has no gradient through the frozen decoder"
    assert all(size == 0 for name, size in sizes.items() if name not in zero), "a copy has a gradient at the start"

    for variable in branch.trainable_variables:
        variable.assign(variable - 0.1 * found[variable.path])
    _, sizes = branch_gradients(unet, controlled, branch)
    silent = [name for name, size in sizes.items() if size == 0]
    # the hint encoder ends in a zero convolution of its own: it opens first, and what is before it one update later
    assert silent == [layer.name for layer in labels(branch, "hint_")[:-1] if layer.weights]


def test_gradient_checkpointing_changes_no_number(unet):
    inputs = unet_inputs()
    results = []
    for remat in (False, True):
        branch = tiny_controlnet(unet, remat=remat)
        controlled = controlnet.build_controlled_unet(unet, remat=remat)
        assert len([layer for layer in controlled.layers if isinstance(layer, controlnet.Remat)]) == 12 * remat
        for layer in labels(branch, "zero_"):
            layer.set_weights([np.full(weight.shape, 0.01, "float32") for weight in layer.get_weights()])

        def loss(branch=branch, controlled=controlled):
            residuals = call(branch, {**inputs, "hint": hints()})
            return mean_square(call(controlled, controlled_inputs(inputs, residuals)))

        results.append(gradients(loss, branch.trainable_variables))
        assert branch.count_params() == tiny_controlnet(unet).count_params()
    for plain, checkpointed in zip(*results, strict=True):
        np.testing.assert_allclose(plain, checkpointed, atol=1e-6, rtol=1e-4)


def test_fused_attention_gives_the_same_numbers():
    plain = tiny_unet()
    fused = stable_diffusion.fuse_attention(tiny_unet())
    fused.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        np.asarray(call(plain, unet_inputs())), np.asarray(call(fused, unet_inputs())), atol=1e-5
    )
    branch = tiny_controlnet(fused)
    kinds = {
        type(layer.transformer_block.attn2).__name__
        for layer in branch.layers
        if isinstance(layer, stable_diffusion.SpatialTransformer)
    }
    assert kinds == {"FusedCrossAttention"}


def test_block_scales():
    np.testing.assert_array_equal(controlnet.block_scales(3, 0.5), np.full(3, 0.5, "float32"))
    np.testing.assert_array_equal(controlnet.block_scales(3, [1, 0, 2]), np.array([1, 0, 2], "float32"))
    guess = controlnet.block_scales(13, guess_mode=True)
    assert guess[-1] == 1.0
    assert guess[0] == pytest.approx(0.825**12)
    with pytest.raises(ValueError, match="expected one number or 13"):
        controlnet.block_scales(13, [1.0, 2.0])


def test_residuals_are_scaled_and_summed_by_block():
    first, second = [np.ones(2), np.ones(3)], [np.full(2, 2.0), np.full(3, 3.0)]
    total = controlnet.add_residuals([first, controlnet.scale_residuals(second, np.array([1.0, 10.0]))])
    assert [np.asarray(x).tolist() for x in total] == [[3.0, 3.0], [31.0, 31.0, 31.0]]


def test_wrong_hint_size_and_wrong_model_are_named(unet):
    with pytest.raises(ValueError, match=r"hints must be \(32, 32\)"):
        controlnet.build_controlnet(unet, hint_shape=(64, 64, 3), hint_widths=(8, 8, 8))
    with pytest.raises(ValueError, match="not a U-Net"):
        controlnet.read_unet(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="line"))
