"""Training a ControlNet: the diffusion loss as one Keras model, and a run that can be killed and goes on.

The trainer keeps Keras's own ``train_step``; only the forward pass and the loss are ours, so it runs on the TensorFlow
and the JAX backend, with mixed precision (set the policy before the networks are built) and with Keras's distribution
API. Everything that a step depends on is a function of the seed and the step, or is kept in the checkpoint.

Sources: Zhang et al. 2023 (arXiv 2302.05543) for ControlNet's training; Hang et al. 2023 (arXiv 2303.09556) for the
Min-SNR weights.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from utils.diffusion import checkpoints
from utils.diffusion.controlnet import build_controlled_unet, read_unet
from utils.diffusion.stable_diffusion import (
    TRAIN_STEPS,
    LatentDiffusion,
    add_noise,
    alphas_cumprod,
    timestep_embedding,
)

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

__all__ = [
    "ControlNetTrainer",
    "TrainingConfig",
    "TrainingDiverged",
    "array_batches",
    "cache_examples",
    "dataset_batches",
    "train",
]


class TrainingDiverged(RuntimeError):
    """The loss or the weights are no longer finite."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Every choice of a training run.

    Attributes
    ----------
    steps : int
        Batches to train on. The weights are updated every ``accumulation`` batches.
    batch_size, accumulation : int
        Their product is the batch that one update sees.
    learning_rate, warmup_updates, weight_decay, clip_norm
        AdamW with a rate that rises linearly over the first updates, and gradients clipped by their global norm.
    cosine_decay : bool
        Let the rate fall to a hundredth by the last step; otherwise it stays.
    decoder_learning_rate : float, optional
        Also train the U-Net's decoder, at this lower rate and without weight decay ("sd_locked = False" in the
        published code, 2e-6 there). It then listens to control better and forgets some of what it knew. None, the
        default, keeps it frozen. Save the U-Net too afterwards.
    ema : float, optional
        Momentum of the moving average of the weights for each *update*; None for none.
    min_snr : float, optional
        Gamma of the Min-SNR weights; None weighs all noise levels alike.
    balance : float
        How far strong noise is lifted, see :func:`loss_weights`. 0 is the published loss.
    prompt_dropout : float
        Share of examples whose caption is replaced by the empty one.
    seed : int
        Of the order of the examples and of all noise.
    save_every, keep : int
        Steps between checkpoints, and how many of them stay.
    preview_every : int
        Steps between preview pictures, a multiple of ``save_every``.
    jit_compile : bool or "auto"
        XLA. The JAX backend needs it; TensorFlow on a CPU is faster without.
    """

    steps: int = 1000
    batch_size: int = 8
    accumulation: int = 2
    learning_rate: float = 1e-5
    decoder_learning_rate: float | None = None
    warmup_updates: int = 100
    cosine_decay: bool = False
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    ema: float | None = 0.9999
    min_snr: float | None = 5.0
    balance: float = 0.0
    prompt_dropout: float = 0.5
    seed: int = 0
    save_every: int = 100
    keep: int = 3
    preview_every: int = 100
    jit_compile: bool | str = "auto"

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulation", "save_every", "keep", "preview_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"TrainingConfig: {name} must be at least 1, got {getattr(self, name)}.")
        for name in ("prompt_dropout", "ema"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"TrainingConfig: {name} must lie in [0, 1], got {value}.")
        if self.preview_every % self.save_every:
            raise ValueError(
                f"TrainingConfig: preview_every ({self.preview_every}) must be a multiple of save_every "
                f"({self.save_every})."
            )


# The model ------------------------------------------------------------------------------------------------------------


class ControlNetTrainer(keras.Model):
    """A frozen U-Net with its trainable branch, and the loss that trains the branch.

    A batch is a dict with ``hint``, float in the range that the branch is for or uint8 for [0, 1], and

    - ``moments`` (from ``LatentDiffusion.encode_images``) or ``photo`` (float in [-1, 1], encoded in every step), and
    - ``context`` (from ``LatentDiffusion.encode_text``) or ``tokens`` (encoded in every step).

    Parameters
    ----------
    diffusion : LatentDiffusion
        Its parts are frozen here (``trainable = False``).
    controlnet : keras.Model
        From ``build_controlnet``; the only part that moves.
    config : TrainingConfig
    remat : bool
        Gradient checkpointing of the U-Net; give ``build_controlnet`` the same.
    """

    def __init__(self, diffusion: LatentDiffusion, controlnet: keras.Model, config: TrainingConfig, remat=False):
        super().__init__(name="controlnet_trainer")
        for part in (diffusion.unet, diffusion.text_encoder, diffusion.image_encoder):
            if part is not None:
                part.trainable = False
        self.controlnet = controlnet
        self.unet = build_controlled_unet(diffusion.unet, remat=remat)
        self.unet.trainable = False
        self.decoder_variables = _unlock_decoder(diffusion.unet) if config.decoder_learning_rate else []
        self.text_encoder = diffusion.text_encoder
        self.image_encoder = diffusion.image_encoder
        self.config = config
        self.noise_seed = keras.random.SeedGenerator(config.seed)
        self._draw_latents = diffusion.draw_latents
        self._empty_context = _empty_context(diffusion) if config.prompt_dropout else None
        self._embedding_width = diffusion.unet.get_layer("timestep_embedding").output.shape[-1]
        optimizer = make_optimizer(config, self.decoder_variables)
        self.compile(optimizer=optimizer, jit_compile=_jit_choice(config.jit_compile))
        self.optimizer.build(self.trainable_variables)
        self.built = True

    def call(self, batch, training=False):
        """Noise, predicted noise and steps for a batch, drawn anew at every call."""
        latents = self._draw_latents(self._moments(batch), seed=self.noise_seed)
        count = ops.shape(latents)[0]
        noise = keras.random.normal(ops.shape(latents), seed=self.noise_seed)
        timesteps = spread_timesteps(keras.random.uniform((1,), seed=self.noise_seed), count)
        inputs = {
            "latent": add_noise(latents, noise, timesteps),
            "timestep_embedding": timestep_embedding(timesteps, self._embedding_width),
            "context": self._context(batch, count),
        }
        residuals = self.controlnet({**inputs, "hint": _hint_range(batch["hint"])}, training=training)
        controls = {f"control_{index}": residual for index, residual in enumerate(residuals)}
        return {"noise": noise, "prediction": self.unet({**inputs, **controls}), "timesteps": timesteps}

    def _moments(self, batch):
        return batch["moments"] if "moments" in batch else ops.stop_gradient(self.image_encoder(batch["photo"]))

    def _context(self, batch, count):
        if "context" in batch:
            context = batch["context"]
        else:
            tokens = batch["tokens"]
            positions = ops.broadcast_to(ops.arange(tokens.shape[1], dtype="int32"), ops.shape(tokens))
            context = ops.stop_gradient(self.text_encoder({"tokens": tokens, "positions": positions}))
        if not self.config.prompt_dropout:
            return context
        dropped = keras.random.uniform((count, 1, 1), seed=self.noise_seed) < self.config.prompt_dropout
        return ops.where(dropped, ops.cast(self._empty_context, context.dtype), context)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Squared error of the predicted noise, weighted by noise level."""
        error = ops.cast(y_pred["noise"], "float32") - ops.cast(y_pred["prediction"], "float32")
        each = ops.mean(ops.square(error), axis=(1, 2, 3))
        weights = ops.convert_to_tensor(loss_weights(self.config.min_snr, self.config.balance))
        return ops.mean(each * ops.take(weights, y_pred["timesteps"]))

    def use_averages(self) -> None:
        """Put the averaged weights into what is trained, if the configuration asks for an average."""
        if self.config.ema is not None:
            self.optimizer.finalize_variable_values(self.trainable_variables)

    def with_averages(self, function: Callable):
        """Call ``function()`` while the averaged weights are in the branch; return what it returns."""
        present = [np.array(ops.convert_to_numpy(variable)) for variable in self.trainable_variables]
        try:
            self.use_averages()
            return function()
        finally:
            for variable, value in zip(self.trainable_variables, present, strict=True):
                variable.assign(value)


