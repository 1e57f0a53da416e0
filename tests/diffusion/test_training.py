"""Training: the loss, what moves, accumulation and averages, checkpoints that survive a kill, clear stops."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

from diffusion_tiny import fresh_branch, hints, tiny_diffusion, tiny_encoders
from utils.diffusion import checkpoints, controlnet, schedule, trainers, training
from utils.diffusion.batches import cached_batches
from utils.diffusion.unet import build_unet

import keras
import numpy as np
import pytest

CONFIG = training.TrainingConfig(
    steps=8,
    batch_size=4,
    accumulation=2,
    learning_rate=1e-2,
    warmup_updates=2,
    ema=0.9,
    save_every=2,
    preview_every=4,
    seed=3,
)


def tiny_examples(count=12):
    diffusion = tiny_diffusion()
    photos = np.random.default_rng(7).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    captions = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("bird", "fish")] * (count // 4)
    moments, context = diffusion.encode_images(photos), diffusion.encode_text(captions)
    return {"moments": moments, "context": context, "hint": hints(count)}


def tiny_trainer(compiled=False, **changes):
    """A trainer that is not compiled on TensorFlow, where compiling takes longer than a few steps."""
    config = dataclasses.replace(CONFIG, **changes)
    trainer = trainers.ControlNetTrainer(tiny_diffusion(), fresh_branch(), config)
    trainer.run_eagerly = keras.backend.backend() == "tensorflow" and not compiled
    return trainer


def in_order(examples):
    """The batches of the examples, as every run here gets them."""
    return cached_batches(examples, CONFIG.batch_size, CONFIG.seed)


def weights(trainer):
    return [np.array(w) for w in trainer.controlnet.get_weights()]


def assert_same(first, second, **tolerance):
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, **{"rtol": 1e-4, "atol": 1e-6, **tolerance})


@pytest.fixture(scope="module")
def examples():
    return tiny_examples()


@pytest.fixture(scope="module")
def whole_run(examples, tmp_path_factory):
    """An uninterrupted, compiled run of 8 steps: (weights, history, folder, whether the frozen parts stayed)."""
    trainer = tiny_trainer(compiled=True)
    folder = tmp_path_factory.mktemp("whole")
    before = [w.copy() for w in trainer.unet.get_weights()]
    history = training.train(trainer, in_order(examples), folder, preview=lambda: 1, progress=False)
    frozen = all(np.array_equal(a, b) for a, b in zip(before, trainer.unet.get_weights(), strict=True))
    return weights(trainer), history, folder, frozen


def test_only_the_branch_moves_and_the_history_has_every_round(whole_run):
    after, history, folder, frozen = whole_run
    assert frozen
    start = fresh_branch_weights()
    assert all(np.abs(a - b).max() > 0 for a, b in zip(after, start, strict=True))
    assert history.step == [2, 4, 6, 8]
    assert all(0 < loss < 5 for loss in history.loss)
    assert history.previews == [(4, 1), (8, 1)]
    assert [path.name for path in sorted(folder.iterdir())] == [f"step-{step:08d}.npz" for step in (4, 6, 8)]


def fresh_branch_weights():
    return [np.array(w) for w in fresh_branch().get_weights()]


def test_loss_is_the_weighted_squared_error():
    trainer = tiny_trainer(min_snr=5.0)
    rng = np.random.default_rng(0)
    noise, prediction = rng.normal(size=(2, 3, 8, 8, 4)).astype("float32")
    steps = np.array([0, 400, 999])
    signal = schedule.alphas_cumprod().astype("float64")[steps]
    ratio = signal / (1 - signal)
    each = ((noise - prediction) ** 2).mean((1, 2, 3))
    loss = trainer.compute_loss(y_pred={"noise": noise, "prediction": prediction, "timesteps": steps})
    assert float(loss) == pytest.approx((each * np.minimum(ratio, 5.0) / ratio).mean(), rel=1e-5)
    assert np.minimum(ratio, 5.0)[0] / ratio[0] < 0.01
    assert np.minimum(ratio, 5.0)[2] / ratio[2] == 1


def test_learning_rate_warms_up_and_stays_or_decays():
    for decay, last in ((False, 1e-3), (True, 1e-5)):
        config = training.TrainingConfig(
            steps=100, accumulation=2, warmup_updates=10, learning_rate=1e-3, cosine_decay=decay
        )
        rate = training.make_optimizer(config)._learning_rate
        assert [float(rate(step)) for step in (0, 20, 100)] == pytest.approx([1e-3 / 11, 1e-3, last], rel=1e-3)


def test_prompt_dropout_replaces_the_given_share(examples):
    context = np.tile(examples["context"][:1], (400, 1, 1))
    for share in (0.0, 0.3, 1.0):
        trainer = tiny_trainer(prompt_dropout=share)
        found = np.asarray(trainer._context({"context": context}, 400))
        dropped = np.abs(found - context).max((1, 2)) > 0
        assert dropped.mean() == pytest.approx(share, abs=0.1)


def test_photo_and_tokens_give_what_the_cache_gives(examples):
    diffusion = tiny_diffusion()
    trainer = tiny_trainer(prompt_dropout=0.0)
    photo = np.random.default_rng(7).uniform(-1, 1, (12, 32, 32, 3)).astype("float32")[:4]
    tokens = keras.ops.convert_to_tensor(diffusion.tokenizer(["red bird", "red fish", "blue bird", "blue fish"]))
    np.testing.assert_allclose(np.asarray(trainer._moments({"image": photo})), examples["moments"][:4], atol=1e-5)
    np.testing.assert_allclose(np.asarray(trainer._context({"tokens": tokens}, 4)), examples["context"][:4], atol=1e-5)


def test_hints_as_bytes_are_scaled():
    hint = hints()
    found = trainers._hint_range(keras.ops.convert_to_tensor((hint * 255).round().astype("uint8")))
    np.testing.assert_allclose(np.asarray(found), hint, atol=0.003)
    assert trainers._hint_range(hint) is hint


def test_accumulation_equals_a_larger_batch_and_the_average_follows_updates_not_batches(monkeypatch):
    monkeypatch.setattr(training, "CLIP_NORM", 1e9)
    choices = {"accumulation": 3, "ema": 0.8, "warmup_updates": 0, "weight_decay": 0.0}
    optimizer = training.make_optimizer(dataclasses.replace(CONFIG, **choices))
    start = np.random.default_rng(5).normal(size=(4, 3)).astype("float32")
    variables = [keras.Variable(start), keras.Variable(np.ones(2, "float32"))]
    optimizer.build(variables)
    rng = np.random.default_rng(0)
    for _ in range(9):
        optimizer.apply(random_gradients(variables, rng), variables)
    after = np.copy(keras.ops.convert_to_numpy(variables[0]))
    # two more batches without an update: now the average has seen the last weights three times too
    for _ in range(2):
        optimizer.apply(random_gradients(variables, rng), variables)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variables[0]), after)
    weight, average = reference_adam(start, variables)
    found = next(v for v in optimizer.variables if v.path.endswith("_average"))
    np.testing.assert_allclose(after, weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), average, rtol=1e-4, atol=1e-5)
    assert np.abs(average - weight).max() > 1e-3


def test_the_rate_rises_over_the_updates_and_the_norm_is_clipped(monkeypatch):
    monkeypatch.setattr(training, "CLIP_NORM", 1e-6)
    choices = {"accumulation": 2, "warmup_updates": 4, "weight_decay": 0.0, "ema": None}
    optimizer = training.make_optimizer(dataclasses.replace(CONFIG, **choices))
    variable = keras.Variable(np.zeros(3, "float32"))
    optimizer.build([variable])
    rates = []
    for _ in range(12):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.convert_to_tensor(np.array([3e3, -4e3, 0.0], "float32"))], [variable])
    np.testing.assert_allclose(rates[::2], 1e-2 * np.minimum([0.2, 0.4, 0.6, 0.8, 1, 1], 1), rtol=1e-5)
    momentum = next(v for v in optimizer.variables if v.path.endswith("_momentum"))
    assert np.linalg.norm(keras.ops.convert_to_numpy(momentum)) < 1.0001e-6


def random_gradients(variables, rng):
    return [keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in variables]


def reference_adam(weight, variables):
    """The first variable after three updates with the mean of three gradients each, and its average, in NumPy."""
    rng = np.random.default_rng(0)
    average = weight = weight.astype("float64")
    first = second = np.zeros_like(weight)
    for update in range(1, 4):
        gradient = np.mean([np.asarray(random_gradients(variables, rng)[0]) for _ in range(3)], axis=0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weight = weight - 1e-2 * (first / (1 - 0.9**update)) / (np.sqrt(second / (1 - 0.999**update)) + 1e-7)
        average = weight if update == 1 else 0.8 * average + 0.2 * weight
    return weight, average


def test_averaged_weights_end_in_the_branch_and_previews_see_them(examples, tmp_path):
    trainer = tiny_trainer(steps=4, save_every=2, preview_every=2)
    seen = []
    training.train(trainer, in_order(examples), tmp_path, preview=lambda: seen.append(weights(trainer)), progress=False)
    assert_same(seen[-1], weights(trainer))
    raw = np.load(checkpoints.last_checkpoint(tmp_path))
    assert np.abs(raw["model/0"] - weights(trainer)[0]).max() > 0


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_training as t
from utils.diffusion import training
t.training.train(t.tiny_trainer(), t.slowly(t.tiny_examples()), sys.argv[1], progress=False)
"""


