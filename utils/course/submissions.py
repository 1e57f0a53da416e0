"""Take in what students handed in: folders and zip files, as a learning platform exports them, of unknown content.

    folder/<student>/<notebook>.ipynb      also in folders below, also inside folder/<student>/<any>.zip
    folder/<student>.zip                   the name of the zip file counts, whatever its folders are called
    folder/<export>.zip, folder/<export>/  an export of a platform (platforms.py), or the folders of a whole class

Nothing is unpacked to a path that a submission names: a file becomes bytes, and a copy named after its hash. Nothing
that lies in the folder is passed over: what is no notebook is told.
"""

import hashlib
import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from utils.course.exercises import ASSIGNMENTS, CourseError
from utils.course.platforms import (
    METADATA,
    Roster,
    Sender,
    by_pattern,
    gradescope_senders,
    people,
    recognise,
    student_name,
    with_titles,
)
from utils.files import replacing

MIB = 2**20
FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT = 20 * MIB, 200 * MIB, 500  # one notebook; one zip file unpacked, and its entries
CLASS_LIMIT = 20  # times as much for an export of a whole class
LINK = "is a symbolic link, which is not followed"
LEFT_BEHIND = (".ipynb_checkpoints", "__MACOSX", "__pycache__", ".DS_Store", "Thumbs.db", "desktop.ini")
PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")
STAMP = "timestamp.txt"  # nbgrader puts it beside the notebooks of a submission
BAD_ZIP = (  # what zipfile and the libraries below it raise for a damaged, encrypted or unknown archive
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, UnicodeError, OverflowError),
)


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


