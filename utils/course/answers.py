"""Match the cells of a student's notebook with the exercises and questions of a lecture. No code is run."""

from utils.course import helpers
from utils.course.cells import Cell, bound_names, grade_id
from utils.course.exercises import Exercise, Lecture, Question, graded_cells
from utils.course.helpers import Answers, Solution

from nbgrader.utils import compute_checksum

__all__ = ["Answers", "find_answers"]


def find_answers(cells: list[Cell], lecture: Lecture) -> Answers:
    """Return what `cells` answer of `lecture`."""
    answers = Answers()
    handed_out = {cell.source.strip() for cell in lecture.released.cells}
    solved: dict[str, Solution] = {}
    for exercise in lecture.exercises:
        if places := find_solution(cells, exercise, answers, handed_out):
            own = [cells[place] for place in places]
            answers.shown[exercise.name] = "\n".join(dict.fromkeys(cell.written for cell in own))
            for command in dict.fromkeys(command for cell in own for command in cell.commands):
                why = f"a command of the notebook or the shell was not run: {command[:80]}"
                answers.doubts.setdefault(exercise.name, []).append(why)
            source = "\n".join(dict.fromkeys(cell.source for cell in own))
            solved[exercise.name] = Solution(source, tuple(places))
    helpers.add_cells(cells, lecture, solved, answers)
    for question in lecture.questions:
        answers.written[question.name] = find_text(cells, question, lecture, answers)
    look_at_tests(cells, lecture, answers)
    return answers


def with_id(cells: list[Cell], name: str) -> list[int]:
    """Return the places of the cells that carry the id `name`."""
    return [place for place, cell in enumerate(cells) if cell.grade_id == name]


def find_solution(cells: list[Cell], exercise: Exercise, answers: Answers, handed_out: set[str]) -> list[int]:
    """Return the places of the cells that answer `exercise`, to be run one after the other; none if there are none.

    They are the cells with its id and, as in a notebook that is run from top to bottom, those above its test that
    define it anew. Where the cells with the id do not define it, others are looked for that do.
    """
    name = exercise.name
    code = [place for place, cell in enumerate(cells) if cell.kind == "code"]
    own = [place for place in with_id(cells, name) if place in code]
    defining = [place for place in code if exercise.defines & bound_names(cells[place].source)]
    plain = [
        place for place in defining if not cells[place].grade_id and cells[place].written.strip() not in handed_out
    ]
    if not own:
        answers.notes.append(
            f"the cell of {name} has lost its id: {'found by the name it defines' if plain else 'missing'}"
        )
        return one_of(cells, plain, exercise, answers) or merged(cells, defining, exercise, answers)
    work = [place for place in own if cells[place].written.strip() not in ("", exercise.stub.strip())]
    found = one_of(cells, work, exercise, answers) if work else []
    tests = [place for place in with_id(cells, exercise.test_name) if place > own[-1]]
    anew = [place for place in plain if found and place > found[-1] and tests and place < tests[0]]
    complete = exercise.defines & frozenset().union(*(bound_names(cells[place].source) for place in found))
    if not complete:
        above = [place for place in plain if tests and place < tests[0]]
        anew = (above or plain)[-1:] or merged(cells, [p for p in defining if p not in own], exercise, answers)
    if anew:
        answers.notes.append(f"{name} is defined in a cell beside its own, which was used")
    return sorted({*found, *anew}) or own[:1]


def merged(cells: list[Cell], defining: list[int], exercise: Exercise, answers: Answers) -> list[int]:
    """Return the cell of another exercise that defines this one, as where two cells were merged; none if none does."""
    found = [place for place in defining if cells[place].grade_id not in (None, exercise.name)]
    if found:
        answers.notes.append(f"{exercise.name} was found in the cell of {cells[found[-1]].grade_id}")
    elif not with_id(cells, exercise.name) or cells[with_id(cells, exercise.name)[0]].kind != "code":
        answers.suspicions[exercise.name] = [f"the notebook has no cell for the exercise {exercise.name}"]
    return found[-1:]


def one_of(cells: list[Cell], places: list[int], exercise: Exercise, answers: Answers) -> list[int]:
    """Several different cells carry one id. Parts of a split cell are all returned; copies are left to a person."""
    different = {cells[place].source: place for place in places}
    if len(different) < 2:
        return places[:1]
    names = [bound_names(source) for source in different]
    split = not any(a & b for i, a in enumerate(names) for b in names[:i])
    if split and exercise.defines <= frozenset().union(*names):
        answers.notes.append(f"the cell of {exercise.name} was split in {len(different)}: joined")
        return list(different.values())
    text = f"{len(different)} different cells carry the id {exercise.name}; the last one was run"
    answers.suspicions.setdefault(exercise.name, []).append(text)
    return places[-1:]


def find_text(cells: list[Cell], question: Question, lecture: Lecture, answers: Answers) -> str:
    """Return the answer to `question`, by the id of its cell or else by what stands around it."""
    name, stub = question.name, question.stub.strip()
    own = with_id(cells, name)
    texts = [text for place in own if (text := cells[place].written).strip() not in ("", stub)]
    if len(set(texts)) > 1:
        answers.notes.append(f"{len(texts)} different cells carry the id {name}; all are shown")
    if not texts:
        texts = between_neighbours(cells, question, lecture)
        if texts:
            lost = (
                "is empty: what stands beside it was taken" if own else "has lost its id: found by the cells around it"
            )
            answers.notes.append(f"the cell of {name} {lost}")
        elif own:
            texts = [cells[place].written for place in own]
        else:
            answers.lost.append(name)
            answers.reasons.append(f"the notebook has no cell for the question {name}")
    if any("attachment:" in text for text in texts):
        answers.notes.append(f"the answer to {name} holds a picture, which is only in the file that was handed in")
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
    return [text for text in texts if text.strip() not in known]


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
