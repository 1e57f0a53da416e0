"""Pairs in a folder: every file is checked first, then they are split by groups.

The folder format: `photos/` (the target images) and `sketches/` with one PNG or JPEG of the same stem each, and
`captions.csv` with the columns `file` and `caption`, and optionally `group` for what a split must not separate.
"""

import csv
import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.diffusion.edges import extract_edges
from utils.diffusion.images import ImageError, read_image
from utils.files import replacing

import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit

__all__ = ["PairError", "Pairs", "extract_sketches", "load_pairs", "split_pairs"]

SUFFIXES = {".png", ".jpg", ".jpeg"}
LISTED = 20  # bad files that a message names


class PairError(ValueError):
    """The folder does not hold complete, readable pairs; the message names the files and what to do."""


@dataclass(frozen=True)
class Pairs:
    """Checked pairs: paths, captions and groups, aligned; `len`, slices and index arrays work as with NumPy.

    Attributes
    ----------
    images, sketches, captions : np.ndarray
        Shape (n,), str: the paths of target image and sketch, and the text.
    groups : np.ndarray
        Shape (n,), int: pairs of one number belong on the same side of a split.
    """

    images: np.ndarray
    sketches: np.ndarray
    captions: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> "Pairs":
        return Pairs(self.images[index], self.sketches[index], self.captions[index], self.groups[index])


# Reading and checking -------------------------------------------------------------------------------------------------


def load_pairs(folder: str | Path, skip_bad: bool = False, minimum: int = 8) -> Pairs:
    """Read a folder of pairs and check every file by decoding it, so that no epoch stops in its middle.

    Parameters
    ----------
    folder : path
        With `photos/`, `sketches/` and `captions.csv`; pictures of any size, PNG or JPEG.
    skip_bad : bool
        Leave bad pairs out with one warning that lists them, instead of an error.
    minimum : int
        Fewest pairs that are accepted: the batch size.

    Returns
    -------
    Pairs
        In the order of `captions.csv`.

    Raises
    ------
    PairError
        A file without its partner, a file that cannot be decoded, a caption without a picture or the other way round,
        an empty or missing folder, or fewer pairs than `minimum`. The message lists what was found and what to do.
    """
    folder = Path(folder)
    rows, problems = _read_captions(folder)
    photos, more = _list_images(folder, "photos")
    problems += more
    sketches, more = _list_images(folder, "sketches")
    problems += more
    problems += _missing_partners(rows, photos, sketches)
    good = []
    for stem, row in rows.items():
        if stem in photos and stem in sketches:
            found = _check_files(photos[stem], sketches[stem], folder)
            problems += found
            if not found:
                good.append((str(photos[stem]), str(sketches[stem]), row.caption, row.group))
    _report(problems, skip_bad, folder)
    if len(good) < minimum:
        raise PairError(f"{folder}: {len(good)} good pairs, fewer than one batch of {minimum}: add pairs")
    images, drawn, captions, groups = (np.array(column) for column in zip(*good, strict=True))
    return Pairs(images, drawn, captions, _number_groups(images, groups))


@dataclass(frozen=True)
class _Row:
    """One line of captions.csv."""

    caption: str
    group: str


def _read_captions(folder: Path) -> tuple[dict[str, _Row], list[str]]:
    path = folder / "captions.csv"
    if not folder.is_dir():
        raise PairError(f"{folder}: no such folder; expected photos/, sketches/ and captions.csv in it")
    if not path.is_file():
        raise PairError(f"{path}: not found; expected a table with the columns file and caption")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, table = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PairError(f"{path}: not a CSV file in UTF-8 ({error}): save it as UTF-8") from error
    if not {"file", "caption"} <= set(columns):
        raise PairError(f"{path}: found the columns {columns}, expected file and caption: name them in the first line")
    rows: dict[str, _Row] = {}
    problems = []
    for line, row in enumerate(table, start=2):
        name, caption = (row["file"] or "").strip(), (row["caption"] or "").strip()
        stem = _stem(name)
        if not name or not caption:
            problems.append(f"captions.csv line {line}: the file or the caption is empty: fill it in")
        elif stem in rows:
            problems.append(f"captions.csv line {line}: {name} has a caption already: keep one")
        else:
            rows[stem] = _Row(caption, (row.get("group") or "").strip())
    return rows, problems


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _list_images(folder: Path, part: str) -> tuple[dict[str, Path], list[str]]:
    if not (folder / part).is_dir():
        hint = ": draw them with extract_sketches(folder)" if part == "sketches" else ""
        raise PairError(f"{folder / part}: no such folder; expected PNG or JPEG files in it{hint}")
    found: dict[str, Path] = {}
    problems = []
    for path in sorted((folder / part).iterdir()):
        if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini"):
            continue
        stem = _stem(path.name)
        if path.suffix.lower() not in SUFFIXES:
            problems.append(f"{part}/{path.name}: neither PNG nor JPEG: convert or remove it")
        elif stem in found:
            problems.append(f"{part}/{path.name}: {found[stem].name} has the same name: keep one")
        else:
            found[stem] = path
    if not found:
        raise PairError(f"{folder / part}: holds no PNG or JPEG file; expected one for each line of captions.csv")
    return found, problems


