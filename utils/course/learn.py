"""Make build/learn.zip, the course for who learns alone: `python -m utils.course.learn`.

It is the student version with the try-it page, exam cards, and packed solutions for `utils.hints`. With
`--no-solutions` there are none, and no hints.
"""

import argparse
import ast
import re
import shutil
import sys
import zipfile
from pathlib import Path

from utils import hints
from utils.course import questions, release
from utils.course.exercises import CourseError, nbgrader_config, student_version
from utils.files import replacing

import nbformat

HINT = re.compile(r"<details>\s*<summary>\s*Hints?.*?</summary>(.*?)</details>", re.DOTALL | re.IGNORECASE)
MARKER = re.compile(r"^[ \t]*(<!-- )?#+ (BEGIN|END) SOLUTION( -->)?[ \t]*\n?", re.MULTILINE)
QUESTION = "Write your answer first, with a figure or a number of the lecture, and save; then ask again."
README = """# Deep learning: lectures and assignment, to learn alone

You need Python 3.11, 3.12 or 3.13. Set up once, in this folder (on Windows write `.venv\\Scripts\\` for
`.venv/bin/`, and `py` for `python3`):

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt

Then, each time:

    .venv/bin/jupyter lab

Begin with `try_it.ipynb`: draw a sketch, get a picture. Then lecture 1 in `lectures/`, up to lecture 10 and the
`assignment/`. No network is needed from here on.

Replace `# YOUR CODE HERE` and `raise NotImplementedError` by your code. The cell below each exercise tells you at
once whether it passed and, if not, what was expected; it runs more checks than it shows, all that there are.
Stuck? Save the notebook, and in a terminal (JupyterLab has one: File, New, Terminal) in this folder:

    .venv/bin/python -m utils.hints lectures/01_neural_networks.ipynb neuron

It shows a hint; asked again, what the solution is made of; then the solution, once you have tried. For an exam
question (`exam_neuron`) it shows, after your answer, a sample answer and what each of its points is given for.
`exam_cards.csv` has the exam questions for Anki.
"""


def calls(source: str) -> str:
    """Return the functions that `source` calls and the statements that it is made of, as a list to read."""
    nodes = list(ast.walk(ast.parse(source)))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    names = {
        ast.For: "a loop",
        ast.If: "a condition",
        ast.Raise: "an error for bad input",
        ast.MatMult: "a matrix product (@)",
    }
    parts = [text for kind, text in names.items() if any(isinstance(node, kind) for node in nodes)]
    return ", ".join(parts + [f"`{name}`" for name in sorted(called) if len(name) < 40]) or "one expression"


def solutions(source: nbformat.NotebookNode, released: nbformat.NotebookNode) -> dict[str, dict[str, str]]:
    """Return what `utils.hints` shows of each exercise and exam question, by name, and each test as it is whole."""
    shown = {cell.id: cell.source for cell in released.cells}
    found: dict[str, dict[str, str]] = {}
    above = ""
    for cell in source.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("solution"):
            solution = MARKER.sub("", cell.source)
            hint, parts = HINT.search(above), calls(solution) if cell.cell_type == "code" else ""
            found[nbgrader["grade_id"]] = {
                "hint": hint[1].strip() if hint else "" if parts else QUESTION,
                "parts": parts,
                "solution": solution,
                "stub": shown[cell.id],
            }
        elif nbgrader.get("grade"):
            found[nbgrader["grade_id"].removeprefix("test_")] |= {"test": cell.source, "visible": shown[cell.id]}
        elif cell.cell_type == "markdown":
            above = cell.source
    return found


def fill(root: Path, folder: Path, with_solutions: bool) -> None:
    """Add to the student version in `folder` what a person without an instructor needs."""
    (folder / "README.md").write_text(README, encoding="utf-8")
    shutil.copy(root / "requirements/student.txt", folder / "requirements.txt")
    shutil.copy(root / "try_it.ipynb", folder / "try_it.ipynb")
    cards = questions.cards(questions.read(root, "exam_questions.toml"))
    (folder / "exam_cards.csv").write_text(cards, encoding="utf-8")
    if with_solutions:
        packed = {}
        for path in sorted(folder.glob("*/*.ipynb")):
            name = path.relative_to(folder).as_posix()
            source = nbformat.read(root / name, as_version=4)
            packed[name] = solutions(source, student_version(source, nbgrader_config(root, root / "build")))
        (folder / hints.FILE).write_text(hints.pack(packed), encoding="ascii")


def make(root: Path, with_solutions: bool = True) -> Path:
    """Make build/learn.zip and return its path.

    Raises
    ------
    ReleaseError, CourseError, OSError
        It cannot be made; the zip before it is as it was.
    """
    folder = root / "build/learn"
    shutil.rmtree(folder, ignore_errors=True)  # generated, and nobody works in it: the zip is what is handed on
    release.release(root, folder)
    fill(root, folder, with_solutions)
    with replacing(root / "build/learn.zip") as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("deep-learning") / file.relative_to(folder))
    return root / "build/learn.zip"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make build/learn.zip.")
    parser.add_argument("--no-solutions", action="store_true", help="leave the solutions and with them the hints out")
    options = parser.parse_args()
    try:
        path = make(Path.cwd(), not options.no_solutions)
    except (release.ReleaseError, CourseError, OSError) as error:
        sys.exit(f"{error}\nNo zip was made.")
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
