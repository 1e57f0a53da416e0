"""Take in what students handed in: folders and zip files, as a learning platform exports them, of unknown content.

    folder/<student>/<notebook>.ipynb      also in folders below, also inside folder/<student>/<any>.zip
    folder/<student>.zip                   the name of the zip file counts, whatever its folders are called
    folder/<export>.zip, folder/<export>/  an export of a platform (platforms.py), or the folders of a whole class

Nothing is unpacked to a path that a submission names: a file becomes bytes, and a copy named after its hash. Nothing
that lies in the folder is passed over: what is no notebook is told.
"""

import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from utils.course.exercises import CourseError
from utils.course.handed_in import (
    FILE_LIMIT,
    LINK,
    NO_NOTEBOOK,
    NOTEBOOK,
    PACKED,
    STAMP,
    File,
    Rules,
    holds_a_class,
    ignored,
    is_zip,
    senders_of,
    time_stamp,
    too_large,
    typed,
    without_zip,
)
from utils.course.platforms import (
    METADATA,
    OWN_FILES,
    Sender,
    gradescope_senders,
    people,
    recognise,
    student_name,
)
from utils.course.zip_files import BAD_ZIP, read_zip, without_top
from utils.files import replacing


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
    have = {file.student for file in files if not file.aside and not file.problem}
    for file in files:  # such as what was typed into the platform's text field, beside the notebook
        if file.problem == NO_NOTEBOOK and file.student in have:
            file.problem, file.aside, file.name = "", True, file.name or "a folder without a notebook"
    known = {file.student for file in files if not file.aside}
    for file in reversed(files):  # of somebody in an export who has handed in nothing else
        if file.aside and file.sender.export and file.student and file.student not in known:
            files = [*files, replace(file, name="", aside=False, problem=NO_NOTEBOOK, notes=[])]
            known.add(file.student)
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
    names = [name for name in names if not ignored(name) and name not in OWN_FILES]
    return bool(names) and all(recognise(without_zip(name)) or recognise(name) for name in names)


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
    owner = sender or Sender(student_name(without_zip(name)), export=export)
    if ignored(name) or name in (STAMP, *OWN_FILES) or (sender and shown == ".txt"):
        return [File("", name, aside=True)]
    if entry.is_symlink():
        return [File("", name, problem=LINK, sender=owner)]
    if entry.is_dir():
        if name.startswith("."):
            return [
                File("", name, problem="is a hidden folder, which is not looked into: rename it if it is a student's")
            ]
        of_class = not sender and (exports or (alone and holds_a_class(paths_below(entry.path))))
        return from_class(entry.path, name, rules) if of_class else from_folder(entry.path, owner, rules)
    if is_zip(name):
        return read_zip(entry.path, owner, (exports or alone) and not sender, rules=rules)
    file = read_file(shown, entry.path)
    if sender:
        return [typed(replace(file, sender=sender))]
    file = typed(file)
    if not file.problem and not file.aside:
        file.problem = f"lies outside a student's folder; expected {folder}/<student>/{name}, or a --pattern for names"
    return [replace(file, aside=False, problem=file.problem or "is no notebook, and lies outside a student's folder")]


def paths_below(folder: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the files below a folder, in parts."""
    for place, _, names in os.walk(folder):
        yield from (Path(os.path.relpath(os.path.join(place, name), folder)).parts for name in names)


def from_folder(path: str, sender: Sender, rules: Rules) -> list[File]:
    """Return the Files of one student's folder."""
    found, stamps = [], dict[str, str]()
    for place, folders, names in os.walk(path):
        aside = [name for name in folders if name.startswith((".", "__"))]
        folders[:] = sorted(set(folders) - set(aside))
        stamp = time_stamp(read_file(STAMP, os.path.join(place, STAMP)).data) if STAMP in names else ""
        stamps[place] = stamp or stamps.get(os.path.dirname(place), sender.stamp)
        own = replace(sender, stamp=stamps[place])
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
        found.append(File("", "", problem=NO_NOTEBOOK, sender=sender))
    return found


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
