"""The look of the course's figures, and the figures that several notebooks share."""

import io
import itertools
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.pylabtools import retina_figure
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

# Okabe-Ito, https://jfly.uni-koeln.de/color/ : eight colours that colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
MARKERS = "os^Dv*P"  # as many as colours: a line has one of each


def use_style() -> None:
    """Apply the course's style file to all figures that follow; in a notebook they are sharp and have an alt text."""
    plt.style.use(str(files("utils") / "course.mplstyle"))
    plt.rcParams["figure.max_open_warning"] = 0  # graded without a display, all figures of a notebook stay open
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.formatters["image/png"].for_type(Figure, _sharp_png)


def _sharp_png(figure: Figure) -> tuple[bytes, dict[str, Any]] | None:
    """Return a PNG of twice the resolution, and its width, height and alt text for the notebook.

    256 colours of the figure's own make it a third as large, so that sharp figures do not make a notebook heavy.
    """
    made = retina_figure(figure)
    if not made:  # an empty figure
        return None
    picture, file = Image.open(io.BytesIO(made[0])).convert("RGB"), io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue(), {**made[1], "alt": alt_text(figure)}


def alt_text(figure: Figure) -> str:
    """Describe a figure in words for readers who do not see it: its finding, its panels and what their axes show."""
    finding = [figure.get_suptitle()]
    panels = []
    for axes in figure.axes:
        title = axes.get_title("left") or axes.get_title("center")
        labels = " against ".join(filter(None, (axes.get_ylabel(), axes.get_xlabel())))
        panels.append(": ".join(filter(None, (title, labels))))
    shown = list(dict.fromkeys(filter(None, finding + panels)))
    words = ". ".join(" ".join(text.split()) for text in shown)
    return (words if len(words) <= 400 else words[:397] + "...") or "A figure without words"


def show_images(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    limits: tuple[float, float] = (0.0, 1.0),
    size: float = 1.1,
) -> Figure:
    """Show pictures in a grid, uninterpolated, all with one value range.

    Parameters
    ----------
    images : array_like
        Shape (n, height, width) for grey values (drawn dark on light) or (n, height, width, 3) for colours.
    titles : sequence of str, optional
        One title a picture.
    columns : int
        Pictures a row.
    limits : tuple of float
        Values drawn as white and as black (grey), or the range that is mapped to [0, 1] (colours).
    size : float
        Width and height of a picture in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shape of `images` is neither of the two, or the number of titles differs from that of the pictures.
    """
    pictures = np.asarray(images)
    if pictures.ndim != 3 and not (pictures.ndim == 4 and pictures.shape[-1] == 3):
        raise ValueError(f"images: expected shape (n, height, width) or (n, height, width, 3), got {pictures.shape}")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"titles: expected one for each of the {len(pictures)} pictures, got {len(titles)}")
    rows = -(-len(pictures) // columns)
    height = size * (1.25 if titles is not None else 1.0)
    fig, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        if picture.ndim == 3:
            picture = np.clip((picture - limits[0]) / (limits[1] - limits[0]), 0, 1)
        axis.imshow(picture, cmap="gray_r", vmin=limits[0], vmax=limits[1])
        if titles is not None:
            axis.set_title(titles[i], fontsize=8, loc="center")
    return fig


def show_rows(rows: Mapping[str, Any], titles: Sequence[str] | None = None, size: float = 1.0) -> Figure:
    """Show pictures in rows, uninterpolated, each row with its label on the left.

    They are shown with 32 levels a channel, since noise that nobody sees makes a notebook large.

    Parameters
    ----------
    rows : mapping of str to array_like
        Label to pictures of shape (n, height, width, 3), uint8 or float in [0, 1]; n is the same in every row.
    titles : sequence of str, optional
        One title a column.
    size : float
        Width and height of a picture in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the rows, or the titles, differ in number.
    """
    counts = {label: len(pictures) for label, pictures in rows.items()} | ({"titles": len(titles)} if titles else {})
    if len(set(counts.values())) != 1:
        raise ValueError(f"rows: expected as many pictures in each row as titles, got {counts}")
    columns = next(iter(counts.values()))
    lines = 1 + max(title.count("\n") for title in titles) if titles else 0
    height = len(rows) * size * 1.04 + 0.13 * lines
    fig, axes = plt.subplots(len(rows), columns, figsize=(columns * size + 0.8, height), squeeze=False)
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            scale = 255 if np.asarray(picture).dtype == np.uint8 else 1
            axis.imshow(np.round(np.clip(picture / np.float32(scale), 0, 1) * 31) / 31)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for axis, title in zip(axes[0], titles or (), strict=False):
        axis.set_title(title, fontsize=7, loc="center")
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return fig


def learning_curves(
    histories: Mapping[str, Any], metrics: Sequence[str] = ("loss", "accuracy"), title: str = ""
) -> Figure:
    """Draw training and validation curves over epochs, one panel a metric.

    Parameters
    ----------
    histories : mapping of str to keras.callbacks.History or dict
        Label to what `model.fit` returned, or to its `.history`.
    metrics : sequence of str
        Names of metrics; the curve named `val_<metric>` is drawn beside it, dashed, where it exists.
    title : str
        What the figure finds.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, axes = plt.subplots(1, len(metrics), figsize=(4.2 * len(metrics), 3.2), squeeze=False)
    looks = list(zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), histories.items(), strict=False))
    for axis, metric in zip(axes[0], metrics, strict=True):
        for colour, marker, (label, history) in looks:
            curves = getattr(history, "history", history)
            epochs = np.arange(1, len(curves[metric]) + 1)
            plot = partial(axis.plot, epochs, color=colour, marker=marker, markevery=max(1, len(epochs) // 8))
            name = f"{label} " if label else ""
            plot(curves[metric], linestyle="-", label=f"{name}training")
            if f"val_{metric}" in curves:
                plot(curves[f"val_{metric}"], linestyle="--", mfc="white", label=f"{name}validation")
        axis.set(xlabel="epoch", ylabel=metric)
        axis.legend()
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    return fig
