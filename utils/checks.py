"""Instant feedback of the graded cells, and how their points are counted.

A test cell ends in `checks.grade(test_name, points=2)`. It prints one line that the student reads and returns the
points reached, which nbgrader takes as the score of the cell when the notebook is graded. No grading tool is needed.
"""

import contextlib
import io
import linecache
import traceback
import warnings
from collections.abc import Callable

_results: dict[str, tuple[float, float, str]] = {}


def grade(test: Callable[[], None], points: float) -> float:
    """Run a test, print its result in one line and return the points reached.

    Parameters
    ----------
    test : callable
        Named `test_<exercise>`. Takes nothing; raises AssertionError with a message that helps if an answer is wrong.
    points : float
        Points of the exercise, all or nothing.

    Returns
    -------
    float
        `points` if the test passed, else 0. An untouched stub raises NotImplementedError and is "not attempted".
    """
    exercise = test.__name__.removeprefix("test_")
    output = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(output):
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # libraries talking to their developers
        status, why = _run(test)
    reached = points if status == "passed" else 0
    _results[exercise] = (reached, points, status)
    print(f"{exercise}: {status}, {reached} of {points} points" + (f". {why}" if why else ""))
    for text in dict.fromkeys(str(w.message).splitlines()[0] for w in caught):
        print(f"{exercise}: your code gave a warning: {text}")
    if output.getvalue().strip():
        print(f"{exercise}: your code wrote to standard error: {output.getvalue().strip()}")
    return reached


def _run(test):
    try:
        test()
    except NotImplementedError:
        return "not attempted", ""
    except AssertionError as error:
        return "failed", " ".join(str(error).split()) or f"The check `{_last_line(error)}` does not hold."
    except (Exception, SystemExit) as error:
        return "failed", f"{type(error).__name__} at `{_last_line(error)}`: {' '.join(str(error).split())}"
    return "passed", ""


def _last_line(error):
    """Return the source of the last line of a notebook's cell (not of a library) that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    cells = [f for f in frames if "ipykernel" in f.filename or f.filename.startswith("<")] or frames
    return (cells[-1].line or linecache.getline(cells[-1].filename, cells[-1].lineno)).strip()


def summary() -> None:
    """Print a table of the exercises graded so far and the points reached."""
    width = max([len("exercise"), *map(len, _results)])
    print(f"{'exercise':{width}}  points  result")
    for exercise, (reached, points, status) in _results.items():
        print(f"{exercise:{width}}  {f'{reached:g}/{points:g}':>6}  {status}")
    reached, possible = (sum(r[i] for r in _results.values()) for i in (0, 1))
    print(f"{'total':{width}}  {f'{reached:g}/{possible:g}':>6}")
