"""The gradebook: results of all jobs merged into nbgrader's database, and the notebooks that Formgrader shows.

The database is the one that nbgrader_config.py names, so Formgrader in JupyterLab shows the same points, and what a
person enters there is in the tables and the feedback. `merge` is its only writer besides Formgrader; grade.py calls it
while it holds the lock of the batch.
"""

import contextlib
import copy
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from utils.course.cells import grade_id
from utils.course.exercises import ROOT, Course, CourseError, Lecture, graded_cells, nbgrader_config
from utils.course.platforms import read_stamp
from utils.course.records import Status, read_status
from utils.course.release import MARKER
from utils.files import replacing, write_text

import nbformat
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry, SubmittedNotebook
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.utils import compute_checksum, is_grade, is_solution
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool
from traitlets.config import Config

LOCK = 0x6E6267  # a number of our own, for PostgreSQL's advisory locks
FOR_GRADER = "for-grader"  # tag of cells that the feedback does not show
LIVE = (  # where an answer could become more than text in the browser of whoever grades it
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),
    (re.compile(r"!\["), r"!\\["),  # images load by themselves
    (re.compile(r"\](?=\(\s*(?!https://))"), r"\\]"),
    (re.compile(r"^(\s*)\[(?=[^\]]*\]:)", re.MULTILINE), r"\1\\["),
    (re.compile(r"\\(href|url|style|class|cssId|require|unicode)\b"), r"\\text "),
)


@dataclass(frozen=True)
class Row:
    """One graded cell of one student, as it stands in the database: what a person has entered counts."""

    student: str
    notebook: str
    exercise: str
    score: float
    points: float
    result: str  # passed, failed, not attempted, written, to be graded
    waiting: bool  # for a person
    message: str = ""
    penalty: float = 0.0  # for late work, of the whole notebook; stands in the first row of a notebook


@contextlib.contextmanager
def open_gradebook(config: Config) -> Iterator[Gradebook]:
    """Open the database; CourseError that says what to do if it cannot be used."""
    scripts = sysconfig.get_path("scripts")  # nbgrader calls the program `alembic`, which is on no PATH but the venv's
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    warnings.filterwarnings("ignore", "Object of type .* not in session")  # nbgrader under SQLAlchemy 2
    shown = address(config)
    try:
        with alone(config.CourseDirectory.db_url):
            with Gradebook(config.CourseDirectory.db_url, config.CourseDirectory.course_id) as book:
                yield book
    except DBAPIError as error:
        why = " ".join(str(error.orig).split())  # PostgreSQL writes several lines
        advice = "Look whether the server runs"
        if shown.startswith("sqlite"):
            advice = "If another program has it open (Formgrader in JupyterLab, a database viewer), close it there"
        raise CourseError(
            f"The gradebook {shown} cannot be used: {why}. {advice} and run this command again: no result is lost."
        ) from error


def address(config: Config) -> str:
    """Return the database's address without its password; CourseError if it is none or its driver is missing."""
    try:
        return create_engine(config.CourseDirectory.db_url).url.render_as_string(hide_password=True)
    except ModuleNotFoundError as error:
        raise CourseError(
            f"The gradebook needs the driver {error.name}: pip install -r requirements/cluster.txt"
        ) from None
    except ArgumentError:
        raise CourseError(
            "GRADEBOOK is a database's address, such as sqlite:////home/me/course.db or "
            f"postgresql+psycopg://user@host/course, got {config.CourseDirectory.db_url!r}"
        ) from None


@contextlib.contextmanager
def alone(url: str) -> Iterator[None]:
    """Wait until no other batch, on whatever machine, uses the same PostgreSQL database; SQLite locks its own file.

    nbgrader looks whether a row is there and then adds it: two batches that do so at once would both add it.
    """
    if make_url(url).get_backend_name() != "postgresql":
        yield
        return
    with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        if not connection.scalar(text(f"select pg_try_advisory_lock({LOCK})")):
            print("Another batch uses the gradebook; waiting for its end.", file=sys.stderr, flush=True)
            connection.execute(text(f"select pg_advisory_lock({LOCK})"))
        yield  # the server takes the lock back when the connection ends, however that comes about


def settings(course: Path, output: Path) -> Config:
    """Return nbgrader's settings for the results in `output`."""
    config = nbgrader_config(ROOT, course)
    config.CourseDirectory.db_url = os.environ.get("GRADEBOOK") or f"sqlite:///{output / 'gradebook.db'}"
    return config


def results(output: Path) -> list[Status]:
    """Return the status of every job in `output`, by student and notebook; CourseError if a file is damaged."""
    found = []
    for path in sorted((output / "jobs").glob("[!.]*.json")):
        try:
            found.append(read_status(path))
        except ValueError as error:
            raise CourseError(f"{path} is damaged ({error}). Grade once more: make grade SUBMISSIONS=folder") from None
    return sorted(found, key=lambda status: (status.student, status.notebook))


