"""Pairs in a folder: every file is checked first, then they are split by groups.

The folder format: `photos/` (the target images) and `sketches/` with one PNG or JPEG of the same stem each, and
`captions.csv` with the columns `file` and `caption`, and optionally `group` for what a split must not separate. The
table may be a spreadsheet's: comma, semicolon or tab, UTF-8 or UTF-16, with or without a byte-order mark.
"""

import csv
import hashlib
import io
import re
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.diffusion.edges import extract_edges
from utils.diffusion.images import ImageError, is_empty, is_inverted, read_image, read_sketch
from utils.files import replacing

import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit

__all__ = ["PairError", "Pairs", "extract_sketches", "load_pairs", "split_pairs"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif"}
OF_THE_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
DELIMITERS = ",;\t|"
UTF16 = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"f\0": "utf-16-le",
    b"\0f": "utf-16-be",
}  # Excel's "Unicode text"
INVISIBLE = str.maketrans(dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""))
LISTED = 20  # bad files that a message names
INVERTED = "have light lines on a dark ground and are read inverted, as dark lines on white"
EMPTY = "are of one colour, without a line: draw them, or remove the pairs"
FILLED = "are more ink than paper: a branch learns from thin lines, so draw outlines, or remove the pairs"
CONTENTS = 32  # pairs whose contents are in a fingerprint


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

    def fingerprint(self) -> str:
        """Return a hash of the names, sizes and captions of all pairs and the contents of some."""
        digest = hashlib.sha256()
        for photo, sketch, caption in zip(self.images, self.sketches, self.captions, strict=True):
            for path in (Path(photo), Path(sketch)):
                digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(f"{caption}\n".encode())
        for i in np.unique(np.linspace(0, len(self) - 1, CONTENTS).astype(int)) if len(self) else ():
            digest.update(Path(self.images[i]).read_bytes() + Path(self.sketches[i]).read_bytes())
        return digest.hexdigest()[:16]


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

    Warns
    -----
    UserWarning
        Sketches with light lines on a dark ground, which are read inverted (`images.read_sketch`), and sketches of one
        colour, which tell the model nothing.
    """
    folder = Path(folder)
    rows, problems = _read_captions(folder)
    photos, more = _list_images(folder, "photos")
    problems += more
    sketches, more = _list_images(folder, "sketches")
    problems += more
    problems += _missing_partners(rows, photos, sketches)
    good: list[tuple[str, str, str, str]] = []
    notes: dict[str, list[str]] = {INVERTED: [], EMPTY: [], FILLED: []}
    for stem, row in rows.items():
        if stem in photos and stem in sketches:
            found = _check_files(photos[stem], sketches[stem], folder, notes)
            problems += found
            if not found:
                good.append((str(photos[stem]), str(sketches[stem]), row.caption, row.group))
    _report(problems, skip_bad, folder)
    for said, names in notes.items():
        if names:
            warnings.warn(f"{folder}: {len(names)} sketches {said}; the first is {names[0]}", stacklevel=2)
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
        near = [other.name for other in sorted(folder.iterdir()) if other.name.lower().startswith("captions")]
        there = f" (there is {near[0]}: save it as captions.csv)" if near else ""
        raise PairError(f"{path}: not found{there}; expected a table with the columns file and caption")
    columns, records, problems = _read_table(path)
    rows: dict[str, _Row] = {}
    for line, fields in records:
        row = dict(zip(columns, (_clean(field) for field in fields), strict=True))
        name, caption = _file_name(row["file"]), row["caption"]
        stem = _stem(name)
        if not name or not caption:
            problems.append(f"captions.csv line {line}: the file or the caption is empty: fill it in")
        elif stem in rows:
            problems.append(f"captions.csv line {line}: {name} has a caption already: keep one")
        else:
            rows[stem] = _Row(caption, row.get("group", ""))
    return rows, problems


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], list[str]]:
    """Columns, records with the numbers of their lines, and problems of a table as people and spreadsheets write it."""
    raw = path.read_bytes()
    encoding = next((name for start, name in UTF16.items() if raw.startswith(start)), "utf-8-sig")
    try:
        lines = list(io.StringIO(raw.decode(encoding), newline=""))
    except UnicodeDecodeError as error:
        raise PairError(f"{path}: not a CSV file in UTF-8 ({error}): save it as UTF-8") from error
    first = next((i for i, line in enumerate(lines) if _clean(line)), 0)
    heading = lines[first].translate(INVISIBLE) if lines else ""
    if named := re.match(r'"?sep=(.)', heading):  # Excel's own line
        first += 1
        heading = lines[first] if first < len(lines) else ""
    found = {
        d: [_clean(field).casefold() for field in _fields(heading, d)] for d in (named[1] if named else DELIMITERS)
    }
    delimiter = next((d for d, names in found.items() if {"file", "caption"} <= set(names)), None)
    if delimiter is None:
        columns = max(found.values(), key=len)[:8]
        raise PairError(f"{path}: found the columns {columns}, expected file and caption: name them in the first line")
    columns = found[delimiter]
    while not columns[-1]:  # a spreadsheet's empty columns
        columns.pop()
    if len(set(columns)) < len(columns):
        raise PairError(f"{path}: found the columns {columns}: give each a name of its own")
    records, problems = [], []
    for number, line in enumerate(lines[first + 1 :], start=first + 2):  # by lines: an open quotation mark costs one
        fields = _fields(line, delimiter)
        while len(fields) > len(columns) and not _clean(fields[-1]):
            fields.pop()
        hidden = [c for field in fields for c in _clean(field) if unicodedata.category(c) == "Cc"]
        where = f"captions.csv line {number}"
        if not fields:
            problems.append(
                f"{where}: a quotation mark is not closed in its line, or stands inside a text: write the caption in "
                'one line, and "" for a mark between quotation marks'
            )
        elif not any(map(_clean, fields)):
            pass  # an empty line, or a spreadsheet's line of delimiters
        elif len(fields) != len(columns):
            problems.append(
                f"{where}: {len(fields)} fields, the first line names {len(columns)}: write a caption with "
                f"{delimiter!r} in it between quotation marks"
            )
        elif hidden:
            problems.append(f"{where}: the control character {hidden[0]!r} in it: remove it")
        else:
            records.append((number, fields))
    return columns, records, problems


def _fields(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line, none where its quotation marks do not fit."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True), [""]) or [""]
    except csv.Error:
        return []


def _clean(text: str) -> str:
    """Text without characters that nobody sees, one space where several are, composed (a Mac decomposes umlauts)."""
    return unicodedata.normalize("NFC", " ".join(text.translate(INVISIBLE).split()))


def _file_name(entry: str) -> str:
    """The name alone of a file that may be given with its folder."""
    return entry.replace("\\", "/").rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    name = _clean(name)
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _list_images(folder: Path, part: str) -> tuple[dict[str, Path], list[str]]:
    if not (folder / part).is_dir():
        hint = ": draw them with extract_sketches(folder)" if part == "sketches" else ""
        raise PairError(f"{folder / part}: no such folder; expected PNG or JPEG files in it{hint}")
    found: dict[str, Path] = {}
    problems = []
    for path in sorted((folder / part).iterdir()):
        if path.name.startswith(".") or path.name.lower() in OF_THE_SYSTEM:
            continue
        stem = _stem(path.name)
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in path.name):
            shown = path.name.encode("utf-8", "backslashreplace").decode()
            problems.append(f"{part}/{shown}: a name that is no text in UTF-8, or with control characters: rename it")
        elif path.suffix.lower() not in SUFFIXES:
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


def _check_files(photo: Path, sketch: Path, folder: Path, notes: dict[str, list[str]]) -> list[str]:
    """Read both as the training will, compare their shapes, and note a sketch without lines or with light ones."""
    pictures: dict[Path, np.ndarray] = {}
    problems = []
    for path in (photo, sketch):
        try:
            pictures[path] = read_image(path)
        except ImageError as error:
            problems.append(f"{path.relative_to(folder)}: {error}: replace the file")
    if problems:
        return problems
    (h1, w1, _), (h2, w2, _) = (picture.shape for picture in pictures.values())
    if abs(w1 / h1 - w2 / h2) > 0.02 * w1 / h1:
        return [
            f"{photo.relative_to(folder)} is {w1} x {h1}, its sketch {w2} x {h2}: the sketch cannot lie over the "
            "photo: crop one of them"
        ]
    bare = is_empty(pictures[sketch])
    if bare and is_empty(read_sketch(sketch)):
        notes[EMPTY].append(str(sketch.relative_to(folder)))
    elif bare or is_inverted(pictures[sketch]):
        notes[INVERTED].append(str(sketch.relative_to(folder)))
    elif pictures[sketch].mean() < 127.5:
        notes[FILLED].append(str(sketch.relative_to(folder)))
    return []


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
