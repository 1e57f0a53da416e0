"""Grade what a class handed in: one command, one isolated job for each student and notebook, and a report.

    python -m utils.course.grade SUBMISSIONS                    folder/<student>/<notebook>.ipynb, and zip files
    python -m utils.course.grade SUBMISSIONS --no-sandbox       where bubblewrap is not to be had
    python -m utils.course.grade SUBMISSIONS --dask tcp://host:8786

Under build/grading/ it keeps a copy of every submission, one status file for each job, the gradebook and the report. A
batch that was stopped at any point goes on where it stopped; a batch that is run again changes nothing. The exit
status is 0 if everything is graded, 1 if something needs a review, 2 if grading could not begin or the course or the
machine is at fault; tracebacks are then in errors.log.
"""

import argparse
import contextlib
import fcntl
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from utils.course import class_report, cluster, gradebook, intake, jobs, platforms, records, sandbox, submissions, warm
from utils.course.exercises import ROOT, CourseError, fingerprint, read_course
from utils.course.records import ASIDE, ERROR, GRADED, Job, Status
from utils.course.terminal import print_anything
from utils.files import write_text

from tqdm import tqdm


def grade_folder(args: argparse.Namespace) -> tuple[list[Status], int]:
    """Grade the folder `args.submissions` into `args.output`.

    Returns
    -------
    tuple of list and int
        The statuses of everything in the folder, by student and notebook, and how many jobs were run now.
    """
    course = read_course(args.course)
    folder, store, log = args.output / "jobs", args.output / "store", args.output / "errors.log"
    for made in (folder, store):
        made.mkdir(parents=True, exist_ok=True)
    files = submissions.collect(args.submissions, args.rules)
    submissions.keep_copies(files, store)
    planned, rejects = intake.take_in(files, course, log, args.deadline)
    for job in planned:
        job.begun.folder = str(args.submissions.resolve())
    limits = setting_of([], args).text
    done = [records.finished(folder, job, limits, args.retry) for job in planned]
    waiting = [job for job, status in zip(planned, done, strict=True) if status is None]
    statuses = [*rejects, *filter(None, done), *run_jobs(waiting, folder, log, args)]
    records.save(args.output / "rejected.json", rejects)
    return sorted(statuses, key=lambda s: (s.student, s.notebook, s.file)), len(waiting)


def setting_of(waiting: list[Job], args: argparse.Namespace) -> jobs.Setting:
    names = tuple(sorted({job.begun.notebook for job in waiting}))
    setting = jobs.Setting(args.course, names, args.output / "warm.log", args.limits, not args.no_sandbox)
    if not (args.dask and waiting):
        return setting
    course = Path() if args.course == ROOT else args.course  # a worker's checkout may lie elsewhere
    return replace(setting, course=course, log=None, fingerprint=fingerprint(args.course))


def check_references(waiting: list[Job], setting: jobs.Setting, executor: Executor) -> tuple[list[Job], list[Status]]:
    """Grade the course's own solutions first: where they do not get full points here, nobody is graded.

    Returns
    -------
    tuple of list and list
        The jobs that can be graded on this machine, and the statuses of the others.
    """
    course = read_course(ROOT / setting.course)
    futures = {name: executor.submit(jobs.grade, intake.reference(course[name]), setting) for name in setting.lectures}
    problems = {name: intake.problem_of_reference(future.result()) for name, future in futures.items()}
    bad = [job for job in waiting if problems[job.begun.notebook]]
    statuses = [replace(job.begun, status=ERROR, reasons=[problems[job.begun.notebook]], key="") for job in bad]
    return [job for job in waiting if not problems[job.begun.notebook]], statuses


def run_jobs(waiting: list[Job], folder: Path, log: Path, args: argparse.Namespace) -> list[Status]:
    """Do the jobs and write a status file after each; return their statuses. A job that failed is tried again later."""
    if not waiting:
        return []
    setting = setting_of(waiting, args)
    engine = cluster.workers(args.dask, setting) if args.dask else ThreadPoolExecutor(args.jobs)
    with engine as executor, tqdm(total=len(waiting), unit="notebook") as bar:
        waiting, found = check_references(waiting, setting, executor)
        futures = {executor.submit(jobs.grade, job, setting): job for job in waiting}
        try:
            for future in as_completed(futures):
                begun, error = futures[future].begun, future.exception()
                status = records.internal_error(error, begun, log) if error else future.result()
                found.append(status)
                if status.status != ERROR:
                    records.save(records.status_path(folder, begun.student, begun.notebook), status)
                bar.update()
        finally:
            for future in futures:
                future.cancel()
    warm.close_all()
    return found


