"""The model for users: with the committed weights it does what its card says, and bad input is named."""

import json
from pathlib import Path

from utils.diffusion import emoji, metrics
from utils.diffusion.images import to_float
from utils.diffusion.sketch_to_image import SketchToImage

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "assignment"
WEIGHTS = FOLDER / "weights"


@pytest.fixture(scope="module")
def model():
    return SketchToImage.load(WEIGHTS)


@pytest.fixture(scope="module")
def unseen():
    """Sixteen pairs of things never seen, drawn anew."""
    drawings = emoji.split_drawings(emoji.load_drawings())[1][::10]
    return [emoji.make_pair(drawing, np.random.default_rng([9, i])) for i, drawing in enumerate(drawings)]


def test_files_fit_into_a_repository():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 40e6


def test_pictures_survive_the_vae(model, unseen):
    images = np.stack([pair.image for pair in unseen])
    assert metrics.psnr(images, model.diffusion.reconstruct(to_float(images))).mean() > 26


def test_sketch_decides_the_shape_and_caption_the_background(model, unseen):
    truth, sketches = np.stack([pair.image for pair in unseen]), np.stack([pair.sketch for pair in unseen])
    captions = [pair.caption for pair in unseen]
    drawn = {scale: model.generate(captions, sketches, steps=15, scale=scale) for scale in (0.0, 1.0)}
    found = {s: metrics.control_scores(pictures, truth)["silhouette_iou"].mean() for s, pictures in drawn.items()}
    assert found[1.0] > found[0.0] + 0.15, found
    for pictures in drawn.values():
        assert np.mean(metrics.background_colours(pictures) == [pair.background for pair in unseen]) >= 0.75


def test_pictures_depend_on_seed_and_position_alone_and_captions_suffice(unseen):
    """Portions of another size, a padded last one, and a model without sketches."""
    model = SketchToImage.load(WEIGHTS)
    model.at_once = 2
    captions = [pair.caption for pair in unseen[:3]]
    three = model.generate(captions, steps=2)
    assert three.shape == (3, 64, 64, 3) and three.dtype == np.uint8
    two = model.generate(captions[:2], steps=2)
    assert np.abs(three[:2].astype(int) - two).max() <= 1
    assert np.abs(three[:2].astype(int) - model.generate(captions[:2], steps=2, seed=1)).max() > 20


def test_bad_sketches_are_named(model):
    for shape, dtype in (((1, 64, 64, 3), "float32"), ((2, 64, 64, 3), "uint8"), ((1, 32, 32, 3), "uint8")):
        with pytest.raises(ValueError, match=r"expected uint8 \(1, 64, 64, 3\), dark lines on white"):
            model.generate("a red tent", np.zeros(shape, dtype))
    blind = SketchToImage(model.diffusion, None, model.settings)
    with pytest.raises(ValueError, match="no branch that could read sketches"):
        blind.generate("a red tent", np.zeros((1, 64, 64, 3), "uint8"))
    with pytest.raises(ValueError, match="with a branch and its configuration"):
        blind.save("nowhere")


def test_what_is_saved_is_loaded(model, tmp_path):
    model.save(tmp_path)
    for name in ("small_model.json", "vae.safetensors", "diffusion.safetensors", "controlnet.safetensors"):
        assert (tmp_path / name).read_bytes() == (WEIGHTS / name).read_bytes(), name


def test_card_states_the_measured_numbers():
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    results, control = (json.loads((WEIGHTS / name).read_text()) for name in ("results.json", "control.json"))
    shown = [f"{results['psnr'][0]:.1f}", f"{results['background'][0]:.1%}", f"{results['main_colour'][0]:.1%}"]
    shown += [f"{row['value']:.2f} | {row['normalised']:.2f}" for row in control["control"]]
    missing = [number for number in shown if number not in card.replace(" %", "%")]
    assert not missing, f"MODEL_CARD.md lacks {missing}"
