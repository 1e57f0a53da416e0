"""Instant feedback of the graded cells, how their points are counted, and what the tests of the exercises share.

A test cell ends in `checks.grade(test_name, points=2)`. It prints one line that the student reads and returns the
points reached, which nbgrader takes as the score of the cell when the notebook is graded. No grading tool is needed.
A cell after it begins with `if checks.passed("name"):` and puts the student's own function to work.
"""

import ast
import contextlib
import importlib
import inspect
import io
import linecache
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, TypeVar

from utils import hints

import numpy as np

STUB_MARK, STUB = "# YOUR CODE HERE", "raise NotImplementedError"  # nbgrader_config.py puts them into a stub
HIDDEN_TESTS = "### BEGIN HIDDEN TESTS"  # nbgrader takes this line and what follows out of the student's version
CELL = re.compile(r"ipykernel_\d+[\\/]\d+\.py$|^<(cell|ipython-input)")  # how IPython and our tests name a cell
KINDS = {"float": "f", "int": "iu", "bool": "b"}

T = TypeVar("T")


class Points(float):
    """Points reached: a float, shown as text by nbgrader and by nothing in a notebook, whose verdict stands above."""

    def __repr__(self) -> str:
        return f"{float(self):g}"

    def _repr_html_(self) -> str:
        return ""


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise: "passed", "failed" or "not attempted", and the sentence that says why."""

    points: float
    possible: float
    status: str
    why: str = ""
    complete: bool = True  # False where the hidden tests were taken out


_verdicts: dict[str, Verdict] = {}
_at_work: dict[str, None] = {}  # exercises whose solution drove a cell of the notebook, in order


def grade(test: Callable[[], None], points: float) -> Points:
    """Run a test, print its result in one line and return the points reached.

    Parameters
    ----------
    test : callable
        Named `test_<exercise>`. Takes nothing; raises AssertionError with a message that helps if an answer is wrong.
    points : float
        Points of the exercise, all or nothing.

    Returns
    -------
    Points
        `points` if the test passed, else 0. The untouched stub of this exercise is "not attempted". Where the hidden
        tests were taken out, the line says that more checks run when the notebook is graded; in a copy to learn alone,
        which nobody grades, they run now.
    """
    exercise = test.__name__.removeprefix("test_")
    test = _whole(test)
    output = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(output):
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # libraries talking to their developers
        status, why = _run(test, exercise)
    complete = _holds_hidden_tests(test)
    if status == "passed" and not complete:
        why = "More checks run when it is graded."
    reached = points if status == "passed" else 0
    _verdicts[exercise] = Verdict(reached, points, status, why, complete)
    print(f"{exercise}: {status}, {reached} of {points} points" + (f". {why}" if why else ""))
    for text in dict.fromkeys((str(w.message).splitlines() or [w.category.__name__])[0] for w in caught):
        print(f"{exercise}: your code gave a warning: {text}")
    if output.getvalue().strip():
        print(f"{exercise}: your code wrote to standard error: {output.getvalue().strip()}")
    return Points(reached)


def passed(*exercises: str) -> bool:
    """Tell whether all these exercises passed their tests in this kernel; if not, say which to solve.

    It opens a cell that puts the student's own functions to work. `summary` lists the cells that ran.
    """
    missing = [name for name in exercises if name not in _verdicts or _verdicts[name].status != "passed"]
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        print(f"Solve {names} to see your own code at work here.")
        return False
    _at_work.update(dict.fromkeys(exercises))
    return True


def summary() -> None:
    """Print a table of the exercises graded so far, the points reached, and what ran on the reader's own code."""
    width = max([len("exercise"), *map(len, _verdicts)])
    print(f"{'exercise':{width}}  points  result")
    for exercise, verdict in _verdicts.items():
        print(f"{exercise:{width}}  {f'{verdict.points:g}/{verdict.possible:g}':>6}  {verdict.status}")
    reached = sum(verdict.points for verdict in _verdicts.values())
    possible = sum(verdict.possible for verdict in _verdicts.values())
    print(f"{'total':{width}}  {f'{reached:g}/{possible:g}':>6}")
    if not all(verdict.complete for verdict in _verdicts.values()):
        print("More checks run when the notebook is graded: these points can still change.")
    if _at_work:
        print(f"Your own code at work in this notebook: {', '.join(_at_work)}")


# Why a test failed ----------------------------------------------------------------------------------------------------


