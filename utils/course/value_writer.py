"""From values to messages: what one room tells the other (see values.py)."""

import builtins
import collections
import datetime
import decimal
import fractions
import json
import pathlib
import random
import types
from collections.abc import Iterator
from typing import Any

from utils.course.values import (
    BIT_GENERATORS,
    DEPTH,
    DICTS,
    DUNDERS,
    LIMIT,
    METHODS,
    OBJECTS,
    TYPES,
    CannotCross,
    Leaf,
    Table,
    library,
    pack,
    resolve,
)

import numpy as np


def write(table: Table, kind: str, value: Any, also: Any = None, setup: dict[int, str] | None = None) -> bytes:
    """Return a message: its kind, a value, and what has changed of the objects in `also`.

    Raises
    ------
    CannotCross
        Something in it cannot leave its room, or is too large.
    """
    writer = Writer(table, setup)
    try:
        tree = writer.tree(value)
        writer.tree(also)
        data = pack([kind, tree, list(writer.entries.items())])
    except CannotCross:
        raise
    except RecursionError:
        raise CannotCross("a value is nested too deeply") from None
    except Exception as error:  # an object that fails when it is looked at
        raise CannotCross(f"a value cannot be read ({type(error).__name__}: {str_of(error)})") from None
    if len(data) > LIMIT:
        raise CannotCross(f"a value of {len(data) >> 20} MiB is too large")
    return data


