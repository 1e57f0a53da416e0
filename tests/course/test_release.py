"""The folder for students: what it holds, and what must never be in it."""

import shutil

import notebooks
import sample
from utils.course import release

import nbformat
import pytest


@pytest.fixture
def course(tmp_path):
    """A course with one small notebook."""
    for name in (*release.NEEDED, "nbgrader_config.py"):
        shutil.copy(notebooks.ROOT / name, tmp_path)
    shutil.copytree(notebooks.ROOT / "utils", tmp_path / "utils")
    sample.write(tmp_path / "lectures" / "01_sample.ipynb")
    return tmp_path


def test_folder_is_ready_to_be_handed_out(course):
    assert release.release(course, course / "student")[0] == ["lectures/01_sample.ipynb"]
    have = {path.name for path in (course / "student").iterdir()}
    assert have == {*release.NEEDED, "README.md", "lectures", "utils"}
    assert (course / "student" / "utils" / "checks.py").exists()
    assert not (course / "student" / "utils" / "course").exists()


def test_weights_beside_a_notebook_are_handed_out(course):
    (course / "lectures" / "weights").mkdir()
    (course / "lectures" / "weights" / "model.safetensors").write_bytes(b"0")
    release.release(course, course / "student")
    assert (course / "student" / "lectures" / "weights" / "model.safetensors").read_bytes() == b"0"


def test_stubs_stand_where_solutions_were(course):
    release.release(course, course / "student")
    student = nbformat.read(course / "student" / "lectures" / "01_sample.ipynb", as_version=4)
    (exercise,) = notebooks.exercises(student)
    assert exercise.solution.source.endswith("    # YOUR CODE HERE\n    raise NotImplementedError")
    assert "YOUR ANSWER HERE" in student.cells[-1].source
    assert "hidden" not in exercise.test.source.lower() and "checks.grade" in exercise.test.source


def others(course):
    """Return what lies beside `student` in the course's folder under a name like it."""
    return [path for path in course.iterdir() if "student" in path.name and path.name != "student"]


def test_a_folder_as_it_was_made_is_replaced(course):
    release.release(course, course / "student")
    sample.write(course / "lectures" / "02_sample.ipynb")
    names, old = release.release(course, course / "student")
    assert names == ["lectures/01_sample.ipynb", "lectures/02_sample.ipynb"]
    assert old is None and others(course) == []


WRITTEN = {
    "added": "note.txt",
    "changed": "lectures/01_sample.ipynb",
    "checkpoint": "lectures/.ipynb_checkpoints/01_sample-checkpoint.ipynb",
}


@pytest.mark.parametrize("file", WRITTEN.values(), ids=WRITTEN)
def test_what_a_person_wrote_is_kept(course, file):
    release.release(course, course / "student")
    (course / "student" / file).parent.mkdir(exist_ok=True)
    (course / "student" / file).write_text("mine")
    _, old = release.release(course, course / "student")
    assert (old / file).read_text() == "mine" and others(course) == [old]
    assert "mine" not in (course / "student" / "lectures" / "01_sample.ipynb").read_text()
    shutil.rmtree(course / "build")  # a folder of unknown origin counts as a person's
    assert release.release(course, course / "student")[1] is not None


def test_a_failed_release_leaves_the_folder_before_it_whole(course, monkeypatch, capsys):
    release.release(course, course / "student")
    before = release.contents(course / "student")
    sample.write(course / "lectures" / "01_sample.ipynb", "from utils.course import run")
    monkeypatch.chdir(course)
    with pytest.raises(SystemExit, match=r"imports utils\.course, which students do not get") as stop:
        release.main()
    assert "student/ is as it was" in str(stop.value)
    assert release.contents(course / "student") == before and others(course) == []


@pytest.mark.parametrize("name", ["course (1)", "C++", "[DL] course"])
def test_folders_with_brackets(course, name):
    moved = course.parent / name
    course.rename(moved)
    assert release.release(moved, moved / "student")[0] == ["lectures/01_sample.ipynb"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("answer = lambda x:  [2 * value for value in x]\nreturn_ = 0", None),
        ("def again(x):\n    return [2 * value\n        for value in x]", "the hidden text of double stands in cell 4"),
        ("same = double([]) == []\nassert double([]) == [], 'wrong on an empty list'", None),
        ('assert double([]) == [], "wrong on an empty list"', "the hidden text of test_double stands in cell 4"),
        ("# Twice one is two, because doubling adds a number to itself.\n# Rubric: 3 points for the reason.", None),
        ("from utils.course import run", "imports utils.course"),
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "outside|non-solution"),
    ],
    ids=["near-answer", "answer", "near-test", "hidden-test", "near-rubric", "import", "stray-marker"],
)
def test_leaks_are_found(course, extra, message):
    sample.write(course / "lectures" / "01_sample.ipynb", extra)
    if message is None:
        assert release.release(course, course / "student")
        return
    with pytest.raises(release.ReleaseError, match=message):
        release.release(course, course / "student")
    assert not (course / "student").exists()


def test_markers_and_outputs_are_found():
    source = sample.notebook()
    found = "\n".join(release.leaks(source, source))
    for wanted in ("'BEGIN SOLUTION'", "'BEGIN HIDDEN TESTS'", "text of double", "text of exam_double"):
        assert wanted in found
