"""Files that are either whole or as they were: the one way in which this package writes what must survive a kill."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; rename it to `path` when the block ends, remove it when the block raises.

    Parameters
    ----------
    path : path
        The file that is written anew. Its folder must exist. A reader sees the old file or the new one, never a part.

    Yields
    ------
    Path
        Beside `path`, of the same suffix, and different in every process.

    Raises
    ------
    OSError
        The file cannot be written (a full or read-only disk): `path` is as it was.
    """
    path = Path(path)
    new = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield new
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with `replacing`."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8", newline="\n")
