"""Take in what students handed in: folders and zip files, as a learning platform exports them, of unknown content.

    folder/<student>/<notebook>.ipynb      also in folders below, also inside folder/<student>/<any>.zip
    folder/<any>.zip                       with one folder for each student, or the files of the student <any>

When a file was handed in is kept where the platform says it: Canvas's `_LATE_` in a name, nbgrader's timestamp.txt.

Nothing is unpacked to a path that a submission names: a file becomes bytes, and a copy named after its hash.
"""

import hashlib
import lzma
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from utils.course.exercises import CourseError
from utils.files import replacing

MIB = 2**20
FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT = 20 * MIB, 200 * MIB, 500  # one notebook; one zip file unpacked, and its entries
LINK = "is a symbolic link, which is not followed"
IGNORED = (".ipynb_checkpoints", "__MACOSX", "__pycache__")
PLATFORM = re.compile(r"_\d+_assignsubmission_file_?$")  # Moodle: Name Surname_12345_assignsubmission_file_
CANVAS = re.compile(r"^([^_/]+?)(_LATE)?_\d+_\d+_(.+)$")  # Canvas: surnamename_LATE_123_4567_notebook.ipynb
STAMP = "timestamp.txt"  # nbgrader puts it beside the notebooks of a submission
BAD_ZIP = (  # what zipfile and the libraries below it raise for a damaged, encrypted or unknown archive
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, UnicodeError, OverflowError),
)


@dataclass
class File:
    """One file that a student handed in: its content, or the problem with it.

    `error` is a fault of this program on its way to the content.
    """

    student: str
    name: str
    data: bytes = b""
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    late: bool = False
    handed_in: str = ""
    error: Exception | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def student_name(text: str) -> str:
    """Return the name of a student's folder: accents in one form, no control characters, no platform's suffix."""
    text = unicodedata.normalize("NFC", PLATFORM.sub("", text))
    return "".join(c for c in text if c.isprintable()).strip()[:100]


def ignored(parts: Iterable[str]) -> bool:
    return any(part in IGNORED or part.startswith(".") for part in parts)


