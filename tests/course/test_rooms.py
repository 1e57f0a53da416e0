"""A test in one room, an answer in another: both in this process, on two threads."""

import io
import socket
import threading

from utils import checks
from utils.course import cells, rooms, values
from utils.course.answer_room import AnswerRoom
from utils.course.test_room import TestRoom

import numpy as np
import pytest

SETUP = """\
import numpy as np
from utils import checks


def halve(x):
    return x / 2
"""

ANSWER = """\
import sys, warnings


def double(x):
    return [2 * v for v in x]


def clear(x):
    x[...] = 0
    return x


def check(f, t):
    return f(t), f(t + 1)


def fit(theta, step):
    for _ in range(3):
        step(theta)
    return theta


def batches(x):
    for start in range(0, len(x), 2):
        yield x[start : start + 2]


def refuse(x):
    if x:
        raise ValueError(f"no {x}")
    raise NotImplementedError


def softmax(z):
    from scipy import special

    return special.softmax(z)


def use_setup(x):
    return halve(x)


def warn():
    warnings.warn("slow")
    print("hello", file=sys.stderr)
    return 1


def log(x):
    return np.log(x)


class Buffer:
    def __init__(self, size):
        self.size, self.items = size, []

    def __len__(self):
        return len(self.items)

    def add(self, item):
        self.items.append(item)

    def draw(self, rng):
        return self.items[rng.integers(len(self.items))]


class Equal:
    def __eq__(self, other):
        return True

    __bool__ = __len__ = lambda self: True


def agent(policy, tools):
    history = [("user", "?")]
    history.append(policy(history))
    try:
        history.append(tools[history[-1][0]](history[-1][1]))
    except Exception as error:
        history.append(f"error: {error}")
    return history


def peek(function, name):
    peer, number = sorted((cell.cell_contents for cell in function.__closure__), key=lambda part: type(part) is int)
    return peer.request("get", (number, name))


def compose(f):
    return lambda x: f(double(x))
"""
NAMES = [name for name in cells.bound_names(ANSWER) if name not in ("sys", "warnings")]


class Written(io.StringIO):
    def take(self):
        text = self.getvalue()
        self.truncate(0)
        self.seek(0)
        return text


def serve(link, namespace, before):
    try:
        AnswerRoom(link, namespace, before, Written()).serve_forever()
    except rooms.Gone:
        link.close()


@pytest.fixture
def room():
    """The test room of a notebook with SETUP, whose student has written ANSWER."""
    here, there = socket.socketpair()
    namespace, own = {"__name__": "__main__"}, {"__name__": "__main__"}
    cells.run(SETUP, namespace)
    before = dict(namespace)
    cells.run(ANSWER, namespace, rooms.ANSWER_FILE.format(0))
    cells.run(SETUP, own)
    thread = threading.Thread(target=serve, args=(there, namespace, before))
    thread.start()
    yield TestRoom(here, own, [ANSWER])
    here.close()
    thread.join()


@pytest.fixture
def names(room):
    return room.namespace_of([*NAMES, "np"])


