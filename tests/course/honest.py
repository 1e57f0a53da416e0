"""Honest notebooks as students hand them in: every kind is right, for the sample course of corpus.py.

All get full points. `CODE` (honest.txt) holds what stands in cells, `SHAPES` what editors and platforms make of the
file. `WAITS` are honest as well, but need something that only the student's machine has: a person looks, and no answer
ends as a silent 0.
"""

import copy
import re
from pathlib import Path

import corpus

DOUBLE = "def double(x):\n    return [2 * v for v in x]"
USES = "def double(x):\n    return [twice(v) for v in x]"
SQUARE = "def mean_square(x):\n    return (x * x).mean(axis=0)"
STUB = "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError"

BLOCK = re.compile(r"^#%% (.+)$", re.MULTILINE)


def read(kind):
    """Return {name: (the solution cell of `double`, other cells of the student's above it)} of one kind in honest.txt.

    A block begins with `#%% kind | name`, the other cells of the same student with `#%% above`.
    """
    found, wanted = {}, False
    parts = BLOCK.split((Path(__file__).parent / "honest.txt").read_text(encoding="utf-8"))
    for head, source in zip(parts[1::2], parts[2::2], strict=True):
        if head != "above":
            wanted, name = head.startswith(f"{kind} | "), head.partition(" | ")[2]
        if wanted:
            found[name] = (*found.get(name, ()), source.strip("\n"))
    return found


CODE = read("full") | {
    "tabs_and_a_long_line": ("def double(x):\n\treturn [\n\t\t2 * v  # " + "x" * 3000 + "\n\t\tfor v in x\n\t]",),
    "odd_line_ends": ("s = 'a\u2028b\u2029c\x0cd\x85e'\n\x0c\n\n" + DOUBLE,),
    "not_ascii": (
        "def verdopple(größe):\n    π = 2  # Füße 漢字\n    return [π * v for v in größe]\n\n\ndouble = verdopple",
    ),
    "pasted_prompts": ("In [1]: def double(x):\n   ...:     return [2 * v for v in x]\n   ...: ",),
    "empty_lines_above_a_magic": ("\n\n%%time\n" + DOUBLE,),
}
WAITS = read("waits")
SHAPES = {}
WORDS = "Because one and one is two. " * 3  # what corpus.Submission answers


def shape(make):
    SHAPES[make.__name__] = make
    return make


def below(s, name, source, **more):
    """Insert a cell below the cell `name`."""
    place = s.cells.index(s.cell(name)) + 1
    s.insert(place, source, **more)
    return s.cells[place]


def text_cell(source, **more):
    return {"cell_type": "markdown", "source": source, "metadata": {}, **more}


@shape
def answer_in_a_new_cell_below_the_stub(s):
    s.answer(double=STUB)
    below(s, "double", DOUBLE)


@shape
def answer_in_a_new_cell_below_the_test(s):
    s.answer(double=STUB)
    below(s, "test_double", DOUBLE)


@shape
def answer_in_a_new_cell_below_an_emptied_one(s):
    s.answer(double="")
    below(s, "double", DOUBLE)


@shape
def better_answer_below_a_wrong_one(s):
    s.answer(double="def double(x):\n    return x * 2")
    below(s, "double", DOUBLE)


@shape
def stub_copied_before_it_was_answered(s):
    s.cells.append(copy.deepcopy(s.cell("double")) | {"source": STUB})


@shape
def split_and_the_second_half_lost_its_id(s):
    s.answer(double="def twice(v):\n    return 2 * v")
    below(s, "double", USES)


@shape
def split_in_three(s):
    s.answer(double="import math")
    second = below(s, "double", "def twice(v):\n    return 2 * v")
    second["metadata"] = copy.deepcopy(s.cell("double")["metadata"])
    s.cells.insert(s.cells.index(second) + 1, copy.deepcopy(second) | {"source": USES})


@shape
def two_solutions_merged(s):
    s.answer(double=DOUBLE + "\n\n\n" + SQUARE)
    s.cells.remove(s.cell("mean_square"))


@shape
def solution_and_test_merged(s):
    s.answer(double=DOUBLE + "\n\n" + s.cell("test_double")["source"])
    s.cells.remove(s.cell("test_double"))


@shape
def all_in_one_cell(s):
    s.answer(double="\n\n\n".join(corpus.GOOD[name] for name in ("debug", "mean_square", "double")))
    for name in ("mean_square", "debug"):
        s.cells.remove(s.cell(name))


