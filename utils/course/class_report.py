"""What an instructor reads: the report of a batch, tables for a spreadsheet, a page about the class, feedback.

python -m utils.course.class_report     CSV files, build/grading/gradebook.html and a feedback page a student
"""

import argparse
import base64
import collections
import csv
import html
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.course.exercises import ROOT, CourseError, read_course
from utils.course.feedback import HEAD, STYLE, write_feedback
from utils.course.gradebook import Row, grades, open_gradebook, results, settings
from utils.course.records import ASIDE, ERROR, GRADED, REMOVED, Status, read_report
from utils.course.terminal import print_anything
from utils.files import replacing, write_text

import numpy as np

BLUE, ORANGE = "#0072B2", "#E69F00"  # Okabe and Ito
Line = Mapping[str, str | float]  # of a table, by column


def batch_report(statuses: list[Status]) -> str:
    """Return the report of a batch as Markdown: one line for each file or job, every reason in full."""
    lines = [
        "# Grading report",
        "",
        "| student | notebook | result | points | reasons and notes |",
        "|---|---|---|---|---|",
    ]
    for s in statuses:
        result = s.status if s.status in (GRADED, ASIDE) else f"{s.status}, because"
        row = (s.student, s.notebook or s.file, result, points(s), "; ".join([*s.reasons, *notes(s)]))
        lines.append("| " + " | ".join(map(cell, row)) + " |")
    graded, errors, aside = (sum(s.status == kind for s in statuses) for kind in (GRADED, ERROR, ASIDE))
    lines += ["", f"{graded} graded, {len(statuses) - graded - errors - aside} in need of a review."]
    if errors:
        lines[-1] += f" {errors} not graded: the course or the machine is at fault. The next call tries them again."
    return "\n".join(lines) + "\n"


def points(status: Status) -> str:
    """Return the points of a notebook as the report shows them."""
    rows = status.exercises.values()
    lost = sum(r.provisional - r.score for r in rows)
    text = f"{sum(r.score for r in rows):g} of {sum(r.points for r in rows):g}" if rows else ""
    return text + (f" (+ {lost:g} after review)" if lost else "")


def notes(status: Status) -> list[str]:
    """Return what else the report says of a notebook."""
    found = ["late, as the platform says"] if status.late else []
    found += [f"handed in {status.handed_in}"] if status.handed_in else []
    return [f"note: {note}" for note in [*found, *status.notes]]


def cell(text: str) -> str:
    """Return `text` for a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def safe(value: str | float) -> str | float:
    """Return a value for a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe."""
    return "'" + value if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and value else value


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    with replacing(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(lines[0])
        writer.writerows([[safe(value) for value in line.values()] for line in lines])


def by_exercise(rows: list[Row]) -> list[Line]:
    """Return one line for each graded cell."""
    return [{**vars(row), "waiting": "yes" if row.waiting else ""} for row in rows]


def by_student(rows: list[Row], told: Mapping[str, Sequence[str]] | None = None) -> list[Line]:
    """Return one line for each student: points of each notebook beside the maximum, their sum, what waits, notes.

    `told` holds notes by student; who is only there has handed in nothing that could be graded.
    """
    told, parts = told or {}, by_notebook(rows)
    best: dict[str, float] = {}
    for (_, notebook), own in parts.items():
        best[notebook] = max(best.get(notebook, 0.0), sum(row.points for row in own))
    found: list[Line] = []
    for student in sorted({row.student for row in rows} | set(told)):
        line: dict[str, str | float] = {"student": student}
        for notebook in sorted(best):
            scores = [row.score - row.penalty for row in parts.get((student, notebook), ())]
            line |= {notebook: sum(scores) if scores else "", f"maximum of {notebook}": best[notebook]}
        own = [row for notebook in sorted(best) for row in parts.get((student, notebook), ())]
        line |= {"total": sum(row.score - row.penalty for row in own), "maximum": sum(best.values())}
        line |= {"waiting": sum(bool(row.waiting) for row in own), "note": "; ".join(told.get(student, ()))}
        found.append(line)
    return found


def by_notebook(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each student's notebook, by student and notebook."""
    found: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in rows:
        found[row.student, row.notebook].append(row)
    return dict(found)


