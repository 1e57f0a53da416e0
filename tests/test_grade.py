"""Grading a class: every submission of the corpus gets what it must get, and nothing stops or distorts a batch."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from submissions import corpus

from utils.course import exercises, grade, sandbox

SECONDS = 3  # for one cell; the corpus has cells that never end


def has_walls():
    try:
        with sandbox.Sandbox(corpus.ROOT / "lectures", sandbox.Limits()):
            return True
    except sandbox.NoSandbox:
        return False


WALLS = has_walls()
needs_walls = pytest.mark.skipif(not WALLS, reason="bubblewrap is not installed or not allowed on this machine")


def command(course, submissions, output, *more):
    words = [sys.executable, "-m", "utils.course.grade", submissions, "--output", output, "--course", course]
    words += ["--seconds", SECONDS, "--memory", 1024, "--jobs", 2, *more]
    return [str(word) for word in (words if WALLS else [*words, "--no-sandbox"])]


def run(*arguments, **options):
    done = subprocess.run(command(*arguments), cwd=corpus.ROOT, capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


def statuses(output):
    return {status["student"]: status for status in json.loads((output / "report.json").read_text())}


def points(status):
    return sum(row["score"] for row in status["exercises"].values())


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


@pytest.fixture(scope="module")
def batch(course, tmp_path_factory):
    """The whole corpus as one batch; build/submissions.md gets its table."""
    folder, handed_out = course
    work = tmp_path_factory.mktemp("batch")
    goods = corpus.build(work / "submissions", handed_out)
    code, out, err = run(folder, work / "submissions", work / "out")
    assert code == 1, out[-2000:] + err[-2000:]
    result = statuses(work / "out")
    (corpus.ROOT / "build").mkdir(exist_ok=True)
    (corpus.ROOT / "build" / "submissions.md").write_text((work / "out" / "report.md").read_text())
    return result, goods


@pytest.mark.parametrize("number, name", list(enumerate(corpus.CASES)), ids=list(corpus.CASES))
def test_case(batch, number, name):
    case, status = corpus.CASES[name], batch[0][corpus.student(number, name)]
    words = "; ".join([*status["reasons"], *status["notes"]])
    assert status["status"] == case.status, f"{status['status']}: {words}"
    if WALLS or not case.walls:
        assert points(status) == case.points, f"{points(status)} points: {words}"
        assert case.says in words
    if case.status == grade.REVIEW:
        assert status["reasons"]


def test_every_good_student_gets_full_points(batch):
    found, goods = batch
    assert len(goods) == len(corpus.CASES) + 1
    assert {name: (found[name]["status"], points(found[name])) for name in goods} == dict.fromkeys(
        goods, (grade.GRADED, corpus.FULL)
    )
