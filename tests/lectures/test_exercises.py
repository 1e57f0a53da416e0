"""Every exercise over the graded path, in this process: the reference passes, a stub and wrong answers do not."""

import notebooks

import keras
import pytest

EXERCISES = [(name, exercise) for name in notebooks.NOTEBOOKS for exercise in notebooks.exercises(notebooks.load(name))]
ANSWERS = [(name, answer) for name in notebooks.NOTEBOOKS for answer in notebooks.answers(name)]
RIGHT, WRONG = ([case for case in ANSWERS if case[1].expected == expected] for expected in ("pass", "fail"))


def each(cases):
    names = [f"{name}-{getattr(case, 'exercise', case.name)}-{case.name}" for name, case in cases]
    return pytest.mark.parametrize(("name", "case"), cases, ids=names)


def grade(name, answer):
    """Return what `notebooks.grade` does for a collected answer, and its exercise."""
    exercise = next((e for n, e in EXERCISES if (n, e.name) == (name, answer.exercise)), None)
    assert exercise, f"{name} has no exercise {answer.exercise!r}"
    return exercise, *notebooks.grade(name, exercise, answer.source)


def assert_clear(line, status, exercise):
    """Demand one line that begins as `checks.grade` promises."""
    reached = exercise.points if status == "passed" else 0
    first, *more = line.splitlines()
    assert first.startswith(f"{exercise.name}: {status}, {reached:g} of {exercise.points:g} points"), line
    assert not more, f"expected one line, got {line}"


@each(EXERCISES)
def test_reference_gets_full_points(name, case):
    points, line, noise = notebooks.grade(name, case, case.solution.source)
    assert_clear(line, "passed", case)
    assert (points, noise) == (case.points, "")


@each(EXERCISES)
def test_stub_is_not_attempted(name, case):
    stub = next(
        cell.source
        for cell in notebooks.student_version(notebooks.load(name)).cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == case.name
    )
    points, line, noise = notebooks.grade(name, case, stub)
    assert_clear(line, "not attempted", case)
    assert (points, noise) == (0, "")


@each(RIGHT)
def test_every_right_answer_gets_full_points(name, case):
    if case.name == "tensorflow_only" and keras.backend.backend() != "tensorflow":
        pytest.skip("differentiates TensorFlow's own functions")
    exercise, points, line, _ = grade(name, case)
    assert points == exercise.points, f"{case.does}: {line}"


@each(WRONG)
def test_wrong_answer_fails_with_its_message(name, case):
    exercise, points, line, noise = grade(name, case)
    assert points == 0, f"this mistake gets {points:g} points: {case.does}"
    assert line.startswith(f"{exercise.name}: failed, 0 of {exercise.points:g} points. ") and noise == ""
    assert case.message in line.splitlines()[0], f"expected {case.message!r} in {line!r}"
    message = line.splitlines()[0].split(" points. ", 1)[1]
    assert "A check does not hold" not in message, f"an assert without a message: {line}"
    assert len(message) >= 20, f"too short to help a student: {line}"


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_every_exercise_has_wrong_answers_with_their_messages(name):
    have = [answer.exercise for answer in notebooks.answers(name) if answer.message]
    few = {e.name: have.count(e.name) for n, e in EXERCISES if n == name and have.count(e.name) < 2}
    assert not few, f"fewer than two wrong answers with a message in tests/answers for: {few}"


def test_answers_have_names_of_their_own_and_every_file_its_notebook():
    names = [(name, answer.exercise, answer.name) for name, answer in ANSWERS]
    assert not {name for name in names if names.count(name) > 1}
    stems = {name.rsplit("/")[-1].removesuffix(".ipynb") for name in notebooks.NOTEBOOKS}
    assert {path.stem for path in (notebooks.ROOT / "tests" / "answers").glob("*")} == stems
