"""Cells are IPython, not Python: from the source of a cell to the Python that stays of it when it is graded.

IPython's own transformer makes calls of magics, `?` and `!`, and takes off prompts and indentation. Then each call is
replaced by what it means for an answer: `%time f()` by `f()`, the first line of a `%%time` cell by nothing,
`%matplotlib inline` and `np.mean?` by None. Lines stay where they are, so that messages quote the student's own.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from IPython.core.inputtransformer2 import TransformerManager

WRAPPERS = frozenset(("time", "capture", "prun", "memit"))  # magics that run the code they are given, where it stands
SHOWN = frozenset("timeit html HTML javascript js latex markdown svg SVG".split())  # cell magics that bind no names
# Line magics that may bind names or change where files are looked for.
BINDING = frozenset("run load loadpy macro cd env set_env store reset reset_selective sx system pylab".split())
NAMES = ("display", "get_ipython", "exit", "quit")  # what IPython defines beside Python's own
SHELL = ("system", "getoutput")
CALLS = (*SHELL, "run_line_magic", "run_cell_magic")
# Commands that change no variable of the notebook: it does not matter that they are not run.
HARMLESS = re.compile(
    r"^\s*(sudo\s+)?((python3?\s+-m\s+)?pip3?|conda|mamba|uv|apt|apt-get|ls|pwd|nvidia-smi|date|which)\b"
)
TEXT_CHANGES = re.compile(r"^\s*(%|!|\?|>>>|In \[)|[?!]|^\s|=\s*%", re.MULTILINE)


@dataclass(frozen=True)
class Python:
    """The Python of a cell, and the commands in it that were left out and that an answer could depend on."""

    text: str
    commands: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def as_python(source: str) -> Python:
    """Return what stays of a cell; a source that is Python already, or that cannot be read, is returned as it is."""
    if not TEXT_CHANGES.search(source) or is_python(source):
        return Python(source)
    try:
        text = TransformerManager().transform_cell(source)
        found = list(calls(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Python(source)
    commands: list[str] = []
    for node in reversed(found):  # from the end, so that the places of those before stay right
        text = replaced(text, node, commands)
    return Python(text, tuple(commands))


def is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls `get_ipython().<one of CALLS>(...)` in order of their place."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CALLS
        and ast.unparse(node.func.value) == "get_ipython()"
        and all(isinstance(argument, ast.Constant) for argument in node.args)
    ]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def replaced(text: str, node: ast.Call, commands: list[str]) -> str:
    """Return `text` with the call `node` replaced; what could matter and is left out is added to `commands`."""
    assert isinstance(node.func, ast.Attribute), "calls yields no others"
    values = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
    new = meaning(node.func.attr, values, commands)
    lines = text.encode().splitlines(keepends=True)
    start, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before, after = lines[start][: node.col_offset], lines[end][node.end_col_offset :]
    whole = not before.strip() and not after.strip()
    if not whole and new.strip() != "None" and "get_ipython" not in new:
        new = f"({new.strip()})"  # `x = %time f()`
    return b"".join([*lines[:start], before, new.encode(), after, *lines[end + 1 :]]).decode()


def meaning(kind: str, values: list[str], commands: list[str]) -> str:
    """Return the Python that stands for a command of IPython's."""
    name, rest = (values[0].strip(), values[-1]) if values else ("", "")
    if kind in SHELL:
        if kind == "system" and HARMLESS.match(name):
            return "None"
        commands.insert(0, f"!{name}")
        return "None" if kind == "system" else f"get_ipython().getoutput({name!r})"
    if kind == "run_cell_magic":
        if name in WRAPPERS:
            inner = as_python(rest)
            commands[:0] = inner.commands
            return "\n" + inner.text  # the first line was the magic
        if name not in SHOWN:
            commands.insert(0, f"%%{name}")
        return "None"
    if name in WRAPPERS and rest.strip():
        inner = as_python(rest.strip().removeprefix("-q "))
        commands[:0] = inner.commands
        return inner.text
    if name in BINDING:
        commands.insert(0, f"%{name} {rest}".strip())
    return "None"
