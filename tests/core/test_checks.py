"""The line that a student reads, and the points that nbgrader counts."""

import sys
import warnings

from utils import checks

import pytest


def _grade(capsys, body, points=2):
    def test_square():
        body()

    reached = checks.grade(test_square, points)
    captured = capsys.readouterr()
    assert captured.err == ""
    return reached, captured.out


def _fail():
    raise AssertionError("expected 4, got 5:\n    check the exponent")


def _not_implemented():
    raise NotImplementedError


def _zero_division():
    return 1 / 0


def test_passed(capsys):
    assert _grade(capsys, lambda: None) == (2, "square: passed, 2 of 2 points\n")


def test_failed_gives_the_message_on_one_line(capsys):
    assert _grade(capsys, _fail) == (0, "square: failed, 0 of 2 points. expected 4, got 5: check the exponent\n")


def test_stub_is_not_attempted(capsys):
    assert _grade(capsys, _not_implemented) == (0, "square: not attempted, 0 of 2 points\n")


@pytest.mark.parametrize("body", [_zero_division, sys.exit, lambda: int("x")])
def test_any_exception_is_a_failure_that_names_it(capsys, body):
    reached, out = _grade(capsys, body)
    assert reached == 0 and out.startswith("square: failed, 0 of 2 points. ")
    assert any(name in out for name in ("ZeroDivisionError at `return 1 / 0`", "SystemExit", "ValueError"))


def test_assertion_without_message_shows_the_check(capsys):
    def body():
        raise AssertionError

    assert "The check `raise AssertionError` does not hold." in _grade(capsys, body)[1]


def test_warnings_and_stderr_are_shown_and_cost_nothing(capsys):
    def body():
        warnings.warn("overflow in exp", RuntimeWarning, stacklevel=1)
        print("note", file=sys.stderr)

    reached, out = _grade(capsys, body)
    assert reached == 2
    assert "square: your code gave a warning: overflow in exp\n" in out
    assert "square: your code wrote to standard error: note\n" in out


def test_summary_adds_up(capsys, monkeypatch):
    monkeypatch.setattr(checks, "_results", {"neuron": (2, 2, "passed"), "debug": (0, 3, "not attempted")})
    checks.summary()
    assert capsys.readouterr().out.splitlines() == [
        "exercise  points  result",
        "neuron       2/2  passed",
        "debug        0/3  not attempted",
        "total        2/5",
    ]
