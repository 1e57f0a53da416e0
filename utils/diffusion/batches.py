"""A picture on its way from a file to training: read, augmented, batched, and encoded once or in every step.

pairs = load_pairs(folder)                       pairs.py: which files
dataset = make_dataset(pairs, size, ...)         here: pictures, in the ranges that the networks read
batches = cached_batches(encode_examples(...))   here, if all fit into memory, or
batches = streamed_batches(dataset, ...)         here, straight from the files, augmented anew in every epoch
train(trainer, batches)                          training.py
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from utils.diffusion.images import read_image, read_sketch, to_float, to_hints
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.pairs import Pairs
from utils.diffusion.tokenizers import Tokenizer
from utils.diffusion.training import Batches

import numpy as np
import tensorflow as tf

__all__ = ["augment_pair", "cached_batches", "encode_examples", "make_dataset", "streamed_batches"]

LOOKED_AT = 64  # examples that a fingerprint is made from
SMALLEST_CUT = 0.85  # share of a side that the augmentation cuts out at least

EditCaptions = Callable[[list[str]], list[str]]


def make_dataset(
    pairs: Pairs,
    size: int,
    batch_size: int = 8,
    shuffle: int = 1000,
    augment: bool = True,
    hint_range: tuple[float, float] = (0.0, 1.0),
    parallel: bool = True,
    cache: bool = False,
    prefetch: bool = True,
    drop_remainder: bool = True,
    seed: int = 0,
) -> tf.data.Dataset:
    """Make the input pipeline: shuffle, read, crop and resize, augment, batch, prefetch.

    Parameters
    ----------
    pairs : Pairs
        Checked by `load_pairs`.
    size : int
        Side of the square pictures; the centre square is cut out of others.
    shuffle : int
        Length of the buffer that shuffles the pairs before they are read; 0 keeps their order.
    augment : bool
        Flip and zoom image and hint together.
    hint_range : (float, float)
        What paper and lines become, see `images.to_hints`.
    parallel, cache, prefetch : bool
        Read several pairs at once; keep them in memory after the first epoch; prepare the next batch while the model
        trains.

    Returns
    -------
    tf.data.Dataset
        Batches `{"image", "hint", "caption"}`: float32 (batch, size, size, 3) in [-1, 1] and in `hint_range`, and
        strings (batch,).
    """
    if drop_remainder and len(pairs) < batch_size:
        raise ValueError(
            f"{len(pairs)} pairs are fewer than one batch of {batch_size}: add pairs or use a smaller batch"
        )
    workers = tf.data.AUTOTUNE if parallel else None
    columns = {"image": pairs.images, "hint": pairs.sketches, "caption": pairs.captions}
    data = tf.data.Dataset.from_tensor_slices(columns)
    if shuffle and not cache:
        data = data.shuffle(shuffle, seed=seed)
    data = data.map(lambda pair: _read_pair(pair, size, hint_range), num_parallel_calls=workers)
    if cache:
        data = data.cache()
        data = data.shuffle(shuffle, seed=seed) if shuffle else data
    if augment:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)
        data = tf.data.Dataset.zip(data, seeds).map(augment_pair, num_parallel_calls=workers)
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    data = data.prefetch(tf.data.AUTOTUNE) if prefetch else data
    data.fingerprint = pairs.fingerprint()
    return data


def _read_pair(pair: dict[str, tf.Tensor], size: int, hint_range: tuple[float, float]) -> dict[str, tf.Tensor]:
    def read(image: bytes, sketch: bytes) -> tuple[np.ndarray, np.ndarray]:
        return to_float(read_image(image.decode(), size)), to_hints(read_sketch(sketch.decode(), size), hint_range)

    # Pillow in a Python function, not TensorFlow's decoder, which knows neither EXIF nor transparency: one decoder for
    # everything. Pillow lets go of Python's lock while it decodes and resizes.
    image, hint = tf.numpy_function(read, [pair["image"], pair["hint"]], [tf.float32, tf.float32])
    shape = (size, size, 3)
    return {"image": tf.ensure_shape(image, shape), "hint": tf.ensure_shape(hint, shape), "caption": pair["caption"]}


def augment_pair(pair: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Flip and zoom image and hint with the same random numbers, so that the sketch still lies over the image.

    Parameters
    ----------
    pair : dict
        `image` and `hint`, float32 (size, size, 3); other entries are passed on.
    seed : tf.Tensor
        Shape (2,), int64: the same seed gives the same augmentation.
    """
    size = pair["image"].shape[0]
    both = tf.concat([pair["image"], pair["hint"]], axis=-1)
    flip, share, top, left = tf.unstack(tf.random.stateless_uniform((4,), seed))
    both = tf.where(flip < 0.5, tf.reverse(both, axis=[1]), both)
    share = SMALLEST_CUT + (1.0 - SMALLEST_CUT) * share
    y, x = top * (1.0 - share), left * (1.0 - share)
    box = tf.stack([y, x, y + share, x + share])[None]
    both = tf.image.crop_and_resize(both[None], box, [0], (size, size))[0]
    return pair | {"image": both[..., :3], "hint": both[..., 3:]}


