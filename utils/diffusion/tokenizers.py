"""From words to numbers: whole words for the small text encoder, CLIP's byte pairs for the real one."""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from keras_cv.models.stable_diffusion import SimpleTokenizer

__all__ = ["ClipTokenizer", "Tokenizer", "WordTokenizer"]

MAX_PROMPT_LENGTH = 77  # CLIP's


class Tokenizer(Protocol):
    """From captions to tokens, int32 of shape (captions, length)."""

    def __call__(self, captions: str | Sequence[str]) -> np.ndarray: ...


class WordTokenizer:
    """Words to numbers, for the small text encoder.

    Number 0 pads, 1 starts, 2 ends and 3 stands for every word that is not in the vocabulary; the vocabulary's words
    follow from 4 on. Case and punctuation are ignored.

    Parameters
    ----------
    vocabulary : sequence of str
        Different lower-case words.
    max_length : int
        Length of every row, start and end included; longer captions are cut and still end in the end token.
    """

    SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")

    def __init__(self, vocabulary: Sequence[str], max_length: int):
        words = list(vocabulary)
        if len(set(words)) != len(words):
            repeated = sorted({word for word in words if words.count(word) > 1})
            raise ValueError(f"WordTokenizer: the vocabulary names these words more than once: {repeated[:10]}.")
        self.vocabulary = words
        self.max_length = max_length
        self._numbers = {word: number for number, word in enumerate(words, start=len(self.SPECIAL))}

    @property
    def size(self) -> int:
        """How many numbers there are, the special ones included: the text encoder's ``vocabulary_size``."""
        return len(self.SPECIAL) + len(self.vocabulary)

    @staticmethod
    def words(caption: str) -> list[str]:
        """Split a caption into lower-case words: letters, digits and inner apostrophes."""
        return re.findall(r"[^\W_]+(?:'[^\W_]+)?", caption.lower())

    def __call__(self, captions: str | Sequence[str]) -> np.ndarray:
        """Return tokens of shape (captions, max_length), int32."""
        rows = [[self._numbers.get(word, 3) for word in self.words(caption)] for caption in _as_list(captions)]
        return _pad_rows(rows, start=1, end=2, pad=0, max_length=self.max_length)


class ClipTokenizer:
    """CLIP's byte-pair tokenizer, cut and padded with the end token to 77 tokens (KerasCV's own does neither).

    KerasCV downloads the vocabulary once.
    """

    def __init__(self) -> None:
        try:
            self._tokenizer = SimpleTokenizer()
        except Exception as error:  # Keras raises a bare Exception where a download fails
            raise RuntimeError(
                f"ClipTokenizer: could not read the byte-pair vocabulary ({error}). "
                "Connect to the internet once; a broken file in ~/.keras/datasets is to be deleted first."
            ) from error

    @property
    def size(self) -> int:
        """How many different tokens there are (49,408 with CLIP's vocabulary)."""
        return len(self._tokenizer.vocab)

    def __call__(self, captions: str | Sequence[str]) -> np.ndarray:
        """Return tokens of shape (captions, 77), int32."""
        rows = [self._tokenizer.encode(caption)[1:-1] for caption in _as_list(captions)]
        start, end = self._tokenizer.start_of_text, self._tokenizer.end_of_text
        return _pad_rows(rows, start=start, end=end, pad=end, max_length=MAX_PROMPT_LENGTH)


def _as_list(captions: str | Sequence[str]) -> list[str]:
    captions = [captions] if isinstance(captions, str) else list(captions)
    for position, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise TypeError(f"caption {position} is {caption!r}; expected a string.")
    return captions


def _pad_rows(rows: list[list[int]], start: int, end: int, pad: int, max_length: int) -> np.ndarray:
    tokens = np.full((len(rows), max_length), pad, dtype="int32")
    for line, row in zip(tokens, rows, strict=True):
        row = [start, *row[: max_length - 2], end]
        line[: len(row)] = row
    return tokens
