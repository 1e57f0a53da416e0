"""Every exercise over the graded path, in this process: the reference passes, a stub and wrong answers do not."""

import notebooks

import pytest

EXERCISES = [(name, exercise) for name in notebooks.NOTEBOOKS for exercise in notebooks.exercises(notebooks.load(name))]
WRONG = [(name, path) for name in notebooks.NOTEBOOKS for path in notebooks.wrong_answers(name)]


def each(cases):
    names = [f"{name}-{getattr(case, 'stem', None) or case.name}" for name, case in cases]
    return pytest.mark.parametrize(("name", "case"), cases, ids=names)


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


@each(WRONG)
def test_wrong_answer_fails_with_its_message(name, case):
    first, answer = case.read_text(encoding="utf-8").split("\n", 1)
    expected = first.removeprefix("# fails with:").strip()
    assert first.startswith("# fails with:") and expected, (
        "the first line must be `# fails with: <text of the message>`"
    )
    wanted = case.stem.split("__")[0]
    exercise = next((e for n, e in EXERCISES if (n, e.name) == (name, wanted)), None)
    assert exercise, f"{name} has no exercise {wanted!r}; a file is named <exercise>__<mistake>.py"
    points, line, noise = notebooks.grade(name, exercise, answer)
    assert points == 0, f"this mistake gets {points:g} points: {line}"
    assert expected in line.splitlines()[0], f"expected {expected!r} in {line!r}"
    assert line.startswith(f"{wanted}: failed, 0 of {exercise.points:g} points. ") and noise == ""
    message = line.splitlines()[0].split(" points. ", 1)[1]
    assert "does not hold" not in message, f"an assert without a message: {line}"
    assert len(message) >= 20, f"too short to help a student: {line}"


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_every_exercise_has_two_wrong_answers(name):
    have = [path.stem.split("__")[0] for path in notebooks.wrong_answers(name)]
    few = {e.name: have.count(e.name) for n, e in EXERCISES if n == name and have.count(e.name) < 2}
    assert not few, f"fewer than two wrong answers in tests/wrong_answers for: {few}"


def test_every_folder_of_wrong_answers_belongs_to_a_notebook():
    stems = {name.rsplit("/")[-1].removesuffix(".ipynb") for name in notebooks.NOTEBOOKS}
    folders = {path.name for path in notebooks.ROOT.glob("tests/wrong_answers/*") if path.is_dir()}
    assert folders <= stems, f"no notebook for {sorted(folders - stems)}"
