"""From the files of a class to jobs: which lecture a file belongs to, what it answers, which version counts."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.course import review
from utils.course.answers import find_answers
from utils.course.cells import Cell, NotANotebook, bound_names, parse
from utils.course.exercises import Course, Lecture
from utils.course.handed_in import File
from utils.course.platforms import read_stamp
from utils.course.records import ASIDE, ERROR, REVIEW, Job, Status, internal_error

VERSION = 4  # raise it when grading itself changes: every submission is then graded anew
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
Versions = list[tuple[File, list[Cell]]]  # what a student handed in for one lecture


def take_in(files: list[File], course: Course, log: Path, deadline: str = "") -> tuple[list[Job], list[Status]]:
    """Return the jobs, and the statuses of the files that nothing can be graded of.

    What the platform dates after the deadline is late.

    A fault of this program is no fault of the student's: its traceback goes to `log`, and the other files go on.
    """
    work: dict[tuple[str, str], Versions] = {}
    jobs, rejects = [], []
    for file in files:
        if file.aside:
            rejects.append(replace(rejected(file, None, ""), status=ASIDE, reasons=[], notes=["is no answer"]))
            continue
        name = known_name(file, course)
        try:
            cells, problem, found = read(file, name, course)
        except Exception as error:
            rejects.append(internal_error(error, Status(file.student, name or "", file.name), log))
            continue
        if problem or found is None:
            rejects.append(rejected(file, found or name, problem))
        else:
            work.setdefault((file.student, found), []).append((file, cells))
    for (student, name), versions in work.items():
        try:
            job = plan(versions, course[name])
            apply_deadline(job.begun, deadline)
            jobs.append(job)
        except Exception as error:
            rejects.append(internal_error(error, Status(student, name, versions[-1][0].name), log))
    return jobs, rejects


def apply_deadline(begun: Status, deadline: str) -> None:
    """Mark a submission as late that the platform dates after the deadline; a new deadline is a new result."""
    time = read_stamp(begun.handed_in)
    if deadline and TIME.match(time):
        begun.deadline, begun.late = deadline, time > deadline
        begun.key = hashlib.sha256(f"{begun.key} {deadline}".encode()).hexdigest()


def known_name(file: File, course: Course) -> str | None:
    """Return the lecture that a file's name names, tolerating copies: `01_x (1)`, `01_x-Copy1`, `Anna_01_x`."""
    stem = Path(file.name).name.lower()
    found = [name for name, lecture in course.items() if lecture.path.stem.lower() in stem]
    return found[0] if len(found) == 1 else None


def read(file: File, name: str | None, course: Course) -> tuple[list[Cell], str, str | None]:
    """Return the cells of a file, the problem with it ("" if there is none), and the lecture that it belongs to.

    `name` is the lecture that the file's name names.
    """
    if file.error is not None:
        raise file.error
    if file.problem:
        return [], file.problem, name
    try:
        cells, notes = parse(file.data)
    except NotANotebook as error:
        return [], str(error), name
    file.notes += notes
    found = recognise(cells, course)
    if found is None:
        return cells, no_lecture(cells, name), name
    if found != name:
        file.notes.append(f"recognised by its exercises as {found}")
    return cells, "", found


def overlap(cells: list[Cell], lecture: Lecture) -> int:
    """Return how many of the exercises of `lecture` the notebook holds, found by id or by the name they define."""
    ids = {cell.grade_id for cell in cells} - {"debug"}  # every lecture has a `debug`
    names = frozenset().union(*(bound_names(cell.source) for cell in cells if cell.kind == "code"))
    return sum(exercise.name in ids or bool(exercise.defines & names) for exercise in lecture.exercises)


def recognise(cells: list[Cell], course: Course) -> str | None:
    """Return the name of the lecture of which `cells` hold at least half of the exercises, else None."""
    shares = {name: overlap(cells, lecture) / max(1, len(lecture.exercises)) for name, lecture in course.items()}
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best and shares[best] >= 0.5 else None


