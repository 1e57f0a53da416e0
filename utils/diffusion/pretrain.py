"""Train the small pretrained model: `python -m utils.diffusion.pretrain STEP --cache FOLDER`.

The steps, in order: `render` the pairs, train the `vae`, encode the `latents`, train the `unet` with its text
encoder, train the `decoder` further with the encoder frozen (the latents stay as they are), train a ControlNet, the
`branch`, on the sketches as the assignment's notebook does, `export` the weights as fp16 with their curves and
samples, `evaluate` the branch. Each step reads what the ones before left in the cache folder. The training steps save
checkpoints and go on from the last one when they are started again.
"""

import argparse
import dataclasses
import json
import textwrap
import time
from multiprocessing import Pool
from pathlib import Path

from utils.diffusion import autoencoder, checkpoints, emoji, metrics, small
from utils.diffusion.controlnet import build_controlnet
from utils.diffusion.sampling import Sampler
from utils.diffusion.stable_diffusion import (
    LatentDiffusion,
    WordTokenizer,
    add_noise,
    timestep_embedding,
)
from utils.diffusion.training import ControlNetTrainer, TrainingConfig, loss_weights, spread_timesteps
from utils.diffusion.training import train as train_controlnet

import keras
import numpy as np
from keras import ops

SIZE = 64
VARIANTS = {"train": 32, "held_out": 10}  # pairs of one drawing
STEPS = {"vae": 8000, "decoder": 8000, "unet": 8000, "branch": 8000}  # updates of each run


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


def make_optimizer(steps: int, learning_rate: float, warm_up: int = 200, ema_momentum: float = 0.998):
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
            row = {"step": step + 1, "loss": float(np.mean(losses)), "seconds_a_step": round(seconds, 3)}
            row |= {"seconds": round(time.perf_counter() - start)} | evaluate()
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


def train_vae(cache: Path, steps: int, batch: int = 8, learning_rate: float = 1e-3, only_decoder: bool = False) -> None:
    """Train the autoencoder on the pictures; the log has its PSNR on things never seen.

    With `only_decoder` the averaged weights of the run before are where it starts, and the encoder does not move.
    """
    folder = cache / "checkpoints" / ("decoder" if only_decoder else "vae")
    photos = np.load(cache / "train_photos.npy", mmap_mode="r")
    held_out = to_float(np.load(cache / "held_out_photos.npy", mmap_mode="r")[::8])
    model = _averaged_vae(cache, "vae") if only_decoder else _new_vae()
    model.encoder.trainable = not only_decoder
    model.compile(optimizer=make_optimizer(steps, learning_rate), jit_compile=False)
    model.optimizer.build(model.trainable_variables)

    def make_batch(step):
        rng = np.random.default_rng([3 if only_decoder else 1, step])
        return to_float(photos[np.sort(rng.integers(0, len(photos), batch))])

    def evaluate():
        means = model.encoder.predict(held_out, batch_size=50, verbose=0)[..., : autoencoder.LATENT_CHANNELS]
        pictures = model.decoder.predict(means, batch_size=50, verbose=0)
        return {"held_out_psnr": round(float(np.mean(autoencoder.psnr(held_out, pictures))), 2)}

    train(model, folder, steps, make_batch, evaluate)


def read_tables(cache: Path) -> tuple[list[dict], list[dict]]:
    return tuple(json.loads((cache / f"{side}.json").read_text()) for side in ("train", "held_out"))


def encode_latents(cache: Path) -> None:
    """Encode the training pictures with the averaged VAE; keep the means, and their mean and deviation by channel."""
    model = _averaged_vae(cache, "vae")
    photos = np.load(cache / "train_photos.npy", mmap_mode="r")
    channels = autoencoder.LATENT_CHANNELS
    latents = np.concatenate(
        [
            model.encoder.predict(to_float(photos[i : i + 512]), batch_size=64, verbose=0)[..., :channels]
            for i in range(0, len(photos), 512)
        ]
    )
    mean, deviation = latents.mean(axis=(0, 1, 2), dtype="float64"), latents.std(axis=(0, 1, 2), dtype="float64")
    np.save(cache / "train_latents.npy", ((latents - mean) / deviation).astype("float16"))
    words = sorted({word for row in read_tables(cache)[0] for word in WordTokenizer.words(row["caption"])})
    config = small.SmallConfig(tuple(words), tuple(map(float, mean)), tuple(map(float, deviation)))
    (cache / small.CONFIG_FILE).write_text(json.dumps(dataclasses.asdict(config)))
    print(f"{len(latents)} latents, mean {mean}, deviation {deviation}, {len(words)} words")


