"""Match the cells of a student's notebook with the exercises and questions of a lecture. No code is run."""

import ast
import builtins
from dataclasses import dataclass, field

from utils.course.cells import Cell, bound_names, global_names, statement_names, statements
from utils.course.exercises import Exercise, Lecture, Question

# Kinds of statements that are taken from cells that are not graded.
DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


@dataclass
class Answers:
    """What a notebook answers of a lecture. Reasons are for a person to look at; notes are for the report."""

    cells: list[tuple[str, str]] = field(default_factory=list)  # (exercise or "" for others, source), in order
    written: dict[str, str] = field(default_factory=dict)  # question -> answer
    reasons: list[str] = field(default_factory=list)
    suspicions: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons
    notes: list[str] = field(default_factory=list)


def find_answers(cells: list[Cell], lecture: Lecture) -> Answers:
    """Return what `cells` answer of `lecture`."""
    answers, solved = Answers(), {}
    for exercise in lecture.exercises:
        if (source := find_solution(cells, exercise, answers)) is not None:
            solved[exercise.name] = source
    answers.cells = helpers(cells, lecture, solved, answers) + list(solved.items())
    for question in lecture.questions:
        answers.written[question.name] = find_text(cells, question, answers)
    look_at_tests(cells, lecture, answers)
    return answers


def with_id(cells: list[Cell], kind: str, name: str) -> list[str]:
    """Return the sources of the cells of this kind that carry the id `name`."""
    return [cell.source for cell in cells if cell.kind == kind and cell.grade_id == name]


def find_solution(cells: list[Cell], exercise: Exercise, answers: Answers) -> str | None:
    """Return the source that answers `exercise`, by id or by the name it defines; None if there is none."""
    sources = with_id(cells, "code", exercise.name)
    if not sources:
        plain = [cell.source for cell in cells if cell.kind == "code" and not cell.grade_id]
        sources = [source for source in plain if exercise.defines & bound_names(source)]
        where = "found by the name it defines" if sources else "missing"
        answers.notes.append(f"the cell of {exercise.name} has lost its id: {where}")
    if not sources:
        answers.suspicions[exercise.name] = [f"the notebook has no cell for the exercise {exercise.name}"]
        return None
    return sources[0] if len(set(sources)) == 1 else merge_copies(sources, exercise, answers)


def merge_copies(sources: list[str], exercise: Exercise, answers: Answers) -> str:
    """Several different cells carry one id. Two halves of a split cell are joined; copies are left to a person."""
    sources = list(dict.fromkeys(sources))
    names = [bound_names(source) for source in sources]
    joined = "\n".join(sources)
    split = not any(a & b for i, a in enumerate(names) for b in names[:i]) and exercise.defines <= bound_names(joined)
    if split:
        answers.notes.append(f"the cell of {exercise.name} was split in {len(sources)}: joined")
        return joined
    text = f"{len(sources)} different cells carry the id {exercise.name}; the last one was run"
    answers.suspicions.setdefault(exercise.name, []).append(text)
    return sources[-1]


def helpers(cells: list[Cell], lecture: Lecture, solved: dict[str, str], answers: Answers) -> list[tuple[str, str]]:
    """Return cells with the definitions from other cells that the solutions use, such as a function of the student's.

    Only `def`, `class`, `import` and assignments are taken, and only those whose names a solution needs: nothing else
    of the ungraded cells is run.
    """
    known = set(dir(builtins)).union(*map(bound_names, [*lecture.setup, *solved.values()]))
    needed = set().union(*map(global_names, solved.values())) - known
    plain = [cell.source for cell in cells if cell.kind == "code" and not cell.grade_id]
    found = [statement for source in plain for statement in statements(source) if isinstance(statement, DEFINITIONS)]
    taken: list[str] = []
    for statement in reversed(found):  # a definition may need earlier ones
        if needed.intersection(statement_names(statement)):
            taken.append(ast.unparse(statement))
            needed |= global_names(taken[-1]) - known
    if taken:
        answers.notes.append("definitions from cells that are not graded were used")
    return [("", "\n".join(reversed(taken)))] if taken else []


def find_text(cells: list[Cell], question: Question, answers: Answers) -> str:
    """Return the answer to `question`."""
    texts = with_id(cells, "markdown", question.name)
    if len(set(texts)) > 1:
        answers.reasons.append(f"{len(texts)} different cells carry the id {question.name}; all are shown")
    if not texts:
        answers.reasons.append(f"the notebook has no cell for the question {question.name}")
    return "\n\n".join(dict.fromkeys(texts))


def look_at_tests(cells: list[Cell], lecture: Lecture, answers: Answers) -> None:
    """Note what was done to the test cells, and whether they are those of another release."""
    by_id = {cell.grade_id: cell for cell in cells if cell.grade_id}
    other, edited, gone = [], [], []
    for exercise in lecture.exercises:
        cell = by_id.get(exercise.test_name)
        if cell is None:
            gone.append(exercise.name)
        elif cell.checksum and cell.checksum != exercise.checksum:
            other.append(exercise.name)
        elif cell.source.strip() not in (exercise.shown_test.strip(), exercise.test.strip()):
            edited.append(exercise.name)
    if gone:
        answers.notes.append(f"test cells restored: {', '.join(gone)}")
    if edited:
        answers.notes.append(f"edited test cells replaced: {', '.join(edited)}")
    if other:
        answers.reasons.append(f"made from another release: the tests of {', '.join(other)} have changed since")
