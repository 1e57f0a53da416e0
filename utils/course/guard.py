"""Notice when a student's code has changed what the tests lean on.

Two things keep a test honest in the process that runs the student's functions. Its globals are those that the set-up
made, plus the names that the student's cells add: no name of the set-up and no built-in can be shadowed. And every
function, class and module that the tests and the libraries use is compared, before and after, with what it was before
the student's code ran.
"""

import builtins
import functools
import inspect
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

WATCHED = frozenset(
    """builtins sys io math random warnings contextlib traceback linecache operator json functools itertools collections
    types inspect socket struct ast re threading numpy scipy sklearn keras utils""".split()
)
METHODS = (types.FunctionType, property, classmethod, staticmethod)
PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis))
LIBRARIES = ("keras", "tensorflow", "jax", "jaxlib", "numpy", "scipy", "builtins", "types", "functools", "optree")
# Values of the standard library and others that are what they seem; an honest answer may be one of them.
VALUES = """collections.Counter collections.deque collections.OrderedDict collections.defaultdict fractions.Fraction
decimal.Decimal pandas.Series pandas.DataFrame numpy.matrix numpy.memmap datetime.date datetime.datetime""".split()
BUILTINS = frozenset(vars(builtins))


def function_inside(value: Any) -> types.FunctionType | None:
    """Return the Python function that `value` is or covers (as NumPy's functions do), else None."""
    if type(value) is types.FunctionType:
        return value
    place = {property: "fget", classmethod: "__func__", staticmethod: "__func__"}.get(type(value), "__wrapped__")
    inner = None if isinstance(value, type | types.ModuleType) else getattr(value, place, None)
    return inner if type(inner) is types.FunctionType else None


def watched_modules() -> dict[str, types.ModuleType]:
    """Return the modules whose functions are compared, by name."""
    modules = {n: m for n, m in list(sys.modules.items()) if isinstance(m, types.ModuleType)}
    return {name: module for name, module in modules.items() if name.partition(".")[0] in WATCHED}


def classes_of(modules: dict[str, types.ModuleType]) -> Iterator[tuple[str, type]]:
    """Yield (place, class) of every class, in the module where it was made."""
    for name, module in modules.items():
        found = [value for value in list(vars(module).values()) if isinstance(value, type) and value.__module__ == name]
        yield from ((f"{name}.{value.__name__}", value) for value in found)


def code_of(modules: dict[str, types.ModuleType]) -> Iterator[tuple[str, Any, str, Any]]:
    """Yield (place, dictionary that holds it, key, value) of every function, class and module; methods included."""
    for name, module in modules.items():
        for key, value in list(vars(module).items()):
            if callable(value) or isinstance(value, types.ModuleType):
                yield name, vars(module), key, value
    for place, kind in classes_of(modules):
        for key, value in list(vars(kind).items()):
            if isinstance(value, METHODS):
                yield place, vars(kind), key, value


def all_classes() -> set[type]:
    """Return every class that there is in this process."""
    found: set[type] = set()
    new = [object]
    while new:
        kind = new.pop()
        if kind not in found:
            found.add(kind)
            new += type.__subclasses__(kind)
    return found


_known: set[type] = set()  # classes that existed before any of the student's code ran
_before: set[str] = set()  # modules that did


def from_library(kind: type) -> bool:
    """Tell whether a class is a library's, not one of the student's that only says so.

    A library that was imported later is believed, since it has not been there to be changed.
    """
    if not _known or kind in _known:
        return True
    name = str(type.__getattribute__(kind, "__module__"))
    module = sys.modules.get(name)
    return name not in _before and module is not None and vars(module).get(kind.__name__) is kind


def is_value(kind: type) -> bool:
    """Tell whether a class is one of VALUES."""
    places = (name.rpartition(".") for name in VALUES)
    return any(getattr(sys.modules.get(module), name, None) is kind for module, _, name in places)


