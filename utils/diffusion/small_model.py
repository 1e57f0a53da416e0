"""The small pretrained model: its configuration, how it is built, saved as fp16 and loaded.

It has Stable Diffusion's structure and blocks at smaller widths, for pictures of 64 x 64 or 128 x 128. The package
`pretrain` makes its weights.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.sampling import SamplingSettings
from utils.diffusion.text_encoder import build_text_encoder
from utils.diffusion.tokenizers import WordTokenizer
from utils.diffusion.unet import build_unet
from utils.diffusion.vae import build_decoder, build_encoder
from utils.files import replacing, write_text

import keras
import numpy as np
from keras import ops
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

__all__ = [
    "SmallModelConfig",
    "WeightsError",
    "build_small_model",
    "load_small_model",
    "read_config",
    "save_small_model",
    "write_config",
]

CONFIG_FILE = "small_model.json"
# What the size of the pictures decides. Latents have 16 x 16 positions at either size.
SIZES: dict[int, dict[str, Any]] = {
    64: {
        "vae_widths": (32, 64, 128),
        "encoder_blocks": (0, 1, 1),
        "decoder_blocks": (1, 2, 2),
        "latent_channels": 4,
        "hint_widths": (16, 32, 96),
    },
    128: {
        "vae_widths": (32, 32, 64, 128),
        "encoder_blocks": (0, 0, 1, 1),
        "decoder_blocks": (0, 1, 2, 2),
        "latent_channels": 8,
        "hint_widths": (16, 32, 96, 256),
    },
}


class WeightsError(RuntimeError):
    """The weights of the small model are missing or do not fit; the message says which file and what to do."""


@dataclasses.dataclass(frozen=True)
class SmallModelConfig:
    """All that must be known to build the small model and to draw with it; it lies beside the weights as JSON.

    Attributes
    ----------
    vocabulary : tuple of str
        The words of the text encoder.
    image_size : int
        Side of the pictures.
    vae_widths, encoder_blocks, decoder_blocks, latent_channels
        See `vae.py`. Each width but the first halves the side.
    encoder_groups, decoder_groups : int, optional
        Groups of every normalisation in the halves of the VAE; None: four channels a group.
    latent_mean, latent_std : tuple of float
        Of the latents, by channel, over the training pictures; the U-Net's latents are brought to 0 and 1.
    unet_widths, unet_blocks, unet_attention, unet_groups
        See `unet.build_unet`.
    hint_widths : tuple of int
        Of the ControlNet's hint encoder; as many as `vae_widths`.
    caption_length, text_width, text_depth
        See `text_encoder.py`.
    sampling : SamplingSettings
        How pictures are made if nobody asks for something else.
    """

    vocabulary: tuple[str, ...]
    image_size: int
    vae_widths: tuple[int, ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    latent_channels: int
    hint_widths: tuple[int, ...]
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    encoder_groups: int | None = None
    decoder_groups: int | None = None
    unet_widths: tuple[int, ...] = (64, 96, 128)
    unet_blocks: int = 1
    unet_attention: tuple[bool, ...] = (False, True, True)
    unet_groups: int = 8
    caption_length: int = 20
    text_width: int = 128
    text_depth: int = 2
    sampling: SamplingSettings = dataclasses.field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        levels = len(self.vae_widths)
        for name in ("encoder_blocks", "decoder_blocks", "hint_widths"):
            if len(getattr(self, name)) != levels:
                raise ValueError(
                    f"SmallModelConfig: {levels} vae_widths but {len(getattr(self, name))} entries in {name}."
                )
        if self.image_size % 2 ** (levels - 1):
            raise ValueError(f"SmallModelConfig: image_size {self.image_size} cannot be halved {levels - 1} times.")
        for name in ("latent_mean", "latent_std"):
            if len(getattr(self, name)) != self.latent_channels:
                raise ValueError(f"SmallModelConfig: expected {self.latent_channels} numbers in {name}, one a channel.")

    @classmethod
    def for_size(cls, image_size: int = 64, **choices: Any) -> "SmallModelConfig":
        """The configuration for pictures of 64 or 128 pixels; `choices` are the fields that are to be different."""
        if image_size not in SIZES:
            raise ValueError(f"SmallModelConfig: image_size must be one of {tuple(SIZES)}, got {image_size}.")
        choices = {**SIZES[image_size], **choices}
        channels = choices["latent_channels"]
        choices = {"latent_mean": (0.0,) * channels, "latent_std": (1.0,) * channels, **choices}
        return cls(image_size=image_size, **choices)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the latents."""
        side = self.image_size // 2 ** (len(self.vae_widths) - 1)
        return side, side, self.latent_channels

    def build_vae(self) -> tuple[keras.Model, keras.Model]:
        """Build encoder and decoder with random weights; latents are as the encoder makes them, not normalised."""
        sizes: dict[str, Any] = {
            "size": self.image_size,
            "widths": self.vae_widths,
            "latent_channels": self.latent_channels,
        }
        encoder = build_encoder(**sizes, blocks=self.encoder_blocks, groups=self.encoder_groups)
        return encoder, build_decoder(**sizes, blocks=self.decoder_blocks, groups=self.decoder_groups)