def _run(test: Callable[[], None], exercise: str) -> tuple[str, str]:
    try:
        test()
    except NotImplementedError as error:
        return _judge_stub(error, test, exercise)
    except AssertionError as error:
        return "failed", _one_line(error) or _unexplained(error, test)
    except (Exception, SystemExit) as error:
        return "failed", _describe(error, test)
    return "passed", ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _cell_frames(trace: TracebackType | None, test: Callable[[], None]) -> list[tuple[FrameType, int]]:
    """Return (frame, line) of the student's code that an error passed through: cells of the notebook, not the test."""
    own = test.__code__.co_filename
    files = ((frame, line, frame.f_code.co_filename) for frame, line in traceback.walk_tb(trace))
    return [(frame, line) for frame, line, file in files if CELL.search(file) and file != own]


def _judge_stub(error: NotImplementedError, test: Callable[[], None], exercise: str) -> tuple[str, str]:
    """Tell the untouched stub of this exercise from an earlier one, and both from an error that the student raises."""
    frames = _cell_frames(error.__traceback__, test)
    if not frames:
        return "failed", _describe(error, test)
    frame, number = frames[-1]
    file = frame.f_code.co_filename
    if linecache.getline(file, number).strip() != STUB:
        return "failed", _describe(error, test)
    if file != _cell_of(exercise, test, frames[0][0].f_code.co_filename):
        name = frame.f_code.co_qualname.partition(".")[0]
        return "failed", f"It needs `{name}`, an earlier exercise that is not written yet: solve `{name}` first."
    if linecache.getline(file, number - 1).strip() != STUB_MARK:
        return "failed", f"The line `{STUB}` of the stub is still there and ends your code: remove it."
    return "not attempted", ""


def _cell_of(exercise: str, test: Callable[[], None], default: str) -> str:
    """Return the file name of the cell that defines `exercise`, else `default`."""
    value: Any = test.__globals__.get(exercise)
    value = inspect.unwrap(value)  # the grader wraps what a student defines
    made = [value, *map(inspect.unwrap, vars(value).values())] if isinstance(value, type) else [value]
    files = [code.co_filename for code in (getattr(item, "__code__", None) for item in made) if code is not None]
    return files[0] if files else default


def _describe(error: BaseException, test: Callable[[], None]) -> str:
    """Name an exception with the student's last line, or say that the test could not go on with the answer."""
    name, text = type(error).__name__, _one_line(error)
    frames = _cell_frames(error.__traceback__, test)
    if not frames:
        return (
            f"The test cannot use what your code returned ({name}: {text}). Compare its type and shape with the task."
        )
    frame, number = frames[-1]
    line = linecache.getline(frame.f_code.co_filename, number).strip()
    own = ". Your own code refuses an input that the task allows." if line.startswith(("raise ", "assert ")) else ""
    return f"{name} at `{line}`: {text}".removesuffix(": ") + own


def _unexplained(error: AssertionError, test: Callable[[], None]) -> str:
    frames = _cell_frames(error.__traceback__, test)
    return _describe(error, test) if frames else "A check does not hold: compare your answer with the task."


def _holds_hidden_tests(test: Callable[[], None]) -> bool:
    """Tell whether the test is whole. Every exercise of the course has hidden tests, so their mark tells."""
    source = linecache.getlines(test.__code__.co_filename)
    return not source or any(line.strip() == HIDDEN_TESTS for line in source)


def _whole(test: Callable[[], None]) -> Callable[[], None]:
    """Return the test with its hidden part, if this copy of the course holds it (`make learn`), else as it is."""
    packed = Path(__file__).parents[1] / hints.FILE
    if _holds_hidden_tests(test) or not packed.exists():
        return test
    shown = "".join(linecache.getlines(test.__code__.co_filename)).split()
    for notebook in hints.unpack(packed.read_text(encoding="ascii")).values():
        for entry in notebook.values():
            if entry.get("visible", "").split() == shown:
                return _defined(entry["test"], test)
    return test


def _defined(source: str, test: Callable[[], None]) -> Callable[[], None]:
    """Return the function that the cell `source` defines under the name of `test`, in the notebook where `test` is."""
    tree, names = ast.parse(source), test.__globals__
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]  # without the call of `grade`
    exec(compile(tree, "<whole test>", "exec"), names)
    whole, names[test.__name__] = names[test.__name__], test
    return whole


# What tests share -----------------------------------------------------------------------------------------------------


