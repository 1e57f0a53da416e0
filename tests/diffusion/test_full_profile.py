"""The full profile of the assignment: what it asks for before it starts, and its way to the last cell."""

import re
from pathlib import Path

import notebooks
from utils import runtime
from utils.diffusion import emoji, full_profile

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient


def _free() -> float:
    """GiB of memory that the system says are free, 0 where it does not tell; a container's limit is not seen."""
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(re.search(r"MemAvailable: *(\d+)", told)[1]) / 2**20


def ask(folder, branch="branch.safetensors", size=512, wanted=4):
    full_profile.check_full_profile(folder, folder / branch, size, 8, folder / "checkpoints", wanted)


def test_everything_that_is_missing_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "device", lambda: "2 CPU cores")
    monkeypatch.setattr(full_profile, "DOWNLOADS", 1e9)
    with pytest.raises(RuntimeError) as error:
        ask(tmp_path)
    message = str(error.value)
    for part in (
        "a GPU: Keras found 2 CPU cores",
        "no file branch.safetensors",
        "captions.csv",
        "GiB on the disk for the",
    ):
        assert part in message
    assert "Adam's two averages" in capsys.readouterr().out


@pytest.mark.parametrize(("memory", "refused"), [(24.0, True), (80.0, False), (None, False)])
def test_memory_of_the_card(tmp_path, monkeypatch, memory, refused):
    some = [emoji.make_pair(emoji.load_drawings()[i], np.random.default_rng(i), size=32) for i in range(8)]
    emoji.write_pairs(tmp_path, some)
    (tmp_path / "branch.safetensors").touch()
    monkeypatch.setattr(runtime, "device", lambda: "gpu:0")
    monkeypatch.setattr(full_profile, "_gpu_memory", lambda: memory)
    monkeypatch.setattr(full_profile, "FEWEST_PAIRS", 8)
    for name in ("DOWNLOADS", "CHECKPOINTS"):
        monkeypatch.setattr(full_profile, name, 0.0)
    if refused:
        with pytest.raises(RuntimeError, match=r"GiB on the GPU: it has 24\.0"):
            ask(tmp_path)
    else:
        ask(tmp_path)


def test_too_few_pairs_are_counted(tmp_path):
    (tmp_path / "captions.csv").touch()
    assert "0 photos and 0 sketches" in full_profile._missing_pairs(tmp_path, 16)[0]


def test_memory_grows_with_the_batch_and_the_picture():
    small, large = (sum(full_profile.memory_table(size, batch).values()) for size, batch in ((64, 1), (512, 8)))
    weights = 4 * sum(full_profile.PARAMETERS.values()) / 2**30
    assert 2 * weights < small < 3 * weights < 8 * weights < large


STAND_IN = """
from utils.diffusion import full_profile
from utils.diffusion.controlnet import HINT_WIDTHS, build_controlnet
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.sampling import SamplingSettings
from utils.diffusion.text_encoder import build_text_encoder
from utils.diffusion.unet import build_unet
from utils.diffusion.vae import build_decoder, build_encoder


def stand_in(branch):
    tokenizer = WordTokenizer(["red", "blue"], 77)  # CLIP's vocabulary would have to be downloaded
    vae = {{"size": 64, "widths": (32, 32, 64, 64), "blocks": (1, 1, 1, 1), "latent_channels": 4, "groups": 32}}
    diffusion = LatentDiffusion(
        unet=build_unet((8, 8, 4), (77, 768), {widths}, 2, (True, True, True, False), groups=32, heads=8),
        text_encoder=build_text_encoder(tokenizer.size, 77, 768, depth=1),
        image_encoder=build_encoder(**vae),
        decoder=build_decoder(**vae),
        tokenizer=tokenizer,
    )
    public = build_controlnet(diffusion.unet, HINT_WIDTHS)
    for i in range(len(public.outputs)):  # as after training, so that the sketch counts
        zero = public.get_layer(f"zero_{{i}}")
        zero.kernel.assign(keras.random.normal(zero.kernel.shape, stddev=0.05, seed=i))
    return SketchToImage(diffusion, public, SamplingSettings(guidance=7.5), at_once=4)


full_profile.check_full_profile = lambda *arguments: None  # no GPU, no public branch
SketchToImage.stable_diffusion = stand_in
"""
QUARTER, HALF, WHOLE = (96, 160, 320, 320), (160, 320, 640, 640), (320, 640, 1280, 1280)
SMALLER = {
    "size=512": "size=64",
    "updates=10_000": "updates=2",
    "warmup_updates=500": "warmup_updates=0",
    "look_every=500": "look_every=2",
    "sampling_steps=20": "sampling_steps=2",
    "evaluated=128": "evaluated=4",
    "np.linspace(0, 999, 5)": "np.linspace(0, 999, 2)",
    'folder="assignment/pairs"': "folder={folder!r}",
    'course / "build/branch"': "Path({checkpoints!r})",
}


def if_free(gib, widths):
    return pytest.param(widths, marks=pytest.mark.skipif(_free() < gib, reason=f"less than {gib} GiB of memory"))


@pytest.mark.slow
@pytest.mark.parametrize("widths", [if_free(6, QUARTER), if_free(10, HALF), if_free(20, WHOLE)])
def test_the_notebook_in_full_on_a_stand_in(tmp_path, widths):
    """Random weights, 64 pixels, 40 pairs, 2 updates: the U-Net at about a quarter, half and all of its widths.

    On a busy Xeon, CPU seconds and memory: a quarter 445 and 4.6 GiB, half 533 and 7.8 GiB, all 1,001 and 19.4 GiB.
    """
    some = [emoji.make_pair(emoji.load_drawings()[20 * i], np.random.default_rng(i), size=64) for i in range(40)]
    folder, checkpoints = emoji.write_pairs(tmp_path / "pairs", some), tmp_path / "branch"
    notebook = notebooks.load("assignment/sketch_to_image.ipynb")
    sources = "\n".join(cell.source for cell in notebooks.code_cells(notebook))
    assert [old for old in SMALLER if old not in sources] == [], "no longer in the notebook: it would run at full size"
    for cell in notebooks.code_cells(notebook):
        if "parameters" in notebooks.tags(cell):
            cell.source = 'profile = "full"'
        for old, new in SMALLER.items():
            cell.source = cell.source.replace(old, new.format(folder=str(folder), checkpoints=str(checkpoints)))
    setup = next(i for i, cell in enumerate(notebook.cells) if "runtime.start(" in cell.source)
    notebook.cells.insert(setup + 1, nbformat.v4.new_code_cell(STAND_IN.format(widths=widths)))
    path = {"metadata": {"path": str(notebooks.ROOT / "assignment")}}
    NotebookClient(notebook, timeout=3600, resources=path).execute()
    shown = "".join(out.get("text", "") for cell in notebooks.code_cells(notebook) for out in cell.outputs)
    assert "the frozen U-Net has not moved: True" in shown
    assert checkpoints.exists()
