"""Make the website in build/site: `python -m utils.course.site`.

The pages are gathered in build/site-source, notebooks in the reader's view, and Sphinx makes HTML of them. Nothing is
executed: the outputs are those that are committed.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from utils.course import learn, questions
from utils.course.exercises import ASSIGNMENTS, CourseError, nbgrader_config, student_version
from utils.course.reader import reader_view, revealed
from utils.course.release import ReleaseError, leaks
from utils.course.terminal import print_anything

import nbformat

PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff", "docs/*.md", "docs/*.png", "docs/*.gif")


ZIP = "deep-learning.zip"
ALONE = f"""**Learn alone**, from the first lecture to the last: {{download}}`{ZIP} <{ZIP}>`. Unpack it, and in its
folder, with Python 3.11, 3.12 or 3.13 (other systems: [set up](docs/platforms.md)), type

```
python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
.venv/bin/jupyter lab
```

The cell below an exercise says at once whether your function passes."""
HINTS = " Hints come in steps; after a try of your own you can see the solution."
NO_ZIP = "To work on the exercises, take the notebooks: [set up](docs/platforms.md)."


class SiteError(Exception):
    """The website cannot be made; the message says what to do."""


def write_notebook(path: Path, root: Path, source: Path) -> None:
    """Write the reader's view of the notebook `path` into the folder `source`; ReleaseError if answers show."""
    notebook = nbformat.read(path, as_version=4)
    released = student_version(notebook, nbgrader_config(root, root / "build"))
    view = reader_view(notebook, released)
    if found := leaks(notebook, released) + revealed(notebook, view):
        raise ReleaseError(f"{path.name} is not fit for readers:\n" + "\n".join(found))
    target = source / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(view, target)


def gather(
    root: Path, source: Path, notebooks: list[Path], self_checks: bool = True, solutions: bool | None = None
) -> None:
    """Write everything that Sphinx reads into the empty folder `source`.

    Parameters
    ----------
    root, source : Path
    notebooks : list of Path
        Pages to make.
    self_checks : bool
        Show the points to name of the exam questions.
    solutions : bool, optional
        Offer the zip to learn alone, with or without packed solutions; None: no zip.
    """
    shutil.copytree(root / "docs/site", source, ignore=shutil.ignore_patterns("*.toml"))
    for pattern in PAGES:
        for path in root.glob(pattern):
            target = source / path.relative_to(root)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
    for path in notebooks:
        write_notebook(path, root, source)
    for name in ASSIGNMENTS:
        (source / name).mkdir(exist_ok=True)
        for path in (root / name).glob("*.md"):
            shutil.copy(path, source / name / path.name)
        if (root / name / "figures").is_dir():
            shutil.copytree(root / name / "figures", source / name / "figures", dirs_exist_ok=True)
    questions.write_pages(root, source, self_checks)
    index = source / "index.md"
    rows = "\n".join(path.relative_to(root).with_suffix("").as_posix() for path in notebooks if path.parent != root)
    alone = NO_ZIP if solutions is None else ALONE + HINTS * solutions
    page = index.read_text(encoding="utf-8").replace("LECTURES", rows).replace("LEARN", alone)
    index.write_text(page, encoding="utf-8")
    if solutions is not None:
        shutil.copy(learn.make(root, solutions), source / ZIP)


def build(source: Path, target: Path, reference: bool = True) -> list[str]:
    """Run Sphinx; return its warnings.

    Raises
    ------
    SiteError
        Sphinx is not installed, or fails.
    """
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-b",
        "html",
        "-j",
        "2",
        *(["-t", "reference"] if reference else []),
    ]
    ran = subprocess.run([*command, str(source), str(target)], capture_output=True, text=True)
    if "No module named" in ran.stderr and ran.returncode:
        raise SiteError(f"{ran.stderr.strip()}\nThe website needs: pip install -r requirements/site.txt")
    if ran.returncode:
        raise SiteError(ran.stdout + ran.stderr)
    return [line for line in ran.stderr.splitlines() if re.search(r"WARNING|ERROR", line) and "absl::" not in line]


def main() -> None:
    print_anything()
    parser = argparse.ArgumentParser(description="Make the website in build/site.")
    parser.add_argument("--no-self-checks", action="store_true", help="exam questions without the points to name")
    parser.add_argument("--no-solutions", action="store_true", help="the zip to learn alone without its solutions")
    options = parser.parse_args()
    root = Path.cwd()
    notebooks = [
        root / "try_it.ipynb",
        *(path for name in ASSIGNMENTS for path in sorted((root / name).glob("*.ipynb"))),
    ]
    source, target = root / "build/site-source", root / "build/site"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    source.parent.mkdir(exist_ok=True)
    try:
        gather(root, source, notebooks, not options.no_self_checks, not options.no_solutions)
        warnings = build(source, target)
    except (CourseError, ReleaseError, SiteError, questions.AnchorError) as error:
        sys.exit(f"{error}\nNo website was made.")
    print("\n".join(warnings))
    print(f"The website: {target / 'index.html'}, {len(warnings)} warnings.")


if __name__ == "__main__":
    main()
