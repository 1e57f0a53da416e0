"""The room that holds the set-up and what the student has defined, and no test (see rooms.py)."""

import contextlib
import importlib
import io
import socket
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from utils.course import values
from utils.course.rooms import RAISE, RETURN, Gone, Peer

import numpy as np


class AnswerRoom(Peer):
    """The end of the line in the room that holds what the student has defined."""

    def __init__(self, link: socket.socket, namespace: dict[str, Any], setup: dict[str, Any], errors: io.TextIOBase):
        super().__init__(link)
        self.namespace, self.before, self.errors = namespace, setup, errors

    def serve_forever(self) -> None:
        while True:
            kind, value = self.receive()
            if kind in (RETURN, RAISE):
                raise Gone("answered without a question")
            self.serve(kind, value)
            del value

    def named(self) -> Callable[[str, str], Any]:
        def meaning(module: str, place: str) -> Any:
            if not module:
                return self.before[place]
            found = importlib.import_module(module)
            return values.resolve(module, place) if place else found

        return meaning

    def on_names(self, *names: str) -> dict[str, Any]:
        """Return what the student has bound to these names; a name of the set-up or of Python is not the student's."""
        own = {name: self.namespace[name] for name in names if name in self.namespace and name not in self.before}
        return {name: value for name, value in own.items() if not isinstance(value, types.ModuleType)}

    def on_forget(self, everything: bool) -> None:
        """Forget all objects, or those that are values; the answer that follows holds none."""
        if everything:
            self.forget()
        else:
            self.table.relieve()

    def under(self, settings: Any) -> contextlib.AbstractContextManager[Any]:
        return self.as_in_the_test(*settings) if settings else contextlib.nullcontext()

    @contextlib.contextmanager
    def as_in_the_test(self, errstate: Any, forbidden: list[str], changed: dict[str, Any]) -> Iterator[None]:
        """Run a block under what the test has set: NumPy's errors, forbidden functions, other values of the set-up."""
        with contextlib.ExitStack() as stack:
            if errstate:
                stack.enter_context(np.errstate(**errstate))
            if forbidden:
                checks = importlib.import_module("utils.checks")
                stack.enter_context(checks.forbidden_in(self.namespace, *forbidden))
            mine = {name: self.namespace[name] for name in changed if name in self.namespace}
            stack.callback(self.namespace.update, mine)
            self.namespace.update({name: changed[name] for name in mine})
            yield

    @contextlib.contextmanager
    def noting(self, notes: list[Any]) -> Iterator[None]:
        """Note the warnings of a block and what it writes to standard error, for the test to tell."""
        if self.busy > 1:
            yield
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                found = [(w.category.__name__, str(w.message)[:500]) for w in caught[:20]]
                written = self.errors.take()  # type: ignore[attr-defined]
                if found or written:
                    notes += [found, written[:2000]]