class Guard:
    """Remembers the state after the set-up; made before any of the student's code runs."""

    def __init__(self, namespace: dict[str, Any]):
        self.globals = dict(namespace)
        _known.update(all_classes())
        _before.update(sys.modules)
        self.modules = watched_modules()
        self.code = list(code_of(self.modules))
        inside = [(f"{place}.{key}", function_inside(value)) for place, _, key, value in self.code]
        self.functions = [(p, f, f.__code__, f.__defaults__, f.__kwdefaults__) for p, f in inside if f is not None]
        self.shadows = {name: BUILTINS & vars(module).keys() for name, module in self.modules.items()}
        self.classes = [(place, vars(kind), set(vars(kind))) for place, kind in classes_of(self.modules)]
        self.threads = threading.active_count()
        self.children = self.processes()

    @staticmethod
    def processes() -> int:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                return len(file.read().split())
        except OSError:
            return 0

    def changes(self) -> list[str]:
        """Return what is not as it was, as a list of names."""
        found = [name for name, module in self.modules.items() if sys.modules.get(name) is not module]
        found += [f"{place}.{key}" for place, holder, key, value in self.code if holder.get(key) is not value]
        for place, f, code, defaults, more in self.functions:  # a function that is the same, but not inside
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not more:
                found.append(place)
        for place, own, before in self.classes:  # a method in front of an inherited one
            found += [f"{place}.{key}" for key in own.keys() - before if isinstance(own[key], METHODS)]
        for name, module in self.modules.items():  # a name in a module that hides a built-in function from it
            if hidden := (BUILTINS & vars(module).keys()) - self.shadows[name]:
                found.append(f"{name}.{min(hidden)}")
        if sys.gettrace() or sys.getprofile() or threading.gettrace() or threading.getprofile():
            found.append("the interpreter's trace hooks")
        if threading.active_count() > self.threads:
            found.append("background threads, still running")
        if self.processes() > self.children:
            found.append("background processes, still running")
        return sorted(found)[:10]

    def cover(self, namespace: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the globals for a test cell, and the list that strange results of the student's functions go to.

        The globals are those of the set-up and the names that the student has added, the functions among them under a
        cover that looks at what they return.
        """
        odd: list[str] = []
        new = {k: v for k, v in namespace.items() if k not in self.globals and not hasattr(builtins, k)}
        return {**self.globals, **{name: guarded(value, name, odd) for name, value in new.items()}}, odd


def guarded(value: Any, name: str, odd: list[str]) -> Any:
    """Return the student's function in a cover that looks at what it returns; anything else as it is."""
    if not isinstance(value, types.FunctionType):
        return value

    def look(result: Any) -> None:
        problem = strange(result)
        if problem and len(odd) < 5:
            odd.append(f"{name} returned {problem}")

    def items(generator: Iterator[Any]) -> Iterator[Any]:
        for item in generator:
            look(item)
            yield item

    @functools.wraps(value)
    def call(*arguments: Any, **options: Any) -> Any:
        result = value(*arguments, **options)
        if inspect.isgenerator(result):
            return items(result)
        look(result)
        return result

    return call


def strange(value: Any, depth: int = 0) -> str | None:
    """Return what is strange about a value that claims to be plain: an object of the student's making, else None."""
    kind = type(value)
    if kind in PLAIN or depth > 6:
        return None
    if is_value(kind):
        return None
    if kind in (list, tuple, set, frozenset):
        return next(filter(None, (strange(item, depth + 1) for item in list(value)[:1000])), None)
    if kind is dict:
        pairs = list(value.items())[:1000]
        return next(filter(None, (strange(item, depth + 1) for pair in pairs for item in pair)), None)
    numpy = sys.modules.get("numpy")
    if numpy and kind is numpy.ndarray:
        return "an array of objects" if value.dtype.hasobject else None
    if numpy and issubclass(kind, numpy.ndarray):
        return f"a {kind.__name__} instead of an array"
    root = str(type.__getattribute__(kind, "__module__")).partition(".")[0]
    if root in LIBRARIES and from_library(kind) and kind not in (object, types.SimpleNamespace):
        return None
    bases = {str(base.__module__).partition(".")[0] for base in kind.__mro__[1:]}
    if "keras" in bases:  # a layer or model of the student's
        return None
    return f"an object of the class {kind.__name__}"
