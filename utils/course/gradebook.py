"""The gradebook: results of all jobs merged into nbgrader's database, tables, a page about the class, feedback.

    python -m utils.course.gradebook        CSV files, build/grading/gradebook.html and a feedback page a student

The database is the one that nbgrader_config.py names, so Formgrader in JupyterLab shows the same points, and what a
person enters there is in the tables and the feedback. `merge` is its only writer besides Formgrader; grade.py calls it
while it holds the lock of the batch.
"""

import argparse
import base64
import collections
import copy
import csv
import html
import io
import json
import logging
import os
import re
import sys
import sysconfig
import warnings
from pathlib import Path

from utils.course import exercises, release

import nbformat
import numpy as np
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor, TagRemovePreprocessor
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry, SubmittedNotebook
from nbgrader.preprocessors import GetGrades
from nbgrader.utils import compute_checksum, is_grade, is_solution

BLUE, ORANGE = "#0072B2", "#E69F00"  # Okabe and Ito
FOR_GRADER = "for-grader"  # tag of cells that the feedback does not show
TAG = re.compile(r"<(?=[A-Za-z/!?])")  # where HTML could begin


def open_gradebook(config):
    scripts = sysconfig.get_path("scripts")  # nbgrader calls the program `alembic`, which is on no PATH but the venv's
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    warnings.filterwarnings("ignore", "Object of type .* not in session")  # nbgrader under SQLAlchemy 2
    return Gradebook(config.CourseDirectory.db_url, config.CourseDirectory.course_id)


def settings(course, output):
    """Return nbgrader's settings for the results in `output`."""
    config = release.nbgrader_config(exercises.ROOT, course)
    config.CourseDirectory.db_url = os.environ.get("GRADEBOOK") or f"sqlite:///{output / 'gradebook.db'}"
    config.CourseDirectory.autograded_directory = str(output / "autograded")
    config.CourseDirectory.feedback_directory = str(output / "feedback")
    return config


