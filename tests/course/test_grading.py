"""Release and autograding through nbgrader itself, all notebooks in one course folder.

That a student can run a notebook untouched is shown in parts. Cells that are not graded use no name of a graded one
(test_structure.py) and are those of the source, which is executed whole elsewhere. Here the graded path of every
untouched student version is executed, and, with `-m slow`, one student version whole.
"""

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path

import notebooks
from utils.course import exercises

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI

WHOLE = next(name for name in notebooks.NOTEBOOKS if name.startswith("lectures/01"))


@dataclass
class Class:
    """A course folder in which nbgrader has released and graded: `student` is the name of a submission."""

    folder: Path
    config: object

    def api(self):
        return NbGraderAPI(config=self.config, log_level=40)

    def grade(self, handed_in):
        """Autograde notebooks, given by (student, name)."""
        for (student, name), notebook in handed_in.items():
            path = self.folder / self.config.CourseDirectory.submitted_directory / student / name
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
        for student, assignment in sorted({(student, name.split("/")[0]) for student, name in handed_in}):
            succeed(self.api().autograde(assignment, student))

    def released(self, name):
        return nbformat.read(self.folder / "student" / name, as_version=4)

    def autograded(self, student, name):
        return nbformat.read(self.folder / self.config.CourseDirectory.autograded_directory / student / name, 4)

    def scores(self, student, name):
        """Return {grade_id: (score, points)} of the test cells."""
        assignment, stem = name.removesuffix(".ipynb").split("/")
        with Gradebook(self.config.CourseDirectory.db_url, self.config.CourseDirectory.course_id) as gradebook:
            grades = gradebook.find_submission_notebook(stem, assignment, student).grades
            return {g.name: (g.auto_score, g.max_score) for g in grades if g.cell.cell_type == "code"}


def only_graded(notebook):
    """Return a copy of `notebook` with nothing but its graded path and its exam questions."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if notebooks.is_setup(cell) or notebooks.is_graded(cell)]
    return notebook


def succeed(outcome):
    assert outcome["success"], outcome.get("log") or outcome.get("error")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Release everything; autograde the untouched graded paths and one reference."""
    folder = tmp_path_factory.mktemp("course")
    for assignment in exercises.ASSIGNMENTS:
        shutil.copytree(notebooks.ROOT / assignment, folder / assignment)
    config = exercises.nbgrader_config(notebooks.ROOT, folder)
    config.Execute.timeout = 1800  # seconds for one cell: nbgrader's 30 are too few for training cells
    made = Class(folder, config)
    for assignment in exercises.ASSIGNMENTS:
        succeed(made.api().generate_assignment(assignment))
    made.grade({("untouched", name): only_graded(made.released(name)) for name in notebooks.NOTEBOOKS})
    made.grade({("reference", WHOLE): only_graded(notebooks.load(WHOLE))})
    return made


def noise(notebook):
    """Return the errors and warnings in the outputs of an executed notebook, and the cells that did not run."""
    cells = notebooks.code_cells(notebook)
    yield from (f"did not run: {cell.source[:80]}" for cell in cells if not cell.execution_count)
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{cell.source[:80]}\n{output.get('evalue') or output.get('text')}"


def plain(notebook):
    """Return what a student gets of a notebook: kind, id, source and metadata of each cell."""
    return [(cell.cell_type, cell.id, cell.source, cell.metadata) for cell in notebook.cells]


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_our_release_is_nbgraders(graded, name):
    ours = exercises.student_version(notebooks.load(name), graded.config)
    assert plain(ours) == plain(graded.released(name))


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_student_version_differs_in_graded_cells_only(graded, name):
    before, after = notebooks.load(name).cells, graded.released(name).cells
    assert [cell.id for cell in before] == [cell.id for cell in after]
    changed = [old for old, new in zip(before, after, strict=True) if old.source != new.source]
    assert changed and all(map(notebooks.is_graded, changed))
    have = [exercise.name for exercise in notebooks.exercises(graded.released(name))]
    assert have == [exercise.name for exercise in notebooks.exercises(notebooks.load(name))] != []


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_untouched_student_version_gets_zero_as_not_attempted(graded, name):
    autograded = graded.autograded("untouched", name)
    assert list(noise(autograded)) == []
    assert {score for score, _ in graded.scores("untouched", name).values()} == {0}
    for exercise in notebooks.exercises(autograded):
        shown = "".join(output.get("text", "") for output in exercise.test.outputs)
        assert shown.startswith(f"{exercise.name}: not attempted, 0 of {exercise.points:g} points")


@pytest.mark.slow
def test_untouched_student_version_runs_whole_without_an_error(graded):
    graded.grade({("whole", WHOLE): graded.released(WHOLE)})
    assert list(noise(graded.autograded("whole", WHOLE))) == []


def test_reference_gets_full_points_from_nbgrader(graded):
    wanted = {f"test_{exercise.name}": exercise.points for exercise in notebooks.exercises(notebooks.load(WHOLE))}
    assert graded.scores("reference", WHOLE) == {name: (points, points) for name, points in wanted.items()}
