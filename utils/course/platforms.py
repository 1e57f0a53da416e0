"""Who handed a file in, and when: the names that learning platforms give to folders and files of their exports.

    Moodle         Ada Lovelace_1234_assignsubmission_file_/x.ipynb, or flat: ..._file_x.ipynb
    Canvas         lovelaceada_LATE_123_4567_x.ipynb               123 is the user's number
    Brightspace    123-4567 - Ada Lovelace - Nov 2, 2026 1159 PM/x.ipynb
    Blackboard     Homework_alovelace_attempt_2026-11-02-23-59-10_x.ipynb
    Gradescope     submission_123456/x.ipynb, and submission_metadata.yml, which names the senders
    Sakai          Lovelace, Ada(alovelace)/Submission attachment(s)/x.ipynb, timestamp.txt
    nbgrader       alovelace+lectures+2026-11-02 23:59:10 UTC/x.ipynb

A platform's number decides who somebody is. A name is for people to read, and two people may share it.
"""

import csv
import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from utils.course.exercises import CourseError

import yaml

METADATA = "submission_metadata.yml"
OWN_FILES = (METADATA, "index.html", "grades.csv", "grades.xls", "grades.xlsx")  # that a platform puts into its export
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)$")
CANVAS = re.compile(r"^(?P<name>[^_/]+?)(?P<late>_LATE)?_(?P<id>\d+)_\d+_(?P<rest>.+\.\w+)$")
BRIGHTSPACE = re.compile(
    r"^(?P<id>\d+)-\d+ ?- ?(?P<name>.+?) ?- ?(?P<stamp>[^-/]*\d{4}[^-/]*?)(?: ?- ?(?P<rest>[^/]+))?$"
)
BLACKBOARD = re.compile(
    r"^(?P<title>.+)_(?P<id>[^_]+)_attempt_(?P<stamp>\d{4}(?:-\d\d){5})(?:_(?P<rest>.+)|(?P<info>\.txt)|)$"
)
ANONYMOUS = re.compile(r"^(?P<name>anon_(?P<id>[A-Za-z0-9]{5}))(?P<late>_LATE)?_\d+_(?P<rest>.+\.\w+)$")
GRADESCOPE = re.compile(r"^(?P<name>submission_(?P<id>\d+))$")
NBGRADER = re.compile(
    r"^(?P<name>(?P<id>[^+/]+))\+[^+/]+\+(?P<stamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^+/]*)(?:\+[^/]*)?$"
)
PATTERNS = {
    "Moodle": MOODLE,
    "nbgrader": NBGRADER,
    "Blackboard": BLACKBOARD,
    "Brightspace": BRIGHTSPACE,
    "Gradescope": GRADESCOPE,
    "Canvas, anonymous": ANONYMOUS,
    "Canvas": CANVAS,
}
STAMPS = (
    *(
        "%Y-%m-%d-%H-%M-%S",
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
        "%Y%m%d%H%M%S%f",
    ),
    *("%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%b %d, %Y %I:%M %p", "%B %d, %Y %I:%M %p", "%d %B, %Y %H%M"),
    *("%d %b, %Y %H%M", "%d %B %Y %H%M", "%d %B, %Y %I%M %p", "%d %B, %Y %H:%M", "%Y-%m-%d"),
)
FORBIDDEN = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Sender:
    """Who handed something in: the name that the report shows, and what the platform knows of the person.

    `stamp` is when it was handed in, as `YYYY-MM-DD HH:MM:SS`, or as the platform wrote it where it cannot be read.
    """

    name: str
    platform: str = ""
    id: str = ""
    stamp: str = ""
    late: bool = False
    export: str = ""  # the zip file or folder that the platform made


def recognise(part: str) -> tuple[Sender, str] | None:
    """Return the sender that the name of a file or folder tells, and the rest of the name; None if it tells none."""
    for platform, pattern in PATTERNS.items():
        if match := pattern.match(part):
            found = match.groupdict()
            name = (found.get("name") or found["id"]).strip()
            sender = Sender(
                student_name(name), platform, found["id"], read_stamp(found.get("stamp")), bool(found.get("late"))
            )
            return sender, found.get("rest") or ""
    return None