def slowly(examples):
    """The batches of the examples, with a pause after each, so that a kill finds the run under way."""

    def batches(start):
        for batch in in_order(examples)(start):
            yield batch
            time.sleep(0.2)

    return batches


def test_a_killed_run_goes_on_to_the_same_weights(whole_run, examples, tmp_path):
    tests = pathlib.Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(tests.parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(tests=str(tests)), str(tmp_path)], env=environment, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 900
    while checkpoints.last_checkpoint(tmp_path) is None and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 2 <= int(checkpoints.last_checkpoint(tmp_path).stem.removeprefix("step-")) < 8

    trainer = tiny_trainer()
    history = training.train(trainer, in_order(examples), tmp_path, progress=False)
    assert history.step == [2, 4, 6, 8]
    np.testing.assert_allclose(history.loss, whole_run[1].loss, rtol=1e-3)
    assert_same(weights(trainer), whole_run[0], rtol=1e-3, atol=1e-4)


def test_a_finished_run_trains_no_further(whole_run, examples, capsys):
    for steps in (8, 4):
        trainer = tiny_trainer(steps=steps)
        history = training.train(trainer, in_order(examples), whole_run[2], progress=False)
        assert history.step == [2, 4, 6, 8]
        assert_same(weights(trainer), whole_run[0])
        assert f"holds 8 steps, asked for were {steps}" in capsys.readouterr().out