def verdict(room, capsys, body):
    """Return what `checks.grade` prints for a test with this body, of an exercise called `task`."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    cells.run(f"def test_task():\n{lines}\n\n\nchecks.grade(test_task, points=1)", room.namespace_of(NAMES))
    return capsys.readouterr().out


def test_a_call_computes_there_and_compares_here(names):
    assert names["double"]([1, 2]) == [2, 4]
    array = np.ones(3)
    assert names["clear"](array) is array and array.sum() == 0, "changes in place come back"
    assert names["check"](lambda t: float((t**3).sum()), np.array([1.0, 2.0])) == (9.0, 35.0)
    assert names["check"](np.argmax, np.array([1, 5, 2]))[0] == 1
    assert names["compose"](sum)([1, 2]) == 6, "functions cross both ways, and come back"


def test_a_function_of_the_test_changes_the_students_arrays(names):
    def step(theta):
        for part in theta:
            part += 1

    theta = [np.zeros(2), np.zeros(1)]
    assert names["fit"](theta, step) is theta
    assert theta[0].tolist() == [3, 3]


def test_generators(names):
    array = np.arange(5.0)
    made = names["batches"](array)
    assert type(made).__name__ == "generator" and hasattr(made, "__next__")
    parts = list(made)
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3], [4]] and np.shares_memory(parts[0], array)


def test_classes_and_what_their_objects_keep(names):
    buffer, state, rng = names["Buffer"](3), np.zeros(2), np.random.default_rng(0)
    for number in range(4):
        state[:] = number
        buffer.add(state)
    assert len(buffer) == 4 and buffer.size == 3 and type(buffer).__name__ == "Buffer"
    assert buffer.draw(rng).tolist() == [3, 3], "the array was kept, not a copy of it"
    assert rng.random() != np.random.default_rng(0).random(), "the generator has gone on"
    with pytest.raises(AttributeError, match="nothing"):
        buffer.nothing  # noqa: B018


def test_an_object_cannot_say_that_it_is_equal(names):
    equal = names["Equal"]()
    assert not (equal == 3 or equal == [2, 4]) and equal != 3
    with pytest.raises(AssertionError, match="expected a number, got an Equal"):
        checks.expect_number(equal)


def test_errors_cross_both_ways(names):
    error = ZeroDivisionError("zero")

    def fail(what):
        raise what

    assert names["agent"](lambda history: ("fail", error), {"fail": fail})[1:] == [("fail", error), "error: zero"]
    assert names["agent"](lambda history: ("find", "Ana"), {"find": lambda who: {}[who]})[2] == "error: 'Ana'"
    with pytest.raises(KeyError, match="policy"):
        names["agent"](lambda history: {}["policy"], {})


def test_a_function_of_the_test_shows_nothing_of_itself(names):
    secret = 42
    for name in ("__globals__", "__closure__", "__code__", "__self__", "func_globals"):
        with pytest.raises(AttributeError):
            names["peek"](lambda x: x + secret, name)


@pytest.mark.parametrize(
    "body, wanted",
    [
        ("refuse(0)", "task: failed, 0 of 1 points. The line `raise NotImplementedError` of the stub is still there"),
        ("refuse(3)", 'task: failed, 0 of 1 points. ValueError at `raise ValueError(f"no {x}")`: no 3'),
        ("checks.expect_error(ValueError, refuse, 3, when='x is 3')", "task: passed"),
        ("assert use_setup(4) == 2", "task: passed"),
        ("log(np.zeros(1))", "your code gave a warning: divide by zero"),
        ("with np.errstate(divide='raise'):\n    log(np.zeros(1))", "FloatingPointError at `return np.log(x)`"),
        (
            "with checks.forbidden('scipy.special.softmax'):\n    softmax(np.ones(2))",
            "your code calls scipy.special.soft",
        ),
        ("softmax(np.ones(2))", "task: passed"),
        ("assert warn() == 1", "task: your code gave a warning: slow\ntask: your code wrote to standard error: hello"),
        ("globals()['halve'] = lambda x: 7\nassert use_setup(4) == 7", "task: passed"),
        ("missing(3)", "NameError: name 'missing' is not defined"),
    ],
)
def test_verdicts_are_those_of_one_process(room, capsys, body, wanted):
    assert wanted in verdict(room, capsys, body)


def test_what_a_test_has_set_ends_with_it(room, capsys):
    verdict(room, capsys, "globals()['halve'] = lambda x: 7\nuse_setup(4)")
    assert "passed" in verdict(room, capsys, "assert use_setup(4) == 2")


def test_the_rooms_forget_when_they_remember_too_much(room, monkeypatch):
    names = room.namespace_of(NAMES)
    monkeypatch.setattr(values, "KEPT", 10_000)
    buffer = names["Buffer"](3)
    for _ in range(20):
        assert names["clear"](np.ones(500)).sum() == 0
        buffer.add(1)
    assert len(buffer) == 20 and room.table.size < 20_000


def forged(kind, tree):
    data = values.pack([kind, tree, []])
    return rooms.HEAD.pack(len(data)) + data


BAD = {
    "rubbish": b"\0\0\0\3abc",
    "too long": b"\xff" * 8,
    "a call of what it has no handle for": forged(rooms.CALL, ["tuple", [1, ["tuple", []], None, None]]),
    "a question for names": forged(rooms.NAMES, ["tuple", ["np"]]),
    "an import": forged(rooms.RETURN, ["tuple", [["import", "os", "system"], None]]),
    "an unknown question": forged("run", ["tuple", []]),
}


@pytest.mark.parametrize("message", BAD)
def test_a_message_that_breaks_a_rule_ends_the_call(message):
    here, there = socket.socketpair()
    room = TestRoom(here, {}, [])
    there.sendall(BAD[message])
    with pytest.raises(rooms.Gone):
        room.request(rooms.CALL, (2, (), {}, None))
    here.close()
    there.close()
    with pytest.raises(rooms.Gone, match="ended"):
        room.request(rooms.CALL, (2, (), {}, None))
