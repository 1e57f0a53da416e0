"""What exported weights reach, with 95 % intervals over things: `results.json` and `control.json` beside them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from utils.diffusion import metrics
from utils.diffusion.batches import cached_batches
from utils.diffusion.images import to_float
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.pretrain import data, judge, stages
from utils.diffusion.sketch_to_image import SketchToImage
from utils.diffusion.trainers import ControlNetTrainer
from utils.diffusion.training import TrainingConfig, train
from utils.files import write_text

import numpy as np

__all__ = ["evaluate", "evaluate_branch", "fresh_share", "trained_captions"]

RESULTS_FILE, CONTROL_FILE = "results.json", "control.json"
SEEDS = 3
THINGS = 160  # captions or sketches
FRESH_THINGS = 64
FRESH = TrainingConfig(  # as many updates as the assignment's notebook makes
    steps=240,
    batch_size=16,
    accumulation=1,
    learning_rate=2e-3,
    warmup_updates=20,
    ema=0.97,
    balance=0.5,
    prompt_dropout=0.1,
)


def evaluate(cache: Path, weights: Path, count: int = THINGS, seeds: int = SEEDS) -> dict[str, Any]:
    """Measure exported weights, write `control.json`, add to `results.json` and return what was added.

    Each number is [value, low, high]: `trained_captions_top1` and `_top5` of `trained_captions`, `silhouette_share`
    (of the range between no control and the VAE's ceiling), `main_colour_control` and `frame_std_ratio` of pictures
    with control, of things never seen, and `fresh_share` of `fresh_share`.
    """
    control = evaluate_branch(cache, weights, count, seeds)
    silhouette = next(row for row in control["control"] if row["score"] == "silhouette_iou")
    model = SketchToImage.load(weights)
    added = {
        **trained_captions(cache, model, count, seeds),
        "silhouette_share": [silhouette[f"normalised{end}"] for end in ("", "_low", "_high")],
        "main_colour_control": control["captions"]["control"]["main_colour"],
        "frame_std_ratio": control["frame_std_ratio"],
        "fresh_share": fresh_share(cache, model, FRESH, min(count, FRESH_THINGS), seeds),
    }
    path = weights / RESULTS_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    added = {name: [round(value, 3) for value in values] for name, values in added.items()}
    write(path, {**before, **added})
    return added


def trained_captions(
    cache: Path, model: SketchToImage, count: int = THINGS, seeds: int = SEEDS
) -> dict[str, list[float]]:
    """Shares of pictures, drawn from training captions without a sketch, whose drawing the judge finds.

    Returns
    -------
    dict
        `trained_captions_top1` and `trained_captions_top5`: in the first place among all training drawings, or in the
        first five. Each is [value, low, high].
    """
    table = data.read_table(cache, "train")
    variants = data.VARIANTS["train"]
    drawings = len(table) // variants
    referee = judge.load_judge(cache, drawings, model.image_size)
    chosen = np.random.default_rng(4).choice(drawings, min(count, drawings), replace=False)
    captions = [table[i * variants].caption for i in chosen]
    found = np.stack([judge.places(referee, model.generate(captions, seed=seed), chosen) for seed in range(seeds)])
    shares = {f"trained_captions_top{k}": found < k for k in (1, 5)}
    return {name: numbers(metrics.bootstrap_interval(right)) for name, right in shares.items()}


def evaluate_branch(cache: Path, weights: Path, count: int = THINGS, seeds: int = SEEDS) -> dict[str, Any]:
    """Measure the exported branch on things never seen, write `control.json` beside the weights and return it.

    It holds the rows of `metrics.control_table`, for each way of sampling the shares of pictures whose background
    and main colour are as asked and the KID, and `frame_std_ratio`, see `frame_ratio`.
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
        captions[name] = {**caption_intervals(rounds, held_out), "kid": list(metrics.kid(features, reference))}
        drawn[name] = np.stack(rounds)
    ratio = frame_ratio(drawn["control"], held_out.images)
    ceiling = reconstruct(model.diffusion, held_out.images)
    rows = metrics.control_table(held_out.images, drawn.pop("control"), drawn, ceiling)
    results = {"sketches": len(held_out.captions), "seeds": seeds, "control": list(map(_flat, rows))}
    return write(weights / CONTROL_FILE, {**results, "captions": captions, "frame_std_ratio": ratio})


def frame_ratio(drawn: np.ndarray, truth: np.ndarray) -> list[float]:
    """Unquiet background: the mean `frame_std` of pictures, (seeds, n, ...), over that of the true ones, (n, ...)."""
    level = metrics.frame_std(truth).mean()
    if not level > 0:
        raise ValueError("frame_ratio: the frames of all true pictures are plain; measure with more things.")
    return numbers(metrics.bootstrap_interval(np.stack([metrics.frame_std(pictures) for pictures in drawn]) / level))


def fresh_share(
    cache: Path, model: SketchToImage, config: TrainingConfig, count: int = FRESH_THINGS, seeds: int = SEEDS
) -> list[float]:
    """Train a fresh branch; return its share of the silhouettes' range on things never seen, [value, low, high]."""
    if model.config is None:
        raise ValueError("fresh_share: only a small model with its configuration has cached latents.")
    student = model.untrained()
    trainer = ControlNetTrainer(student.diffusion, student.controlnet, config)
    examples = stages.branch_examples(cache, model.config, model.diffusion, config.steps * config.batch_size)
    train(trainer, cached_batches(examples, config.batch_size, config.seed), progress=False)
    held_out = data.read_held_out(cache, count)
    drawn = {
        scale: np.stack(
            [student.generate(held_out.captions, held_out.sketches, scale=scale, seed=s) for s in range(seeds)]
        )
        for scale in (0.0, 1.0)
    }
    ceiling = reconstruct(model.diffusion, held_out.images)
    rows = metrics.control_table(held_out.images, drawn[1.0], {"no control": drawn[0.0]}, ceiling)
    return numbers(next(row.share for row in rows if row.score == "silhouette_iou"))


def reconstruct(diffusion: LatentDiffusion, images: np.ndarray) -> np.ndarray:
    """Pictures through the VAE, uint8 of the same shape."""
    return diffusion.reconstruct(to_float(images))


def caption_intervals(rounds: list[np.ndarray], held_out: data.HeldOut) -> dict[str, list[float]]:
    """Shares of pictures with the background and main colour that their captions name, [value, low, high]."""
    scores = [metrics.caption_scores(pictures, held_out.backgrounds, held_out.mains) for pictures in rounds]
    return {k: numbers(metrics.bootstrap_interval(np.stack([s[k] for s in scores]))) for k in scores[0]}


def numbers(interval: metrics.Interval) -> list[float]:
    """An interval as it stands in the files: [value, low, high]."""
    return [interval.value, interval.low, interval.high]


def _flat(row: metrics.ControlRow) -> dict[str, Any]:
    """A row of the table as it stands in the file."""
    share = {f"normalised{suffix}": v for suffix, v in zip(("", "_low", "_high"), numbers(row.share), strict=True)}
    return {"score": row.score, **dataclasses.asdict(row.value), **row.floors, "ceiling": row.ceiling, **share}


def write(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Write results as JSON, print and return them."""
    text = json.dumps(results, indent=1)
    write_text(path, text + "\n")
    print(text)
    return results
