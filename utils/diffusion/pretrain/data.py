"""The pairs of the pretraining: drawn once into the cache folder as arrays, and read from there in batches.

The cache holds `<side>_photos.npy`, `<side>_sketches.npy` (one channel) and `<side>.json` for the sides `train` and
`held_out`, `small_model.json`, and later `train_latents.npy` and `checkpoints/<run>/`.
"""

import dataclasses
import json
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from utils.diffusion import emoji
from utils.diffusion.batches import cached_batches
from utils.diffusion.images import to_float
from utils.diffusion.small_model import CONFIG_FILE, SmallModelConfig, write_config
from utils.diffusion.tokenizers import WordTokenizer
from utils.diffusion.training import Batches
from utils.files import write_text

import numpy as np

__all__ = ["HeldOut", "caption_batches", "image_batches", "read_held_out", "read_table", "render"]

VARIANTS = {"train": 32, "held_out": 10}  # pairs of one drawing
PROCESSES = 2
EMPTY, UNNAMED = 0.1, 0.3  # shares of the captions: replaced by the empty one; with unknown words for the thing


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known about a pair, besides its pictures."""

    caption: str
    background: str
    colours: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """One pair of each thing never seen.

    Attributes
    ----------
    images, sketches : np.ndarray
        uint8, shape (n, size, size, 3).
    captions, backgrounds, mains : list of str
        The captions, and the background and main colour that they name.
    """

    images: np.ndarray
    sketches: np.ndarray
    captions: list[str]
    backgrounds: list[str]
    mains: list[str]


def render(cache: Path, size: int) -> None:
    """Draw the pairs of both sides of the split into `cache`, and write the configuration for this size."""
    cache.mkdir(parents=True, exist_ok=True)
    drawings = emoji.load_drawings()
    index = {d.code: i for i, d in enumerate(drawings)}
    words: set[str] = set()
    for side, chosen in zip(VARIANTS, emoji.split_drawings(drawings), strict=True):
        tasks = [(index[d.code], VARIANTS[side], size) for d in chosen]
        with Pool(PROCESSES) as pool:
            pairs = [pair for some in pool.imap(_variants, tasks, chunksize=8) for pair in some]
        np.save(cache / f"{side}_photos.npy", np.stack([p.image for p in pairs]))
        np.save(cache / f"{side}_sketches.npy", np.stack([p.sketch[..., 0] for p in pairs]))
        rows = [dataclasses.asdict(Row(p.caption, p.background, p.colours)) for p in pairs]
        write_text(cache / f"{side}.json", json.dumps(rows))
        if side == "train":
            words = {word for p in pairs for word in WordTokenizer.words(p.caption)}
        print(f"{side}: {len(pairs)} pairs of {len(chosen)} drawings")
    write_config(SmallModelConfig.for_size(size, vocabulary=tuple(sorted(words))), cache / CONFIG_FILE)


def _variants(task: tuple[int, int, int]) -> list[emoji.Pair]:
    index, count, size = task
    drawing = emoji.load_drawings()[index]
    return [emoji.make_pair(drawing, np.random.default_rng([0, index, v]), size) for v in range(count)]


def read_table(cache: Path, side: str) -> list[Row]:
    """Read what is known about the pairs of a side."""
    rows = json.loads((cache / f"{side}.json").read_text(encoding="utf-8"))
    return [Row(row["caption"], row["background"], tuple(row["colours"])) for row in rows]


def read_held_out(cache: Path, count: int | None = None, version: int = 0) -> HeldOut:
    """Read one pair of each of the first `count` drawings that were held out, or of all."""
    some = slice(version, None if count is None else count * VARIANTS["held_out"], VARIANTS["held_out"])
    table = read_table(cache, "held_out")[some]
    sketches = np.load(cache / "held_out_sketches.npy", mmap_mode="r")[some]
    return HeldOut(
        np.array(np.load(cache / "held_out_photos.npy", mmap_mode="r")[some]),
        np.repeat(sketches[..., None], 3, axis=-1),
        [row.caption for row in table],
        [row.background for row in table],
        [row.colours[0] for row in table],
    )


def image_batches(cache: Path, batch_size: int, seed: int) -> Batches:
    """Batches for the autoencoder, read from the disk."""
    images = np.load(cache / "train_photos.npy", mmap_mode="r")
    read = cached_batches({"image": images}, batch_size, seed)
    return lambda start: ({"image": to_float(batch["image"])} for batch in read(start))


def caption_batches(cache: Path, tokenizer: WordTokenizer, batch_size: int, seed: int) -> Batches:
    """Batches for `CaptionTrainer`; each depends on the seed and its number alone.

    Of the captions, a share of 0.1 is replaced by the empty one, for guidance, and in a share of 0.3 the thing's words
    become unknown ones, so that captions of things never seen are nothing new.
    """
    latents = np.load(cache / "train_latents.npy")
    captions = [row.caption for row in read_table(cache, "train")]
    full, hidden, nothing = tokenizer(captions), tokenizer(list(map(emoji.hide_thing, captions))), tokenizer("")

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        step = start
        while True:
            rng = np.random.default_rng([seed, step])
            chosen, draw = rng.integers(0, len(latents), batch_size), rng.random(batch_size)[:, None]
            tokens = np.where(draw < EMPTY + UNNAMED, hidden[chosen], full[chosen])
            tokens = np.where(draw < EMPTY, nothing, tokens)
            yield {"latent": latents[chosen].astype("float32"), "tokens": tokens}
            step += 1

    return batches
