"""Shapes, ranges and balance of the data, and the error where the full data are missing."""

from utils import datasets

import keras
import numpy as np
import pytest


@pytest.fixture(scope="module")
def digits():
    return datasets.mnist("fast")


def test_mnist_fast_has_the_documented_form(digits):
    assert digits.x_train.shape == (4000, 28, 28) and digits.x_test.shape == (1000, 28, 28)
    assert digits.x_train.dtype == np.float32 and digits.y_train.dtype == np.int64
    assert digits.x_train.min() == 0 and digits.x_train.max() == 1
    assert np.bincount(digits.y_train).tolist() == [400] * 10 and np.bincount(digits.y_test).tolist() == [100] * 10


def test_mnist_fast_is_shuffled_and_reproducible(digits):
    assert np.count_nonzero(np.diff(digits.y_train)) > 3000
    assert all(np.array_equal(a, b) for a, b in zip(digits, datasets.mnist("fast"), strict=True))


def test_no_test_digit_is_a_training_digit(digits):
    train = {x.tobytes() for x in digits.x_train}
    assert not any(x.tobytes() in train for x in digits.x_test)


def test_mnist_full_takes_what_keras_gives(monkeypatch):
    x, y = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3], np.uint8)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: ((x, y), (x[:1], y[:1])))
    full = datasets.mnist("full")
    assert full.x_train.shape == (3, 28, 28) and full.x_test.max() == 1 and full.y_train.dtype == np.int64


def test_missing_download_says_what_to_do(monkeypatch):
    def no_network():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", no_network)
    with pytest.raises(RuntimeError, match=r"full profile needs MNIST.*URL fetch failure.*profile='fast'"):
        datasets.mnist("full")


def test_unknown_profile():
    with pytest.raises(ValueError, match="expected profile 'fast' or 'full', got 'slow'"):
        datasets.mnist("slow")


@pytest.fixture(scope="module")
def plays():
    return datasets.shakespeare("fast")


def test_plays_have_the_documented_form(plays):
    assert [len(text) for text in plays] == [1_225_713, 92_125, 95_858]
    assert len(set("".join(plays))) == 62 and set(plays.test) <= set(plays.train)
    assert plays.test.startswith("FIRST WITCH:\nWhen shall we three meet again\nIn thunder, lightning, or in rain?\n\n")
    assert not any("\n\n\n" in text or " \n" in text or text[-1] != "\n" for text in plays)


def test_every_speech_has_a_speaker(plays):
    heads = [speech.split("\n")[0] for text in plays for speech in text.split("\n\n")]
    assert len(heads) > 5_000 and all(head.endswith(":") and head == head.upper() for head in heads)


def test_full_plays_hold_more_and_keep_the_held_out_ones(plays):
    full = datasets.shakespeare("full")
    assert len(full.train) == 4_600_909 and full[1:] == plays[1:]
    assert plays.train[:1000] in full.train and plays.test[:1000] not in full.train


def test_plays_of_an_unknown_profile():
    with pytest.raises(ValueError, match="shakespeare: expected profile 'fast' or 'full', got 'slow'"):
        datasets.shakespeare("slow")
