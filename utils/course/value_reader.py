"""From messages to values: what one room understands of the other (see values.py)."""

import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

from utils.course.values import BIT_GENERATORS, DEPTH, DICTS, TYPES, BadMessage, Leaf, Table, unpack

import numpy as np


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
