"""Grade what a class handed in: one command, one isolated job for each student and notebook, and a report.

    python -m utils.course.grade SUBMISSIONS                    folder/<student>/<notebook>.ipynb, and zip files
    python -m utils.course.grade SUBMISSIONS --no-sandbox       where bubblewrap is not to be had
    python -m utils.course.grade SUBMISSIONS --dask tcp://host:8786

Under build/grading/ it keeps a copy of every submission, one status file for each job, the gradebook and the report. A
batch that was stopped at any point goes on where it stopped; a batch that is run again changes nothing. The exit
status is 0 if everything is graded, 1 if something needs a review, 2 if grading could not begin.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from utils.course import exercises, gradebook, jobs, review, sandbox, submissions
from utils.course.jobs import GRADED, REVIEW

from tqdm import tqdm

VERSION = 1  # raise it when grading itself changes: every submission is then graded anew


def write_json(path, value):
    """Write a file that is either the old one or the whole new one, whatever happens meanwhile."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        json.dump(value, file, indent=1, ensure_ascii=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def read_json(path):
    """Return the content of a status file, None if there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def slug(*names):
    """Return a file name for names with any characters: readable, unique, short."""
    text = "-".join("".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:40] for name in names)
    return f"{text}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}"


@contextlib.contextmanager
def only_one(output):
    """Wait until no other batch uses `output`: one writer at a time."""
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another batch uses {output}; waiting for its end.", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def known_name(file, course):
    """Return the lecture that a file's name names, tolerating copies: `01_x (1)`, `01_x-Copy1`, `Anna_01_x`."""
    stem = Path(file.name).name.lower()
    found = [name for name, lecture in course.items() if lecture.path.stem.lower() in stem]
    return found[0] if len(found) == 1 else None


def sort_out(files, course):
    """Return (work, results): what to grade as {(student, lecture): [(file, cells)]}, and Files that cannot be."""
    work, results = {}, []
    for file in files:
        name = known_name(file, course)
        if not file.problem:
            try:
                cells, notes = submissions.parse(file.data)
                file.notes += notes
                found = review.recognise(cells, course)
                if found is None:
                    file.problem = no_lecture(cells, name)
                elif found != name:
                    file.notes.append(f"recognised by its exercises as {found}")
                name = found or name
            except submissions.NotANotebook as error:
                file.problem = str(error)
        if file.problem:
            results.append(rejected(file, name))
        else:
            work.setdefault((file.student, name), []).append((file, cells))
    return work, results


def no_lecture(cells, name):
    if not any(cell["source"].strip() for cell in cells):
        return "is an empty notebook"
    return f"holds too few exercises of {name}" if name else "is not a notebook of this course: none of its exercises"


def rejected(file, name):
    """Return the status of a file that nothing can be graded of."""
    return {
        "student": file.student,
        "notebook": name or "",
        "file": file.name,
        "status": REVIEW,
        "reasons": [f"{file.name or 'the folder'} {file.problem}"],
        "notes": file.notes,
        "exercises": {},
        "written": {},
    }


def plan(student, name, versions, lecture):
    """Return the job for what a student handed in for a lecture: plain values, its status but for the verdicts."""
    digests = list(dict.fromkeys(file.digest for file, _ in versions))
    file, cells = versions[-1]
    answers = review.find_answers(cells, lecture)
    if len(digests) > 1:
        names = ", ".join(f.name for f, _ in versions)
        answers.reasons.append(f"{len(digests)} different files for one notebook ({names}); {file.name} was graded")
    for exercise, source in answers.cells:
        if found := review.suspicious(source):
            owners = [exercise] if exercise else [e.name for e in lecture.exercises]
            for owner in owners:
                answers.suspicions.setdefault(owner, []).extend(found)
    return {
        "student": student,
        "notebook": name,
        "file": file.name,
        "submission": file.digest,
        "key": hashlib.sha256(json.dumps([VERSION, lecture.key, digests]).encode()).hexdigest(),
        "cells": answers.cells,
        "written": answers.written,
        "reasons": answers.reasons,
        "suspicions": answers.suspicions,
        "notes": list(dict.fromkeys(note for f, _ in versions for note in f.notes)) + answers.notes,
    }


def run_jobs(waiting, folder, executor, arguments):
    """Do the jobs and write a status file after each; return their statuses."""
    results = []
    futures = [executor.submit(jobs.grade, job, *arguments) for job in waiting]
    with tqdm(total=len(waiting), unit="notebook", disable=not waiting) as bar:
        try:
            for future in as_completed(futures):
                status = future.result()
                results.append(status)
                if status["status"] != "error":
                    write_json(folder / f"{slug(status['student'], status['notebook'])}.json", status)
                bar.update()
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return results


def engine(args):
    """Return the executor: threads, each of which waits for one job at a time, or Dask's workers."""
    if args.dask is None:
        return ThreadPoolExecutor(args.jobs)
    try:
        from distributed import Client
    except ImportError:
        raise SystemExit("--dask needs Dask's scheduler: pip install distributed") from None
    return Client(args.dask).get_executor(pure=False)


