"""The way of the full profile at tiny size: a folder of one's own, examples, a branch, pictures, scores."""

import diffusion_tiny as tiny
from utils.diffusion import controlnet, metrics, pairs, sampling, stable_diffusion, training

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Twelve photos of different sizes, PNG and JPEG, captions, and no sketches."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    lines = ["file,caption"]
    for i in range(12):
        photo = np.full((40 + i, 48, 3), rng.integers(0, 256, 3), dtype="uint8")
        photo[10:30, 12:30] = rng.integers(0, 256, 3)
        name = f"{i}.{'png' if i % 2 else 'jpg'}"
        Image.fromarray(photo).save(tmp_path / "photos" / name)
        lines.append(f"{name},a red tent on a blue background")
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    return tmp_path


def test_from_a_folder_of_photos_to_scores(folder):
    assert pairs.extract_sketches(folder) == 12
    train_pairs, test_pairs = pairs.split_pairs(pairs.load_pairs(folder), held_out=0.2)
    batches = list(pairs.make_dataset(train_pairs, 32, batch_size=4).as_numpy_iterator())
    photos, hints = (np.concatenate([batch[name] for batch in batches]) for name in ("photo", "hint"))
    captions = [caption.decode() for batch in batches for caption in batch["caption"]]
    diffusion, branch = tiny.tiny_diffusion(), tiny.fresh_branch()
    examples = training.cache_examples(diffusion, photos, hints, captions)
    settings = training.TrainingConfig(steps=4, batch_size=4, accumulation=2, warmup_updates=0, learning_rate=1e-3)
    history = training.train(training.ControlNetTrainer(diffusion, branch, settings), examples, progress=False)
    assert np.isfinite(history["loss"]).all() and np.any(branch.get_layer("zero_0").get_weights()[0])
    held_out = next(pairs.make_dataset(test_pairs, 32, 2, shuffle=0, augment=False).as_numpy_iterator())
    contexts = diffusion.encode_text([caption.decode() for caption in held_out["caption"]])
    pictures = diffusion.decode(sampling.Sampler(diffusion, [branch]).sample(contexts, held_out["hint"], steps=2))
    truth = np.round((held_out["photo"] + 1) * 127.5).astype("uint8")
    scores = metrics.control_scores(pictures, truth)
    assert pictures.shape == truth.shape and all(np.isfinite(values).all() for values in scores.values())


def test_what_the_full_profile_lacks_is_named(tmp_path, monkeypatch):
    with pytest.raises(pairs.PairError, match=r"expected photos/, sketches/ and captions\.csv"):
        pairs.load_pairs(tmp_path / "pairs")

    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setitem(stable_diffusion._UNETS, "1.4", no_network)
    with pytest.raises(RuntimeError, match=r"weights of the unet could not be fetched \(no network\)"):
        stable_diffusion.load_stable_diffusion("1.4", 512, weights="pretrained", parts=("unet",))


def test_hint_encoder_of_the_full_profile_fits_its_latents():
    unet = stable_diffusion.build_unet((8, 8, 4), (6, 32), (32, 64), blocks=1, attention=(True, False), head_size=16)
    branch = controlnet.build_controlnet(unet, hint_widths=(16, 32, 96, 256))
    assert branch.get_layer("hint").output.shape == (None, 64, 64, 3)