# To the trainer -------------------------------------------------------------------------------------------------------


def encode_examples(
    dataset: tf.data.Dataset, diffusion: LatentDiffusion, edit_captions: EditCaptions | None = None
) -> dict[str, np.ndarray]:
    """Encode all pictures and captions of a dataset once, so that no training step does it again.

    All examples are kept in memory: 43 KB each for pictures of 64 x 64, 2 MB each for pictures of 512 x 512.

    Parameters
    ----------
    dataset : tf.data.Dataset
        From `make_dataset`; one pass of it is encoded.
    edit_captions : function, optional
        From the captions of a batch to those that are encoded.

    Returns
    -------
    dict
        ``moments`` and ``context``, float32, and ``hint``, float16, arrays of equal length, for `cached_batches`.
    """
    parts: list[dict[str, np.ndarray]] = []
    contexts: dict[str, np.ndarray] = {}
    for batch in dataset.as_numpy_iterator():
        captions = _captions(batch, edit_captions)
        new = sorted(set(captions) - contexts.keys())
        if new:
            contexts |= dict(zip(new, diffusion.encode_text(new), strict=True))
        parts.append(
            {
                "moments": diffusion.encode_images(batch["image"]),
                "context": np.stack([contexts[caption] for caption in captions]),
                "hint": batch["hint"].astype("float16"),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _captions(batch: dict[str, Any], edit: EditCaptions | None) -> list[str]:
    captions = [caption.decode() for caption in batch["caption"]]
    return captions if edit is None else edit(captions)


def cached_batches(examples: dict[str, np.ndarray], batch_size: int, seed: int) -> Batches:
    """Batches of examples in memory, in an order that depends on ``seed`` alone.

    Every epoch is a new permutation; the examples of an incomplete last batch wait for the next epoch's order.

    Parameters
    ----------
    examples : dict of arrays
        Of one length, such as those of `encode_examples`. Arrays on the disk (`np.load(mmap_mode="r")`) serve, too.
    """
    sizes = {name: len(array) for name, array in examples.items()}
    count = min(sizes.values())
    if len(set(sizes.values())) != 1 or count < batch_size:
        raise ValueError(f"cached_batches: expected arrays of one length, at least {batch_size}; found {sizes}.")
    per_epoch = count // batch_size

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        epoch, position = divmod(start, per_epoch)
        while True:
            order = np.random.default_rng([seed, epoch]).permutation(count)
            for index in range(position, per_epoch):
                chosen = order[index * batch_size : (index + 1) * batch_size]
                yield {name: array[chosen] for name, array in examples.items()}
            epoch, position = epoch + 1, 0

    rows = np.unique(np.linspace(0, count - 1, LOOKED_AT).astype(int))
    digest = hashlib.sha256(str(count).encode())
    for name in sorted(examples):
        digest.update(name.encode() + np.ascontiguousarray(examples[name][rows]).tobytes())
    batches.fingerprint = digest.hexdigest()[:16]  # type: ignore[attr-defined]
    return batches


def streamed_batches(
    dataset: tf.data.Dataset,
    tokenizer: Tokenizer,
    edit_captions: EditCaptions | None = None,
    fingerprint: str | None = None,
) -> Batches:
    """Batches straight from files, encoded in every step: for more pairs than fit into memory.

    Slower than examples that are encoded once, but every epoch is augmented anew. A run that goes on reads its way to
    where it was.

    Parameters
    ----------
    dataset : tf.data.Dataset
        Its batches are dicts of ``image``, ``hint`` and ``caption``, as `make_dataset` makes them.
    fingerprint : str, optional
        `Pairs.fingerprint()` of its pairs: a run does not go on with others. A dataset of `make_dataset` knows its own.
    """

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        for batch in dataset.repeat().skip(start).as_numpy_iterator():
            tokens = tokenizer(_captions(batch, edit_captions))
            yield {"image": batch["image"], "hint": batch["hint"], "tokens": tokens}

    batches.fingerprint = fingerprint or getattr(dataset, "fingerprint", None)  # type: ignore[attr-defined]
    return batches
