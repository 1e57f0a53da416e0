"""Pictures: the one way from a file to an array, and from arrays to the ranges that the networks read and back.

Everything that reads a picture uses this module: training, evaluation, preview and the check of a folder.
"""

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

__all__ = ["ImageError", "is_empty", "is_inverted", "read_image", "read_sketch", "to_float", "to_hints", "to_uint8"]

FORMATS = ("PNG", "JPEG", "MPO")  # cameras write MPO, a JPEG with more pictures behind the first, as .jpg
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what makes a picture with this EXIF orientation upright
FAINT = 8  # a sketch whose lightest and darkest value differ by less has no lines


class ImageError(ValueError):
    """A file is no picture that can be read; the message says why, without the file's name."""


def read_image(path: str | Path, size: int | None = None) -> np.ndarray:
    """Read a PNG or JPEG file as what a person sees: upright as its EXIF tag says, transparent parts white.

    Grey pictures of 16 bits keep their upper eight, as Pillow does with colours; of an animation or a camera's MPO file
    the first picture counts.

    Parameters
    ----------
    path : path
    size : int, optional
        Side to which the centre square is scaled, with Pillow's bicubic filter, which averages when it makes smaller.
        None leaves the picture as it is.

    Returns
    -------
    np.ndarray
        uint8, shape (height, width, 3) or (size, size, 3), RGB.

    Raises
    ------
    ImageError
        The file is missing, empty, cut off, or neither PNG nor JPEG, whatever its name says.
    """
    return _fit(np.array(_open(path, "white")), size)


def read_sketch(path: str | Path, size: int | None = None) -> np.ndarray:
    """Read a sketch as `read_image` does, and always as dark lines on white.

    Light lines on a dark ground are inverted; light lines on a transparent ground, which white would swallow, too.
    """
    sketch = np.array(_open(path, "white"))
    if is_empty(sketch):
        sketch = np.array(_open(path, "black"))
    return _fit(255 - sketch if is_inverted(sketch) else sketch, size)


def _fit(values: np.ndarray, size: int | None) -> np.ndarray:
    if size is None or values.shape[:2] == (size, size):
        return values
    return np.array(ImageOps.fit(Image.fromarray(values), (size, size), Image.Resampling.BICUBIC))


def _open(path: str | Path, ground: str) -> Image.Image:
    """Decode a file, RGB, transparent parts in the colour `ground`."""
    path = Path(path)
    try:
        if not path.stat().st_size:
            raise ImageError("the file is empty")
        with Image.open(path) as file:
            if file.format not in FORMATS:
                raise ImageError(f"named {path.suffix}, but its content is {file.format}")
            file.load()
            return _upright(_without_transparency(file, ground), file)
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]  # Pillow's, which may hold the whole path
        raise ImageError(reason.replace(f"'{path}'", "the file")) from error


def is_inverted(sketch: np.ndarray) -> bool:
    """Tell whether a sketch, uint8 (height, width, 3), has light lines on a dark ground: it and its border are dark."""
    grey = sketch.mean(axis=-1)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool(grey.mean() < 127.5 and np.median(border) < 127.5)


def is_empty(sketch: np.ndarray) -> bool:
    """Tell whether a sketch, uint8 (height, width, 3), is of one colour: it has no lines."""
    return int(np.ptp(sketch.mean(axis=-1))) < FAINT


def _upright(picture: Image.Image, file: Image.Image) -> Image.Image:
    turn = None
    with contextlib.suppress(SyntaxError, ValueError, TypeError, KeyError, struct.error, OSError):
        turn = TURNS.get(file.getexif().get(0x0112, 1))  # a broken tag is no reason to refuse a picture
    return picture if turn is None else picture.transpose(turn)


def _without_transparency(picture: Image.Image, ground: str) -> Image.Image:
    if picture.mode.startswith("I"):  # grey, 16 bits; a colour that is transparent is a number of 16 bits, too
        values, clear = np.asarray(picture), picture.info.get("transparency")
        upper = (values >> 8).clip(0, 255).astype("uint8")
        paper = 255 if ground == "white" else 0
        return Image.fromarray(np.where(values == clear, paper, upper).astype("uint8")).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture)
    return picture.convert("RGB")


def to_float(images: np.ndarray) -> np.ndarray:
    """Scale pictures from [0, 255], any shape, to the [-1, 1] of the VAE, float32."""
    return np.asarray(images, "float32") / np.float32(127.5) - np.float32(1)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Scale pictures from about [-1, 1], any shape, to [0, 255], rounded and clipped, uint8."""
    return np.clip(np.round((np.asarray(values, "float32") + 1) * 127.5), 0, 255).astype("uint8")


def to_hints(sketches: np.ndarray, hint_range: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Turn sketches, dark lines on white in [0, 255], into what a ControlNet reads: float32, lines high, paper low.

    The published ControlNets were trained on white lines on black in [0, 1].
    """
    low, high = np.float32(hint_range[0]), np.float32(hint_range[1])
    return low + (high - low) * (1 - np.asarray(sketches, "float32") / np.float32(255))
