"""Shared by all tests: no window for figures, and work that belongs together stays on one process of `pytest -n`."""

import os

import pytest

os.environ["MPLBACKEND"] = "Agg"


def pytest_itemcollected(item):
    """Group the cells of a notebook, and all tests of one file, unless a test names its group."""
    if not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
