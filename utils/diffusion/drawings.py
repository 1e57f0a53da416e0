"""Two drawings of the assignment: training beside sampling, and what ControlNet adds to the U-Net."""

import itertools
from collections.abc import Mapping, Sequence

from utils.plotting import BLUE, GREEN, GREY, ORANGE

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["controlnet", "training_and_sampling"]

Boxes = Mapping[str, tuple[float, float, str]]  # text: x, y of its middle, colour of its frame
Arrow = tuple[str, str, str]  # from, to, matplotlib's connection style
STRAIGHT = "arc3"


def _draw(ax: Axes, boxes: Boxes, arrows: Sequence[Arrow], title: str) -> None:
    """Draw texts in boxes and the arrows between them; x and y are in inches, so that texts keep their distance."""
    frames = {}
    for text, (x, y, colour) in boxes.items():
        style = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": colour, "lw": 1.6}
        frames[text] = ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=style).get_bbox_patch()
    for start, end, bend in arrows:
        ends = {"patchA": frames[start], "patchB": frames[end], "connectionstyle": bend}
        ax.annotate("", boxes[end][:2], boxes[start][:2], arrowprops={"arrowstyle": "->", "lw": 1.2, **ends})
    ax.set_title(title)
    ax.axis("off")


def _chain(*names: str) -> list[Arrow]:
    return [(start, end, STRAIGHT) for start, end in itertools.pairwise(names)]


def training_and_sampling() -> Figure:
    """Draw how a latent diffusion model is trained (above) and how it makes a picture (below).

    Blue boxes are networks, orange ones are drawn at random or minimised, green is the result.
    """
    fig, (above, below) = plt.subplots(2, 1, figsize=(9.4, 4.8))
    noise, step, guess = "noise $\\varepsilon$", "random\nstep $t$", "guess $\\hat\\varepsilon$"
    loss = "loss\n$(\\varepsilon-\\hat\\varepsilon)^2$"
    boxes = {"photo": (0, 1, GREY), "VAE\nencoder": (1.4, 1, BLUE), "latents\n$z_0$": (2.9, 1, GREY)}
    boxes |= {"noised\n$z_t$": (4.4, 1, GREY), "U-Net": (6.1, 1, BLUE), guess: (7.7, 1, GREY), loss: (9.3, 1, ORANGE)}
    boxes |= {"caption": (2.9, 2, GREY), "text\nencoder": (4.4, 2, BLUE), "context": (6.1, 2, GREY)}
    boxes |= {step: (6.1, 0, ORANGE), noise: (2.9, 0, ORANGE)}
    arrows = _chain("photo", "VAE\nencoder", "latents\n$z_0$", "noised\n$z_t$", "U-Net", guess, loss)
    arrows += _chain("caption", "text\nencoder", "context", "U-Net") + _chain(noise, "noised\n$z_t$")
    arrows += _chain(step, "noised\n$z_t$") + _chain(step, "U-Net")
    arrows += [(noise, loss, "angle3,angleA=-20,angleB=75")]
    _draw(above, boxes, arrows, "Training: noise a photo to a random step, guess the noise, once")
    above.set(xlim=(-0.6, 10), ylim=(-0.75, 2.4))
    _draw_sampling(below)
    return fig


def _draw_sampling(ax: Axes) -> None:
    start, network, guess = "pure noise\n$z_{999}$", "U-Net,\nasked twice", "guided\nguess $\\hat\\varepsilon$"
    cleaner, texts, step = "cleaner latents", "caption and\nempty caption", "step $t$,\nfalling"
    boxes = {start: (0.2, 1, ORANGE), "latents\n$z_t$": (1.9, 1, GREY), network: (3.9, 1, BLUE), guess: (5.7, 1, GREY)}
    boxes |= {cleaner: (7.5, 1, GREY), "VAE\ndecoder": (7.5, 0, BLUE), "picture": (9.2, 0, GREEN)}
    boxes |= {texts: (0.2, 0, GREY), "text\nencoder": (1.9, 0, BLUE), step: (3.9, 0, GREY)}
    arrows = _chain(start, "latents\n$z_t$", network, guess, cleaner, "VAE\ndecoder", "picture")
    arrows += _chain(texts, "text\nencoder", network) + _chain(step, network)
    arrows += [(cleaner, "latents\n$z_t$", "arc3,rad=0.4")]
    _draw(ax, boxes, arrows, "Sampling: no photo; a loop from pure noise to clean latents")
    ax.text(4.7, 2.6, "the loop, once for each step", color=ORANGE, fontsize=9, ha="center")
    ax.text(7.65, 0.45, "after the last step", color=GREY, fontsize=8)
    ax.set(xlim=(-0.6, 10), ylim=(-0.4, 2.9))


def controlnet() -> Figure:
    """Draw the locked U-Net (blue) and the trained branch (orange): copy, hint encoder, zero convolutions.

    Three of the skips stand for all; "+" is where a residual is added.
    """
    fig, ax = plt.subplots(figsize=(9.4, 4.4))
    inputs, hint, guess = "$z_t$, step $t$,\ncontext", "hint encoder,\nlast layer zero", "guess $\\hat\\varepsilon$"
    boxes = {inputs: (-2.3, 3, GREY), "sketch": (9.4, 3.9, GREY), hint: (9.4, 3, ORANGE), guess: (3.3, 3.95, GREY)}
    arrows = _chain("sketch", hint, "copy of\ninput conv.") + _chain(inputs, "locked\ninput conv.")
    arrows += [(inputs, "copy of\ninput conv.", "arc3,rad=-0.32")]
    for row, name in enumerate(("input conv.", "block 1", "block 2", "middle")):
        y = 3 - row
        lock, copy, zero, plus = f"locked\n{name}", f"copy of\n{name}", f"zero conv. {row}", f"{'+':^{2 * row + 1}}"
        boxes |= {lock: (0, y, BLUE), copy: (7, y, ORANGE), zero: (5.1, y - 0.42, ORANGE), plus: (1.6, y, GREY)}
        arrows += [*_chain(lock, plus), (copy, zero, STRAIGHT), (zero, plus, "angle,angleA=180,angleB=90")]
        if name != "middle":
            boxes[f"locked\ndecoder {3 - row}"] = (3.3, y, BLUE)
            arrows += _chain(plus, f"locked\ndecoder {3 - row}")
    for part in ("locked", "copy of"):
        arrows += _chain(*(f"{part}\n{name}" for name in ("input conv.", "block 1", "block 2", "middle")))
    arrows += _chain("   +   ", "locked\ndecoder 1", "locked\ndecoder 2", "locked\ndecoder 3", guess)
    _draw(ax, boxes, arrows, "Blue is locked; orange is trained, and what it adds starts at zero")
    ax.set(xlim=(-3.2, 10.4), ylim=(-0.8, 4.4))
    return fig
