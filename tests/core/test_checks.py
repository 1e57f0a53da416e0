"""The line that a student reads, the points that nbgrader counts, and what the tests of the exercises share."""

import textwrap

import notebooks
from utils import checks, hints

import numpy as np
import pytest

STUB = "def square(x):\n    # YOUR CODE HERE\n    raise NotImplementedError"
TEST = """\
def test_square():
    got = square(3)
    assert got == 9, "3 squared is 9"
    {hidden}


checks.grade(test_square, points=2)"""
HIDDEN = "### BEGIN HIDDEN TESTS\n    assert square(0) == 0, 'wrong at 0'\n    ### END HIDDEN TESTS"
WHOLE_TEST = TEST.format(hidden=HIDDEN)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(checks, "_verdicts", {})
    monkeypatch.setattr(checks, "_at_work", {})


def verdict(*answers, test=WHOLE_TEST):
    """Run the cells of a student and a test cell; return (points, what was printed)."""
    space = {"checks": checks, "np": np}
    for answer in answers:
        notebooks.run(textwrap.dedent(answer), space)
    points, out, err = notebooks.run(test, space)
    assert err == ""
    return points, out


def test_a_right_answer_gets_its_points():
    assert verdict("def square(x):\n    return x * x") == (2, "square: passed, 2 of 2 points\n")


def test_without_its_hidden_tests_a_verdict_says_that_more_checks_run():
    out = verdict("def square(x):\n    return x * x", test=TEST.format(hidden=""))[1]
    assert out == "square: passed, 2 of 2 points. More checks run when it is graded.\n"


@pytest.mark.parametrize(("answer", "said"), [("x * x", "passed, 2 of 2 points"), ("x * x + (x == 0)", "wrong at 0")])
def test_a_copy_to_learn_alone_runs_the_hidden_tests(answer, said, monkeypatch, tmp_path):
    shown = TEST.format(hidden="")
    packed = hints.pack({"lectures/01.ipynb": {"square": {"test": WHOLE_TEST, "visible": shown}, "exam": {}}})
    (tmp_path / hints.FILE).write_text(packed)
    monkeypatch.setattr(checks, "__file__", str(tmp_path / "utils/checks.py"))
    out = verdict(f"def square(x):\n    return {answer}", test=shown)[1]
    assert said in out and "More checks" not in out
    unknown = verdict("def square(x):\n    return x * x", test=shown.replace("3 squared is", "Squared, 3 is"))[1]
    assert "More checks run when it is graded" in unknown


def test_points_are_text_for_nbgrader_and_nothing_for_the_reader():
    points, _ = verdict("def square(x):\n    return x * x")
    assert repr(points) == "2" and float(repr(points)) == points and points._repr_html_() == ""


def test_a_wrong_answer_gets_the_message_on_one_line():
    assert verdict("def square(x):\n    return x + x") == (0, "square: failed, 0 of 2 points. 3 squared is 9\n")


def test_the_untouched_stub_is_not_attempted():
    assert verdict(STUB) == (0, "square: not attempted, 0 of 2 points\n")


def test_a_stub_of_an_earlier_exercise_is_named():
    earlier = STUB.replace("square", "double")
    _, out = verdict(earlier, "def square(x):\n    return double(x) * x / 2")
    assert out.startswith(
        "square: failed, 0 of 2 points. It needs `double`, an earlier exercise that is not written yet"
    )


def test_an_earlier_stub_that_the_test_calls_is_named_too():
    test = WHOLE_TEST.replace("square(3)", "square(double(1) + 1)")
    _, out = verdict(STUB.replace("square", "double"), "def square(x):\n    return x * x", test=test)
    assert "It needs `double`" in out


def test_a_stub_in_a_class_and_an_earlier_class():
    stub = "class Square:\n    def __call__(self, x):\n        # YOUR CODE HERE\n        raise NotImplementedError"
    test = "def test_Square():\n    assert Square()(3) == 9\n\n\nchecks.grade(test_Square, points=1)"
    assert "not attempted" in verdict(stub, test=test)[1]
    assert "It needs `Square`" in verdict(stub, "def square(x):\n    return Square()(x)")[1]


@pytest.mark.parametrize(
    "answer",
    [
        "def square(x):\n    raise NotImplementedError('only for positive numbers')",
        "def square(x):\n    if x > 2:\n        raise NotImplementedError(x)\n    return x * x",
    ],
)
def test_an_error_that_the_student_raises_is_no_stub(answer):
    _, out = verdict(answer)
    assert out.startswith("square: failed, 0 of 2 points. NotImplementedError at `raise NotImplementedError(")
    assert "Your own code refuses an input that the task allows." in out


def test_code_above_a_stub_that_was_left_is_told():
    _, out = verdict("def square(x):\n    # YOUR CODE HERE\n    y = x * x\n    raise NotImplementedError")
    assert "the stub is still there and ends your code" in out


def test_only_lines_of_the_student_are_quoted():
    assert "ZeroDivisionError at `return 1 / 0`: division by zero" in verdict("def square(x):\n    return 1 / 0")[1]
    test = WHOLE_TEST.replace("got == 9", "got.shape == ()")
    _, out = verdict("def square(x):\n    return x * x", test=test)
    assert "The test cannot use what your code returned (AttributeError" in out and "got.shape" not in out
    _, out = verdict("def square(x):\n    return 1", test=WHOLE_TEST.replace(', "3 squared is 9"', ""))
    assert "A check does not hold: compare your answer with the task." in out and "got ==" not in out
    assert "AssertionError at `assert x > 5`" in verdict("def square(x):\n    assert x > 5")[1]


