"""Edges: thin, on outlines, and wherever a colour changes."""

from utils.diffusion.edges import extract_edges

import numpy as np


def test_edges_of_a_square_are_its_outline():
    picture = np.full((40, 40, 3), 250, "uint8")
    picture[10:30, 10:30] = (200, 30, 30)
    rows, columns = np.nonzero(extract_edges(picture))
    on_outline = (np.minimum(abs(rows - 9.5), abs(rows - 29.5)) <= 1) | (
        np.minimum(abs(columns - 9.5), abs(columns - 29.5)) <= 1
    )
    assert on_outline.all()
    assert 70 <= len(rows) <= 90  # thin: about 80 pixels around a square of 20


def test_edges_see_a_change_of_colour_alone_and_nothing_in_a_flat_picture():
    picture = np.full((20, 20, 3), 100, "uint8")
    assert not extract_edges(picture).any()
    picture[:, 10:] = (160, 100, 70)
    assert extract_edges(picture)[:, 9:11].any(axis=1).mean() > 0.9
