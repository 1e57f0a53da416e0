"""Release and autograding through nbgrader itself, for every notebook, in a course folder of its own."""

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path

import notebooks
from utils.course import release

import nbformat
import pytest
from nbgrader.api import Gradebook


@dataclass
class Graded:
    """What came out of release and autograding of one notebook."""

    source: nbformat.NotebookNode
    released: nbformat.NotebookNode
    autograded: dict  # student -> notebook
    scores: dict  # student -> {grade_id: (score, points)} of the test cells


def submit(notebook, path):
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def only_graded(notebook):
    """Return a copy of `notebook` with nothing but its graded path and its exam questions."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if notebooks.is_setup(cell) or notebooks.is_graded(cell)]
    return notebook


def scores(config, student, assignment, stem):
    with Gradebook(config.CourseDirectory.db_url, config.CourseDirectory.course_id) as gradebook:
        grades = gradebook.find_submission_notebook(stem, assignment, student).grades
        return {g.name: (g.auto_score, g.max_score) for g in grades if g.cell.cell_type == "code"}


@pytest.fixture(scope="module", params=notebooks.NOTEBOOKS)
def graded(request, tmp_path_factory):
    """Release the notebook; autograde its untouched student version (all of it) and its source (the graded path)."""
    assignment, file = request.param.split("/")
    stem, course = Path(file).stem, tmp_path_factory.mktemp("course")
    ignore = shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints")
    shutil.copytree(notebooks.ROOT / assignment, course / assignment, ignore=ignore)
    shutil.copy(notebooks.ROOT / request.param, course / assignment)
    config = release.nbgrader_config(notebooks.ROOT, course)
    api = release.nbgrader_api(config)
    release.succeed(api.generate_assignment(assignment), f"release {request.param}")
    source = notebooks.load(request.param)
    released = nbformat.read(course / "student" / assignment / file, as_version=4)

    submissions = {"untouched": released, "reference": only_graded(source)}
    autograded, points = {}, {}
    for student, notebook in submissions.items():
        submit(notebook, course / config.CourseDirectory.submitted_directory / student / assignment / file)
        release.succeed(api.autograde(assignment, student), f"grade {request.param}")
        path = course / config.CourseDirectory.autograded_directory / student / assignment / file
        autograded[student] = nbformat.read(path, as_version=4)
        points[student] = scores(config, student, assignment, stem)
    return Graded(source, released, autograded, points)


def test_student_version_holds_no_secret(graded):
    assert not release.leaks(graded.source, graded.released)


def test_student_version_holds_every_exercise(graded):
    have = [exercise.name for exercise in notebooks.exercises(graded.released)]
    assert have == [exercise.name for exercise in notebooks.exercises(graded.source)] != []


def test_untouched_student_version_runs_without_an_error(graded):
    cells = notebooks.code_cells(graded.autograded["untouched"])
    assert all(cell.execution_count for cell in cells)
    noise = [
        f"{cell.source[:80]}\n{output.get('evalue') or output.get('text')}"
        for cell in cells
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert not noise, "\n".join(noise)


def test_untouched_student_version_gets_zero_as_not_attempted(graded):
    assert {score for score, _ in graded.scores["untouched"].values()} == {0}
    for exercise in notebooks.exercises(graded.autograded["untouched"]):
        shown = "".join(output.get("text", "") for output in exercise.test.outputs)
        assert shown.startswith(f"{exercise.name}: not attempted, 0 of {exercise.points:g} points")


def test_source_gets_full_points(graded):
    wanted = {f"test_{exercise.name}": exercise.points for exercise in notebooks.exercises(graded.source)}
    assert graded.scores["reference"] == {name: (points, points) for name, points in wanted.items()}
