"""Grading over the real notebooks: the reference gets full points in the sandbox, a stub and a trick get none."""

import json
from pathlib import Path

import honest
import notebooks
from test_grade import WALLS
from utils.course import cells, exercises, handed_in, intake, jobs, review, sandbox, warm
from utils.course.cells import parse

import pytest


@pytest.fixture(scope="module")
def course():
    return exercises.read_course()


@pytest.fixture(scope="module")
def zygote(course, tmp_path_factory):
    log = tmp_path_factory.mktemp("warm") / "log"
    process = warm.Zygote(exercises.imported_modules(list(course.values())), log)
    yield process
    process.close()


def grade(lecture, zygote, answers):
    return jobs.Grader(lecture, answers, zygote, sandbox.Limits(), isolated=WALLS).run()


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_reference_gets_full_points_and_no_review(course, zygote, name):
    lecture = course[name.removesuffix(".ipynb")]
    answers = [(exercise.name, lecture.references[exercise.name]) for exercise in lecture.exercises]
    assert {name: review.reaches_machine(source) for name, source in answers if review.reaches_machine(source)} == {}
    verdicts = grade(lecture, zygote, answers)
    wrong = {name: v for name, v in verdicts.items() if v.status != "passed" or v.suspicions}
    assert not wrong
    assert sum(v.score for v in verdicts.values()) == sum(e.points for e in lecture.exercises)


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_wrong_answers_fail_with_the_messages_that_they_have_in_a_notebook(course, zygote, name):
    """One collected wrong answer to each exercise, but for exercises that others build on."""
    lecture = course[name.removesuffix(".ipynb")]
    source = {e.name: lecture.references[e.name] for e in lecture.exercises}
    used = set().union(*map(cells.global_names, source.values()))
    alone = {e.name for e in lecture.exercises if not e.defines & used}
    useful = [a for a in notebooks.answers(name) if a.message and a.exercise in alone and "_reference" not in a.source]
    wrong = {answer.exercise: answer for answer in useful}
    source |= {name: answer.source for name, answer in wrong.items()}
    verdicts = grade(lecture, zygote, list(source.items()))
    assert len(wrong) >= 4
    for exercise, verdict in verdicts.items():
        assert verdict.suspicions == [] and verdict.status == ("failed" if exercise in wrong else "passed"), verdict
        assert exercise not in wrong or wrong[exercise].message in verdict.line, verdict.line


@pytest.mark.parametrize("number, name", list(enumerate(notebooks.NOTEBOOKS)), ids=notebooks.NOTEBOOKS)
def test_right_answers_in_other_styles_and_editors(course, zygote, number, name):
    """A notebook of each lecture: a collected right answer to each exercise that has one, saved by another editor."""
    lecture = course[name.removesuffix(".ipynb")]
    sources = {question.name: f"My answer to {question.name}." for question in lecture.questions}
    sources |= {e.name: lecture.references[e.name] for e in lecture.exercises}
    right = [a for a in notebooks.answers(name) if a.expected == "pass" and "_reference" not in a.source]
    sources |= {answer.exercise: answer.source for answer in right}
    solved = honest.Solved(json.loads(json.dumps(lecture.released)), sources, honest.EDITORS[number])
    read, _ = parse(solved.text().encode())
    job = intake.plan([(handed_in.File("anna", name), read)], lecture)
    assert job.begun.reasons == [] and job.suspicions == {}
    assert job.begun.written == {question.name: sources[question.name] for question in lecture.questions}
    limits = sandbox.Limits()
    verdicts = jobs.Grader(lecture, list(job.cells), zygote, limits, WALLS, job.helped, job.in_order).run()
    assert [v for v in verdicts.values() if v.status != "passed" or v.suspicions] == []
    assert verdicts.keys() == {exercise.name for exercise in lecture.exercises}


def test_stubs_are_not_attempted(course, zygote):
    lecture = course[notebooks.NOTEBOOKS[0].removesuffix(".ipynb")]
    verdicts = grade(lecture, zygote, [(exercise.name, exercise.stub) for exercise in lecture.exercises])
    assert {(v.score, v.status, tuple(v.suspicions)) for v in verdicts.values()} == {(0.0, "not attempted", ())}


TRICKS = {
    "patches_keras": "keras.activations.relu = lambda z: 0\n\n\ndef neuron(x, w, b):\n    return x",
    "patches_a_method": "keras.Model.count_params = lambda self: 0\n\n\ndef neuron(x, w, b):\n    return x",
    "patches_numpy": "np.allclose = lambda *a, **k: True\n\n\ndef neuron(x, w, b):\n    return np.ones(3)",
}


def test_changed_libraries_change_nothing_for_the_tests(course, zygote):
    lecture = next(lecture for name, lecture in course.items() if Path(name).name.startswith("01_"))
    source = "\n".join(TRICKS.values())
    (verdict,) = grade(lecture, zygote, [("neuron", source)]).values()
    assert (verdict.score, verdict.status, verdict.suspicions) == (0, "failed", [])
