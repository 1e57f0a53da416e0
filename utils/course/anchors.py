"""Where in the course a subject is treated: sections, exercises and exam questions, and the links to them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

HEADING = re.compile(r"^(#{1,4}) +(.+)$", re.MULTILINE)
APPENDIX = re.compile(r"(?i)objectives|summary|quiz|exam questions|the thread|going further|references|notation|recap")


class AnchorError(Exception):
    """A page of the website names what no notebook holds."""


@dataclass
class Section:
    """A heading with what stands below it, up to the next one; text cells only. `exercises` by name."""

    page: str
    title: str
    level: int
    text: str = ""
    exercises: list[str] = field(default_factory=list)

    @property
    def link(self) -> str:
        """As Markdown, to the heading's anchor as GitHub and MyST name it."""
        return f"[{self.title}]({self.page}#{slug(self.title)})"


def slug(title: str) -> str:
    """Return the anchor of a heading: lower case, words joined by hyphens, other signs left out."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower().replace("`", "")).replace(" ", "-")


def sections(path: Path, page: str) -> list[Section]:
    """Return the sections of the notebook `path`, whose page in the site is `page`."""
    found: list[Section] = [Section(page, "", 1)]
    for cell in nbformat.read(path, as_version=4).cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("grade_id") and not nbgrader["grade_id"].startswith("test_"):
            found[-1].exercises.append(nbgrader["grade_id"])
        if cell.cell_type != "markdown" or nbgrader.get("solution"):
            continue
        start = 0
        for heading in HEADING.finditer(cell.source):
            found[-1].text += cell.source[start : heading.start()]
            found.append(Section(page, heading[2], len(heading[1])))
            start = heading.end()
        found[-1].text += cell.source[start:] + "\n"
    return found


def best(found: list[Section], score: Callable[[Section], int], missing: str) -> Section:
    """Return the section with the highest score, the first of several; AnchorError if none scores."""
    body = [section for section in found if section.level > 1 and not APPENDIX.match(section.title)]
    top = max(body, key=score, default=None)
    if top is None or not score(top):
        raise AnchorError(missing)
    return top


def section_about(found: list[Section], words: str) -> Section:
    """Return the section of a notebook whose title holds `words`, else the one whose text does so most often."""

    def score(section: Section) -> int:
        return 1000 * (words.lower() in section.title.lower()) + " ".join(section.text.lower().split()).count(
            words.lower()
        )

    return best(found, score, f"{found[0].page}: no section mentions {words!r}; name other words of its text")


def section_that_defines(found: list[Section], term: str) -> Section:
    """Return the first section in which `term` stands in bold, as a term does where it is defined, else in any type."""
    bold = re.compile(rf"\*\*(?:an? |the )?{re.escape(term)}s?[.:,]?\*\*", re.IGNORECASE)
    plain = re.compile(rf"\b{re.escape(term)}", re.IGNORECASE)

    def score(section: Section) -> int:
        text = " ".join(f"{section.title} {section.text}".split())
        return 2 * bool(bold.search(text)) + bool(plain.search(text))

    return best(found, score, f"{found[0].page}: no section has the term {term!r}; name the lecture that defines it")


def section_of_exercise(found: list[Section], name: str) -> Section:
    """Return the section that holds the exercise or exam question `name`."""
    for section in found:
        if name in section.exercises:
            return section
    raise AnchorError(f"{found[0].page} has no exercise or exam question {name!r}")