def test_a_run_does_not_go_on_with_other_pictures_or_another_rate(whole_run, examples):
    others = {**examples, "moments": examples["moments"] + 1}
    with pytest.raises(checkpoints.CheckpointError, match=r"written by another run: data .*, now "):
        training.train(tiny_trainer(), in_order(others), whole_run[2], progress=False)
    with pytest.raises(checkpoints.CheckpointError, match=r"learning_rate 0\.01, now 0\.02"):
        training.train(tiny_trainer(learning_rate=2e-2), in_order(examples), whole_run[2], progress=False)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(examples, tmp_path):
    def batches(start):
        for number, batch in enumerate(in_order(examples)(start), start=start):
            broken = np.where(number == 4, np.nan, batch["moments"]).astype("float32")
            yield {**batch, "moments": broken}

    with pytest.raises(training.TrainingDiverged, match=r"became nan after step 4.*step-00000004\.npz"):
        training.train(tiny_trainer(), batches, tmp_path, progress=False)
    state = np.load(checkpoints.last_checkpoint(tmp_path))
    assert int(state["step"]) == 4
    assert all(np.isfinite(state[name]).all() for name in state.files if name != "history")


def test_a_full_disk_stops_and_keeps_the_last_good_checkpoint(examples, tmp_path):
    resource = pytest.importorskip("resource")
    trainer = tiny_trainer(steps=2)
    training.train(trainer, in_order(examples), tmp_path, progress=False)
    good = checkpoints.last_checkpoint(tmp_path)
    size = good.stat().st_size
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(checkpoints.CheckpointError, match=r"could not write .*last good checkpoint is .*00000002"):
            training.train(tiny_trainer(steps=4), in_order(examples), tmp_path, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [good]
    assert good.stat().st_size == size


def test_progress_shows_rate_and_time_left(examples, capsys):
    training.train(tiny_trainer(steps=2), in_order(examples))
    shown = capsys.readouterr().out
    assert "2/2" in shown
    assert "step" in shown
    assert "loss=" in shown


def own_parts():
    """A model of its own, small, and a branch for it: what the test changes is not shared."""
    unet = build_unet((8, 8, 4), (6, 32), (32, 32), 1, (False, False), groups=8, head_size=16)
    diffusion = dataclasses.replace(tiny_encoders.__wrapped__(), unet=unet)
    return diffusion, controlnet.build_controlnet(unet, hint_widths=(8, 8, 8))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_trains(examples, dtype):
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    try:
        diffusion, branch = own_parts()
        trainer = trainers.ControlNetTrainer(diffusion, branch, dataclasses.replace(CONFIG, steps=4, accumulation=1))
        trainer.run_eagerly = keras.backend.backend() == "tensorflow"
        before = weights(trainer)
        history = training.train(trainer, in_order(examples), progress=False)
    finally:
        keras.config.set_dtype_policy("float32")
    assert branch.get_layer("zero_0").compute_dtype == dtype
    assert {str(v.dtype) for v in branch.trainable_variables} == {"float32"}
    assert np.isfinite(history.loss).all()
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer) == (dtype == "float16")
    moved = [np.abs(a - b).max() > 0 for a, b in zip(before, weights(trainer), strict=True)]
    assert all(np.isfinite(w).all() for w in weights(trainer))
    assert np.mean(moved) > 0.9


