"""How well a picture obeys its sketch and its caption, and how real a set of pictures looks.

Pictures are uint8, shape (n, height, width, 3). Scores are one number a picture, so that intervals can be computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from utils.diffusion.colours import colour_shares, name_colours
from utils.diffusion.edges import extract_edges
from utils.diffusion.images import to_float

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage, stats

SILHOUETTE_DISTANCE = 60.0  # in RGB, [0, 255], from the background
CONFIDENCE, RESAMPLES = 0.95, 2000  # of the bootstrap
KID_SUBSETS = 100


def _check_pictures(*sets: np.ndarray) -> None:
    for pictures in sets:
        if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8:
            raise ValueError(f"pictures: found {pictures.dtype} {pictures.shape}, expected uint8 (n, height, width, 3)")
    if len({pictures.shape for pictures in sets}) > 1:
        raise ValueError(f"pictures to compare have the shapes {[pictures.shape for pictures in sets]}: expected equal")


# Control --------------------------------------------------------------------------------------------------------------


def edge_f1(generated: np.ndarray, truth: np.ndarray, tolerance: int = 1) -> float:
    """Return the F1 between two edge maps, bool (height, width), in [0, 1].

    An edge pixel counts as found when the other map has one at most `tolerance` pixels away in both directions; 0 is
    the strict F1. Two empty maps agree: 1.
    """
    if not generated.any() and not truth.any():
        return 1.0
    if not generated.any() or not truth.any():
        return 0.0
    square = np.ones((2 * tolerance + 1,) * 2, bool)
    precision = ndimage.binary_dilation(truth, square)[generated].mean()
    recall = ndimage.binary_dilation(generated, square)[truth].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def border_colour(picture: np.ndarray) -> np.ndarray:
    """Return the median RGB of a picture's outermost pixels, shape (3,): its background."""
    border = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    return np.median(border, axis=0)


def frame_std(pictures: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each picture's frame in [0, 255], mean over RGB, shape (n,).

    The frame is a sixteenth of the side wide. The background of our pictures is plain: whatever is above the true
    pictures' value, where the thing reaches into the frame, is an unquiet background.
    """
    _check_pictures(pictures)
    frame = np.ones(pictures.shape[1:3], bool)
    width = max(1, len(frame) // 16)
    frame[width:-width, width:-width] = False
    return pictures[:, frame].astype("float64").std(axis=1).mean(axis=-1)


def silhouette(picture: np.ndarray) -> np.ndarray:
    """Return where a picture is further than 60 in RGB from its background, bool (height, width)."""
    return np.linalg.norm(picture.astype("float32") - border_colour(picture), axis=-1) > SILHOUETTE_DISTANCE


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union (IoU) of two bool maps; two empty maps agree: 1."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


def edge_ssim(generated: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the structural similarity (Wang et al. 2004) of edge maps, bool (n, height, width), shape (n,).

    TensorFlow's, on every backend: `keras.ops.image` has none.
    """
    first, second = (tf.constant(edges[..., None].astype("float32")) for edges in (generated, truth))
    return tf.image.ssim(first, second, max_val=1.0).numpy()


def control_scores(generated: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Score how well pictures keep the shape of the true ones.

    Parameters
    ----------
    generated, truth : np.ndarray
        uint8, shape (n, height, width, 3), the same n sketches in the same order.

    Returns
    -------
    dict
        `edge_f1` (1 pixel of tolerance), `edge_f1_strict`, `silhouette_iou` and `ssim` of the edges, each (n,).
    """
    _check_pictures(generated, truth)
    edges = [np.stack([extract_edges(picture) for picture in pictures]) for pictures in (generated, truth)]
    pairs = list(zip(*edges, strict=True))
    return {
        "edge_f1": np.array([edge_f1(a, b, tolerance=1) for a, b in pairs]),
        "edge_f1_strict": np.array([edge_f1(a, b, tolerance=0) for a, b in pairs]),
        "silhouette_iou": np.array([iou(silhouette(a), silhouette(b)) for a, b in zip(generated, truth, strict=True)]),
        "ssim": edge_ssim(*edges),
    }


def psnr(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio in dB of each pair of pictures, shape (n,); at most 100."""
    _check_pictures(images, reconstructions)
    error = ((reconstructions.astype("float64") - images) ** 2).mean(axis=(1, 2, 3))
    return 10.0 * np.log10(255.0**2 / np.maximum(error, 255.0**2 * 1e-10))


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ControlRow:
    """One control score beside its floors and its ceiling.

    Attributes
    ----------
    score : str
        A name of `control_scores`.
    value, share : Interval
        The score, and its share of the range from the highest of the floors (0) to the ceiling (1), `share_of_range`.
    floors : dict of str to float
        The means without control, by name.
    ceiling : float
        The mean of the true pictures through the VAE.
    """

    score: str
    value: Interval
    floors: dict[str, float]
    ceiling: float
    share: Interval


def share_of_range(value: float, floor: float, ceiling: float) -> float:
    """Return (value - floor) / (ceiling - floor): 0 is no control, 1 as good as the true picture through the VAE.

    NaN where the ceiling is not above the floor: there is no range to measure in (a VAE that has not learned yet).
    """
    return (value - floor) / (ceiling - floor) if ceiling > floor else np.nan


def control_table(
    truth: np.ndarray, generated: np.ndarray, floors: dict[str, np.ndarray], ceiling: np.ndarray
) -> list[ControlRow]:
    """Put each control score beside its floors and its ceiling.

    Parameters
    ----------
    truth, ceiling : np.ndarray
        uint8, (n, height, width, 3): the true pictures, and the same through the VAE.
    generated : np.ndarray
        uint8, (seeds, n, height, width, 3): pictures of the n sketches, once for each seed.
    floors : dict
        Name, such as "no control" or "shuffled sketches", to pictures shaped as `generated`.
    """

    def over_seeds(pictures: np.ndarray) -> dict[str, np.ndarray]:
        rows = [control_scores(some, truth) for some in pictures]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    scores, tops = over_seeds(generated), control_scores(ceiling, truth)
    bottoms = {name: over_seeds(pictures) for name, pictures in floors.items()}
    table = []
    for name, values in scores.items():
        means = {which: float(rows[name].mean()) for which, rows in bottoms.items()}
        top, interval = float(tops[name].mean()), bootstrap_interval(values)
        low, middle, high = (
            share_of_range(v, max(means.values()), top) for v in (interval.low, interval.value, interval.high)
        )
        table.append(ControlRow(name, interval, means, top, Interval(middle, low, high)))
    return table


def bootstrap_interval(values: np.ndarray) -> Interval:
    """Return the mean and its 95 % percentile-bootstrap interval (Efron 1979).

    Parameters
    ----------
    values : np.ndarray
        Shape (n,), or (seeds, n): then the n sketches are drawn again, each with all its seeds, for pictures of one
        sketch are not independent.
    """
    values = np.atleast_2d(np.asarray(values, "float64")).mean(axis=0)
    if len(values) < 2:
        raise ValueError(f"bootstrap_interval: {len(values)} values, expected at least 2")
    if np.ptp(values) == 0:  # scipy warns and returns NaN
        return Interval(*3 * (float(values[0]),))
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="percentile", rng=0
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high))


