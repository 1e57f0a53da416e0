"""What the diffusion tests share: networks of a few thousand weights, random inputs, gradients on either backend.

Building the networks takes most of the time of these tests, so each is built once for all of them.
"""

import dataclasses
import functools

from utils.diffusion import controlnet
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.text_encoder import build_text_encoder
from utils.diffusion.tokenizers import WordTokenizer
from utils.diffusion.unet import build_unet

import keras
import numpy as np
from keras import ops

HINT_WIDTHS = (8, 8, 8)
RESIDUALS = 5


@functools.cache
def tiny_unet():
    """A two-level U-Net for latents of 8x8x4 and contexts of 6x32, as narrow as KerasCV's blocks allow."""
    keras.utils.set_random_seed(0)
    return build_unet((8, 8, 4), (6, 32), (32, 64), blocks=1, attention=(True, False), groups=8, head_size=16)


@functools.cache
def tiny_controlled_unet(remat=False):
    """The U-Net of :func:`tiny_unet` that listens."""
    return controlnet.build_controlled_unet(tiny_unet(), remat=remat)


@functools.cache
def _branch(remat):
    return controlnet.build_controlnet(tiny_unet(), hint_widths=HINT_WIDTHS, remat=remat)


def fresh_branch(remat=False):
    """A branch for :func:`tiny_unet` with hints of 32x32x3, as it is before training."""
    branch = _branch(remat)
    rng = np.random.default_rng(0)
    controlnet.copy_encoder_weights(tiny_unet(), branch)
    for layer in branch.layers:
        if layer.name.startswith(("zero_", "hint_")):
            zero = layer.name.startswith("zero_") or layer.name == "hint_5"
            layer.set_weights([rng.normal(size=w.shape, scale=0.2) * (not zero) for w in layer.get_weights()])
    return branch


def open_branch(size=0.05, **options):
    """A branch whose zero convolutions have random weights, so that it acts."""
    branch = fresh_branch(**options)
    rng = np.random.default_rng(1)
    for layer in branch.layers:
        if layer.name.startswith("zero_") or layer.name == "hint_5":
            layer.set_weights([rng.normal(size=w.shape, scale=size) for w in layer.get_weights()])
    return branch


@functools.cache
def tiny_encoders():
    """All parts of the tiny model but its U-Net, which takes longest to build: pictures of 32x32, latents of 8x8x4."""
    keras.utils.set_random_seed(1)
    tokenizer = WordTokenizer(["red", "blue", "bird", "fish"], max_length=6)
    image_encoder = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 4, strides=4)], name="image_encoder"
    )
    decoder = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2DTranspose(3, 4, strides=4)], name="decoder")
    text_encoder = build_text_encoder(tokenizer.size, 6, width=32, depth=1)
    return LatentDiffusion(None, text_encoder, image_encoder, decoder, tokenizer, 0.1, 0.9)


@functools.cache
def tiny_diffusion():
    """A complete latent diffusion model around :func:`tiny_unet`."""
    return dataclasses.replace(tiny_encoders(), unet=tiny_unet())


def unet_inputs(batch=2, seed=0):
    """Random inputs of :func:`tiny_unet`."""
    rng = np.random.default_rng(seed)
    shapes = {"latent": (8, 8, 4), "timestep_embedding": (32,), "context": (6, 32)}
    return {name: rng.normal(size=(batch, *shape)).astype("float32") for name, shape in shapes.items()}


def hints(batch=2, seed=1):
    """Random hints in [0, 1]."""
    return np.random.default_rng(seed).random((batch, 32, 32, 3), "float32")


def controlled_inputs(inputs, residuals):
    """Inputs of the controlled U-Net from those of the U-Net and a list of residuals."""
    return {**inputs, **{f"control_{i}": residual for i, residual in enumerate(residuals)}}


def run(model, inputs):
    """Output of a model as arrays."""
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(inputs)
    output = model({name: ops.convert_to_tensor(value) for name, value in inputs.items()}, training=False)
    return [np.asarray(x) for x in output] if isinstance(output, list) else np.asarray(output)


def gradients(loss, variables):
    """Gradients of ``loss()`` as arrays (zeros where there is none), on the TensorFlow or the JAX backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = zip(tape.gradient(value, [variable.value for variable in variables]), variables, strict=True)
        return [np.zeros(v.shape, "float32") if g is None else np.asarray(g) for g, v in found]
    import jax

    def stateless(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss()

    return [np.asarray(g) for g in jax.jit(jax.grad(stateless))([variable.value for variable in variables])]


def control_loss(branch, controlled):
    """A scalar that depends on the branch through the frozen U-Net."""
    inputs = {name: ops.convert_to_tensor(value) for name, value in unet_inputs().items()}
    residuals = branch({**inputs, "hint": ops.convert_to_tensor(hints())})
    return ops.mean(ops.square(controlled(controlled_inputs(inputs, residuals))))
