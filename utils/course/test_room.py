"""The room that holds the tests, with proxies in the place of the student's names (see rooms.py)."""

import builtins
import linecache
import socket
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

from utils.course import values
from utils.course.rooms import ANSWER_FILE, FORGET, NAMES, USUAL, Gone, Peer

import numpy as np


class TestRoom(Peer):
    """The end of the line in the room that holds the tests."""

    __test__ = False  # for pytest
    first = 1

    def __init__(self, link: socket.socket, namespace: dict[str, Any], sources: list[str]):
        super().__init__(link)
        self.before, self.globals = dict(namespace), namespace
        self.uncrossed = ""  # why a value of the present test could not leave the answer room
        plain = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, np.ndarray)
        special = {
            n: v for n, v in namespace.items() if not isinstance(v, plain) and not isinstance(v, types.ModuleType)
        }
        own = {
            n: v for n, v in special.items() if getattr(v, "__module__", "") == "__main__" and not n.startswith("__")
        }
        self.setup = {id(value): name for name, value in own.items()}
        self.lines = []
        for number, source in enumerate(sources):
            file = ANSWER_FILE.format(number)
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            self.lines.append(source.count("\n") + 1)

    def namespace_of(self, names: list[str]) -> dict[str, Any]:
        """Return the globals for a test cell: those of the set-up, and proxies for what the student has added."""
        self.uncrossed = ""
        if self.table.objects:
            self.request(FORGET, (True,))
            self.forget()
        wanted = [name for name in names if name not in self.before and not hasattr(builtins, name)]
        found = self.request(NAMES, tuple(wanted))
        if not isinstance(found, dict) or not all(name in wanted for name in found):
            raise Gone("gave names that it was not asked for")
        self.globals = {**self.before, **found}
        return self.globals

    def request(self, kind: str, value: Any) -> Any:
        if not self.busy and self.table.size > values.KEPT and kind != FORGET:
            self.request(FORGET, (False,))
            self.table.relieve()
        return super().request(kind, value)

    def settings(self) -> Any:
        errstate = np.geterr()
        checks = sys.modules.get("utils.checks")
        forbidden = list(checks.in_force) if checks else []
        before, guarded = self.before, {name.rpartition(".")[2] for name in forbidden}
        changed = {n: v for n, v in self.globals.items() if n in before and before[n] is not v and n not in guarded}
        if errstate == USUAL and not forbidden and not changed:
            return None
        return (errstate if errstate != USUAL else None, forbidden, changed)

    def note(self, notes: Any) -> None:
        """Tell here what the student's code has warned of and written to standard error."""
        if not notes:
            return
        found, written = notes
        for name, text in found:
            kind = getattr(builtins, str(name), None)
            if not (isinstance(kind, type) and issubclass(kind, Warning)):
                kind = type(str(name), (UserWarning,), {})
            warnings.warn(str(text), kind, stacklevel=2)
        sys.stderr.write(str(written))

    def placed(self, error: Any, frames: Any) -> BaseException:
        """Return the error with a traceback through the student's lines, so that a message can quote them."""
        error = super().placed(error, frames)
        if type(error).__name__ == "CannotCross":
            self.uncrossed = str(error)
        known = [(number, line, str(name)) for number, line, name in frames if 0 <= number < len(self.lines)]
        known = [(number, line, name) for number, line, name in known if 0 < line <= self.lines[number]]
        if not known:
            return error
        try:
            walk(known, error)
        except BaseException as raised:
            if raised is not error:
                raise
        return error


def walk(frames: list[tuple[int, int, str]], error: BaseException) -> None:
    """Raise `error` through a frame for each of `frames`."""
    step: Callable[[], None] | None = None
    for number, line, name in reversed(frames):
        code = compile("raise error" if step is None else "step()", ANSWER_FILE.format(number), "exec")
        code = code.replace(co_firstlineno=line, co_name=name.rpartition(".")[2], co_qualname=name)
        step = types.FunctionType(code, {"error": error, "step": step})
    assert step is not None, "there is at least one frame"
    step()
