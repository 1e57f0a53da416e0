"""The trainings of the small model, one function a step; `training.train` runs each."""

import dataclasses
from pathlib import Path

from utils.diffusion import checkpoints, emoji, metrics
from utils.diffusion.batches import cached_batches
from utils.diffusion.controlnet import build_controlnet
from utils.diffusion.controlnet_weights import save_controlnet
from utils.diffusion.images import to_float
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.pretrain import data
from utils.diffusion.sketch_to_image import CONTROLNET_FILE, SketchToImage
from utils.diffusion.small_model import CONFIG_FILE, SmallModelConfig, build_small_model, read_config, write_config
from utils.diffusion.trainers import AutoencoderTrainer, CaptionTrainer, ControlNetTrainer
from utils.diffusion.training import TrainingConfig, train

import keras
import numpy as np

__all__ = ["RUNS", "encode_latents", "load_trained", "train_branch", "train_unet", "train_vae"]

_VAE = TrainingConfig(
    steps=10_000,
    batch_size=32,
    accumulation=1,
    learning_rate=1e-3,
    warmup_updates=200,
    cosine_decay=True,
    weight_decay=1e-4,
    ema=0.998,
    seed=1,
    save_every=250,
    preview_every=1000,
)
RUNS = {
    "vae": _VAE,
    "decoder": dataclasses.replace(_VAE, seed=3),
    "unet": dataclasses.replace(  # a constant rate: the average takes the place of a decay, and a run can be prolonged
        _VAE,
        steps=6500,
        batch_size=256,
        cosine_decay=False,
        ema=0.999,
        balance=0.5,
        seed=2,
    ),
    "branch": dataclasses.replace(
        _VAE,
        steps=6000,
        batch_size=64,
        warmup_updates=50,
        weight_decay=1e-2,
        ema=0.995,
        prompt_dropout=0.1,
        balance=0.5,
        seed=0,
    ),
}
EVALUATION_STEPS = 15  # of sampling, while a model trains


def _run(name: str, steps: int | None) -> TrainingConfig:
    return RUNS[name] if steps is None else dataclasses.replace(RUNS[name], steps=steps)


def _folder(cache: Path, run: str) -> Path:
    return cache / "checkpoints" / run


# The autoencoder ------------------------------------------------------------------------------------------------------


def train_vae(cache: Path, steps: int | None = None, only_decoder: bool = False) -> None:
    """Train the autoencoder on the pictures; the scores are its PSNR on things never seen.

    With `only_decoder` the averaged weights of the run before are where it starts, and the encoder does not move.
    """
    run = "decoder" if only_decoder else "vae"
    encoder, decoder = read_config(cache / CONFIG_FILE).build_vae()
    if only_decoder:
        _load_vae(cache, encoder, decoder, ("vae",))
        encoder.trainable = False
    config = _run(run, steps)
    trainer = AutoencoderTrainer(encoder, decoder, config)
    vae = LatentDiffusion(image_encoder=encoder, decoder=decoder, latent_scale=1.0)
    held_out = data.read_held_out(cache).images

    def evaluate() -> dict[str, float]:
        return {"held_out_psnr": float(metrics.psnr(held_out, vae.reconstruct(to_float(held_out))).mean())}

    batches = data.image_batches(cache, config.batch_size, config.seed)
    train(trainer, batches, _folder(cache, run), evaluate, progress=False)


def encode_latents(cache: Path) -> None:
    """Encode the training pictures with the averaged VAE; keep the means, and their mean and std by channel."""
    config = read_config(cache / CONFIG_FILE)
    encoder, decoder = config.build_vae()
    _load_vae(cache, encoder, decoder, ("vae",))
    vae = LatentDiffusion(image_encoder=encoder)
    images = np.load(cache / "train_photos.npy", mmap_mode="r")
    parts = (vae.encode_images(to_float(images[i : i + 512])) for i in range(0, len(images), 512))
    latents = np.concatenate([moments[..., : config.latent_channels] for moments in parts])
    mean, std = latents.mean(axis=(0, 1, 2), dtype="float64"), latents.std(axis=(0, 1, 2), dtype="float64")
    np.save(cache / "train_latents.npy", ((latents - mean) / std).astype("float16"))
    config = dataclasses.replace(config, latent_mean=tuple(mean.tolist()), latent_std=tuple(std.tolist()))
    write_config(config, cache / CONFIG_FILE)
    print(f"{len(latents)} latents, mean {mean}, std {std}")


def _load_vae(cache: Path, encoder: keras.Model, decoder: keras.Model, runs: tuple[str, ...]) -> None:
    """Put averaged weights into the VAE: of the runs named, later ones over earlier ones, where they were trained."""
    for run in runs:
        folder = _folder(cache, run)
        moved = decoder.trainable_variables if run == "decoder" else _both(encoder, decoder)
        if checkpoints.last_checkpoint(folder):
            checkpoints.load_averages(folder, moved)
        elif (folder / FIRST_EDITION).is_file():
            _load_first_edition(folder / FIRST_EDITION, encoder=encoder, decoder=decoder)
        elif run == "vae":
            raise FileNotFoundError(f"{folder}: holds no checkpoint; train the VAE first with the step `vae`")


