"""The committed small model: it loads, is small enough to be committed, and does what its card says."""

import json
from pathlib import Path

from utils.diffusion import autoencoder, checkpoints, controlnet, emoji, metrics, sampling, small

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "assignment"
WEIGHTS = FOLDER / "weights"


@pytest.fixture(scope="module")
def diffusion():
    return small.load_small_model(WEIGHTS)


@pytest.fixture(scope="module")
def unseen():
    """Sixteen pairs of things never seen, drawn anew."""
    drawings = emoji.split_drawings(emoji.load_drawings())[1][::10]
    return [emoji.make_pair(drawing, np.random.default_rng([9, i])) for i, drawing in enumerate(drawings)]


def test_files_fit_into_a_repository():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 40e6


def test_pictures_survive_the_vae(diffusion, unseen):
    photos = np.stack([pair.photo for pair in unseen]) / np.float32(127.5) - 1
    decoded = diffusion.decode(np.asarray(diffusion.draw_latents(diffusion.encode_images(photos))))
    assert np.mean(autoencoder.psnr(photos, decoded / np.float32(127.5) - 1)) > 26


def test_sketch_decides_the_shape_and_caption_the_background(diffusion, unseen):
    branch = controlnet.build_controlnet(diffusion.unet, hint_widths=small.HINT_WIDTHS)
    checkpoints.load_controlnet(branch, WEIGHTS / small.BRANCH_FILE)
    sampler = sampling.Sampler(diffusion, [branch], control_on="conditional")
    truth = np.stack([pair.photo for pair in unseen])
    hints = 1 - np.stack([pair.sketch for pair in unseen]) / np.float32(255)
    contexts = diffusion.encode_text([pair.caption for pair in unseen])
    drawn = {
        scale: diffusion.decode(sampler.sample(contexts, hints, steps=15, guidance=3.0, control_scale=scale))
        for scale in (0.0, 1.0)
    }
    overlaps = {s: metrics.control_scores(pictures, truth)["silhouette_iou"].mean() for s, pictures in drawn.items()}
    assert overlaps[1.0] > overlaps[0.0] + 0.15, overlaps
    for pictures in drawn.values():
        assert np.mean(metrics.background_colours(pictures) == [pair.background for pair in unseen]) >= 0.75


def test_card_states_the_measured_numbers():
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    results, control = (json.loads((WEIGHTS / name).read_text()) for name in ("results.json", "control.json"))
    shown = [f"{results['psnr'][0]:.1f}", f"{results['background'][0]:.1%}", f"{results['main_colour'][0]:.1%}"]
    shown += [f"{row['value']:.2f} | {row['normalised']:.2f}" for row in control["control"]]
    missing = [number for number in shown if number not in card.replace(" %", "%")]
    assert not missing, f"MODEL_CARD.md lacks {missing}"
