"""Hostile and odd submissions, built by code, each with the result that it must get.

The course has one small notebook with three exercises (2, 3 and 1 points) and a question. `CASES` maps the name of a case
to what it hands in and what must come of it; `build` writes the folder for a whole batch, with a good student before
and after each case.
"""

import copy
import io
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import sample
from utils.course import exercises

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
NAME = "01_sample.ipynb"

SETUP = "import numpy as np\n\nfrom utils import checks\n\nFACTOR = 2"

DOUBLE = "def double(x):\n    ### BEGIN SOLUTION\n    return [FACTOR * value for value in x]\n    ### END SOLUTION"
TEST_DOUBLE = """\
def test_double():
    got = double([1, 2])
    assert isinstance(got, list), f"expected a list, got {type(got).__name__}"
    assert got == [2, 4], f"expected [2, 4], got {got}: multiply each value by two"
    ### BEGIN HIDDEN TESTS
    assert double([]) == [], "wrong on an empty list"
    assert double([21]) == [42], "wrong on [21]"
    ### END HIDDEN TESTS


checks.grade(test_double, points=2)"""

SQUARE = "def mean_square(x):\n    ### BEGIN SOLUTION\n    return np.mean(x**2, axis=0)\n    ### END SOLUTION"
TEST_SQUARE = """\
def test_mean_square():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    got = mean_square(x)
    assert np.allclose(got, [5, 10]), f"expected [5, 10], got {got}: the mean over the rows"
    np.testing.assert_array_equal(x, [[1, 2], [3, 4]], err_msg="x was changed")
    ### BEGIN HIDDEN TESTS
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert np.allclose(mean_square(x), x.var(axis=0) + x.mean(axis=0) ** 2), "wrong on random values"
    ### END HIDDEN TESTS


checks.grade(test_mean_square, points=3)"""

DEBUG = "def fixed_scale(x):\n    ### BEGIN SOLUTION\n    return x / np.sqrt(mean_square(x))\n    ### END SOLUTION"
TEST_DEBUG = """\
def test_debug():
    x = np.array([[3.0], [4.0]])
    got = fixed_scale(x)
    assert np.isclose((got**2).mean(), 1), f"the mean square is 1 afterwards, got {(got**2).mean()}"


checks.grade(test_debug, points=1)"""

GOOD = {
    "double": "def double(x):\n    return [2 * v for v in x]",
    "mean_square": "def mean_square(x):\n    return (x * x).mean(axis=0)",
    "debug": "def fixed_scale(x):\n    return x / mean_square(x) ** 0.5",
}
FULL = 6


def notebook():
    """Return the source notebook of the course."""
    cells = [
        new_markdown_cell("# 1. Sample"),
        new_code_cell('profile = "fast"', metadata={"tags": ["parameters"]}),
        new_code_cell(SETUP, metadata={"tags": ["setup"]}),
    ]
    for name, points, solution, test in (
        ("double", 2, DOUBLE, TEST_DOUBLE),
        ("mean_square", 3, SQUARE, TEST_SQUARE),
        ("debug", 1, DEBUG, TEST_DEBUG),
    ):
        cells.append(new_code_cell(solution, metadata=sample.graded(name, solution=True)))
        cells.append(new_code_cell(test, metadata=sample.graded(f"test_{name}", points=points)))
    cells.append(new_code_cell("1 / 0  # an ungraded cell is not run"))
    cells.append(new_markdown_cell(sample.ANSWER, metadata=sample.graded("exam_double", points=3, solution=True)))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def released(course):
    """Return the student version as a plain dict."""
    lecture = exercises.read_lecture(course / "lectures" / NAME, exercises.nbgrader_config(ROOT, course))
    return json.loads(json.dumps(lecture.released))


