"""The two rooms of grading, and what they say to each other.

The answer room holds the set-up and what the student has defined. The test room holds the set-up and the tests; in the
place of the student's names it has proxies. A call of a proxy sends the arguments; the answer room computes; the value
comes back, and is compared in the test room. A student's function may call a function of a test's in the same way.
While one room waits for an answer, it serves the other.
"""

import builtins
import contextlib
import importlib
import io
import linecache
import re
import socket
import struct
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from utils.course import values
from utils.course.values import BadMessage, CannotCross, Leaf

import numpy as np

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
        data = values.write(self.table, kind, value, also, self.setup)
        try:
            self.link.sendall(HEAD.pack(len(data)) + data)
        except OSError:
            raise Gone("ended") from None

    def receive(self) -> tuple[str, Any]:
        size = HEAD.unpack(self.exactly(HEAD.size))[0]
        if size > values.LIMIT:
            raise Gone("sent a message that is too long")
        try:
            return values.read(self.table, self.exactly(size), self.proxy, self.named())
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


def walk(frames: list[tuple[int, int, str]], error: BaseException) -> None:
    """Raise `error` through a frame for each of `frames`."""
    step: Callable[[], None] | None = None
    for number, line, name in reversed(frames):
        code = compile("raise error" if step is None else "step()", ANSWER_FILE.format(number), "exec")
        code = code.replace(co_firstlineno=line, co_name=name.rpartition(".")[2], co_qualname=name)
        step = types.FunctionType(code, {"error": error, "step": step})
    assert step is not None, "there is at least one frame"
    step()


# Gradients ------------------------------------------------------------------------------------------------------------


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a structure of tuples, lists and dictionaries with `change` applied to everything else in it."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([replaced(item, change) for item in value])
    if kind is dict:
        return {key: replaced(item, change) for key, item in value.items()}
    return change(value)


def leaf_kind(value: Any) -> str:
    """Return "tensor" or "variable" for what a gradient may be taken by, "" for anything else."""
    keras = sys.modules.get("keras")
    if keras is None or value is None or type(value) in (int, float, bool, str, np.ndarray):
        return ""
    if isinstance(value, keras.Variable):
        return "variable" if value.dtype.startswith(("float", "bfloat")) else ""
    if keras.backend.backend() == "tensorflow":
        tensorflow = sys.modules["tensorflow"]
        return "tensor" if tensorflow.is_tensor(value) and value.dtype.is_floating else ""
    jax = sys.modules["jax"]
    return "tensor" if isinstance(value, jax.core.Tracer) else ""


def mark(value: Any, sources: list[Any]) -> Any:
    """Return a Leaf in the place of a tensor or variable, which is added to `sources`; anything else as it is."""
    kind = leaf_kind(value)
    if not kind:
        return value
    sources.append(value)
    return Leaf(len(sources) - 1, kind)


def tensors_in(value: Any) -> list[Any]:
    found: list[Any] = []
    replaced(value, lambda item: found.append(item) if is_tensor(item) else None)
    return found


def is_tensor(value: Any) -> bool:
    import keras

    return keras.ops.is_tensor(value) and "float" in keras.backend.standardize_dtype(value.dtype)


def put_back(value: Any, tensors: Any) -> Any:
    """Return `value` with its tensors replaced by `tensors`, in order."""
    new = iter(tensors)
    return replaced(value, lambda item: next(new) if is_tensor(item) else item)


def through(forward: Callable[..., Any], sources: list[Any]) -> Any:
    """Return the value of a call in the other room as tensors that the backend of this room can differentiate."""
    import keras

    values = [source.value if leaf_kind(source) == "variable" else source for source in sources]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(value) for value in values]
        result, pull = forward([tensor.numpy() for tensor in tensors])
        if not (found := tensors_in(result)):
            return result

        @tf.custom_gradient
        def known(*inputs: Any) -> Any:
            def backward(*upstream: Any) -> list[Any]:
                return [tf.convert_to_tensor(slope) for slope in pull([part.numpy() for part in upstream])]

            return tuple(tf.identity(tensor) for tensor in found), backward

        return put_back(result, known(*tensors))
    import jax

    box: list[Any] = []

    @jax.custom_vjp
    def remote(*inputs: Any) -> Any:
        box[:] = forward([np.asarray(value) for value in inputs])
        return tuple(tensors_in(box[0]))

    def ahead(*inputs: Any) -> Any:
        return remote(*inputs), ()

    def back(_: Any, upstream: Any) -> Any:
        return tuple(jax.numpy.asarray(slope) for slope in box[1]([np.asarray(part) for part in upstream]))

    remote.defvjp(ahead, back)
    outputs = remote(*values)
    return put_back(box[0], outputs)


def differentiated(
    function: Callable[..., Any], args: Any, options: Any, leaves: list[Any]
) -> tuple[Any, Callable[[list[Any]], list[Any]]]:
    """Call `function` with tensors in the place of the leaves; return its value and what pulls gradients back."""
    import keras

    kinds, arrays = [kind for kind, _ in leaves], [array for _, array in leaves]
    variables = {i: keras.Variable(arrays[i]) for i, kind in enumerate(kinds) if kind == "variable"}

    def call(tensors: Any) -> Any:
        def fill(item: Any) -> Any:
            return variables.get(item.index, tensors[item.index]) if isinstance(item, Leaf) else item

        filled, named = replaced((args, options), fill)
        return function(*filled, **named)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        sources = [variables[i].value if i in variables else tensor for i, tensor in enumerate(tensors)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            result = call(tensors)
        found = tensors_in(result)

        def pull(upstream: list[Any]) -> list[Any]:
            ups = [tf.convert_to_tensor(part) for part in upstream]
            slopes = tape.gradient(found, sources, ups, unconnected_gradients="zero")
            return [tf.convert_to_tensor(slope).numpy() for slope in slopes]

        return result, pull
    import jax

    box: list[Any] = []

    def pure(*tensors: Any) -> Any:
        mapping = [(variable, tensors[i]) for i, variable in variables.items()]
        with keras.StatelessScope(state_mapping=mapping):
            box[:] = [call(tensors)]
        return tuple(tensors_in(box[0]))

    outputs, pullback = jax.vjp(pure, *[jax.numpy.asarray(array) for array in arrays])
    result = put_back(box[0], outputs)
    return result, lambda upstream: [
        np.asarray(g) for g in pullback(tuple(jax.numpy.asarray(part) for part in upstream))
    ]
