"""The building blocks of the networks: KerasCV's, in the form that the small models and the training need.

Attributes, and so the order and the names of the weights, are KerasCV's: its published weights fit, and so do
checkpoints of either. Different are the number of groups, which is a choice here, and three computations that give
the same numbers faster (`scripts/benchmark_diffusion.py` has what they bring): attention, GEGLU, normalisation. This is
the only module that imports what is private in KerasCV. Every block builds its layers and tells its output's shape
itself, so that Keras need not trace it twice to find them: building a U-Net takes a fraction of the time.

Sources: Rombach et al. 2022 (arXiv 2112.10752); Wu and He 2018 (arXiv 1803.08494) for group normalisation.
"""

import math
from typing import Any, TypeAlias

from utils.diffusion.schedule import Tensor

import keras
from keras import backend, layers, ops
from keras_cv.src.models.stable_diffusion.text_encoder import CLIPEmbedding, CLIPEncoderLayer, quick_gelu

__all__ = [
    "AttentionBlock",
    "CLIPEmbedding",
    "CLIPEncoderLayer",
    "FastGroupNormalization",
    "PaddedConv2D",
    "ResBlock",
    "ResnetBlock",
    "SpatialTransformer",
    "Upsample",
    "quick_gelu",
]

MOST_GROUPS = 32  # every group normalisation in Stable Diffusion has as many
CHANNELS_PER_GROUP = 4  # as Stable Diffusion's narrowest; with one, areas lose their colour
Shape: TypeAlias = tuple[int | None, ...]
JIT_COMPILE = keras.backend.backend() == "jax"  # XLA: JAX needs it, TensorFlow on a CPU is faster without