@contextlib.contextmanager
def only_one(output: Path) -> Iterator[None]:
    """Wait until no other batch uses `output`: one writer at a time."""
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another batch uses {output}; waiting for its end.", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    defaults = sandbox.Limits()
    parser = argparse.ArgumentParser(prog="python -m utils.course.grade", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="folder that holds one folder a student")
    parser.add_argument("--output", type=Path, default=Path("build/grading"), help="folder (default build/grading)")
    parser.add_argument("--course", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="notebooks at a time (default: one a core)")
    parser.add_argument("--seconds", type=float, default=defaults.cell, help="for one cell (default %(default)g)")
    parser.add_argument("--memory", type=int, default=defaults.memory // 2**20, help="MiB a job (default %(default)d)")
    parser.add_argument("--no-sandbox", action="store_true", help="run students' code with your own rights")
    parser.add_argument("--dask", metavar="ADDRESS", help="send the jobs to this Dask scheduler")
    parser.add_argument("--retry", action="store_true", help="grade anew what needs a review")
    parser.add_argument("--deadline", default="", help="such as 2026-11-02T23:59, the platform's time")
    parser.add_argument("--roster", type=Path, help="CSV file: a line a student, what to call them in the first column")
    parser.add_argument("--pattern", help="for names of files: a regular expression with the group (?P<student>...)")
    args = parser.parse_args(arguments)
    if args.jobs < 1 or args.seconds <= 0 or args.memory < 1:
        parser.error("--jobs, --seconds and --memory take a number above zero")
    if args.dask and not re.fullmatch(r"\w+://\S+:\d+", args.dask):
        parser.error(f"--dask is an address such as tcp://host:8786, got {args.dask}")
    args.deadline = platforms.read_stamp(args.deadline)
    if args.deadline and not intake.TIME.match(args.deadline):
        parser.error(f"--deadline is a time such as 2026-11-02T23:59, got {args.deadline}")
    args.limits = sandbox.Limits(cell=args.seconds, job=10 * args.seconds, memory=args.memory * 2**20)
    args.output, args.course = args.output.resolve(), args.course.resolve()
    return args


def earlier(statuses: list[Status], args: argparse.Namespace) -> list[Status]:
    """Return what earlier batches have graded and this one has not seen; what has left its folder is marked."""
    seen = {(status.student, status.notebook) for status in statuses}
    others = [s for s in gradebook.results(args.output) if (s.student, s.notebook) not in seen]
    for status in others:
        if status.folder == str(args.submissions.resolve()):
            status.notes.append(records.REMOVED)
    return others


def batch(args: argparse.Namespace) -> int:
    """Grade, report, merge; return the exit status."""
    start = time.monotonic()
    if not (args.no_sandbox or args.dask):
        jobs.check_sandbox(args.course)
    roster = platforms.read_roster(args.roster) if args.roster else platforms.Roster()
    args.rules = submissions.Rules(roster, platforms.read_pattern(args.pattern) if args.pattern else None)
    with only_one(args.output):
        statuses, new = grade_folder(args)
        everything = sorted([*statuses, *earlier(statuses, args)], key=lambda s: (s.student, s.notebook, s.file))
        text = class_report.batch_report(everything)
        write_text(args.output / "report.md", text)
        records.save(args.output / "report.json", everything)
        place = args.output.relative_to(Path.cwd()) if args.output.is_relative_to(Path.cwd()) else args.output
        seconds = time.monotonic() - start
        print(
            f"{text}\n{new} of {len(statuses)} were run now, in {seconds:.0f} s. Report: {place}/report.md", flush=True
        )
        gradebook.merge([s for s in statuses if s.exercises], read_course(args.course), args.output)
    if any(status.status == ERROR for status in statuses):
        return 2
    return int(any(status.status not in (GRADED, ASIDE) for status in statuses))


def main(arguments: list[str] | None = None) -> int:
    print_anything()
    args = parse_arguments(arguments)
    try:
        return batch(args)
    except CourseError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or args.output}: {error.strerror or error}", file=sys.stderr)
    except Exception:
        traceback.print_exc()
        print("This is a fault of the grader, not of a submission. What was graded is kept.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