def _missing_partners(rows: Mapping[str, _Row], photos: Mapping[str, Path], sketches: Mapping[str, Path]) -> list[str]:
    problems = [
        f"photos/{photos[s].name}: no sketch of this name: add it or remove the photo"
        for s in photos
        if s not in sketches
    ]
    problems += [
        f"sketches/{sketches[s].name}: no photo of this name: add it or remove the sketch"
        for s in sketches
        if s not in photos
    ]
    problems += [f"photos/{photos[s].name}: no line in captions.csv: write a caption" for s in photos if s not in rows]
    problems += [
        f"captions.csv: {s} has a caption but no photo: add the photo or remove the line"
        for s in rows
        if s not in photos
    ]
    return problems


def _check_files(photo: Path, sketch: Path, folder: Path) -> list[str]:
    """Read both as the training will, and compare their shapes."""
    sizes, problems = [], []
    for path in (photo, sketch):
        try:
            height, width, _ = read_image(path).shape
            sizes.append((width, height))
        except ImageError as error:
            problems.append(f"{path.relative_to(folder)}: {error}: replace the file")
    if not problems:
        (w1, h1), (w2, h2) = sizes
        if abs(w1 / h1 - w2 / h2) > 0.02 * w1 / h1:
            problems.append(
                f"{photo.relative_to(folder)} is {w1} x {h1}, its sketch {w2} x {h2}: the sketch cannot lie over the "
                "photo: crop one of them"
            )
    return problems


def _report(problems: list[str], skip_bad: bool, folder: Path) -> None:
    if not problems:
        return
    lines = "\n".join(f"  {problem}" for problem in problems[:LISTED])
    rest = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    message = f"{folder}: {len(problems)} problems\n{lines}{rest}"
    if not skip_bad:
        raise PairError(f"{message}\nMend them, or pass skip_bad=True to leave these pairs out.")
    warnings.warn(f"left out, {message}", stacklevel=3)


def _number_groups(images: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Number the groups: pairs of one name in the column `group`, or with the same file as image, belong together."""
    count = len(images)
    contents = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in images]
    names = [name or f"alone {i}" for i, name in enumerate(named.tolist())]
    labels = [np.unique(keys, return_inverse=True)[1] for keys in (contents, names)]
    columns = np.concatenate([labels[0], labels[1] + count])  # a graph of pairs, contents and names
    links = csr_matrix((np.ones(2 * count), (np.tile(np.arange(count), 2), columns + count)), shape=2 * (3 * count,))
    return connected_components(links, directed=False)[1][:count]


# Sketches from photos -------------------------------------------------------------------------------------------------


def extract_sketches(folder: str | Path, **thresholds: float) -> int:
    """Draw `sketches/` from `photos/` with `edges.extract_edges`, black lines on white; return how many were drawn.

    Sketches that are there already are kept. A photo that cannot be read raises a PairError that names it.

    Parameters
    ----------
    **thresholds
        `sigma`, `low` and `high` of `extract_edges`.
    """
    folder = Path(folder)
    photos, problems = _list_images(folder, "photos")
    (folder / "sketches").mkdir(exist_ok=True)
    present, drawn = {_stem(path.name) for path in (folder / "sketches").iterdir()}, 0
    for stem, path in photos.items():
        if stem in present:
            continue
        try:
            edges = extract_edges(read_image(path), **thresholds)
        except ImageError as error:
            problems.append(f"photos/{path.name}: {error}: replace the file")
            continue
        with replacing(folder / "sketches" / f"{stem}.png") as new:
            Image.fromarray(np.where(edges, 0, 255).astype("uint8")).save(new)
        drawn += 1
    _report(problems, False, folder)
    return drawn


# The split ------------------------------------------------------------------------------------------------------------


def split_pairs(pairs: Pairs, held_out: float = 0.1, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Split into training and held-out pairs; a group is never divided, and no pair is lost or doubled.

    Parameters
    ----------
    held_out : float
        Share of the *groups* that is held out, in (0, 1). Without a column `group` a group is one pair.

    Raises
    ------
    ValueError
        If `held_out` is not in (0, 1), or the groups are too few for both sides to have one.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out={held_out}: expected a share between 0 and 1, such as 0.1")
    splitter = GroupShuffleSplit(n_splits=1, test_size=held_out, random_state=seed)
    try:
        train, test = next(splitter.split(pairs.images, groups=pairs.groups))
    except ValueError as error:
        raise ValueError(
            f"{len(pairs)} pairs in {len(np.unique(pairs.groups))} groups cannot be split with held_out={held_out}: "
            "hold out more, or use smaller groups"
        ) from error
    return pairs[train], pairs[test]