def expect_type(value: Any, kind: type[T], name: str = "") -> T:
    """Return `value` if it is a `kind`; AssertionError that says what came instead."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        _refuse(value, _a(kind.__name__), name)
    return value


def expect_array(
    value: Any, shape: tuple[int, ...] | None = None, kind: str | None = None, name: str = ""
) -> np.ndarray:
    """Return `value` if it is a NumPy array of this shape and kind of number, with finite floats.

    Parameters
    ----------
    value : any
    shape : tuple of int, optional
    kind : str, optional
        "float", "int" or "bool".
    name : str
        What the message calls it, such as "the slope".

    Raises
    ------
    AssertionError
        Says what was expected and what came.
    """
    if not isinstance(value, np.ndarray):
        _refuse(value, "a NumPy array", name)
    if shape is not None and value.shape != shape:
        raise AssertionError(f"{_label(name)}expected shape {shape}, got shape {value.shape}")
    if kind is not None and value.dtype.kind not in KINDS[kind]:
        raise AssertionError(f"{_label(name)}expected an array of dtype {kind}, got dtype {value.dtype}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise AssertionError(f"{_label(name)}expected finite numbers, got {_short(value)}")
    return value


def from_tensor(value: Any) -> Any:
    """Return a tensor of the backend as a NumPy array, anything else as it is: for answers that may be either."""
    tensor = hasattr(value, "__array__") and not isinstance(value, np.ndarray | np.generic)
    return np.asarray(value) if tensor else value


def expect_number(value: Any, name: str = "") -> float:
    """Return `value` as a float if it is one finite real number: Python's, NumPy's, or an array of shape ()."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number and not (isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "fiu"):
        _refuse(value, "a number", name)
    if not np.isfinite(value):
        raise AssertionError(f"{_label(name)}expected a finite number, got {value}")
    return float(value)


def expect_error(kind: type[Exception], function: Callable[..., Any], *args: Any, when: str, **options: Any) -> None:
    """Demand that `function(*args, **options)` raises a `kind`; `when` ends the sentence "... when <when>"."""
    wanted = f"expected {_a(kind.__name__)} that you raise yourself when {when}"
    try:
        value = function(*args, **options)
    except kind:
        return
    except NotImplementedError as error:
        if not error.args:
            raise  # a stub; with a message it is the student's own answer
        raise AssertionError(f"{wanted}, got a NotImplementedError: {_one_line(error)}") from None
    except Exception as error:
        raise AssertionError(f"{wanted}, got {_a(type(error).__name__)}: {_one_line(error)}") from None
    raise AssertionError(f"{wanted}, got no error but {_short(value)}")


def expect_unchanged(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call `function` and return its result; AssertionError if it changed an array, list or dict that it was given."""
    before = [_frozen(arg) for arg in (*args, *options.values())]
    result = function(*args, **options)
    for number, (old, arg) in enumerate(zip(before, (*args, *options.values()), strict=True)):
        if old != _frozen(arg):
            place = f"argument {number + 1}" if number < len(args) else f"`{list(options)[number - len(args)]}`"
            raise AssertionError(f"your function changed {place}, which it was given: make a new one instead")
    return result


in_force: list[str] = []  # what `forbidden` forbids now


@contextlib.contextmanager
def forbidden(*names: str) -> Iterator[None]:
    """Make these functions raise while the block runs, where writing them is the point of the exercise.

    Parameters
    ----------
    names : str
        Full names such as "scipy.special.softmax"; names of the notebook that stand for the same function raise, too.
    """
    frame = sys._getframe(2)  # of the test, past contextlib
    in_force.extend(names)
    try:
        with forbidden_in(frame.f_globals, *names):
            yield
    finally:
        del in_force[len(in_force) - len(names) :]


@contextlib.contextmanager
def forbidden_in(namespace: dict[str, Any], *names: str) -> Iterator[None]:
    """Make these functions raise while the block runs, in their modules and under the names that `namespace` has."""
    undo: list[tuple[Any, str, Any]] = []
    for name in names:
        module_name, _, attribute = name.rpartition(".")
        module = importlib.import_module(module_name)
        original = getattr(module, attribute)
        undo.append((module, attribute, original))
        setattr(module, attribute, _refusing(name))
        for alias, value in list(namespace.items()):
            if value is original:
                undo.append((namespace, alias, original))
                namespace[alias] = _refusing(name)
    try:
        yield
    finally:
        for holder, key, original in undo:
            if isinstance(holder, dict):
                holder[key] = original
            else:
                setattr(holder, key, original)


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise AssertionError(f"write it yourself: your code calls {name}, which this exercise does not allow")

    return refuse


def _refuse(value: Any, wanted: str, name: str) -> NoReturn:
    if value is None:
        raise AssertionError(f"{_label(name)}expected {wanted}, got None: does your function return it on every way?")
    advice = ""
    if wanted == "a NumPy array" and (isinstance(value, list | tuple) or hasattr(value, "__array__")):
        advice = ": np.asarray(...) makes one of it"
    got = "a NumPy array" if isinstance(value, np.ndarray) else _a(type(value).__name__)
    raise AssertionError(f"{_label(name)}expected {wanted}, got {got}{advice}")


def _label(name: str) -> str:
    return f"{name}: " if name else ""


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiouAEIOU" else f"a {noun}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _frozen(value: Any) -> Any:
    """Return a copy that can be compared with ==, arrays bit by bit."""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, list | tuple):
        return type(value), [_frozen(item) for item in value]
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return repr(value) if isinstance(value, int | float | str) else id(value)
