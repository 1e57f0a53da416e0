"""What crosses between the two rooms, and what is refused."""

import collections
import decimal
import fractions
import json
import pathlib
import random

from utils.course import value_reader, value_writer, values

import numpy as np
import pandas as pd
import pytest


class Line:
    """Two tables with nothing but messages between them."""

    def __init__(self):
        self.ends = values.Table(1), values.Table(2)

    def send(self, value, back=False):
        """Send a value to the other side and return what arrives; `back` sends it the other way."""
        sender, self.receiver = self.ends[::-1] if back else self.ends
        self.message = value_writer.write(sender, "return", value)
        return self.read(self.message)

    def read(self, message):
        return value_reader.read(self.receiver, message, lambda number, *content: content)[1]


@pytest.fixture
def line():
    return Line()


class Own(list):
    def __eq__(self, other):
        return True


PLAIN = [
    *(None, True, 3, 2**70, -(2**63), 1.5, float("inf"), 3j, "é\ud800", b"x", (), (1, [2, {"a": (3,)}]), {1, 2}),
    *(frozenset([1]), slice(1, None), range(3), ..., fractions.Fraction(1, 3), decimal.Decimal("1.10")),
    *(collections.Counter("aab"), collections.OrderedDict(a=1), collections.deque([1], 3), pathlib.Path("a/b")),
    *(np.dtype("float32"), np.float32(3), np.bool_(True), np.str_("a"), int, np.float64, ValueError),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_arrive_as_they_were(line, value):
    got = line.send(value)
    assert type(got) is type(value) and got == value


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.arange(6).reshape(2, 3).T,
    np.zeros((0, 3)),
    np.array(3),
    np.array(["ab", "c"]),
]


@pytest.mark.parametrize("array", [*ARRAYS, np.array([None, "x"], dtype=object), np.array([1 + 2j])], ids=repr)
def test_arrays_arrive_with_dtype_and_shape(line, array):
    got = line.send(array)
    assert (got.dtype, got.shape, got.tolist()) == (array.dtype, array.shape, array.tolist())


def test_classes_of_the_students_own_arrive_as_what_they_are_derived_from(line):
    Pair = collections.namedtuple("Pair", "a b")
    got = line.send([Own([1]), Pair(1, 2)])
    assert type(got[0]) is list and type(got[1]) is tuple and got[0] != [2]


def test_objects_of_libraries_that_stand_for_an_array(line):
    for value in (pd.Series([1.0, 2.0]), np.ma.masked_array([1.0, 2.0], [0, 1])):
        got = line.send(value)
        assert not isinstance(got, np.ndarray) and type(got).__name__ == type(value).__name__
        assert np.asarray(got).tolist() == [1.0, 2.0]


def test_an_array_that_comes_back_is_the_same_array(line):
    array = np.arange(6.0)
    there = line.send([array, array])
    assert there[0] is there[1]
    there[0][0] = 9
    back = line.send((there[0], there[0][2:4], there[0].reshape(2, 3), there[0].copy()), back=True)
    assert back[0] is array and array[0] == 9, "a change in place is one here, too"
    assert [np.shares_memory(part, array) for part in back] == [True, True, True, False]
    assert back[1].tolist() == [2, 3] and back[2].tolist() == [[9, 1, 2], [3, 4, 5]]
    array[1] = 7
    assert line.send(array) is there[0] and there[0][1] == 7


def test_lists_that_hold_themselves_and_change(line):
    value = [1]
    value.append(value)
    there = line.send(value)
    assert there[1] is there
    there.pop()
    assert line.send(there, back=True) is value and value == [1]


def test_nothing_is_sent_twice(line):
    array = np.zeros(1000)
    line.send(array)
    first = len(line.message)
    line.send(array)
    assert first > 8000 > 50 > len(line.message)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState, random.Random])
def test_generators_cross_with_their_state(line, make):
    here, twin = make(3), make(3)
    draw = (lambda rng: rng.random()) if make is not np.random.RandomState else (lambda rng: rng.rand())
    there = line.send(here)
    assert draw(there) == draw(twin)
    assert line.send(there, back=True) is here and draw(here) == draw(twin)


def test_errors_keep_their_names_and_the_built_in_classes_above_them(line):
    class Mine(KeyError):
        pass

    for error, above in ((Mine("a"), KeyError), (np.exceptions.AxisError(3, 2), IndexError), (KeyError("a"), KeyError)):
        got = line.send(error)
        assert isinstance(got, above) and type(got).__name__ == type(error).__name__ and str(got) == str(error)
    bad = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why")
    assert isinstance(line.send(bad), UnicodeDecodeError)


def test_functions_and_objects_stay_where_they_are(line):
    class Thing:
        def look(self):
            """Public."""

        def _hide(self):
            """Private."""

    assert line.send(len)[:2] == ("function", "len")
    kind, name, _, methods, _ = line.send(Thing())
    assert (kind, name, methods) == ("object", "Thing", ["look"])
    assert line.send(iter([1]))[:2] == ("iterator", "list_iterator")


def nested(depth):
    value = ()
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize("value", [nested(10_000), np.zeros(2, dtype=[("a", "f4")])], ids=["nested", "fields"])
def test_what_cannot_cross_says_why(line, value):
    with pytest.raises(values.CannotCross):
        line.send(value)


def entry(*content, number=2):
    return [["object", number], [[number, values.pack(list(content))]]]


BAD = {
    "pointers": entry("array", "|O", [1], "C", True, b"\0" * 8),
    "too few bytes": entry("array", "<f8", [10**12], "C", True, b"\0" * 8),
    "negative sizes": entry("array", "<f8", [-1, -1], "C", True, b"\0" * 8),
    "a number of ours": entry("list", [], number=3),
    "no such number": [["object", 8], []],
    "no such kind": [["pickle", b""], []],
    "a method of ours": [["", 1], []],
    "an import": [["import", "os", "system"], []],
    "a name of the set-up": [["setup", "np"], []],
    "a type that is none": [["type", "np.load"], []],
    "another type": [["type", "eval"], []],
    "a model with code": entry("model", json.dumps({"class_name": "Lambda", "module": "keras.layers"}), False, []),
    "a model of others": entry("model", json.dumps({"class_name": "system", "module": "os"}), False, []),
    "a registered class": entry("model", json.dumps({"class_name": "A", "registered_name": "B>A"}), False, []),
    "an unknown generator": entry("generator", "BitGenerator", "{}"),
    "deep": [[*["tuple", [[]]]], []],
}


@pytest.mark.parametrize("name", BAD)
def test_a_message_that_breaks_a_rule(line, name):
    line.receiver = line.ends[0]
    with pytest.raises(values.BadMessage):
        line.read(values.pack(["return", *BAD[name]]))


def test_views_stay_inside_the_array(line):
    array = np.zeros(4)
    line.send(array)
    line.receiver = line.ends[0]
    for shape, strides, offset in (([5], [8], 0), ([4], [8], 8), ([4], [8], -8), ([2], [-8], 0), ([2], [2**60], 0)):
        with pytest.raises(values.BadMessage):
            line.read(values.pack(["return", ["view", 1, "<f8", shape, strides, offset], []]))


def test_the_type_of_a_known_object_does_not_change(line):
    line.send([1])
    line.receiver = line.ends[0]
    with pytest.raises(values.BadMessage):
        line.read(values.pack(["return", *entry("set", [], number=1)]))