def test_leaving_the_program_is_a_failure():
    assert "SystemExit at `exit()`" in verdict("from sys import exit\n\n\ndef square(x):\n    exit()")[1]


def test_warnings_and_stderr_are_shown_and_cost_nothing():
    points, out = verdict(
        """
        import sys, warnings

        def square(x):
            warnings.warn("overflow in exp", RuntimeWarning)
            print("note", file=sys.stderr)
            return x * x
        """
    )
    assert points == 2
    assert "square: your code gave a warning: overflow in exp\n" in out
    assert "square: your code wrote to standard error: note\n" in out


def test_passed_tells_what_to_solve_and_the_summary_what_ran(capsys):
    assert not checks.passed("square", "double")
    assert capsys.readouterr().out == "Solve `square` and `double` to see your own code at work here.\n"
    verdict("def square(x):\n    return x * x")
    assert checks.passed("square")
    verdict(STUB.replace("square", "double"), test=TEST.format(hidden="").replace("square", "double"))
    assert not checks.passed("double")
    capsys.readouterr()
    checks.summary()
    assert capsys.readouterr().out.splitlines() == [
        "exercise  points  result",
        "square       2/2  passed",
        "double       0/2  not attempted",
        "total        2/4",
        "More checks run when the notebook is graded: these points can still change.",
        "Your own code at work in this notebook: square",
    ]


# What tests share


def refusal(function, *args, **options):
    with pytest.raises(AssertionError) as caught:
        function(*args, **options)
    return str(caught.value)


def test_arrays():
    value = np.array([1.0, 2.0])
    assert checks.expect_array(value, shape=(2,), kind="float") is value
    assert checks.expect_array(np.array([1, 2]), kind="int").dtype.kind == "i"
    assert refusal(checks.expect_array, [1.0]) == "expected a NumPy array, got a list: np.asarray(...) makes one of it"
    assert "expected a NumPy array, got None: does your function return it" in refusal(checks.expect_array, None)
    assert refusal(checks.expect_array, value, shape=(3,)) == "expected shape (3,), got shape (2,)"
    assert refusal(checks.expect_array, value > 1, kind="float", name="the slope") == (
        "the slope: expected an array of dtype float, got dtype bool"
    )
    assert "expected finite numbers, got array([nan])" in refusal(checks.expect_array, np.array([np.nan]))


def test_tensors_are_no_arrays_on_either_backend():
    from utils import runtime  # noqa: F401

    import keras

    assert "expected a NumPy array, got a" in refusal(checks.expect_array, keras.ops.ones(2))
    assert checks.expect_array(checks.from_tensor(keras.ops.ones(2)), (2,), "float").tolist() == [1, 1]
    assert checks.from_tensor([1.0]) == [1.0] and checks.from_tensor(None) is None


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0)])
def test_numbers(value):
    assert checks.expect_number(value) == 2.0


@pytest.mark.parametrize("value", [True, "2", [2], np.array([2.0]), None, np.nan])
def test_no_numbers(value):
    assert "expected a" in refusal(checks.expect_number, value)


def test_types():
    assert checks.expect_type([1], list) == [1]
    assert refusal(checks.expect_type, (1,), list) == "expected a list, got a tuple"
    assert refusal(checks.expect_type, True, int) == "expected an int, got a bool"


def test_errors_that_a_function_has_to_raise():
    def root(x):
        return {1: 1, 4: 2}[x]

    wanted = "expected a ValueError that you raise yourself when x is negative, got"
    assert refusal(checks.expect_error, ValueError, root, -1, when="x is negative") == f"{wanted} a KeyError: -1"
    assert refusal(checks.expect_error, ValueError, root, 4, when="x is negative") == f"{wanted} no error but 2"
    checks.expect_error(ValueError, int, "x", when="it is no number")


def test_a_not_implemented_error_with_a_message_is_no_stub():
    def stub():
        raise NotImplementedError

    def answer():
        raise NotImplementedError("four axes, please")

    with pytest.raises(NotImplementedError):
        checks.expect_error(ValueError, stub, when="x is negative")
    assert "got a NotImplementedError: four axes" in refusal(checks.expect_error, ValueError, answer, when="x is small")


def test_what_a_function_must_not_change():
    def sort(values):
        values.sort()
        return values

    message = "your function changed argument 1, which it was given: make a new one instead"
    assert refusal(checks.expect_unchanged, sort, np.array([2, 1])) == message
    assert refusal(checks.expect_unchanged, sort, [[2], [1]]) == message
    assert "changed `values`" in refusal(checks.expect_unchanged, sort, values=[2, 1])
    assert checks.expect_unchanged(sorted, [2, np.nan]) is not None


def test_forbidden_functions_raise_inside_the_block_only():
    space = {"checks": checks}
    source = """
    import numpy as np
    from numpy import convolve
    def by_name(): return convolve([1], [1])
    def by_module(): return np.convolve([1], [1])
    def test(function):
        with checks.forbidden("numpy.convolve"):
            return function()
    """
    notebooks.run(textwrap.dedent(source), space)
    for name in ("by_name", "by_module"):
        assert "write it yourself: your code calls numpy.convolve" in refusal(space["test"], space[name])
        assert space[name]() == [1]
