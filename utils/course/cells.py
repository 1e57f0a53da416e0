"""Cells of a notebook: read from a student's file, looked at as code, run."""

import __future__

import ast
import asyncio
import inspect
import json
import linecache
import symtable
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from typing import Any

from utils.course.magics import Python, as_python

READERS = frozenset("print display len repr str type isinstance sorted sum min max".split())  # change no argument
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast.parse raises for strange sources
FUTURE = __future__.all_feature_names
COMPOUND = ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.AsyncWith | ast.Try | ast.TryStar | ast.Match
_numbers = count(1)


@dataclass(frozen=True)
class Cell:
    """The parts of a student's cell that matter, of the types that they should have.

    `kind` is code, markdown or raw; `source` of a code cell is the Python that stays of it, `written` what stands in
    the notebook, `commands` what was left out (see magics.py); `grade_id` is nbgrader's, None where there is none;
    `checksum` is the one that the release put in, "" where there is none.
    """

    kind: str
    source: str
    grade_id: str | None = None
    checksum: str = ""
    written: str = ""
    commands: tuple[str, ...] = ()


class NotANotebook(ValueError):
    """The bytes are not a notebook; the message says why."""


def nbgrader_metadata(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = cell.get("metadata")
    own = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return own if isinstance(own, dict) else {}


def grade_id(cell: Mapping[str, Any]) -> str | None:
    """Return the nbgrader id of a cell, None where it has none; copes with any metadata a student may have made."""
    name = nbgrader_metadata(cell).get("grade_id")
    return name if isinstance(name, str) else None


def parse(data: bytes) -> tuple[list[Cell], list[str]]:
    """Return the cells of a notebook given as bytes, and notes on its encoding.

    Reads only what grading needs, so that damage elsewhere (duplicate cell ids, an unknown kernel, broken outputs) does
    not matter.

    Raises
    ------
    NotANotebook
        The bytes are no notebook of format 4.
    """
    text, notes = decode(data)
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise NotANotebook("is nested too deeply for a notebook") from None
    except ValueError as error:
        raise NotANotebook(f"is not a Jupyter notebook: not valid JSON ({error})") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if isinstance(notebook, dict) and cells is None and isinstance(notebook.get("worksheets"), list):
        raise NotANotebook("is in the notebook format 3 or older: open and save it in JupyterLab")
    if not isinstance(cells, list):
        raise NotANotebook("is not a Jupyter notebook: it has no list of cells")
    return [tidy(cell) for cell in cells if isinstance(cell, dict)], notes


def decode(data: bytes) -> tuple[str, list[str]]:
    """Return the text in `data` and what is to be noted about its encoding."""
    if not data.strip():
        raise NotANotebook("is empty")
    notes: list[str] = []
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding, notes = "utf-16", ["was saved as UTF-16"]
    elif data[:3] == b"\xef\xbb\xbf":
        encoding, notes = "utf-8-sig", ["begins with a byte-order mark"]
    else:
        encoding = "utf-8"
    try:
        return data.decode(encoding), notes
    except UnicodeError as error:
        where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise NotANotebook(f"is not encoded as UTF-8{where}") from None


def tidy(cell: dict[str, Any]) -> Cell:
    """Return a cell of a notebook's JSON as a Cell, whatever its values are."""
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    source = source if isinstance(source, str) else ""
    source = source.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode("utf-8")
    kind = cell.get("cell_type")
    checksum = nbgrader_metadata(cell).get("checksum")
    python = as_python(source) if kind == "code" else Python(source)
    return Cell(
        str(kind) if kind in ("code", "markdown", "raw") else "raw",
        python.text,
        grade_id(cell),
        checksum if isinstance(checksum, str) else "",
        source,
        python.commands,
    )


def statements(source: str) -> list[ast.stmt]:
    """Return the statements of a cell; none if it does not parse."""
    try:
        return ast.parse(source).body
    except UNREADABLE:
        return []


def root_name(node: ast.expr) -> str | None:
    """Return the name that an expression such as `a.b[0]` begins with, None for others."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def changed_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names of objects that one statement may change in place: `t[k] = v`, `t.append(v)`, `fill(t)`."""
    for node in ast.walk(statement):
        places: list[ast.expr] = []
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            places = [node]
        elif isinstance(node, ast.Call):
            places = [*node.args, *(keyword.value for keyword in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                places.append(node.func)
            elif isinstance(node.func, ast.Name) and node.func.id in READERS:
                places = []
        yield from filter(None, map(root_name, places))


@lru_cache(maxsize=8192)
def bound_names(source: str) -> frozenset[str]:
    """Return the names that the statements of a cell bind at its top level; none if it does not parse."""
    return frozenset(name for statement in statements(source) for name in statement_names(statement))


def statement_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that one statement binds in its own scope."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
    else:
        parts: list[ast.AST] = [statement]
        while parts:
            node = parts.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
                yield from statement_names(node)
            elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            elif not isinstance(node, ast.Lambda):
                parts += ast.iter_child_nodes(node)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
                elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping):
                    name = node.rest if isinstance(node, ast.MatchMapping) else node.name
                    yield from [name] if name else []


def global_names(source: str) -> set[str]:
    """Return the names that the code of a cell looks up outside of its functions and has not defined itself.

    A name that a statement reads before the cell binds it, as in `n = n + 1`, comes from another cell.
    """
    found: set[str] = set()
    bound: set[str] = set()
    later: set[str] = set()  # what functions look up when they are called
    for statement in statements(source):
        now, when_called = names_read(statement)
        own = set(statement_names(statement))
        found |= now - bound - (own if isinstance(statement, COMPOUND) else set())
        later |= when_called
        bound |= own
    return found | (later - bound)


def names_read(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement looks up when it is executed, and those that its functions look up later."""
    if isinstance(statement, ast.ImportFrom | ast.Import):
        return set(), set()
    try:
        top = symtable.symtable(ast.unparse(statement), "cell", "exec")
    except UNREADABLE:
        return set(), set()
    tables, now, later = top.get_children(), {s.get_name() for s in top.get_symbols() if s.is_referenced()}, set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_global() and (symbol.is_referenced() or symbol.is_declared_global()):
                later.add(symbol.get_name())
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        now.add(statement.target.id)
    return now, later


def imports(source: str) -> list[str]:
    """Return the modules that the code of a cell imports; `from utils import x` is the module `utils.x`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "utils":
            found += [f"utils.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return found


def run(source: str, namespace: dict[str, Any], file: str = "") -> Any:
    """Execute the source of a cell in `namespace` and return the value of its last expression, or None.

    As in IPython, each statement is compiled when its turn has come, what was imported from `__future__` holds for the
    cells that follow, and `await` may stand outside of a function. `file` is what tracebacks call the cell.
    """
    file = file or f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for messages that quote it
    value = None
    for statement in ast.parse(source, file).body:
        node = ast.Expression(statement.value) if isinstance(statement, ast.Expr) else ast.Module([statement], [])
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | future_flags(namespace)
        mode = "eval" if isinstance(node, ast.Expression) else "exec"
        code = compile(node, file, mode, flags, dont_inherit=True)
        value = eval(code, namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            value = event_loop().run_until_complete(value)
    return value


def future_flags(namespace: Mapping[str, Any]) -> int:
    """Return the compiler's flags for what the cells so far have imported from `__future__`."""
    features = (namespace.get(name) for name in FUTURE)
    return sum(feature.compiler_flag for feature in features if isinstance(feature, __future__._Feature))


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def explain(error: BaseException) -> str:
    """Return one line about an exception that a cell raised: its type, its message, and the line of the cell."""
    try:
        text = " ".join(str(error).split())[:300]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<cell")]
        where = f" at `{frames[-1].line}`" if frames and frames[-1].line else ""
    except BaseException:  # the exception's class is the student's own
        text, where = "", ""
    return f"{type.__getattribute__(type(error), '__name__')}{where}: {text}"