def add_lecture(book: Gradebook, lecture: Lecture) -> None:
    """Put the cells of a lecture into the database; CourseError if graded ones have disappeared from the lecture."""
    notebook, assignment = lecture.path.stem, lecture.assignment
    book.update_or_create_assignment(assignment)
    book.update_or_create_notebook(notebook, assignment)
    cells = graded_cells(lecture.released)
    old = {cell.name for cell in book.find_notebook(notebook, assignment).grade_cells}
    if gone := old - cells.keys():
        raise CourseError(
            f"{lecture.name}: {', '.join(sorted(gone))} stand in the gradebook and no longer in the notebook. "
            "Give a new release a gradebook of its own: make grade GRADEBOOK=sqlite:///path/to/new.db"
        )
    for name, cell in cells.items():
        if is_grade(cell):
            points = float(cell.metadata.nbgrader["points"])
            book.update_or_create_grade_cell(name, notebook, assignment, max_score=points, cell_type=cell.cell_type)
        if is_solution(cell):
            book.update_or_create_solution_cell(name, notebook, assignment)
        kind = {"cell_type": cell.cell_type, "source": cell.source, "checksum": compute_checksum(cell)}
        book.update_or_create_source_cell(name, notebook, assignment, **kind)


def submitted_notebook(book: Gradebook, lecture: Lecture, status: Status) -> SubmittedNotebook:
    """Return the row of a student's notebook, made with everything that belongs to it if it is not there."""
    notebook, assignment, student = lecture.path.stem, lecture.assignment, status.student
    first, _, last = (status.name or student).rpartition(" ")
    book.update_or_create_student(student, first_name=first, last_name=last)
    try:
        submission = book.find_submission(assignment, student)
    except MissingEntry:
        submission = book.add_submission(assignment, student)
        for row in list(submission.notebooks):  # nbgrader adds all notebooks of the folder, handed in or not
            for part in (*row.grades, *row.comments):  # they do not go with it
                book.db.delete(part)
            book.db.delete(row)
        book.db.commit()
        submission = book.find_submission(assignment, student)
    try:
        row = book.find_submission_notebook(notebook, assignment, student)
    except MissingEntry:
        row = SubmittedNotebook(notebook=book.find_notebook(notebook, assignment), assignment=submission)
        book.db.add(row)
    graded, commented = {grade.cell_id for grade in row.grades}, {comment.cell_id for comment in row.comments}
    for cell in row.notebook.grade_cells:
        if cell.id not in graded:
            book.db.add(Grade(cell_id=cell.id, notebook=row))
    for cell in row.notebook.solution_cells:
        if cell.id not in commented:
            book.db.add(Comment(cell_id=cell.id, notebook=row))
    reload(book)
    return book.find_submission_notebook(notebook, assignment, student)


def merge_lateness(book: Gradebook, row: SubmittedNotebook, status: Status, config: Config) -> None:
    """Keep when a notebook was handed in, and take off what nbgrader's LateSubmissionPlugin says."""
    submission = row.assignment
    time, due = as_time(read_stamp(status.handed_in)), as_time(status.deadline)
    submission.timestamp = time or submission.timestamp
    submission.assignment.duedate = due or submission.assignment.duedate
    late = submission.total_seconds_late if time and due else float(status.late)
    plugin = LateSubmissionPlugin(config=config)
    penalty = plugin.late_submission_penalty(status.student, row.score, late) if late else 0
    row.late_submission_penalty = max(0.0, min(float(penalty or 0), row.score))


def reload(book: Gradebook) -> None:
    """Have what is read next come from the database with all that was written, sums included; `merge` commits."""
    book.db.flush()
    book.db.expire_all()


def as_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def merge_one(book: Gradebook, lecture: Lecture, status: Status) -> None:
    """Write one result. Points that a person has entered stay; what changed is marked for a second look."""
    row = submitted_notebook(book, lecture, status)
    grades = {grade.cell.name: grade for grade in row.grades}
    for exercise in lecture.exercises:
        grade, result = grades[exercise.test_name], status.exercises[exercise.name]
        grade.auto_score = result.score
        grade.needs_manual_grade = bool(result.suspicions) or grade.manual_score is not None
    for question in lecture.questions:
        grade, answer = grades[question.name], status.written.get(question.name, "").strip()
        empty = answer in ("", question.stub.strip())
        empty = empty and question.name not in status.lost  # a cell that was not found may have held an answer
        grade.auto_score = 0.0 if empty else None
        grade.needs_manual_grade = not empty or grade.manual_score is not None
    comments = {comment.cell.name: comment for comment in row.comments}
    for exercise in lecture.exercises:
        why = status.exercises[exercise.name].suspicions
        comments[exercise.name].auto_comment = f"Needs a review: {'; '.join(why)}" if why else None
    reload(book)


