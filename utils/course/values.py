"""What crosses between the two rooms: Python values as msgpack, never pickle.

Whoever reads a message rebuilds values of classes that this module knows, and nothing else. Lists, dictionaries, sets,
arrays, generators of random numbers, models and exceptions keep their identity: both rooms know them by one number, so
that the same array is the same array again when it comes back, and a change in place is a change on the other side.
Functions and objects of a student's or a test's own stay where they are; what crosses is a handle to call them by.
"""

import collections
import sys
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


def resolve(module: str, place: str) -> Any:
    value: Any = sys.modules.get(module)
    for part in place.split("."):
        value = getattr(value, part, None)
    return value
