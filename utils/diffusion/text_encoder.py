"""A small text encoder of CLIP's structure, from KerasCV's blocks.

Source: Radford et al. 2021 (arXiv 2103.00020), section 2.4.
"""

from utils.diffusion.blocks import CLIPEmbedding, CLIPEncoderLayer, quick_gelu

import keras

__all__ = ["build_text_encoder"]

HEAD_SIZE = 32


def build_text_encoder(vocabulary_size: int, max_length: int, width: int, depth: int) -> keras.Model:
    """Build the text encoder with random weights; ``width`` is a multiple of 32, the size of a head.

    Returns
    -------
    keras.Model
        Inputs ``tokens`` and ``positions``, int32 of shape (batch, max_length), as KerasCV's ``TextEncoder``; output
        the contexts, (batch, max_length, width).
    """
    if width % HEAD_SIZE:
        raise ValueError(f"build_text_encoder: width {width} is not a multiple of {HEAD_SIZE}.")
    tokens = keras.Input((max_length,), dtype="int32", name="tokens")
    positions = keras.Input((max_length,), dtype="int32", name="positions")
    x = CLIPEmbedding(vocabulary_size, width, max_length)([tokens, positions])
    for _ in range(depth):
        x = CLIPEncoderLayer(width, width // HEAD_SIZE, activation=quick_gelu)(x)
    output = keras.layers.LayerNormalization(epsilon=1e-5)(x)
    return keras.Model([tokens, positions], output, name="text_encoder")
