"""A small notebook that keeps every rule of the course, for the tests of what runs the course."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def graded(grade_id, points=None, solution=False):
    """Return the metadata of a graded cell: a solution, a test with points, or with both a question for a person."""
    metadata = {"grade_id": grade_id, "schema_version": 3, "task": False}
    metadata |= {"grade": points is not None, "solution": solution, "locked": not solution}
    return {"nbgrader": metadata | ({"points": points} if points is not None else {})}


SOLUTION = """\
def double(x):
    ### BEGIN SOLUTION
    return [2 * value for value in x]
    ### END SOLUTION"""

TEST = """\
def test_double():
    got = double([1, 2])
    assert got == [2, 4], f"expected [2, 4], got {got}: multiply each value by two"
    ### BEGIN HIDDEN TESTS
    assert double([]) == [], "wrong on an empty list"
    ### END HIDDEN TESTS


checks.grade(test_double, points=2)"""

ANSWER = """\
### BEGIN SOLUTION
Twice one is two, because doubling adds a number to itself.

Rubric: 3 points for the reason.
### END SOLUTION"""


def notebook(*extra):
    """Return the sample; the sources in `extra` become code cells after the set-up."""
    cells = [
        new_markdown_cell("# 1. Doubling"),
        new_code_cell('profile = "fast"', metadata={"tags": ["parameters"]}),
        new_code_cell(
            "from utils import checks\n\nsize = {'fast': 1, 'full': 2}[profile]", metadata={"tags": ["setup"]}
        ),
        *map(new_code_cell, extra),
        new_code_cell("print('size', size)"),
        new_code_cell(SOLUTION, metadata=graded("double", solution=True)),
        new_code_cell(TEST, metadata=graded("test_double", points=2)),
        new_markdown_cell("Why is twice one two?"),
        new_markdown_cell(ANSWER, metadata=graded("exam_double", points=3, solution=True)),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def write(path, *extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*extra), path)
    return path
