"""Read a cell of a student's, without running it, for what no honest answer needs.

The rules err on the side of a review: they name a line, and a person decides. They are the first of several layers;
see docs/grading.md for what they cannot see.
"""

import ast
import re
from typing import Any

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
        self.scopes = [local_names(tree)]

    def note(self, node: Any, text: str) -> None:
        self.found.append(f"line {node.lineno}: {text}")

    def name(self, node: ast.AST, name: str) -> None:
        if name in NAMES:
            self.note(node, f"uses {name}")
        elif DUNDER.fullmatch(name) and name not in DUNDERS:
            self.note(node, f"uses {name}")

    def visit_Name(self, node: ast.Name) -> None:
        if not any(node.id in scope for scope in self.scopes) or DUNDER.fullmatch(node.id):
            self.name(node, node.id)  # a variable of the student's may be called `signal`

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr != "compile":  # of a Keras model
            self.name(node, node.attr)
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if node.attr.startswith("_") and not own and not node.attr.startswith("__"):
            self.note(node, f"uses the private {node.attr}")
        if not isinstance(node.ctx, ast.Load) and not own and not self.is_local(node.value):
            self.note(node, f"changes {ast.unparse(node)}, which is not its own")
        self.generic_visit(node)

    def is_local(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Call) or (isinstance(node, ast.Name) and any(node.id in s for s in self.scopes))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            for name in set(DUNDER.findall(text)) - DUNDERS:
                self.note(node, f"names {name}")

    def visit_Call(self, node: ast.Call) -> None:
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

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.module(node, node.module or "." * node.level)
        for alias in node.names:
            self.name(node, alias.name)

    def module(self, node: ast.AST, name: str) -> None:
        parts = name.split(".")
        if parts[0] not in MODULES or any(part in NAMES or part.startswith("_") for part in parts[1:]):
            self.note(node, f"imports {name}")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            last = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else "?"
            if last in VALUES or last == "?":
                self.note(node, f"derives the class {node.name} from {ast.unparse(base)}")
        if any(keyword.arg == "metaclass" for keyword in node.keywords):
            self.note(node, f"gives the class {node.name} a metaclass")
        self.function(node)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.name(node, node.name)
        self.scopes.append(local_names(node))
        self.generic_visit(node)
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = function

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            self.name(node, name)
        self.generic_visit(node)


def local_names(scope: ast.AST) -> set[str]:
    """Return the names that a function, class or cell binds by itself, imports not counted."""
    arguments = getattr(scope, "args", None)
    found = {a.arg for a in ast.walk(arguments) if isinstance(a, ast.arg)} if arguments else set()
    return found | {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
