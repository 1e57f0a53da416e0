"""Train the small pretrained model: `python -m utils.diffusion.pretrain STEP --cache FOLDER`.

The steps, in order: `render` the pairs, train the `vae`, encode the `latents`, train the `unet` with its text encoder,
`export` the weights as fp16. Each step reads what the one before left in the cache folder. The training steps save
checkpoints and go on from the last one when they are started again.
"""

import argparse
import json
import time
from multiprocessing import Pool
from pathlib import Path

import keras
import numpy as np

from utils.diffusion import autoencoder, emoji

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


def make_optimizer(steps: int, learning_rate: float, warm_up: int = 200, ema_momentum: float = 0.999):
    """AdamW with warm-up, cosine decay to a hundredth, a global clip and an average of the weights (EMA)."""
    warm_up = min(warm_up, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, alpha=0.01, warmup_target=learning_rate, warmup_steps=warm_up
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=1e-4, global_clipnorm=1.0, use_ema=True, ema_momentum=ema_momentum
    )


def train(model: keras.Model, folder: Path, steps: int, make_batch, evaluate, every: int = 250) -> None:
    """Train for `steps` updates in all, going on from the checkpoint in `folder` if there is one.

    Parameters
    ----------
    model : keras.Model
        Compiled, with an optimizer that keeps an EMA.
    folder : Path
        Holds `last.weights.h5` (with the optimizer), `ema.weights.h5` and `log.jsonl`.
    make_batch : callable
        Step number to the argument of `train_on_batch`; the same number gives the same batch after a restart.
    evaluate : callable
        Called without arguments while the model has its averaged weights; returns a dict for the log.
    every : int
        Steps between two checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last, log = folder / "last.weights.h5", folder / "log.jsonl"
    if last.exists():
        model.load_weights(last)
        print(f"going on from step {int(model.optimizer.iterations)}", flush=True)
    losses, start, done = [], time.perf_counter(), int(model.optimizer.iterations)
    for step in range(done, steps):
        losses.append(float(model.train_on_batch(make_batch(step))))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss is {losses[-1]} at step {step}; the last good checkpoint is {last}")
        if (step + 1) % every == 0 or step + 1 == steps:
            seconds = (time.perf_counter() - start) / (step + 1 - done)
            _save(model, last)
            raw = model.get_weights()
            model.optimizer.finalize_variable_values(model.trainable_variables)
            _save(model, folder / "ema.weights.h5")
            row = {"step": step + 1, "loss": float(np.mean(losses)), "seconds_a_step": round(seconds, 3), **evaluate()}
            model.set_weights(raw)
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
            losses = []


def _save(model: keras.Model, path: Path) -> None:
    """Save under another name first: a kill in the middle leaves the old checkpoint whole."""
    new = path.with_name("new_" + path.name)
    model.save_weights(new)
    new.replace(path)


def to_float(photos: np.ndarray) -> np.ndarray:
    return photos.astype("float32") / 127.5 - 1.0


def train_vae(cache: Path, steps: int, batch: int = 8, learning_rate: float = 1e-3) -> None:
    """Train the autoencoder on the pictures; the log has its PSNR on things never seen."""
    photos = np.load(cache / "train_photos.npy", mmap_mode="r")
    held_out = to_float(np.load(cache / "held_out_photos.npy", mmap_mode="r")[::8])
    model = autoencoder.Autoencoder(autoencoder.build_encoder(SIZE), autoencoder.build_decoder(SIZE))
    model.compile(optimizer=make_optimizer(steps, learning_rate), jit_compile=False)
    model(held_out[:1])
    model.optimizer.build(model.trainable_variables)

    def make_batch(step):
        return to_float(photos[np.sort(np.random.default_rng([1, step]).integers(0, len(photos), batch))])

    def evaluate():
        means = model.encoder.predict(held_out, batch_size=50, verbose=0)[..., : autoencoder.LATENT_CHANNELS]
        pictures = model.decoder.predict(means, batch_size=50, verbose=0)
        return {"held_out_psnr": round(float(np.mean(autoencoder.psnr(held_out, pictures))), 2)}

    train(model, cache / "checkpoints" / "vae", steps, make_batch, evaluate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["render", "vae"])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="updates in all; the schedule of the learning rate ends there")
    arguments = parser.parse_args()
    if arguments.step == "render":
        render(arguments.cache)
    if arguments.step == "vae":
        keras.config.set_dtype_policy("mixed_bfloat16")
        train_vae(arguments.cache, arguments.steps or 9000)


if __name__ == "__main__":
    main()
