"""What the pretraining reached: the weights for the course, their numbers, curves and samples."""

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import Any

from utils.diffusion import checkpoints, metrics
from utils.diffusion.images import to_float
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.pretrain import data, stages
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.small_model import load_small_model, save_small_model
from utils.files import write_text
from utils.plotting import BLUE, ORANGE

import numpy as np
from matplotlib.figure import Figure

__all__ = ["evaluate_branch", "export"]

SEEDS = 3
EVALUATED = 128  # sketches
QUALITY = {
    "vae": ("held_out_psnr",),
    "decoder": ("held_out_psnr",),
    "unet": ("background", "main_colour"),
    "branch": ("silhouette_iou", "main_colour"),
}


def export(cache: Path, weights: Path, figures: Path) -> None:
    """Write the averaged weights so far as fp16, and the loss curves and samples of things never seen as PNG."""
    config, diffusion = stages.load_trained(cache)
    save_small_model(diffusion, config, weights)
    config, diffusion = load_small_model(weights)
    model = SketchToImage(diffusion, None, config.sampling, config=config)
    _write(weights / "results.json", measure(cache, model))
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves(cache, figures / "training.png")
    draw_samples(cache, model, figures / "samples.png")


def measure(cache: Path, model: SketchToImage) -> dict[str, Any]:
    """Measure a loaded model on things never seen: PSNR of the VAE, caption fidelity with 95 % intervals, and the runs.

    Pictures are made with 15 steps, one for each seed and held-out drawing.
    """
    held_out = data.read_held_out(cache)
    decoded = _reconstruct(model.diffusion, held_out.images)
    results = {"psnr": _numbers(metrics.bootstrap_interval(metrics.psnr(held_out.images, decoded)))}
    drawn = [model.generate(held_out.captions, steps=stages.EVALUATION_STEPS, seed=seed) for seed in range(SEEDS)]
    results |= _caption_intervals(drawn, held_out)
    results = {name: [round(value, 3) for value in values] for name, values in results.items()}
    histories = {run: checkpoints.read_history(cache / "checkpoints" / run) for run in stages.RUNS}
    runs = {run: _last(history) for run, history in histories.items() if history.step}
    return {**results, "runs": runs, "drawings": len(held_out.captions)}


def _last(history: checkpoints.History) -> dict[str, float]:
    scores = history.scores[-1][1] if history.scores else {}
    row = {"step": history.step[-1], "loss": history.loss[-1], "seconds": round(history.seconds[-1]), **scores}
    return {name: round(value, 4) for name, value in row.items()}


def evaluate_branch(cache: Path, weights: Path, count: int = EVALUATED, seeds: int = SEEDS) -> dict[str, Any]:
    """Measure the exported branch on things never seen, write `control.json` beside the weights and return it.

    It holds the rows of `metrics.control_table`, and for each way of sampling the shares of pictures whose background
    and main colour are as asked and the KID.
    """
    model = SketchToImage.load(weights)
    encoder = model.diffusion.part("image_encoder")
    held_out = data.read_held_out(cache, count)
    others = data.read_held_out(cache, version=1).images  # other pairs: the KID wants independence
    reference = metrics.vae_features(others, encoder)
    sketches = held_out.sketches
    ways = {"no control": (sketches, 0.0), "shuffled sketches": (np.roll(sketches, 7, axis=0), 1.0)}
    ways["control"] = (sketches, 1.0)
    drawn, captions = {}, {}
    for name, (shapes, scale) in ways.items():
        rounds = [model.generate(held_out.captions, shapes, scale=scale, seed=seed) for seed in range(seeds)]
        features = np.concatenate([metrics.vae_features(pictures, encoder) for pictures in rounds])
        captions[name] = {**_caption_intervals(rounds, held_out), "kid": list(metrics.kid(features, reference))}
        drawn[name] = np.stack(rounds)
    ceiling = _reconstruct(model.diffusion, held_out.images)
    rows = metrics.control_table(held_out.images, drawn.pop("control"), drawn, ceiling)
    results = {"sketches": len(held_out.captions), "seeds": seeds, "control": list(map(_flat, rows))}
    return _write(weights / "control.json", {**results, "captions": captions})


def _reconstruct(diffusion: LatentDiffusion, images: np.ndarray) -> np.ndarray:
    return diffusion.reconstruct(to_float(images))


def _caption_intervals(rounds: list[np.ndarray], held_out: data.HeldOut) -> dict[str, list[float]]:
    scores = [metrics.caption_scores(pictures, held_out.backgrounds, held_out.mains) for pictures in rounds]
    return {k: _numbers(metrics.bootstrap_interval(np.stack([s[k] for s in scores]))) for k in scores[0]}


def _numbers(interval: metrics.Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _flat(row: metrics.ControlRow) -> dict[str, Any]:
    """A row of the table as it stands in the file."""
    share = {f"normalised{suffix}": v for suffix, v in zip(("", "_low", "_high"), _numbers(row.share), strict=True)}
    return {"score": row.score, **dataclasses.asdict(row.value), **row.floors, "ceiling": row.ceiling, **share}


def _write(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(results, indent=1)
    write_text(path, text + "\n")
    print(text)
    return results


# Figures --------------------------------------------------------------------------------------------------------------


def draw_curves(cache: Path, path: Path) -> None:
    """Draw the loss of each run, and what it reached on things never seen, against its steps."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(2, len(QUALITY), sharex="col")
    for column, (run, names) in enumerate(QUALITY.items()):
        history = checkpoints.read_history(cache / "checkpoints" / run)
        axes[0, column].plot(history.step, history.loss, color="black")
        axes[0, column].set(title=run, yscale="log", ylabel="loss")
        steps = [step for step, _ in history.scores]
        for name, colour, style in zip(names, (BLUE, ORANGE), ("-o", "--s"), strict=False):
            values = [scores[name] for _, scores in history.scores]
            axes[1, column].plot(steps, values, style, color=colour, markersize=3, label=name)
        unit = {"unet": "share right", "branch": "IoU, share right"}.get(run, "PSNR (dB)")
        axes[1, column].set(title="on things never seen", xlabel="updates", ylabel=unit)
        axes[1, column].legend()
    figure.savefig(path, dpi=90)


def draw_samples(cache: Path, model: SketchToImage, path: Path, count: int = 12) -> None:
    """Draw, for the first held-out things: the picture, the same through the VAE, and two samples of its caption."""
    held_out = data.read_held_out(cache, count)
    count = len(held_out.captions)
    rows = {"picture": held_out.images, "through the VAE": _reconstruct(model.diffusion, held_out.images)}
    for seed in (0, 1):
        rows[f"caption, seed {seed}"] = model.generate(held_out.captions, seed=seed)
    figure = Figure(figsize=(1.1 * count, 5.4), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    for axis, caption in zip(axes[0], held_out.captions, strict=True):
        axis.set_title("\n".join(textwrap.wrap(caption, 17)), fontsize=6.5)
    figure.savefig(path, dpi=90)
