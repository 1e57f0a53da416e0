"""What passes through grading: the job that intake makes of a submission, and the status that comes of it.

A status is saved as one JSON file; a batch that was stopped goes on from these files.
"""

import hashlib
import json
import sys
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from utils.files import write_text

GRADED, REVIEW, ERROR, ASIDE = "graded", "needs review", "error", "left aside"
REMOVED = "no longer in the folder of the class"
Kind = TypeVar("Kind")


@dataclass
class ExerciseResult:
    """What became of one exercise. `score` is 0 while a person has to look; `provisional` is what the tests gave."""

    status: str = "failed"  # passed, failed, not attempted
    line: str = ""  # what checks.grade printed
    suspicions: list[str] = field(default_factory=list)
    points: float = 0.0
    provisional: float = 0.0
    score: float = 0.0
    source: str = ""


@dataclass
class Status:
    """What became of one notebook of one student, or of a file that nothing can be graded of (`key` is then empty).

    `status` is graded, needs review, left aside: a file that is no answer; or error: the course or the machine is at
    fault, and the next batch tries again. `late` is what the platform says, or what the deadline makes of the time
    `handed_in`. `platform` and `person` are the platform and the number that it gives the student.
    """

    student: str = ""
    notebook: str = ""
    file: str = ""
    submission: str = ""  # SHA-256 of the file
    key: str = ""  # changes with anything that could change the result
    late: bool = False
    handed_in: str = ""
    deadline: str = ""
    name: str = ""
    platform: str = ""
    person: str = ""
    folder: str = ""  # of the class, as it was when this was graded
    limits: str = ""  # that the job ran under
    written: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # questions whose cell was not found
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    status: str = REVIEW
    exercises: dict[str, ExerciseResult] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """The answers of one student to one notebook: plain values, which may travel to another machine."""

    begun: Status  # what is known of the result before anything has run
    cells: tuple[tuple[str, str], ...]  # (exercise or "" for other cells, source), in the order to run them in
    suspicions: dict[str, list[str]]  # exercise -> what its cells do that no answer needs
    shown: dict[str, str] = field(default_factory=dict)  # exercise -> its cell as it stands in the notebook
    doubts: dict[str, list[str]] = field(default_factory=dict)  # exercise -> reasons for a review if it does not pass
    helped: frozenset[str] = frozenset()  # exercises that use cells which are not graded
    in_order: bool = False  # test each exercise with the cells up to its own


def status_path(folder: Path, student: str, notebook: str) -> Path:
    """Return where a status is kept. A student's name may hold any character: readable, unique, short."""
    names = [student, notebook]
    text = "-".join("".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:40] for name in names)
    return folder / f"{text}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}.json"


def save(path: Path, value: Status | list[Status]) -> None:
    """Write a status or a list of them as JSON."""
    plain = asdict(value) if isinstance(value, Status) else [asdict(status) for status in value]
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=True))


def read_status(path: Path) -> Status:
    """Return the status in the file `path`.

    Raises
    ------
    FileNotFoundError, PermissionError
        The file cannot be opened.
    ValueError
        The file is damaged or was written by another version.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    status = built(Status, data)
    status.exercises = {name: built(ExerciseResult, row) for name, row in status.exercises.items()}
    return status


def read_report(path: Path) -> list[Status]:
    """Return the statuses of a report, without their exercises' types checked; none if there is no report.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    if not isinstance(data, list):
        raise ValueError(f"{path} is damaged: it holds a {type(data).__name__}. Grade once more")
    return [built(Status, status) for status in data]


def built(kind: type[Kind], data: object) -> Kind:
    """Return the dataclass `kind` with the values of a JSON object; ValueError if they do not fit."""
    if not isinstance(data, dict):
        raise ValueError(f"found {type(data).__name__} where a {kind.__name__} was expected")
    result = kind()
    for name, value in data.items():
        wanted = type(getattr(result, name, None))
        if wanted is type(None) or not isinstance(value, (float, int) if wanted is float else wanted):
            raise ValueError(f"{name!r} of a {kind.__name__} is {str(value)[:40]!r}")
        setattr(result, name, value)
    return result


def finished(folder: Path, job: Job, limits: str = "", retry: bool = False) -> Status | None:
    """Return the status that an earlier batch has saved for this very job, None if there is none.

    What needs a review is graded anew if the limits are others by now, or on demand.
    """
    path = status_path(folder, job.begun.student, job.begun.notebook)
    try:
        status = read_status(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        print(f"{path} is damaged ({error}): graded anew.", file=sys.stderr)
        return None
    again = status.status != GRADED and (retry or status.limits != limits)
    return status if status.key == job.begun.key and not again else None


def internal_error(error: BaseException, begun: Status, log: Path) -> Status:
    """Append the traceback of `error`, a fault of the course's, to `log`; return the status that says so."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{begun.student} | {begun.notebook} | {begun.file}\n{''.join(traceback.format_exception(error))}\n")
    reason = f"the grader stopped: {type(error).__name__}: {error}. The traceback is in {log}"
    return replace(begun, status=ERROR, reasons=[reason], exercises={}, key="")