def _both(first: keras.Model, second: keras.Model) -> list[keras.Variable]:
    return [*first.trainable_variables, *second.trainable_variables]


# The diffusion model --------------------------------------------------------------------------------------------------


def train_unet(cache: Path, steps: int | None = None) -> None:
    """Train U-Net and text encoder on the cached latents; the scores are colours as asked, of things never seen."""
    small, diffusion = _load_trained_vae(cache)
    config = _run("unet", steps)
    trainer = CaptionTrainer(diffusion.part("unet"), diffusion.part("text_encoder"), config)
    held_out = data.read_held_out(cache)
    model = SketchToImage(diffusion, None, small.sampling, config=small)

    def evaluate() -> dict[str, float]:
        pictures = model.generate(held_out.captions, steps=EVALUATION_STEPS)
        scores = metrics.caption_scores(pictures, held_out.backgrounds, held_out.mains)
        return {name: float(right.mean()) for name, right in scores.items()}

    batches = data.caption_batches(cache, diffusion.part("tokenizer"), config.batch_size, config.seed)
    train(trainer, batches, _folder(cache, "unet"), evaluate, progress=False)


def _load_trained_vae(cache: Path) -> tuple[SmallModelConfig, LatentDiffusion]:
    config = read_config(cache / CONFIG_FILE)
    diffusion = build_small_model(config)
    encoder, decoder = config.build_vae()
    _load_vae(cache, encoder, decoder, ("vae", "decoder"))
    diffusion.part("image_encoder").set_weights(encoder.get_weights())
    diffusion.part("decoder").set_weights(decoder.get_weights())
    return config, diffusion


def load_trained(cache: Path) -> tuple[SmallModelConfig, LatentDiffusion]:
    """Build the small model and put the averaged weights of every part that has been trained into it."""
    config, diffusion = _load_trained_vae(cache)
    folder, unet, text_encoder = _folder(cache, "unet"), diffusion.part("unet"), diffusion.part("text_encoder")
    if checkpoints.last_checkpoint(folder):
        checkpoints.load_averages(folder, _both(unet, text_encoder))
    elif (folder / FIRST_EDITION).is_file():
        _load_first_edition(folder / FIRST_EDITION, unet=unet, text_encoder=text_encoder)
    return config, diffusion


# The branch -----------------------------------------------------------------------------------------------------------


def branch_examples(
    cache: Path, config: SmallModelConfig, diffusion: LatentDiffusion, count: int | None = None
) -> dict[str, np.ndarray]:
    """Return all training pairs, or `count` of them, as `batches.encode_examples` does, from the cached latents.

    Those are the means of the moments; a log-variance of -30 makes drawing from them return the mean. In every second
    caption the thing's name is hidden, so that captions of things never seen are nothing new.
    """
    table, latents = data.read_table(cache, "train"), np.load(cache / "train_latents.npy")
    chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:count])
    mean, std = (np.array(v, "float32") for v in (config.latent_mean, config.latent_std))
    means = (latents[chosen] * std + mean).astype("float16")
    captions = [table[i].caption for i in chosen]
    captions[1::2] = map(emoji.hide_thing, captions[1::2])
    # lines high, as `images.to_hints`; the trainer scales bytes
    hints = 255 - np.load(cache / "train_sketches.npy", mmap_mode="r")[chosen]
    return {
        "moments": np.concatenate([means, np.full_like(means, -30.0)], axis=-1),
        "context": diffusion.encode_text(captions).astype("float16"),
        "hint": np.repeat(hints[..., None], 3, axis=-1),
    }


def train_branch(cache: Path, steps: int | None, weights: Path) -> None:
    """Train the ControlNet that the course ships, with its scores on things never seen, and export it."""
    small, diffusion = load_trained(cache)
    config = _run("branch", steps)
    branch = build_controlnet(diffusion.part("unet"), small.hint_widths)
    trainer = ControlNetTrainer(diffusion, branch, config)
    model = SketchToImage(diffusion, branch, small.sampling, config=small)
    held_out = data.read_held_out(cache)

    def evaluate() -> dict[str, float]:
        pictures = model.generate(held_out.captions, held_out.sketches, steps=EVALUATION_STEPS)
        scores = metrics.control_scores(pictures, held_out.images)
        scores |= metrics.caption_scores(pictures, held_out.backgrounds, held_out.mains)
        return {name: float(values.mean()) for name, values in scores.items()}

    batches = cached_batches(branch_examples(cache, small, diffusion), config.batch_size, config.seed)
    train(trainer, batches, _folder(cache, "branch"), evaluate, progress=False)
    save_controlnet(branch, weights / CONTROLNET_FILE, dtype="float16")


# Checkpoints of the first edition, which was Keras's own format -------------------------------------------------------

FIRST_EDITION = "ema.weights.h5"


class _Parts(keras.Model):
    """Networks under the names that they have in a file of Keras."""

    def __init__(self, **parts: keras.Model):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.built = True


def _load_first_edition(path: Path, **parts: keras.Model) -> None:
    _Parts(**parts).load_weights(path)
