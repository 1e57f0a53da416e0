"""Notebooks graded a minute: `make grade` against `nbgrader autograde`, the same submissions in the same run.

    python scripts/benchmark_grading.py lectures/01_neural_networks.ipynb --students 4
    python scripts/benchmark_grading.py lectures/01_neural_networks.ipynb --students 12 --first --repeats 3
    python scripts/benchmark_grading.py lectures/01_neural_networks.ipynb --students 20 --dask 1 2 4 --theirs 0

The submissions are solutions, wrong answers and untouched notebooks. nbgrader runs them as it comes, one after the
other and all cells of a notebook; and once more with nothing but the graded path, for a comparison of the same work.

With --first the lecture and its wrong answers are those of the course's first edition, taken out of the repository's
history, and its grader takes part: its own code, in a process of its own. With --dask the jobs also go to a scheduler
and so many workers on this machine. What is repeated takes turns; the table shows medians. Measured values are in
docs/grading.md.
"""

import argparse
import copy
import io
import json
import logging
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
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

FIRST_EDITION = "2fc245e87b35"  # version 0.1.0


def take_out(revision, folder):
    """Write the course as it was at a revision of this repository into `folder`."""
    words = ["git", "archive", revision, "utils", "lectures", "tests/wrong_answers", "nbgrader_config.py"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True)
    if done.returncode:
        sys.exit(f"The first edition, {revision}, is not in this clone's history: {done.stderr.decode()}")
    tarfile.open(fileobj=io.BytesIO(done.stdout)).extractall(folder, filter="data")


def wrong_answers(lecture, course):
    """Return pairs (exercise, source), from the tests of the course in the folder `course`."""
    if course == ROOT:
        answers = notebooks.answers(lecture.path.relative_to(ROOT).as_posix())
        return [(answer.exercise, answer.source) for answer in answers if answer.expected == "fail"]
    paths = sorted((course / "tests" / "wrong_answers" / lecture.path.stem).glob("*.py"))
    return [(path.stem.partition("__")[0], path.read_text(encoding="utf-8").partition("\n")[2]) for path in paths]


def submissions(lecture, students, course):
    """Return the notebooks of `students` students: good ones, ones with a wrong answer, untouched ones."""
    wrong = wrong_answers(lecture, course)
    found = []
    for number in range(students):
        notebook = copy.deepcopy(lecture.released)
        for cell in notebook.cells:
            name = grade_id(cell)
            if number % 4 != 3 and name in {e.name for e in lecture.exercises}:
                cell.source = lecture.references[name]
                own = [source for exercise, source in wrong if exercise == name]
                if number % 2 and own:
                    cell.source = own[number % len(own)]
        found.append(notebook)
    return found


def graded_path(notebook):
    notebook = copy.deepcopy(notebook)
    tags = [set(cell.metadata.get("tags", ())) for cell in notebook.cells]
    pairs = zip(notebook.cells, tags, strict=True)
    notebook.cells = [cell for cell, tag in pairs if grade_id(cell) or tag & {"parameters", "setup"}]
    return notebook


class Processor:
    """The CPU seconds of this process and of all that it starts, ended ones too: what other programs do, they are not.

    A control group counts them. It takes root's rights; without them `seconds` is nan.
    """

    def __init__(self):
        name = f"benchmark-{os.getpid()}"
        self.old, self.new = Path("/sys/fs/cgroup/cpuacct", name), Path("/sys/fs/cgroup", name)
        self.folder = self.old if self.old.parent.is_dir() else self.new
        try:
            self.folder.mkdir()
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            self.folder = None

    def seconds(self):
        if self.folder is None:
            return float("nan")
        if self.folder == self.old:
            return int((self.folder / "cpuacct.usage").read_text()) / 1e9
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6


PROCESSOR = Processor()


def clock():
    return time.monotonic(), PROCESSOR.seconds()


def since(start):
    """Return seconds and seconds of CPU."""
    return [now - then for now, then in zip(clock(), start, strict=True)]


