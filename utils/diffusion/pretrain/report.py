"""What the pretraining left: the weights for the course, their first numbers, curves and samples."""

import textwrap
from pathlib import Path
from typing import Any

from utils.diffusion import checkpoints, metrics
from utils.diffusion.pretrain import data, stages
from utils.diffusion.pretrain.evaluation import RESULTS_FILE, SEEDS, caption_intervals, numbers, reconstruct, write
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.small_model import load_small_model, save_small_model
from utils.plotting import BLUE, ORANGE

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

__all__ = ["export"]

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
    write(weights / RESULTS_FILE, measure(cache, model))
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves(cache, figures / "training.png")
    draw_samples(cache, model, figures / "samples.png")


def measure(cache: Path, model: SketchToImage) -> dict[str, Any]:
    """Measure a loaded model on things never seen: PSNR of the VAE, caption fidelity with 95 % intervals, and the runs.

    Pictures are made with 15 steps, one for each seed and held-out drawing.
    """
    held_out = data.read_held_out(cache)
    decoded = reconstruct(model.diffusion, held_out.images)
    results = {"psnr": numbers(metrics.bootstrap_interval(metrics.psnr(held_out.images, decoded)))}
    drawn = [model.generate(held_out.captions, steps=stages.EVALUATION_STEPS, seed=seed) for seed in range(SEEDS)]
    results |= caption_intervals(drawn, held_out)
    results = {name: [round(value, 3) for value in values] for name, values in results.items()}
    histories = {run: checkpoints.read_history(cache / "checkpoints" / run) for run in stages.RUNS}
    runs = {run: _last(history) for run, history in histories.items() if history.step}
    return {**results, "runs": runs, "drawings": len(held_out.captions)}


def _last(history: checkpoints.History) -> dict[str, float]:
    scores = history.scores[-1][1] if history.scores else {}
    row = {"step": history.step[-1], "loss": history.loss[-1], "seconds": round(history.seconds[-1]), **scores}
    return {name: round(value, 4) for name, value in row.items()}


# Figures --------------------------------------------------------------------------------------------------------------


def draw_curves(cache: Path, path: Path) -> None:
    """Draw the loss of each run against its updates, and what it reached on things never seen where that is known."""
    histories = {run: checkpoints.read_history(cache / "checkpoints" / run) for run in QUALITY}
    histories = {run: history for run, history in histories.items() if history.step}
    rows = 2 if any(history.scores for history in histories.values()) else 1
    figure = Figure(figsize=(3 * len(histories), 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, len(histories), sharex="col", squeeze=False)
    for column, (run, history) in enumerate(histories.items()):
        axes[0, column].plot(history.step, history.loss, color="black")
        axes[0, column].set(title=run, yscale="log", ylabel="loss")
        axes[-1, column].set_xlabel("updates")
        if rows == 2:
            _draw_scores(axes[1, column], run, history.scores)
    figure.savefig(path, dpi=90)


def _draw_scores(axis: Axes, run: str, scores: list[tuple[int, dict[str, float]]]) -> None:
    for name, colour, style in zip(QUALITY[run], (BLUE, ORANGE), ("-o", "--s"), strict=False):
        values = [one[name] for _, one in scores]
        axis.plot([step for step, _ in scores], values, style, color=colour, markersize=3, label=name)
    unit = {"unet": "share right", "branch": "IoU, share right"}.get(run, "PSNR (dB)")
    axis.set(title="on things never seen", ylabel=unit)
    axis.legend()


def draw_samples(cache: Path, model: SketchToImage, path: Path, count: int = 12) -> None:
    """Draw training captions beside things never seen: the true pictures, and what captions alone and the VAE make."""
    images, captions = _of_training(cache, count)
    held_out = data.read_held_out(cache, count)
    figure = Figure(figsize=(1.1 * count, 8.4), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(3, 4))
    seeds = {f"caption, seed {seed}": model.generate(captions, seed=seed) for seed in (0, 1)}
    _draw_rows(parts[0, 0], "training captions", captions, {"picture": images, **seeds})
    seeds = {f"caption, seed {seed}": model.generate(held_out.captions, seed=seed) for seed in (0, 1)}
    rows = {"picture": held_out.images, "through the VAE": reconstruct(model.diffusion, held_out.images), **seeds}
    _draw_rows(parts[1, 0], "things never seen", held_out.captions, rows)
    figure.savefig(path, dpi=90)


def _of_training(cache: Path, count: int) -> tuple[np.ndarray, list[str]]:
    """One picture and its caption of each of `count` training drawings, evenly spaced over all of them."""
    table, variants = data.read_table(cache, "train"), data.VARIANTS["train"]
    drawings = len(table) // variants
    chosen = np.linspace(0, drawings - 1, min(count, drawings)).astype(int) * variants
    return np.load(cache / "train_photos.npy", mmap_mode="r")[chosen], [table[i].caption for i in chosen]


def _draw_rows(figure: SubFigure, title: str, captions: list[str], rows: dict[str, np.ndarray]) -> None:
    axes = figure.subplots(len(rows), len(captions), squeeze=False)
    figure.suptitle(title, fontsize=10)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title("\n".join(textwrap.wrap(caption, 17)), fontsize=6.5)