def grade_folder(args):
    """Grade the folder `args.submissions` into `args.output`; return the statuses of everything in it."""
    course = exercises.read_course(args.course)
    jobs_folder, store = args.output / "jobs", args.output / "store"
    for folder in (jobs_folder, store):
        folder.mkdir(parents=True, exist_ok=True)
    work, statuses = sort_out(submissions.collect(args.submissions), course)
    waiting = []
    for (student, name), versions in work.items():
        for file, _ in versions:
            copy = store / f"{file.digest}.ipynb"
            if not copy.exists():
                part = copy.with_suffix(".part")
                part.write_bytes(file.data)
                os.replace(part, copy)
        try:
            job = plan(student, name, versions, course[name])
        except Exception as error:  # reading a strange notebook must not stop the others
            file = versions[-1][0]
            file.problem = f"cannot be read: {type(error).__name__}: {error}"
            statuses.append(rejected(file, name))
            continue
        done = read_json(jobs_folder / f"{slug(student, name)}.json")
        if done and done.get("key") == job["key"]:
            statuses.append(done)
        else:
            waiting.append(job)
    names = tuple(sorted({job["notebook"] for job in waiting}))
    arguments = (str(args.course), names, str(args.output / "warm.log"), args.limits, not args.no_sandbox)
    with engine(args) as executor:
        statuses += run_jobs(waiting, jobs_folder, executor, arguments)
    if waiting and args.dask is None:
        jobs.this_process(*arguments[:3])[1].close()
    rejects = [status for status in statuses if "key" not in status]
    write_json(args.output / "rejected.json", rejects)
    return sorted(statuses, key=lambda s: (s["student"], s["notebook"], s["file"])), len(waiting)


def cell(text):
    """Return `text` for a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def report(statuses):
    """Return the report as Markdown: one line for each file or job, every reason in full."""
    lines = [
        "# Grading report",
        "",
        "| student | notebook | result | points | reasons and notes |",
        "|---|---|---|---|---|",
    ]
    for s in statuses:
        rows = s["exercises"].values()
        points = f"{sum(r['score'] for r in rows):g} of {sum(r['points'] for r in rows):g}" if rows else ""
        lost = sum(r["provisional"] - r["score"] for r in rows)
        points += f" (+ {lost:g} after review)" if lost else ""
        words = "; ".join(s["reasons"] + [f"note: {note}" for note in s["notes"]])
        result = s["status"] if s["status"] == GRADED else f"{s['status']}, because"
        lines.append(
            "| " + " | ".join(map(cell, (s["student"], s["notebook"] or s["file"], result, points, words))) + " |"
        )
    graded = sum(s["status"] == GRADED for s in statuses)
    lines += ["", f"{graded} graded, {len(statuses) - graded} in need of a review."]
    return "\n".join(lines) + "\n"


def parse_arguments(arguments):
    defaults = sandbox.Limits()
    parser = argparse.ArgumentParser(prog="python -m utils.course.grade", description=__doc__.splitlines()[0])
    parser.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="folder that holds one folder a student")
    parser.add_argument("--output", type=Path, default=Path("build/grading"), help="folder (default build/grading)")
    parser.add_argument("--course", type=Path, default=exercises.ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="notebooks at a time (default: one a core)")
    parser.add_argument("--seconds", type=float, default=defaults.cell, help="for one cell (default %(default)g)")
    parser.add_argument("--memory", type=int, default=defaults.memory // 2**20, help="MiB a job (default %(default)d)")
    parser.add_argument("--no-sandbox", action="store_true", help="run students' code with your own rights")
    parser.add_argument("--dask", metavar="ADDRESS", help="send the jobs to this Dask scheduler")
    args = parser.parse_args(arguments)
    if args.jobs < 1 or args.seconds <= 0 or args.memory < 1:
        parser.error("--jobs, --seconds and --memory take a number above zero")
    args.limits = {"cell": args.seconds, "job": 10 * args.seconds, "memory": args.memory * 2**20}
    args.output, args.course = args.output.resolve(), args.course.resolve()
    return args


def check_sandbox(course):
    """Make one sandbox and give it back; SystemExit with what to do if that fails."""
    try:
        with sandbox.Sandbox(course / "lectures", sandbox.Limits()):
            return
    except sandbox.NoSandbox as error:
        print(
            f"Grading runs students' code, and needs bubblewrap to shut it in. {error}\n"
            "Where that cannot be had, use a container or a machine of its own, and add --no-sandbox "
            "(make grade SANDBOX=no): students' code then runs with your own rights.",
            file=sys.stderr,
        )
        sys.exit(2)


def main(arguments=None):
    args = parse_arguments(arguments)
    if not args.no_sandbox:
        check_sandbox(args.course)
    start = time.monotonic()
    with only_one(args.output):
        statuses, new = grade_folder(args)
        text = report(statuses)
        (args.output / "report.md").write_text(text, encoding="utf-8")
        write_json(args.output / "report.json", statuses)
        gradebook.merge([s for s in statuses if s["exercises"]], exercises.read_course(args.course), args.output)
    if args.output.is_relative_to(Path.cwd()):
        args.output = args.output.relative_to(Path.cwd())
    seconds = time.monotonic() - start
    print(f"{text}\n{new} of {len(statuses)} were run now, in {seconds:.0f} s. Report: {args.output}/report.md")
    if any(status["status"] == "error" for status in statuses):
        return 2
    return int(any(status["status"] != GRADED for status in statuses))


if __name__ == "__main__":
    sys.exit(main())
