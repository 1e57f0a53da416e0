"""The course as grading sees it: its lectures, their exercises and questions, and the student version of a notebook."""

import contextlib
import copy
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from utils.course.cells import bound_names, grade_id, imports

import nbformat
from nbgrader.nbgraderformat import SchemaTooNewError, SchemaTooOldError, ValidationError
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from nbgrader.utils import compute_checksum, is_grade, is_solution
from traitlets.config import Config, PyFileConfigLoader

FORBIDDEN = re.compile(r"[\"']((?:scipy|sklearn)[a-z_.]*)\.\w+[\"']")  # the module of a full name in a test
ROOT = Path(__file__).resolve().parents[2]
ASSIGNMENTS = ("lectures", "assignment")
# Those of nbgrader's generate_assignment, without headers and without its database.
RELEASE_STEPS = (LockCells, ClearSolutions, ClearOutput, ClearHiddenTests, ClearMarkScheme, ComputeChecksums)
# What nbgrader raises for a notebook that cannot be handed out.
NBGRADER_ERRORS = (RuntimeError, ValueError, ValidationError, SchemaTooOldError, SchemaTooNewError)


class CourseError(Exception):
    """The course or the machine, not a submission, keeps something from being graded; the message says what to do."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: `stub` and `shown_test` are what the student got, `test` holds the hidden tests as well."""

    name: str
    points: float
    stub: str
    shown_test: str
    test: str
    checksum: str  # of the test cell in the student version, by which an old one is recognised
    defines: frozenset[str]  # names that the reference defines

    @property
    def test_name(self) -> str:
        return f"test_{self.name}"


@dataclass(frozen=True)
class Question:
    """A question that a person grades; `stub` is the untouched answer cell."""

    name: str
    points: float
    stub: str


@dataclass(frozen=True)
class Lecture:
    """One source notebook. `key` changes with anything that could change a score."""

    path: Path
    assignment: str
    setup: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    questions: tuple[Question, ...]
    source: nbformat.NotebookNode
    released: nbformat.NotebookNode
    key: str

    @property
    def name(self) -> str:
        return f"{self.assignment}/{self.path.stem}"

    @property
    def references(self) -> dict[str, str]:
        """The sources of the graded cells as the course has them, by id."""
        return {name: cell.source for name, cell in graded_cells(self.source).items()}


Course = dict[str, Lecture]  # by name: lectures/01_neural_networks


def nbgrader_config(root: Path, course: Path) -> Config:
    """Return the settings of `root`/nbgrader_config.py for the course folder `course`, with a database of its own."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = f"sqlite:///{course}/gradebook.db"
    del config.NbGrader.logfile
    return config


def student_version(notebook: nbformat.NotebookNode, config: Config) -> nbformat.NotebookNode:
    """Return what is handed out of `notebook`: no solution, no hidden test, no output; checksums in the graded cells.

    The steps are nbgrader's own, called without its program, which finds files by patterns and so fails in folders
    whose names hold brackets.

    Raises
    ------
    CourseError
        A marker is not closed or stands in a cell that is not graded, or nbgrader's metadata are damaged.
    """
    resources: dict[str, Any] = {}
    notebook = copy.deepcopy(notebook)
    try:
        for step in (CheckCellMetadata, *RELEASE_STEPS, CheckCellMetadata):
            notebook, resources = step(config=config).preprocess(notebook, resources)
    except NBGRADER_ERRORS as error:
        raise CourseError(str(error)) from error
    return notebook


def graded_cells(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """Return the cells of `notebook` that carry an nbgrader id, by id."""
    return {name: cell for cell in notebook.cells if (name := grade_id(cell))}


def read_lecture(path: Path, config: Config) -> Lecture:
    """Read the source notebook at `path`; CourseError if it is none or an exercise lacks one of its two cells."""
    try:
        source = nbformat.read(path, as_version=4)
        released = student_version(source, config)
    except (ValueError, CourseError) as error:  # nbformat's errors are ValueErrors
        raise CourseError(f"{path}: {error}") from error
    before, after = graded_cells(source), graded_cells(released)
    exercises, questions = [], []
    for name, cell in before.items():
        points: Any = cell.metadata.nbgrader.get("points")
        if is_grade(cell) and is_solution(cell):
            questions.append(Question(name, points, after[name].source))
        elif is_grade(cell):
            own = name.removeprefix("test_")
            if own not in before:
                raise CourseError(f"{path}: test cell {name!r} has no solution cell with the id {own!r}")
            stub, shown, defines = after[own].source, after[name], bound_names(before[own].source)
            exercises.append(Exercise(own, points, stub, shown.source, cell.source, compute_checksum(shown), defines))
    setup = setup_cells(source)
    state = [setup, [(e.name, e.points, e.stub, e.test) for e in exercises], [q.name for q in questions]]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    return Lecture(path, path.parent.name, setup, tuple(exercises), tuple(questions), source, released, key)


def setup_cells(notebook: nbformat.NotebookNode) -> tuple[str, ...]:
    """Return the sources of the code cells tagged `parameters` or `setup`."""
    wanted = {"parameters", "setup"}
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return tuple(cell.source for cell in code if wanted & set(cell.metadata.get("tags", ())))


@cache
def read_course(root: Path = ROOT) -> Course:
    """Return the lectures of the course in `root`; CourseError if there is none."""
    config = nbgrader_config(ROOT, root / "build")
    paths = [path for folder in ASSIGNMENTS for path in sorted((root / folder).glob("*.ipynb"))]
    if not paths:
        raise CourseError(f"No notebook in {' or '.join(ASSIGNMENTS)} of {root}; run from the course's folder.")
    lectures = [read_lecture(path, config) for path in paths]
    return {lecture.name: lecture for lecture in lectures if lecture.exercises or lecture.questions}


@cache
def fingerprint(root: Path) -> dict[str, str]:
    """Return what marks may depend on besides the submission, by part: code, notebooks in `root`, versions."""

    def digest(files: Iterable[Path], *more: str) -> str:
        parts = [*more, *(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]

    beside = (path for folder in ASSIGNMENTS for path in sorted((root / folder).rglob("[!._]*.*")))
    found = {
        "utils": digest(sorted((ROOT / "utils").rglob("*.py"))),
        "notebooks": digest([], *(f"{name} {lecture.key}" for name, lecture in read_course(root).items())),
        "files beside the notebooks": digest(path for path in beside if path.suffix != ".ipynb" and path.is_file()),
        "python": platform.python_version().rpartition(".")[0],
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
    }
    for package in ("tensorflow", "keras", "jax", "numpy", "scipy", "scikit-learn"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def imported_modules(lectures: list[Lecture]) -> list[str]:
    """Return the modules outside `utils` that set-up and tests import; TensorFlow and Keras first if they need them.

    Those of functions that tests forbid are on the list as well: both rooms import them.
    """
    sources = [source for lecture in lectures for source in (*lecture.setup, *(e.test for e in lecture.exercises))]
    found = [name for source in sources for name in [*imports(source), *FORBIDDEN.findall(source)]]
    roots = {name.partition(".")[0] for name in found if name != "utils.checks"}
    first = ["tensorflow", "keras"] if roots & {"utils", "keras", "tensorflow"} else []
    first += ["numpy.testing"] if roots & {"utils", "numpy"} else []
    others = [name for name in found if name.partition(".")[0] not in ("utils", "__future__")]
    return list(dict.fromkeys(first + others))