def _unlock_decoder(unet: keras.Model) -> list:
    """Make the layers of the U-Net's decoder trainable again; return their variables."""
    decoder = read_unet(unet).decoder
    for layer in decoder:
        layer.trainable = True
    return [variable for layer in decoder for variable in layer.trainable_variables]


def make_optimizer(config: TrainingConfig, decoder_variables: Sequence = ()) -> keras.optimizers.Optimizer:
    """AdamW with warm-up, accumulation, a global clip and an average of the weights, as the configuration says.

    The decoder's variables, if there are any, get an AdamW of their own with their own rate.
    """
    branch = _adamw(config, config.learning_rate, config.weight_decay)
    if not decoder_variables:
        return branch
    decoder = _adamw(config, config.decoder_learning_rate, weight_decay=0.0)
    paths = {variable.path: decoder for variable in decoder_variables}
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(branch, paths))


def _adamw(config, rate, weight_decay):
    first = rate / (config.warmup_updates + 1)
    batches = config.warmup_updates * config.accumulation  # Keras's schedules count batches, not updates
    if config.cosine_decay:
        rest = max(config.steps - batches, 1)
        rate = keras.optimizers.schedules.CosineDecay(first, rest, alpha=0.01, warmup_target=rate, warmup_steps=batches)
    elif config.warmup_updates:
        rate = keras.optimizers.schedules.PolynomialDecay(first, batches, rate)
    return keras.optimizers.AdamW(
        rate,
        weight_decay=weight_decay,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulation if config.accumulation > 1 else None,
        use_ema=config.ema is not None,
        # Keras moves the average at every batch, also while gradients only accumulate. The root makes `accumulation`
        # moves towards the same weights equal to one move with the momentum asked for.
        ema_momentum=(config.ema or 0.0) ** (1.0 / config.accumulation),
    )


