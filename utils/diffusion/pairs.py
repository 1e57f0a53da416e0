"""Sketch, photo and caption from a folder: check every file first, split by groups, then batches with `tf.data`.

The folder format: `photos/` and `sketches/` with one PNG or JPEG of the same stem each, and `captions.csv` with the
columns `file` and `caption`, and optionally `group` for what a split must not separate.
"""

import csv
import hashlib
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy import ndimage

SUFFIXES = {".png", ".jpg", ".jpeg"}
LISTED = 20  # bad files that a message names
EXIF_ORIENTATION = 274


class PairError(ValueError):
    """The folder does not hold complete, readable pairs; the message names the files and what to do."""


@dataclass(frozen=True)
class Pairs:
    """Checked pairs: paths, captions and groups, aligned; `len` and index arrays work as with NumPy.

    Attributes
    ----------
    photos, sketches, captions : np.ndarray
        Shape (n,), str.
    groups : np.ndarray
        Shape (n,), int: pairs of one number belong on the same side of a split.
    """

    photos: np.ndarray
    sketches: np.ndarray
    captions: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index) -> "Pairs":
        return Pairs(self.photos[index], self.sketches[index], self.captions[index], self.groups[index])


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
                good.append((str(photos[stem]), str(sketches[stem]), row["caption"], row["group"]))
    _report(problems, skip_bad, folder)
    if len(good) < minimum:
        raise PairError(f"{folder}: {len(good)} good pairs, fewer than one batch of {minimum}: add pairs")
    photos, sketches, captions, groups = (np.array(column) for column in zip(*good, strict=True))
    return Pairs(photos, sketches, captions, _number_groups(photos, groups))


def _read_captions(folder: Path) -> tuple[dict[str, dict], list[str]]:
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
    rows, problems = {}, []
    for line, row in enumerate(table, start=2):
        name, caption = (row["file"] or "").strip(), (row["caption"] or "").strip()
        stem = _stem(name)
        if not name or not caption:
            problems.append(f"captions.csv line {line}: the file or the caption is empty: fill it in")
        elif stem in rows:
            problems.append(f"captions.csv line {line}: {name} has a caption already: keep one")
        else:
            rows[stem] = {"caption": caption, "group": (row.get("group") or "").strip()}
    return rows, problems


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _list_images(folder: Path, part: str) -> tuple[dict[str, Path], list[str]]:
    if not (folder / part).is_dir():
        hint = ": draw them with extract_sketches(folder)" if part == "sketches" else ""
        raise PairError(f"{folder / part}: no such folder; expected PNG or JPEG files in it{hint}")
    found, problems = {}, []
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


def _missing_partners(rows: dict, photos: dict, sketches: dict) -> list[str]:
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
    sizes, problems = [], []
    for path in (photo, sketch):
        try:
            sizes.append(_check_image(path))
        except Exception as error:
            reason = str(error).split("\n")[0].split(" [Op:")[0]
            problems.append(f"{path.relative_to(folder)}: {reason}: replace the file")
    if not problems:
        (w1, h1), (w2, h2) = sizes
        if abs(w1 / h1 - w2 / h2) > 0.02 * w1 / h1:
            problems.append(
                f"{photo.relative_to(folder)} is {w1} x {h1}, its sketch {w2} x {h2}: the sketch cannot lie over the "
                "photo: crop one of them"
            )
    return problems


def _check_image(path: Path) -> tuple[int, int]:
    """Decode a file as the pipeline will and return (width, height)."""
    content = path.read_bytes()
    if not content:
        raise ValueError("the file is empty")
    with Image.open(path) as image:
        if image.format not in ("PNG", "JPEG"):
            raise ValueError(f"named {path.suffix}, but its content is {image.format}")
        if image.mode == "CMYK":
            raise ValueError("a CMYK picture, expected RGB or grey")
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            raise ValueError("turned only by its EXIF tag, save it upright")
    height, width = tf.io.decode_image(content, channels=3, expand_animations=False).shape[:2]
    return int(width), int(height)


def _report(problems: list[str], skip_bad: bool, folder: Path) -> None:
    if not problems:
        return
    lines = "\n".join(f"  {problem}" for problem in problems[:LISTED])
    rest = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    message = f"{folder}: {len(problems)} problems\n{lines}{rest}"
    if not skip_bad:
        raise PairError(f"{message}\nMend them, or pass skip_bad=True to leave these pairs out.")
    warnings.warn(f"left out, {message}", stacklevel=3)