def collect(folder: Path, rules: Rules | None = None) -> list[File]:
    """Return a File for everything below `folder`, sorted by student.

    Raises
    ------
    CourseError
        There is no such folder, or nothing in it.
    """
    rules = rules or Rules()
    if not os.path.isdir(folder):
        raise CourseError(f"SUBMISSIONS: no folder {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    found = from_class(folder, "", rules)
    if not any(not file.aside for file in found):
        raise CourseError(f"SUBMISSIONS: nothing in {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    names = people(file.sender for file in found if file.sender.name)
    for file in found:
        known = rules.roster.find(file.sender)
        file.student = known or names.get(file.sender, "")
        if rules.roster.by_text and not known and file.sender.name and not file.aside:
            file.notes.append("not in the roster")
    return sorted(put_aside(found), key=lambda file: (file.student, file.sender.stamp, file.name))


def put_aside(files: list[File]) -> list[File]:
    """Return the files, those that are no answers as notes on an answer of the same student where there is one."""
    first = {file.student: file for file in reversed(files) if not file.aside and file.student}
    others: dict[str, list[str]] = {}
    for file in files:
        if file.aside and file.student in first:
            others.setdefault(file.student, []).append(file.name)
    for student, names in others.items():
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        first[student].notes.append(f"not graded: {', '.join(sorted(names)[:10])}{more}")
    return [file for file in files if not (file.aside and file.student in first)]


def from_class(folder: str | Path, export: str, rules: Rules) -> list[File]:
    """Return the Files of a folder of a class, or of an export that was unpacked into a folder."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    senders = senders_of([entry.name for entry in entries], export, rules)
    metadata = next((read_file(METADATA, entry.path).data for entry in entries if entry.name == METADATA), b"")
    groups = gradescope_senders(metadata)
    plain = [e for e in entries if e.name not in senders and not ignored(e.name) and (e.is_dir() or is_zip(e.name))]
    # A student's zip file may hold any names: it is an export only where no other zip file is a student's.
    exports = {kind: all(is_export(e) for e in plain if e.is_dir() == kind) for kind in (True, False)}
    alone = len(plain) == 1 and not senders
    found = []
    for entry in entries:
        own = from_entry(entry, folder, export, senders.get(entry.name), exports[entry.is_dir()], alone, rules)
        found += [replace(f, sender=replace(s, export=export)) for s in groups.get(entry.name, ()) for f in own]
        found += [] if entry.name in groups else own
    return found


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


def is_export(entry: os.DirEntry[str]) -> bool:
    """Tell whether everything in a folder or zip file bears a platform's name."""
    try:
        if entry.is_dir(follow_symlinks=False):
            names = os.listdir(entry.path)
        else:
            with zipfile.ZipFile(entry.path) as archive:
                names = list({part[0] for part in without_top(archive.infolist()) if part})
    except (*BAD_ZIP, OSError):
        return False
    names = [name for name in names if not ignored(name) and name not in (METADATA, "index.html")]
    return bool(names) and all(recognise(name.removesuffix(".zip")) or recognise(name) for name in names)


def from_entry(
    entry: os.DirEntry[str],
    folder: str | Path,
    export: str,
    sender: Sender | None,
    exports: bool,
    alone: bool,
    rules: Rules,
) -> list[File]:
    """Return the Files of one entry of the folder of a class."""
    name = entry.name
    known = recognise(name)
    shown = (known[1] if known and sender else "") or name
    owner = sender or Sender(student_name(name.removesuffix(".zip") if is_zip(name) else name), export=export)
    if ignored(name) or name in (STAMP, METADATA) or (sender and shown == ".txt"):
        return [File("", name, aside=True)]
    if entry.is_symlink():
        return [File("", name, problem=LINK, sender=owner)]
    if entry.is_dir():
        if name.startswith("."):
            return [
                File("", name, problem="is a hidden folder, which is not looked into: rename it if it is a student's")
            ]
        return from_class(entry.path, name, rules) if exports and not sender else from_folder(entry.path, owner, rules)
    if is_zip(name):
        return read_zip(entry.path, owner, (exports or alone) and not sender, rules=rules)
    file = read_file(shown, entry.path)
    if sender:
        return [typed(replace(file, sender=sender))]
    file = typed(file)
    if not file.problem and not file.aside:
        file.problem = f"lies outside a student's folder; expected {folder}/<student>/{name}"
    return [replace(file, aside=False, problem=file.problem or "is no notebook, and lies outside a student's folder")]


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


def from_folder(path: str, sender: Sender, rules: Rules) -> list[File]:
    """Return the Files of one student's folder."""
    found = []
    for place, folders, names in os.walk(path):
        aside = [name for name in folders if name.startswith((".", "__"))]
        folders[:] = sorted(set(folders) - set(aside))
        stamp = time_stamp(read_file(STAMP, os.path.join(place, STAMP)).data) if STAMP in names else ""
        own = replace(sender, stamp=stamp or sender.stamp)
        found += [File("", os.path.relpath(os.path.join(place, n), path), sender=own, aside=True) for n in aside]
        for name in sorted(names) + [f for f in folders if os.path.islink(os.path.join(place, f))]:
            file = os.path.join(place, name)
            shown = os.path.relpath(file, path)
            if os.path.islink(file):
                found.append(File("", shown, problem=LINK, sender=own))
            elif is_zip(name):
                found += read_zip(file, own, rules=rules)
            elif name != STAMP:
                hidden = name.startswith(".")
                read = name.lower().endswith((*NOTEBOOK, *PACKED)) and not hidden
                found.append(replace(typed(read_file(shown, file) if read else File("", shown)), sender=own))
    if not any(not file.aside for file in found):
        found.append(File("", "", problem="holds no notebook (a file that ends in .ipynb)", sender=sender))
    return found


def time_stamp(data: bytes) -> str:
    """Return the time in nbgrader's timestamp.txt, such as `2026-11-02 23:59:10.123456 UTC`."""
    lines = data[:200].decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[0] if c.isprintable())[:60] if lines else ""


def read_file(name: str, path: str) -> File:
    """Read one regular file of limited size; never waits at a named pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return File("", name, problem=f"cannot be read: {error.strerror}")
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return File("", name, problem="is not a regular file")
        if status.st_size > FILE_LIMIT:
            return File("", name, problem=too_large(status.st_size))
        return File("", name, file.read(FILE_LIMIT + 1))


def keep_copies(files: list[File], store: Path) -> None:
    """Keep the bytes of every file in `store`, named after their hash."""
    for file in files:
        copy = store / f"{file.digest}.ipynb"
        if file.data and not copy.exists():
            with replacing(copy) as new:
                new.write_bytes(file.data)


def too_large(size: int) -> str:
    return f"is {size / MIB:.0f} MiB large, more than {FILE_LIMIT // MIB} MiB: clear the outputs and hand it in again"


# Zip files ------------------------------------------------------------------------------------------------------------


def entry_name(info: zipfile.ZipInfo) -> str:
    """Return the name of an entry of a zip file; without the flag for UTF-8 many programs write UTF-8 all the same."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def read_zip(
    path: str,
    sender: Sender,
    of_class: bool = False,
    content: IO[bytes] | None = None,
    rules: Rules | None = None,
) -> list[File]:
    """Return the Files inside a zip file; of `sender`, or where it may be `of_class`, of those whom its folders name.

    `content` is given for a zip file in a zip file.
    """
    shown = os.path.basename(path)

    def problem(text: str) -> File:
        return File("", shown, problem=text, sender=sender)

    limit = CLASS_LIMIT if of_class else 1
    try:
        size = os.path.getsize(path) if content is None else 0
        if size > limit * TOTAL_LIMIT:
            return [problem(f"is {size / MIB:.0f} MiB large, more than {limit * TOTAL_LIMIT // MIB} MiB")]
        with zipfile.ZipFile(content or path) as archive:
            entries = archive.infolist()
            if text := zip_problem(entries, limit):
                return [problem(text)]
            owners = owners_in(entries, shown, rules or Rules()) if of_class else {}
            groups = metadata_in(archive) if of_class else {}
            found = [
                own
                for info, parts in zip(entries, without_top(entries) if owners else map(parts_of, entries), strict=True)
                for file in read_entry(archive, info, parts, sender, owners, shown, content is None)
                for own in shared(file, groups, shown)
            ]
    except BAD_ZIP as error:
        return [problem(f"is not a zip file that can be read: {error}")]
    except OSError as error:
        return [problem(f"cannot be read: {error.strerror or error}")]
    except Exception as error:  # ours, or one of zipfile's that is missing above: told with its traceback
        return [replace(problem(""), error=error)]
    if not any(not file.aside for file in found):
        found.append(problem("holds no notebook (a file that ends in .ipynb)"))
    return found


