"""A folder of pairs whose images, sketches and captions all tell their number."""

import csv

import numpy as np
from PIL import Image


def write_folder(folder, count=12, size=(40, 40), suffix="png", groups=None):
    """Write pairs whose photo, sketch and caption all tell their number: grey value 20 * i for photo i."""
    for part in ("photos", "sketches"):
        (folder / part).mkdir(parents=True)
    rows = []
    for i in range(count):
        photo = np.full((size[1], size[0], 3), 20 * i, "uint8")
        photo[:, : size[0] // 2, 1] = 255  # the left half says whether it was flipped
        sketch = np.full((size[1], size[0]), 20 * i, "uint8")
        sketch[:, : size[0] // 2] = 255
        Image.fromarray(photo).save(folder / "photos" / f"p{i:02d}.{suffix}")
        Image.fromarray(sketch).save(folder / "sketches" / f"p{i:02d}.png")
        rows.append([f"p{i:02d}.{suffix}", f"picture {i}", "" if groups is None else groups[i]])
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "caption", "group"], *rows])
    return folder