def _number_groups(photos: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Number the groups: pairs of one name in the column `group`, or with the same file as photo, belong together."""
    parent = {}

    def find(key):
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    keys = []
    for i, (photo, name) in enumerate(zip(photos, named, strict=True)):
        content = hashlib.sha256(Path(photo).read_bytes()).hexdigest()
        parent[find(("content", content))] = find(("group", name or f"alone {i}"))
        keys.append(("content", content))
    roots = [find(key) for key in keys]
    numbers = {root: i for i, root in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[root] for root in roots])


# Sketches from photos -------------------------------------------------------------------------------------------------


def extract_edges(photo: np.ndarray, sigma: float = 1.0, low: float = 8.0, high: float = 20.0) -> np.ndarray:
    """Find thin edges (Canny 1986), in the channel where the picture changes most.

    Parameters
    ----------
    photo : np.ndarray
        Shape (height, width, 3), values in [0, 255].
    sigma : float
        Width of the Gaussian in pixels.
    low, high : float
        Thresholds of the gradient's size per pixel: an edge holds one pixel above `high` and continues above `low`.

    Returns
    -------
    np.ndarray
        Shape (height, width), bool.
    """
    values = np.asarray(photo, "float32")
    dx = ndimage.gaussian_filter(values, (sigma, sigma, 0), order=(0, 1, 0), mode="nearest")
    dy = ndimage.gaussian_filter(values, (sigma, sigma, 0), order=(1, 0, 0), mode="nearest")
    strongest = np.hypot(dx, dy).argmax(-1)[..., None]
    dx, dy = (np.take_along_axis(d, strongest, -1)[..., 0] for d in (dx, dy))
    size = np.hypot(dx, dy)
    thin = _is_ridge(size, dx, dy) & (size > low)
    labels, _ = ndimage.label(thin, structure=np.ones((3, 3)))
    strong = np.unique(labels[thin & (size > high)])
    return np.isin(labels, strong[strong > 0])


def _is_ridge(size: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Tell where the gradient's size is no smaller than one pixel further along it and one pixel back."""
    unit = np.maximum(size, 1e-6)
    rows, columns = np.indices(size.shape)
    along = [
        ndimage.map_coordinates(size, [rows + s * dy / unit, columns + s * dx / unit], order=1, mode="nearest")
        for s in (-1, 1)
    ]
    return (size >= along[0]) & (size > along[1])


def extract_sketches(folder: str | Path, **thresholds) -> int:
    """Draw `sketches/` from `photos/` with `extract_edges`, black lines on white; return how many were drawn.

    Sketches that are there already are kept. A photo that cannot be read raises a PairError that names it.
    """
    folder = Path(folder)
    photos, problems = _list_images(folder, "photos")
    (folder / "sketches").mkdir(exist_ok=True)
    present, drawn = {_stem(path.name) for path in (folder / "sketches").iterdir()}, 0
    for stem, path in photos.items():
        if stem in present:
            continue
        try:
            _check_image(path)
            photo = np.asarray(Image.open(path).convert("RGB"))
        except Exception as error:
            problems.append(f"photos/{path.name}: {str(error).splitlines()[0]}: replace the file")
            continue
        edges = extract_edges(photo, **thresholds)
        Image.fromarray(np.where(edges, 0, 255).astype("uint8")).save(folder / "sketches" / f"{stem}.png")
        drawn += 1
    _report(problems, False, folder)
    return drawn


# Split and batches ----------------------------------------------------------------------------------------------------


def split_pairs(pairs: Pairs, held_out: float = 0.1, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Split into training and held-out pairs; a group is never divided, and no pair is lost or doubled.

    Raises
    ------
    ValueError
        If `held_out` is not in (0, 1), or the groups are too few or too large for both sides to have a pair.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out={held_out}: expected a share between 0 and 1, such as 0.1")
    sizes = Counter(pairs.groups.tolist())
    chosen, count, goal = set(), 0, held_out * len(pairs)
    for group in np.random.default_rng(seed).permutation(sorted(sizes)):
        if count < goal and count + sizes[group] <= max(1.5 * goal, 1):
            chosen.add(group)
            count += sizes[group]
    if not 0 < count < len(pairs):
        raise ValueError(
            f"{len(pairs)} pairs in {len(sizes)} groups, the largest of {max(sizes.values())}, cannot be split with "
            f"held_out={held_out}: hold out more, or use smaller groups"
        )
    side = np.isin(pairs.groups, list(chosen))
    return pairs[~side], pairs[side]


def make_dataset(
    pairs: Pairs,
    size: int = 64,
    batch_size: int = 8,
    shuffle: int = 1000,
    augment: bool = True,
    hint_range: tuple[float, float] = (0.0, 1.0),
    invert_hint: bool = True,
    parallel: bool = True,
    cache: bool = False,
    prefetch: bool = True,
    drop_remainder: bool = True,
    seed: int = 0,
) -> tf.data.Dataset:
    """Make the input pipeline: shuffle, decode, crop and resize, augment, batch, prefetch.

    Parameters
    ----------
    pairs : Pairs
        Checked by `load_pairs`.
    size : int
        Side of the square pictures; the centre square is cut out of others.
    shuffle : int
        Length of the buffer that shuffles the pairs before they are decoded; 0 keeps their order.
    augment : bool
        Flip and zoom photo and hint together.
    hint_range, invert_hint
        The range of the hints, and whether black lines on white become white on black, as in public ControlNets.
    parallel, cache, prefetch : bool
        Decode several pairs at once; keep decoded pairs in memory after the first epoch; prepare the next batch while
        the model trains.

    Returns
    -------
    tf.data.Dataset
        Batches `{"photo", "hint", "caption"}`: float32 (batch, size, size, 3) in [-1, 1] and in `hint_range`, and
        strings (batch,).
    """
    if drop_remainder and len(pairs) < batch_size:
        raise ValueError(
            f"{len(pairs)} pairs are fewer than one batch of {batch_size}: add pairs or use a smaller batch"
        )
    workers = tf.data.AUTOTUNE if parallel else None
    columns = {"photo": pairs.photos, "hint": pairs.sketches, "caption": pairs.captions}
    data = tf.data.Dataset.from_tensor_slices(columns)
    if shuffle and not cache:
        data = data.shuffle(shuffle, seed=seed)
    data = data.map(lambda pair: _decode_pair(pair, size, hint_range, invert_hint), num_parallel_calls=workers)
    if cache:
        data = data.cache()
        data = data.shuffle(shuffle, seed=seed) if shuffle else data
    if augment:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)
        data = tf.data.Dataset.zip(data, seeds).map(augment_pair, num_parallel_calls=workers)
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    return data.prefetch(tf.data.AUTOTUNE) if prefetch else data


def _decode_pair(pair: dict, size: int, hint_range: tuple[float, float], invert_hint: bool) -> dict:
    photo = _decode(pair["photo"], size) / 127.5 - 1.0
    hint = _decode(pair["hint"], size) / 255.0
    hint = 1.0 - hint if invert_hint else hint
    low, high = hint_range
    return {"photo": photo, "hint": low + (high - low) * hint, "caption": pair["caption"]}


def _decode(path: tf.Tensor, size: int) -> tf.Tensor:
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    side = tf.minimum(tf.shape(image)[0], tf.shape(image)[1])
    image = tf.image.resize_with_crop_or_pad(image, side, side)  # only ever crops
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.clip_by_value(tf.ensure_shape(image, (size, size, 3)), 0.0, 255.0)


def augment_pair(pair: dict, seed: tf.Tensor, smallest: float = 0.85) -> dict:
    """Flip and zoom photo and hint with the same random numbers, so that the sketch still lies over the photo.

    Parameters
    ----------
    pair : dict
        `photo` and `hint`, float32 (size, size, 3); other entries are passed on.
    seed : tf.Tensor
        Shape (2,), int64: the same seed gives the same augmentation.
    smallest : float
        Smallest share of a side that is cut out and scaled to the full size.
    """
    size = pair["photo"].shape[0]
    both = tf.concat([pair["photo"], pair["hint"]], axis=-1)
    flip, share, top, left = tf.unstack(tf.random.stateless_uniform((4,), seed))
    both = tf.where(flip < 0.5, tf.reverse(both, axis=[1]), both)
    share = smallest + (1.0 - smallest) * share
    y, x = top * (1.0 - share), left * (1.0 - share)
    box = tf.stack([y, x, y + share, x + share])[None]
    both = tf.image.crop_and_resize(both[None], box, [0], (size, size))[0]
    return pair | {"photo": both[..., :3], "hint": both[..., 3:]}


def images_per_second(dataset: tf.data.Dataset, seconds: float = 2.0) -> float:
    """Measure how many pictures a second come out of a dataset of batches, repeated, after one batch to start it."""
    batches = iter(dataset.repeat())
    next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += int(next(batches)["photo"].shape[0])
    return count / (time.perf_counter() - start)