def seconds(words, **options):
    start = clock()
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **options)
    if done.returncode not in (0, 1):
        sys.exit(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return since(start)


def succeed(outcome):
    """End with nbgrader's log unless `outcome`, what its interface returned, is a success."""
    if not outcome["success"]:
        sys.exit(outcome.get("log") or outcome.get("error") or "nbgrader failed and gave no reason")


def ours(lecture, notebooks, *options, grader=ROOT):
    """Grade with the code in the folder `grader`; return (seconds and seconds of CPU, points by student)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for number, notebook in enumerate(notebooks):
            path = folder / "in" / f"student{number}" / lecture.path.name
            path.parent.mkdir(parents=True)
            nbformat.write(notebook, path)
        course = lecture.path.parents[1]
        words = [sys.executable, "-m", "utils.course.grade", folder / "in", "--output", folder / "out"]
        taken = seconds([*words, "--course", course, *options], cwd=grader, env=environment(grader))
        rows = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
        return taken, {s["student"]: sum(row["provisional"] for row in s["exercises"].values()) for s in rows}


def environment(root):
    """Return the variables of a process that has the `utils` in the folder `root`, and this process's packages."""
    places = [str(root), *(place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place != str(ROOT))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


class Workers:
    """A Dask scheduler and workers of one thread each, on this machine, inside a `with` block."""

    def __init__(self, number):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.number = f"tcp://127.0.0.1:{port}", number
        self.words = [["scheduler", "--host", "127.0.0.1", "--port", port]]
        self.words += [["worker", self.address, "--nthreads", "1", "--no-nanny"]] * number

    def __enter__(self):
        from distributed import Client

        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *map(str, words[1:]), "--no-dashboard"],
                cwd=self.folder.name,
                env=environment(ROOT),
                stderr=subprocess.DEVNULL,
            )
            for words in self.words
        ]
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(self.number, timeout=120)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        self.folder.cleanup()


def on_workers(number, lecture, notebooks):
    """Grade with Dask's workers, their start not counted; return (seconds and seconds of CPU, points by student)."""
    with Workers(number) as workers:
        ours(lecture, notebooks[:number], "--dask", workers.address)  # so that each worker has its warm process
        return ours(lecture, notebooks, "--dask", workers.address)


def theirs(lecture, notebooks, folder):
    """Grade with nbgrader; return (seconds and seconds of CPU, points by student)."""
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
    start = clock()
    for number in range(len(notebooks)):
        succeed(api.autograde(lecture.assignment, f"student{number}"))
    taken = since(start)
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
    parser.add_argument("--first", nargs="?", const=FIRST_EDITION, help="beside the first edition, on its lecture")
    parser.add_argument(
        "--dask", nargs="*", type=int, default=[], metavar="WORKERS", help="so many workers, such as 1 2"
    )
    parser.add_argument("--repeats", type=int, default=1, help="of ours, in turns")
    parser.add_argument("--jobs", nargs="*", type=int, default=[2, 1], help="at a time (default 2 and 1)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, points = Path(folder), {}
        course = folder / "first" if args.first else ROOT
        if args.first:
            take_out(args.first, course)
        lecture = exercises.read_course(course)[f"{args.notebook.parent.name}/{args.notebook.stem}"]
        notebooks = submissions(lecture, args.students, course)
        few = notebooks[: args.theirs]
        short = list(map(graded_path, few))
        often = {f"make grade, {n} at a time": partial(ours, lecture, notebooks, "--jobs", n) for n in args.jobs}
        if args.first:
            often |= {
                f"first edition, {n} at a time": partial(ours, lecture, notebooks, "--jobs", n, grader=course)
                for n in args.jobs
            }
        often |= {f"Dask, workers: {n}": partial(on_workers, n, lecture, notebooks) for n in args.dask}
        once = (
            {"nbgrader autograde, graded path only": partial(theirs, lecture, short, folder / "short")} if few else {}
        )
        if args.whole:
            once["nbgrader autograde"] = partial(theirs, lecture, few, folder / "whole")
        times = {name: [] for name in [*often, *once]}
        for grades in [often] * args.repeats + [once]:
            for name, grade in grades.items():
                (taken, cpu), points[name] = grade()
                times[name].append((taken, cpu))
                print(f"{name}: {taken:.1f} s, {cpu:.1f} s of CPU", file=sys.stderr, flush=True)
        print("| grader | notebooks | seconds | seconds of CPU | notebooks a minute |")
        for name in times:
            taken, cpu = map(statistics.median, zip(*times[name], strict=True))
            found = len(points[name])
            print(f"| {name} | {found} | {taken:.1f} | {cpu:.1f} | {60 * found / taken:.1f} |", flush=True)
        first = next(iter(points.values()))
        same = all(first[student] == score for found in points.values() for student, score in found.items())
        print("same points" if same else f"DIFFERENT POINTS: {points}")
        for what, taken in parts(lecture, folder / "warm.log").items():
            print(f"| {what} | {taken:.2f} |")


if __name__ == "__main__":
    main()
