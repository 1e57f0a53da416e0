"""The two drawings of the assignment hold what the text speaks of, and no box covers another."""

import itertools

from utils.diffusion import drawings

import matplotlib.pyplot as plt
import pytest

WORDS = {
    "training_and_sampling": {
        "random\nstep $t$",
        "noise $\\varepsilon$",
        "the loop, once for each step",
        "VAE\ndecoder",
    },
    "controlnet": {"locked\nblock 1", "copy of\nblock 1", "hint encoder,\nlast layer zero", "zero conv. 0"},
}


@pytest.mark.parametrize("name", WORDS)
def test_words_and_free_boxes(name):
    fig = getattr(drawings, name)()
    fig.canvas.draw()
    texts = [text for ax in fig.axes for text in ax.texts if text.get_text()]
    assert WORDS[name] <= {text.get_text() for text in texts}
    frames = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert not [(a, b) for (a, one), (b, other) in itertools.combinations(frames, 2) if one.overlaps(other)]
    plt.close(fig)


def test_all_residuals_are_added():
    fig = drawings.controlnet()
    written = [text.get_text().strip() for text in fig.axes[0].texts]
    assert written.count("+") == sum(text.startswith("zero conv.") for text in written) == 4
    plt.close(fig)