def loss_weights(min_snr: float | None, balance: float = 0.0) -> np.ndarray:
    """Weight of the error at each step for a U-Net that predicts noise.

    Min-SNR: min(SNR, gamma) / SNR, so that weak noise, which is only fine grain, does not outweigh the rest (Hang et
    al. 2023, section 3.4). Times (1 + 1 / SNR) ** balance: strong noise is easy to recognise, so its error is small and
    teaches little, though it decides shape and colour. With 1, and without Min-SNR, the loss is the error of
    Salimans and Ho's v (2022, arXiv 2202.00512, section 4). With Min-SNR 5 and 0.5, weight times error of the course's
    small model lies between 0.05 and 0.20 at all steps from 50 on (things never seen); with 0 it falls from 0.18 at
    step 200 to 0.003 at step 999. Karras et al. learn weights that make all levels contribute alike (2024, arXiv
    2312.02696, section 2.2).

    Parameters
    ----------
    min_snr : float, optional
        Gamma; None leaves Min-SNR out.
    balance : float
        The exponent; 0 leaves that factor out.

    Returns
    -------
    np.ndarray
        Shape (1000,), float32, positive.
    """
    signal = alphas_cumprod().astype("float64")
    ratio = signal / (1.0 - signal)
    weights = 1.0 if min_snr is None else np.minimum(ratio, min_snr) / ratio
    return (weights * (1.0 + 1.0 / ratio) ** balance).astype("float32")


def spread_timesteps(offset, count: int):
    """Steps that cover [0, 1000) evenly, shifted together at random: less noise in the loss than independent draws.

    Source: Kingma et al. 2021 (arXiv 2107.00630), appendix I.1.

    Parameters
    ----------
    offset : tensor of shape (1,), in [0, 1)
    count : int
        How many.

    Returns
    -------
    tensor
        Shape (count,), int32; each is uniform, all together are a comb.
    """
    positions = ops.arange(count, dtype="float32") / ops.cast(count, "float32") + offset
    return ops.minimum(ops.cast(positions % 1.0 * TRAIN_STEPS, "int32"), TRAIN_STEPS - 1)


