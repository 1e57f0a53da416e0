"""Make the student versions: the folder student/, ready to be handed out.

nbgrader's preprocessors take solutions, hidden tests and sample answers out of the notebooks of lectures/ and
assignment/. What a student needs to run them is copied beside them. Then everything is checked for what must not
be there, and only a folder without a finding becomes student/. The folder before it is deleted where it is as it was
made, and kept under another name where somebody has changed it.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from itertools import count
from pathlib import Path

from utils.course.cells import imports
from utils.course.exercises import ASSIGNMENTS, CourseError, nbgrader_config, student_version
from utils.course.terminal import print_anything
from utils.files import write_text

import nbformat

NEEDED = ("requirements.txt", "pyproject.toml", "environment.yml", "LICENSE")
MARKER = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
README = """# Deep learning: lectures and assignment

Set up once (Debian or Ubuntu with Python 3.11, 3.12 or 3.13 and the package python3-venv):

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt

Then start JupyterLab and open the notebooks in the folders beside this file:

    .venv/bin/jupyter lab

No network is needed from here on. With conda instead of the two commands above: `conda env create -f environment.yml`,
`conda activate deep-learning-course`, `jupyter lab`.

Replace `# YOUR CODE HERE` and `raise NotImplementedError` by your code. The cell below each exercise tells you at once
whether it passed; more checks of the same rules, with other numbers, run when it is graded. Answer the exam questions
where it says YOUR ANSWER HERE. Before you hand a notebook in, choose
Kernel, then Restart Kernel and Run All Cells, and save it under the name it has. Do not delete, copy or rename cells of
exercises and tests.
"""


class ReleaseError(Exception):
    """The student versions cannot be made, or hold what they must not."""


def secrets(cell: nbformat.NotebookNode) -> list[str]:
    """Return the texts in a source cell that no student may see: solutions, hidden tests, sample answers."""
    found: list[str] = []
    region: list[str] | None = None
    for line in cell.source.splitlines():
        marker = MARKER.search(line)
        if marker and marker[1] == "BEGIN":
            region = []
        elif marker:
            found.append("\n".join(region or []))
            region = None
        elif region is not None:
            region.append(line)
    if cell.metadata.get("nbgrader", {}).get("solution") and not found:
        found.append(cell.source)  # without markers nbgrader clears the whole cell
    return found


def squeeze(text: str) -> str:
    return " ".join(text.split())


def leaks(source: nbformat.NotebookNode, released: nbformat.NotebookNode) -> list[str]:
    """Return one line for each thing in the notebook `released` that must not be handed out."""
    found = []
    texts = [squeeze(cell.source) for cell in released.cells]
    for number, cell in enumerate(released.cells, start=1):
        if marker := MARKER.search(cell.source):
            found.append(f"cell {number} holds the marker {marker[0]!r}")
        if cell.get("outputs"):
            found.append(f"cell {number} holds an output")
    for cell in source.cells:
        for secret in filter(None, map(squeeze, secrets(cell))):
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "an ungraded cell")
            where = [number for number, text in enumerate(texts, start=1) if secret in text]
            if where and len(secret) >= 12:  # `return x` may stand anywhere
                found.append(f"the hidden text of {name} stands in cell {where[0]}: {secret[:60]!r}")
    return found


def missing_imports(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    """Return the modules of `utils` that `notebook` imports and `folder` does not hold."""
    names: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            names.update(imports("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))))
    paths = {name: folder.joinpath(*name.split(".")) for name in names if name.split(".")[0] == "utils"}
    return sorted(name for name, path in paths.items() if not path.is_dir() and not path.with_suffix(".py").is_file())


def generate(root: Path, target: Path) -> None:
    """Write the student versions of all notebooks of `root`, and what lies beside them, into the folder `target`."""
    config = nbgrader_config(root, root)
    ignore = shutil.ignore_patterns("*.ipynb", *config.CourseDirectory.ignore)
    for assignment in ASSIGNMENTS:
        paths = sorted((root / assignment).glob("*.ipynb"))
        if paths:
            shutil.copytree(root / assignment, target / assignment, ignore=ignore)
        for path in paths:
            try:
                notebook = student_version(nbformat.read(path, as_version=4), config)
            except (CourseError, ValueError) as error:  # nbformat's errors are ValueErrors
                raise ReleaseError(f"nbgrader cannot make the student version of {path}:\n{error}") from error
            nbformat.write(notebook, target / assignment / path.name)


def check(root: Path, target: Path) -> None:
    """Raise ReleaseError that lists everything in `target` that must not be handed out or is missing."""
    found = []
    for path in sorted(target.glob("*/*.ipynb")):
        name = path.relative_to(target)
        released = nbformat.read(path, as_version=4)
        found += [f"{name}: {leak}" for leak in leaks(nbformat.read(root / name, as_version=4), released)]
        found += [
            f"{name}: imports {module}, which students do not get" for module in missing_imports(released, target)
        ]
    if found:
        raise ReleaseError("The student versions are not fit to be handed out:\n" + "\n".join(found))


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in `folder`, by path, and where links lead; Python's own files are not counted.

    Jupyter's checkpoints are counted: they may hold what a person wrote and has not saved since.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {
        name: os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in paths.items()
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }


def swap(draft: Path, target: Path, made: Path) -> Path | None:
    """Put the folder `draft` in the place of `target`, and what it holds on the list `made`.

    Returns
    -------
    Path or None
        Where the old folder is kept, because it is not as the list says that it was made; None if it is gone.
    """
    try:
        unchanged = target.exists() and contents(target) == json.loads(made.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # no list, or a damaged one: nobody knows what the folder holds
        unchanged = False
    old = None
    if target.exists():
        names = (target.with_name(f"{target.name}-{number}") for number in count(1))
        old = next(path for path in names if not path.exists())
        target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        if old:
            old.rename(target)
        raise
    made.parent.mkdir(parents=True, exist_ok=True)
    write_text(made, json.dumps(contents(target), indent=1))
    if old and unchanged:
        shutil.rmtree(old)
        old = None
    return old


def release(root: Path, target: Path) -> tuple[list[str], Path | None]:
    """Make the folder `target` from the course in `root`.

    Returns
    -------
    tuple of list and Path or None
        The names of the notebooks, and where the folder before it is kept if somebody has changed it.

    Raises
    ------
    ReleaseError, OSError
        It cannot be made; the folder before it is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".student") as scratch:
        draft = Path(scratch) / "student"
        draft.mkdir()
        generate(root, draft)
        for name in NEEDED:
            shutil.copy(root / name, draft / name)
        shutil.copytree(root / "utils", draft / "utils", ignore=shutil.ignore_patterns("__pycache__", "course"))
        (draft / "README.md").write_text(README, encoding="utf-8")
        check(root, draft)
        old = swap(draft, target, root / "build" / f"{target.name}.json")
    return sorted(path.relative_to(target).as_posix() for path in target.glob("*/*.ipynb")), old


def main() -> None:
    print_anything()
    root = Path.cwd()
    if not any(path for assignment in ASSIGNMENTS for path in (root / assignment).glob("*.ipynb")):
        sys.exit(f"No notebook in {' or '.join(ASSIGNMENTS)}; run from the course's folder.")
    try:
        names, old = release(root, root / "student")
    except (ReleaseError, OSError) as error:
        sys.exit(f"{error}\nNo student versions were made; student/ is as it was.")
    print(f"{len(names)} student versions in student/, checked for solutions and hidden tests:")
    print("\n".join(names))
    if old:
        print(f"The folder before held files that the release had not made, or changed ones. It is kept: {old.name}/")


if __name__ == "__main__":
    main()
