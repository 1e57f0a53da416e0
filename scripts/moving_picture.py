"""Make docs/drawing.gif: a drawing grows stroke by stroke, and beside it the picture that the small model makes of it.

    python scripts/moving_picture.py

Every picture starts from the same noise and has the same caption; only the sketch changes.
"""

from itertools import pairwise
from pathlib import Path

from utils.diffusion.sketch_pad import draw_strokes
from utils.diffusion.sketch_to_image import SketchToImage
from utils.files import replacing

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CAPTION = "a red fish on a blue background"
SIDE, FRAMES, SHOWN = 260, 14, 256  # of the canvas, of the film, of a picture in it


def strokes() -> list[np.ndarray]:
    """Return body, tail and eye of a fish as points on a canvas of 260 pixels."""
    turn = np.linspace(0, 2 * np.pi, 40)
    body = np.stack([112 + 72 * np.cos(turn), 130 + 50 * np.sin(turn)], axis=1)
    corners = np.array([(182, 130), (226, 86), (226, 174), (182, 130)], float)
    tail = np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(corners)])
    eye = np.stack([76 + 7 * np.cos(turn[::4]), 118 + 7 * np.sin(turn[::4])], axis=1)
    return [body, tail, eye]


def begun(lines: list[np.ndarray], points: int) -> list[list[tuple[float, float]]]:
    """Return the first `points` points of the strokes `lines`."""
    found = []
    for line in lines:
        if points > 0:
            found.append([(float(x), float(y)) for x, y in line[:points]])
        points -= len(line)
    return found


def main() -> None:
    model = SketchToImage.load(ROOT / "assignment/weights")
    lines, size = strokes(), model.image_size
    counts = np.linspace(4, sum(map(len, lines)), FRAMES).astype(int)
    sketches = np.stack([draw_strokes(begun(lines, n), size, SIDE, 1.6 * size / 64) for n in counts])
    pictures = np.concatenate([model.generate([CAPTION], sketch[None], seed=3) for sketch in sketches])
    frames = [
        Image.fromarray(np.concatenate([sketch, picture], axis=1)).resize((2 * SHOWN, SHOWN))
        for sketch, picture in zip(sketches, pictures, strict=True)
    ]
    with replacing(ROOT / "docs/drawing.gif") as path:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[350] * (FRAMES - 1) + [2500], loop=0)


if __name__ == "__main__":
    main()
