"""Shared by all tests: no window for figures, and what belongs together stays on one process of `pytest -n`."""

import os
import re

from utils.course import run

import pytest
from xdist.scheduler import LoadFileScheduling

os.environ["MPLBACKEND"] = "Agg"
os.environ.update(run.threads(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))))


class LoadNotebookScheduling(LoadFileScheduling):
    """As `--dist loadfile`, but tests of the lectures on two notebooks may run on two processes.

    Not those of `tests/course`, which share a course folder that takes minutes to make. (xdist's own way,
    `--dist loadgroup`, has no effect in xdist 3.8 under pytest 9.2.)
    """

    def _split_scope(self, nodeid):
        file, _, test = nodeid.partition("::")
        return file if file.startswith("tests/course/") else file + "".join(re.findall(r"\[.*?\.ipynb", test))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return LoadNotebookScheduling(config, log)
