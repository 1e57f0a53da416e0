"""Pictures: the one way from a file to an array, and from arrays to the ranges that the networks read and back.

Everything that reads a picture uses this module: training, evaluation, preview and the check of a folder.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

__all__ = ["ImageError", "read_image", "to_float", "to_hints", "to_uint8"]

MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}  # eight bits a channel


class ImageError(ValueError):
    """A file is no picture that can be read; the message says why, without the file's name."""


def read_image(path: str | Path, size: int | None = None) -> np.ndarray:
    """Read a PNG or JPEG file: upright as its EXIF tag says, transparent parts white.

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
        The file is missing, empty, cut off, neither PNG nor JPEG, or has more than eight bits a channel.
    """
    path = Path(path)
    try:
        if not path.stat().st_size:
            raise ImageError("the file is empty")
        with Image.open(path) as file:
            if file.format not in ("PNG", "JPEG"):
                raise ImageError(f"named {path.suffix}, but its content is {file.format}")
            if file.mode not in MODES:
                raise ImageError(f"a picture of mode {file.mode}, expected 8 bits a channel")
            picture = _on_white(ImageOps.exif_transpose(file))
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]  # Pillow's, which may hold the whole path
        raise ImageError(reason.replace(f"'{path}'", "the file")) from error
    if size is not None and picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.array(picture)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
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
