"""Learning alone: the zip holds what is needed and hides what it must; hints come in steps, a solution after a try."""

import zipfile

import notebooks
from utils import hints
from utils.course import learn

import nbformat
import pytest

ENTRY = {"hint": "Think.", "parts": "`np.sum`", "solution": "def f(x):\n    return x", "stub": "def f(x):\n    pass"}


@pytest.mark.parametrize(
    ("asked", "written", "shown"),
    [
        (0, ENTRY["stub"], "Think."),
        (1, ENTRY["stub"], "Try first"),
        (2, "def f(x):\n\n    pass\n", "Try first"),
        (1, "def f(x):\n    return 1", "`np.sum`"),
        (2, "def f(x):\n    return 1", "return x"),
        (2, "", "Try first"),
    ],
)
def test_steps(asked, written, shown):
    text = hints.step(ENTRY, written, asked)
    assert shown in text and (shown == "return x" or ENTRY["solution"] not in text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Unpack the zip elsewhere, as a user does."""
    target = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(learn.make(notebooks.ROOT)) as archive:
        archive.extractall(target)
    return target / "deep-learning"


def test_what_is_in_the_zip(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {*notebooks.NOTEBOOKS, "try_it.ipynb", "exam_cards.csv", "requirements.txt", "pyproject.toml"} <= names
    assert "utils/course" not in names and "nbgrader" not in (folder / "requirements.txt").read_text()
    assert "BEGIN SOLUTION" not in (folder / "lectures/01_neural_networks.ipynb").read_text(encoding="utf-8")
    assert "return" not in (folder / hints.FILE).read_text()


def test_a_solution_after_two_hints_and_a_try(folder):
    name = "lectures/01_neural_networks.ipynb"
    exercise = notebooks.exercises(notebooks.load(name))[0]
    hints.ask(folder, name, exercise.name)
    assert "Try first" in hints.ask(folder, name, exercise.name)
    notebook = nbformat.read(folder / name, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == exercise.solution.id)
    cell.source = cell.source.replace("raise NotImplementedError", "return 0.0")
    nbformat.write(notebook, folder / name)
    assert "made of" in hints.ask(folder, name, exercise.name)
    solution = hints.ask(folder, name, exercise.name)
    assert "def " in solution and "SOLUTION" not in solution and "NotImplementedError" not in solution


def test_what_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(KeyError, match=r"there are .*lectures/01_neural_networks\.ipynb"):
        hints.ask(folder, "lectures/99.ipynb", "neuron")
    with pytest.raises(KeyError, match="has no exercise 'neurone'; there are"):
        hints.ask(folder, "lectures/01_neural_networks.ipynb", "neurone")
    with pytest.raises(FileNotFoundError, match="handed out without solutions"):
        hints.ask(tmp_path, "lectures/01_neural_networks.ipynb", "neuron")


def test_every_exercise_has_its_hints(folder):
    known = hints.unpack((folder / hints.FILE).read_text())
    for name in notebooks.NOTEBOOKS:
        assert {exercise.name for exercise in notebooks.exercises(notebooks.load(name))} <= set(known[name])
        entries = known[name].values()
        assert all(entry["stub"] != entry["solution"] and "SOLUTION" not in entry["solution"] for entry in entries)
        assert all(bool(entry["parts"]) == ("test" in entry) for entry in entries)


def test_a_question_shows_a_sample_answer_after_an_answer(folder):
    entry = hints.unpack((folder / hints.FILE).read_text())["lectures/01_neural_networks.ipynb"]["exam_neuron"]
    assert "Write your answer first" in hints.step(entry, entry["stub"], 0)
    assert "Try first" in hints.step(entry, entry["stub"], 1)
    assert "Sample answer" in hints.step(entry, "A neuron adds up.", 1)
