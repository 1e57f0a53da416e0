"""What crosses between the two rooms: Python values as msgpack, never pickle.

Whoever reads a message rebuilds values of classes that this module knows, and nothing else. Lists, dictionaries, sets,
arrays, generators of random numbers, models and exceptions keep their identity: both rooms know them by one number, so
that the same array is the same array again when it comes back, and a change in place is a change on the other side.
Functions and objects of a student's or a test's own stay where they are; what crosses is a handle to call them by.
"""

import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import json
import pathlib
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np

LIMIT = 256 * 2**20  # bytes of one message
KEPT = 256 * 2**20  # bytes of what the rooms have told each other, before both forget
DEPTH = 100  # of tuples in tuples, lists in lists
METHODS = 400  # names of methods of one class
DUNDERS = frozenset(
    "__call__ __len__ __getitem__ __setitem__ __delitem__ __iter__ __contains__ __enter__ __exit__".split()
)
DICTS = {"dict": dict, "Counter": collections.Counter, "OrderedDict": collections.OrderedDict}
OBJECTS = frozenset((list, dict, set, np.ndarray, np.random.Generator))  # never plain
BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
TYPES = {
    kind.__name__: kind for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object)
}


class CannotCross(TypeError):
    """A value that cannot leave its room; the message says why."""


class BadMessage(ValueError):
    """A message that breaks a rule."""


class Leaf:
    """The place of a tensor, the `index`-th one, in the arguments of a call that is differentiated."""

    def __init__(self, index: int, kind: str):
        self.index, self.kind = index, kind


class Table:
    """The objects that both rooms know, by number. Each room gives numbers of its own: odd ones and even ones."""

    def __init__(self, first: int):
        self.first = first
        self.forget()

    def forget(self) -> None:
        self.next = self.first
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}  # id of an object -> its number
        self.told: dict[int, bytes] = {}  # what the other room knows of an object
        self.fixed: set[int] = set()  # handles: nothing of them changes
        self.size = 0

    def relieve(self) -> None:
        """Forget all but handles: from here on the values are new ones to both rooms."""
        self.objects = {number: value for number, value in self.objects.items() if number in self.fixed}
        self.numbers = {id(value): number for number, value in self.objects.items()}
        self.told, self.size = {}, 0

    def owns(self, number: int) -> bool:
        return number % 2 == self.first % 2

    def number(self, value: Any) -> int:
        """Return the number of an object, a new one if it has none."""
        known = self.numbers.get(id(value))
        if known is None:
            known, self.next = self.next, self.next + 2
            self.keep(known, value)
        return known

    def keep(self, number: int, value: Any) -> None:
        self.objects[number] = value
        self.numbers[id(value)] = number

    def tell(self, number: int, entry: bytes) -> None:
        self.size += len(entry) - len(self.told.get(number, b""))
        self.told[number] = entry


def pack(value: Any) -> bytes:
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")