def shared(file: File, groups: dict[str, list[Sender]], export: str) -> list[File]:
    """Return the file once for each member of the group that handed it in."""
    members = groups.get(f"submission_{file.sender.id}", []) if file.sender.platform == "Gradescope" else []
    return [replace(file, sender=replace(member, export=export)) for member in members] or [file]


def zip_problem(entries: list[zipfile.ZipInfo], limit: int = 1) -> str:
    """Return why the zip file with these entries is not opened, or an empty text."""
    total = sum(info.file_size for info in entries)
    if len(entries) > limit * FILES_LIMIT:
        return f"holds {len(entries)} files, more than {limit * FILES_LIMIT}"
    if total > limit * TOTAL_LIMIT:
        return f"unpacks to {total / MIB:.0f} MiB, more than {limit * TOTAL_LIMIT // MIB} MiB"
    for info in entries:
        name = entry_name(info)
        if name.startswith("/") or ".." in name.split("/") or ":" in name[:2]:
            return f"holds a path that leads out of it: {name[:80]!r}"
        if stat.S_ISLNK(info.external_attr >> 16):
            return f"holds a symbolic link: {name[:80]!r}"
    return ""


def parts_of(info: zipfile.ZipInfo) -> list[str]:
    return [part for part in entry_name(info).split("/") if part not in ("", ".")]


def without_top(entries: list[zipfile.ZipInfo]) -> list[list[str]]:
    """Return the parts of the paths, without a folder around the folders that a platform has named."""
    parts = [parts_of(info) for info in entries]
    tops = {part[0] for part in parts if part and not ignored(part[0])}
    if len(tops) == 1 and any(len(p) > 1 and recognise(p[1]) for p in parts) and not recognise(min(tops)):
        return [part[1:] for part in parts]
    return parts


def metadata_in(archive: zipfile.ZipFile) -> dict[str, list[Sender]]:
    """Return the senders that Gradescope's metadata in an export name, by folder."""
    for info in archive.infolist():
        if parts_of(info)[-1:] == [METADATA] and len(parts_of(info)) <= 2 and info.file_size <= FILE_LIMIT:
            return gradescope_senders(archive.read(info))
    return {}


def owners_in(entries: list[zipfile.ZipInfo], shown: str, rules: Rules) -> dict[str, Sender]:
    """Return the senders of a zip file of a whole class, by the first part of its entries; {} for one of a student."""
    parts = [part for part in without_top(entries) if part and not ignored(part[0])]
    known = senders_of(list(dict.fromkeys(part[0] for part in parts)), shown, rules)
    holding = {part[0] for part in parts if len(part) > 1 and part[-1].lower().endswith((*NOTEBOOK, ".zip"))}
    if not known and (len(holding) < 2 or holding <= set(ASSIGNMENTS)):
        return {}
    return {name: known.get(name) or Sender(student_name(name), export=shown) for name in {*holding, *known}}


def read_entry(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    parts: list[str],
    sender: Sender,
    owners: dict[str, Sender],
    shown: str,
    outermost: bool,
) -> Iterator[File]:
    """Yield the Files of one entry: a notebook, what a zip file inside holds, or what is no answer."""
    if info.is_dir() or not parts or parts[-1] in (STAMP, METADATA):
        return
    name, owner = "/".join(parts), owners.get(parts[0], sender)
    known = recognise(parts[0]) if owners and len(parts) == 1 else None
    name = known[1] if known and known[1] else name
    file = File("", name, notes=[f"from {shown}"], sender=owner)
    if any(ignored(part) or part.startswith(".") for part in parts):
        yield replace(file, aside=True)
    elif is_zip(parts[-1]) and not outermost:
        yield replace(file, problem="is a zip file in a zip file in a zip file, which is not opened")
    elif not is_zip(parts[-1]) and not name.lower().endswith(NOTEBOOK):
        yield typed(file)
    elif info.file_size > (TOTAL_LIMIT if is_zip(parts[-1]) else FILE_LIMIT):
        yield replace(file, problem=too_large(info.file_size))
    else:
        limit = TOTAL_LIMIT if is_zip(parts[-1]) else FILE_LIMIT
        with archive.open(info) as content:
            data = content.read(limit + 1)  # an entry may be larger than its header says
        if len(data) > limit:
            yield replace(file, problem=too_large(len(data)))
        elif is_zip(parts[-1]):
            yield from read_zip(name, owner, content=io.BytesIO(data))
        else:
            yield replace(file, data=data)
