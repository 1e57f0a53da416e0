"""The state of a run on the disk: what is restored, and what is said about a file that does not fit."""

from utils.diffusion import checkpoints
from utils.diffusion.checkpoints import History
from utils.diffusion.training import TrainingConfig, prepare

import keras
import numpy as np
import pytest


def line(width=3, **choices):
    """The smallest trainer: a dense layer, trained for two steps."""
    keras.utils.set_random_seed(width)
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(1)])
    prepare(model, TrainingConfig(accumulation=1, warmup_updates=0, learning_rate=0.1, **choices))
    for _ in range(2):
        model.optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
    return model


def test_weights_averages_optimizer_and_seed_come_back(tmp_path):
    trained, other = line(), line()
    keras.random.normal((2,), seed=trained.noise_seed)
    history = History([1, 2], [0.5, 0.25], [1.0, 2.0], [(2, {"score": 0.75})])
    checkpoints.save(tmp_path, trained, history)
    for variable in [*other.trainable_variables, *other.optimizer.variables]:
        variable.assign(keras.ops.zeros_like(variable))
    assert checkpoints.restore(tmp_path, other) == history == checkpoints.read_history(tmp_path)
    for pair in (
        zip(other.get_weights(), trained.get_weights(), strict=True),
        zip(other.optimizer.variables, trained.optimizer.variables, strict=True),
        [(other.noise_seed.state, trained.noise_seed.state)],
    ):
        for ours, theirs in pair:
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("ema", [0.9, None])
def test_averages_alone_can_be_read_without_an_optimizer(tmp_path, ema):
    trained = line(ema=ema)
    checkpoints.save(tmp_path, trained, History([2], [0.0], [0.0]))
    averages = [v for v in trained.optimizer.variables if v.path.endswith("_average")]
    assert len(averages) == (2 if ema else 0)
    fresh = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    checkpoints.load_averages(tmp_path, fresh.trainable_variables)
    for ours, theirs in zip(fresh.trainable_variables, averages or trained.trainable_variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    if ema:
        assert np.abs(np.asarray(averages[0]) - np.asarray(trained.trainable_variables[0])).max() > 1e-3


def test_three_files_stay_and_half_a_file_left_by_a_kill_is_removed(tmp_path):
    trained = line()
    for step in range(1, 6):
        checkpoints.save(tmp_path, trained, History([step], [0.0], [0.0]))
    (tmp_path / ".123-step-00000009.npz").write_bytes(b"half a file")
    assert checkpoints.restore(tmp_path, trained).step == [5]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"step-{step:08d}.npz" for step in (3, 4, 5)]


def test_a_file_that_is_broken_or_of_another_model_is_named(tmp_path):
    checkpoints.save(tmp_path, line(), History([2], [0.0], [0.0]))
    with pytest.raises(checkpoints.CheckpointError, match=r"another model or optimizer.*the first is average/0"):
        checkpoints.restore(tmp_path, line(width=4))
    (tmp_path / "step-00000002.npz").write_bytes(b"half a file")
    with pytest.raises(checkpoints.CheckpointError, match=r"cannot read .*step-00000002.npz"):
        checkpoints.restore(tmp_path, line())


def test_a_run_with_other_choices_or_data_is_refused_and_the_differences_are_listed(tmp_path):
    trained = line()
    trained.data_fingerprint = "of these pairs"
    checkpoints.save(tmp_path, trained, History([2], [0.0], [0.0]))
    longer = line(steps=2000, save_every=50)
    longer.data_fingerprint = None  # batches of one's own have none
    assert checkpoints.restore(tmp_path, longer).step == [2]
    other = line(seed=7, min_snr=None)
    other.data_fingerprint = "of others"
    before = [np.asarray(weight) for weight in other.get_weights()]
    expected = r"written by another run: data of these pairs, now of others; min_snr 5\.0, now None; seed 0, now 7\. "
    with pytest.raises(checkpoints.CheckpointError, match=expected):
        checkpoints.restore(tmp_path, other)
    for ours, theirs in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_of_the_first_edition_is_read(tmp_path):
    trained = line()
    path = checkpoints.save(tmp_path, trained, History([2], [0.5], [1.0]))
    with np.load(path) as file:
        arrays = dict(file)
    arrays["history"] = np.array(History([2], [0.5], [1.0]).to_json())
    np.savez(path, **arrays)
    assert checkpoints.restore(tmp_path, line(seed=7)) == History([2], [0.5], [1.0])


def test_an_empty_folder_has_no_history_and_no_averages(tmp_path):
    assert checkpoints.restore(tmp_path, line()) == checkpoints.read_history(tmp_path) == History()
    with pytest.raises(checkpoints.CheckpointError, match="holds no checkpoint"):
        checkpoints.load_averages(tmp_path, [])