class Submission:
    """A good student's notebook, to be spoilt."""

    def __init__(self, handed_out):
        self.notebook = copy.deepcopy(handed_out)
        for name, source in GOOD.items():
            self.cell(name)["source"] = source
        self.cell("exam_double")["source"] = "Because one and one is two. " * 3

    def __getitem__(self, key):
        return self.notebook[key]

    @property
    def cells(self):
        return self.notebook["cells"]

    def cell(self, name):
        return next(c for c in self.cells if c["metadata"].get("nbgrader", {}).get("grade_id") == name)

    def answer(self, **sources):
        for name, source in sources.items():
            self.cell(name)["source"] = source
        return self

    def insert(self, position, source, **metadata):
        cell = {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}
        self.cells.insert(position, cell | {"id": f"new{len(self.cells)}"})
        return self

    def text(self):
        return json.dumps(self.notebook, ensure_ascii=False, indent=1).replace("\ud800", "\\ud800")

    def write(self, folder, name=NAME, encoding="utf-8"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(self.text().encode(encoding))


@dataclass(frozen=True)
class Case:
    """`points` of FULL, `status`, and a text that must stand in the reasons and notes (`says`).

    Where there are no walls, cells that reach the machine are not run, and the status is `outside`.
    """

    make: object  # function of (Submission, folder of the student)
    points: float = FULL
    status: str = "graded"
    says: str = ""
    walls: bool = False  # points and `says` are only seen when the code runs, which without a sandbox it does not
    outside: str = ""


CASES = {}


def case(points=FULL, status="graded", says="", walls=False):
    def keep(make):
        CASES[make.__name__] = Case(make, points, status, says, walls)
        return make

    return keep


def code(name, source, points, says="", status="needs review", walls=False, exercise="double", outside=""):
    """Add a case: a good notebook, but one solution cell has this source."""

    def make(submission, folder):
        submission.answer(**{exercise: source}).write(folder)

    CASES[name] = Case(make, points, status, says, walls or bool(outside), outside)


def tampering(name, source, points=4, says="", exercise="double", outside="needs review"):
    """Add a case of code that would deceive a test in its own process: here it deceives nobody.

    It is graded; a person looks at it where it fails and reaches the machine.
    """
    status = "graded" if points == FULL else outside
    code(name, source, points, says, status, walls=True, exercise=exercise, outside=outside)


HONEST = "\n\ndef double(x):\n    return [2 * v for v in x]"
REVIEW = "needs review"

# Code that is wrong, or does not end: no points for this exercise, the right points for the others.
code("wrong_answer", "def double(x):\n    return x + x", 4, status="graded")
code("syntax_error", "def double(x)\n    return 2 * x", 4, status="graded")
code("null_byte", "def double(x):\n    return '\0'", 4, status="graded")
code("lone_surrogate", "def double(x):\n    return '\ud800'", 4, status="graded")
code("error_in_cell", HONEST + "\nprint(undefined)", FULL, status="graded")
code("other_name", "def dubble(x):\n    return [2 * v for v in x]", 4, status="graded")
code("system_exit", "def double(x):\n    raise SystemExit", 4, status="graded")
code("system_exit_in_cell", HONEST + "\nraise SystemExit(0)", FULL, status="graded")
code("asks_for_input", "def double(x):\n    return input('values? ')", 4, status="graded")
code("deep_recursion", "def double(x):\n    return double(x)", 4, status="graded")
code("infinite_generator", "def double(x):\n    while True:\n        yield 1", 4, status="graded")
code("six_gigabytes", "def double(x):\n    return list(np.ones(6 * 2**30, 'uint8'))", 4, status="graded")
code(
    "warns",
    "import warnings\n\n\ndef double(x):\n    warnings.warn('slow')\n    return [2 * v for v in x]",
    FULL,
    status="graded",
)
code(
    "shadows_builtins",
    "len = isinstance = lambda *a: True\nnp = checks = None\n\n\ndef double(x):\n    return x",
    4,
    status="graded",
)
code("infinite_loop", "def double(x):\n    while True:\n        pass", 4, "gave no result within")
code("infinite_loop_in_cell", "while True:\n    pass", 4, "gave no result within")
STUBBORN = "def double(x):\n    while True:\n        try:\n            while True:\n                pass\n        except BaseException:\n            pass"
code("loop_that_ignores_interrupts", STUBBORN, 4, "gave no result within")
code("prints_without_end", "def double(x):\n    while True:\n        print('x' * 1000)", 4, "gave no result within")
code(
    "memory_bit_by_bit",
    "def double(x):\n    kept = []\n    while True:\n        kept.append(np.zeros(10**8))",
    4,
    status="graded",
)
code(
    "later_cell_breaks_nothing",
    "def fixed_scale(x):\n    return x / np.sqrt((x**2).mean())\n\n\ndef double(x):\n    return 7",
    FULL,
    status="graded",
    exercise="debug",
)

# What looks unusual and is honest: it is graded, and nobody has to look at it.
UNUSUAL = """\
import json, logging, os, pathlib, pprint, sys, tempfile, timeit
from collections import Counter, namedtuple
from enum import Enum

try:
    from numba import njit
except ImportError:
    njit = lambda f: f

print(sys.version, os.getcwd(), timeit.timeit(lambda: 3, number=2))
P = namedtuple("P", "x y")
print(P(1, 2)._asdict(), Counter("ab"), pathlib.Path("a") / "b")


class K(str, Enum):
    A = "a"


class V:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a

    def __mul__(self, k):
        return V(k * self.a)

    def __eq__(self, other):
        return self.a == other.a

    def eval(self):
        return getattr(self, "a")


class Row(list):
    def doubled(self):
        return Row((V(v) * 2).eval() for v in self)


def double(x):
    double.calls = [*getattr(double, "calls", []), len(x)]
    print("x" * 200_000)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "x.json").write_text(json.dumps(x))
        return Row(json.loads((pathlib.Path(folder) / "x.json").read_text())).doubled()
"""
code("unusual_but_honest", UNUSUAL, FULL, status="graded", outside="needs review")

# Attacks on the process.
code("os_exit", "import os\n\n\ndef double(x):\n    os._exit(0)", 4, "ended the process", walls=True)
code("os_exit_in_cell", "import os\n\nos._exit(0)", 4, "ended the process", walls=True)
KILLS = "import os\n\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)"
code("kills_parent", KILLS + HONEST, 4, "ended the process", walls=True)
CRASH = "import sys\n\nsys.setrecursionlimit(10**8)\n\n\nclass A:\n    pass\n\n\ndef double(x):\n    a = A()\n    for _ in range(10**7):\n        a = [a]\n    return repr(a)"
code("crashes_the_interpreter", CRASH, 4, walls=True)
BOMB = "import os, time\n\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)"
code("fork_bomb", BOMB, 4, "processes", walls=True)
FILL = "def double(x):\n    for i in range(100):\n        with open(f'/tmp/{i}', 'wb') as f:\n            f.write(bytes(50 * 2**20))\n    return [2 * v for v in x]"
tampering("disk_filler", FILL, says="double: line 3: uses open")
THREAD = "import threading, time\n\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()" + HONEST
tampering("sleeping_thread", THREAD, FULL, "double: line 1: imports threading")
BACKGROUND = "import os, time\n\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)" + HONEST
tampering("background_process", BACKGROUND, FULL, "uses os")
NETWORK = "import socket\n\n\ndef double(x):\n    socket.create_connection(('127.0.0.1', 22), 2)\n    return [2 * v for v in x]"
tampering("network", NETWORK, says="imports socket")
code("shell", "!touch /tmp/x" + HONEST, FULL, status="graded")
code("shell_and_wrong", "!touch /tmp/x\n\n\ndef double(x):\n    return x", 4, "a command of the notebook or the shell")
READS = f"import pathlib\n\n\ndef double(x):\n    assert not list(pathlib.Path({str(ROOT)!r}).glob('[!u]*/*.ipynb')), 'seen'\n    return [2 * v for v in x]"
tampering("reads_the_course", READS, FULL, "names a place outside of its folder")
WRITES = f"\n\ndef double(x):\n    open({str(ROOT / 'utils' / 'hacked.py')!r}, 'w').write('x = 1')\n    return [2 * v for v in x]"
tampering("writes_into_the_course", WRITES, says="uses open")
GRADEBOOK = f"import sqlite3\n\ndb = sqlite3.connect({str(ROOT / 'build/grading/gradebook.db')!r})\ndb.execute('update grade set auto_score=396')\ndb.commit()"
tampering("writes_the_gradebook", GRADEBOOK + HONEST, says="imports sqlite3")

# Attacks on the score: a wrong answer that must not pass.
WRONG = "\n\ndef double(x):\n    return x"
EQUAL = "class Equal(list):\n    def __eq__(self, other):\n        return True\n\n\ndef double(x):\n    return Equal()"
tampering("always_equal", EQUAL, outside="graded")
TYPE = "def double(x):\n    return type('L', (list,), {'__e' + 'q__': lambda s, o: True})()"
tampering("always_equal_made_by_type", TYPE, outside="graded")
tampering(
    "always_equal_imported",
    "from unittest.mock import ANY\n\n\ndef double(x):\n    return ANY",
    says="imports unittest",
)
ANYTHING = (
    "class Any:\n    __class__ = list\n    __eq__ = lambda self, other: True\n    __ne__ = lambda self, other: False\n"
)
tampering("says_that_it_is_a_list", ANYTHING + "\n\ndef double(x):\n    return Any()", outside="graded")
FIELDS = "def double(x):\n    return np.zeros(2, dtype=[('a', float)])"
code("value_that_cannot_cross", FIELDS, 4, "could not be handed to the test: an array with named fields")
FAILS = (
    "class A:\n    def __getattribute__(self, name):\n        raise OSError(name)\n\n\ndef double(x):\n    return A()"
)
code("object_that_fails_when_it_is_looked_at", FAILS, 4, "could not be handed to the test")
OBJECTS = "class Any:\n    def __eq__(self, other):\n        return True\n\n\ndef mean_square(x):\n    return np.array([Any(), Any()])"
tampering("array_of_objects", OBJECTS, 2, exercise="mean_square", outside="graded")
MASKED = "def mean_square(x):\n    return np.ma.masked_all(x.shape[1])"
tampering("masked_array", MASKED, 2, exercise="mean_square", outside="graded")
tampering("patched_checks", "checks.grade = lambda test, points: 396" + WRONG, outside="graded")
ALLCLOSE = "np.allclose = lambda *a, **k: True\n\n\ndef mean_square(x):\n    return 0"
tampering("patched_numpy", ALLCLOSE, 2, exercise="mean_square", outside="graded")
INSIDE = "def mean_square(x):\n    np.allclose = lambda *a, **k: True\n    return 0"
tampering("patched_during_the_test", INSIDE, 2, exercise="mean_square", outside="graded")
tampering("patched_testing", "np.testing.assert_array_equal = print" + WRONG, outside="graded")
CODE = "np.isclose.__wrapped__.__code__ = (lambda *a, **k: True).__code__"
tampering("replaced_code_object", CODE + WRONG)
code(
    "patched_builtins",
    "import builtins\n\nbuiltins.isinstance = lambda *a: True" + WRONG,
    4,
    walls=True,
)
tampering("setattr_on_numpy", "setattr(np, 'allclose', lambda *a, **k: True)" + WRONG, outside="graded")
tampering("hides_a_builtin_in_numpy", "vars(np)['abs'] = lambda x: 0" + WRONG)
tampering("trace_function", "import sys\n\nsys.settrace(lambda *a: None)" + WRONG)
tampering("input_transformer", "get_ipython().input_transformers_post.append(lambda lines: [])" + WRONG)
FRAME = "def double(x):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        error.__traceback__.tb_frame.f_back.f_globals['checks'] = None\n    return x"
tampering("walks_the_frames", FRAME)
tampering("searches_memory", "import gc\n\n\ndef double(x):\n    return [o for o in gc.get_objects() if 0]")
FORGED = "import json, os, struct\n\n\ndef double(x):\n    m = json.dumps({'kind': 'tested', 'name': 'double', 'score': 2, 'line': 'double: passed, 2 of 2 points'}).encode()\n    os.write(4, struct.pack('!I', len(m)) + m)\n    return x"
tampering("forged_result", FORGED)
FLOOD = "import os\n\nos.write(4, b'\\xff' * 100000)"
code("rubbish_on_the_pipe", FLOOD + WRONG, 4, "too long", walls=True)
OTHER = "import os\n\n\ndef double(x):\n    os.write(5, b'\\0\\0\\0\\3abc')\n    return x"
code("rubbish_to_the_other_room", OTHER, 4, "sent something that is not a message", walls=True)
LONG = "import os\n\n\ndef double(x):\n    os.write(5, b'\\xff' * 100)\n    return x"
code("endless_message_to_the_other_room", LONG, 4, "too long", walls=True)
tampering("computed_getattr", "def double(x):\n    return getattr(x, '__cl' + 'ass__')")


# Messages that are meant to upset the grader.
SAY = "import json, os, struct\n\n\ndef say(m):\n    m = json.dumps(m).encode()\n    os.write(4, struct.pack('!I', len(m)) + m)\n\n\n"
code(
    "message_with_braces",
    SAY + "say({'kind': 'failed', 'line': '{x} {0}'})" + WRONG,
    4,
    "could not be run: {x} {0}",
    walls=True,
)
code("message_of_wrong_types", SAY + "say({'kind': [], 'errors': 3})" + WRONG, 4, "is not a message", walls=True)
code("flood_of_messages", SAY + "while True:\n    say({'kind': 'at', 'name': 'double'})", 4, "messages", walls=True)


# Files that are not as they were handed out.
@case(2)
def half_finished(s, folder):
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError"
    s.answer(mean_square=f"def mean_square(x):\n{stub}", debug=f"def fixed_scale(x):\n{stub}").write(folder)


@case(says="edited test cells replaced")
def edited_tests(s, folder):
    s.answer(test_double="2").write(folder)


@case(4)
def faked_output(s, folder):
    s.answer(double="def double(x):\n    return x")
    output = {"output_type": "execute_result", "data": {"text/plain": "396"}, "metadata": {}, "execution_count": 1}
    s.cell("test_double")["outputs"] = [output]
    s.write(folder)


@case()
def raised_points(s, folder):
    s.cell("test_double")["metadata"]["nbgrader"]["points"] = 396
    s.write(folder)


@case(says="test cells restored")
def deleted_tests(s, folder):
    s.cells[:] = [c for c in s.cells if not c["metadata"].get("nbgrader", {}).get("grade_id", "").startswith("test_")]
    s.write(folder)


@case(4, REVIEW, "no cell for the exercise double")
def deleted_exercise(s, folder):
    s.cells.remove(s.cell("double"))
    s.write(folder)


@case(4, REVIEW, "no cell for the exercise double")
def exercise_turned_into_text(s, folder):
    s.cell("double")["cell_type"] = "markdown"
    s.write(folder)


@case(says="has lost its id")
def lost_metadata(s, folder):
    for cell in s.cells:
        if cell["cell_type"] == "code":
            cell["metadata"] = {}
    s.write(folder)


@case(says="has lost its id")
def metadata_of_wrong_types(s, folder):
    s.cell("double")["metadata"] = {"tags": 7}
    s.cell("mean_square")["metadata"] = {"nbgrader": {"grade_id": 3}}
    s.cells[0]["metadata"] = {"nbgrader": ["yes"]}
    s.cells.insert(0, {"source": 5, "metadata": None})
    s.cells.insert(0, "not a cell")
    s.write(folder)


@case()
def wrong_kernel(s, folder):
    s["metadata"]["kernelspec"] = {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}
    s.write(folder)


@case()
def no_kernel(s, folder):
    s.notebook["metadata"] = {}
    s.write(folder)


@case()
def duplicate_cell_ids(s, folder):
    for cell in s.cells:
        cell["id"] = "same"
    s.write(folder)


@case()
def duplicate_exercise(s, folder):
    s.cells.append(copy.deepcopy(s.cell("double")))
    s.write(folder)


@case(4, REVIEW, "2 different cells carry the id double")
def two_answers_to_one_exercise(s, folder):
    s.cells.append(copy.deepcopy(s.cell("double")) | {"source": "def double(x):\n    return x"})
    s.write(folder)


@case()
def cells_reordered(s, folder):
    s.cells.reverse()
    s.write(folder)


@case(says="was split in 2: joined")
def cell_split_in_two(s, folder):
    place = s.cells.index(s.cell("double"))
    first = copy.deepcopy(s.cell("double")) | {"source": "def twice(v):\n    return 2 * v"}
    s.answer(double="def double(x):\n    return [twice(v) for v in x]")
    s.cells.insert(place, first)
    s.write(folder)


@case(says="definitions from cells that are not graded")
def added_cells(s, folder):
    s.insert(2, "from math import prod\n\nTWO = prod([2])\nimport time; time.sleep(1000)\n1 / 0")
    s.insert(3, "def twice(v):\n    return TWO * v\n\n\nwhile True: pass")
    s.answer(double="def double(x):\n    return [twice(v) for v in x]").write(folder)


@case()
def same_helper_defined_twice(s, folder):
    s.answer(double="def aid(v):\n    return 2 * v\n\n\ndef double(x):\n    return [aid(v) for v in x]")
    s.answer(debug="def aid(v):\n    return v**0.5\n\n\ndef fixed_scale(x):\n    return x / aid(mean_square(x))").write(
        folder
    )


@case(says="made from another release, with the same task: the tests of double")
def reworded_test(s, folder):
    s.cell("test_double")["metadata"]["nbgrader"]["checksum"] = "0" * 32
    s.write(folder)


@case(FULL, REVIEW, "made from another release: the tests of double")
def old_release(s, folder):
    s.cell("test_double")["metadata"]["nbgrader"]["checksum"] = "0" * 32
    s.cell("double")["metadata"]["nbgrader"]["checksum"] = "0" * 32
    s.write(folder)


@case(says="the cell of exam_double has lost its id: found by the cells around it")
def free_text_without_id(s, folder):
    s.cell("exam_double")["metadata"] = {}
    s.write(folder)


@case(FULL, REVIEW, "no cell for the question exam_double")
def free_text_deleted(s, folder):
    s.cells.remove(s.cell("exam_double"))
    s.write(folder)


@case(0, REVIEW, "is an empty notebook")
def empty_notebook(s, folder):
    s.cells.clear()
    s.write(folder)


@case(0, REVIEW, "is empty")
def empty_file(s, folder):
    (folder / NAME).touch()


@case(0, REVIEW, "holds no notebook")
def empty_folder(s, folder):
    (folder / "essay.pdf").write_bytes(b"%PDF")


@case(0, REVIEW, "not valid JSON")
def corrupt_json(s, folder):
    (folder / NAME).write_text(s.text()[:-200])


@case(0, REVIEW, "nested too deeply")
def deeply_nested_json(s, folder):
    (folder / NAME).write_text("[" * 200_000)


@case(0, REVIEW, "no list of cells")
def json_of_something_else(s, folder):
    (folder / NAME).write_text('{"cells": 3}')


@case(0, REVIEW, "format 3 or older")
def notebook_format_3(s, folder):
    (folder / NAME).write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": []}]}))


@case(0, REVIEW, "not encoded as UTF-8")
def latin_1(s, folder):
    s.answer(exam_double="Zwei ist größer").write(folder, encoding="latin-1")


@case(says="byte-order mark")
def byte_order_mark(s, folder):
    s.write(folder, encoding="utf-8-sig")


@case(says="UTF-16")
def utf_16(s, folder):
    s.write(folder, encoding="utf-16")


@case()
def windows_line_ends(s, folder):
    s.answer(**{name: source.replace("\n", "\r\n") for name, source in GOOD.items()})
    (folder / NAME).write_bytes(s.text().replace("\n", "\r\n").encode())


@case(0, REVIEW, "not a notebook of this course")
def wrong_notebook(s, folder):
    s.cells[:] = [{"cell_type": "code", "source": "print('my own')", "metadata": {}}]
    s.write(folder, "holiday.ipynb")


@case(0, REVIEW, "holds too few exercises")
def other_course(s, folder):
    for cell in s.cells:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["grade_id"] = "task" + str(s.cells.index(cell))
        cell["source"] = "def other(): return 3"
    s.write(folder)


@case(says="recognised by its exercises")
def renamed_file(s, folder):
    s.write(folder, "my homework (final).ipynb")


@case()
def name_with_copy_suffix(s, folder):
    s.write(folder, "01_sample (1).ipynb")


@case()
def same_file_twice(s, folder):
    s.write(folder)
    s.write(folder, "01_sample-Copy1.ipynb")


@case(4, REVIEW, "2 different files for one notebook")
def two_versions(s, folder):
    s.write(folder)
    s.answer(double="def double(x):\n    return x").write(folder, "01_sample_v2.ipynb")


@case()
def folders_below(s, folder):
    s.write(folder / "week 1" / "lectures")
    s.answer(double="").write(folder / ".ipynb_checkpoints")


@case(0, REVIEW, "200 MiB large")
def file_of_200_megabytes(s, folder):
    with open(folder / NAME, "wb") as file:
        file.truncate(200 * 2**20)


@case(0, REVIEW, "symbolic link")
def symbolic_link(s, folder):
    os.symlink(ROOT / "lectures", folder / "lectures")
    os.symlink("/etc/passwd", folder / NAME)


@case(0, REVIEW, "not a regular file")
def named_pipe(s, folder):
    os.mkfifo(folder / NAME)


def archive(path, files, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)


@case(says="from work.zip")
def zip_in_folder(s, folder):
    archive(folder / "work.zip", {f"lectures/{NAME}": s.text(), "__MACOSX/._x.ipynb": "x", "notes.txt": "x"})


@case(0, REVIEW, "leads out of it")
def zip_slip(s, folder):
    archive(folder / "work.zip", {"../../../evil.ipynb": s.text(), NAME: s.text()})


@case(0, REVIEW, "symbolic link")
def zip_with_symbolic_link(s, folder):
    link = zipfile.ZipInfo(NAME)
    link.external_attr = 0o120777 << 16
    archive(folder / "work.zip", {link: "/etc/passwd"})


@case(0, REVIEW, "unpacks to 300 MiB")
def zip_bomb(s, folder):
    archive(folder / "work.zip", {f"{i}.ipynb": bytes(15 * 2**20) for i in range(20)})


@case(0, REVIEW, "is 30 MiB large")
def zip_with_a_large_file(s, folder):
    archive(folder / "work.zip", {NAME: bytes(30 * 2**20)})


@case(0, REVIEW, "holds 600 files")
def zip_with_many_files(s, folder):
    archive(folder / "work.zip", {f"{i}.txt": "" for i in range(600)})


@case(0, REVIEW, "is not a zip file that can be read")
def zip_corrupt(s, folder):
    data = io.BytesIO()
    archive(data, {NAME: s.text()})
    (folder / "work.zip").write_bytes(data.getvalue()[:300])


@case(0, REVIEW, "is not a zip file that can be read")
def zip_damaged_inside(s, folder):
    archive(folder / "work.zip", {NAME: s.text()})
    data = bytearray((folder / "work.zip").read_bytes())
    data[200:260] = bytes(60)
    (folder / "work.zip").write_bytes(data)


@case(0, REVIEW, "holds no notebook")
def zip_without_notebook(s, folder):
    archive(folder / "work.zip", {"essay.txt": "x"})


# Students whose folder's name is the case.
NAMES = ("Zoë Müller", "李 小龙", "O'Brien; drop table", "=cmd|'calc'!A0", "-rf", "a" * 90, "<script>alert(1)")
PLATFORMS = {  # name in the zip file -> student
    "Ada Lovelace_1234_assignsubmission_file_/01_sample.ipynb": "Ada Lovelace",
    "Émile Noël_77_assignsubmission_file_/01_sample (2).ipynb": "Émile Noël",
    "turingalan_123_4567_01_sample-1.ipynb": "turingalan",
    "noetheremmy_LATE_124_4568_01_sample.ipynb": "noetheremmy",
}


def write_course(folder):
    """Write the course of the corpus into `folder`; return its student version."""
    (folder / "lectures").mkdir(parents=True)
    nbformat.write(notebook(), folder / "lectures" / NAME)
    shutil.copytree(ROOT / "utils", folder / "utils", ignore=shutil.ignore_patterns("diffusion", "__pycache__"))
    return released(folder)


def build(folder, handed_out, cases=CASES):
    """Write a batch: a good student before, between and after the cases; return the names of the good students."""
    folder.mkdir(parents=True)
    for number, (name, one) in enumerate(cases.items()):
        (folder / student(number, name)).mkdir()
        one.make(Submission(handed_out), folder / student(number, name))
    order = [f"{number:03} ~ good" for number in range(-1, len(cases))]
    for name in order:
        Submission(handed_out).write(folder / name)
    return order


def student(number, name):
    return f"{number:03} {name}"
