"""What a program can judge of the house style and of the notebooks' contracts, over their JSON; nothing is executed.

A rule takes a notebook and yields its faults. Each rule is proved to find the fault that it is for (`SPOILS`).
"""

import ast
import copy
import re
import symtable

import notebooks
from utils.course import release
from utils.course.exercises import student_version

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader.utils import is_grade, is_solution

FOREIGN = re.compile(r"(?<![\w.:/])(?:/(?:home|root|tmp|work|Users|mnt|opt)/|[A-Z]:\\)|site-packages")
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<[^>]+>|!(?=\[)", re.DOTALL)


def text_of(output):
    """Return the text that an output shows, images left out."""
    shown = [output.get("text", ""), output.get("evalue", "")]
    return "\n".join(shown + [str(v) for k, v in output.get("data", {}).items() if k.startswith("text/")])


def outputs(notebook):
    return [(n, out) for n, cell in enumerate(notebook.cells, 1) for out in cell.get("outputs", ())]


def is_figure(cell):
    return any(kind.startswith("image/") for output in cell.get("outputs", ()) for kind in output.get("data", {}))


def python(cell):
    """Return the source of a code cell without magics."""
    return "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))


def global_names(source):
    """Return the names of the notebook's namespace that `source` reads or binds, inside functions too."""

    def walk(table):
        inside = table.get_type() != "module"
        yield from (s.get_name() for s in table.get_symbols() if not inside or s.is_global())
        for child in table.get_children():
            yield from walk(child)

    return set(walk(symtable.symtable(source, "<cell>", "exec")))


def defined_names(source):
    """Return the names that `source` binds at its top level."""
    return {s.get_name() for s in symtable.symtable(source, "<cell>", "exec").get_symbols() if s.is_assigned()}


def headings(notebook):
    return [line for text in notebooks.prose(notebook) for line in text.splitlines() if line.startswith("#")]


def opening(notebook):
    """Return the text before the first code cell."""
    first = next(n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    return "\n\n".join(cell.source for cell in notebook.cells[:first])


def sections(notebook):
    """Return the numbered sections as {heading: text}."""
    found, heading = {}, None
    for line in "\n".join(notebooks.prose(notebook)).splitlines():
        if line.startswith("## "):
            heading = line[3:] if re.match(r"## \d+\. ", line) else None
        if heading:
            found[heading] = found.get(heading, "") + line + "\n"
    return found


# Rules for every notebook


def one_parameters_cell(notebook):
    sources = [cell.source.strip() for cell in notebook.cells if "parameters" in notebooks.tags(cell)]
    if sources != ['profile = "fast"']:
        yield f'expected one cell tagged `parameters` that holds only `profile = "fast"`, found {sources}'
    if not any("setup" in notebooks.tags(cell) for cell in notebook.cells):
        yield "no cell is tagged `setup`"


def python3_kernel(notebook):
    if (name := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield f"kernelspec is {name!r}, expected 'python3'"


def executed_in_one_go(notebook):
    counts = [cell.execution_count for cell in notebooks.code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, expected 1, 2, 3, ...: restart the kernel and run all cells"


def clean_outputs(notebook):
    for number, output in outputs(notebook):
        if output.output_type == "error" or output.get("name") == "stderr" or "Warning:" in text_of(output):
            yield f"cell {number} shows an error, a warning or standard error: {text_of(output)[:100]!r}"


def no_path_of_one_machine(notebook):
    for number, cell in enumerate(notebook.cells, 1):
        for text in [cell.source, *map(text_of, cell.get("outputs", ()))]:
            if match := FOREIGN.search(text):
                yield f"cell {number} holds a path of one machine: {text[match.start() :][:60]!r}"


def no_empty_cell(notebook):
    yield from (f"cell {n} is empty" for n, cell in enumerate(notebook.cells, 1) if not cell.source.strip())


def short_code_cells(notebook):
    for number, cell in enumerate(notebook.cells, 1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if cell.cell_type == "code" and not notebooks.is_graded(cell) and len(lines) > 25:
            yield f"cell {number} (`{lines[0]}`) has {len(lines)} lines of code, at most 25 wanted: one idea a cell"


def checked_cells_show_text(notebook):
    for number, cell in enumerate(notebook.cells, 1):
        if "nbval-check-output" in notebooks.tags(cell) and not any(map(text_of, cell.get("outputs", ()))):
            yield f"cell {number} is tagged nbval-check-output and shows no text that could be compared"


def plain_words(notebook):
    yield from (f"emoji in the heading {line!r}" for line in headings(notebook) if EMOJI.search(line))
    for text in notebooks.prose(notebook):
        for line in NOT_PROSE.sub(" ", text).splitlines():
            if "!" in line:
                yield f"exclamation mark in {line.strip()!r}"


def every_figure_is_read(notebook):
    for number, (cell, after) in enumerate(zip(notebook.cells, [*notebook.cells[1:], None], strict=True), 1):
        if is_figure(cell) and (not after or after.cell_type != "markdown" or after.source.startswith("#")):
            yield f"the figure of cell {number} is not followed by a text cell that says how to read it"


def every_figure_has_alt_text(notebook):
    for number, output in outputs(notebook):
        if "image/png" in output.get("data", {}) and not output.metadata.get("image/png", {}).get("alt"):
            yield f"a figure of cell {number} has no alt text: call `plotting.use_style` and give the figure a title"


def exercises_say_what_they_ask(notebook):
    for exercise in notebooks.exercises(notebook):
        unit = "point" if exercise.points == 1 else "points"
        for wanted in (f"`{exercise.name}`", "Input", "Output", f"{exercise.points:g} {unit}", " min"):
            if wanted not in exercise.text:
                yield f"the text above exercise {exercise.name} does not state {wanted!r}"


def markers_stand_alone(notebook):
    for number, cell in enumerate(notebook.cells, 1):
        for line in cell.source.splitlines():
            if release.MARKER.search(line) and not re.fullmatch(r"\s*(### \w+ [\w ]+|<!-- ### \w+ \w+ -->)\s*", line):
                yield f"cell {number}: `{line.strip()}`; nbgrader removes whole lines, so a marker needs one of its own"


def graded_cells_are_whole(notebook):
    ids = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if notebooks.is_graded(cell)]
    yield from (
        f"grade_id {name} stands on {ids.count(name)} cells" for name in sorted(set(ids)) if ids.count(name) > 1
    )
    for cell in notebook.cells:
        if is_solution(cell) and "### BEGIN SOLUTION" not in cell.source:
            yield f"the cell {cell.metadata.nbgrader.grade_id} has no ### BEGIN SOLUTION"
    for exercise in notebooks.exercises(notebook):
        name, last = exercise.name, exercise.test.source.strip().splitlines()[-1]
        if last != f"checks.grade(test_{name}, points={exercise.points:g})":
            yield f"the test of {name} ends in `{last}`; expected checks.grade with {exercise.points:g} points"
        if "### BEGIN HIDDEN TESTS" not in exercise.test.source:
            yield f"the test of {name} has no hidden part"
        if not exercise.test.metadata.nbgrader.locked:
            yield f"the test of {name} is not locked"


def solutions_stand_in_one_place(notebook):
    """The text of a solution or hidden test does not stand in a cell that students get."""
    config = release.nbgrader_config(notebooks.ROOT, notebooks.ROOT)
    yield from release.leaks(notebook, student_version(notebook, config))


def graded_path_is_plain_python(notebook):
    for cell in notebooks.graded_path(notebook):
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"`{(error.text or '').strip()}` is no plain Python, but the cell is needed for grading"


def is_own_code_block(node):
    """Tell whether a statement is `if checks.passed("name", ...):` without an else."""
    call = node.test if isinstance(node, ast.If) and not node.orelse else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "checks.passed"


def stubs_break_no_demonstration(notebook):
    """Names of graded cells stand only in blocks of the student's own code that ask for their exercises."""
    graded = [cell for cell in notebooks.code_cells(notebook) if notebooks.is_graded(cell)]
    defined = {cell.metadata.nbgrader.grade_id: defined_names(cell.source) for cell in graded}
    graded_names = set().union(*defined.values())
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code" and not notebooks.is_graded(cell):
            for node in ast.parse(python(cell)).body:
                asked = [a.value for a in node.test.args] if is_own_code_block(node) else []
                allowed = set().union(*(defined.get(name, set()) for name in asked))
                if names := (graded_names & global_names(ast.unparse(node))) - allowed:
                    yield f"cell {number} is not graded but uses names of graded cells: {sorted(names)}"


def own_code_is_at_work(notebook):
    """Each exercise drives a block of the student's own code somewhere after its test."""
    at_work = set()
    for cell in reversed(notebook.cells):
        if cell.cell_type == "code" and not notebooks.is_graded(cell):
            blocks = filter(is_own_code_block, ast.parse(python(cell)).body)
            at_work |= {argument.value for node in blocks for argument in node.test.args}
        elif is_grade(cell) and not is_solution(cell):
            name = cell.metadata.nbgrader.grade_id.removeprefix("test_")
            if name not in at_work:
                yield f"no cell after the test of {name} begins with `if checks.passed({name!r}):`"


RULES = (
    one_parameters_cell,
    python3_kernel,
    executed_in_one_go,
    clean_outputs,
    no_path_of_one_machine,
    no_empty_cell,
    short_code_cells,
    checked_cells_show_text,
    plain_words,
    every_figure_is_read,
    every_figure_has_alt_text,
    exercises_say_what_they_ask,
    markers_stand_alone,
    graded_cells_are_whole,
    solutions_stand_in_one_place,
    graded_path_is_plain_python,
    stubs_break_no_demonstration,
)


# Rules of the house style


def opens_with_what_it_is(notebook):
    titles = [line for line in headings(notebook) if line.startswith("# ")]
    if len(titles) != 1 or not notebook.cells[0].source.startswith("# "):
        yield f"expected one title, in the first cell; found {titles}"
    for wanted in (r"\d+ min", "[Pp]rerequisite", "[Ee]xam question", "[Oo]bjectives"):
        if not re.search(wanted, opening(notebook)):
            yield f"the text before the first code cell does not mention {wanted!r}"
    after = re.split("[Oo]bjectives", opening(notebook), maxsplit=1)[-1]
    if not 4 <= (count := len(re.findall(r"^(?:[-*]|\d+\.) ", after, flags=re.MULTILINE))) <= 6:
        yield f"{count} objectives, 4 to 6 wanted, each a list item"


def sections_predict_and_observe(notebook):
    found = sections(notebook)
    if len(found) < 4:
        yield f"{len(found)} sections named `## 1. ...`, at least 4 wanted"
    for heading, text in found.items():
        if not re.search(r"\d+ min", text):
            yield f"section {heading!r} gives no minutes"
        if ("**Predict" in text) != ("**What you should see" in text):
            yield f"section {heading!r} has only one of Predict and What you should see"
        elif text.find("**Predict") > text.rfind("**What you should see"):
            yield f"section {heading!r} tells What you should see before Predict"
    for wanted in ("**Predict", "**What you should see", "ommon mistake"):
        if (count := sum(wanted in text for text in found.values())) < 4:
            yield f"{wanted!r} stands in {count} sections, at least 4 wanted"


def minutes_add_up(notebook):
    """The minutes of reading and of exercises in the first cell are the sums of those below."""
    text = "\n".join(notebooks.prose(notebook)[1:])
    parts = [re.findall(r"\*(\d+) min reading", text), re.findall(r"points?, (\d+) min\)", text)]
    stated = re.search(r"(\d+) min reading, (\d+) min exercise", notebook.cells[0].source)
    if stated and (sums := [sum(map(int, found)) for found in parts]) != [*map(int, stated.groups())]:
        yield f"the first cell says {stated[0]}s, the sections and exercises add up to {sums}"


def closes_with_what_to_keep(notebook):
    titles = " ".join(headings(notebook)).lower()
    yield from (f"no heading says {word!r}" for word in ("summary", "quiz", "exam", "references") if word not in titles)
    references = notebooks.prose(notebook)[-1]
    if not re.search(r"doi\.org|arxiv", references, flags=re.IGNORECASE):
        yield "the last cell holds no reference with a DOI or an arXiv number"


def enough_is_checked(notebook):
    checked = sum("nbval-check-output" in notebooks.tags(cell) for cell in notebook.cells)
    if checked < 12:
        yield f"{checked} cells are tagged nbval-check-output, at least 12 wanted"


def graded_by_test_and_by_person(notebook):
    if "debug" not in [exercise.name for exercise in notebooks.exercises(notebook)]:
        yield "no debugging exercise with the id `debug`"
    if not any(is_grade(cell) and is_solution(cell) for cell in notebook.cells):
        yield "no exam question that a person grades"


STYLE_RULES = (
    opens_with_what_it_is,
    sections_predict_and_observe,
    minutes_add_up,
    closes_with_what_to_keep,
    enough_is_checked,
    graded_by_test_and_by_person,
    own_code_is_at_work,
)
CASES = [(name, rule) for name in notebooks.NOTEBOOKS for rule in RULES + STYLE_RULES]
LECTURES = [name for name in notebooks.NOTEBOOKS if name.startswith("lectures/")]


@pytest.mark.parametrize(("name", "rule"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_notebook_keeps(name, rule):
    faults = list(rule(notebooks.load(name)))
    assert not faults, f"{name}:\n" + "\n".join(faults)


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_size(name):
    assert (notebooks.ROOT / name).stat().st_size < 3e6, (
        "figures are too heavy for a repository: at most 3 MB a notebook"
    )


# Proof that each rule finds what it is for: a lecture that keeps them all is spoiled in one point.


def first(notebook, role):
    return next(cell for cell in notebook.cells if role(cell))


def is_code(cell):
    return cell.cell_type == "code"


def a_solution(notebook):
    return first(notebook, lambda cell: is_code(cell) and is_solution(cell)).source.split("SOLUTION\n")[1].split("#")[0]


def works(cell):
    return is_code(cell) and not notebooks.is_graded(cell) and "checks.passed(" in cell.source


def add(cell, at=-1):
    return lambda notebook: notebook.cells.insert(at, cell)


def replace(old, new):
    """Return a function that replaces `old` by `new` in every text cell."""

    def spoil(notebook):
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = cell.source.replace(old, new)

    return spoil


def shown(**output):
    return new_code_cell("0", outputs=[new_output(**output)])


SPOILS = [
    (one_parameters_cell, lambda nb: first(nb, notebooks.is_setup).update(source='profile = "full"')),
    (python3_kernel, lambda nb: nb.metadata.kernelspec.update(name="conda")),
    (executed_in_one_go, lambda nb: first(nb, is_code).update(execution_count=2)),
    (clean_outputs, add(shown(output_type="stream", name="stderr", text="noise"))),
    (clean_outputs, add(shown(output_type="error", ename="E", evalue="", traceback=[]))),
    (clean_outputs, add(shown(output_type="stream", name="stdout", text="UserWarning: old"))),
    (no_path_of_one_machine, add(shown(output_type="stream", name="stdout", text="saved /home/ada/x.png"))),
    (no_empty_cell, add(new_markdown_cell(" \n"))),
    (short_code_cells, add(new_code_cell("x = 1\n" * 26))),
    (checked_cells_show_text, add(new_code_cell("x = 1", metadata={"tags": ["nbval-check-output"]}))),
    (plain_words, add(new_markdown_cell("It works!"))),
    (plain_words, add(new_markdown_cell("## \U0001f680 Start"))),
    (every_figure_is_read, lambda nb: nb.cells.append(shown(output_type="display_data", data={"image/png": ""}))),
    (every_figure_has_alt_text, add(shown(output_type="display_data", data={"image/png": ""}))),
    (exercises_say_what_they_ask, replace("Output", "Result")),
    (markers_stand_alone, replace("<!-- ### END SOLUTION -->", "end <!-- ### END SOLUTION\n-->")),
    (graded_cells_are_whole, lambda nb: notebooks.exercises(nb)[0].test.metadata.nbgrader.update(points=99)),
    (solutions_stand_in_one_place, lambda nb: nb.cells.append(new_code_cell(a_solution(nb)))),
    (graded_path_is_plain_python, lambda nb: first(nb, notebooks.is_setup).update(source="%matplotlib inline")),
    (stubs_break_no_demonstration, add(new_code_cell("def show():\n    return test_debug()"))),
    (stubs_break_no_demonstration, add(new_code_cell("if checks.passed('debug'):\n    print(neuron)"))),
    (
        stubs_break_no_demonstration,
        add(new_code_cell("if checks.passed('neuron'):\n    pass\nelse:\n    neuron(1, 2, 3)")),
    ),
    (
        own_code_is_at_work,
        lambda nb: first(nb, works).update(source=first(nb, works).source.replace("passed", "failed")),
    ),
    (opens_with_what_it_is, replace("Prerequisite", "Before")),
    (sections_predict_and_observe, replace("**Predict", "**Guess")),
    (minutes_add_up, replace("points, ", "points, 1")),
    (closes_with_what_to_keep, lambda nb: nb.cells.append(new_markdown_cell("The end."))),
    (enough_is_checked, lambda nb: [cell.metadata.update(tags=[]) for cell in nb.cells]),
    (graded_by_test_and_by_person, lambda nb: nb.update(cells=notebooks.code_cells(nb))),
]


@pytest.mark.parametrize("name", LECTURES[:1])
@pytest.mark.parametrize(("rule", "spoil"), SPOILS, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(SPOILS)])
def test_rule_finds_its_fault(name, rule, spoil):
    notebook = copy.deepcopy(notebooks.load(name))
    spoil(notebook)
    assert list(rule(notebook))
