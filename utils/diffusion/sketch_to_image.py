"""The model for users: captions and sketches in, pictures out.

`SketchToImage` wraps a latent diffusion model, a ControlNet and their settings, as keras-hub's tasks wrap a backbone
and its preprocessing, so that whoever draws a picture touches neither tokens nor ranges, latents or samplers.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from utils.diffusion.controlnet import HINT_WIDTHS, build_controlnet
from utils.diffusion.controlnet_weights import load_controlnet, save_controlnet
from utils.diffusion.images import to_hints
from utils.diffusion.latent_diffusion import LatentDiffusion, load_stable_diffusion
from utils.diffusion.sampling import Sampler, SamplingSettings, Scale, initial_noise
from utils.diffusion.small_model import SmallModelConfig, load_small_model, save_small_model

import keras
import numpy as np

__all__ = ["SketchToImage"]

CONTROLNET_FILE = "controlnet.safetensors"
AT_ONCE = 16  # pictures that are drawn in one call: a loop is compiled for each number


class SketchToImage:
    """A text-to-image model that obeys sketches.

    Parameters
    ----------
    diffusion : LatentDiffusion
    controlnet : keras.Model, optional
        From `controlnet.build_controlnet` for its U-Net. Without one only captions count.
    settings : SamplingSettings
        How pictures are made where `generate` is not told otherwise.
    hint_range : (float, float)
        What the branch reads for paper and for lines.
    at_once : int
        Pictures that are drawn in one call; fewer need less memory.
    config : SmallModelConfig, optional
        Of a small model, to save it.
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        controlnet: keras.Model | None,
        settings: SamplingSettings,
        hint_range: tuple[float, float] = (0.0, 1.0),
        at_once: int = AT_ONCE,
        config: SmallModelConfig | None = None,
    ):
        self.diffusion, self.controlnet, self.settings = diffusion, controlnet, settings
        self.hint_range, self.at_once, self.config = hint_range, at_once, config
        self._samplers: dict[str, Sampler] = {}

    @classmethod
    def load(cls, folder: str | Path) -> "SketchToImage":
        """Load a small model from a folder that carries its own configuration, such as `assignment/weights`.

        Raises
        ------
        small_model.WeightsError, checkpoints.CheckpointError
            A file is missing, unreadable, or does not fit.
        """
        config, diffusion = load_small_model(folder)
        controlnet = build_controlnet(diffusion.part("unet"), config.hint_widths)
        load_controlnet(controlnet, Path(folder) / CONTROLNET_FILE)
        return cls(diffusion, controlnet, config.sampling, config=config)

    @classmethod
    def stable_diffusion(cls, controlnet_file: str | Path, image_size: int = 512) -> "SketchToImage":
        """Stable Diffusion 1.4 with a public ControlNet, diffusers' ``diffusion_pytorch_model.safetensors``.

        `latent_diffusion.load_stable_diffusion` says what it downloads.
        """
        diffusion = load_stable_diffusion(image_size)
        controlnet = build_controlnet(diffusion.part("unet"), HINT_WIDTHS)
        load_controlnet(controlnet, controlnet_file)
        return cls(diffusion, controlnet, SamplingSettings(guidance=7.5), at_once=4)

    def save(self, folder: str | Path) -> None:
        """Write a small model so that `load` reads it: weights as fp16, and the configuration."""
        if self.config is None or self.controlnet is None:
            raise ValueError("SketchToImage.save: only a small model with a branch and its configuration can be saved.")
        save_small_model(self.diffusion, self.config, folder)
        save_controlnet(self.controlnet, Path(folder) / CONTROLNET_FILE, dtype="float16")

    def untrained(self) -> "SketchToImage":
        """The same model with a fresh branch, which does nothing yet. The frozen parts are shared."""
        controlnet = build_controlnet(self.diffusion.part("unet"), self.hint_widths)
        return SketchToImage(self.diffusion, controlnet, self.settings, self.hint_range, self.at_once, self.config)

    def with_settings(self, steps: int, guidance: float) -> "SketchToImage":
        """The same model with other settings; everything else is shared."""
        settings = dataclasses.replace(self.settings, steps=steps, guidance=guidance)
        return SketchToImage(self.diffusion, self.controlnet, settings, self.hint_range, self.at_once, self.config)

    @property
    def hint_widths(self) -> tuple[int, ...]:
        """Channels of the hint encoder."""
        return HINT_WIDTHS if self.config is None else self.config.hint_widths

    @property
    def image_size(self) -> int:
        """Side of the pictures and sketches in pixels."""
        return int(self.diffusion.part("decoder").output_shape[1])

    def generate(
        self,
        captions: str | Sequence[str],
        sketches: np.ndarray | None = None,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        scale: Scale | None = None,
        window: tuple[float, float] = (0.0, 1.0),
        control_on: str | None = None,
        seed: int = 0,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw one picture for each caption.

        Parameters
        ----------
        captions : str or sequence of str
        sketches : array, optional
            uint8, shape (pictures, size, size, 3), dark lines on white; without them only the captions count.
        steps, guidance, scale, control_on
            See `SamplingSettings`; None takes the model's own.
        window : (start, end)
            Shares of the sampling steps between which control acts; (0, 0.5) is the first half.
        seed : int
            Of the noise to start from: that of picture i depends on the seed and i alone.
        noise : array, optional
            The noise itself, shape (pictures, height, width, channels) of the latents.

        Returns
        -------
        np.ndarray
            uint8, shape (pictures, size, size, 3).
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        hints = None if sketches is None else to_hints(self._checked(sketches, len(captions)), self.hint_range)
        if noise is None:
            noise = initial_noise(seed, len(captions), self.diffusion.latent_shape)
        sampler = self._sampler("none" if hints is None else control_on or self.settings.control_on)
        draw = functools.partial(
            sampler.sample,
            steps=self.settings.steps if steps is None else steps,
            guidance=self.settings.guidance if guidance is None else guidance,
            scale=self.settings.scale if scale is None else scale,
            window=window,
        )
        contexts = self.diffusion.encode_text(captions)
        portion = min(self.at_once, len(captions))
        latents = []
        for start in range(0, len(captions), portion):
            rows = np.minimum(np.arange(start, start + portion), len(captions) - 1)  # the last portion is full, too
            given = () if hints is None else hints[rows]
            latents.append(draw(contexts[rows], given, noise=noise[rows]))
        return self.diffusion.decode(np.concatenate(latents)[: len(captions)])

    def _checked(self, sketches: np.ndarray, count: int) -> np.ndarray:
        if self.controlnet is None:
            raise ValueError("generate: this model has no branch that could read sketches; leave them out.")
        expected = (count, self.image_size, self.image_size, 3)
        if sketches.dtype != np.uint8 or sketches.shape != expected:
            raise ValueError(
                f"generate: sketches are {sketches.dtype} {sketches.shape}; expected uint8 {expected}, dark lines on "
                "white, one for each caption."
            )
        return sketches

    def _sampler(self, kind: str) -> Sampler:
        if kind not in self._samplers:
            branches = [] if kind == "none" else [self.controlnet]
            self._samplers[kind] = Sampler(self.diffusion, branches, "conditional" if kind == "none" else kind)
        return self._samplers[kind]
