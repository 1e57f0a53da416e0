"""Words and byte pairs to numbers: padding, cutting, what is unknown."""

import gzip

from utils.diffusion import tokenizers

import pytest
from keras_cv.models.stable_diffusion import SimpleTokenizer


def test_word_tokenizer_pads_cuts_and_knows_what_it_does_not_know():
    tokenizer = tokenizers.WordTokenizer(["a", "red", "bird"], max_length=6)
    assert tokenizer.size == 7
    rows = tokenizer(["A red bird.", "", "a red green bird a red", "bird"])
    assert rows.tolist() == [[1, 4, 5, 6, 2, 0], [1, 2, 0, 0, 0, 0], [1, 4, 5, 3, 6, 2], [1, 6, 2, 0, 0, 0]]
    assert tokenizer("bird").dtype == "int32"
    with pytest.raises(ValueError, match=r"more than once: \['red'\]"):
        tokenizers.WordTokenizer(["red", "red"], 6)
    with pytest.raises(TypeError, match="caption 1 is None"):
        tokenizer(["bird", None])


def read_instead(monkeypatch, path):
    """Let KerasCV read a local vocabulary instead of downloading CLIP's."""
    monkeypatch.setattr(tokenizers, "SimpleTokenizer", lambda: SimpleTokenizer(str(path)))


def test_clip_tokenizer_pads_and_cuts(tmp_path, monkeypatch):
    path = tmp_path / "bpe.txt.gz"
    path.write_bytes(gzip.compress(b"#version: 0.2\nr e\nre d</w>"))  # CLIP's format with two merges
    read_instead(monkeypatch, path)
    tokenizer = tokenizers.ClipTokenizer()
    start, end = tokenizer.size - 2, tokenizer.size - 1
    rows = tokenizer(["red", "red " * 200])
    assert rows.shape == (2, 77)
    assert rows[0, :4].tolist() == [start, tokenizer.size - 3, end, end]
    assert (rows[0, 3:] == end).all()
    assert rows[1, 0] == start
    assert rows[1, -1] == end
    assert (rows[1, 1:-1] == tokenizer.size - 3).all()
    path.write_bytes(b"no gzip file")
    with pytest.raises(RuntimeError, match="byte-pair vocabulary"):
        tokenizers.ClipTokenizer()
