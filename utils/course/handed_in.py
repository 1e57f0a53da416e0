"""One file that a student handed in, and what tells whose it is and whether it may be an answer."""

import hashlib
import re
from dataclasses import dataclass, field, replace

from utils.course.platforms import (
    Roster,
    Sender,
    by_pattern,
    recognise,
    with_titles,
)

MIB = 2**20
FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT = 20 * MIB, 200 * MIB, 500  # one notebook; one zip file unpacked, and its entries
CLASS_LIMIT = 20  # times as much for an export of a whole class
LINK = "is a symbolic link, which is not followed"
LEFT_BEHIND = (".ipynb_checkpoints", "__MACOSX", "__pycache__", ".DS_Store", "Thumbs.db", "desktop.ini")
PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")
STAMP = "timestamp.txt"  # nbgrader puts it beside the notebooks of a submission
NOBODY = Sender("")


@dataclass
class File:
    """One file that a student handed in: its content, or the problem with it.

    `error` is a fault of this program on its way to the content. `aside` tells that it is no answer: a figure, a text.
    """

    student: str
    name: str
    data: bytes = b""
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    error: Exception | None = None
    sender: Sender = NOBODY
    aside: bool = False

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Rules:
    """What the instructor says of the class: a roster, a pattern for paths."""

    roster: Roster = field(default_factory=Roster)
    pattern: re.Pattern[str] | None = None


def ignored(name: str) -> bool:
    """Tell whether a program left this file or folder behind."""
    return name in LEFT_BEHIND or name.startswith("._")


def senders_of(names: list[str], export: str, rules: Rules) -> dict[str, Sender]:
    """Return who handed in what lies under each of the names of one folder, as far as the names tell it."""
    found: dict[str, Sender] = {}
    for name in names:
        own = by_pattern(rules.pattern, name) if rules.pattern else None
        known = recognise(name.removesuffix(".zip") if is_zip(name) else name) or recognise(name)
        if own or known:
            found[name] = own or known[0]  # type: ignore[index]
    return {name: replace(sender, export=export) for name, sender in with_titles(found).items()}


def is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def typed(file: File) -> File:
    """Return the file with the problem that its kind makes; what may be an answer in another form is a problem."""
    name = file.name.lower()
    if name.endswith(NOTEBOOK):
        return file
    if name.endswith(PACKED):
        return replace(
            file, data=b"", problem="is an archive of a kind that is not opened: unpack it, or hand in a zip file"
        )
    return replace(file, data=b"", problem="", aside=True)


def time_stamp(data: bytes) -> str:
    """Return the time in nbgrader's timestamp.txt, such as `2026-11-02 23:59:10.123456 UTC`."""
    lines = data[:200].decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[0] if c.isprintable())[:60] if lines else ""


def too_large(size: int) -> str:
    return f"is {size / MIB:.0f} MiB large, more than {FILE_LIMIT // MIB} MiB: clear the outputs and hand it in again"