def results(output):
    """Return the status of every job in `output`, by student and notebook."""
    paths = sorted((output / "jobs").glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(found, key=lambda status: (status["student"], status["notebook"]))


def add_lecture(book, lecture):
    """Put the cells of a lecture into the database; ValueError if graded ones have disappeared from the lecture."""
    notebook, assignment = lecture.path.stem, lecture.assignment
    book.update_or_create_assignment(assignment)
    book.update_or_create_notebook(notebook, assignment)
    cells = [cell for cell in lecture.released.cells if exercises.grade_id(cell)]
    old = {cell.name for cell in book.find_notebook(notebook, assignment).grade_cells}
    if gone := old - {exercises.grade_id(cell) for cell in cells}:
        raise ValueError(
            f"{lecture.name}: {', '.join(sorted(gone))} stand in the gradebook and no longer in the notebook. "
            "Give a new release a gradebook of its own: make grade GRADEBOOK=sqlite:///path/to/new.db"
        )
    for cell in cells:
        name = exercises.grade_id(cell)
        if is_grade(cell):
            points = float(cell.metadata.nbgrader["points"])
            book.update_or_create_grade_cell(name, notebook, assignment, max_score=points, cell_type=cell.cell_type)
        if is_solution(cell):
            book.update_or_create_solution_cell(name, notebook, assignment)
        kind = {"cell_type": cell.cell_type, "source": cell.source, "checksum": compute_checksum(cell)}
        book.update_or_create_source_cell(name, notebook, assignment, **kind)


def submitted_notebook(book, lecture, student):
    """Return the row of a student's notebook, made with everything that belongs to it if it is not there."""
    notebook, assignment = lecture.path.stem, lecture.assignment
    book.update_or_create_student(student)
    try:
        submission = book.find_submission(assignment, student)
    except MissingEntry:
        submission = book.add_submission(assignment, student)
        for row in list(submission.notebooks):  # nbgrader adds all notebooks of the folder, handed in or not
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
    book.db.commit()
    return book.find_submission_notebook(notebook, assignment, student)


def merge_one(book, lecture, status):
    """Write one result. Points that a person has entered stay; what changed is marked for a second look."""
    row = submitted_notebook(book, lecture, status["student"])
    grades = {grade.cell.name: grade for grade in row.grades}
    for exercise in lecture.exercises:
        grade, result = grades[exercise.test_name], status["exercises"][exercise.name]
        grade.auto_score = result["score"]
        grade.needs_manual_grade = bool(result["suspicions"]) or grade.manual_score is not None
    for question in lecture.questions:
        grade, answer = grades[question.name], status["written"].get(question.name, "").strip()
        empty = answer in ("", question.stub.strip())
        grade.auto_score = 0.0 if empty else None
        grade.needs_manual_grade = not empty
    comments = {comment.cell.name: comment for comment in row.comments}
    for exercise in lecture.exercises:
        why = status["exercises"][exercise.name]["suspicions"]
        comments[exercise.name].auto_comment = f"Needs a review: {'; '.join(why)}" if why else None
    book.db.commit()


def merge(statuses, course, output):
    """Merge results into the database and write the notebooks that Formgrader shows; return how many were new."""
    config, marks = settings(exercises.ROOT, output), output / "merged.json"
    try:
        merged = json.loads(marks.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        merged = {}
    database, new = str(config.CourseDirectory.db_url), 0
    with open_gradebook(config) as book:
        for name in sorted({status["notebook"] for status in statuses}):
            add_lecture(book, course[name])
        for status in statuses:
            lecture, mark = course[status["notebook"]], json.dumps([database, status["student"], status["notebook"]])
            if merged.get(mark) == status["key"] and known(book, lecture, status["student"]):
                continue
            write_autograded(lecture, status, output)
            merge_one(book, lecture, status)
            merged[mark], new = status["key"], new + 1
    part = marks.with_suffix(".part")
    part.write_text(json.dumps(merged), encoding="utf-8")
    os.replace(part, marks)
    return new


def known(book, lecture, student):
    try:
        book.find_submission_notebook(lecture.path.stem, lecture.assignment, student)
    except MissingEntry:
        return False
    return True


def write_autograded(lecture, status, output):
    """Write the notebook that Formgrader shows: the student version with the answers and the line of each test.

    Nothing else of the submission is in it: no outputs, no cells of the student's, no HTML in the answers, which
    would run in the browser of whoever grades them. The hidden tests are not in it either: feedback is made of it.
    """
    notebook = copy.deepcopy(lecture.released)
    by_test = {exercise.test_name: exercise.name for exercise in lecture.exercises}
    for cell in notebook.cells:
        name = exercises.grade_id(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if name in status["exercises"]:
            cell.source = status["exercises"][name]["source"]
        elif name in by_test:
            row = status["exercises"][by_test[name]]
            lines = [row["line"], *(f"needs review, because {why}" for why in row["suspicions"])]
            cell.outputs = [new_output("stream", name="stdout", text="\n".join(lines) + "\n")]
        elif name in status["written"]:
            cell.source = TAG.sub("&lt;", status["written"][name])
    notebook.cells = [cell for old in notebook.cells for cell in (old, *rubric(lecture, exercises.grade_id(old)))]
    folder = output / "autograded" / status["student"] / lecture.assignment
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / lecture.path.name)


def rubric(lecture, name):
    """Return a cell with sample answer and rubric of a question for the grader; write_feedback leaves it out."""
    source = next((cell.source for cell in lecture.source.cells if exercises.grade_id(cell) == name), "")
    if name not in {question.name for question in lecture.questions}:
        return []
    text = "\n".join(line for line in source.splitlines() if not release.MARKER.search(line))
    return [new_markdown_cell(f"**For the grader only**\n\n{text}", metadata={"tags": [FOR_GRADER]})]


def grades(book, statuses, course):
    """Return one row for each graded cell, from the database: what a person has entered counts."""
    rows = []
    for status in statuses:
        lecture = course[status["notebook"]]
        row = book.find_submission_notebook(lecture.path.stem, lecture.assignment, status["student"])
        for grade in sorted(row.grades, key=lambda grade: grade.cell.name):
            name = grade.cell.name.removeprefix("test_")
            result = status["exercises"].get(name, {})
            rows.append(
                {
                    "student": status["student"],
                    "notebook": status["notebook"],
                    "exercise": name,
                    "score": grade.score,
                    "points": grade.max_score,
                    "result": result.get("status", "to be graded" if grade.needs_manual_grade else "written"),
                    "waiting": "yes" if grade.needs_manual_grade else "",
                    "message": result.get("line", ""),
                }
            )
    return rows


def safe(value):
    """Return a value for a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe."""
    return "'" + value if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and value else value


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows([[safe(value) for value in row.values()] for row in rows])


def by_student(rows):
    """Return one row for each student: points of each notebook, their sum, and how many cells wait for a person."""
    notebooks = sorted({row["notebook"] for row in rows})
    found = []
    for student in sorted({row["student"] for row in rows}):
        own = [row for row in rows if row["student"] == student]
        line = {"student": student}
        for notebook in notebooks:
            line[notebook] = sum(row["score"] for row in own if row["notebook"] == notebook)
        line |= {"total": sum(row["score"] for row in own), "waiting": sum(bool(row["waiting"]) for row in own)}
        found.append(line)
    return found


def items(rows):
    """Return statistics of each exercise.

    `difficulty` is the mean share of the points, 1 for an exercise that everybody solved. `discrimination` is the
    correlation of an exercise's points with the rest of the student's points in the same notebook. Answers that wait
    for a person are counted, but are in neither of the two, which stay empty if all wait.
    """
    found = []
    for notebook, exercise in sorted({(row["notebook"], row["exercise"]) for row in rows}):
        own = {row["student"]: row for row in rows if (row["notebook"], row["exercise"]) == (notebook, exercise)}
        rest = collections.Counter()
        for row in rows:
            if row["notebook"] == notebook and row["exercise"] != exercise and not row["waiting"]:
                rest[row["student"]] += row["score"]
        judged = {student: row["score"] for student, row in own.items() if not row["waiting"]}
        scores, others = np.array(list(judged.values())), np.array([rest[student] for student in judged])
        points = next(iter(own.values()))["points"]
        varies = len(scores) > 2 and scores.std() > 0 and others.std() > 0
        found.append(
            {
                "notebook": notebook,
                "exercise": exercise,
                "students": len(own),
                "points": points,
                "difficulty": round(float(scores.mean()) / max(points, 1e-9), 2) if judged else "",
                "discrimination": round(float(np.corrcoef(scores, others)[0, 1]), 2) if varies else "",
                "not attempted": sum(row["result"] == "not attempted" for row in own.values()),
                "to review": sum(bool(row["waiting"]) for row in own.values()),
            }
        )
    return found


def wrong_answers(rows, most=3):
    """Return the most common messages of failed tests of each exercise; numbers in them do not make a difference."""
    found = []
    for notebook, exercise in sorted({(row["notebook"], row["exercise"]) for row in rows}):
        failed = [r for r in rows if (r["notebook"], r["exercise"], r["result"]) == (notebook, exercise, "failed")]
        groups = collections.defaultdict(list)
        for row in failed:
            message = row["message"].partition(" points. ")[2] or row["message"]
            groups[re.sub(r"-?\d[\d.e+-]*", "0", message)].append(message)
        for messages in sorted(groups.values(), key=len, reverse=True)[:most]:
            found.append(
                {"notebook": notebook, "exercise": exercise, "students": len(messages), "message": messages[0]}
            )
    return found


def histogram(rows):
    """Return, for an HTML page, the distribution of the shares of the points that are judged already."""
    from matplotlib.figure import Figure

    total = collections.defaultdict(lambda: np.zeros(2))
    for row in rows:
        if not row["waiting"]:
            total[row["student"]] += row["score"], row["points"]
    shares = np.array([100 * score / points for score, points in total.values() if points])
    if not len(shares):
        return "<p>All answers wait for a person.</p>"
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(shares, bins=np.arange(0, 105, 5), color=BLUE, edgecolor="white")
    axes.axvline(np.median(shares), color=ORANGE, linestyle="--", label=f"median {np.median(shares):.0f} %")
    axes.set(xlabel="share of the points of the answers judged so far (%)", ylabel="students", xlim=(0, 100))
    axes.set_title(f"Half of the {len(shares)} students have {np.median(shares):.0f} % of the points or more")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    return f'<img alt="Histogram of points" src="data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}">'


def html_table(rows):
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(show(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def show(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


PAGE = """<!doctype html>
<meta charset="utf-8"><title>Gradebook</title>
<style>body {{font: 15px sans-serif; margin: 2em; max-width: 75em}} table {{border-collapse: collapse}}
td, th {{border: 1px solid #bbb; padding: 2px 8px; text-align: left; vertical-align: top}}</style>
<h1>Gradebook</h1><p>{students} students, {notebooks} notebooks handed in, {review} graded cells wait for a person.</p>
<h2>Distribution</h2>{histogram}
<h2>Exercises</h2><p>Answers that wait for a person are left out. Difficulty is the mean share of the points:
1 if everybody solved it. Discrimination is the
correlation with the rest of the points in the notebook: an exercise near 0 or below does not measure what the others
measure.</p>{items}
<h2>Most common wrong answers</h2>{wrong}
<h2>Students</h2>{totals}
<h2>Needs review</h2>{review_table}
"""


def write_page(path, rows, statuses):
    review = [row for row in rows if row["waiting"]]
    reasons = [
        {"student": s["student"], "notebook": s["notebook"], "because": "; ".join(s["reasons"])}
        for s in statuses
        if s["reasons"]
    ]
    page = PAGE.format(
        students=len({row["student"] for row in rows}),
        notebooks=len({(row["student"], row["notebook"]) for row in rows}),
        review=len(review),
        histogram=histogram(rows),
        items=html_table(items(rows)),
        wrong=html_table(wrong_answers(rows)),
        totals=html_table(by_student(rows)),
        review_table=html_table(reasons),
    )
    path.write_text(page, encoding="utf-8")


def write_feedback(config, statuses):
    """Write nbgrader's feedback page for every submission: answers, points, comments."""
    steps = [GetGrades, TagRemovePreprocessor, CSSHTMLHeaderPreprocessor]
    config.GenerateFeedback.preprocessors, config.TagRemovePreprocessor.enabled = steps, True
    config.TagRemovePreprocessor.remove_cell_tags = [FOR_GRADER]
    api = release.nbgrader_api(config)
    pairs = sorted({(status["student"], status["notebook"].partition("/")[0]) for status in statuses})
    for student, assignment in pairs:
        release.succeed(api.generate_feedback(assignment, student, force=True), f"write feedback for {student}")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m utils.course.gradebook", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/grading"), help="folder (default build/grading)")
    parser.add_argument("--course", type=Path, default=exercises.ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--no-feedback", action="store_true", help="tables and the page only")
    args = parser.parse_args(arguments)
    output = args.output.resolve()
    statuses = results(output)
    if not statuses:
        sys.exit(f"Nothing is graded in {args.output}. First: make grade SUBMISSIONS=folder")
    course = exercises.read_course(args.course.resolve())
    config = settings(args.course.resolve(), output)
    with open_gradebook(config) as book:
        rows = grades(book, statuses, course)
    write_csv(output / "by_exercise.csv", rows)
    write_csv(output / "by_student.csv", by_student(rows))
    write_page(output / "gradebook.html", rows, statuses)
    if not args.no_feedback:
        logging.getLogger("traitlets").setLevel(logging.ERROR)
        write_feedback(config, statuses)
    print(f"by_exercise.csv, by_student.csv, gradebook.html and feedback/ are in {args.output}")


if __name__ == "__main__":
    main()
