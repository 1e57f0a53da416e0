"""What the reading of a cell reports and what it lets through."""

from utils.course import exercises, review

import pytest

DOUBLE = "\n\n\ndef double(x):\n    return [2 * v for v in x]"

HONEST = """\
from PIL import Image
---
from pathlib import Path
---
import tempfile, json, pprint, logging, array, asyncio
---
from IPython.display import display
---
from utils import checks
---
from scipy import signal
---
from scipy.signal import lfilter
---
from tqdm import tqdm
---
import timeit
timeit.timeit(lambda: 3, number=2)
---
from collections import namedtuple
P = namedtuple("P", "x y")
print(P(1, 2)._asdict(), P(1, 2)._replace(x=2))
---
class V:
    __slots__ = ("a",)
    def __init__(self, a):
        self.a = a
    def __add__(self, other):
        return V(self.a + other.a)
    def __mul__(self, k):
        return V(k * self.a)
---
try:
    from numba import njit
except ImportError:
    njit = lambda f: f
---
import torch
---
import sys
print(sys.version)
---
import os
print(os.getcwd(), os.path.join("a", "b"))
---
class Timer:
    def __enter__(self):
        return self
    def __exit__(self, *a):
        print(self.__class__.__name__)
---
def f(x):
    '''Like __eq__, without __getattr__.'''
---
from enum import Enum
class K(str, Enum):
    A = "a"
---
class Pair(tuple):
    def first(self):
        return self[0]
---
class Store:
    def load(self):
        return 3
    def eval(self):
        return self.load()
store = Store()
store.load()
---
def double(x):
    double.calls = 3
---
class A:
    def __init__(self):
        self._n = 3
a = A()
print(a._n)
---
TEXT = '''
!rm
%%bash
'''
---
def f(signal, system):
    return signal + system
---
class Node:
    def __init__(self):
        self.left = None
def insert(node):
    node.left = Node()
---
assert isinstance(3, int) and type(3) is int
"""

HOSTILE = """\
from pathlib import Path
Path("/etc/passwd").read_text()
---
look = getattr
---
def f(x, look=getattr):
    return look(x, "a")
---
if False:
    eval = None
eval("1")
---
class A:
    eval = 3
    x = eval("1")
---
def f():
    def g():
        open = 1
    return open("x")
---
import string
string.Formatter().get_field("x.y", (), {})
---
TEXT = "{x.gi_frame.f_back}"
---
np.testing.runstring("x = 1", {})
---
np.testing.measure("x = 1")
---
import timeit
timeit.timeit("x = 1")
---
import os as o
---
from os import system
---
import sys
sys._getframe()
---
import os
f = os
---
class E(list):
    same = lambda self, other: True
    locals()["x"] = 3
---
import logging
logging.os.system("x")
---
getattr(np, "a" + "b")
"""


@pytest.mark.parametrize("source", HONEST.split("---\n"))
def test_honest_cells_are_not_reported(source):
    assert review.reaches_machine(source + DOUBLE) == []


@pytest.mark.parametrize("source", HOSTILE.split("---\n"))
def test_cells_that_reach_the_machine_are_reported(source):
    assert review.reaches_machine(source + DOUBLE) != []


def test_solutions_of_the_course_are_not_reported():
    for lecture in exercises.read_course().values():
        for exercise in lecture.exercises:
            assert review.reaches_machine(lecture.references[exercise.name]) == [], exercise.name


def test_without_walls_files_are_not_touched():
    assert review.needs_walls("from pathlib import Path") and not review.needs_walls("import json")
