"""Match the cells of a student's notebook with the exercises and questions of a lecture. No code is run."""

import ast
import builtins
import re
from dataclasses import dataclass, field

from utils.course.cells import Cell, bound_names, changed_names, global_names, grade_id, statement_names, statements
from utils.course.exercises import Exercise, Lecture, Question, graded_cells
from utils.course.magics import NAMES

from nbgrader.utils import compute_checksum


@dataclass
class Answers:
    """What a notebook answers of a lecture. Reasons are for a person to look at; notes are for the report."""

    cells: list[tuple[str, str]] = field(default_factory=list)  # (exercise or "" for others, source), in order
    written: dict[str, str] = field(default_factory=dict)  # question -> answer
    reasons: list[str] = field(default_factory=list)
    suspicions: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons
    doubts: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons that count if it does not pass
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # questions whose cell was not found
    helped: set[str] = field(default_factory=set)  # exercises that use cells which are not graded
    shown: dict[str, str] = field(default_factory=dict)  # exercise -> what stands in the notebook


def find_answers(cells: list[Cell], lecture: Lecture) -> Answers:
    """Return what `cells` answer of `lecture`."""
    answers, solved = Answers(), {}
    for exercise in lecture.exercises:
        if (source := find_solution(cells, exercise, answers)) is not None:
            solved[exercise.name] = source
    before, after = helpers(cells, lecture, solved, answers)
    answers.cells = [*before, *solved.items(), *after]
    for question in lecture.questions:
        answers.written[question.name] = find_text(cells, question, lecture, answers)
    look_at_tests(cells, lecture, answers)
    return answers


def with_id(cells: list[Cell], kind: str, name: str) -> list[Cell]:
    """Return the cells of this kind that carry the id `name`."""
    return [cell for cell in cells if cell.kind == kind and cell.grade_id == name]


def find_solution(cells: list[Cell], exercise: Exercise, answers: Answers) -> str | None:
    """Return the source that answers `exercise`, by id or by the name it defines; None if there is none."""
    own = with_id(cells, "code", exercise.name)
    if not own:
        plain = [cell for cell in cells if cell.kind == "code" and not cell.grade_id]
        own = [cell for cell in plain if exercise.defines & bound_names(cell.source)]
        where = "found by the name it defines" if own else "missing"
        answers.notes.append(f"the cell of {exercise.name} has lost its id: {where}")
    if not own:
        answers.suspicions[exercise.name] = [f"the notebook has no cell for the exercise {exercise.name}"]
        return None
    answers.shown[exercise.name] = "\n".join(dict.fromkeys(cell.written for cell in own))
    for command in dict.fromkeys(command for cell in own for command in cell.commands):
        why = f"a command of the notebook or the shell was not run: {command[:80]}"
        answers.suspicions.setdefault(exercise.name, []).append(why)
    sources = [cell.source for cell in own]
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


def code_beside(cells: list[Cell], lecture: Lecture) -> list[Cell]:
    """Return the code cells that are no exercise's: those without an id, and test cells that hold something else."""
    graded = {e.name for e in lecture.exercises}
    tests = {e.test_name: (e.shown_test.strip(), e.test.strip()) for e in lecture.exercises}
    code = [cell for cell in cells if cell.kind == "code" and cell.grade_id not in graded]
    return [cell for cell in code if cell.written.strip() not in tests.get(cell.grade_id or "", ())]