class PaddedConv2D(layers.Layer):
    """A convolution after explicit padding with zeros, as PyTorch pads."""

    def __init__(self, filters: int, kernel_size: int, padding: Any = 0, strides: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.choices = {"filters": filters, "kernel_size": kernel_size, "padding": padding, "strides": strides}
        self.padding2d = layers.ZeroPadding2D(padding)
        self.conv2d = layers.Conv2D(filters, kernel_size, strides=strides)

    def build(self, input_shape: Shape) -> None:
        self.conv2d.build(self.padding2d.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(self.conv2d.compute_output_shape(self.padding2d.compute_output_shape(input_shape)))

    def call(self, inputs: Tensor) -> Tensor:
        return self.conv2d(self.padding2d(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.choices}


class FastGroupNormalization(layers.GroupNormalization):
    """Group normalisation over (batch, ..., channels) that splits only the averages into groups.

    Keras splits the whole input, and its last axis then has as few entries as a group.

    Parameters
    ----------
    groups : int, optional
        None: as many as give four channels a group, at most 32.
    """

    def __init__(self, groups: int | None, **kwargs: Any):
        super().__init__(groups or MOST_GROUPS, **{"epsilon": 1e-5, **kwargs})
        self.by_width = groups is None

    def build(self, input_shape: Shape) -> None:
        if self.by_width:
            self.groups = min(MOST_GROUPS, max(1, (input_shape[-1] or 1) // CHANNELS_PER_GROUP))
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.cast(inputs, backend.result_type(inputs.dtype, "float32"))
        centred = x - self._average(x)
        scale = ops.rsqrt(self._average(ops.square(centred)) + self.epsilon) * ops.cast(self.gamma, x.dtype)
        return ops.cast(centred * scale + ops.cast(self.beta, x.dtype), self.compute_dtype)

    def _average(self, x: Tensor) -> Tensor:
        """The average of every group, repeated for each of its channels: (batch, 1, ..., channels)."""
        channels = x.shape[-1]
        means = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
        means = ops.mean(ops.reshape(means, (-1, self.groups, channels // self.groups)), axis=-1)
        means = ops.repeat(means, channels // self.groups, axis=-1)
        return ops.reshape(means, (-1, *[1] * (len(x.shape) - 2), channels))


# Of the U-Net ---------------------------------------------------------------------------------------------------------


class ResBlock(layers.Layer):
    """A residual block that also receives the embedding of the step: inputs [maps, embedding]."""

    def __init__(self, output_dim: int, groups: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_dim, self.groups = output_dim, groups
        self.entry_flow = _norm_swish_conv(groups, output_dim)
        self.embedding_flow = [layers.Activation("swish"), layers.Dense(output_dim)]
        self.exit_flow = _norm_swish_conv(groups, output_dim)

    def build(self, input_shape: list[Shape]) -> None:
        maps, embedding = input_shape
        output = self.compute_output_shape(input_shape)
        self.residual_projection = None if maps == output else PaddedConv2D(self.output_dim, 1)
        for layer, shape in zip([*self.entry_flow, *self.exit_flow], [maps] * 3 + [output] * 3, strict=True):
            layer.build(shape)
        self.embedding_flow[1].build(embedding)
        if self.residual_projection is not None:
            self.residual_projection.build(maps)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (*input_shape[0][:-1], self.output_dim)

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, embedding = inputs
        residual = x if self.residual_projection is None else self.residual_projection(x)
        for layer in self.entry_flow:
            x = layer(x)
        for layer in self.embedding_flow:
            embedding = layer(embedding)
        x = x + embedding[:, None, None]
        for layer in self.exit_flow:
            x = layer(x)
        return x + residual

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_dim": self.output_dim, "groups": self.groups}


def _norm_swish_conv(groups: int | None, width: int) -> list[layers.Layer]:
    return [FastGroupNormalization(groups), layers.Activation("swish"), PaddedConv2D(width, 3, padding=1)]


class SpatialTransformer(layers.Layer):
    """Self-attention over the positions and cross-attention to the caption: inputs [maps, context]."""

    def __init__(self, num_heads: int, head_size: int, groups: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.choices = {"num_heads": num_heads, "head_size": head_size, "groups": groups}
        channels = num_heads * head_size
        self.norm = FastGroupNormalization(groups)
        self.proj1 = PaddedConv2D(channels, 1)
        self.transformer_block = BasicTransformerBlock(channels, num_heads, head_size)
        self.proj2 = PaddedConv2D(channels, 1)

    def build(self, input_shape: list[Shape]) -> None:
        maps, context = input_shape
        for layer in (self.norm, self.proj1, self.proj2):
            layer.build(maps)
        self.transformer_block.build([(None, math.prod(side or 1 for side in maps[1:3]), maps[-1]), context])

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return input_shape[0]

    def call(self, inputs: list[Tensor]) -> Tensor:
        maps, context = inputs
        _, height, width, channels = maps.shape
        x = ops.reshape(self.proj1(self.norm(maps)), (-1, height * width, channels))
        x = ops.reshape(self.transformer_block([x, context]), (-1, height, width, channels))
        return self.proj2(x) + maps

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.choices}


class BasicTransformerBlock(layers.Layer):
    """Self-attention, cross-attention and a gated dense layer, each with a skip: inputs [positions, context]."""

    def __init__(self, dim: int, num_heads: int, head_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.norm1 = layers.LayerNormalization(epsilon=1e-5)
        self.attn1 = CrossAttention(num_heads, head_size)
        self.norm2 = layers.LayerNormalization(epsilon=1e-5)
        self.attn2 = CrossAttention(num_heads, head_size)
        self.norm3 = layers.LayerNormalization(epsilon=1e-5)
        self.geglu = GEGLU(dim * 4)
        self.dense = layers.Dense(dim)

    def build(self, input_shape: list[Shape]) -> None:
        positions, context = input_shape
        for layer in (self.norm1, self.norm2, self.norm3, self.geglu):
            layer.build(positions)
        self.attn1.build([positions, positions])
        self.attn2.build([positions, context])
        self.dense.build(self.geglu.compute_output_shape(positions))

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return input_shape[0]

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, context = inputs
        normed = self.norm1(x)
        x = self.attn1([normed, normed]) + x
        x = self.attn2([self.norm2(x), context]) + x
        return self.dense(self.geglu(self.norm3(x))) + x


class CrossAttention(layers.Layer):
    """Attention of positions to a context: inputs [positions, context].

    Through ``keras.ops.dot_product_attention``, which does not keep the (batch, heads, queries, keys) scores where the
    backend has a fused kernel. JAX has it on CPUs in float32 and bfloat16, not in float16.
    """

    def __init__(self, num_heads: int, head_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        channels = num_heads * head_size
        self.num_heads, self.head_size = num_heads, head_size
        self.to_q = layers.Dense(channels, use_bias=False)
        self.to_k = layers.Dense(channels, use_bias=False)
        self.to_v = layers.Dense(channels, use_bias=False)
        self.out_proj = layers.Dense(channels)

    def build(self, input_shape: list[Shape]) -> None:
        positions, context = input_shape
        self.to_q.build(positions)
        self.to_k.build(context)
        self.to_v.build(context)
        self.out_proj.build(self.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (*input_shape[0][:-1], self.num_heads * self.head_size)

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, context = inputs
        query, key, value = (
            ops.reshape(projected, (-1, projected.shape[1], self.num_heads, self.head_size))
            for projected in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        y = ops.dot_product_attention(query, key, value, scale=self.head_size**-0.5)
        return self.out_proj(ops.reshape(y, (-1, x.shape[1], self.num_heads * self.head_size)))


class GEGLU(layers.Layer):
    """A dense layer gated by a GELU; ``split`` has one concatenation as its gradient, KerasCV's slices have two."""

    def __init__(self, output_dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_dim = output_dim
        self.dense = layers.Dense(output_dim * 2)

    def build(self, input_shape: Shape) -> None:
        self.dense.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.output_dim)

    def call(self, inputs: Tensor) -> Tensor:
        x, gate = ops.split(self.dense(inputs), 2, axis=-1)
        return x * ops.gelu(gate, approximate=True)


class Upsample(layers.Layer):
    """Twice the height and width, then a convolution."""

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.ups = layers.UpSampling2D(2)
        self.conv = PaddedConv2D(channels, 3, padding=1)

    def build(self, input_shape: Shape) -> None:
        self.conv.build(self.ups.compute_output_shape(input_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.conv.compute_output_shape(self.ups.compute_output_shape(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        return self.conv(self.ups(inputs))


# Of the VAE -----------------------------------------------------------------------------------------------------------


class ResnetBlock(layers.Layer):
    """A residual block without an embedding."""

    def __init__(self, output_dim: int, groups: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_dim, self.groups = output_dim, groups
        self.norm1 = FastGroupNormalization(groups)
        self.conv1 = PaddedConv2D(output_dim, 3, padding=1)
        self.norm2 = FastGroupNormalization(groups)
        self.conv2 = PaddedConv2D(output_dim, 3, padding=1)

    def build(self, input_shape: Shape) -> None:
        output = self.compute_output_shape(input_shape)
        self.residual_projection = None if input_shape == output else PaddedConv2D(self.output_dim, 1)
        self.norm1.build(input_shape)
        self.conv1.build(input_shape)
        self.norm2.build(output)
        self.conv2.build(output)
        if self.residual_projection is not None:
            self.residual_projection.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.output_dim)

    def call(self, inputs: Tensor) -> Tensor:
        residual = inputs if self.residual_projection is None else self.residual_projection(inputs)
        x = self.conv1(keras.activations.silu(self.norm1(inputs)))
        x = self.conv2(keras.activations.silu(self.norm2(x)))
        return x + residual


class AttentionBlock(layers.Layer):
    """Self-attention over the positions with one head."""

    def __init__(self, output_dim: int, groups: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.norm = FastGroupNormalization(groups)
        self.q = PaddedConv2D(output_dim, 1)
        self.k = PaddedConv2D(output_dim, 1)
        self.v = PaddedConv2D(output_dim, 1)
        self.proj_out = PaddedConv2D(output_dim, 1)

    def build(self, input_shape: Shape) -> None:
        for layer in (self.norm, self.q, self.k, self.v, self.proj_out):
            layer.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = inputs.shape
        x = self.norm(inputs)
        query, key, value = (
            ops.reshape(projected, (-1, height * width, 1, channels)) for projected in (self.q(x), self.k(x), self.v(x))
        )
        y = ops.dot_product_attention(query, key, value, scale=channels**-0.5)
        return self.proj_out(ops.reshape(y, (-1, height, width, channels))) + inputs
