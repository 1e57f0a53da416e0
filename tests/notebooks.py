"""What the tests ask of a notebook: its cells by role, its exercises, its student version, its graded path."""

import contextlib
import io
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from utils.course import cells
from utils.course import exercises as course

import nbformat
from nbgrader.utils import is_grade, is_solution

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(
    path.relative_to(ROOT).as_posix() for name in course.ASSIGNMENTS for path in ROOT.glob(f"{name}/*.ipynb")
)
CONFIG = course.nbgrader_config(ROOT, ROOT / "build")


@dataclass
class Exercise:
    """One exercise: its solution cell, its test cell, and the text cell above them."""

    name: str
    text: str
    solution: nbformat.NotebookNode
    test: nbformat.NotebookNode
    points: float


@cache
def load(name):
    return nbformat.read(ROOT / name, as_version=4)


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def is_setup(cell):
    return bool(tags(cell) & {"parameters", "setup"})


def is_graded(cell):
    return "nbgrader" in cell.metadata


def graded_path(notebook):
    """Return the code cells that grading needs, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and (is_setup(cell) or is_graded(cell))]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def exercises(notebook):
    """Return the automatically graded exercises of `notebook`, found by their test cells."""
    by_id = {cell.metadata.nbgrader.grade_id: number for number, cell in enumerate(notebook.cells) if is_graded(cell)}
    found = []
    for test in filter(lambda cell: is_grade(cell) and not is_solution(cell), notebook.cells):
        name = test.metadata.nbgrader.grade_id.removeprefix("test_")
        position = by_id.get(name)
        assert position is not None, f"test cell test_{name} has no solution cell with grade_id {name}"
        above = (cell.source for cell in reversed(notebook.cells[:position]) if cell.cell_type == "markdown")
        found.append(Exercise(name, next(above, ""), notebook.cells[position], test, test.metadata.nbgrader.points))
    return found


def student_version(notebook):
    """Return a copy of `notebook` whose solutions nbgrader has replaced by stubs."""
    return course.student_version(notebook, CONFIG)


def run(source, namespace):
    """Execute the source of a cell; return (value of its last expression or None, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        value = cells.run(source, namespace)
    return value, out.getvalue(), err.getvalue()


@cache
def namespaces(name):
    """Return for each exercise the names that exist before its solution cell: set-up and earlier graded cells."""
    namespace, before = {"__name__": "__main__"}, {}
    with contextlib.chdir((ROOT / name).parent):  # the working folder of a kernel
        for cell in graded_path(load(name)):
            if is_solution(cell):
                before[cell.metadata.nbgrader.grade_id] = dict(namespace)
            run(cell.source, namespace)
    return before


def grade(name, exercise, answer):
    """Grade `answer` as the source of a solution cell; return (points, the line for the student, stderr)."""
    namespace = dict(namespaces(name)[exercise.name])
    with contextlib.chdir((ROOT / name).parent):
        run(answer, namespace)
        return run(exercise.test.source, namespace)


@dataclass
class Answer:
    """A collected answer to an exercise: what it does, what must become of it, what its verdict must say."""

    exercise: str
    expected: str  # "pass" or "fail"
    name: str
    does: str
    source: str
    message: str = ""


ANSWER = re.compile(r"^#%% *(\w+) *\| *(pass|fail) *\| *([\w.-]+) *\| *(.+)$")


def answers(name):
    """Read the answers to the notebook `name`, from `tests/answers`.

    A block begins with `#%% exercise | pass or fail | name | what the answer does`; a comment `# message: ...` in the
    next line is what the verdict of a wrong one must say.
    """
    path = ROOT / "tests" / "answers" / f"{Path(name).stem}.txt"
    found = []
    for number, block in enumerate(re.split(r"^(?=#%%)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:], 1):
        head, source = block.split("\n", 1)
        match = ANSWER.match(head)
        assert match, f"{path.name}: block {number} begins with {head!r}; see `answers`"
        message = ""
        if source.startswith("# message:"):
            first, source = source.split("\n", 1)
            message = first.removeprefix("# message:").strip()
        found.append(Answer(*match.groups(), source.strip() + "\n", message))
    return found
