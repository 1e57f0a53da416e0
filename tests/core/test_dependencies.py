"""Nothing is imported that pyproject.toml does not name."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import notebooks

import pytest

PROJECT = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GROUPS = PROJECT["optional-dependencies"]
DISTRIBUTIONS = packages_distributions()
OWN = {"utils", *(path.stem for pattern in ("tests/**/*.py", "scripts/*.py") for path in notebooks.ROOT.glob(pattern))}
BROUGHT_BY_THE_USER = {"diffusers", "torch"}  # for scripts/compare_with_diffusers.py


def canonical(requirement):
    """Return the normalised name of a distribution: of `Keras_CV[x]>=1`, keras-cv."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def declared(*groups):
    return {canonical(line) for line in PROJECT["dependencies"] + [line for name in groups for line in GROUPS[name]]}


def imports(source):
    """Return the top-level modules that `source` imports, inside functions too, without Python's and our own."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - OWN


def undeclared(modules, names):
    """Return the modules that none of the distributions `names` brings."""
    return {module for module in modules if not {canonical(d) for d in DISTRIBUTIONS.get(module, [module])} & names}


def of_files(*patterns):
    paths = [path for pattern in patterns for path in notebooks.ROOT.glob(pattern)]
    assert paths, patterns
    return set().union(*(imports(path.read_text(encoding="utf-8")) for path in paths))


@pytest.mark.parametrize(
    ("patterns", "groups"),
    [
        (["utils/*.py", "utils/diffusion/**/*.py"], ["student"]),
        (["utils/course/*.py"], ["student", "instructor", "cluster", "site"]),
        (["tests/**/*.py"], ["student", "instructor", "cluster", "dev"]),
        (["scripts/*.py"], ["student", "instructor", "cluster", "dev"]),
    ],
)
def test_modules_import_what_is_declared(patterns, groups):
    assert undeclared(of_files(*patterns) - BROUGHT_BY_THE_USER, declared(*groups)) == set()


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_notebooks_import_what_students_install(name):
    cells = (cell.source for cell in notebooks.code_cells(notebooks.load(name)))
    source = "\n".join(re.sub(r"(?m)^\s*[%!].*$", "", cell) for cell in cells)
    assert undeclared(imports(source), declared("student")) == set()


def test_an_undeclared_import_is_found():
    assert imports("import os, torch.nn\ndef f():\n    from PIL import Image") == {"torch", "PIL"}
    assert undeclared({"torch", "PIL", "sklearn"}, {"pillow", "scikit-learn"}) == {"torch"}


def pins(file):
    """Return the lines `name==version` of a requirements file, without markers of systems."""
    lines = (notebooks.ROOT / file).read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line or "--" in line], f"{file} names a server or an option of pip"
    return {line.split(";")[0].strip() for line in lines if "==" in line.split(";")[0]}


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_exact_versions_of_all_that_it_names_the_same_everywhere(group):
    ours, common = pins(f"requirements/{group}.txt"), pins("requirements.txt")
    assert declared(group) <= {canonical(line) for line in ours}
    names = {canonical(line) for line in ours} & {canonical(line) for line in common}
    assert {line for line in ours if canonical(line) in names} <= common