def _new_vae() -> autoencoder.Autoencoder:
    model = autoencoder.Autoencoder(autoencoder.build_encoder(SIZE), autoencoder.build_decoder(SIZE))
    model(np.zeros((1, SIZE, SIZE, 3), "float32"))
    return model


def _averaged_vae(cache: Path, *runs: str) -> autoencoder.Autoencoder:
    """Return the VAE with the averaged weights of the first of the named runs that has a checkpoint."""
    paths = [cache / "checkpoints" / run / "ema.weights.h5" for run in runs]
    found = [path for path in paths if path.exists()]
    if not found:
        raise FileNotFoundError(f"{paths[-1]}: not found; train the VAE first with the step `vae`")
    model = _new_vae()
    model.load_weights(found[0])
    return model


class CaptionTrainer(keras.Model):
    """U-Net and text encoder trained together to predict noise from captions alone.

    A batch is a dict of arrays: `latents` and `noise` (batch, side, side, channels), `timesteps` (batch,) and `tokens`
    (batch, length). The loss is the squared error with the weights of `training.loss_weights`.
    """

    def __init__(self, unet: keras.Model, text_encoder: keras.Model, min_snr: float = 5.0, balance: float = 0.5):
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder
        self.weights_by_step = loss_weights(min_snr, balance)
        self.embedding_width = unet.get_layer("timestep_embedding").output.shape[-1]

    def call(self, batch, training=False):
        tokens = batch["tokens"]
        positions = ops.broadcast_to(ops.arange(tokens.shape[1], dtype="int32"), ops.shape(tokens))
        inputs = {
            "latent": add_noise(batch["latents"], batch["noise"], batch["timesteps"]),
            "timestep_embedding": timestep_embedding(batch["timesteps"], self.embedding_width),
            "context": self.text_encoder({"tokens": tokens, "positions": positions}, training=training),
        }
        return self.unet(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = ops.mean(ops.square(x["noise"] - ops.cast(y_pred, "float32")), axis=(1, 2, 3))
        return ops.mean(error * ops.take(ops.convert_to_tensor(self.weights_by_step), x["timesteps"]))


def caption_batches(cache: Path, tokenizer: WordTokenizer, batch: int, empty: float = 0.1, unnamed: float = 0.3):
    """Return a function from step number to a batch for `CaptionTrainer`.

    Of the captions, a share `empty` is replaced by the empty one, for guidance, and in a share `unnamed` the thing's
    words become unknown ones, so that captions of things never seen are nothing new.
    """
    latents = np.load(cache / "train_latents.npy")
    table = read_tables(cache)[0]
    full = tokenizer([row["caption"] for row in table])
    hidden = tokenizer([emoji.hide_thing(row["caption"]) for row in table])
    nothing = tokenizer("")

    def make_batch(step):
        rng = np.random.default_rng([2, step])
        chosen = rng.integers(0, len(latents), batch)
        draw = rng.random(batch)[:, None]
        tokens = np.where(draw < empty, nothing, np.where(draw < empty + unnamed, hidden[chosen], full[chosen]))
        clean = latents[chosen].astype("float32")
        return {
            "latents": clean,
            "noise": rng.standard_normal(clean.shape, "float32"),
            "timesteps": np.asarray(spread_timesteps(rng.random(1, "float32"), batch)),
            "tokens": tokens,
        }

    return make_batch


def caption_fidelity(diffusion: LatentDiffusion, table: list[dict], sampler: Sampler, seed: int = 0) -> dict:
    """Sample a picture for each row of the table and tell which have the right background and main colour."""
    contexts = diffusion.encode_text([row["caption"] for row in table])
    pictures = diffusion.decode(sampler.sample(contexts, steps=15, guidance=3.0, seed=seed))
    return metrics.caption_scores(pictures, [row["background"] for row in table], [row["colours"][0] for row in table])


def measure(cache: Path, diffusion: LatentDiffusion, seeds: int = 3) -> dict:
    """Measure a loaded model on things never seen: PSNR of the VAE, caption fidelity with 95 % intervals, and the runs.

    Pictures are made with 15 steps and guidance 3, one for each seed and held-out drawing.
    """
    table = read_tables(cache)[1][:: VARIANTS["held_out"]]
    photos = to_float(np.load(cache / "held_out_photos.npy", mmap_mode="r")[:: VARIANTS["held_out"]])
    means = np.asarray(diffusion.draw_latents(diffusion.encode_images(photos)))
    decoded = diffusion.decoder.predict(means, batch_size=16, verbose=0)
    results = {"psnr": metrics.bootstrap_interval(np.asarray(autoencoder.psnr(photos, decoded)))}
    sampler = Sampler(diffusion)
    rounds = [caption_fidelity(diffusion, table, sampler, seed) for seed in range(seeds)]
    for name in rounds[0]:
        results[name] = metrics.bootstrap_interval(np.stack([scores[name] for scores in rounds]))
    results = {name: [round(value, 3) for value in values] for name, values in results.items()}
    runs = {run: read_log(cache, run) for run in STEPS}
    return results | {"runs": {run: rows[-1] for run, rows in runs.items() if rows}, "drawings": len(table)}


def load_vae(cache: Path) -> tuple[small.SmallConfig, LatentDiffusion]:
    """Build the small model of the cache's configuration and put the VAE's averaged weights into it."""
    values = json.loads((cache / small.CONFIG_FILE).read_text())
    config = small.SmallConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    diffusion = small.build_small_model(config)
    model = _averaged_vae(cache, "decoder", "vae")
    diffusion.image_encoder.set_weights(model.encoder.get_weights())
    diffusion.decoder.set_weights(model.decoder.get_weights())
    return config, diffusion


def train_unet(cache: Path, steps: int, batch: int = 32, learning_rate: float = 7e-4) -> None:
    """Train U-Net and text encoder on the cached latents; the log has the caption fidelity for things never seen."""
    _, diffusion = load_vae(cache)
    model = CaptionTrainer(diffusion.unet, diffusion.text_encoder)
    model.compile(optimizer=make_optimizer(steps, learning_rate, ema_momentum=0.999), jit_compile=False)
    make_batch = caption_batches(cache, diffusion.tokenizer, batch)
    model(make_batch(0))
    model.optimizer.build(model.trainable_variables)
    held_out = read_tables(cache)[1][:: VARIANTS["held_out"]]
    sampler = Sampler(diffusion)

    def evaluate():
        scores = caption_fidelity(diffusion, held_out, sampler)
        return {name: round(float(right.mean()), 3) for name, right in scores.items()}

    train(model, cache / "checkpoints" / "unet", steps, make_batch, evaluate, every=1000)


def load_trained(cache: Path) -> tuple[small.SmallConfig, LatentDiffusion]:
    """Build the small model and put the averaged weights of every part that has been trained into it."""
    config, diffusion = load_vae(cache)
    trained = cache / "checkpoints" / "unet" / "ema.weights.h5"
    if trained.exists():
        model = CaptionTrainer(diffusion.unet, diffusion.text_encoder)
        model(caption_batches(cache, diffusion.tokenizer, 2)(0))
        model.load_weights(trained)
    return config, diffusion


def branch_examples(cache: Path, config: small.SmallConfig, diffusion: LatentDiffusion) -> dict[str, np.ndarray]:
    """Return the training pairs as `training.cache_examples` does, from the latents that are cached already.

    Those are the means of the moments; a log-variance of -30 makes drawing from them return the mean. In every second
    caption the thing's name is hidden, so that captions of things never seen are nothing new.
    """
    latents = np.load(cache / "train_latents.npy")
    mean, deviation = (np.array(v, "float32") for v in (config.latent_mean, config.latent_deviation))
    means = (latents * deviation + mean).astype("float16")
    captions = [row["caption"] for row in read_tables(cache)[0]]
    captions[1::2] = map(emoji.hide_thing, captions[1::2])
    hints = 255 - np.load(cache / "train_sketches.npy")  # white on black
    return {
        "moments": np.concatenate([means, np.full_like(means, -30.0)], axis=-1),
        "context": diffusion.encode_text(captions, batch_size=512).astype("float16"),
        "hint": np.repeat(hints[..., None], 3, axis=-1),
    }


BRANCH = TrainingConfig(
    batch_size=16,
    accumulation=1,
    learning_rate=1e-3,
    warmup_updates=50,
    cosine_decay=True,
    ema=0.995,
    prompt_dropout=0.1,
    balance=0.5,
    save_every=250,
    preview_every=1000,
)


def train_branch(cache: Path, steps: int, weights: Path) -> None:
    """Train the ControlNet that the course ships, with its scores on things never seen in the log, and export it."""
    config, diffusion = load_trained(cache)
    branch = build_controlnet(diffusion.unet, hint_widths=small.HINT_WIDTHS)
    settings = dataclasses.replace(BRANCH, steps=steps)
    trainer = ControlNetTrainer(diffusion, branch, settings)
    folder = cache / "checkpoints" / "branch"
    sampler = Sampler(diffusion, [branch], control_on="conditional")
    every = VARIANTS["held_out"]
    table = read_tables(cache)[1][::every]
    truth = np.load(cache / "held_out_photos.npy", mmap_mode="r")[::every]
    sketches = np.load(cache / "held_out_sketches.npy", mmap_mode="r")[::every]
    hints = np.repeat(1.0 - sketches[..., None].astype("float32") / 255, 3, axis=-1)
    contexts = diffusion.encode_text([row["caption"] for row in table])

    def preview():
        pictures = diffusion.decode(sampler.sample(contexts, hints, steps=15, guidance=3.0))
        scores = metrics.control_scores(pictures, truth)
        scores |= metrics.caption_scores(
            pictures, [row["background"] for row in table], [row["colours"][0] for row in table]
        )
        row = {"step": int(trainer.optimizer.iterations)}
        row |= {name: round(float(values.mean()), 3) for name, values in scores.items()}
        with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
        return row

    examples = branch_examples(cache, config, diffusion)
    train_controlnet(trainer, examples, folder=folder, preview=preview, progress=False)
    checkpoints.save_controlnet(branch, weights / small.BRANCH_FILE, dtype="float16")


def evaluate_branch(cache: Path, weights: Path, count: int = 128, seeds: int = 3) -> dict:
    """Measure the exported branch on things never seen, write `control.json` beside the weights and return it.

    It holds `control_table`'s rows with 95 % intervals, and for each way of sampling the shares of pictures whose
    background and main colour are as asked and the KID.
    """
    diffusion = small.load_small_model(weights)
    branch = build_controlnet(diffusion.unet, hint_widths=small.HINT_WIDTHS)
    checkpoints.load_controlnet(branch, weights / small.BRANCH_FILE)
    sampler = Sampler(diffusion, [branch], control_on="conditional")
    every, photos = VARIANTS["held_out"], np.load(cache / "held_out_photos.npy", mmap_mode="r")
    some = slice(None, count * every, every)
    table, truth = read_tables(cache)[1][some], photos[some]
    sketches = np.load(cache / "held_out_sketches.npy", mmap_mode="r")[some]
    hints = np.repeat(1.0 - sketches[..., None].astype("float32") / 255, 3, axis=-1)
    contexts = diffusion.encode_text([row["caption"] for row in table])
    ways = {"no control": (hints, 0.0), "shuffled sketches": (np.roll(hints, 7, axis=0), 1.0), "control": (hints, 1.0)}
    drawn, captions = {}, {}
    reference = metrics.vae_features(photos[1::every], diffusion.image_encoder)  # other pairs: KID wants independence
    for name, (sketch, scale) in ways.items():
        options = {"steps": 20, "guidance": 3.0, "control_scale": scale}
        rounds = [sampler.sample(contexts, sketch, seed=seed, **options) for seed in range(seeds)]
        drawn[name] = np.stack([diffusion.decode(latents) for latents in rounds])
        backgrounds, mains = [row["background"] for row in table], [row["colours"][0] for row in table]
        scores = [metrics.caption_scores(pictures, backgrounds, mains) for pictures in drawn[name]]
        captions[name] = {k: metrics.bootstrap_interval(np.stack([s[k] for s in scores])) for k in scores[0]}
        features = [metrics.vae_features(pictures, diffusion.image_encoder) for pictures in drawn[name]]
        captions[name]["kid"] = metrics.kid(np.concatenate(features), reference)
    ceiling = diffusion.decode(np.asarray(diffusion.draw_latents(diffusion.encode_images(to_float(truth)))))
    rows = metrics.control_table(truth, drawn.pop("control"), drawn, ceiling)
    results = {"sketches": len(table), "seeds": seeds, "control": rows, "captions": captions}
    (weights / "control.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    return results


def export(cache: Path, weights: Path, figures: Path) -> None:
    """Write the averaged weights so far as fp16, and the loss curves and samples of things never seen as PNG."""
    config, diffusion = load_trained(cache)
    small.save_small_model(diffusion, config, weights)
    diffusion = small.load_small_model(weights)
    results = measure(cache, diffusion)
    (weights / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves(cache, figures / "training.png")
    draw_samples(cache, diffusion, figures / "samples.png")


def read_log(cache: Path, run: str) -> list[dict]:
    path = cache / "checkpoints" / run / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read_losses(cache: Path, run: str) -> tuple[list, list]:
    """Return steps and losses of a run: from its log, or from its last checkpoint where the log has scores only."""
    rows = [row for row in read_log(cache, run) if "loss" in row]
    saved = sorted((cache / "checkpoints" / run).glob("step-*.npz"))
    if rows or not saved:
        return [row["step"] for row in rows], [row["loss"] for row in rows]
    with np.load(saved[-1]) as arrays:
        return list(arrays["history/step"]), list(arrays["history/loss"])


QUALITY = {
    "vae": ("held_out_psnr",),
    "decoder": ("held_out_psnr",),
    "unet": ("background", "main_colour"),
    "branch": ("silhouette_iou", "main_colour"),
}


def draw_curves(cache: Path, path: Path) -> None:
    """Draw the loss of each run, and what it reached on things never seen, against its steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(2, len(QUALITY), sharex="col")
    for column, (run, names) in enumerate(QUALITY.items()):
        axes[0, column].plot(*read_losses(cache, run), color="black")
        axes[0, column].set(title=run, yscale="log", ylabel="loss")
        rows = read_log(cache, run)
        steps = [row["step"] for row in rows]
        for name, colour, style in zip(names, ("#0072B2", "#D55E00"), ("-o", "--s"), strict=False):
            axes[1, column].plot(steps, [row[name] for row in rows], style, color=colour, markersize=3, label=name)
        unit = {"unet": "share right", "branch": "IoU, share right"}.get(run, "PSNR (dB)")
        axes[1, column].set(title="on things never seen", xlabel="updates", ylabel=unit)
        axes[1, column].legend()
    figure.savefig(path, dpi=90)


def draw_samples(cache: Path, diffusion: LatentDiffusion, path: Path, count: int = 12) -> None:
    """Draw, for the first held-out things: the picture, the same through the VAE, and two samples of its caption."""
    from matplotlib.figure import Figure

    table = read_tables(cache)[1][:: VARIANTS["held_out"]][:count]
    photos = np.load(cache / "held_out_photos.npy", mmap_mode="r")[:: VARIANTS["held_out"]][:count]
    means = diffusion.draw_latents(diffusion.encode_images(to_float(photos)))
    sampler = Sampler(diffusion)
    contexts = diffusion.encode_text([row["caption"] for row in table])
    rows = {"picture": photos, "through the VAE": diffusion.decode(np.asarray(means))}
    for seed in (0, 1):
        rows[f"caption, seed {seed}"] = diffusion.decode(sampler.sample(contexts, steps=20, guidance=3.0, seed=seed))
    figure = Figure(figsize=(1.1 * count, 5.4), layout="constrained")
    axes = figure.subplots(len(rows), count)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    for axis, row in zip(axes[0], table, strict=True):
        axis.set_title("\n".join(textwrap.wrap(row["caption"], 17)), fontsize=6.5)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["render", "vae", "latents", "unet", "decoder", "branch", "export", "evaluate"])
    parser.add_argument("--cache", type=Path, required=True, help="folder for pairs, latents, checkpoints and logs")
    parser.add_argument("--steps", type=int, help=f"updates in all, where the learning rate's schedule ends: {STEPS}")
    parser.add_argument(
        "--weights", type=Path, default=Path("assignment/weights"), help="where `branch` and `export` write"
    )
    parser.add_argument("--figures", type=Path, default=Path("assignment/figures"), help="where `export` draws")
    arguments = parser.parse_args()
    step, cache, weights = arguments.step, arguments.cache, arguments.weights
    steps = arguments.steps or STEPS.get(step)
    in_float32 = {  # sums of many bfloat16 numbers would stop growing
        "render": lambda: render(cache),
        "latents": lambda: encode_latents(cache),
        "export": lambda: export(cache, weights, arguments.figures),
        "evaluate": lambda: evaluate_branch(cache, weights),
    }
    in_bfloat16 = {
        "vae": lambda: train_vae(cache, steps),
        "decoder": lambda: train_vae(cache, steps, only_decoder=True),
        "unet": lambda: train_unet(cache, steps),
        "branch": lambda: train_branch(cache, steps, weights),
    }
    if step in in_bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    (in_float32 | in_bfloat16)[step]()


if __name__ == "__main__":
    main()