@shape
def experiments_after_the_tests(s):
    for number in range(3):
        s.insert(len(s.cells), f"def double(x):\n    return {number}\n\n\nprint(double([1]))")


@shape
def setup_repeated_in_every_cell(s):
    for name in corpus.GOOD:
        s.cell(name)["source"] = "import numpy as np\nfrom utils import checks\n\nFACTOR = 2\n" + s.cell(name)["source"]


@shape
def helper_with_another_meaning_for_each_exercise(s):
    s.insert(3, "def aid(v):\n    return 2 * v")
    s.answer(double="def double(x):\n    return [aid(v) for v in x]")
    below(s, "test_double", "def aid(v):\n    return v * v")
    s.answer(mean_square="def mean_square(x):\n    return aid(x).mean(axis=0)")
    below(s, "test_mean_square", "aid = np.sqrt")
    s.answer(debug="def fixed_scale(x):\n    return x / aid((x**2).mean(axis=0))")


@shape
def constant_with_another_value_for_each_exercise(s):
    s.insert(3, "K = 2")
    s.answer(double="def double(x):\n    return [K * v for v in x]")
    below(s, "test_double", "K = 0")
    s.answer(mean_square="def mean_square(x):\n    return (x * x).mean(axis=K)")


@shape
def solutions_that_need_each_other_in_another_order(s):
    """The student moved `mean_square` up and uses it at the top of the cell of `double`."""
    cell = s.cell("mean_square")
    s.cells.remove(cell)
    s.cells.insert(3, cell)
    scale = "SCALE = int(mean_square(np.array([[2.0], [2.0]]))[0] / 2)"
    s.answer(double=f"{scale}\n\n\ndef double(x):\n    return [SCALE * v for v in x]")


@shape
def helper_made_of_a_solution(s):
    below(s, "mean_square", "def rms(x):\n    return mean_square(x) ** 0.5\n\n\nUNIT = rms(np.ones((2, 1)))")
    s.answer(debug="def fixed_scale(x):\n    return x / (UNIT * rms(x))")


@shape
def test_cells_run_in_the_solution(s):
    s.answer(double=DOUBLE + "\n\n\n" + s.cell("test_double")["source"] + "\n\ntest_double()")


@shape
def cells_deleted_that_are_not_graded(s):
    s.cells[:] = [c for c in s.cells if "nbgrader" in c["metadata"]]


@shape
def own_notes_between_the_cells(s):
    for place in range(len(s.cells), 0, -1):
        s.cells.insert(place, text_cell(f"my note {place}: $x^2$ <br> ![](attachment:a.png)", id=f"n{place}"))


@shape
def stub_line_left_below_the_answer(s):
    s.answer(double=DOUBLE + "\n    # YOUR CODE HERE\n    raise NotImplementedError")


@shape
def outputs_cleared(s):
    for cell in s.cells:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


@shape
def run_in_two_halves_after_a_restart(s):
    for number, cell in enumerate(c for c in s.cells if c["cell_type"] == "code"):
        cell["execution_count"] = (number + 5) % 9 or None


@shape
def large_outputs(s):
    s.cell("double")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x" * 79 + "\n"] * 60_000}]
    image = {"image/png": "iVBORw0KGgo" * 100_000, "text/plain": ["<Figure>"]}
    s.cell("debug")["outputs"] = [{"output_type": "display_data", "data": image, "metadata": {}}]


@shape
def error_in_the_outputs(s):
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["\x1b[31mKeyError\x1b[0m"]}
    s.cell("double")["outputs"] = [error]


@shape
def by_colab(s):
    s.notebook["metadata"] = {
        "colab": {"provenance": [], "toc_visible": True, "gpuType": "T4"},
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "accelerator": "GPU",
        "widgets": {"application/vnd.jupyter.widget-state+json": {"a" * 32: {"model_name": "HTMLModel", "state": {}}}},
    }
    s.notebook["nbformat_minor"] = 0
    for number, cell in enumerate(s.cells):
        cell.pop("id", None)
        cell["metadata"] |= {"id": f"c{number}ab", "outputId": "1-2", "colab": {"base_uri": "https://localhost:8080/"}}
        cell["source"] = cell["source"].splitlines(keepends=True)


@shape
def by_colab_with_every_id_lost(s):
    s.notebook["nbformat_minor"] = 0
    for number, cell in enumerate(s.cells):
        cell.pop("id", None)
        cell["metadata"] = {"id": f"c{number}ab"}