def _empty_context(diffusion):
    if diffusion.text_encoder is None or diffusion.tokenizer is None:
        raise ValueError("ControlNetTrainer: prompt dropout needs the text encoder and the tokenizer of the model.")
    return diffusion.encode_text("")


def _hint_range(hint):
    return ops.cast(hint, "float32") / 255.0 if keras.backend.standardize_dtype(hint.dtype) == "uint8" else hint


def _jit_choice(choice):
    if choice == "auto":
        return keras.backend.backend() == "jax"
    return choice


# The data -------------------------------------------------------------------------------------------------------------


def cache_examples(
    diffusion: LatentDiffusion, photos: np.ndarray, hints: np.ndarray, captions: Sequence[str]
) -> dict[str, np.ndarray]:
    """Encode photos and captions once, so that no training step does it again.

    Parameters
    ----------
    photos : array
        Shape (examples, height, width, 3), float in [-1, 1].
    hints : array
        Shape (examples, height, width, 3), float in the range that the branch is for, or uint8 for [0, 1].
    captions : sequence of str

    Returns
    -------
    dict
        ``moments``, ``context`` and ``hint``, arrays of equal length, for :func:`train`.
    """
    if not len(photos) == len(hints) == len(captions):
        raise ValueError(
            f"cache_examples: {len(photos)} photos, {len(hints)} hints and {len(captions)} captions; "
            "expected as many of each, in the same order."
        )
    unique = sorted(set(captions))
    contexts = dict(zip(unique, diffusion.encode_text(unique), strict=True))
    return {
        "moments": diffusion.encode_images(photos),
        "context": np.stack([contexts[caption] for caption in captions]),
        "hint": hints,
    }


def array_batches(examples: dict[str, np.ndarray], batch_size: int, seed: int, start: int = 0) -> Iterator[dict]:
    """Endless batches in an order that depends on ``seed`` alone, from batch number ``start`` on.

    Every epoch is a new permutation; the examples of an incomplete last batch wait for the next epoch's order.
    """
    sizes = {name: len(array) for name, array in examples.items()}
    count = min(sizes.values())
    if len(set(sizes.values())) != 1 or count < batch_size:
        raise ValueError(f"array_batches: expected arrays of one length, at least {batch_size}; found {sizes}.")
    per_epoch = count // batch_size
    epoch, position = divmod(start, per_epoch)
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(count)
        for index in range(position, per_epoch):
            chosen = order[index * batch_size : (index + 1) * batch_size]
            yield {name: array[chosen] for name, array in examples.items()}
        epoch, position = epoch + 1, 0


def dataset_batches(dataset, tokenizer: Callable) -> Callable[[int], Iterator[dict]]:
    """Batches for :func:`train` straight from files, encoded in every step.

    Slower than cached examples, but every epoch is augmented anew. A run that goes on reads its way to where it was.

    Parameters
    ----------
    dataset : tf.data.Dataset
        From ``pairs.make_dataset``: batches with ``photo``, ``hint`` and ``caption``.
    tokenizer : function
        From captions to tokens.
    """

    def batches(start):
        for batch in dataset.repeat().skip(start).as_numpy_iterator():
            captions = [caption.decode() for caption in batch["caption"]]
            yield {"photo": batch["photo"], "hint": batch["hint"], "tokens": tokenizer(captions)}

    return batches


# The run --------------------------------------------------------------------------------------------------------------