def collect(folder: Path) -> list[File]:
    """Return a File for everything below `folder` that is a notebook, a zip file, or a problem; sorted by student.

    Raises
    ------
    CourseError
        There is no such folder, or nothing in it.
    """
    if not os.path.isdir(folder):
        raise CourseError(f"SUBMISSIONS: no folder {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    found = [file for entry in sorted(os.scandir(folder), key=lambda e: e.name) for file in from_entry(entry, folder)]
    if not found:
        raise CourseError(f"SUBMISSIONS: nothing in {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    return sorted(found, key=lambda file: (file.student, file.name))


def from_entry(entry: os.DirEntry[str], folder: Path) -> list[File]:
    """Return the Files of one entry of the folder of a class."""
    if ignored([entry.name]):
        return []
    if entry.is_symlink():
        return [File(student_name(entry.name), entry.name, problem=LINK)]
    if entry.is_dir():
        return from_folder(entry)
    if entry.name.lower().endswith(".zip"):
        return read_zip(entry.path, None)
    if not entry.name.lower().endswith(".ipynb"):
        return []
    match = CANVAS.match(entry.name)
    if match:
        file = read_file(student_name(match[1]), match[3], entry.path)
        file.late = bool(match[2])
    else:
        file = read_file("", entry.name, entry.path)
        file.problem = f"lies outside a student's folder; expected {folder}/<student>/{entry.name}"
    return [file]


def from_folder(entry: os.DirEntry[str]) -> list[File]:
    """Return the Files of one student's folder."""
    student, found = student_name(entry.name), []
    for place, folders, names in os.walk(entry.path):
        folders[:] = sorted(name for name in folders if not ignored([name]))
        stamp = time_stamp(read_file(student, STAMP, os.path.join(place, STAMP)).data) if STAMP in names else ""
        for name in sorted(names) + [f for f in folders if os.path.islink(os.path.join(place, f))]:
            path = os.path.join(place, name)
            shown = os.path.relpath(path, entry.path)
            if os.path.islink(path):
                found.append(File(student, shown, problem=LINK))
            elif name.lower().endswith(".zip"):
                found += read_zip(path, student)
            elif name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json")) and not ignored([name]):
                found.append(read_file(student, shown, path))
                found[-1].handed_in = stamp
    return found or [File(student, "", problem="holds no notebook (a file that ends in .ipynb)")]


def time_stamp(data: bytes) -> str:
    """Return the text of nbgrader's timestamp.txt, such as `2026-11-02 23:59:10.123456 UTC`, cut to one short line."""
    lines = data[:200].decode("utf-8", "replace").strip().splitlines()
    return "".join(c for c in lines[0] if c.isprintable())[:60] if lines else ""


def read_file(student: str, name: str, path: str) -> File:
    """Read one regular file of limited size; never waits at a named pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return File(student, name, problem=f"cannot be read: {error.strerror}")
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return File(student, name, problem="is not a regular file")
        if status.st_size > FILE_LIMIT:
            return File(student, name, problem=too_large(status.st_size))
        return File(student, name, file.read(FILE_LIMIT + 1))


def keep_copies(files: list[File], store: Path) -> None:
    """Keep the bytes of every file in `store`, named after their hash."""
    for file in files:
        copy = store / f"{file.digest}.ipynb"
        if file.data and not copy.exists():
            with replacing(copy) as new:
                new.write_bytes(file.data)


def too_large(size: int) -> str:
    return f"is {size / MIB:.0f} MiB large, more than {FILE_LIMIT // MIB} MiB: clear the outputs and hand it in again"


def entry_name(info: zipfile.ZipInfo) -> str:
    """Return the name of an entry of a zip file; without the flag for UTF-8 many programs write UTF-8 all the same."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def read_zip(path: str, student: str | None) -> list[File]:
    """Return the Files inside a zip file; of `student`, or of the students that its folders name."""
    owner, shown = student or student_name(os.path.basename(path)[:-4]), os.path.basename(path)
    try:
        if (size := os.path.getsize(path)) > TOTAL_LIMIT:
            return [File(owner, shown, problem=f"is {size / MIB:.0f} MiB large, more than {TOTAL_LIMIT // MIB} MiB")]
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if problem := zip_problem(entries):
                return [File(owner, shown, problem=problem)]
            found = [read_entry(archive, info, student, owner, shown) for info in entries]
    except BAD_ZIP as error:
        return [File(owner, shown, problem=f"is not a zip file that can be read: {error}")]
    except OSError as error:
        return [File(owner, shown, problem=f"cannot be read: {error.strerror or error}")]
    except Exception as error:  # ours, or one of zipfile's that is missing above: told with its traceback
        return [File(owner, shown, error=error)]
    notebooks = [file for file in found if file is not None]
    return notebooks or [File(owner, shown, problem="holds no notebook (a file that ends in .ipynb)")]


def zip_problem(entries: list[zipfile.ZipInfo]) -> str:
    """Return why the zip file with these entries is not opened, or an empty text."""
    total = sum(info.file_size for info in entries)
    if len(entries) > FILES_LIMIT:
        return f"holds {len(entries)} files, more than {FILES_LIMIT}"
    if total > TOTAL_LIMIT:
        return f"unpacks to {total / MIB:.0f} MiB, more than {TOTAL_LIMIT // MIB} MiB"
    for info in entries:
        name = entry_name(info)
        if name.startswith("/") or ".." in name.split("/") or ":" in name[:2]:
            return f"holds a path that leads out of it: {name[:80]!r}"
        if stat.S_ISLNK(info.external_attr >> 16):
            return f"holds a symbolic link: {name[:80]!r}"
    return ""


def read_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, student: str | None, owner: str, shown: str
) -> File | None:
    """Return the File of one entry, None if it is no notebook."""
    parts = [part for part in entry_name(info).split("/") if part not in ("", ".")]
    if info.is_dir() or not parts or ignored(parts) or not parts[-1].lower().endswith(".ipynb"):
        return None
    file = File(student or owner, "/".join(parts), notes=[f"from {shown}"])
    canvas = CANVAS.match(parts[-1]) if student is None and len(parts) == 1 else None
    if canvas:
        file.student, file.name, file.late = canvas[1], canvas[3], bool(canvas[2])
    elif student is None and len(parts) > 1:
        file.student = student_name(parts[0])
    if info.file_size > FILE_LIMIT:
        file.problem = too_large(info.file_size)
        return file
    with archive.open(info) as content:
        file.data = content.read(FILE_LIMIT + 1)  # an entry may be larger than its header says
    if len(file.data) > FILE_LIMIT:
        file.problem, file.data = too_large(len(file.data)), b""
    return file
