"""From noise to pictures: DDIM and DPM-Solver++(2M) in one compiled loop, with guidance and any number of ControlNets.

Both samplers are one recurrence. With D the clean latents that the U-Net predicts, extrapolated from the step before,

    x_next = a x + b D,    D = x0 + c (x0 - x0_before),

where the numbers a, b, c of each step depend on the noise schedule alone, and c = 0 gives DDIM.

Sources: Song et al. 2021 (arXiv 2010.02502), equation 12 with eta 0; Lu et al. 2022 (arXiv 2211.01095), algorithm 2;
Ho and Salimans 2022 (arXiv 2207.12598) for guidance; Lin et al. 2023 (arXiv 2305.08891) for ending on pure noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from utils.diffusion.controlnet import add_residuals, block_scales, build_controlled_unet
from utils.diffusion.stable_diffusion import TRAIN_STEPS, LatentDiffusion, alphas_cumprod, timestep_embedding

import keras
import numpy as np
from keras import ops

__all__ = ["METHODS", "Sampler", "initial_noise", "sampler_table", "sampling_steps"]

METHODS = ("ddim", "dpm++")


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


def sampler_table(method: str, timesteps: np.ndarray) -> np.ndarray:
    """The numbers of each step.

    Parameters
    ----------
    method : {"ddim", "dpm++"}
    timesteps : array of int, falling
        The last step leads to the clean latents.

    Returns
    -------
    np.ndarray
        Shape (steps, 5), float32: a, b, c of the recurrence above, then √ᾱ and √(1 − ᾱ) of the step.
    """
    if method not in METHODS:
        raise ValueError(f"sampling: method must be one of {METHODS}, got {method!r}.")
    cumulative = alphas_cumprod().astype("float64")[timesteps]
    signal, noise = np.sqrt(cumulative), np.sqrt(1.0 - cumulative)
    next_signal, next_noise = np.append(signal[1:], 1.0), np.append(noise[1:], 0.0)
    a = next_noise / noise
    b = next_signal - a * signal
    c = np.zeros_like(a)
    if method == "dpm++":  # the first step has no step before it, the last goes to no noise at all: both first order
        log_ratio = np.log(signal / noise)
        widths = np.diff(log_ratio)
        c[1:-1] = 0.5 * widths[1:] / widths[:-1]
    return np.stack([a, b, c, signal, noise], axis=1).astype("float32")


def initial_noise(seed: int, count: int, shape: Sequence[int]) -> np.ndarray:
    """Normal noise for ``count`` pictures; the noise of picture i depends on the seed and i alone.

    Made by NumPy, so that a seed means the same on every backend and in every batch size.
    """
    noise = [np.random.default_rng([seed, index]).standard_normal(shape, dtype="float32") for index in range(count)]
    return np.stack(noise)


class Sampler(keras.Model):
    """A U-Net, and ControlNets for it, that turn noise into latents in one compiled loop.

    Strengths, windows, guidance and method are inputs of the compiled loop: changing them compiles nothing again. A
    new number of steps or pictures does.

    Parameters
    ----------
    diffusion : LatentDiffusion
    controlnets : sequence of keras.Model
        Branches from ``build_controlnet``, whose residuals are summed; none samples without control.
    control_on : {"both", "conditional"}
        Whether control acts on both halves of the guidance or only on the one that sees the caption. The second runs
        the branch on half as many examples.
    jit_compile : bool or "auto"
        XLA. The JAX backend needs it.
    """

    def __init__(self, diffusion: LatentDiffusion, controlnets=(), control_on="both", jit_compile="auto"):
        super().__init__(name="sampler", autocast=False)  # its table and steps stay float32 under mixed precision
        if control_on not in ("both", "conditional"):
            raise ValueError(f"Sampler: control_on must be 'both' or 'conditional', got {control_on!r}.")
        self.diffusion = diffusion
        self.controlnets = list(controlnets)
        self.control_on = control_on
        self.unet = build_controlled_unet(diffusion.unet) if self.controlnets else diffusion.unet
        self.latent_shape = tuple(diffusion.unet.get_layer("latent").output.shape[1:])
        self.embedding_width = diffusion.unet.get_layer("timestep_embedding").output.shape[-1]
        jit_compile = keras.backend.backend() == "jax" if jit_compile == "auto" else jit_compile
        self.compile(jit_compile=jit_compile)
        self.built = True

    def sample(
        self,
        contexts: np.ndarray,
        hints: Sequence[np.ndarray] | np.ndarray = (),
        *,
        steps: int = 20,
        method: str = "dpm++",
        guidance: float = 7.5,
        control_scale=1.0,
        control_window: tuple[float, float] = (0.0, 1.0),
        guess_mode: bool = False,
        seed: int = 0,
        noise: np.ndarray | None = None,
        empty_context: np.ndarray | None = None,
    ) -> np.ndarray:
        """Latents of new pictures; ``LatentDiffusion.decode`` makes photos of them.

        Parameters
        ----------
        contexts : array
            Shape (pictures, length, width), from ``LatentDiffusion.encode_text``.
        hints : array, or one array for each ControlNet
            Shape (pictures, height, width, 3).
        steps, method
            See :func:`sampling_steps` and :func:`sampler_table`.
        guidance : float
            1 follows the caption as it is, larger values exaggerate it.
        control_scale : float or sequence
            One number; or one entry for each ControlNet, each a number or one number for each residual; or, with a
            single ControlNet, one number for each residual.
        control_window : (start, end)
            Shares of the sampling steps between which control acts; (0, 0.5) is the first half.
        guess_mode : bool
            Let shallow residuals act less. Use it with ``control_on="conditional"`` and empty captions.
        seed, noise
            The noise to start from, or the seed to draw it with.
        empty_context : array, optional
            What guidance leads away from, of shape (1, length, width); by default that of the empty caption.

        Returns
        -------
        np.ndarray
            Shape (pictures, height, width, channels), float32.
        """
        contexts = np.asarray(contexts, "float32")
        hints = self._checked_hints(hints, len(contexts))
        start, end = control_window
        if not 0.0 <= start <= end <= 1.0:
            raise ValueError(f"sampling: control_window must be 0 <= start <= end <= 1, got {control_window}.")
        timesteps = sampling_steps(steps)
        share = np.arange(steps) / steps
        active = ((share >= start) & (share < end)).astype("float32")
        if empty_context is None:
            empty_context = self.diffusion.encode_text("")
        inputs = {
            "latent": initial_noise(seed, len(contexts), self.latent_shape) if noise is None else noise,
            "context": contexts,
            "empty_context": np.broadcast_to(np.asarray(empty_context, "float32"), contexts.shape),
            "table": sampler_table(method, timesteps),
            "timesteps": timesteps.astype("float32"),
            "guidance": np.array([guidance], "float32"),
        }
        for index, (hint, scale) in enumerate(zip(hints, self._scales(control_scale, guess_mode), strict=True)):
            inputs[f"hint_{index}"] = hint
            inputs[f"scale_{index}"] = active[:, None] * scale[None]
        return np.asarray(self.predict_on_batch(inputs), "float32")

    def call(self, inputs):
        """Run the loop; see :meth:`sample`, which prepares the inputs."""
        context = ops.concatenate([inputs["empty_context"], inputs["context"]], axis=0)
        table, timesteps = inputs["table"], inputs["timesteps"]

        def step(index, state):
            latent, before = state
            a, b, c, signal, noise = ops.unstack(ops.take(table, index, axis=0), num=5)
            predicted = self._guided_noise(inputs, latent, ops.take(timesteps, index), context, index)
            clean = (latent - noise * predicted) / signal
            return a * latent + b * (clean + c * (clean - before)), clean

        latent = ops.cast(inputs["latent"], "float32")
        return ops.fori_loop(0, timesteps.shape[0], step, (latent, ops.zeros_like(latent)))[0]

    def _guided_noise(self, inputs, latent, timestep, context, index):
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

    def _residuals(self, inputs, doubled, index):
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

    def _checked_hints(self, hints, count):
        hints = [hints] if isinstance(hints, np.ndarray) and hints.ndim == 4 else list(hints)
        if len(hints) != len(self.controlnets):
            raise ValueError(f"sampling: {len(self.controlnets)} ControlNets but {len(hints)} arrays of hints.")
        for hint, controlnet in zip(hints, self.controlnets, strict=True):
            expected = (count, *controlnet.get_layer("hint").output.shape[1:])
            if np.shape(hint) != expected:
                raise ValueError(f"sampling: hints have shape {np.shape(hint)}; expected {expected}.")
        return [np.asarray(hint, "float32") for hint in hints]

    def _scales(self, control_scale, guess_mode):
        counts = [len(controlnet.outputs) for controlnet in self.controlnets]
        if np.ndim(control_scale) == 0 or len(counts) == 1:
            control_scale = [control_scale] * len(counts)
        if len(control_scale) != len(counts):
            raise ValueError(f"sampling: {len(counts)} ControlNets but {len(control_scale)} control scales.")
        return [block_scales(n, scale, guess_mode) for n, scale in zip(counts, control_scale, strict=True)]
