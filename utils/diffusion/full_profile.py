"""What the assignment's full profile needs, told before anything is downloaded or trained.

The numbers of parameters are those of Stable Diffusion 1.4 and of a ControlNet beside it (a test counts them). What is
computed here is what has to be there at once in float32; frameworks need some more for their own work.
"""

import os
import shutil
import subprocess
from pathlib import Path

from utils import runtime
from utils.diffusion.checkpoints import KEPT
from utils.diffusion.pairs import SUFFIXES

__all__ = ["check_full_profile", "memory_table"]

PARAMETERS = {
    "unet": 859_520_964,
    "text_encoder": 123_060_480,
    "image_encoder": 34_163_664,
    "decoder": 49_490_199,
    "controlnet": 361_279_120,
}
FEWEST_PAIRS = 160  # a tenth is held out: 16, as many as the notebook shows
GIB = 2**30
DOWNLOADS = 4.3  # GiB: what Keras keeps of the published weights
# A checkpoint holds weights, their moving average, Adam's two averages and the summed gradients of a branch; some are
# kept while the next one is written
CHECKPOINTS = (KEPT + 1) * 5 * 4 * PARAMETERS["controlnet"] / GIB
# Transformer blocks that gradients pass through, by how often the latents were halved: the branch's and those on the
# U-Net's way up
ATTENTIONS, HEADS, WORDS = (2 + 3, 2 + 3, 2 + 3, 1), 8, 77


def memory_table(image_size: int, batch_size: int) -> dict[str, float]:
    """GiB in float32 that the notebook's training of a branch holds at once.

    Parameters
    ----------
    image_size : int
        Side of the pictures in pixels.
    batch_size : int

    Returns
    -------
    dict of str to float
        Computed, not measured. The maps of attention are counted as TensorFlow keeps them, scores and weights; a fused
        kernel (JAX on a GPU) keeps none.
    """
    weights = {name: 4 * count / GIB for name, count in PARAMETERS.items()}
    tokens = [(image_size // 8 // 2**level) ** 2 for level in range(4)]
    maps = sum(blocks * n * (n + WORDS) for blocks, n in zip(ATTENTIONS, tokens, strict=True))
    return {
        "frozen weights": sum(weights.values()) - weights["controlnet"],
        "public branch": weights["controlnet"],
        "your branch": weights["controlnet"],
        "its gradients, summed and new": 2 * weights["controlnet"],
        "Adam's two averages": 2 * weights["controlnet"],
        "moving average of the weights": weights["controlnet"],
        f"maps of attention, batch {batch_size}": batch_size * 2 * HEADS * maps * 4 / GIB,
    }


def check_full_profile(
    folder: Path, branch: Path, image_size: int, batch_size: int, checkpoints: Path, wanted: int
) -> None:
    """Print the table of memory, and stop with one list of everything that is missing.

    Parameters
    ----------
    folder : path
        Of the pairs: `photos/`, `sketches/`, `captions.csv`.
    branch : path
        A trained ControlNet, ``diffusion_pytorch_model.safetensors``.
    image_size, batch_size : int
    checkpoints : path
        Where the training will save.
    wanted : int
        Held-out pairs for the final table; with fewer its intervals are wider, and the function says so.

    Raises
    ------
    RuntimeError
        No GPU, too little memory on it or on the disk, no branch, or too few pairs.
    """
    table = memory_table(image_size, batch_size)
    for name, gib in table.items():
        print(f"{name:32} {gib:6.1f} GiB")
    needed = sum(table.values())
    print(f"{'computed, in all':32} {needed:6.1f} GiB")
    missing = []
    if runtime.device().endswith("CPU cores"):
        missing.append(f"a GPU: Keras found {runtime.device()} (`make run GPU=1` installs CUDA for TensorFlow)")
    elif (found := _gpu_memory()) and found < needed:
        missing.append(f"{needed:.1f} GiB on the GPU: it has {found:.1f}; take a smaller `batch_size` or `size`")
    if not branch.is_file():
        missing.append(f"a trained ControlNet: no file {branch.name} in {branch.parent.name}/ (see the text above)")
    missing += _missing_pairs(folder, wanted)
    missing += _missing_space(
        Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras"), DOWNLOADS, "the published weights"
    )
    missing += _missing_space(checkpoints, CHECKPOINTS, "checkpoints")
    if missing:
        raise RuntimeError("profile full, missing:\n" + "\n".join(f"  - {line}" for line in missing))


def _missing_pairs(folder: Path, wanted: int) -> list[str]:
    if not (folder / "captions.csv").is_file():
        return [f"pairs: no {folder.name}/captions.csv, with photos/ and sketches/ beside it"]
    names = {part: (folder / part).glob("*") for part in ("photos", "sketches")}
    photos, sketches = (sum(path.suffix.lower() in SUFFIXES for path in paths) for paths in names.values())
    if (pairs := min(photos, sketches)) < FEWEST_PAIRS:
        found = f"{photos} photos and {sketches} sketches in {folder.name}/"
        return [f"pairs: {found}, at least {FEWEST_PAIRS} expected, so that 16 are held out"]
    if pairs < 10 * wanted:
        print(f"{pairs} pairs: about {pairs // 10} for the final table, not {wanted}, with wider intervals")
    return []


def _missing_space(folder: Path, needed: float, purpose: str) -> list[str]:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / GIB
    return [] if free >= needed else [f"{needed:.1f} GiB on the disk for {purpose}: {free:.1f} are free"]


def _gpu_memory() -> float | None:
    """Return the GiB of the first NVIDIA card, None where its driver does not tell."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        return float(told.splitlines()[0]) / 1024
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