@shape
def by_vs_code(s):
    s.notebook["metadata"] = {
        "kernelspec": {"name": "python3", "display_name": ".venv"},
        "language_info": {"version": "3.12.1"},
    }
    for cell in s.cells:
        cell["metadata"]["vscode"] = {"languageId": "python"}
    s.insert(4, "%%bash\nls", vscode={"languageId": "shellscript"})


@shape
def by_pycharm(s):
    for cell in s.cells:
        cell["metadata"] |= {"pycharm": {"name": "#%%\n", "is_executing": True}, "collapsed": False}
    s.notebook["metadata"]["pycharm"] = {"stem_cell": {"cell_type": "raw", "source": [], "metadata": {}}}


@shape
def by_kaggle(s):
    for number, cell in enumerate(s.cells):
        cell["metadata"] |= {"_uuid": f"d629ff2d{number}", "_cell_guid": "b1076dfc", "trusted": True, "execution": {}}


@shape
def by_deepnote(s):
    """Deepnote keeps no metadata of nbgrader's."""
    s.notebook["metadata"] = {"deepnote_notebook_id": "0", "deepnote_execution_queue": []}
    for number, cell in enumerate(s.cells):
        cell["metadata"] = {"cell_id": f"0{number}", "deepnote_cell_type": cell["cell_type"], "source_hash": None}
        cell["block_group"] = "0"


@shape
def by_jupytext(s):
    s.notebook["metadata"] = {"jupytext": {"formats": "ipynb,py:percent", "text_representation": {}}}
    for cell in s.cells:
        cell["metadata"] |= {"lines_to_next_cell": 2, "jp-MarkdownHeadingCollapsed": True}


@shape
def by_an_old_jupyter(s):
    """Format 4.2: no ids, sources as lists, prompts in the outputs."""
    s.notebook["nbformat_minor"] = 2
    for cell in s.cells:
        cell.pop("id", None)
        cell["source"] = cell["source"].splitlines(keepends=True)


@shape
def cells_without_what_the_format_demands(s):
    for cell in s.cells:
        for key in ("outputs", "execution_count", "id"):
            cell.pop(key, None)


@shape
def folded_and_hidden(s):
    for cell in s.cells:
        cell["metadata"] |= {"jupyter": {"source_hidden": True, "outputs_hidden": True}, "editable": False}
        cell["metadata"]["tags"] = ["hide-input", "remove_cell"]


@shape
def slides_and_comments(s):
    for cell in s.cells:
        cell["metadata"] |= {"slideshow": {"slide_type": "slide"}, "ExecuteTime": {"end_time": "2026-11-02T23:59"}}


@shape
def answer_in_words_in_a_new_cell(s):
    s.cell("exam_double")["source"] = STUB_WORDS
    s.cells.append(text_cell(WORDS, id="words"))


@shape
def answer_in_words_as_raw_text(s):
    s.cell("exam_double")["cell_type"] = "raw"


@shape
def answer_in_words_in_a_code_cell(s):
    s.cell("exam_double").update(cell_type="code", source="# " + WORDS, outputs=[], execution_count=None)


@shape
def answer_in_words_split(s):
    cell = s.cell("exam_double")
    cell["source"] = WORDS[:27]
    s.cells.append(copy.deepcopy(cell) | {"source": WORDS[27:]})


STUB_WORDS = "YOUR ANSWER HERE (double-click this cell to edit it)"


class Solved(corpus.Submission):
    """Any notebook of the course with these answers, {id: source}, as an editor or a platform saves it."""

    def __init__(self, handed_out, answers, editor):
        self.notebook = copy.deepcopy(handed_out)
        self.answer(**answers)
        editor(self)


EDITORS = [
    *(by_colab, by_vs_code, by_pycharm, by_kaggle, by_deepnote, by_jupytext, by_an_old_jupyter, folded_and_hidden),
    *(by_colab_with_every_id_lost, cells_without_what_the_format_demands, slides_and_comments),
]


def write(handed_out, folder):
    """Write one student for each kind into `folder`; return the names of those who must get full points, and others."""
    kinds = {**CODE, **WAITS}
    for name, (solution, *others) in kinds.items():
        s = corpus.Submission(handed_out).answer(double=solution)
        for number, source in enumerate(others):
            s.insert(3 + number, source)
        s.write(folder / name)
    for name, make in SHAPES.items():
        s = corpus.Submission(handed_out)
        make(s)
        s.write(folder / name)
    return [*CODE, *SHAPES], list(WAITS)