def no_lecture(cells: list[Cell], name: str | None) -> str:
    if not any(cell.source.strip() for cell in cells):
        return "is an empty notebook"
    return f"holds too few exercises of {name}" if name else "is not a notebook of this course: none of its exercises"


def rejected(file: File, name: str | None, problem: str) -> Status:
    """Return the status of a file that nothing can be graded of."""
    reasons = [f"{file.name or 'the folder'} {problem}"]
    begun = Status(file.student, name or "", file.name, status=REVIEW, reasons=reasons, notes=file.notes)
    return replace(begun, **about(file))


def about(file: File) -> dict[str, Any]:
    """Return what a status holds of who handed a file in, and when."""
    s = file.sender
    return {"late": s.late, "handed_in": s.stamp, "name": s.name, "platform": s.platform, "person": s.id}


def newest(versions: Versions) -> Versions:
    """Return the versions of the newest attempt, with a note on the older ones; all of them where no time tells.

    A version with a time that cannot be read, or without one, is not older than any other.
    """
    times = [read_stamp(file.sender.stamp) for file, _ in versions]
    stamps, last = set(times), max(times)
    if len(stamps) < 2 or not all(map(TIME.match, stamps)):
        return versions
    kept = [version for version, time in zip(versions, times, strict=True) if time == last]
    older = ", ".join(sorted(stamps - {last}))
    kept[-1][0].notes.append(f"the newest attempt counts, of {last}; older ones: {older}")
    return kept


def plan(versions: Versions, lecture: Lecture) -> Job:
    """Return the job for what a student handed in for a lecture: the last version counts."""
    versions = newest(versions)
    digests = list(dict.fromkeys(file.digest for file, _ in versions))
    file, cells = versions[-1]
    answers = find_answers(cells, lecture)
    if len(digests) > 1:
        names = ", ".join(f.name for f, _ in versions)
        answers.reasons.append(f"{len(digests)} different files for one notebook ({names}); {file.name} was graded")
    for exercise, source in answers.cells:
        if found := "; ".join(review.reaches_machine(source)):
            answers.notes.append(f"{exercise or 'a cell that is not graded'}: {found}")
            why = f"failed where it cannot reach the machine: {found}"  # such as a file of the student's own
            for owner in [exercise] if exercise else sorted(answers.helped):
                answers.doubts.setdefault(owner, []).append(why)
    state = [VERSION, lecture.key, digests, *about(file).values()]
    begun = Status(
        file.student,
        lecture.name,
        file.name,
        submission=file.digest,
        key=hashlib.sha256(json.dumps(state).encode()).hexdigest(),
        **about(file),
        written=answers.written,
        lost=answers.lost,
        reasons=answers.reasons,
        notes=list(dict.fromkeys(note for f, _ in versions for note in f.notes)) + answers.notes,
    )
    helped = frozenset(answers.helped)
    return Job(begun, tuple(answers.cells), answers.suspicions, answers.shown, answers.doubts, helped, answers.in_order)


def reference(lecture: Lecture) -> Job:
    """Return the job of the course's own solutions."""
    cells = tuple((exercise.name, lecture.references[exercise.name]) for exercise in lecture.exercises)
    return Job(Status("the course's own solutions", lecture.name), cells, {})


def problem_of_reference(status: Status) -> str:
    """Return why nobody can be graded where the course's own solutions ended with `status`, "" if all is well."""
    lost = [row for row in status.exercises.values() if row.status != "passed" or row.suspicions]
    if status.status == ERROR:
        return "; ".join(status.reasons)
    if not lost:
        return ""
    first = "; ".join([lost[0].line, *lost[0].suspicions])
    return (
        f"the course's own solutions of {status.notebook} fail {len(lost)} of {len(status.exercises)} exercises here, "
        f"so no student was graded. The first: {first}. Look at the installation (pip list, KERAS_BACKEND) "
        "and at the limits --seconds and --memory"
    )
