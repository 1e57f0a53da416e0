"""The small pretrained model: how it is built, saved as fp16 and loaded.

It has Stable Diffusion's structure and KerasCV's blocks at smaller widths, for pictures of 64 x 64. `pretrain.py` makes
its weights.
"""

import dataclasses
import json
from pathlib import Path

from utils.diffusion.autoencoder import LATENT_CHANNELS, build_decoder, build_encoder
from utils.diffusion.stable_diffusion import LatentDiffusion, WordTokenizer, build_text_encoder, build_unet

import keras
import numpy as np
from keras import ops
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

CONFIG_FILE = "small_model.json"
BRANCH_FILE = "controlnet.safetensors"  # of `checkpoints.save_controlnet`
HINT_WIDTHS = (16, 32, 96)  # of its ControlNet's hint encoder: the published ones, but for a VAE that shrinks by 4


class WeightsError(RuntimeError):
    """The weights of the small model are missing or do not fit; the message says which file and what to do."""


@dataclasses.dataclass(frozen=True)
class SmallConfig:
    """Sizes of the small model, its vocabulary, and the mean and standard deviation of its latents by channel."""

    vocabulary: tuple[str, ...]
    latent_mean: tuple[float, ...] = (0.0,) * LATENT_CHANNELS
    latent_deviation: tuple[float, ...] = (1.0,) * LATENT_CHANNELS
    image_size: int = 64
    caption_length: int = 20
    text_width: int = 128
    text_depth: int = 2
    unet_widths: tuple[int, ...] = (64, 96, 128)
    unet_blocks: int = 1
    unet_attention: tuple[bool, ...] = (False, True, True)


def build_small_model(config: SmallConfig) -> LatentDiffusion:
    """Build the parts with random weights.

    Returns
    -------
    LatentDiffusion
        Its decoder undoes the latents' normalisation itself, as KerasCV's decoder undoes 0.18215.
    """
    tokenizer = WordTokenizer(config.vocabulary, config.caption_length)
    side = config.image_size // 4
    mean, deviation = np.array(config.latent_mean, "float32"), np.array(config.latent_deviation, "float32")
    latents = keras.Input((side, side, LATENT_CHANNELS), name="latent")
    restored = keras.layers.Rescaling(deviation.tolist(), mean.tolist(), dtype="float32")(latents)
    return LatentDiffusion(
        unet=build_unet(
            (side, side, LATENT_CHANNELS),
            (config.caption_length, config.text_width),
            widths=config.unet_widths,
            blocks=config.unet_blocks,
            attention=config.unet_attention,
        ),
        text_encoder=build_text_encoder(tokenizer.size, config.caption_length, config.text_width, config.text_depth),
        image_encoder=build_encoder(config.image_size),
        decoder=keras.Model(latents, build_decoder(config.image_size)(restored), name="decoder"),
        tokenizer=tokenizer,
        latent_shift=mean,
        latent_scale=1.0 / deviation,
    )


# Files ----------------------------------------------------------------------------------------------------------------

FILES = {"vae.safetensors": ("image_encoder", "decoder"), "diffusion.safetensors": ("text_encoder", "unet")}


def save_small_model(diffusion: LatentDiffusion, config: SmallConfig, folder: str | Path) -> None:
    """Write the weights as fp16 and the configuration as JSON."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, parts in FILES.items():
        arrays = {
            f"{part}/{i:03d}": np.ascontiguousarray(ops.convert_to_numpy(variable))
            for part in parts
            for i, variable in enumerate(getattr(diffusion, part).weights)
        }
        wrong = [name for name, array in arrays.items() if not (np.abs(array) <= np.finfo("float16").max).all()]
        if wrong:
            raise WeightsError(f"{file} was not written: {wrong[0]} is not finite as fp16")
        save_file({name: array.astype("float16") for name, array in arrays.items()}, folder / file)
    text = json.dumps(dataclasses.asdict(config), indent=1)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def load_small_model(folder: str | Path) -> LatentDiffusion:
    """Load the small pretrained model.

    Parameters
    ----------
    folder : path
        With `small_model.json`, `vae.safetensors` and `diffusion.safetensors`: the course keeps them in
        `assignment/weights`.

    Raises
    ------
    WeightsError
        A file is missing or unreadable, or its arrays do not fit the configuration.
    """
    folder = Path(folder)
    config = _read_config(folder / CONFIG_FILE)
    diffusion = build_small_model(config)
    for file, parts in FILES.items():
        arrays = _read_arrays(folder / file)
        for part in parts:
            _set_weights(getattr(diffusion, part), part, arrays, folder / file)
    return diffusion


def _advice(path: Path) -> str:
    return (
        f"Restore it with `git checkout -- {path.name}` in its folder, or make it anew with "
        "`python -m utils.diffusion.pretrain`."
    )


def _read_config(path: Path) -> SmallConfig:
    if not path.is_file():
        raise WeightsError(f"{path}: not found; expected the small model's configuration. {_advice(path)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return SmallConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not a configuration of the small model ({error}). {_advice(path)}") from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise WeightsError(f"{path}: not found; expected weights of the small model. {_advice(path)}")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}). {_advice(path)}") from error


def _set_weights(model: keras.Model, part: str, arrays: dict[str, np.ndarray], path: Path) -> None:
    names = [f"{part}/{i:03d}" for i in range(len(model.weights))]
    found = [arrays[name].shape if name in arrays else None for name in names]
    expected = [tuple(variable.shape) for variable in model.weights]
    extra = sum(name.startswith(f"{part}/") for name in arrays) - len(names)
    if found != expected or extra:
        wrong = next((i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]), len(names))
        raise WeightsError(
            f"{path}: does not fit {CONFIG_FILE}: {part} has {len(names)} arrays, the file {len(names) + extra}; "
            f"the first that differs is number {wrong}. {_advice(path)}"
        )
    model.set_weights([arrays[name].astype("float32") for name in names])