def build_small_model(config: SmallModelConfig) -> LatentDiffusion:
    """Build the parts with random weights.

    Returns
    -------
    LatentDiffusion
        Its decoder undoes the latents' normalisation itself, as KerasCV's decoder undoes 0.18215.
    """
    tokenizer = WordTokenizer(config.vocabulary, config.caption_length)
    mean, std = np.array(config.latent_mean, "float32"), np.array(config.latent_std, "float32")
    latents = keras.Input(config.latent_shape, name="latent")
    restored = keras.layers.Rescaling(std.tolist(), mean.tolist(), dtype="float32")(latents)
    encoder, decoder = config.build_vae()
    return LatentDiffusion(
        unet=build_unet(
            config.latent_shape,
            (config.caption_length, config.text_width),
            widths=config.unet_widths,
            blocks=config.unet_blocks,
            attention=config.unet_attention,
            groups=config.unet_groups,
        ),
        text_encoder=build_text_encoder(tokenizer.size, config.caption_length, config.text_width, config.text_depth),
        image_encoder=encoder,
        decoder=keras.Model(latents, decoder(restored), name="decoder"),
        tokenizer=tokenizer,
        latent_shift=mean,
        latent_scale=1.0 / std,
    )


# Files ----------------------------------------------------------------------------------------------------------------

FILES = {"vae.safetensors": ("image_encoder", "decoder"), "diffusion.safetensors": ("text_encoder", "unet")}


def save_small_model(diffusion: LatentDiffusion, config: SmallModelConfig, folder: str | Path) -> None:
    """Write the weights as fp16, by part and position, and the configuration as JSON."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, parts in FILES.items():
        arrays = {
            f"{part}/{i:03d}": np.ascontiguousarray(ops.convert_to_numpy(variable))
            for part in parts
            for i, variable in enumerate(diffusion.part(part).weights)
        }
        wrong = [name for name, array in arrays.items() if not (np.abs(array) <= np.finfo("float16").max).all()]
        if wrong:
            raise WeightsError(f"{file} was not written: {wrong[0]} is not finite as fp16")
        with replacing(folder / file) as new:
            save_file({name: array.astype("float16") for name, array in arrays.items()}, new)
    write_config(config, folder / CONFIG_FILE)


def load_small_model(folder: str | Path) -> tuple[SmallModelConfig, LatentDiffusion]:
    """Load the small pretrained model and its configuration.

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
    config = read_config(folder / CONFIG_FILE)
    diffusion = build_small_model(config)
    for file, parts in FILES.items():
        arrays = _read_arrays(folder / file)
        for part in parts:
            _set_weights(diffusion.part(part), part, arrays, folder / file)
    return config, diffusion


def write_config(config: SmallModelConfig, path: Path) -> None:
    """Write a configuration as JSON."""
    write_text(path, json.dumps(dataclasses.asdict(config), indent=1) + "\n")


def read_config(path: Path) -> SmallModelConfig:
    """Read a configuration; WeightsError where there is none."""
    if not path.is_file():
        raise WeightsError(f"{path}: not found; expected the small model's configuration. {_advice(path)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        if "latent_deviation" in values:  # the name in files of the first edition
            values["latent_std"] = values.pop("latent_deviation")
        if "sampling" in values:
            values["sampling"] = SamplingSettings(**values["sampling"])
        return SmallModelConfig.for_size(**values) if "vae_widths" not in values else SmallModelConfig(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not a configuration of the small model ({error}). {_advice(path)}") from error


def _advice(path: Path) -> str:
    return (
        f"Restore it with `git checkout -- {path.name}` in its folder, or make it anew with "
        "`python -m utils.diffusion.pretrain`."
    )


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
    if wrong_ones := [name for name in names if not np.isfinite(arrays[name]).all()]:
        raise WeightsError(f"{path}: {wrong_ones[0]} holds numbers that are not finite. {_advice(path)}")
    model.set_weights([arrays[name].astype("float32") for name in names])
