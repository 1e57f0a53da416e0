"""Honest notebooks get full points, or wait for a person where only the student's machine has what they need."""

import corpus
import honest
from test_grade import points, run, statuses

import pytest


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """All kinds of honest.py, one student each, graded as one batch."""
    work = tmp_path_factory.mktemp("honest")
    honest.write(corpus.write_course(work / "course"), work / "in")
    run(work / "course", work / "in", work / "out", "--seconds", "30")
    return statuses(work / "out")


def told(status):
    return "; ".join([*status["reasons"], *(row["line"] for row in status["exercises"].values())])


@pytest.mark.parametrize("name", [*honest.CODE, *honest.SHAPES])
def test_full_points(batch, name):
    assert (batch[name]["status"], points(batch[name])) == ("graded", corpus.FULL), told(batch[name])
    words = "".join(batch[name]["written"]["exam_double"].split())
    assert "".join(honest.WORDS.split()) in words, "the answer in words is lost"


@pytest.mark.parametrize("name", honest.WAITS)
def test_waits_for_a_person(batch, name):
    assert (batch[name]["status"], points(batch[name])) == ("needs review", 4), told(batch[name])
    assert batch[name]["reasons"] and all(reason.startswith("double: ") for reason in batch[name]["reasons"])