# Caption --------------------------------------------------------------------------------------------------------------


def background_colours(pictures: np.ndarray) -> np.ndarray:
    """Return the name of each picture's background colour, shape (n,), str."""
    _check_pictures(pictures)
    return name_colours(np.stack([border_colour(picture) for picture in pictures]))


def main_colours(pictures: np.ndarray) -> np.ndarray:
    """Return the name of the colour that covers most of each picture's silhouette, shape (n,); "" where it is empty.

    Pixels beside the silhouette's rim are left out, where thing and background mix, unless nothing else remains.
    """
    _check_pictures(pictures)
    names = []
    for picture in pictures:
        inside = silhouette(picture)
        core = ndimage.binary_erosion(inside)
        shares = colour_shares(picture[core if core.any() else inside])
        names.append(max(shares, key=lambda name: shares[name]) if shares else "")
    return np.array(names)


def caption_scores(
    pictures: np.ndarray, backgrounds: Sequence[str] | np.ndarray, mains: Sequence[str] | np.ndarray
) -> dict[str, np.ndarray]:
    """Tell which pictures have the background and the main colour that their captions name, each bool (n,)."""
    if not len(pictures) == len(backgrounds) == len(mains):
        raise ValueError(f"{len(pictures)} pictures, {len(backgrounds)} backgrounds, {len(mains)} main colours")
    return {
        "background": background_colours(pictures) == np.asarray(backgrounds),
        "main_colour": main_colours(pictures) == np.asarray(mains),
    }


# Realism --------------------------------------------------------------------------------------------------------------


def vae_features(pictures: np.ndarray, encoder: keras.Model) -> np.ndarray:
    """Return the feature space of our KID: 4 x 4 averages and standard deviations of the VAE's mean latents.

    Inception features, which published KIDs use, cannot be had offline: our numbers compare only with each other.

    Parameters
    ----------
    pictures : np.ndarray
        uint8, (n, side, side, 3), with the side that the encoder was built for.
    encoder : keras.Model
        Pictures in [-1, 1] to moments, mean first.

    Returns
    -------
    np.ndarray
        float64, (n, 2 * 4 * 4 * latent channels).
    """
    _check_pictures(pictures)
    moments = np.asarray(encoder.predict(to_float(pictures), verbose=0), "float64")
    mean = moments[..., : moments.shape[-1] // 2]
    n, height, width, channels = mean.shape
    cells = mean.reshape(n, 4, height // 4, 4, width // 4, channels)
    return np.concatenate([cells.mean(axis=(2, 4)).reshape(n, -1), cells.std(axis=(2, 4)).reshape(n, -1)], axis=1)


def kid(first: np.ndarray, second: np.ndarray, size: int = 100) -> tuple[float, float]:
    """Return the kernel inception distance and its standard deviation over 100 subsets (Bińkowski et al. 2018).

    It is the unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³; around 0 for two samples of one
    distribution, where it may be negative.

    Parameters
    ----------
    first, second : np.ndarray
        Features (n, d) and (m, d) of two sets of pictures, brought here to the scale of `second`.
    size : int
        How many pictures a subset holds at most.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"kid: features {first.shape} and {second.shape}, expected (n, d) and (m, d), n and m above 1")
    mean, std = second.mean(axis=0), second.std(axis=0) + 1e-6
    first, second = (first - mean) / std, (second - mean) / std
    rng, size = np.random.default_rng(0), min(size, len(first), len(second))
    values = []
    for _ in range(KID_SUBSETS):
        x, y = (features[rng.choice(len(features), size, replace=False)] for features in (first, second))
        values.append(_mmd2(x, y))
    return float(np.mean(values)), float(np.std(values))


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # One line; scikit-learn's polynomial_kernel would check its arguments anew in each of 300 small calls.
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())