class Writer:
    """Writes one message. `setup` names what both rooms have from the set-up; only the test room uses it."""

    def __init__(self, table: Table, setup: dict[int, str] | None = None):
        self.table, self.setup, self.depth = table, setup, 0
        self.entries: dict[int, bytes] = {}
        self.seen: set[int] = set()

    def tree(self, value: Any) -> Any:
        """Return what stands for a value in the message."""
        kind = type(value)
        if value is None or kind in (bool, float, str, bytes):
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**63 else ["int", hex(value)]
        if self.depth > DEPTH:
            raise CannotCross("a value is nested too deeply")
        self.depth += 1
        if kind is tuple:  # the usual kinds first: there are many calls
            tree = ["tuple", [self.tree(item) for item in value]]
        elif kind in OBJECTS or id(value) in self.table.numbers:
            tree = self.object(value, kind)
        else:
            tree = self.plain(value, kind) or self.object(value, kind)
        self.depth -= 1  # after an error the message is not sent
        return tree

    def plain(self, value: Any, kind: type) -> list[Any] | None:
        """Return the tree of a value without identity, None if it is none."""
        if isinstance(value, np.generic) and not value.dtype.hasobject and value.dtype.names is None:
            return ["scalar", value.dtype.str, value.tobytes()]
        if issubclass(kind, tuple):
            return ["tuple", [self.tree(item) for item in tuple.__iter__(value)]]
        if issubclass(kind, frozenset):
            return ["frozenset", [self.tree(item) for item in frozenset.__iter__(value)]]
        bases: Any = ((int, int.__int__), (float, float.__float__), (str, str.__str__), (bytes, bytes.__bytes__))
        for base, read in bases:
            if issubclass(kind, base):  # a class derived from it
                return ["is", self.tree(base(read(value)))]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind is slice:
            return ["slice", *(self.tree(part) for part in (value.start, value.stop, value.step))]
        if kind is range:
            return ["range", *(self.tree(part) for part in (value.start, value.stop, value.step))]
        if value is Ellipsis:
            return ["ellipsis"]
        if isinstance(value, np.dtype) and not value.hasobject and value.names is None:
            return ["dtype", value.str]
        if kind is Leaf:
            return ["leaf", value.index, value.kind]
        if kind is fractions.Fraction or kind is decimal.Decimal:
            return ["number", kind.__name__, str(value)]
        if isinstance(value, pathlib.PurePath):
            return ["path", str(value)]
        if kind in (datetime.date, datetime.datetime):
            return ["time", kind.__name__, value.isoformat()]
        return self.tensor(value) or self.name(value, kind)

    def tensor(self, value: Any) -> list[Any] | None:
        """Return the tree of a tensor of TensorFlow or JAX, None for anything else."""
        tensorflow, jax = library("tensorflow"), library("jax")
        if tensorflow and tensorflow.is_tensor(value):
            if not hasattr(value, "numpy"):
                raise CannotCross("a symbolic tensor of a graph stands for no values yet")
            array, place = np.asarray(value.numpy()), "tf"
        elif jax and isinstance(value, jax.Array):
            array, place = np.asarray(value), "jax"  # raises JAX's own error for one that is traced
        elif tensorflow and self.setup is not None and isinstance(value, tensorflow.data.Options):
            return ["options", value._to_proto().SerializeToString()]
        else:
            return None
        if array.dtype == object:  # texts
            return ["tensor", place, "string", list(array.shape), [bytes(item) for item in array.ravel()]]
        return ["tensor", place, array.dtype.name, list(array.shape), array.tobytes()]

    def name(self, value: Any, kind: type) -> list[Any] | None:
        """Return the tree of what both rooms have under one name, None for anything else."""
        if self.setup is not None and id(value) in self.setup:
            return ["setup", self.setup[id(value)]]
        if isinstance(value, type):
            place = value.__name__
            error = issubclass(value, BaseException) and getattr(builtins, place, None) is value
            if TYPES.get(place) is value or error:
                return ["type", place]
            if issubclass(value, np.generic) and getattr(np, place, None) is value:
                return ["type", f"np.{place}"]
        if self.setup is not None and isinstance(value, types.ModuleType):
            return ["import", value.__name__, ""]
        if self.setup is not None and callable(value) and not isinstance(value, types.MethodType):
            module = getattr(value, "__module__", None) or ("numpy" if isinstance(value, np.ufunc) else None)
            name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
            if module and module != "__main__" and name and resolve(module, name) is value:
                return ["import", module, name]
        return None

    def object(self, value: Any, kind: type) -> list[Any]:
        """Return a reference to an object that has an identity, and add what is new about it to the message."""
        if kind is np.ndarray and value.base is not None and (view := self.view(value)):
            return view
        number = self.table.number(value)
        if number not in self.seen:
            self.seen.add(number)
            if number not in self.table.fixed:
                entry = pack(self.entry(value, kind, number))
                if self.table.told.get(number) != entry:
                    self.entries[number] = entry
                    self.table.tell(number, entry)
        return ["object", number]

    def view(self, value: np.ndarray) -> list[Any] | None:
        """Return the tree of an array that looks into the memory of one that both rooms know, else None."""
        root = value
        while isinstance(root.base, np.ndarray):
            root = root.base
        known = self.table.numbers.get(id(root))
        if root is value or known is None or id(value) in self.table.numbers or value.dtype.hasobject:
            return None
        self.tree(root)
        offset = value.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return ["view", known, value.dtype.str, list(value.shape), list(value.strides), offset]

    def entry(self, value: Any, kind: type, number: int) -> list[Any]:
        """Return the content of an object with an identity."""
        if issubclass(kind, list):
            return ["list", [self.tree(item) for item in list.__iter__(value)]]
        if issubclass(kind, dict):
            known = DICTS.get(kind.__name__) is kind
            name, items = (kind.__name__, value.items()) if known else ("dict", dict.items(value))
            return ["dict", name, [[self.tree(key), self.tree(item)] for key, item in items]]
        if issubclass(kind, set):
            return ["set", [self.tree(item) for item in set.__iter__(value)]]
        if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
            return self.array(np.asarray(value))
        if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in BIT_GENERATORS:
            return ["generator", type(value.bit_generator).__name__, text(value.bit_generator.state)]
        if kind is np.random.RandomState:
            return ["random_state", text(value.get_state(legacy=False))]
        if kind is random.Random:
            return ["random", text(value.getstate())]
        if kind is collections.deque:
            return ["deque", value.maxlen, [self.tree(item) for item in value]]
        if isinstance(value, BaseException):
            self.table.fixed.add(number)
            return ["exception", kind.__name__, bases_of(kind), str_of(value), self.arguments(value)]
        return self.keras(value) or self.handle(value, kind, number)

    def array(self, value: np.ndarray) -> list[Any]:
        shape = list(value.shape)
        if value.dtype.names is not None:
            raise CannotCross("an array with named fields")
        if value.dtype.hasobject:
            return ["objects", shape, [self.tree(item) for item in value.ravel().tolist()]]
        order: Any = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        return ["array", value.dtype.str, shape, order, bool(value.flags.writeable), value.tobytes(order)]

    def arguments(self, error: BaseException) -> list[Any] | None:
        """Return the trees of an exception's arguments if they are plain, else None."""
        args = error.args if type(error.args) is tuple else ()
        plain = all(item is None or type(item) in (bool, int, float, str) for item in args)
        return [self.tree(item) for item in args] if plain else None

    def keras(self, value: Any) -> list[Any] | None:
        """Return the content of a variable, or of a model that Keras's own classes make up; None for anything else."""
        keras = library("keras")
        if keras is None:
            return None
        if isinstance(value, keras.Variable):
            array = np.asarray(value)
            content = [array.dtype.name, list(array.shape), array.tobytes()]
            return ["variable", *content, bool(value.trainable), value.name]
        if isinstance(value, keras.Model) and all_builtin(value):
            try:
                config = keras.saving.serialize_keras_object(value)
                config.pop("compile_config", None)
                weights = [self.array(np.asarray(array)) for array in value.get_weights()]
                description = json.dumps(config)
            except Exception:  # a configuration that is no JSON: the model stays where it is
                return None
            return ["model", description, bool(getattr(value, "compiled", False)), weights]
        return None

    def handle(self, value: Any, kind: type, number: int) -> list[Any]:
        """Return what the other room needs to know of an object that stays here."""
        self.table.fixed.add(number)
        name = str(getattr(value, "__name__", kind.__name__))[:100]
        if isinstance(value, type):
            return ["handle", "class", name, "", methods_of(value), places(value)]
        if isinstance(value, Iterator) and not hasattr(value, "shape"):
            return ["handle", "iterator", kind.__name__, "", [], {}]
        if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | np.ufunc):
            return ["handle", "function", name, "", [], places(value)]
        array = as_array(value, kind)
        if array is not None:
            return ["foreign", kind.__name__, self.array(array)]
        return ["handle", "object", kind.__name__, base_of(value), methods_of(kind), {}]


