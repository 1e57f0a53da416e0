"""A feedback page for each notebook of a student: points, what the tests said, comments, answers. It works offline.

Formulas are MathML, which browsers draw by themselves. What a student has written is shown as text: of it only formulas
and https links become more than letters.
"""

import html
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from utils.course import formulas
from utils.course.exercises import Lecture, graded_cells
from utils.course.records import Status
from utils.files import replacing, write_text

import mistune
from nbgrader.api import Gradebook, SubmittedNotebook

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1em; max-width: 50em; color: #1a1a1a }
table { border-collapse: collapse; width: 100% } .wide { overflow-x: auto }
h1, h2 { overflow-wrap: anywhere } td:last-child, th { overflow-wrap: anywhere }
td:last-child { min-width: 7em } th { min-width: 4.5em }
td, th { border: 1px solid #bbb; padding: .3em .5em; text-align: left; vertical-align: top }
pre { background: #f4f4f4; padding: .7em; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
img { max-width: 100%; height: auto } math { max-width: 100%; overflow-x: auto }
@media (max-width: 40em) { .wide { font-size: 13px } td, th { padding: .2em .3em } }
.comment { border-left: 4px solid #0072B2; padding-left: .7em }
section { border-top: 1px solid #bbb; margin-top: 1.5em }
summary { cursor: pointer }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #eee } pre { background: #262626 } }
"""
STYLE += formulas.STYLE
HEAD = '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
HEAD += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
PARTS = re.compile(
    r"(?P<block>\$\$.+?\$\$)|(?P<line>\$(?!\s)[^$\n]{1,500}?(?<!\s)\$)|(?P<link>https://[^\s<>\"')\]]+)", re.DOTALL
)
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}m"  # and every element of MathML's begins with an m
FORBIDDEN = {"href", "style", "class", "id", "src", "actiontype", "{http://www.w3.org/1999/xlink}href"}


def mathml(formula: str) -> str:
    """Return a formula between dollar signs as MathML; the text itself where it cannot be read.

    latex2mathml lets tags and links of a formula through, so what is more than plain MathML is shown as text as well.
    """
    try:
        found = formulas.from_dollars(formula)
        parts = list(ElementTree.fromstring(found).iter())
    except Exception:  # latex2mathml raises errors of many kinds for what a student may have typed
        return html.escape(formula)
    plain = all(part.tag.startswith(NAMESPACE) and not FORBIDDEN & set(part.attrib) for part in parts)
    return (
        found
        if plain and not any(name.startswith("on") for part in parts for name in part.attrib)
        else html.escape(formula)
    )


def as_text(text: str) -> str:
    """Return what a student has written, for a page: letters, formulas, https links, and nothing else."""
    found, end = [], 0
    for match in PARTS.finditer(text):
        found.append(html.escape(text[end : match.start()]))
        if match["link"]:
            link = html.escape(match["link"])
            found.append(f'<a rel="noopener noreferrer nofollow" href="{link}">{link}</a>')
        else:
            found.append(mathml(match[0]))
        end = match.end()
    return "".join([*found, html.escape(text[end:])])


def as_page(markdown: str) -> str:
    """Return Markdown of the course's own as HTML, with its formulas as MathML."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(mathml(match[0]))
        return f"formula-{len(kept) - 1}-here"

    page = str(mistune.html(formulas.MATH.sub(keep, markdown)))
    return re.sub(r"formula-(\d+)-here", lambda match: kept[int(match[1])], page)


def number(value: float | None) -> str:
    return f"{value or 0:g}"


def part(name: str, points: str, comment: str | None, inside: str) -> str:
    said = f'<p class="comment">{as_text(comment)}</p>' if comment else ""
    return f'<section id="{html.escape(name)}"><h2>{html.escape(name)}: {points}</h2>{said}{inside}</section>'


def page(lecture: Lecture, status: Status, row: SubmittedNotebook) -> str:
    """Return the feedback page of one notebook; `row` is what the gradebook holds of it."""
    grades = {grade.cell.name: grade for grade in row.grades}
    comments = {comment.cell.name: comment.comment for comment in row.comments}
    lines, parts = [], []
    for exercise in lecture.exercises:
        grade, result = grades[exercise.test_name], status.exercises[exercise.name]
        points = points_text(grade)
        verdict = f"<p>{html.escape(result.line)}</p>"
        code = f"<details><summary>Your code</summary><pre>{html.escape(result.source)}</pre></details>"
        parts.append(part(exercise.name, points, comments.get(exercise.name), verdict + code))
        lines.append((exercise.name, points))
    for question in lecture.questions:
        points = points_text(grades[question.name])
        answer = status.written.get(question.name, "").strip()
        shown = f"<pre>{as_text(answer)}</pre>" if answer else "<p>No answer.</p>"
        inside = f"<details><summary>The question</summary>{as_page(asked(lecture, question.name))}</details>{shown}"
        parts.append(part(question.name, points, comments.get(question.name), inside))
        lines.append((question.name, points))
    reached = sum(grade.score for grade in row.grades) - (row.late_submission_penalty or 0)
    total = f"{number(reached)} of {number(sum(g.max_score for g in row.grades))}"
    penalty = row.late_submission_penalty
    late = f"<p>Handed in late: {number(penalty)} points are taken off.</p>" if penalty else ""
    index = "".join(f'<tr><td><a href="#{html.escape(n)}">{html.escape(n)}</a></td><td>{p}</td></tr>' for n, p in lines)
    title = f"{html.escape(lecture.name)}: {html.escape(status.student)}"
    return (
        f"{HEAD}<title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{total} points</p>{late}"
        f"<table><tr><th>exercise</th><th>points</th></tr>{index}</table>{''.join(parts)}\n</html>\n"
    )


def points_text(grade) -> str:  # type: ignore[no-untyped-def]
    waits = ", waits for a person" if grade.needs_manual_grade else ""
    return f"{number(grade.score)} of {number(grade.max_score)} points{waits}"


def asked(lecture: Lecture, name: str) -> str:
    """Return the cell above the answer cell of the question `name`."""
    cells = lecture.released.cells
    place = cells.index(graded_cells(lecture.released)[name])
    return str(cells[place - 1].source) if place and cells[place - 1].cell_type == "markdown" else ""


def write_feedback(book: Gradebook, course: dict[str, Lecture], statuses: list[Status], output: Path) -> None:
    """Write feedback/<student>/<notebook>.html, and for Moodle a zip file a notebook with its names of folders."""
    moodle: dict[str, list[tuple[str, str]]] = {}
    for status in statuses:
        lecture = course[status.notebook]
        row = book.find_submission_notebook(lecture.path.stem, lecture.assignment, status.student)
        text = page(lecture, status, row)
        target = output / "feedback" / status.student / f"{status.notebook}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
        if status.platform == "Moodle":
            folder = f"{status.name}_{status.person}_assignsubmission_file_"
            moodle.setdefault(lecture.path.stem, []).append((f"{folder}/{lecture.path.stem}.html", text))
    for stem, pages in moodle.items():
        (output / "upload").mkdir(exist_ok=True)
        with (
            replacing(output / "upload" / f"moodle_feedback_{stem}.zip") as path,
            zipfile.ZipFile(path, "w") as archive,
        ):
            for name, text in pages:
                archive.writestr(name, text)
