"""Take in what students handed in: folders and zip files, as a learning platform exports them, of unknown content.

    folder/<student>/<notebook>.ipynb      also in folders below, also inside folder/<student>/<any>.zip
    folder/<any>.zip                       with one folder for each student, or the files of the student <any>

Nothing is unpacked to a path that a submission names: a file becomes bytes, and a copy named after its hash.
"""

import hashlib
import json
import os
import re
import stat
import unicodedata
import zipfile
from dataclasses import dataclass, field

MIB = 2**20
FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT = 20 * MIB, 200 * MIB, 500  # one notebook; one zip file unpacked, and its entries
LINK = "is a symbolic link, which is not followed"
IGNORED = (".ipynb_checkpoints", "__MACOSX", "__pycache__")
PLATFORM = re.compile(r"_\d+_assignsubmission_file_?$")  # Moodle: Name Surname_12345_assignsubmission_file_
CANVAS = re.compile(r"^([^_/]+?)(?:_LATE)?_\d+_\d+_(.+)$")  # Canvas: surnamename_123_4567_notebook.ipynb


@dataclass
class File:
    """One file that a student handed in: its content, or the problem with it."""

    student: str
    name: str
    data: bytes = b""
    problem: str = ""
    notes: list = field(default_factory=list)

    @property
    def digest(self):
        return hashlib.sha256(self.data).hexdigest()


def student_name(text):
    """Return the name of a student's folder: accents in one form, no control characters, no platform's suffix."""
    text = unicodedata.normalize("NFC", PLATFORM.sub("", text))
    return "".join(c for c in text if c.isprintable()).strip()[:100]


def ignored(parts):
    return any(part in IGNORED or part.startswith(".") for part in parts)


def collect(folder):
    """Return a File for everything below `folder` that is a notebook, a zip file, or a problem; sorted by student.

    Raises
    ------
    SystemExit
        If there is no such folder or nothing in it.
    """
    if not os.path.isdir(folder):
        raise SystemExit(f"SUBMISSIONS: no folder {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    found = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if ignored([entry.name]):
            continue
        if entry.is_symlink():
            found.append(File(student_name(entry.name), entry.name, problem=LINK))
        elif entry.is_dir():
            found += from_folder(entry)
        elif entry.name.lower().endswith(".zip"):
            found += read_zip(entry.path, None)
        elif entry.name.lower().endswith(".ipynb"):
            match = CANVAS.match(entry.name)
            student, name = match.groups() if match else ("", entry.name)
            problem = "" if match else f"lies outside a student's folder; expected {folder}/<student>/{entry.name}"
            file = read_file(student_name(student), name, entry.path)
            found.append(File(file.student, name, file.data, problem or file.problem))
    if not found:
        raise SystemExit(f"SUBMISSIONS: nothing in {folder}. Expected {folder}/<student>/<notebook>.ipynb")
    return sorted(found, key=lambda file: (file.student, file.name))


def from_folder(entry):
    """Return the Files of one student's folder."""
    student, found = student_name(entry.name), []
    for place, folders, names in os.walk(entry.path):
        folders[:] = sorted(name for name in folders if not ignored([name]))
        for name in sorted(names) + [f for f in folders if os.path.islink(os.path.join(place, f))]:
            path = os.path.join(place, name)
            shown = os.path.relpath(path, entry.path)
            if os.path.islink(path):
                found.append(File(student, shown, problem=LINK))
            elif name.lower().endswith(".zip"):
                found += read_zip(path, student)
            elif name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json")) and not ignored([name]):
                found.append(read_file(student, shown, path))
    return found or [File(student, "", problem="holds no notebook (a file that ends in .ipynb)")]


def read_file(student, name, path):
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


def too_large(size):
    return f"is {size / MIB:.0f} MiB large, more than {FILE_LIMIT // MIB} MiB: clear the outputs and hand it in again"


def entry_name(info):
    """Return the name of an entry of a zip file; without the flag for UTF-8 many programs write UTF-8 all the same."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def read_zip(path, student):
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
    except Exception as error:  # zipfile and zlib raise whatever they stumble over
        return [File(owner, shown, problem=f"is not a zip file that can be read: {error}")]
    return list(filter(None, found)) or [File(owner, shown, problem="holds no notebook (a file that ends in .ipynb)")]


def zip_problem(entries):
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


def read_entry(archive, info, student, owner, shown):
    """Return the File of one entry, None if it is no notebook."""
    parts = [part for part in entry_name(info).split("/") if part not in ("", ".")]
    if info.is_dir() or not parts or ignored(parts) or not parts[-1].lower().endswith(".ipynb"):
        return None
    name = "/".join(parts)
    if student is None:
        canvas = CANVAS.match(parts[-1]) if len(parts) == 1 else None
        own = canvas[1] if canvas else student_name(parts[0]) if len(parts) > 1 else owner
        name = canvas[2] if canvas else name
    else:
        own = student
    if info.file_size > FILE_LIMIT:
        return File(own, name, problem=too_large(info.file_size))
    with archive.open(info) as file:
        data = file.read(FILE_LIMIT + 1)  # an entry may be larger than its header says
    if len(data) > FILE_LIMIT:
        return File(own, name, problem=too_large(len(data)))
    return File(own, name, data, notes=[f"from {shown}"])


class NotANotebook(ValueError):
    """The bytes are not a notebook; the message says why."""


def parse(data):
    """Return (cells, notes) of a notebook given as bytes: dicts with `cell_type`, `source` and `metadata`.

    Reads only what grading needs, so that damage elsewhere (duplicate cell ids, an unknown kernel, broken outputs) does
    not matter. Raises NotANotebook.
    """
    text, notes = decode(data)
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise NotANotebook("is nested too deeply for a notebook") from None
    except ValueError as error:
        raise NotANotebook(f"is not a Jupyter notebook: not valid JSON ({error})") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if isinstance(notebook, dict) and cells is None and isinstance(notebook.get("worksheets"), list):
        raise NotANotebook("is in the notebook format 3 or older: open and save it in JupyterLab")
    if not isinstance(cells, list):
        raise NotANotebook("is not a Jupyter notebook: it has no list of cells")
    return [tidy(cell) for cell in cells if isinstance(cell, dict)], notes


def decode(data):
    """Return the text in `data` and what is to be noted about its encoding."""
    if not data.strip():
        raise NotANotebook("is empty")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding, note = "utf-16", ["was saved as UTF-16"]
    elif data[:3] == b"\xef\xbb\xbf":
        encoding, note = "utf-8-sig", ["begins with a byte-order mark"]
    else:
        encoding, note = "utf-8", []
    try:
        return data.decode(encoding), note
    except UnicodeError as error:
        raise NotANotebook(f"is not encoded as UTF-8 (byte {error.start})") from None


def tidy(cell):
    """Return the three parts of a cell that matter, of the types that they should have."""
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    source = source if isinstance(source, str) else ""
    source = source.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode("utf-8")
    metadata = cell.get("metadata")
    kind = cell.get("cell_type")
    return {
        "cell_type": kind if kind in ("code", "markdown", "raw") else "raw",
        "source": source,
        "metadata": metadata if isinstance(metadata, dict) else {},
    }