def text(state: Any) -> str:
    return json.dumps(state, default=lambda part: part.tolist())


def str_of(error: BaseException) -> str:
    try:
        return str(error)[:2000]
    except BaseException:  # the student's own class
        return ""


def bases_of(kind: type) -> list[str]:
    """Return the names of the built-in exceptions that an exception's class is derived from, the nearest first."""
    found = [base for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base and base is not object]
    return [base.__name__ for base in found if not any(issubclass(o, base) for o in found if o is not base)]


def all_builtin(model: Any) -> bool:
    """Tell whether Keras's own classes make up a model, and nothing in it holds code."""
    parts = [model, *model._flatten_layers(include_self=False)]
    kinds = [type(part) for part in parts]
    own = all(kind.__module__.partition(".")[0] == "keras" and kind.__name__ != "Lambda" for kind in kinds)
    return own and kinds[0].__name__ in ("Sequential", "Functional")


def methods_of(kind: type) -> list[str]:
    """Return the names of the methods of a class that the other room may call."""
    names = [name for name in dir(kind) if not name.startswith("_") or name in DUNDERS]
    return [name for name in names if callable(getattr(kind, name, None))][:METHODS]


def places(value: Any) -> dict[str, str]:
    """Return the files of the cells that define a function or the methods of a class, by name."""
    made = vars(value).items() if isinstance(value, type) else [("", value)]
    codes = [(name, getattr(item, "__code__", None)) for name, item in made]
    return {name: code.co_filename for name, code in codes if isinstance(code, types.CodeType)}


def as_array(value: Any, kind: type) -> np.ndarray | None:
    """Return the array that an object says it stands for, such as a pandas.Series; None if there is none."""
    if isinstance(value, type) or not hasattr(kind, "__array__"):
        return None
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return array if type(array) is np.ndarray and not array.dtype.hasobject and array.dtype.names is None else None


def base_of(value: Any) -> str:
    """Return which class of a library the other room should take an object for."""
    keras, tensorflow = library("keras"), library("tensorflow")
    if keras and isinstance(value, keras.Model):
        return "keras.Model"
    if keras and isinstance(value, keras.Layer):
        return "keras.Layer"
    if tensorflow and isinstance(value, tensorflow.data.Dataset):
        return "tf.data.Dataset"
    return ""
