"""From noise to latents: DPM-Solver++(2M) in one compiled loop, with guidance and any number of ControlNets.

The sampler is one recurrence. With D the clean latents that the U-Net predicts, extrapolated from the step before,

    x_next = a x + b D,    D = x0 + c (x0 - x0_before),

where the numbers a, b, c of each step depend on the noise schedule alone; c = 0 would be DDIM.

Sources: Song et al. 2021 (arXiv 2010.02502), equation 12 with eta 0; Lu et al. 2022 (arXiv 2211.01095), algorithm 2;
Ho and Salimans 2022 (arXiv 2207.12598) for guidance; Lin et al. 2023 (arXiv 2305.08891) for ending on pure noise.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from utils.diffusion.blocks import JIT_COMPILE
from utils.diffusion.controlnet import add_residuals, build_controlled_unet
from utils.diffusion.latent_diffusion import LatentDiffusion
from utils.diffusion.schedule import TRAIN_STEPS, Tensor, alphas_cumprod, embedding_width, timestep_embedding

import keras
import numpy as np
from keras import ops

__all__ = ["Sampler", "SamplingSettings", "initial_noise", "sampler_table", "sampling_steps"]

Scale = float | Sequence[float] | Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How pictures are made.

    Attributes
    ----------
    steps : int
        How often the U-Net is asked, see `sampling_steps`.
    guidance : float
        1 follows the caption as it is, larger values exaggerate it.
    scale : float or sequence of float
        How strongly control acts: one number, or one for each residual.
    control_on : {"conditional", "both"}
        Whether control acts only on the half of the guidance that sees the caption, or on both halves.
    """

    steps: int = 20
    guidance: float = 3.0
    scale: float | Sequence[float] = 1.0
    control_on: str = "conditional"


def sampling_steps(count: int) -> np.ndarray:
    """Diffusion steps to visit, from 999 down, evenly spaced.

    Returns
    -------
    np.ndarray
        Shape (count,), int64, falling.
    """
    if not 1 <= count <= TRAIN_STEPS:
        raise ValueError(f"sampling: the number of steps must lie in [1, {TRAIN_STEPS}], got {count}.")
    return np.round(np.arange(count, 0, -1) * TRAIN_STEPS / count).astype("int64") - 1


def sampler_table(timesteps: np.ndarray) -> np.ndarray:
    """The numbers of each step.

    Parameters
    ----------
    timesteps : array of int, falling
        The last step leads to the clean latents.

    Returns
    -------
    np.ndarray
        Shape (steps, 5), float32: a, b, c of the recurrence above, then √ᾱ and √(1 − ᾱ) of the step.
    """
    cumulative = alphas_cumprod().astype("float64")[timesteps]
    signal, noise = np.sqrt(cumulative), np.sqrt(1.0 - cumulative)
    next_signal, next_noise = np.append(signal[1:], 1.0), np.append(noise[1:], 0.0)
    a = next_noise / noise
    b = next_signal - a * signal
    c = np.zeros_like(a)
    widths = np.diff(np.log(signal / noise))
    c[1:-1] = 0.5 * widths[1:] / widths[:-1]  # no step before the first, no noise after the last: both of first order
    return np.stack([a, b, c, signal, noise], axis=1).astype("float32")