def read_stamp(text: str | None) -> str:
    """Return a time as `YYYY-MM-DD HH:MM:SS`, so that texts sort like times; other texts cut to one short line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text or "").split())[:60]
    plain = re.sub(r" ?(UTC|GMT|Z|[+-]\d\d:?\d\d)$", "", text)
    plain = re.sub(r"(\.\d{6})\d+$", r"\1", plain)
    for form in STAMPS:
        try:
            return str(datetime.strptime(plain, form).replace(microsecond=0))
        except ValueError:
            continue
    return text


def student_name(text: str) -> str:
    """Return a name that is fit for a path and a table; two different texts never become one.

    Accents get one form, since systems store them in two. What is left out of a name is told by a hash at its end.
    """
    text = unicodedata.normalize("NFC", text)
    name = FORBIDDEN.sub("_", "".join(c for c in text if c.isprintable())).strip().lstrip(".").strip()
    if name == text and 0 < len(name) <= 100:
        return name
    if not name and not text.strip():
        return "unnamed"
    return f"{name[:90] or 'unnamed'}~{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:6]}"


def people(senders: Iterable[Sender]) -> dict[Sender, str]:
    """Return what every sender is called: the name, with the platform's number where two people share a name.

    Moodle numbers a person anew in every assignment. So in its exports a name is one person as long as no export has
    two of that name.
    """
    senders = list(dict.fromkeys(senders))
    numbers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sender in senders:
        numbers[sender.export, sender.name].add(sender.id)
    doubled = {name for (_, name), ids in numbers.items() if len(ids) > 1}

    def who(sender: Sender) -> tuple[str, ...]:
        by_name = not sender.id or (sender.platform == "Moodle" and sender.name not in doubled)
        return (sender.name,) if by_name else (sender.platform, sender.id)

    names: dict[tuple[str, ...], str] = {}
    for sender in senders:  # somebody who changed the name is still one person
        names[who(sender)] = min(names.get(who(sender), sender.name), sender.name)
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {s: f"{n} ({s.id})" if (n := names[who(s)]) in shared and s.id else n for s in senders}


@dataclass(frozen=True)
class Roster:
    """Who is in the class, from a CSV file: the first column is what a student is called here.

    Any other cell of the line (number, e-mail, user name, full name, name of a folder) may be how a platform calls the
    person; a text that stands in two lines decides nothing.
    """

    by_text: Mapping[str, str] = field(default_factory=dict)

    def find(self, sender: Sender) -> str | None:
        """Return the student that the roster knows by the number, else by the name."""
        for text in filter(None, (sender.id, sender.name)):
            if found := self.by_text.get(folded(text)):
                return found
        return None


def folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().removeprefix("participant ").split())


def read_roster(path: Path) -> Roster:
    """Read a roster; CourseError that says what was expected if it is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise CourseError(f"The roster {path} cannot be read: {error}. Expected a CSV file in UTF-8") from None
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=mark) if any(row)]
    if len(rows) < 2 or not all(row[0] for row in rows):
        raise CourseError(f"The roster {path} holds no students. Expected a line of headings and a line a student")
    owners: dict[str, set[str]] = defaultdict(set)
    for row in rows[1:]:
        for cell in filter(None, row):
            owners[folded(cell)].add(student_name(row[0]))
    return Roster({text: next(iter(names)) for text, names in owners.items() if len(names) == 1})


def read_pattern(text: str) -> re.Pattern[str]:
    """Return the pattern for names of a platform that is not known here; CourseError if it is none."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise CourseError(f"--pattern {text!r} is not a regular expression: {error}") from None
    if "student" not in pattern.groupindex:
        raise CourseError(f"--pattern {text!r} has no group (?P<student>...); groups id, stamp and late are possible")
    return pattern


def by_pattern(pattern: re.Pattern[str], path: str) -> Sender | None:
    """Return the sender that `pattern` finds in a path below the folder of the class."""
    match = pattern.search(path)
    if not match or not match["student"]:
        return None
    found = match.groupdict()
    late, stamp = bool(found.get("late")), read_stamp(found.get("stamp"))
    return Sender(student_name(found["student"]), "pattern", found.get("id") or found["student"], stamp, late)


def gradescope_senders(data: bytes) -> dict[str, list[Sender]]:
    """Return who handed in each folder `submission_N`, from Gradescope's metadata; {} if they cannot be read."""
    try:
        found: Any = yaml.safe_load(data)
        return {
            str(folder): [gradescope_sender(one, entry) for one in entry[":submitters"]]
            for folder, entry in found.items()
        }
    except (yaml.YAMLError, UnicodeError, AttributeError, KeyError, TypeError, RecursionError):
        return {}


def gradescope_sender(one: Mapping[str, Any], entry: Mapping[str, Any]) -> Sender:
    number = str(one.get(":sid") or one.get(":email") or one[":name"])
    stamp = read_stamp(str(entry.get(":created_at", "")))
    return Sender(student_name(str(one[":name"])), "Gradescope", number, stamp)


def with_titles(found: Mapping[str, Sender]) -> dict[str, Sender]:
    """Return Blackboard's senders by file name, with user names that may hold underscores.

    Where the title of the assignment ends and the user name begins shows only in files of several people.
    """
    heads = {name: name.rpartition("_attempt_")[0] for name, s in found.items() if s.platform == "Blackboard"}
    different = sorted(set(heads.values()))
    if len(different) < 2:
        return dict(found)
    first, last = different[0], different[-1]
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    title = first[:common].rpartition("_")[0]
    changed = {
        n: replace(found[n], name=student_name(user), id=user)
        for n, h in heads.items()
        if (user := h[len(title) :].lstrip("_"))
    }
    return {**found, **changed}
