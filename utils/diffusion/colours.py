"""Names of colours: the eleven basic colour terms, and which of them an RGB value is nearest to in CIELAB."""

import numpy as np
from numpy.typing import ArrayLike

# The first shade of a name is the one to paint with, the others widen what the name covers.
COLOURS = {
    "red": ((221, 46, 68), (190, 25, 49), (160, 4, 30), (230, 20, 20)),
    "orange": ((244, 144, 12), (255, 120, 20), (250, 116, 62)),
    "yellow": ((255, 212, 61), (255, 217, 131), (255, 229, 30)),
    "green": ((92, 160, 60), (62, 114, 29), (119, 178, 85), (166, 211, 136)),
    "blue": ((59, 136, 195), (34, 102, 153), (85, 172, 238), (136, 201, 249)),
    "purple": ((130, 80, 190), (85, 55, 136), (146, 102, 204), (170, 141, 216)),
    "pink": ((247, 150, 190), (244, 171, 186), (234, 110, 150)),
    "brown": ((140, 80, 50), (102, 33, 19), (193, 105, 79), (190, 140, 105)),
    "black": ((35, 39, 43), (0, 0, 0), (49, 55, 61)),
    "grey": ((140, 150, 160), (102, 117, 127), (175, 185, 193)),
    "white": ((250, 250, 250), (225, 232, 237)),
}
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _XYZ.sum(axis=1)  # D65


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 255], shape (..., 3), to CIELAB (D65), the same shape."""
    linear = np.asarray(rgb, "float64") / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    t = linear @ _XYZ.T / _WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB, shape (..., 3), to sRGB, uint8, clipped to what a screen can show."""
    lab = np.asarray(lab, "float64")
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    t = np.where(f**3 > 216 / 24389, f**3, (116 * f - 16) * 27 / 24389)
    linear = np.clip((t * _WHITE) @ np.linalg.inv(_XYZ).T, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * rgb).astype("uint8")


_NAMES = np.array([name for name, shades in COLOURS.items() for _ in shades])
_LAB = rgb_to_lab(np.array([shade for shades in COLOURS.values() for shade in shades]))


def name_colours(rgb: np.ndarray) -> np.ndarray:
    """Return the name of each RGB value in [0, 255], shape (..., 3) to shape (...), by distance in CIELAB."""
    lab = rgb_to_lab(rgb)
    distance = ((lab[..., None, :] - _LAB) ** 2).sum(-1)
    return _NAMES[distance.argmin(-1)]


def name_colour(rgb: ArrayLike) -> str:
    return str(name_colours(np.asarray(rgb)))


def colour_shares(pixels: np.ndarray) -> dict[str, float]:
    """Return the share of each named colour among pixels of shape (n, 3) in [0, 255]; absent colours are left out."""
    if len(pixels) == 0:
        return {}
    names, counts = np.unique(name_colours(pixels), return_counts=True)
    return {str(name): float(count / len(pixels)) for name, count in zip(names, counts, strict=True)}
