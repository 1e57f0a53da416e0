"""A judge of captions: which of the training drawings does a picture show?

A small convolutional network that is trained on augmented drawings alone, never on a picture of the model that it
judges. It sees no colours, which captions may swap, so shape decides.
"""

from collections.abc import Iterator
from pathlib import Path

from utils.diffusion.pretrain import data
from utils.files import replacing

import keras
import numpy as np
from keras import layers

__all__ = ["build_judge", "load_judge", "places", "train_judge"]

FILE = "judge.weights.h5"
UNSEEN = 2  # variants of each drawing, the last ones, that only test the judge
WIDTHS = (24, 48, 96, 192)
BATCH, EPOCHS = 128, 10


def build_judge(drawings: int, size: int, widths: tuple[int, ...] = WIDTHS) -> keras.Model:
    """Build the network: `shapes`, float (batch, size, size, 2), to one score a drawing, (batch, drawings).

    Each width halves the side.
    """
    seen = x = keras.Input((size, size, 2))
    for level, width in enumerate(widths):
        x = layers.Conv2D(width, 3 if level else 5, strides=2, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(layers.Dense(256, use_bias=False)(x)))
    return keras.Model(seen, layers.Dense(drawings)(x), name="judge")


def shapes(pictures: np.ndarray) -> np.ndarray:
    """Take the colours out of pictures: the distance from the background, and the strength of the edges.

    Parameters
    ----------
    pictures : np.ndarray
        uint8, shape (batch, height, width, 3).

    Returns
    -------
    np.ndarray
        float32, shape (batch, height, width, 2), about 0 to 1.
    """
    colours = pictures.astype("float32") / 255.0
    border = np.concatenate([colours[:, 0], colours[:, -1], colours[:, 1:-1, 0], colours[:, 1:-1, -1]], axis=1)
    distance = np.linalg.norm(colours - np.median(border, axis=1)[:, None, None], axis=-1)
    down, right = (np.diff(colours, axis=axis, append=np.take(colours, [-1], axis)) for axis in (1, 2))
    return np.stack([distance, np.sqrt(np.square(down).sum(-1) + np.square(right).sum(-1))], axis=-1)


def augmented(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift each picture by up to two pixels, and mirror half of them; the arrays are as in `shapes`."""
    _, height, width, _ = pictures.shape
    changed = np.empty_like(pictures)
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    for i, picture in enumerate(padded):
        down, right = rng.integers(0, 5, 2)
        shifted = picture[down : down + height, right : right + width]
        changed[i] = shifted[:, ::-1] if rng.random() < 0.5 else shifted
    return changed


def train_judge(cache: Path, epochs: int = EPOCHS) -> float:
    """Train the judge on all but the last two variants of each drawing, and keep its weights in `cache`.

    The weights are written after each epoch, which is where it goes on when it is started again.

    Returns
    -------
    float
        The share of the variants never seen whose drawing it names; 0.95 at least makes it a judge.
    """
    photos = np.load(cache / "train_photos.npy", mmap_mode="r")
    variants = data.VARIANTS["train"]
    numbers, variant = np.divmod(np.arange(len(photos)), variants)
    seen, unseen = np.flatnonzero(variant < variants - UNSEEN), np.flatnonzero(variant >= variants - UNSEEN)
    judge = build_judge(len(photos) // variants, photos.shape[1])
    steps = max(1, len(seen) // BATCH)
    _compile(judge, steps, epochs)
    if (cache / FILE).is_file():
        judge.load_weights(cache / FILE)

    def share() -> float:
        return float((places(judge, photos[unseen], numbers[unseen]) == 0).mean())

    for epoch in range(int(judge.optimizer.iterations) // steps, epochs):
        losses = [judge.train_on_batch(*batch) for batch in _batches(photos, numbers, seen, epoch)]
        with replacing(cache / FILE) as temporary:
            judge.save_weights(temporary)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, right on variants never seen {share():.4f}", flush=True)
    return share()


def _compile(judge: keras.Model, steps: int, epochs: int) -> None:
    warmup = max(1, steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, max(1, epochs * steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    judge.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), loss, jit_compile=False)
    judge.optimizer.build(judge.trainable_variables)


def _batches(
    photos: np.ndarray, numbers: np.ndarray, seen: np.ndarray, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(epoch)
    order = rng.permutation(seen)
    batch = min(BATCH, len(order))
    for start in range(0, len(order) - batch + 1, batch):
        some = np.sort(order[start : start + batch])
        yield shapes(augmented(photos[some], rng)), numbers[some]


def load_judge(cache: Path, drawings: int, size: int) -> keras.Model:
    """Return the judge that `train_judge` left in `cache`."""
    if not (cache / FILE).is_file():
        raise FileNotFoundError(f"{cache / FILE}: not found; train the judge first with the step `judge`")
    judge = build_judge(drawings, size)
    judge.load_weights(cache / FILE)
    return judge


def places(judge: keras.Model, pictures: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return at which place the judge puts the right drawing of each picture, int (pictures,); 0 is the first.

    Parameters
    ----------
    pictures : np.ndarray
        uint8, shape (pictures, size, size, 3).
    numbers : np.ndarray
        The right drawing of each, int (pictures,).
    """
    scores = judge.predict(shapes(pictures), batch_size=256, verbose=0)
    return (scores > scores[np.arange(len(scores)), numbers][:, None]).sum(axis=1)
