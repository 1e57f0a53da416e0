"""What Jupyter accepts, the grader accepts: magics, helpers in other cells, indented cells. One batch for all."""

import corpus
from test_grade import points, run, statuses
from utils.course import answers, exercises, magics
from utils.course.cells import parse

import pytest

DOUBLE = "def double(x):\n    return [2 * v for v in x]"
USES = "def double(x):\n    return [twice(v) for v in x]"

# Name -> (the solution cell of `double`, other cells of the student's). All work in Jupyter, so all get full points.
HONEST = {
    "matplotlib_inline": ("%matplotlib inline\n" + DOUBLE,),
    "time_at_the_end": (DOUBLE + "\n\n%time double([1])",),
    "time_with_a_value": (DOUBLE + "\n\ny = %time double([1])\nprint(y)",),
    "cell_magic_time": ("%%time\n" + DOUBLE,),
    "cell_magic_capture": ("%%capture\n" + DOUBLE,),
    "help": (DOUBLE + "\n\ndouble?\nnp.mean??\n?np.sum",),
    "display": (DOUBLE + "\n\ndisplay(double([1, 2]))",),
    "display_in_the_function": ("def double(x):\n    display(x)\n    return [2 * v for v in x]",),
    "indented": ("    def double(x):\n        return [2 * v for v in x]",),
    "prompts": (">>> def double(x):\n...     return [2 * v for v in x]",),
    "pip": ("!pip install numpy\n%pip install scipy\n" + DOUBLE,),
    "reload": ("%load_ext autoreload\n%autoreload 2\n" + DOUBLE,),
    "bang_in_a_string": ('TEXT = """\n!rm -r\n%%bash\n"""\n' + DOUBLE,),
    "helper_below_a_magic": (USES, "%matplotlib inline\n!ls\ndef twice(v):\n    return 2 * v"),
    "helper_in_a_time_cell": (USES, "%%time\ndef twice(v):\n    return 2 * v"),
    "helper_in_try": (
        USES,
        "try:\n    from scipy import jit\nexcept ImportError:\n    def jit(f):\n        return f",
        "@jit\ndef twice(v):\n    return 2 * v",
    ),
    "helper_in_if": (USES, "if FACTOR == 2:\n    def twice(v):\n        return 2 * v\nelse:\n    twice = None"),
    "helper_in_with": (USES, "with np.errstate(all='ignore'):\n    two = 2\n\n\ndef twice(v):\n    return two * v"),
    "helper_from_star": (
        "def double(x):\n    return [int(fsum([v, v])) for v in x]",
        "from math import *",
    ),
    "table_filled_by_a_loop": (
        "def double(x):\n    return [TABLE[v] for v in x]",
        "TABLE = {}\nfor i in range(100):\n    TABLE[i] = 2 * i",
    ),
    "list_filled_by_append": (
        "def double(x):\n    return [LIST[v] for v in x]",
        "LIST = []",
        "for i in range(100):\n    LIST.append(2 * i)\nprint(LIST)",
    ),
    "counted_up": ("def double(x):\n    return [K * v for v in x]", "K = 1", "K += 1"),
    "filled_by_a_function": (
        "def double(x):\n    return [int(A[v]) for v in x]",
        "A = np.zeros(100)\n\n\ndef fill(array):\n    array[:] = 2 * np.arange(100)\n\n\nfill(A)",
    ),
    "helper_uses_a_helper_below": (USES, "def twice(v):\n    return two() * v", "def two():\n    return 2"),
    "import_added_to_the_setup": (
        "def double(x):\n    return list(map(mul, x, [2] * len(x)))",
        "from operator import mul",
    ),
    "print_debugging": ("def double(x):\n    print('x' * 200_000)\n    return [2 * v for v in x]",),
    "class_helper": (USES, "class Two:\n    n = 2", "twice = lambda v: Two.n * v"),
}

# Work that cannot be taken over as it stands: a person looks, and nobody gets a silent 0.
REVIEWED = {
    "changed_setup": ("def double(x):\n    return [(FACTOR - 1) * v for v in x]", "FACTOR = 3"),
    "shell_output": ("def double(x):\n    return [len(files) and 2 * v for v in x]", "files = !ls"),
    "helper_in_a_broken_cell": (USES, "def twice(v):\n    return 2 * v\n\n\ndef (:"),
    "helper_in_a_bash_cell": (USES, "%%writefile twice.py\ndef twice(v):\n    return 2 * v"),
    "reads_a_file": ("from pathlib import Path\n\nTABLE = open(Path('table.txt')).read()\n\n\n" + DOUBLE,),
    "helper_that_stops": (USES, "open('/no/such/file')\ntwice = (lambda v: 2 * v) if open('/no/such') else None"),
}
TYPO = {"typo": ("def double(x):\n    return [twize(v) for v in x]", "def twice(v):\n    return 2 * v")}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    work = tmp_path_factory.mktemp("cells")
    handed_out = corpus.write_course(work / "course")
    for name, (solution, *others) in {**HONEST, **REVIEWED, **TYPO}.items():
        submission = corpus.Submission(handed_out).answer(double=solution)
        for number, source in enumerate(others):
            submission.insert(3 + number, source)
        submission.write(work / "in" / name)
    run(work / "course", work / "in", work / "out", "--jobs", "2")
    return statuses(work / "out")


@pytest.mark.parametrize("name", HONEST)
def test_what_works_in_jupyter_gets_full_points(batch, name):
    status = batch[name]
    assert (status["status"], points(status)) == ("graded", corpus.FULL), status["reasons"]


@pytest.mark.parametrize("name", REVIEWED)
def test_what_is_not_taken_over_goes_to_a_person(batch, name):
    status = batch[name]
    assert (status["status"], points(status)) == ("needs review", 4), status["reasons"]
    assert status["reasons"] and all(reason.startswith("double: ") for reason in status["reasons"])


def test_a_name_that_stands_nowhere_is_a_wrong_answer(batch):
    assert (batch["typo"]["status"], points(batch["typo"])) == ("graded", 4)


def test_the_grader_sees_what_the_student_wrote(batch):
    assert batch["time_at_the_end"]["exercises"]["double"]["source"].endswith("%time double([1])")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("%%timeit\nx = 1", "None\n"),
        ("x = 1\n\n%config a\ny = %time 3", "x = 1\n\nNone\ny = (3)\n"),
        ("%%time\n%matplotlib inline\nx = 1", "\nNone\nx = 1\n\n"),
        ("def f(:", "def f(:"),
        ("s = '''\n%%bash\n'''", "s = '''\n%%bash\n'''"),
        ("a = '\0'", "a = '\0'"),
    ],
)
def test_lines_stay_where_they_are(source, text):
    assert magics.as_python(source).text == text


def test_commands_are_told():
    assert magics.as_python("!rm -r x\ny = !ls\n!pip install z\n%run other.ipynb").commands == (
        "!rm -r x",
        "!ls",
        "%run other.ipynb",
    )


def test_course_cells_are_python_and_stay_as_they_are():
    """The released notebooks hold no magic, and reading them changes nothing."""
    for lecture in exercises.read_course().values():
        cells, _ = parse(corpus.json.dumps(lecture.released).encode())
        assert all(cell.source == cell.written and not cell.commands for cell in cells)
        found = answers.find_answers(cells, lecture)
        assert {name for name, _ in found.cells} == {exercise.name for exercise in lecture.exercises}
        assert not found.doubts and not found.suspicions
