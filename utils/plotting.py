"""The look of the course's figures, and the figures that several notebooks share."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np

# Okabe-Ito, https://jfly.uni-koeln.de/color/ : eight colours that colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#777777"
MARKERS = "os^Dv*P"


def use_style() -> None:
    """Apply the course's style file to all figures that follow."""
    plt.style.use(str(files("utils") / "course.mplstyle"))
    plt.rcParams["figure.max_open_warning"] = 0  # graded without a display, all figures of a notebook stay open


def show_images(images, titles: Sequence[str] | None = None, columns: int = 8, limits=(0.0, 1.0), size: float = 1.1):
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
    images = np.asarray(images)
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] == 3):
        raise ValueError(f"images: expected shape (n, height, width) or (n, height, width, 3), got {images.shape}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: expected one for each of the {len(images)} pictures, got {len(titles)}")
    rows = -(-len(images) // columns)
    height = size * (1.25 if titles is not None else 1.0)
    fig, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        if image.ndim == 3:
            image = np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1)
        axis.imshow(image, cmap="gray_r", vmin=limits[0], vmax=limits[1])
        if titles is not None:
            axis.set_title(titles[i], fontsize=8, loc="center")
    return fig


def show_rows(rows: Mapping[str, object], titles: Sequence[str] | None = None, size: float = 1.0):
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
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    return fig


def learning_curves(histories: Mapping[str, object], metrics: Sequence[str] = ("loss", "accuracy"), title: str = ""):
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
    for axis, metric in zip(axes[0], metrics, strict=True):
        for color, marker, (label, history) in zip(
            (BLUE, ORANGE, GREEN, PINK), MARKERS, histories.items(), strict=False
        ):
            curves = getattr(history, "history", history)
            epochs = np.arange(1, len(curves[metric]) + 1)
            every = max(1, len(epochs) // 8)
            style = {"color": color, "marker": marker, "markevery": every}
            axis.plot(epochs, curves[metric], linestyle="-", label=f"{label}training", **style)
            if f"val_{metric}" in curves:
                axis.plot(
                    epochs, curves[f"val_{metric}"], linestyle="--", mfc="white", label=f"{label}validation", **style
                )
        axis.set(xlabel="epoch", ylabel=metric)
        axis.legend()
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    return fig
