"""Make the student versions: the folder student/, ready to be handed out.

nbgrader's generate_assignment takes solutions, hidden tests and sample answers out of the notebooks of lectures/ and
assignment/. What a student needs to run them is copied beside them. Then everything is checked for what must not
be there, and only a folder without a finding becomes student/.
"""

import ast
import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from traitlets.config import PyFileConfigLoader

ASSIGNMENTS = ("lectures", "assignment")
NEEDED = ("requirements.txt", "pyproject.toml", "environment.yml", "LICENSE")
MARKER = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
README = """# Deep learning: lectures and assignment

Set up once (Debian or Ubuntu with Python 3.11, 3.12 or 3.13 and the package python3-venv):

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt

Then start JupyterLab and open the notebooks in the folders beside this file:

    .venv/bin/jupyter lab

No network is needed from here on. A computer with an NVIDIA GPU can use `environment.yml` instead:
`conda env create -f environment.yml`.

Replace `# YOUR CODE HERE` and `raise NotImplementedError` by your code. The cell below each exercise tells you at once
whether it passed. Answer the exam questions where it says YOUR ANSWER HERE. Before you hand a notebook in, choose
Kernel, then Restart Kernel and Run All Cells, and save it under the name it has. Do not delete, copy or rename cells of
exercises and tests.
"""


class ReleaseError(Exception):
    """The student versions cannot be made, or hold what they must not."""


def nbgrader_config(root, course):
    """Return the settings of `root`/nbgrader_config.py for the course folder `course`, with a database of its own."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = f"sqlite:///{course}/gradebook.db"
    del config.NbGrader.logfile
    return config


def nbgrader_api(config):
    """Return nbgrader's Python interface, which talks only when something is wrong."""
    from nbgrader.apps import NbGraderAPI

    return NbGraderAPI(config=config, log_level=logging.ERROR)


def succeed(outcome, what):
    """Raise ReleaseError with nbgrader's log unless `outcome`, what its interface returned, is a success."""
    if not outcome["success"]:
        log = outcome.get("log") or outcome.get("error") or "no reason given"
        raise ReleaseError(f"nbgrader could not {what}:\n{log.strip()}")


def secrets(cell):
    """Return the texts in a source cell that no student may see: solutions, hidden tests, sample answers."""
    found, region = [], None
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


def squeeze(text):
    return " ".join(text.split())


def leaks(source, released):
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


def missing_imports(notebook, folder):
    """Return the modules of `utils` that `notebook` imports and `folder` does not hold."""
    names = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        code = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
                if node.module == "utils":
                    names.update(f"utils.{alias.name}" for alias in node.names)
    paths = {name: folder.joinpath(*name.split(".")) for name in names if name.split(".")[0] == "utils"}
    return sorted(name for name, path in paths.items() if not path.is_dir() and not path.with_suffix(".py").is_file())


def generate(root, target):
    """Write the student versions of all notebooks of `root` into the folder `target`."""
    config = nbgrader_config(root, root)
    config.CourseDirectory.release_directory = str(target)
    config.GenerateAssignment.no_database = True  # a hand-out leaves the gradebook as it is
    config.SaveCells.enabled = False
    api = nbgrader_api(config)
    for assignment in ASSIGNMENTS:
        if any((root / assignment).glob("*.ipynb")):
            succeed(api.generate_assignment(assignment), f"make the student version of {assignment}/")


def check(root, target):
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


def release(root, target):
    """Make the folder `target` from the course in `root` and return the names of the notebooks in it."""
    shutil.rmtree(target, ignore_errors=True)
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
        draft.rename(target)
    return sorted(str(path.relative_to(target)) for path in target.glob("*/*.ipynb"))


def main():
    root = Path.cwd()
    try:
        names = release(root, root / "student")
    except (ReleaseError, OSError) as error:
        sys.exit(f"{error}\nNo student versions were made.")
    if not names:
        sys.exit(f"No notebook in {' or '.join(ASSIGNMENTS)}; run from the course's folder.")
    print(f"{len(names)} student versions in student/, checked for solutions and hidden tests:")
    print("\n".join(names))


if __name__ == "__main__":
    main()
