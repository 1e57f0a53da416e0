"""The committed character model of lecture 7 and the script that trains it."""

import importlib.util
import json

import notebooks

import numpy as np
import pytest

FOLDER = notebooks.ROOT / "lectures/weights"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train", notebooks.ROOT / "scripts/train_character_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weights_are_small_and_as_reported():
    report = json.loads((FOLDER / "character_model.json").read_text(encoding="utf-8"))
    assert (FOLDER / "character_model.npz").stat().st_size < 4e6
    with np.load(FOLDER / "character_model.npz") as saved:
        weights = [saved[name] for name in saved.files]
    assert sum(w.size for w in weights) == report["parameters"]
    assert {w.dtype.name for w in weights} == {"float16"} and all(np.isfinite(w).all() for w in weights)
    assert report["bits_macbeth"] < min(report["counts"]["bits"]["macbeth"])
    assert report["words at T = 0.7"]["network"]["all"][1] > 0.9, "the lower end of the interval"


def test_a_row_reads_on_where_it_stopped(script):
    ids = np.arange(50_000, dtype="int32")
    x, y, begins = script.batch(ids, 0)
    assert begins and x.shape == y.shape == (script.STREAMS, script.WINDOW)
    assert np.array_equal(y, (x + 1) % len(ids))
    following, _, begins = script.batch(ids, 1)
    assert not begins and np.array_equal(following[:, 0], y[:, -1])
    passed = len(ids) // script.STREAMS // script.WINDOW
    again, _, begins = script.batch(ids, passed)
    assert begins and not np.array_equal(again, x), "another pass cuts the plays at other places"


def test_a_run_goes_on_from_its_checkpoint(script, tmp_path):
    ids = np.random.default_rng(0).integers(0, 5, 20_000, dtype="int32")
    run = script.Run(5, 3, 0.01, tmp_path)
    run.train(ids, 0.01, seconds=60, pause=0.05)
    run.save()
    again = script.Run(5, 3, 0.01, tmp_path)
    assert again.log == run.log and run.log["updates"] > 0
    for new, old in zip(again.variables(), run.variables(), strict=True):
        np.testing.assert_array_equal(np.asarray(new), np.asarray(old))
    assert len(list(tmp_path.glob("variables-*"))) == 1
