"""The exam questions and the glossary of the website, each linked to the section that answers or defines it.

Both lists are kept in docs/site/ as TOML. A question or a term that leads nowhere is an error.
"""

import csv
import io
import tomllib
from pathlib import Path
from typing import Any

from utils.course.anchors import (
    AnchorError,
    Section,
    section_about,
    section_of_exercise,
    section_that_defines,
    sections,
)

__all__ = ["AnchorError", "cards", "read", "where", "write_pages"]


def read(root: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries of docs/site/`name`."""
    return tomllib.loads((root / "docs/site" / name).read_text(encoding="utf-8"))["entry"]


def course(root: Path) -> dict[str, list[Section]]:
    """Return the sections of every notebook, by the start of its name: "01", ..., "10", "assignment"."""
    found = {}
    for path in sorted(root.glob("lectures/*.ipynb")):
        found[path.name[:2]] = sections(path, f"lectures/{path.name}")
    found["assignment"] = sections(root / "assignment/sketch_to_image.ipynb", "assignment/sketch_to_image.ipynb")
    return found


def where(entry: dict[str, Any], known: dict[str, list[Section]]) -> dict[str, list[Section]]:
    """Return the sections that answer the question `entry`, those that hold its exercises, and its exam question.

    Raises
    ------
    AnchorError
        One of them does not exist.
    """
    found = known[entry["lecture"]]
    return {
        "sections": [section_about(found, words) for words in entry["about"]],
        "exercises": [section_of_exercise(found, name) for name in entry.get("exercises", ())],
        "exam": [section_of_exercise(found, name) for name in entry.get("exam", ())],
    }


def links(found: list[Section]) -> str:
    return "; ".join(dict.fromkeys(section.link for section in found))


def label(lecture: str) -> str:
    return f"lecture {int(lecture)}" if lecture.isdigit() else "the assignment"


def questions_page(entries: list[dict[str, Any]], known: dict[str, list[Section]], self_checks: bool) -> str:
    """Return the page of all questions by topic, as Markdown."""
    lines = [
        "# Exam questions\n",
        "Every question of the oral exam, with the section that answers it and the exercise that has you do it. Answer",
        "aloud or on paper first. "
        + ("Then open the self-check: the points that a good answer names." if self_checks else ""),
        "\nThe questions as cards for Anki (File, Import): {download}`exam_cards.csv <exam_cards.csv>`.",
    ]
    topic = None
    for number, entry in enumerate(entries, start=1):
        if entry["topic"] != topic:
            topic = entry["topic"]
            lines += [f"\n## {topic}\n"]
        found = where(entry, known)
        lines += [
            f"\n**{number}. {entry['question']}**\n",
            f"*Read* in {label(entry['lecture'])}: {links(found['sections'])}.  ",
        ]
        if found["exercises"]:
            names = ", ".join(f"`{name}`" for name in entry["exercises"])
            lines += [f"*Do:* {names} in {links(found['exercises'])}.  "]
        if found["exam"]:
            lines += [f"*Write:* {links(found['exam'])} of the same notebook.  "]
        if self_checks:
            lines += ["\n<details><summary>Self-check</summary>\n", *(f"- {point}" for point in entry["points"])]
            lines += ["\n</details>\n"]
    return "\n".join(lines) + "\n"


def cards(entries: list[dict[str, Any]], self_checks: bool = True) -> str:
    """Return the questions as CSV that Anki imports: front, back, tag; without self-checks only the lecture."""
    file = io.StringIO()
    file.write("#separator:Comma\n#html:true\n#tags column:3\n")
    writer = csv.writer(file, lineterminator="\n")
    for entry in entries:
        points = "<br>".join(f"• {point}" for point in entry["points"]) if self_checks else ""
        writer.writerow(
            [
                entry["question"],
                f"{points}<br>See {label(entry['lecture'])}".removeprefix("<br>"),
                entry["topic"].replace(" ", "_"),
            ]
        )
    return file.getvalue()


def glossary_page(entries: list[dict[str, Any]], known: dict[str, list[Section]], notation: str) -> str:
    """Return notation and glossary, as Markdown; each term links to the section in which it stands in bold first."""
    lines = [notation, "\n## Glossary\n", "| term | meaning | defined in |", "|---|---|---|"]
    for entry in sorted(entries, key=lambda entry: entry["term"].lower()):
        section = section_that_defines(known[entry["lecture"]], entry["term"])
        lines.append(f"| {entry['term']} | {entry['meaning']} | {label(entry['lecture'])}: {section.link} |")
    return "\n".join(lines) + "\n"


def write_pages(root: Path, source: Path, self_checks: bool = True) -> None:
    """Write exam questions, cards and glossary into the folder `source` of the website."""
    known, entries = course(root), read(root, "exam_questions.toml")
    notation = (source / "glossary.md").read_text(encoding="utf-8")
    pages = {
        "exam_questions.md": questions_page(entries, known, self_checks),
        "exam_cards.csv": cards(entries, self_checks),
        "glossary.md": glossary_page(read(root, "glossary.toml"), known, notation),
    }
    for name, text in pages.items():
        (source / name).write_text(text, encoding="utf-8")
