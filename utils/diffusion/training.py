"""The one training loop: every choice of a run, its optimizer, and a run that can be killed and goes on.

It trains any compiled Keras model of `trainers.py`. It keeps Keras's own ``fit`` and ``train_step``, so it runs on the
TensorFlow and the JAX backend, with mixed precision (set the policy before the networks are built) and with Keras's
distribution API, on one host or several (`hosts.py`). Everything that a step depends on is a function of the seed and
the step, or is in the checkpoint.
"""

import dataclasses
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.diffusion import checkpoints, hosts
from utils.diffusion.blocks import JIT_COMPILE
from utils.diffusion.checkpoints import History

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

__all__ = [
    "Batches",
    "TrainingConfig",
    "TrainingDiverged",
    "make_optimizer",
    "prepare",
    "train",
    "weights_hash",
    "with_averages",
]

# Takes the number of the first step and returns the batches from there on, without an end. An attribute `fingerprint`
# (str) of the function tells data apart: a run goes on only with its own.
Batches = Callable[[int], Iterator[dict[str, np.ndarray]]]


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
    learning_rate, warmup_updates, weight_decay
        AdamW with a rate that rises linearly over the first updates. Gradients are clipped by their global norm.
    cosine_decay : bool
        Let the rate fall to a hundredth by the last step; otherwise it stays.
    ema : float, optional
        Momentum of the moving average of the weights for each *update*; None for none.
    min_snr : float, optional
        Gamma of the Min-SNR weights; None weighs all noise levels alike.
    balance : float
        How far strong noise is lifted, see `schedule.loss_weights`. 0 is the published loss.
    prompt_dropout : float
        Share of examples whose caption is replaced by the empty one.
    seed : int
        Of the order of the examples and of all noise.
    save_every : int
        Steps between checkpoints.
    preview_every : int
        Steps between previews, a multiple of ``save_every``.
    jit_compile : bool
        XLA. The JAX backend needs it; TensorFlow on a CPU is faster without.
    """

    steps: int = 1000
    batch_size: int = 8
    accumulation: int = 2
    learning_rate: float = 1e-5
    warmup_updates: int = 100
    cosine_decay: bool = False
    weight_decay: float = 1e-2
    ema: float | None = 0.9999
    min_snr: float | None = 5.0
    balance: float = 0.0
    prompt_dropout: float = 0.5
    seed: int = 0
    save_every: int = 100
    preview_every: int = 100
    jit_compile: bool = JIT_COMPILE

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "save_every", "preview_every"):
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


# The optimizer --------------------------------------------------------------------------------------------------------

CLIP_NORM = 1.0


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """AdamW with warm-up, accumulation, a global clip and an average of the weights, as the configuration says."""
    rate: Any = config.learning_rate
    first = rate / (config.warmup_updates + 1)
    batches = config.warmup_updates * config.accumulation  # Keras's schedules count batches, not updates
    if config.cosine_decay:
        rest = max(config.steps - batches, 1)
        rate = keras.optimizers.schedules.CosineDecay(first, rest, alpha=0.01, warmup_target=rate, warmup_steps=batches)
    elif config.warmup_updates:
        rate = keras.optimizers.schedules.PolynomialDecay(first, batches, rate)
    return keras.optimizers.AdamW(
        rate,
        weight_decay=config.weight_decay,
        global_clipnorm=CLIP_NORM,
        gradient_accumulation_steps=config.accumulation if config.accumulation > 1 else None,
        use_ema=config.ema is not None,
        # Keras moves the average at every batch, also while gradients only accumulate. The root makes `accumulation`
        # moves towards the same weights equal to one move with the momentum asked for.
        ema_momentum=(config.ema or 0.0) ** (1.0 / config.accumulation),
    )


def prepare(trainer: keras.Model, config: TrainingConfig) -> None:
    """Compile a trainer whose weights exist, and build its optimizer, so that a checkpoint fits."""
    trainer.config = config
    trainer.noise_seed = keras.random.SeedGenerator(config.seed)
    trainer.compile(optimizer=make_optimizer(config), jit_compile=config.jit_compile)
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.built = True


def use_averages(trainer: keras.Model) -> None:
    """Put the averaged weights into what is trained, if the configuration asks for an average."""
    if trainer.config.ema is not None:
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)


def with_averages(trainer: keras.Model, function: Callable[[], Any]) -> Any:
    """Call ``function()`` while the averaged weights are in what is trained; return what it returns.

    Weights and averages change places one by one, so that no third copy of them is held.
    `keras.callbacks.SwapEMAWeights` does not fit: it swaps only around epochs and validation, and on TensorFlow by sums
    and differences, which round, while a run that is previewed must go on from its weights bit by bit.
    """
    if trainer.config.ema is None:
        return function()
    _swap_averages(trainer)
    try:
        return function()
    finally:
        _swap_averages(trainer)


def _swap_averages(trainer: keras.Model) -> None:
    for variable, average in zip(trainer.trainable_variables, checkpoints.averages(trainer), strict=True):
        value = np.array(ops.convert_to_numpy(variable))
        variable.assign(average)
        average.assign(value)


def weights_hash(network: keras.Model) -> str:
    """Return a hash of a network's weights, equal where no bit of them has moved, without a second copy of them."""
    digest = hashlib.sha256()
    for variable in network.weights:
        digest.update(np.ascontiguousarray(ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()


# The run --------------------------------------------------------------------------------------------------------------


def train(
    trainer: keras.Model,
    batches: Batches,
    folder: str | Path | None = None,
    preview: Callable[[], Any] | None = None,
    progress: bool = True,
) -> History:
    """Train for ``trainer.config.steps`` steps, from the last checkpoint in ``folder`` if there is one.

    Afterwards the trained parts hold the moving average of their weights, if the configuration asks for one.

    Parameters
    ----------
    trainer : keras.Model
        From `trainers.py`.
    batches : function
        From `batches.py`: takes the number of the first step, returns an iterator of batches from there on.
    folder : path, optional
        Where the checkpoints are. None keeps none. Several hosts must see the same folder; the first one writes.
    preview : function, optional
        Called with the averaged weights in place. What it returns is recorded: numbers by name as scores, which are
        printed and kept in the checkpoints, other things (pictures from a fixed seed, say) as previews.
    progress : bool
        Show a bar with steps, rate and time left.

    Raises
    ------
    TrainingDiverged
        A loss or a weight is not finite. Nothing is saved after the last good checkpoint.
    checkpoints.CheckpointError
        A checkpoint cannot be written (a full disk), or does not belong to this trainer, these choices or these data.
        More steps, and others between checkpoints, are no other run.
    """
    trainer.data_fingerprint = getattr(batches, "fingerprint", None)
    last = None if folder is None else checkpoints.last_checkpoint(folder)
    hosts.check_same(
        int(last.stem.removeprefix("step-")) if last else 0, f"the step of the last checkpoint in {folder}"
    )
    history = History() if folder is None else checkpoints.restore(folder, trainer)
    start = history.step[-1] if history.step else 0
    if start >= trainer.config.steps:
        print(f"already complete: {last} holds {start} steps, asked for were {trainer.config.steps}", flush=True)
        use_averages(trainer)
        return history
    trainer.fit(
        ((hosts.own_rows(batch),) for batch in batches(start)),
        steps_per_epoch=trainer.config.steps - start,
        callbacks=[_Recorder(trainer.config, start, history, folder, preview, progress)],
        verbose=0,
        shuffle=False,
    )
    use_averages(trainer)
    return history


class _Recorder(keras.callbacks.Callback):
    """Counts steps over all runs; records, checks, previews and saves every ``save_every`` of them."""

    def __init__(
        self,
        config: TrainingConfig,
        start: int,
        history: History,
        folder: str | Path | None,
        preview: Callable[[], Any] | None,
        progress: bool,
    ):
        super().__init__()
        self.config, self.step, self.history, self.folder, self.preview = config, start, history, folder, preview
        self.start = self.window_start = start
        self.loss_sum = 0.0
        self.began = time.perf_counter()
        self.bar = tqdm(total=config.steps, initial=start, unit="step", file=sys.stdout, disable=not progress)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self.bar.update(1)
        if self.step % self.config.save_every == 0 or self.step == self.config.steps:
            # Keras's mean over this run. Asked for only here: reading it waits for the device.
            self._record(float(logs["loss"]))

    def on_train_end(self, logs: Any = None) -> None:
        self.bar.close()

    def _record(self, mean: float) -> None:
        if not np.isfinite(mean):
            self._stop(f"the loss became {mean} after step {self.window_start}")
        total = mean * (self.step - self.start)
        loss = (total - self.loss_sum) / (self.step - self.window_start)
        self.loss_sum, self.window_start = total, self.step
        self.history.step.append(self.step)
        self.history.loss.append(loss)
        self.history.seconds.append(time.perf_counter() - self.began)
        self.bar.set_postfix(loss=f"{loss:.4f}")
        trainer = self.model  # on JAX this brings the variables up to date
        if not all(np.isfinite(ops.convert_to_numpy(v)).all() for v in trainer.trainable_variables):
            self._stop(f"a trained weight is no longer finite after step {self.step}")
        if self.preview is not None and (self.step % self.config.preview_every == 0 or self.step == self.config.steps):
            self._look(with_averages(trainer, self.preview), loss)
        if self.folder is not None and hosts.number() == 0:
            checkpoints.save(self.folder, trainer, self.history)

    def _look(self, result: Any, loss: float) -> None:
        if isinstance(result, dict):
            self.history.scores.append((self.step, result))
            shown = ", ".join(f"{name} {value:.3f}" for name, value in result.items())
            print(f"step {self.step}: loss {loss:.4f}, {shown}", flush=True)
        else:
            self.history.previews.append((self.step, result))

    def _stop(self, what: str) -> None:
        self.bar.close()
        last = None if self.folder is None else checkpoints.last_checkpoint(self.folder)
        kept = f"The last good checkpoint is {last}." if last else "No checkpoint was written yet."
        raise TrainingDiverged(
            f"Training stopped: {what}. {kept} Lower the learning rate, lengthen the warm-up or look at the data."
        )
