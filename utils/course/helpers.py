"""What the solutions of a student use of other cells of the notebook. No code is run."""

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from utils.course.cells import Cell, bound_names, changed_names, global_names, statement_names, statements
from utils.course.exercises import Lecture
from utils.course.magics import NAMES

OUTPUTS = re.compile(r"_+|_i+|_i?\d+|_[oid]h|In|Out")  # names under which IPython keeps what cells have shown
Cells = list[tuple[str, str]]


@dataclass
class Answers:
    """What a notebook answers of a lecture. Reasons are for a person to look at; notes are for the report."""

    cells: Cells = field(default_factory=list)  # (exercise or "" for others, source), in the order to run them in
    written: dict[str, str] = field(default_factory=dict)  # question -> answer
    reasons: list[str] = field(default_factory=list)
    suspicions: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons
    doubts: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons that count if it does not pass
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # questions whose cell was not found
    helped: set[str] = field(default_factory=set)  # exercises that use cells which are not graded
    shown: dict[str, str] = field(default_factory=dict)  # exercise -> what stands in the notebook
    in_order: bool = False  # a name means different things to different exercises: test each one where it stands


@dataclass(frozen=True)
class Solution:
    """The code that answers an exercise, and the places in the notebook where it stands."""

    source: str
    places: tuple[int, ...]


@dataclass(eq=False)
class Taken:
    """A statement of a cell that is not graded: where it stands, what it binds and changes, and what it uses."""

    place: int
    statement: ast.stmt
    binds: frozenset[str]
    changes: frozenset[str]

    @cached_property
    def source(self) -> str:
        return ast.unparse(self.statement)

    @cached_property
    def uses(self) -> set[str]:
        return global_names(self.source)


def add_cells(cells: list[Cell], lecture: Lecture, solved: dict[str, Solution], answers: Answers) -> None:
    """Put the solutions into `answers.cells`, and what they use of other cells before, after or between them.

    Taken are the statements that bind a name which a solution needs, or that may change such an object: functions,
    imports, tables and the loops that fill them. Nothing else of the ungraded cells is run. A statement that itself
    uses a solution is run after the solutions.
    """
    beside = cells_beside(cells, lecture, solved)
    setup = frozenset().union(*map(bound_names, lecture.setup)) | {*dir(builtins), *NAMES}
    names = {name: bound_names(solution.source) for name, solution in solved.items()}
    needs = {
        name: global_names(solution.source) - setup.union(*(n for other, n in names.items() if other != name))
        for name, solution in solved.items()
    }
    known = setup.union(*names.values())
    used = {
        n.id
        for s in solved.values()
        for part in statements(s.source)
        for n in ast.walk(part)
        if isinstance(n, ast.Name)
    }
    taken = needed_statements(beside, set().union(*needs.values()), known, used)
    reached = {name: reach(wanted, taken, known) for name, wanted in needs.items()}
    note_needs(reached, taken, beside, answers)
    note_changed_setup(beside, lecture, solved, answers)
    answers.in_order = between_solutions(taken, solved, reached)
    if answers.in_order:
        order = [(max(solution.places), name, solution.source) for name, solution in solved.items()]
        order += [(place, "", source) for place, source in as_cells(taken)]
        answers.cells = [(name, source) for _, name, source in sorted(order, key=lambda cell: cell[0])]
        answers.notes.append("a name was given anew between the exercises: each was tested where it stands")
    else:
        late = late_statements(taken, set().union(*names.values()))
        early = [one for one in taken if one not in late]
        answers.cells = [("", source) for _, source in as_cells(early)]
        answers.cells += [(name, solution.source) for name, solution in solved.items()]
        answers.cells += [("", source) for _, source in as_cells(late)]


def cells_beside(cells: list[Cell], lecture: Lecture, solved: dict[str, Solution]) -> dict[int, Cell]:
    """Return the code cells that are no exercise's, by their place: those without an id, and changed test cells."""
    graded = {exercise.name for exercise in lecture.exercises}
    tests = {e.test_name: (e.shown_test.strip(), e.test.strip()) for e in lecture.exercises}
    inside = {place for solution in solved.values() for place in solution.places}
    return {
        place: cell
        for place, cell in enumerate(cells)
        if cell.kind == "code" and cell.grade_id not in graded and place not in inside
        if cell.written.strip() not in tests.get(cell.grade_id or "", ())
    }