def train(
    trainer: ControlNetTrainer,
    data: dict[str, np.ndarray] | Callable[[int], Iterator[dict]],
    folder: str | pathlib.Path | None = None,
    preview: Callable[[], np.ndarray] | None = None,
    progress: bool = True,
) -> dict[str, list]:
    """Train the branch for ``trainer.config.steps`` steps, from the last checkpoint in ``folder`` if there is one.

    Afterwards the branch holds the moving average of its weights, if the configuration asks for one.

    Parameters
    ----------
    data : dict of arrays, or function
        From :func:`cache_examples`; or a function that takes the number of the first step and returns an iterator of
        batches from there on.
    folder : path, optional
        Where the checkpoints are. None keeps none.
    preview : function, optional
        Called with the averaged weights in the branch; what it returns, pictures from a fixed seed say, is recorded.
    progress : bool
        Show a bar with steps, rate and time left.

    Returns
    -------
    dict of lists
        ``step`` and ``loss`` (mean since the entry before), of earlier runs too; ``seconds`` since this run began (NaN
        for earlier runs); ``preview``, pairs (step, result) of this run.

    Raises
    ------
    TrainingDiverged
        A loss or a weight is not finite. Nothing is saved after the last good checkpoint.
    checkpoints.CheckpointError
        A checkpoint cannot be written (a full disk) or does not belong to this trainer.
    """
    config = trainer.config
    history = {"step": [], "loss": [], "seconds": [], "preview": []}
    start = 0
    if folder is not None:
        start, history["step"], history["loss"] = checkpoints.restore_training(folder, trainer)
        history["seconds"] = [float("nan")] * len(history["step"])
    if start >= config.steps:
        trainer.use_averages()
        return history
    batches = data(start) if callable(data) else array_batches(data, config.batch_size, config.seed, start)
    recorder = _Recorder(config, start, history, folder, preview, progress)
    trainer.fit(
        ((batch,) for batch in batches),
        steps_per_epoch=config.steps - start,
        callbacks=[recorder],
        verbose=0,
        shuffle=False,
    )
    return history


class _Recorder(keras.callbacks.Callback):
    """Counts steps over all runs; records, checks, saves and previews every ``save_every`` of them."""

    def __init__(self, config, start, history, folder, preview, progress):
        super().__init__()
        self.config, self.step, self.history, self.folder, self.preview = config, start, history, folder, preview
        self.start = self.window_start = start
        self.loss_sum = 0.0
        self.began = time.perf_counter()
        self.bar = tqdm(total=config.steps, initial=start, unit="step", file=sys.stdout, disable=not progress)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        mean = float(logs["loss"])  # Keras's mean over this run
        if not np.isfinite(mean):
            self._stop(f"the loss became {mean} at step {self.step}")
        self.bar.update(1)
        if self.step % self.config.save_every == 0 or self.step == self.config.steps:
            self._record(mean)

    def on_train_end(self, logs=None):
        self.bar.close()

    def _record(self, mean):
        total = mean * (self.step - self.start)
        loss = (total - self.loss_sum) / (self.step - self.window_start)
        self.loss_sum, self.window_start = total, self.step
        for name, value in (("step", self.step), ("loss", loss), ("seconds", time.perf_counter() - self.began)):
            self.history[name].append(value)
        self.bar.set_postfix(loss=f"{loss:.4f}")
        trainer = self.model  # on JAX this brings the variables up to date
        if not all(np.isfinite(ops.convert_to_numpy(v)).all() for v in trainer.trainable_variables):
            self._stop(f"a weight of the branch is no longer finite after step {self.step}")
        if self.folder is not None:
            checkpoints.save_training(self.folder, trainer, self.step, self.history, keep=self.config.keep)
        if self.preview is not None and self.step % self.config.preview_every == 0:
            self.history["preview"].append((self.step, trainer.with_averages(self.preview)))

    def _stop(self, what):
        self.bar.close()
        last = None if self.folder is None else checkpoints.last_checkpoint(self.folder)
        kept = f"The last good checkpoint is {last}." if last else "No checkpoint was written yet."
        raise TrainingDiverged(
            f"Training stopped: {what}. {kept} Lower the learning rate, lengthen the warm-up or look at the data."
        )