def initial_noise(seed: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """Normal noise for ``count`` pictures; the noise of picture i depends on the seed and i alone.

    Made by NumPy, so that a seed means the same on every backend and in every batch size.
    """
    noise = [np.random.default_rng([seed, index]).standard_normal(shape, dtype="float32") for index in range(count)]
    return np.stack(noise)


class Sampler(keras.Model):
    """A U-Net, and ControlNets for it, that turn noise into latents in one compiled loop.

    Strengths, windows and guidance are inputs of the compiled loop: changing them compiles nothing again. A new number
    of steps or pictures does.

    Parameters
    ----------
    diffusion : LatentDiffusion
    controlnets : sequence of keras.Model
        Branches from ``build_controlnet``, whose residuals are summed; none samples without control.
    control_on : {"conditional", "both"}
        See `SamplingSettings`. "conditional" runs the branch on half as many examples.
    """

    def __init__(
        self, diffusion: LatentDiffusion, controlnets: Sequence[keras.Model] = (), control_on: str = "conditional"
    ):
        super().__init__(name="sampler", autocast=False)  # its table and steps stay float32 under mixed precision
        if control_on not in ("both", "conditional"):
            raise ValueError(f"Sampler: control_on must be 'both' or 'conditional', got {control_on!r}.")
        self.diffusion = diffusion
        self.controlnets = list(controlnets)
        self.control_on = control_on
        unet = diffusion.part("unet")
        self.unet = build_controlled_unet(unet) if self.controlnets else unet
        self.embedding_width = embedding_width(unet)
        self.compile(jit_compile=JIT_COMPILE)
        self.built = True

    def sample(
        self,
        contexts: np.ndarray,
        hints: Sequence[np.ndarray] | np.ndarray = (),
        *,
        steps: int,
        guidance: float,
        scale: Scale = 1.0,
        window: tuple[float, float] = (0.0, 1.0),
        noise: np.ndarray,
    ) -> np.ndarray:
        """Latents of new pictures; ``LatentDiffusion.decode`` makes pictures of them.

        Parameters
        ----------
        contexts : array
            Shape (pictures, length, width), from ``LatentDiffusion.encode_text``.
        hints : array, or one array for each ControlNet
            Shape (pictures, height, width, 3).
        steps, guidance
            See `SamplingSettings`.
        scale : float or sequence
            One number; or one entry for each ControlNet, each a number or one number for each residual; or, with a
            single ControlNet, one number for each residual.
        window : (start, end)
            Shares of the sampling steps between which control acts; (0, 0.5) is the first half.
        noise : array
            Where to start, from `initial_noise`.

        Returns
        -------
        np.ndarray
            Shape (pictures, height, width, channels), float32.
        """
        contexts = np.asarray(contexts, "float32")
        hints = self._checked_hints(hints, len(contexts))
        start, end = window
        if not 0.0 <= start <= end <= 1.0:
            raise ValueError(f"sampling: window must be 0 <= start <= end <= 1, got {window}.")
        timesteps = sampling_steps(steps)
        share = np.arange(steps) / steps
        active = ((share >= start) & (share < end)).astype("float32")
        inputs = {
            "latent": noise,
            "context": contexts,
            "empty_context": np.broadcast_to(self.diffusion.encode_text(""), contexts.shape),
            "table": sampler_table(timesteps),
            "timesteps": timesteps.astype("float32"),
            "guidance": np.array([guidance], "float32"),
        }
        for index, (hint, scales) in enumerate(zip(hints, self._scales(scale), strict=True)):
            inputs[f"hint_{index}"] = hint
            inputs[f"scale_{index}"] = active[:, None] * scales[None]
        return np.asarray(self.predict_on_batch(inputs), "float32")

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        """Run the loop; see :meth:`sample`, which prepares the inputs."""
        context = ops.concatenate([inputs["empty_context"], inputs["context"]], axis=0)
        table, timesteps = inputs["table"], inputs["timesteps"]

        def step(index: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            latent, before = state
            a, b, c, signal, noise = ops.unstack(ops.take(table, index, axis=0), num=5)
            predicted = self._guided_noise(inputs, latent, ops.take(timesteps, index), context, index)
            clean = (latent - noise * predicted) / signal
            return a * latent + b * (clean + c * (clean - before)), clean

        latent = ops.cast(inputs["latent"], "float32")
        return ops.fori_loop(0, ops.shape(timesteps)[0], step, (latent, ops.zeros_like(latent)))[0]

    def _guided_noise(
        self, inputs: dict[str, Tensor], latent: Tensor, timestep: Tensor, context: Tensor, index: Tensor
    ) -> Tensor:
        count = ops.shape(latent)[0]
        embedding = timestep_embedding(ops.broadcast_to(timestep, (2 * count,)), self.embedding_width)
        doubled = {
            "latent": ops.concatenate([latent, latent], axis=0),
            "timestep_embedding": embedding,
            "context": context,
        }
        controls = self._residuals(inputs, doubled, index)
        doubled.update({f"control_{i}": residual for i, residual in enumerate(controls)})
        empty, conditional = ops.split(ops.cast(self.unet(doubled, training=False), "float32"), 2, axis=0)
        return empty + inputs["guidance"][0] * (conditional - empty)

    def _residuals(self, inputs: dict[str, Tensor], doubled: dict[str, Tensor], index: Tensor) -> list[Tensor]:
        """The scaled sum over the ControlNets, for both halves; zero for the first half if it goes without."""
        if not self.controlnets:
            return []
        seen = doubled
        if self.control_on == "conditional":
            seen = {name: ops.split(value, 2, axis=0)[1] for name, value in doubled.items()}
        several = []
        for number, controlnet in enumerate(self.controlnets):
            hint = inputs[f"hint_{number}"]
            hint = hint if self.control_on == "conditional" else ops.concatenate([hint, hint], axis=0)
            scales = ops.take(inputs[f"scale_{number}"], index, axis=0)
            residuals = controlnet({**seen, "hint": hint}, training=False)
            several.append([r * ops.cast(scales[i], r.dtype) for i, r in enumerate(residuals)])
        total = add_residuals(several)
        if self.control_on == "conditional":
            total = [ops.concatenate([ops.zeros_like(r), r], axis=0) for r in total]
        return total

    def _checked_hints(self, hints: Sequence[np.ndarray] | np.ndarray, count: int) -> list[np.ndarray]:
        hints = [hints] if isinstance(hints, np.ndarray) and hints.ndim == 4 else list(hints)
        if len(hints) != len(self.controlnets):
            raise ValueError(f"sampling: {len(self.controlnets)} ControlNets but {len(hints)} arrays of hints.")
        for hint, controlnet in zip(hints, self.controlnets, strict=True):
            expected = (count, *controlnet.get_layer("hint").output.shape[1:])
            if np.shape(hint) != expected:
                raise ValueError(f"sampling: hints have shape {np.shape(hint)}; expected {expected}.")
        return [np.asarray(hint, "float32") for hint in hints]

    def _scales(self, scale: Scale) -> list[np.ndarray]:
        """How strongly each residual of each ControlNet acts, arrays of shape (residuals,)."""
        counts = [len(controlnet.outputs) for controlnet in self.controlnets]
        several: list[Any]
        if isinstance(scale, (int, float)) or len(counts) == 1:
            several = [scale] * len(counts)
        else:
            several = list(scale)
        if len(several) != len(counts):
            raise ValueError(f"sampling: {len(counts)} ControlNets but {len(several)} control scales.")
        scales = [np.asarray(one, "float32") for one in several]
        for one, count in zip(scales, counts, strict=True):
            if one.shape not in ((), (count,)):
                raise ValueError(f"control scale: expected one number or {count}, got shape {one.shape}.")
        return [np.broadcast_to(one, (count,)) for one, count in zip(scales, counts, strict=True)]