def needed_statements(beside: dict[int, Cell], needed: set[str], known: frozenset[str], used: set[str]) -> list[Taken]:
    """Return the statements of cells without an id that bind or change what is `needed`, in order.

    A module of which a solution uses the name may be complete only by an import in another cell, `import a.b`.
    """
    found = [
        Taken(place, statement, frozenset(statement_names(statement)), frozenset(changed_names(statement)))
        for place, cell in beside.items()
        if not cell.grade_id
        for statement in statements(cell.source)
    ]
    by_name: dict[str, list[int]] = {}
    for number, one in enumerate(found):
        for name in one.binds | one.changes:
            by_name.setdefault(name, []).append(number)
    taken: set[int] = set()
    left, seen = list(needed), set(needed)
    while left:
        for number in set(by_name.get(left.pop(), ())) - taken:
            taken.add(number)
            more = found[number].uses - known - seen
            left += more
            seen |= more
    star = bool(seen - by_name.keys())  # names that no statement binds may come from an `import *`
    return [
        one
        for number, one in enumerate(found)
        if number in taken or (star and "*" in one.binds) or everywhere(one.statement, used | seen)
    ]


def everywhere(statement: ast.stmt, used: set[str]) -> bool:
    """Tell whether a statement holds for all cells: what it imports from `__future__`, parts of a module in use."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" and bool(used)
    parts = statement.names if isinstance(statement, ast.Import) else []
    return any("." in part.name and not part.asname and part.name.partition(".")[0] in used for part in parts)


def reach(needs: set[str], taken: list[Taken], known: frozenset[str]) -> set[str]:
    """Return the names that a solution needs, also by way of the statements that are taken."""
    uses: dict[str, list[Taken]] = {}
    for one in taken:
        for name in one.binds:
            uses.setdefault(name, []).append(one)
    reached, left = set(needs), list(needs)
    while left:
        for one in uses.pop(left.pop(), ()):
            more = one.uses - known - reached
            reached |= more
            left += more
    return reached


def note_needs(reached: dict[str, set[str]], taken: list[Taken], beside: dict[int, Cell], answers: Answers) -> None:
    """Note which exercises use what was taken, and send those to a review that use what could not be taken."""
    bound = set().union(*(one.binds for one in taken))
    star = "*" in bound
    words = {word for cell in beside.values() for word in re.findall(r"\w+", cell.written)}
    commands = list(dict.fromkeys(command for cell in beside.values() for command in cell.commands))
    for exercise, names in reached.items():
        if names & bound or (names and star):
            answers.helped.add(exercise)
        doubts = answers.doubts.setdefault(exercise, [])
        open_names = sorted(names - bound)
        if lost := [name for name in open_names if not star and name in words]:
            doubts.append(f"uses {', '.join(lost)}, from a cell that is not graded, in a form that is not taken over")
        if shown := [name for name in open_names if OUTPUTS.fullmatch(name)]:
            doubts.append(f"uses {', '.join(shown)}, which is what another cell has shown")
        elif open_names and commands and not lost:
            doubts.append(f"uses {', '.join(open_names)}; a command that was not run may define it: {commands[0][:80]}")
        if not doubts:
            del answers.doubts[exercise]
    if answers.helped:
        answers.notes.append("definitions from cells that are not graded were used")


def note_changed_setup(
    beside: dict[int, Cell], lecture: Lecture, solved: dict[str, Solution], answers: Answers
) -> None:
    """Note which exercises use a name of the set-up that the student has given another value: the course's counts."""
    released = {cell.source for cell in lecture.released.cells if cell.cell_type == "code"}
    as_handed_out = {ast.unparse(statement) for source in released for statement in statements(source)}
    setup = frozenset().union(*map(bound_names, lecture.setup))
    bound: set[str] = set()
    changed = [cell for cell in beside.values() if not cell.grade_id and cell.written not in released]
    for statement in (s for cell in changed for s in statements(cell.source)):
        if not isinstance(statement, ast.Import | ast.ImportFrom) and ast.unparse(statement) not in as_handed_out:
            bound.update(setup & set(statement_names(statement)))
    for exercise, solution in solved.items():
        if names := sorted(bound & global_names(solution.source)):
            why = f"uses {', '.join(names)} of the set-up, which another cell of the notebook binds anew"
            answers.doubts.setdefault(exercise, []).append(why)


def between_solutions(taken: list[Taken], solved: dict[str, Solution], reached: dict[str, set[str]]) -> bool:
    """Tell whether a name is bound in two cells, with a solution that uses it between them."""
    places: dict[str, set[int]] = {}
    for one in taken:
        for name in one.binds | one.changes:
            places.setdefault(name, set()).add(one.place)
    return any(
        min(places[name]) < max(solution.places) < max(places[name])
        for exercise, solution in solved.items()
        for name in reached[exercise] & places.keys()
    )


def late_statements(taken: list[Taken], solutions: set[str]) -> list[Taken]:
    """Return the statements that use a solution when they are executed."""
    late, found = set(solutions), []
    for one in taken:
        runs_later = isinstance(one.statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        if one.uses & late and not runs_later:
            late |= one.binds
            found.append(one)
    return found


def as_cells(taken: Iterable[Taken]) -> list[tuple[int, str]]:
    """Return the statements as cells, as they stood together: place and source of each."""
    groups: dict[int, list[str]] = {}
    for one in taken:
        groups.setdefault(one.place, []).append(one.source)
    return [(place, "\n".join(part)) for place, part in groups.items()]