def test_wrong_choices_are_named():
    for change, message in (
        ({"prompt_dropout": 1.5}, "prompt_dropout"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"preview_every": 3}, "multiple of save_every"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(CONFIG, **change)


def first_loss(distribution, examples):
    """Loss and weights after one step on a batch of 4, with networks of its own."""
    keras.distribution.set_distribution(distribution)
    try:
        keras.utils.set_random_seed(0)
        diffusion, branch = own_parts()
        config = dataclasses.replace(CONFIG, steps=2, accumulation=1, save_every=1)
        trainer = trainers.ControlNetTrainer(diffusion, branch, config)
        history = training.train(trainer, in_order(examples), progress=False)
        return history.loss, weights(trainer), len(branch.trainable_variables[0].value.sharding.device_set)
    finally:
        keras.distribution.set_distribution(None)


def test_several_devices_give_the_loss_of_one(examples):
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) < 4:
        pytest.skip("needs the JAX backend and four devices; test_on_jax_with_four_devices runs it with simulated ones")
    one, weights_one, used_by_one = first_loss(None, examples)
    four, weights_four, used_by_four = first_loss(keras.distribution.DataParallel(devices=devices), examples)
    assert (used_by_one, used_by_four) == (1, 4)
    np.testing.assert_allclose(four, one, rtol=1e-4)
    assert_same(weights_four, weights_one, rtol=1e-3, atol=1e-4)


QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiles faster
ON_JAX = {
    "controlnet": ("every_residual", "copy_has", "gradients_before", "with_its_weights[transformer]"),
    "training": ("only_the_branch", "accumulation_equals", "finished_run", "several_devices"),
    "sampling": ("agrees_with_a_plain_loop",),
    "controlnet_weights": ("round_trip",),
}
ALSO_ON_JAX = {  # minutes more, most of them XLA's compilation
    "controlnet": ("bit_identical", "checkpointing_changes"),
    "training": ("[bfloat16]",),
    "sampling": ("seed_gives", "scale_zero", "two_controlnets"),
}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is the JAX run")
@pytest.mark.parametrize("choice", [ON_JAX, pytest.param(ALSO_ON_JAX, marks=pytest.mark.slow)], ids=["", "also"])
def test_on_jax_with_four_devices(choice):
    """The invariants on the JAX backend, and training on four simulated devices, in a process of their own."""
    tests = pathlib.Path(__file__).parent
    files = [str(tests / f"test_{name}.py") for name in choice]
    chosen = " or ".join(word for words in choice.values() for word in words)
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=4 {QUICK_XLA}",
        "PYTHONPATH": str(tests.parents[1]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-k", chosen, *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:]
    count = sum(len(words) for words in choice.values())
    assert f"{count} passed" in done.stdout, done.stdout[-2000:]
    assert "skipped" not in done.stdout
