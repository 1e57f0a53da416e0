"""The two rooms of grading, and what they say to each other.

The answer room holds the set-up and what the student has defined. The test room holds the set-up and the tests; in the
place of the student's names it has proxies. A call of a proxy sends the arguments; the answer room computes; the value
comes back, and is compared in the test room. A student's function may call a function of a test's in the same way.
While one room waits for an answer, it serves the other.
"""

import contextlib
import importlib
import re
import socket
import struct
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

from utils.course import value_reader, value_writer, values
from utils.course.remote_gradients import differentiated, leaf_kind, mark, replaced, through
from utils.course.values import BadMessage, CannotCross

CALL, METHOD, GET, SET, NEXT, PULL, NAMES, FORGET = "call", "method", "get", "set", "next", "pull", "names", "forget"
QUESTIONS = (CALL, METHOD, GET, SET, NEXT, PULL, NAMES, FORGET)
RETURN, RAISE = "return", "raise"
ANSWER_FILE = "<cell {} of the student's>"
ANSWER_NUMBER = re.compile(r"<cell (\d+) of the student's>")
HEAD = struct.Struct("!I")
FRAMES = 50  # of a traceback
USUAL = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # of numpy.geterr


class Gone(BaseException):
    """The other room has ended, or has broken a rule. No `except Exception` of a test catches it."""


