"""The README's table says what the notebooks say: title, minutes, points."""

import re

import notebooks

import pytest
from nbgrader.utils import is_grade, is_solution

README = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")


def expected_row(name):
    """Return the first four columns of the row for `name`; the assignment has the letter A for a number."""
    notebook = notebooks.load(name)
    opening = notebook.cells[0].source
    number, title = re.match(r"# (?:(\d+)\. )?(.+)", opening).groups()
    label = f"{int(number):02}" if number else "A"
    minutes = re.search(r"(\d+) min reading, (\d+) min exercises", opening)
    assert minutes, f"{name}: the first cell states no `... min reading, ... min exercises`"
    graded = [cell for cell in notebook.cells if is_grade(cell)]
    manual = sum(cell.metadata.nbgrader.points for cell in graded if is_solution(cell))
    auto = sum(cell.metadata.nbgrader.points for cell in graded) - manual
    return f"| [{label}]({name}) | {title} | {minutes[1]} + {minutes[2]} min | {auto:g} + {manual:g} |"


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_row_of_the_notebook(name):
    assert expected_row(name) in README


def test_no_row_without_a_notebook():
    rows = re.findall(r"^\| \[(?:\d+|A)\]\((.+?)\)", README, flags=re.MULTILINE)
    assert sorted(rows) == notebooks.NOTEBOOKS


def test_rows_stand_in_one_table():
    lines = [n for n, line in enumerate(README.splitlines()) if re.match(r"\| \[(?:\d+|A)\]\(", line)]
    assert lines == list(range(lines[0], lines[0] + len(notebooks.NOTEBOOKS))), "a line between two rows ends the table"
