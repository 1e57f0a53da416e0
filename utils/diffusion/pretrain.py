"""Train the small pretrained model: `python -m utils.diffusion.pretrain STEP --cache FOLDER`.

The steps, in order: `render` the pairs, train the `vae`, encode the `latents`, train the `unet` with its text encoder,
`export` the weights as fp16. Each step reads what the one before left in the cache folder. The training steps save
checkpoints and go on from the last one when they are started again.
"""

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from utils.diffusion import emoji

SIZE = 64
VARIANTS = {"train": 32, "held_out": 10}


def _variants(task) -> list[emoji.Pair]:
    index, count, seed = task
    drawing = emoji.load_drawings()[index]
    return [emoji.make_pair(drawing, np.random.default_rng([seed, index, v]), SIZE) for v in range(count)]


def render(cache: Path, processes: int = 2) -> None:
    """Draw the pairs of both sides of the split into `cache` as arrays: photos, sketches (one channel) and a table."""
    cache.mkdir(parents=True, exist_ok=True)
    drawings = emoji.load_drawings()
    index = {d.code: i for i, d in enumerate(drawings)}
    for side, chosen in zip(("train", "held_out"), emoji.split_drawings(drawings), strict=True):
        tasks = [(index[d.code], VARIANTS[side], 0) for d in chosen]
        with Pool(processes) as pool:
            pairs = [pair for some in pool.imap(_variants, tasks, chunksize=8) for pair in some]
        np.save(cache / f"{side}_photos.npy", np.stack([p.photo for p in pairs]))
        np.save(cache / f"{side}_sketches.npy", np.stack([p.sketch[..., 0] for p in pairs]))
        table = [
            {"caption": p.caption, "thing": p.drawing.thing, "colours": p.colours, "background": p.background}
            | {"code": p.drawing.code}
            for p in pairs
        ]
        (cache / f"{side}.json").write_text(json.dumps(table))
        print(f"{side}: {len(pairs)} pairs of {len(chosen)} drawings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["render"])
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    render(arguments.cache)


if __name__ == "__main__":
    main()
