"""One file that a student handed in, and what tells whose it is and whether it may be an answer."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from utils.course.exercises import ASSIGNMENTS
from utils.course.platforms import (
    Roster,
    Sender,
    by_pattern,
    read_stamp,
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
STAMP = "timestamp.txt"  # nbgrader puts it beside the notebooks of a submission, Sakai above them
NO_NOTEBOOK = "holds no notebook (a file that ends in .ipynb)"
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


def holds_a_class(paths: Iterable[Sequence[str]]) -> bool:
    """Tell whether the paths below one folder are those of a class: one notebook lies in several folders of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for parts in paths:
        if len(parts) > 1 and parts[-1].lower().endswith(NOTEBOOK) and not any(map(hidden, parts)):
            found[parts[-1].lower()].add(parts[0])
    folders = set().union(*found.values())
    return any(len(owners) > 1 for owners in found.values()) and not folders & set(ASSIGNMENTS)


def hidden(name: str) -> bool:
    return ignored(name) or name.startswith(".")


def ignored(name: str) -> bool:
    """Tell whether a program left this file or folder behind."""
    return name in LEFT_BEHIND or name.startswith("._")


def senders_of(names: list[str], export: str, rules: Rules) -> dict[str, Sender]:
    """Return who handed in what lies under each of the names of one folder, as far as the names tell it."""
    found: dict[str, Sender] = {}
    for name in names:
        own = by_pattern(rules.pattern, name) if rules.pattern else None
        known = recognise(without_zip(name)) or recognise(name)
        if own or known:
            found[name] = own or known[0]  # type: ignore[index]
    return {name: replace(sender, export=export) for name, sender in with_titles(found).items()}


def is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def without_zip(name: str) -> str:
    return name[: -len(".zip")] if is_zip(name) else name


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
    """Return the time in timestamp.txt: nbgrader's `2026-11-02 23:59:10.123456 UTC`, Sakai's `20261102235910123`."""
    lines = data[:200].decode("utf-8", "replace").strip().splitlines()
    text = "".join(c for c in lines[0] if c.isprintable())[:60] if lines else ""
    return read_stamp(text) if text.isdigit() else text


def too_large(size: int) -> str:
    return f"is {size / MIB:.0f} MiB large, more than {FILE_LIMIT // MIB} MiB: clear the outputs and hand it in again"