def helpers(
    cells: list[Cell], lecture: Lecture, solved: dict[str, str], answers: Answers
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return cells with what the solutions use of other cells; those before the solutions, and those after them.

    Taken are the statements that bind a name which a solution needs, or that may change such an object: functions,
    imports, tables and the loops that fill them. Nothing else of the ungraded cells is run. A statement that itself
    uses a solution is run after the solutions.
    """
    known = {*dir(builtins), *NAMES}.union(*map(bound_names, [*lecture.setup, *solved.values()]))
    needs = {name: global_names(source) - known for name, source in solved.items()}
    needed: set[str] = set().union(*needs.values())
    beside = code_beside(cells, lecture)
    own = [cell for cell in beside if not cell.grade_id and cell.source not in solved.values()]
    found = [(number, statement) for number, cell in enumerate(own) for statement in statements(cell.source)]
    taken: list[tuple[int, ast.stmt]] = []
    size = -1
    while size != len(needed):  # until a definition that stands lower down needs no more names
        size, taken = len(needed), []
        for number, statement in reversed(found):
            binds = set(statement_names(statement))
            if needed & (binds | set(changed_names(statement))) or ("*" in binds and open_names(needed, found)):
                taken.append((number, statement))
                needed |= global_names(ast.unparse(statement)) - known
    taken.reverse()
    note_needs(needs, needed, known, taken, beside, answers)
    note_changed_setup(own, lecture, solved, answers)
    return order_helpers(taken, set().union(*map(bound_names, solved.values())))


def open_names(needed: set[str], found: list[tuple[int, ast.stmt]]) -> set[str]:
    """Return the names that no statement binds, and that so may come from an `import *`."""
    return needed.difference(*(set(statement_names(statement)) for _, statement in found))


def note_needs(
    needs: dict[str, set[str]],
    needed: set[str],
    known: set[str],
    taken: list[tuple[int, ast.stmt]],
    beside: list[Cell],
    answers: Answers,
) -> None:
    """Note which exercises use what was taken, and send those to a review that use what could not be taken."""
    uses: dict[str, set[str]] = {}
    for _, statement in taken:
        for name in statement_names(statement):
            uses.setdefault(name, set()).update(global_names(ast.unparse(statement)) - known)
    bound = set(uses)
    text = "\n".join(cell.written for cell in beside)
    lost = {name for name in needed - bound if "*" not in bound and re.search(rf"\b{re.escape(name)}\b", text)}
    for exercise, names in needs.items():
        reached, more = set(), set(names)
        while more:
            reached |= more
            more = set().union(*(uses.get(name, set()) for name in more)) - reached
        if reached & bound or (reached and "*" in bound):
            answers.helped.add(exercise)
        if missing := sorted(reached & lost):
            why = f"uses {', '.join(missing)}, from a cell that is not graded, in a form that is not taken over"
            answers.doubts.setdefault(exercise, []).append(why)
    if answers.helped:
        answers.notes.append("definitions from cells that are not graded were used")


def note_changed_setup(own: list[Cell], lecture: Lecture, solved: dict[str, str], answers: Answers) -> None:
    """Note which exercises use a name of the set-up that the student has given another value: the course's counts."""
    released = {cell.source for cell in lecture.released.cells if cell.cell_type == "code"}
    as_handed_out = {ast.unparse(statement) for source in released for statement in statements(source)}
    setup = frozenset().union(*map(bound_names, lecture.setup))
    bound: set[str] = set()
    for statement in (s for cell in own if cell.written not in released for s in statements(cell.source)):
        if not isinstance(statement, ast.Import | ast.ImportFrom) and ast.unparse(statement) not in as_handed_out:
            bound.update(setup & set(statement_names(statement)))
    for exercise, source in solved.items():
        if names := sorted(bound & global_names(source)):
            why = f"uses {', '.join(names)} of the set-up, which another cell of the notebook binds anew"
            answers.doubts.setdefault(exercise, []).append(why)


def order_helpers(
    taken: list[tuple[int, ast.stmt]], solutions: set[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the statements as cells, as they were together: those without a use for a solution, and the others."""
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    late = set(solutions)
    for number, statement in taken:
        source = ast.unparse(statement)
        runs_later = isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        if global_names(source) & late and not runs_later:
            late.update(statement_names(statement))
            after.setdefault(number, []).append(source)
        else:
            before.setdefault(number, []).append(source)
    return tuple([("", "\n".join(part)) for part in group.values()] for group in (before, after))  # type: ignore[return-value]


def find_text(cells: list[Cell], question: Question, lecture: Lecture, answers: Answers) -> str:
    """Return the answer to `question`, by the id of its cell or else by what stands around it."""
    texts = [cell.source for cell in with_id(cells, "markdown", question.name)]
    if len(set(texts)) > 1:
        answers.reasons.append(f"{len(texts)} different cells carry the id {question.name}; all are shown")
    if not texts:
        texts = between_neighbours(cells, question, lecture)
        if texts:
            answers.notes.append(f"the cell of {question.name} has lost its id: found by the cells around it")
        else:
            answers.lost.append(question.name)
            answers.reasons.append(f"the notebook has no cell for the question {question.name}")
    return "\n\n".join(dict.fromkeys(texts))


def between_neighbours(cells: list[Cell], question: Question, lecture: Lecture) -> list[str]:
    """Return the texts between the cells that stood before and after the cell of `question` when it was handed out.

    The nearest one that is still there counts on either side; where there is none before, nothing is found.
    """
    released = [cell.source.strip() for cell in lecture.released.cells]
    place = next(i for i, cell in enumerate(lecture.released.cells) if grade_id(cell) == question.name)
    known, now = set(released), [cell.written.strip() for cell in cells]
    before = next((now.index(text) for text in reversed(released[:place]) if text and text in now), None)
    if before is None:
        return []
    rest = now[before + 1 :]
    after = next((rest.index(text) for text in released[place + 1 :] if text and text in rest), len(rest))
    between = cells[before + 1 : before + 1 + after]
    texts = [cell.source for cell in between if cell.kind != "code" and cell.source.strip() and not cell.grade_id]
    stub = question.stub.strip()
    return [text for text in texts if text.strip() not in known or text.strip() == stub]


def look_at_tests(cells: list[Cell], lecture: Lecture, answers: Answers) -> None:
    """Note what was done to the test cells, and whether they are those of another release."""
    by_id = {cell.grade_id: cell for cell in cells if cell.grade_id}
    stubs = {name: compute_checksum(cell) for name, cell in graded_cells(lecture.released).items()}
    other: list[str] = []
    reworded: list[str] = []
    edited, gone = [], []
    for exercise in lecture.exercises:
        cell = by_id.get(exercise.test_name)
        if cell is None:
            gone.append(exercise.name)
        elif cell.checksum and cell.checksum != exercise.checksum:
            solution = by_id.get(exercise.name)
            same = solution is not None and solution.checksum == stubs[exercise.name]
            (reworded if same else other).append(exercise.name)
        elif cell.written.strip() not in (exercise.shown_test.strip(), exercise.test.strip()):
            edited.append(exercise.name)
    if gone:
        answers.notes.append(f"test cells restored: {', '.join(gone)}")
    if edited:
        answers.notes.append(f"edited test cells replaced: {', '.join(edited)}")
    if reworded:
        names = ", ".join(reworded)
        answers.notes.append(f"made from another release, with the same task: the tests of {names} have changed since")
    if other:
        answers.reasons.append(f"made from another release: the tests of {', '.join(other)} have changed since")
