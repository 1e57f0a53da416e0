"""Notebooks graded a minute: `make grade` against `nbgrader autograde`, the same submissions in the same run.

    python scripts/benchmark_grading.py lectures/01_neural_networks.ipynb --students 4

The submissions are solutions, wrong answers from tests/answers/ and untouched notebooks. nbgrader runs them as it
comes, one after the other and all cells of a notebook; and once more with nothing but the graded path, for a comparison
of the same work. Measured values are in docs/grading.md.
"""

import argparse
import copy
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from utils.course import exercises, gradebook, jobs, sandbox, warm
from utils.course.cells import grade_id

import nbformat
from nbgrader.apps import NbGraderAPI

ROOT = exercises.ROOT
sys.path.insert(0, str(ROOT / "tests"))
import notebooks  # noqa: E402  (the collected answers)


def submissions(lecture, students):
    """Return the notebooks of `students` students: good ones, ones with a wrong answer, untouched ones."""
    answers = notebooks.answers(lecture.path.relative_to(ROOT).as_posix())
    wrong = [answer for answer in answers if answer.expected == "fail"]
    found = []
    for number in range(students):
        notebook = copy.deepcopy(lecture.released)
        for cell in notebook.cells:
            name = grade_id(cell)
            if number % 4 != 3 and name in {e.name for e in lecture.exercises}:
                cell.source = lecture.references[name]
                own = [answer for answer in wrong if answer.exercise == name]
                if number % 2 and own:
                    cell.source = own[number % len(own)].source
        found.append(notebook)
    return found


def graded_path(notebook):
    notebook = copy.deepcopy(notebook)
    tags = [set(cell.metadata.get("tags", ())) for cell in notebook.cells]
    pairs = zip(notebook.cells, tags, strict=True)
    notebook.cells = [cell for cell, tag in pairs if grade_id(cell) or tag & {"parameters", "setup"}]
    return notebook


def seconds(words, **options):
    start = time.monotonic()
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=ROOT, **options)
    if done.returncode not in (0, 1):
        sys.exit(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - start


def succeed(outcome):
    """End with nbgrader's log unless `outcome`, what its interface returned, is a success."""
    if not outcome["success"]:
        sys.exit(outcome.get("log") or outcome.get("error") or "nbgrader failed and gave no reason")


def ours(lecture, notebooks, folder, workers):
    """Grade with `workers` jobs at a time; return (seconds, points by student)."""
    for number, notebook in enumerate(notebooks):
        path = folder / "in" / f"student{number}" / lecture.path.name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    words = [sys.executable, "-m", "utils.course.grade", folder / "in", "--output", folder / "out", "--jobs", workers]
    taken = seconds(words)
    rows = gradebook.results(folder / "out")
    return taken, {s.student: sum(result.provisional for result in s.exercises.values()) for s in rows}


def theirs(lecture, notebooks, folder):
    """Grade with nbgrader; return (seconds, points by student)."""
    ignore = shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints")
    shutil.copytree(lecture.path.parent, folder / lecture.assignment, ignore=ignore)
    shutil.copy(lecture.path, folder / lecture.assignment)
    config = exercises.nbgrader_config(ROOT, folder)
    config.Execute.timeout = 1800  # seconds for one cell
    api = NbGraderAPI(config=config, log_level=logging.ERROR)
    succeed(api.generate_assignment(lecture.assignment))
    for number, notebook in enumerate(notebooks):
        path = folder / config.CourseDirectory.submitted_directory / f"student{number}" / lecture.assignment
        path.mkdir(parents=True)
        nbformat.write(notebook, path / lecture.path.name)
    start = time.monotonic()
    for number in range(len(notebooks)):
        succeed(api.autograde(lecture.assignment, f"student{number}"))
    taken = time.monotonic() - start
    points = {}
    with gradebook.open_gradebook(config) as book:
        for number in range(len(notebooks)):
            row = book.find_submission_notebook(lecture.path.stem, lecture.assignment, f"student{number}")
            points[f"student{number}"] = sum(g.auto_score or 0 for g in row.grades if g.cell.cell_type == "code")
    return taken, points


def parts(lecture, log):
    """Return the seconds that the parts of a batch take."""
    start = time.monotonic()
    zygote = warm.Zygote(exercises.imported_modules([lecture]), log)
    zygote.running = zygote.start()
    times = {"warm process: interpreter, TensorFlow and other imports, once a batch": time.monotonic() - start}
    start = time.monotonic()
    with sandbox.Sandbox(lecture.path.parent, sandbox.Limits()):
        times["sandbox: bubblewrap"] = time.monotonic() - start
    cells = [(e.name, lecture.references[e.name]) for e in lecture.exercises]
    for what, some in (("sandbox, fork, set-up cells and one exercise", cells[:1]), ("a whole notebook", cells)):
        start = time.monotonic()
        jobs.Grader(lecture, some, zygote, sandbox.Limits()).run()
        times[what] = time.monotonic() - start
    zygote.close()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--students", type=int, default=4)
    parser.add_argument("--theirs", type=int, default=4, help="of them for nbgrader, which does one after the other")
    parser.add_argument("--whole", action="store_true", help="let nbgrader run whole notebooks too, as it comes")
    args = parser.parse_args()
    lecture = exercises.read_course()[f"{args.notebook.parent.name}/{args.notebook.stem}"]
    notebooks = submissions(lecture, args.students)
    with tempfile.TemporaryDirectory() as folder:
        folder, points, rows = Path(folder), {}, []
        runs = [
            (f"make grade, {n} at a time", lambda n=n: ours(lecture, notebooks, folder / f"ours{n}", n)) for n in (2, 1)
        ]
        few = notebooks[: args.theirs]
        short = list(map(graded_path, few))
        runs.append(("nbgrader autograde, graded path only", partial(theirs, lecture, short, folder / "short")))
        if args.whole:
            runs.append(("nbgrader autograde", partial(theirs, lecture, few, folder / "whole")))
        for name, grade in runs:
            taken, points[name] = grade()
            rows.append((name, taken, 60 * len(points[name]) / taken))
            print(f"| {name} | {len(points[name])} | {taken:.1f} | {rows[-1][2]:.1f} |", flush=True)
        first = points[runs[0][0]]
        same = all(first[student] == score for found in points.values() for student, score in found.items())
        print("same points" if same else f"DIFFERENT POINTS: {points}")
        for what, taken in parts(lecture, folder / "warm.log").items():
            print(f"| {what} | {taken:.2f} |")


if __name__ == "__main__":
    main()