class Peer:
    """One end of the line between the rooms."""

    setup: dict[int, str] | None = None  # id -> name of what both rooms have from the set-up; only in the test room
    first = 2  # the numbers that this room gives

    def __init__(self, link: socket.socket):
        self.link, self.table, self.lock = link, values.Table(self.first), threading.Lock()
        self.pulls: dict[int, Callable[[list[Any]], list[Any]]] = {}
        self.kinds: dict[Any, type] = {}
        self.busy = 0  # calls that this room is serving

    # messages

    def send(self, kind: str, value: Any, *also: Any) -> None:
        """Send a message; what has changed of the objects in `also` goes with it."""
        data = value_writer.write(self.table, kind, value, also, self.setup)
        try:
            self.link.sendall(HEAD.pack(len(data)) + data)
        except OSError:
            raise Gone("ended") from None

    def receive(self) -> tuple[str, Any]:
        size = HEAD.unpack(self.exactly(HEAD.size))[0]
        if size > values.LIMIT:
            raise Gone("sent a message that is too long")
        try:
            return value_reader.read(self.table, self.exactly(size), self.proxy, self.named())
        except BadMessage as error:
            raise Gone(str(error)) from None

    def exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            try:
                part = self.link.recv_into(view[have:])
            except OSError:
                part = 0
            if not part:
                raise Gone("ended")
            have += part
        return bytes(data)

    def request(self, kind: str, value: Any) -> Any:
        """Ask the other room for something, serve it until it answers, and return the answer or raise its error."""
        while True:
            with self.lock:  # not while we serve: what we run may ask from a thread of its own
                if kind:
                    self.send(kind, value)
                kind, value = self.receive()
            if kind == RETURN:
                result, notes = value
                self.note(notes)
                return result
            if kind == RAISE:
                error, frames, notes = value
                self.note(notes)
                raise self.placed(error, frames)
            self.serve(kind, value)
            kind = ""

    def serve(self, kind: str, value: Any) -> None:
        """Do what the other room asks for, and send the answer."""
        self.busy += 1
        notes: list[Any] = []
        try:
            if kind not in QUESTIONS:
                raise Gone("sent something that is not a message")
            with self.noting(notes):
                result = getattr(self, f"on_{kind}")(*value)
            with self.lock:
                self.send(RETURN, (result, notes or None), value)
        except Gone:
            raise
        except BaseException as error:
            self.answer_error(error, notes, value)
        finally:
            self.busy -= 1

    def answer_error(self, error: BaseException, notes: list[Any], value: Any) -> None:
        frames = student_frames(error)
        with self.lock:
            try:
                self.send(RAISE, (error, frames, notes or None), value)
            except CannotCross as problem:
                self.send(RAISE, (problem, frames, notes or None))

    def forget(self) -> None:
        self.table.forget()
        self.pulls.clear()

    # what the other room may ask for

    def own(self, number: int) -> Any:
        """Return one of our objects that the other room has a handle for."""
        if number not in self.table.fixed or not self.table.owns(number):
            raise Gone("asked for an object that it has no handle for")
        return self.table.objects[number]

    def on_call(self, number: int, args: tuple[Any, ...], options: dict[str, Any], context: Any) -> Any:
        return self.run(self.own(number), args, options, context)

    def on_method(self, number: int, name: str, args: tuple[Any, ...], options: dict[str, Any], context: Any) -> Any:
        return self.run(self.attribute(number, name), args, options, context)

    def on_get(self, number: int, name: str) -> Any:
        return self.attribute(number, name)

    def on_set(self, number: int, name: str, value: Any) -> None:
        self.attribute(number, name, missing=None)
        setattr(self.own(number), name, value)

    def on_next(self, number: int) -> tuple[bool, Any]:
        iterator = self.own(number)
        if not isinstance(iterator, Iterator):
            raise Gone("asked for the next value of what is no iterator")
        for value in iterator:
            return True, value
        return False, None

    def on_pull(self, number: int, upstream: list[Any]) -> list[Any]:
        return self.pulls[number](upstream)

    def on_names(self, *names: str) -> dict[str, Any]:
        raise Gone("asked for names")

    def on_forget(self, everything: bool) -> None:
        raise Gone("asked to forget")

    def attribute(self, number: int, name: str, **default: Any) -> Any:
        """Return an attribute of one of our objects: a public one, and none of functions and modules."""
        value = self.own(number)
        hidden = name.startswith("_") and name not in values.DUNDERS
        if hidden or isinstance(value, types.FunctionType | types.MethodType | types.ModuleType):
            raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
        return getattr(value, name, default["missing"]) if default else getattr(value, name)

    def run(self, function: Any, args: tuple[Any, ...], options: dict[str, Any], context: Any) -> Any:
        """Call one of our functions; a call that is differentiated returns its value and the number of its pullback."""
        settings, leaves = context if context else (None, None)
        if not callable(function):
            raise TypeError(f"{type(function).__name__!r} object is not callable")
        with self.under(settings):
            if leaves is None:
                return function(*args, **options)
            result, pull = differentiated(function, args, options, leaves)
        number = len(self.pulls)
        self.pulls[number] = pull
        return result, number

    # proxies

    def named(self) -> Callable[[str, str], Any] | None:
        """Return what tells the meaning of a name that comes from the other room; None: names may not come."""
        return None

    def proxy(self, number: int, kind: str, name: str, base: str, methods: list[str], places: dict[str, str]) -> Any:
        """Return what stands for an object of the other room."""
        name = str(name)
        if kind == "function":
            return self.function(number, name, places.get("", ""))
        if kind == "iterator":
            steps = ["__iter__", "__next__"]
            return generator(self, number) if name == "generator" else self.thing(number, name, "", steps)
        if kind == "class":
            return self.class_of(number, name, tuple(methods), places)
        return self.thing(number, name, base, methods)

    def function(self, number: int, name: str, file: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return self.call(CALL, (number,), args, options)

        call.__name__ = call.__qualname__ = name
        call.__wrapped__ = stand_in(name, file)  # type: ignore[attr-defined]
        return call

    def method(self, name: str, file: str = "") -> Callable[..., Any]:
        def call(thing: Any, *args: Any, **options: Any) -> Any:
            return self.call(METHOD, (thing._number, name), args, options)

        call.__name__ = name
        call.__wrapped__ = stand_in(name, file)  # type: ignore[attr-defined]
        return call

    def thing(self, number: int, name: str, base: str, methods: list[str]) -> Any:
        """Return a proxy for an object: it has the methods of the object, and asks for everything else."""
        key = name, base, tuple(methods)
        if key not in self.kinds:
            own: dict[str, Any] = {
                method: self.method(method) for method in methods if isinstance(method, str) and allowed(method)
            }
            if "__next__" in methods:
                own |= {"__iter__": lambda thing: thing, "__next__": lambda thing: following(self, thing._number)}
            if (taken_for := library_class(base)) is not None:
                own["__class__"] = property(lambda thing: taken_for)
            own |= {"__repr__": lambda thing: f"<{name} object>"}
            own |= {"__getattr__": lambda thing, what: self.get(thing._number, what)}
            own |= {"__setattr__": lambda thing, what, value: self.request(SET, (thing._number, what, value))}
            self.kinds[key] = type(name, (), own)
        made: Any = object.__new__(self.kinds[key])
        object.__setattr__(made, "_number", number)
        return made

    def get(self, number: int, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.request(GET, (number, name))

    def class_of(self, number: int, name: str, methods: tuple[str, ...], places: dict[str, str]) -> type:
        """Return a class whose objects are made in the other room."""

        def new(kind: type, *args: Any, **options: Any) -> Any:
            return self.call(CALL, (number,), args, options)

        own = {name: self.method(name, places.get(name, "")) for name in methods if allowed(name)}
        own["__new__"] = new
        if file := places.get("__init__"):  # tells an untouched stub of the class
            own["made_in"] = self.method("__init__", file)
        return type(name, (), own)

    def call(self, kind: str, what: tuple[Any, ...], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a function or method of the other room; tensors among the arguments carry gradients across."""
        sources: list[Any] = []
        marked = replaced((args, options), lambda value: mark(value, sources))
        settings = self.settings()
        if not sources:
            return self.request(kind, (*what, args, options, (settings, None) if settings else None))

        def forward(arrays: list[Any]) -> tuple[Any, Callable[[list[Any]], list[Any]]]:
            kinds = [leaf_kind(source) for source in sources]
            result, number = self.request(kind, (*what, *marked, (settings, list(zip(kinds, arrays, strict=True)))))
            return result, lambda upstream: self.request(PULL, (number, upstream))

        return through(forward, sources)

    # what differs between the rooms

    def settings(self) -> Any:
        """Return what a call of the other room has to run under, None where that is nothing special."""
        return None

    def under(self, settings: Any) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def noting(self, notes: list[Any]) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def note(self, notes: Any) -> None: ...

    def placed(self, error: Any, frames: Any) -> BaseException:
        """Return the error to raise here for one of the other room."""
        if not isinstance(error, BaseException):
            raise Gone("raised what is no error")
        return error


def allowed(name: str) -> bool:
    return not name.startswith("_") or name in values.DUNDERS


def library_class(name: str) -> type | None:
    """Return the class of a library that an object of a student's is taken for."""
    if name == "tf.data.Dataset":
        return importlib.import_module("tensorflow").data.Dataset
    if name in ("keras.Model", "keras.Layer"):
        return getattr(importlib.import_module("keras"), name.removeprefix("keras."))
    return None


def generator(peer: Peer, number: int) -> Iterator[Any]:
    """Yield what an iterator of the other room yields."""
    while True:
        more, value = peer.request(NEXT, (number,))
        if not more:
            return
        yield value


def following(peer: Peer, number: int) -> Any:
    more, value = peer.request(NEXT, (number,))
    if not more:
        raise StopIteration
    return value


def stand_in(name: str, file: str) -> Callable[..., Any]:
    """Return a function that is never called, but says which cell has defined the one that it stands for."""

    def function(*args: Any, **options: Any) -> None: ...

    if ANSWER_NUMBER.fullmatch(str(file)):
        function.__code__ = function.__code__.replace(co_filename=str(file))
    function.__name__ = name
    return function


# Errors ---------------------------------------------------------------------------------------------------------------


def student_frames(error: BaseException) -> list[tuple[int, int, str]]:
    """Return (cell, line, name of the function) for each line of the student's that an error has passed through."""
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        if match := ANSWER_NUMBER.fullmatch(frame.f_code.co_filename):
            found.append((int(match[1]), line, frame.f_code.co_qualname[:200]))
    return [*found[: FRAMES // 2], *found[-FRAMES // 2 :]] if len(found) > FRAMES else found
