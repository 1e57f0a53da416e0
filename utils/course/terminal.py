"""What a command prints, on terminals of any kind."""

import contextlib
import io
import sys


def print_anything() -> None:
    """Let `print` survive a terminal whose encoding lacks a character: the character is written as an escape.

    Names of students and notebooks hold any character; the locale C and PYTHONIOENCODING=ascii know 128 of them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):
                stream.reconfigure(errors="backslashreplace")
