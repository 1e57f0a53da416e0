"""Zip files of unknown content: of one student, or an export of a whole class. Nothing is unpacked to the disk."""

import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from utils.course.exercises import ASSIGNMENTS
from utils.course.handed_in import (
    CLASS_LIMIT,
    FILE_LIMIT,
    FILES_LIMIT,
    MIB,
    NO_NOTEBOOK,
    NOTEBOOK,
    STAMP,
    TOTAL_LIMIT,
    File,
    Rules,
    hidden,
    holds_a_class,
    ignored,
    is_zip,
    senders_of,
    time_stamp,
    too_large,
    typed,
)
from utils.course.platforms import (
    METADATA,
    Sender,
    gradescope_senders,
    recognise,
    student_name,
)

BAD_ZIP = (  # what zipfile and the libraries below it raise for a damaged, encrypted or unknown archive
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, UnicodeError, OverflowError),
)


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
            stamps = stamps_in(archive)
            found = [
                own
                for info, parts in zip(entries, without_top(entries) if owners else map(parts_of, entries), strict=True)
                for file in read_entry(archive, info, parts, stamps, sender, owners, shown, content is None)
                for own in shared(file, groups, shown)
            ]
    except BAD_ZIP as error:
        return [problem(f"is not a zip file that can be read: {error}")]
    except OSError as error:
        return [problem(f"cannot be read: {error.strerror or error}")]
    except Exception as error:  # ours, or one of zipfile's that is missing above: told with its traceback
        return [replace(problem(""), error=error)]
    if not any(not file.aside for file in found):
        found.append(problem(NO_NOTEBOOK))
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
    if len(tops) == 1 and not recognise(min(tops)):
        if any(len(p) > 1 and recognise(p[1]) for p in parts) or holds_a_class(part[1:] for part in parts):
            return [part[1:] for part in parts]
    return parts


def metadata_in(archive: zipfile.ZipFile) -> dict[str, list[Sender]]:
    """Return the senders that Gradescope's metadata in an export name, by folder."""
    for info in archive.infolist():
        if parts_of(info)[-1:] == [METADATA] and len(parts_of(info)) <= 2 and info.file_size <= FILE_LIMIT:
            return gradescope_senders(archive.read(info))
    return {}


def stamps_in(archive: zipfile.ZipFile) -> dict[tuple[str, ...], str]:
    """Return the times in the files `timestamp.txt` of an archive, by their folders."""
    found = {}
    for info in archive.infolist():
        if parts_of(info)[-1:] == [STAMP] and info.file_size <= FILE_LIMIT:
            with archive.open(info) as content:
                found[tuple(parts_of(info)[:-1])] = time_stamp(content.read(200))
    return found


def owners_in(entries: list[zipfile.ZipInfo], shown: str, rules: Rules) -> dict[str, Sender]:
    """Return the senders of a zip file of a whole class, by the first part of its entries; {} for one of a student."""
    parts = [part for part in without_top(entries) if part and not ignored(part[0])]
    known = senders_of(list(dict.fromkeys(part[0] for part in parts)), shown, rules)
    holding = {part[0] for part in parts if len(part) > 1 and part[-1].lower().endswith((*NOTEBOOK, ".zip"))}
    if not known and (len(holding) < 2 or holding <= set(ASSIGNMENTS)):
        return {}
    folders = {part[0] for part in parts if len(part) > 1 and not hidden(part[0])}
    return {name: known.get(name) or Sender(student_name(name), export=shown) for name in {*folders, *known}}


def read_entry(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    parts: list[str],
    stamps: dict[tuple[str, ...], str],
    sender: Sender,
    owners: dict[str, Sender],
    shown: str,
    outermost: bool,
) -> Iterator[File]:
    """Yield the Files of one entry: a notebook, what a zip file inside holds, or what is no answer."""
    if info.is_dir() or not parts or parts[-1] in (STAMP, METADATA):
        return
    name, owner = "/".join(parts), owners.get(parts[0], sender)
    places = (tuple(parts_of(info)[:depth]) for depth in range(len(parts_of(info)), 0, -1))
    if stamp := next((stamps[place] for place in places if place in stamps), ""):
        owner = replace(owner, stamp=stamp)
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