def unpack(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, raw=False, use_list=True, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception:  # msgpack raises errors of many classes
        raise BadMessage("sent something that is not a message") from None


def library(name: str) -> Any:
    """Return a module if it has been imported, else None: an object of it cannot exist then."""
    return sys.modules.get(name)


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


def read(
    table: Table, data: bytes, proxy: Callable[..., Any], named: Callable[[str, str], Any] | None = None
) -> tuple[str, Any]:
    """Return kind and value of a message; BadMessage if it breaks a rule. See Reader for `proxy` and `named`."""
    try:
        kind, tree, entries = unpack(data)
        return kind, Reader(table, entries, proxy, named).value(tree)
    except BadMessage:
        raise
    except Exception as error:
        raise BadMessage(f"sent something that is not a message ({type(error).__name__})") from None


# From values to messages ----------------------------------------------------------------------------------------------


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


def resolve(module: str, place: str) -> Any:
    value: Any = sys.modules.get(module)
    for part in place.split("."):
        value = getattr(value, part, None)
    return value


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


# From messages to values ----------------------------------------------------------------------------------------------


class Reader:
    """Reads one message. `proxy` makes what stands for a handle; `named` tells what a name means, if names may come."""

    def __init__(
        self, table: Table, entries: list[Any], proxy: Callable[..., Any], named: Callable[[str, str], Any] | None
    ):
        self.table, self.proxy, self.named, self.depth = table, proxy, named, 0
        self.waiting = {number: entry for number, entry in entries}
        for number in list(self.waiting):
            self.object(number)

    def value(self, tree: Any) -> Any:
        """Return the value that a tree stands for."""
        if not isinstance(tree, list):
            return tree
        if self.depth > 2 * DEPTH:
            raise BadMessage("sent a value that is nested too deeply")
        self.depth += 1
        kind, *parts = tree
        value = getattr(self, f"read_{kind}")(*parts)
        self.depth -= 1
        return value

    def object(self, number: Any) -> Any:
        """Return the object with this number, after what the message says about it."""
        entry = self.waiting.pop(number, None)
        if entry is not None:
            kind, *parts = unpack(entry)
            if number in self.table.objects:
                old = self.table.objects[number]
                getattr(self, f"change_{kind}")(old, *parts)
            else:
                if type(number) is not int or self.table.owns(number):
                    raise BadMessage("sent an object under a number that is not its own")
                getattr(self, f"make_{kind}")(number, *parts)
            self.table.tell(number, entry)
        if number not in self.table.objects:
            raise BadMessage("sent a number that stands for nothing")
        return self.table.objects[number]

    def keep(self, number: int, value: Any) -> Any:
        self.table.keep(number, value)
        return value

    # values without identity

    def read_int(self, digits: str) -> int:
        return int(digits, 16)

    def read_is(self, tree: Any) -> Any:
        return self.value(tree)

    def read_scalar(self, dtype: str, data: bytes) -> Any:
        return raw(dtype, (), data)[()]

    def read_tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple([self.value(item) for item in items])

    def read_frozenset(self, items: list[Any]) -> frozenset[Any]:
        return frozenset([self.value(item) for item in items])

    def read_complex(self, real: float, imaginary: float) -> complex:
        return complex(real, imaginary)

    def read_slice(self, *parts: Any) -> slice:
        return slice(*map(self.value, parts))

    def read_range(self, *parts: Any) -> range:
        return range(*map(self.value, parts))

    def read_ellipsis(self) -> Any:
        return Ellipsis

    def read_dtype(self, name: str) -> np.dtype:
        return checked(np.dtype(name))

    def read_leaf(self, index: int, kind: str) -> Leaf:
        return Leaf(index, kind)

    def read_number(self, kind: str, digits: str) -> Any:
        return {"Fraction": fractions.Fraction, "Decimal": decimal.Decimal}[kind](digits)

    def read_path(self, name: str) -> pathlib.Path:
        return pathlib.Path(name)

    def read_time(self, kind: str, moment: str) -> Any:
        return {"date": datetime.date, "datetime": datetime.datetime}[kind].fromisoformat(moment)

    def read_tensor(self, place: str, dtype: str, shape: list[int], data: Any) -> Any:
        if dtype == "string":
            array: Any = np.array([bytes(item) for item in data], dtype=object).reshape(shape)
        else:
            array = raw(dtype, shape, data)
        if place == "tf":
            return importlib.import_module("tensorflow").convert_to_tensor(array)
        return importlib.import_module("jax.numpy").asarray(array)

    def read_options(self, data: bytes) -> Any:
        if self.named is None:
            raise BadMessage("sent options")
        options = importlib.import_module("tensorflow").data.Options()
        proto = options._to_proto()
        proto.ParseFromString(data)
        options._from_proto(proto)
        return options

    def read_type(self, name: str) -> type:
        if name.startswith("np."):
            kind = getattr(np, name.removeprefix("np."))
            if not (isinstance(kind, type) and issubclass(kind, np.generic)):
                raise BadMessage(f"sent {name} as a type")
            return kind
        kind = TYPES.get(name) or getattr(builtins, name)
        if name not in TYPES and not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise BadMessage(f"sent {name} as a type")
        return kind

    def read_setup(self, name: str) -> Any:
        if self.named is None:
            raise BadMessage("sent a name")
        return self.named("", name)

    def read_import(self, module: str, place: str) -> Any:
        if self.named is None:
            raise BadMessage("sent a name")
        return self.named(module, place)

    def read_view(self, number: int, dtype: str, shape: list[int], strides: list[int], offset: int) -> np.ndarray:
        root = self.object(number)
        if not isinstance(root, np.ndarray):
            raise BadMessage("sent a view of what is no array")
        flat = root.reshape(-1, order="A") if root.flags.forc else None
        if flat is None or not np.shares_memory(
            flat, root
        ):  # our own array has gaps: the same numbers, not the same memory
            copy = np.array(root, order="C")
            return np.ndarray(shape, checked(np.dtype(dtype)), copy, offset, strides)
        return np.ndarray(shape, checked(np.dtype(dtype)), flat, offset, strides)

    def read_object(self, number: int) -> Any:
        return self.object(number)

    # objects: made when they are new, changed when they are known

    def make_list(self, number: int, items: list[Any]) -> None:
        self.keep(number, new := [])
        new += [self.value(item) for item in items]

    def change_list(self, old: Any, items: list[Any]) -> None:
        expect(old, list)[:] = [self.value(item) for item in items]

    def make_dict(self, number: int, kind: str, pairs: list[Any]) -> None:
        self.keep(number, new := DICTS[kind]())
        for key, item in pairs:
            new[self.value(key)] = self.value(item)

    def change_dict(self, old: Any, kind: str, pairs: list[Any]) -> None:
        items = [(self.value(key), self.value(item)) for key, item in pairs]
        expect(old, dict).clear()
        old.update(items)

    def make_set(self, number: int, items: list[Any]) -> None:
        self.keep(number, {self.value(item) for item in items})

    def change_set(self, old: Any, items: list[Any]) -> None:
        new = {self.value(item) for item in items}
        expect(old, set).clear()
        old.update(new)

    def make_deque(self, number: int, maxlen: int | None, items: list[Any]) -> None:
        self.keep(number, collections.deque([self.value(item) for item in items], maxlen))

    def change_deque(self, old: Any, maxlen: int | None, items: list[Any]) -> None:
        new = [self.value(item) for item in items]
        expect(old, collections.deque).clear()
        old.extend(new)

    def make_array(self, number: int, *content: Any) -> None:
        self.keep(number, array(*content))

    def change_array(self, old: Any, *content: Any) -> None:
        expect(old, np.ndarray)
        new = array(*content)
        if old.shape != new.shape and old.size == new.size:
            old.shape = new.shape
        if old.shape != new.shape or old.dtype != new.dtype:
            raise BadMessage("changed the type of an array")
        writeable = old.flags.writeable
        old.flags.writeable = True
        old[...] = new
        old.flags.writeable = writeable and new.flags.writeable

    def make_objects(self, number: int, shape: list[int], items: list[Any]) -> None:
        new = np.empty(len(items), dtype=object)
        new[:] = [self.value(item) for item in items]
        self.keep(number, new.reshape(shape).copy())

    def change_objects(self, old: Any, shape: list[int], items: list[Any]) -> None:
        new = np.empty(len(items), dtype=object)
        new[:] = [self.value(item) for item in items]
        expect(old, np.ndarray)[...] = new.reshape(shape)

    def make_generator(self, number: int, kind: str, state: str) -> None:
        if kind not in BIT_GENERATORS:
            raise BadMessage("sent an unknown generator")
        bits = getattr(np.random, kind)()
        bits.state = json.loads(state)
        self.keep(number, np.random.Generator(bits))

    def change_generator(self, old: Any, kind: str, state: str) -> None:
        expect(old, np.random.Generator).bit_generator.state = json.loads(state)

    def make_random_state(self, number: int, state: str) -> None:
        new = np.random.RandomState()
        new.set_state(json.loads(state))
        self.keep(number, new)

    def change_random_state(self, old: Any, state: str) -> None:
        expect(old, np.random.RandomState).set_state(json.loads(state))

    def make_random(self, number: int, state: str) -> None:
        self.change_random(self.keep(number, random.Random()), state)

    def change_random(self, old: Any, state: str) -> None:
        version, words, following = json.loads(state)
        expect(old, random.Random).setstate((version, tuple(words), following))

    def make_exception(self, number: int, name: str, bases: list[str], said: str, arguments: list[Any] | None) -> None:
        self.keep(number, exception(name, bases, said, arguments))

    def make_variable(self, number: int, dtype: str, shape: list[int], data: bytes, trainable: bool, name: str) -> None:
        keras = importlib.import_module("keras")
        name = str(name).replace("/", "_")
        self.keep(number, keras.Variable(raw(dtype, shape, data), trainable=bool(trainable), dtype=dtype, name=name))

    def change_variable(self, old: Any, dtype: str, shape: list[int], data: bytes, *more: Any) -> None:
        expect(old, importlib.import_module("keras").Variable).assign(raw(dtype, shape, data))

    def make_model(self, number: int, description: str, compiled: bool, weights: list[Any]) -> None:
        config = json.loads(description)
        check_config(config)
        keras = importlib.import_module("keras")
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if weights:
            model.set_weights([array(*content[1:]) for content in weights])
        if compiled:
            model.compile()
        self.keep(number, model)

    def change_model(self, old: Any, description: str, compiled: bool, weights: list[Any]) -> None:
        expect(old, importlib.import_module("keras").Model)
        if not old.built:  # it was built on the other side, by being called
            old.build_from_config(json.loads(description).get("build_config") or {})
        old.set_weights([array(*content[1:]) for content in weights])

    def make_handle(self, number: int, *content: Any) -> None:
        self.table.fixed.add(number)
        self.keep(number, self.proxy(number, *content))

    def make_foreign(self, number: int, name: str, content: list[Any]) -> None:
        self.table.fixed.add(number)
        self.keep(number, foreign(str(name)[:100], array(*content[1:])))


def expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise BadMessage("changed the type of an object")
    return value


def checked(dtype: np.dtype) -> np.dtype:
    if dtype.hasobject:
        raise BadMessage("sent an array of pointers")
    return dtype


def raw(dtype: str, shape: Any, data: bytes) -> np.ndarray:
    """Return an array that owns its memory."""
    kind = checked(np.dtype(dtype))
    if not isinstance(data, bytes) or len(data) != kind.itemsize * int(np.prod(shape, dtype=object)):
        raise BadMessage("sent an array whose bytes do not fit its shape")
    return np.frombuffer(data, kind).reshape(shape).copy() if data else np.zeros(shape, kind)


def array(dtype: str, shape: list[int], order: str, writeable: bool, data: bytes) -> np.ndarray:
    if order == "F":
        new = raw(dtype, shape[::-1], data).T
        new = np.array(new, order="F")
    else:
        new = raw(dtype, shape, data)
    new.flags.writeable = bool(writeable)
    return new


def exception(name: str, bases: list[str], said: str, arguments: list[Any] | None) -> BaseException:
    """Return an exception of the class `name`: the built-in one, or one with the same built-in classes above it."""
    above = [getattr(builtins, base, None) for base in bases]
    kinds = tuple(kind for kind in above if isinstance(kind, type) and issubclass(kind, BaseException)) or (Exception,)
    said = str(said)
    if bases == [name] and arguments is not None:
        try:
            return kinds[0](*arguments)
        except Exception:
            pass  # such as UnicodeDecodeError, which wants five arguments
    body = {"__init__": lambda self, *args: None, "__str__": lambda self: said, "__module__": "builtins"}
    kind: Any
    try:
        kind = type(str(name)[:100], kinds, body)
    except TypeError:  # classes that do not go together
        kind = type(str(name)[:100], kinds[:1], body)
    return kind.__new__(kind, said)


def foreign(name: str, content: np.ndarray) -> Any:
    """Return an object of a class of this name that is no array, and becomes one by np.asarray."""
    body = {
        "__array__": lambda self, dtype=None, copy=None: np.array(content, dtype=dtype),
        "__len__": lambda self: len(content),
        "shape": content.shape,
        "dtype": content.dtype,
    }
    return type(name, (), body)()


def check_config(config: Any) -> None:
    """Demand that the configuration of a model names classes of Keras only, and none that holds code."""
    nodes = [config]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            name, module = node.get("class_name"), node.get("module")
            if name in ("Lambda", "__lambda__", "function", "__tensor__") or node.get("registered_name") not in (
                None,
                "",
                name,
            ):
                if name != "function" or not str(module).startswith("keras"):
                    raise BadMessage(f"sent a model that holds {str(name)[:100]}")
            if module is not None and not (module == "builtins" or str(module).partition(".")[0] == "keras"):
                raise BadMessage(f"sent a model with a part of {str(module)[:100]}")
