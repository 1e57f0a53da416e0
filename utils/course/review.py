"""Find a student's answers in a notebook, and read them for what no honest answer needs.

The rules err on the side of a review: they name a line, and a person decides. They are the first of several layers;
see docs/grading.md for what they cannot see.
"""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass, field

from utils.course.exercises import bound_names, grade_id, statement_names

MODULES = {
    *("abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "random", "re", "statistics"),
    *("string", "time", "typing", "unicodedata", "warnings", "__future__"),
    *("gymnasium", "jax", "keras", "matplotlib", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "utils"),
}
NAMES = frozenset(
    """eval exec compile open globals locals vars setattr delattr breakpoint os sys ctypes ctypeslib subprocess socket
    inspect gc builtins importlib signal threading multiprocessing pickle marshal traceback f2py load loads memmap
    weakref f_back f_globals f_locals f_builtins tb_frame tb_next gi_frame cr_frame ag_frame mro attrgetter methodcaller
    get_type_hints settrace setprofile load_model deserialize_keras_object get_ipython system checks course""".split()
)
DUNDERS = {f"__{name}__" for name in ("init", "call", "len", "getitem", "iter", "next", "name", "main", "repr", "doc")}
VALUES = frozenset("int float complex str bytes list tuple dict set frozenset ndarray type".split())
DUNDER = re.compile(r"__\w+__")


@dataclass
class Answers:
    """What a notebook answers of a lecture. Reasons are for a person to look at; notes are for the report."""

    cells: list = field(default_factory=list)  # (exercise or "" for other cells, source), in the order to run them in
    written: dict = field(default_factory=dict)  # question -> answer
    reasons: list = field(default_factory=list)
    suspicions: dict = field(default_factory=dict)  # exercise -> list of reasons
    notes: list = field(default_factory=list)


def overlap(cells, lecture):
    """Return how many of the exercises of `lecture` the notebook holds, found by id or by the name they define."""
    ids = {grade_id(cell) for cell in cells} - {"debug"}  # every lecture has a `debug`
    names = set().union(*(bound_names(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    return sum(exercise.name in ids or bool(exercise.defines & names) for exercise in lecture.exercises)


def recognise(cells, lectures):
    """Return the name of the lecture of which `cells` hold at least half of the exercises, else None."""
    shares = {name: overlap(cells, lec) / max(1, len(lec.exercises)) for name, lec in lectures.items()}
    best = max(shares, key=shares.get, default=None)
    return best if best and shares[best] >= 0.5 else None


def solution_cells(cells, exercise, kind="code"):
    """Return the sources of the cells that carry the id of `exercise`."""
    return [c["source"] for c in cells if c["cell_type"] == kind and grade_id(c) == exercise.name]


def find_answers(cells, lecture):
    """Match the cells of a notebook with the exercises and questions of `lecture`; return Answers."""
    answers, plain = Answers(), [c["source"] for c in cells if c["cell_type"] == "code" and not grade_id(c)]
    solved = {}
    for exercise in lecture.exercises:
        sources = solution_cells(cells, exercise)
        if not sources:
            sources = [source for source in plain if exercise.defines & bound_names(source)]
            where = "found by the name it defines" if sources else "missing"
            answers.notes.append(f"the cell of {exercise.name} has lost its id: {where}")
            if not sources:
                answers.suspicions[exercise.name] = [f"the notebook has no cell for the exercise {exercise.name}"]
                continue
        if len(set(sources)) > 1:
            sources = merge_copies(sources, exercise, answers)
        solved[exercise.name] = sources[0]
    answers.cells = helpers(cells, lecture, solved, answers) + list(solved.items())
    for question in lecture.questions:
        texts = solution_cells(cells, question, "markdown")
        if len(set(texts)) > 1:
            answers.reasons.append(f"{len(texts)} different cells carry the id {question.name}; all are shown")
        if not texts:
            answers.reasons.append(f"the notebook has no cell for the question {question.name}")
        answers.written[question.name] = "\n\n".join(dict.fromkeys(texts))
    restored(cells, lecture, answers)
    return answers


def merge_copies(sources, exercise, answers):
    """Several different cells carry one id. Two halves of a split cell are joined; copies are left to a person."""
    sources = list(dict.fromkeys(sources))
    names = [bound_names(source) for source in sources]
    joined = "\n".join(sources)
    split = not any(a & b for i, a in enumerate(names) for b in names[:i]) and exercise.defines <= bound_names(joined)
    if split:
        answers.notes.append(f"the cell of {exercise.name} was split in {len(sources)}: joined")
        return [joined]
    text = f"{len(sources)} different cells carry the id {exercise.name}; the last one was run"
    answers.suspicions.setdefault(exercise.name, []).append(text)
    return sources[-1:]


def global_names(source):
    """Return the names that the code of a cell looks up outside of its functions and does not define itself."""
    try:
        tables = [symtable.symtable(source, "cell", "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    top, found = tables[0], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())}
    return found - bound_names(source)


def helpers(cells, lecture, solved, answers):
    """Return cells with the definitions from other cells that the solutions use, such as a function of the student's.

    Only `def`, `class`, `import` and assignments are taken, and only those whose names a solution needs: nothing else
    of the ungraded cells is run.
    """
    known = set(dir(builtins)).union(*map(bound_names, [*lecture.setup, *solved.values()]))
    needed = set().union(*map(global_names, solved.values())) - known
    statements = []
    for cell in cells:
        if cell["cell_type"] == "code" and not grade_id(cell):
            try:
                body = ast.parse(cell["source"]).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
            statements += [statement for statement in body if isinstance(statement, kinds)]
    taken = []
    for statement in reversed(statements):  # a definition may need earlier ones
        names = set(statement_names(statement))
        if names & needed:
            taken.append(ast.unparse(statement))
            needed |= global_names(taken[-1]) - known
    if taken:
        answers.notes.append("definitions from cells that are not graded were used")
    return [("", "\n".join(reversed(taken)))] if taken else []


def restored(cells, lecture, answers):
    """Note what was done to the test cells, and whether they are those of another release."""
    by_id = {grade_id(cell): cell for cell in cells if grade_id(cell)}
    other, edited, gone = [], [], []
    for exercise in lecture.exercises:
        cell = by_id.get(exercise.test_name)
        if cell is None:
            gone.append(exercise.name)
            continue
        checksum = cell["metadata"]["nbgrader"].get("checksum")
        if isinstance(checksum, str) and checksum != exercise.checksum:
            other.append(exercise.name)
        elif cell["source"].strip() not in (exercise.shown_test.strip(), exercise.test.strip()):
            edited.append(exercise.name)
    if gone:
        answers.notes.append(f"test cells restored: {', '.join(gone)}")
    if edited:
        answers.notes.append(f"edited test cells replaced: {', '.join(edited)}")
    if other:
        answers.reasons.append(f"made from another release: the tests of {', '.join(other)} have changed since")


def suspicious(source):
    """Return what in a cell no honest answer needs, as a list of reasons with line numbers."""
    magic = [
        f"line {i}: a command of the notebook or the shell"
        for i, line in enumerate(source.splitlines(), 1)
        if line.lstrip().startswith("!") or line.startswith("%%")
    ]
    if magic:
        return magic
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # it does not run, and gets no points
    except (RecursionError, MemoryError):
        return ["is nested too deeply to be read"]
    reader = Reader(tree)
    try:
        reader.visit(tree)
    except RecursionError:
        return ["is nested too deeply to be read"]
    return list(dict.fromkeys(reader.found))[:5]


class Reader(ast.NodeVisitor):
    """Walks through a cell and notes each use of what `suspicious` looks for."""

    def __init__(self, tree):
        self.found, self.scopes = [], [local_names(tree)]

    def note(self, node, text):
        self.found.append(f"line {node.lineno}: {text}")

    def name(self, node, name):
        if name in NAMES:
            self.note(node, f"uses {name}")
        elif DUNDER.fullmatch(name) and name not in DUNDERS:
            self.note(node, f"uses {name}")

    def visit_Name(self, node):
        if not any(node.id in scope for scope in self.scopes) or DUNDER.fullmatch(node.id):
            self.name(node, node.id)  # a variable of the student's may be called `signal`

    def visit_Attribute(self, node):
        if node.attr != "compile":  # of a Keras model
            self.name(node, node.attr)
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if node.attr.startswith("_") and not own and not node.attr.startswith("__"):
            self.note(node, f"uses the private {node.attr}")
        if not isinstance(node.ctx, ast.Load) and not own and not self.is_local(node.value):
            self.note(node, f"changes {ast.unparse(node)}, which is not its own")
        self.generic_visit(node)

    def is_local(self, node):
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Call) or (isinstance(node, ast.Name) and any(node.id in s for s in self.scopes))

    def visit_Constant(self, node):
        if isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            for name in set(DUNDER.findall(text)) - DUNDERS:
                self.note(node, f"names {name}")

    def visit_Call(self, node):
        function = node.func.id if isinstance(node.func, ast.Name) else None
        if function == "type" and len(node.args) != 1:
            self.note(node, "makes a class with type")
        elif function == "type":
            for child in [*node.args, *node.keywords]:
                self.visit(child)
            return
        if function == "getattr":
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.isidentifier()):
                self.note(node, "uses getattr with a name that is computed")
            else:
                self.name(node, name.value)
        self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self.module(node, alias.name)

    def visit_ImportFrom(self, node):
        self.module(node, node.module or "." * node.level)
        for alias in node.names:
            self.name(node, alias.name)

    def module(self, node, name):
        parts = name.split(".")
        if parts[0] not in MODULES or any(part in NAMES or part.startswith("_") for part in parts[1:]):
            self.note(node, f"imports {name}")

    def visit_ClassDef(self, node):
        for base in node.bases:
            last = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else "?"
            if last in VALUES or last == "?":
                self.note(node, f"derives the class {node.name} from {ast.unparse(base)}")
        if any(keyword.arg == "metaclass" for keyword in node.keywords):
            self.note(node, f"gives the class {node.name} a metaclass")
        self.function(node)

    def function(self, node):
        self.name(node, node.name)
        self.scopes.append(local_names(node))
        self.generic_visit(node)
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = function

    def visit_MatchClass(self, node):
        for name in node.kwd_attrs:
            self.name(node, name)
        self.generic_visit(node)


def local_names(scope):
    """Return the names that a function, class or cell binds by itself, imports not counted."""
    arguments = getattr(scope, "args", None)
    found = {a.arg for a in ast.walk(arguments) if isinstance(a, ast.arg)} if arguments else set()
    return found | {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