def student_notes(statuses: list[Status]) -> dict[str, list[str]]:
    """Return what the tables say of students besides points: late work, files that count for nothing, who has gone."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for s in statuses:
        if s.late:
            found[s.student].append(f"{s.notebook}: late")
        if REMOVED in s.notes:
            found[s.student].append(f"{s.notebook}: {REMOVED}")
        if s.status != ASIDE and not s.exercises and s.student:
            found[s.student].append(f"not graded: {'; '.join(s.reasons)}")
    return dict(found)


def items(rows: list[Row]) -> list[Line]:
    """Return statistics of each exercise.

    `share solved` is the mean share of the points, 1 for an exercise that everybody solved. `discrimination` is the
    correlation of an exercise's points with the rest of the student's points in the same notebook. Answers that wait
    for a person are counted, but are in neither of the two, which stay empty if all wait.
    """
    found: list[Line] = []
    for notebook, exercise in sorted({(row.notebook, row.exercise) for row in rows}):
        own = {row.student: row for row in rows if (row.notebook, row.exercise) == (notebook, exercise)}
        rest: dict[str, float] = collections.defaultdict(float)
        for row in rows:
            if row.notebook == notebook and row.exercise != exercise and not row.waiting:
                rest[row.student] += row.score
        judged = {student: row.score for student, row in own.items() if not row.waiting}
        scores, others = np.array(list(judged.values())), np.array([rest[student] for student in judged])
        points = next(iter(own.values())).points
        varies = len(scores) > 2 and scores.std() > 0 and others.std() > 0
        found.append(
            {
                "notebook": notebook,
                "exercise": exercise,
                "students": len(own),
                "points": points,
                "share solved": round(float(scores.mean()) / max(points, 1e-9), 2) if judged else "",
                "discrimination": round(float(np.corrcoef(scores, others)[0, 1]), 2) if varies else "",
                "not attempted": sum(row.result == "not attempted" for row in own.values()),
                "to review": sum(bool(row.waiting) for row in own.values()),
            }
        )
    return found


def wrong_answers(rows: list[Row], most: int = 3) -> list[Line]:
    """Return the most common messages of failed tests of each exercise; numbers in them do not make a difference."""
    found: list[Line] = []
    for notebook, exercise in sorted({(row.notebook, row.exercise) for row in rows}):
        failed = [r for r in rows if (r.notebook, r.exercise, r.result) == (notebook, exercise, "failed")]
        groups: dict[str, list[str]] = collections.defaultdict(list)
        for row in failed:
            message = row.message.partition(" points. ")[2] or row.message
            groups[re.sub(r"-?\d[\d.e+-]*", "0", message)].append(message)
        for messages in sorted(groups.values(), key=len, reverse=True)[:most]:
            found.append(
                {"notebook": notebook, "exercise": exercise, "students": len(messages), "message": messages[0]}
            )
    return found


def histogram(rows: list[Row]) -> str:
    """Return, for an HTML page, the distribution of the shares of the points that are judged already."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    total: dict[str, np.ndarray] = collections.defaultdict(lambda: np.zeros(2))
    for row in rows:
        if not row.waiting:
            total[row.student] += row.score, row.points
    shares = np.array([100 * score / points for score, points in total.values() if points])
    if not len(shares):
        return "<p>All answers wait for a person.</p>"
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(shares, bins=list(range(0, 105, 5)), color=BLUE, edgecolor="white")
    axes.axvline(np.median(shares), color=ORANGE, linestyle="--", label=f"median {np.median(shares):.0f} %")
    axes.set(xlabel="share of the points of the answers judged so far (%)", ylabel="students", xlim=(0, 100))
    axes.set_title(f"Half of the {len(shares)} students have {np.median(shares):.0f} % of the points or more")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    return f'<img alt="Histogram of points" src="data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}">'