def merge(statuses: list[Status], course: Course, output: Path) -> int:
    """Merge results into the database and write the notebooks that Formgrader shows; return how many were new.

    Raises
    ------
    CourseError
        The database cannot be used, or does not fit the course.
    """
    config, marks = settings(ROOT, output), output / "merged.json"
    merged, new = read_marks(marks), 0
    with open_gradebook(config) as book:
        for name in sorted({status.notebook for status in statuses}):
            add_lecture(book, course[name])
        for status in statuses:
            lecture = course[status.notebook]
            mark = json.dumps([address(config), status.student, status.notebook])
            if merged.get(mark) == status.key and known(book, lecture, status.student):
                continue
            write_autograded(lecture, status, output)
            merge_one(book, lecture, status)
            row = book.find_submission_notebook(lecture.path.stem, lecture.assignment, status.student)
            merge_lateness(book, row, status, config)
            book.db.commit()  # one for each notebook: a disk takes its time for every one
            merged[mark], new = status.key, new + 1
    write_text(marks, json.dumps(merged))
    return new


def read_marks(path: Path) -> dict[str, str]:
    """Return which results the database holds already, by database, student and notebook."""
    try:
        merged = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(merged, dict):
            raise ValueError(f"it holds a {type(merged).__name__}")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CourseError(
            f"{path} is damaged ({error}). Delete it and grade once more: every result is then merged anew, and the "
            "cells with points that a person has entered are marked for a second look."
        ) from None
    return merged


def known(book: Gradebook, lecture: Lecture, student: str) -> bool:
    try:
        book.find_submission_notebook(lecture.path.stem, lecture.assignment, student)
    except MissingEntry:
        return False
    return True


def write_autograded(lecture: Lecture, status: Status, output: Path) -> None:
    """Write the notebook that Formgrader shows: the student version with the answers and the line of each test.

    Nothing else of the submission is in it: no outputs, no cells of the student's, no HTML in the answers, which
    would run in the browser of whoever grades them. The hidden tests are not in it either: feedback is made of it.
    """
    notebook = copy.deepcopy(lecture.released)
    by_test = {exercise.test_name: exercise.name for exercise in lecture.exercises}
    for cell in notebook.cells:
        name = grade_id(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if name in status.exercises:
            cell.source = status.exercises[name].source
        elif name in by_test:
            row = status.exercises[by_test[name]]
            lines = [row.line, *(f"needs review, because {why}" for why in row.suspicions)]
            cell.outputs = [new_output("stream", name="stdout", text="\n".join(lines) + "\n")]
        elif name in status.written:
            cell.source = as_plain_markdown(status.written[name])
    notebook.cells = [cell for old in notebook.cells for cell in (old, *rubric(lecture, grade_id(old)))]
    folder = output / "autograded" / status.student / lecture.assignment
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / lecture.path.name) as new:
        nbformat.write(notebook, new)


def as_plain_markdown(text: str) -> str:
    """Return an answer as Markdown without tags and images, and with links to https only."""
    for pattern, new in LIVE:
        text = pattern.sub(new, text)
    return text


def rubric(lecture: Lecture, name: str | None) -> list[nbformat.NotebookNode]:
    """Return a cell with sample answer and rubric of a question for the grader; write_feedback leaves it out."""
    if name not in {question.name for question in lecture.questions}:
        return []
    source = lecture.references[str(name)]
    text = "\n".join(line for line in source.splitlines() if not MARKER.search(line))
    return [new_markdown_cell(f"**For the grader only**\n\n{text}", metadata={"tags": [FOR_GRADER]})]


def grades(book: Gradebook, statuses: list[Status]) -> list[Row]:
    """Return one row for each graded cell, from the database; CourseError if a result is not in it."""
    rows = []
    for status in statuses:
        assignment, _, stem = status.notebook.partition("/")
        try:
            submitted = book.find_submission_notebook(stem, assignment, status.student)
        except MissingEntry:
            raise CourseError(
                f"{status.student}'s {status.notebook} is graded and not in the gradebook yet: the last batch could "
                "not write it. Grade once more: make grade SUBMISSIONS=folder"
            ) from None
        penalty = float(submitted.late_submission_penalty or 0)
        for grade in sorted(submitted.grades, key=lambda grade: grade.cell.name):
            name = grade.cell.name.removeprefix("test_")
            own, waiting = status.exercises.get(name), bool(grade.needs_manual_grade)
            result = own.status if own else "to be graded" if waiting else "written"
            line = own.line if own else ""
            row = Row(
                status.student, status.notebook, name, grade.score, grade.max_score, result, waiting, line, penalty
            )
            rows.append(row)
            penalty = 0.0
    return rows
