"""What grading needs to know of a source notebook: set-up, exercises, questions, and their student version."""

import ast
import copy
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from utils.course import release

import nbformat
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
from nbgrader.utils import compute_checksum, is_grade, is_solution

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Exercise:
    """One exercise: `stub` and `shown_test` are what the student got, `test` holds the hidden tests as well."""

    name: str
    points: float
    stub: str
    shown_test: str
    test: str
    checksum: str  # of the test cell in the student version, by which an old one is recognised
    defines: frozenset  # names that the reference defines

    @property
    def test_name(self):
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
    setup: tuple
    exercises: tuple
    questions: tuple
    source: nbformat.NotebookNode
    released: nbformat.NotebookNode
    key: str

    @property
    def name(self):
        return f"{self.assignment}/{self.path.stem}"


def grade_id(cell):
    """Return the nbgrader id of a cell, None where it has none; copes with any metadata a student may have made."""
    metadata = cell.get("metadata")
    metadata = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def bound_names(source):
    """Return the names that the statements of a cell bind at its top level; none if it does not parse."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(name for statement in body for name in statement_names(statement))


def statement_names(statement):
    """Yield the names that one statement binds in its own scope."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def student_version(notebook, config):
    """Return what nbgrader's release makes of `notebook`, as far as grading needs it."""
    notebook, resources = copy.deepcopy(notebook), {}
    for step in (ClearSolutions(config=config), ClearHiddenTests(config=config)):
        notebook, resources = step.preprocess(notebook, resources)
    return notebook


def read_lecture(path, config):
    """Read the source notebook at `path`; ValueError if an exercise lacks one of its two cells."""
    source = nbformat.read(path, as_version=4)
    released = student_version(source, config)
    before = {grade_id(cell): cell for cell in source.cells if grade_id(cell)}
    after = {grade_id(cell): cell for cell in released.cells if grade_id(cell)}
    tags = [(cell, set(cell.metadata.get("tags", ()))) for cell in source.cells if cell.cell_type == "code"]
    setup = tuple(cell.source for cell, tag in tags if tag & {"parameters", "setup"})
    exercises, questions = [], []
    for name, cell in before.items():
        if is_grade(cell) and is_solution(cell):
            questions.append(Question(name, cell.metadata.nbgrader["points"], after[name].source))
        elif is_grade(cell):
            own = name.removeprefix("test_")
            if own not in before:
                raise ValueError(f"{path}: test cell {name!r} has no solution cell with the id {own!r}")
            exercises.append(
                Exercise(
                    own,
                    cell.metadata.nbgrader["points"],
                    after[own].source,
                    after[name].source,
                    cell.source,
                    compute_checksum(after[name]),
                    bound_names(before[own].source),
                )
            )
    state = [setup, [(e.name, e.points, e.stub, e.test) for e in exercises], [q.name for q in questions]]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    return Lecture(path, path.parent.name, setup, tuple(exercises), tuple(questions), source, released, key)


@cache
def read_course(root=ROOT):
    """Return the lectures of a course by name, `lectures/01_neural_networks` and so on; SystemExit if there is none."""
    config = release.nbgrader_config(ROOT, root / "build")
    paths = [path for folder in release.ASSIGNMENTS for path in sorted((root / folder).glob("*.ipynb"))]
    if not paths:
        raise SystemExit(f"No notebook in {' or '.join(release.ASSIGNMENTS)} of {root}; run from the course's folder.")
    lectures = [read_lecture(path, config) for path in paths]
    return {lecture.name: lecture for lecture in lectures if lecture.exercises or lecture.questions}


def imports(source):
    """Return the modules that the code of a cell imports."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "utils":
            found += [f"utils.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return found


def imported_modules(lectures):
    """Return the modules outside `utils` that set-up and tests import; TensorFlow and Keras first if they need them.

    What only a hidden test imports is on the list as well, so that a student's code is not the first to load it.
    """
    sources = [source for lecture in lectures for source in (*lecture.setup, *(e.test for e in lecture.exercises))]
    found = [name for source in sources for name in imports(source)]
    roots = {name.partition(".")[0] for name in found if name != "utils.checks"}
    first = ["tensorflow", "keras"] if roots & {"utils", "keras", "tensorflow"} else []
    first += ["numpy.testing"] if roots & {"utils", "numpy"} else []
    return list(
        dict.fromkeys(first + [name for name in found if name.partition(".")[0] not in ("utils", "__future__")])
    )