def html_table(lines: Sequence[Line]) -> str:
    """Return a table; a first column of notebooks becomes headings above the rows, which leaves room on a phone."""
    if not lines:
        return "<p>None.</p>"
    names = [key for key in lines[0] if key != "notebook" or next(iter(lines[0])) != "notebook"]
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in names)
    body, above = "", ""
    for line in lines:
        if len(names) < len(line) and line["notebook"] != above:
            above = str(line["notebook"])
            body += f'<tr><th colspan="{len(names)}">{html.escape(above)}</th></tr>'
        body += f"<tr>{''.join(f'<td>{html.escape(show(line[name]))}</td>' for name in names)}</tr>"
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def show(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


PAGE = """{head}<title>Gradebook</title><style>{style}</style>
<h1>Gradebook</h1><p>{students} students, {notebooks} notebooks handed in, {review} graded cells wait for a person.</p>
<h2>Distribution</h2>{histogram}
<h2>Exercises</h2><p>Answers that wait for a person are left out. Share solved is the mean share of the points:
1 if everybody solved it. Discrimination is the
correlation with the rest of the points in the notebook: an exercise near 0 or below does not measure what the others
measure.</p>{items}
<h2>Most common wrong answers</h2>{wrong}
<h2>Students</h2>{totals}
<h2>Needs review</h2>{review_table}
"""


def write_page(path: Path, rows: list[Row], statuses: list[Status]) -> None:
    review = [row for row in rows if row.waiting]
    reasons: list[Line] = [
        {"student": s.student, "notebook": s.notebook, "because": "; ".join(s.reasons)} for s in statuses if s.reasons
    ]
    page = PAGE.format(
        head=HEAD,
        style=STYLE.replace("50em", "75em"),
        students=len({row.student for row in rows}),
        notebooks=len({(row.student, row.notebook) for row in rows}),
        review=len(review),
        histogram=histogram(rows),
        items=html_table(items(rows)),
        wrong=html_table(wrong_answers(rows)),
        totals=html_table(by_student(rows, student_notes(statuses))),
        review_table=html_table(reasons),
    )
    write_text(path, page)


def upload_lines(rows: list[Row], statuses: list[Status]) -> dict[str, list[Line]]:
    """Return the files to upload, by name: for Moodle one for each notebook, for Canvas one for all.

    Points of a notebook in which something waits for a person stay empty: they are not final.
    """
    found: dict[str, list[Line]] = collections.defaultdict(list)
    notebooks = sorted({s.notebook for s in statuses if s.platform == "Canvas"})
    canvas: dict[str, dict[str, str | float]] = {}
    parts = by_notebook(rows)
    for s in statuses:
        own = parts.get((s.student, s.notebook), [])
        score: str | float = "" if any(row.waiting for row in own) else sum(row.score - row.penalty for row in own)
        most = sum(row.points for row in own)
        if s.platform == "Moodle":
            line = {"Identifier": f"Participant {s.person}", "Full name": s.name, "Grade": score, "Maximum Grade": most}
            found[f"moodle_{Path(s.notebook).name}.csv"].append(line)
        elif s.platform == "Canvas":
            empty = dict.fromkeys(("SIS User ID", "SIS Login ID", "Section"), "")
            top = {"Student": "Points Possible", "ID": "", **empty, **dict.fromkeys(notebooks, "")}
            canvas.setdefault("", top)[s.notebook] = most  # type: ignore[arg-type]
            line = {"Student": s.name, "ID": s.person, **empty, **dict.fromkeys(notebooks, "")}
            canvas.setdefault(s.person, line)[s.notebook] = score
    if canvas:
        found["canvas.csv"] = list(canvas.values())
    return found


def write_all(course: Path, output: Path, feedback: bool) -> None:
    """Write everything about the results in `output`; `course` is the course's folder."""
    statuses = results(output)
    if not statuses:
        raise CourseError(f"Nothing is graded in {output}. First: make grade SUBMISSIONS=folder")
    everything = read_report(output / "report.json") or statuses
    with open_gradebook(settings(course, output)) as book:
        rows = grades(book, statuses)
        write_csv(output / "by_exercise.csv", by_exercise(rows))
        write_csv(output / "by_student.csv", by_student(rows, student_notes(everything)))
        write_page(output / "gradebook.html", rows, everything)
        for name, lines in upload_lines(rows, statuses).items():
            (output / "upload").mkdir(exist_ok=True)
            write_csv(output / "upload" / name, lines)
        if feedback:
            write_feedback(book, read_course(course), statuses, output)


def main(arguments: list[str] | None = None) -> None:
    print_anything()
    parser = argparse.ArgumentParser(
        prog="python -m utils.course.class_report", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--output", type=Path, default=Path("build/grading"), help="folder (default build/grading)")
    parser.add_argument("--course", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--no-feedback", action="store_true", help="tables and the page only")
    args = parser.parse_args(arguments)
    try:
        write_all(args.course.resolve(), args.output.resolve(), feedback=not args.no_feedback)
    except (CourseError, OSError) as error:
        sys.exit(str(error))
    print(f"by_exercise.csv, by_student.csv, gradebook.html and feedback/ are in {args.output}")


if __name__ == "__main__":
    main()
