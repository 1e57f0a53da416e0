"""Run notebooks with papermill, several at a time, and report on them.

    python -m utils.course.run                                    every notebook in lectures/ and assignment/
    python -m utils.course.run 'lectures/01*.ipynb' --profile full --jobs 1 --timeout 7200

Under build/run/<profile>/ it writes the executed notebooks, an HTML copy of each that needs no network, and the report
as index.html, report.md and report.json.
"""

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import quote

from utils.course.html_copy import write_html
from utils.course.run_report import Result, count_points, write_report
from utils.course.terminal import print_anything

import nbformat
import psutil
from tqdm import tqdm

EVERY_NOTEBOOK = ("lectures/*.ipynb", "assignment/*.ipynb")
MARK = "COURSE_RUN"  # environment variable that every process of one notebook inherits
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # how IPython colours a traceback
# What nbformat raises for a file of another shape: its own errors, and what it stumbles over.
NOT_A_NOTEBOOK = (ValueError, nbformat.ValidationError, AttributeError, KeyError, TypeError, RecursionError)
TICK = 0.25  # seconds between two looks at a running notebook


def find_notebooks(patterns: list[str]) -> list[Path]:
    """Return the notebooks that `patterns` name, sorted and without repeats; SystemExit where one names none."""
    found: set[str] = set()
    for pattern in patterns or EVERY_NOTEBOOK:
        paths = [path for path in glob.glob(pattern, recursive=True) if ".ipynb_checkpoints" not in path]
        if patterns and not paths:
            sys.exit(f"No file matches {pattern!r} in {os.getcwd()}; expected notebooks such as 'lectures/01*.ipynb'.")
        found.update(os.path.relpath(path) for path in paths)
    if not found:
        sys.exit(f"No notebook found by {' or '.join(EVERY_NOTEBOOK)} in {os.getcwd()}; run from the course's folder.")
    return [Path(path) for path in sorted(found)]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return the notebook at `path`; ValueError that says what is wrong with the file."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except NOT_A_NOTEBOOK as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ValueError(f"is not a Jupyter notebook: {reason}. Restore it, or take it off the list.") from None
    return notebook


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return every living process that carries `mark`, wherever it hangs in the process tree.

    Kernels lead sessions of their own and outlive a killed parent, so neither process groups nor parents find them all.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def memory_of(processes: list[psutil.Process]) -> tuple[int, int]:
    """Return (sum of resident bytes, largest peak of a single process) of `processes`."""
    total = largest = 0
    for process in processes:
        try:
            if time.time() - process.create_time() < TICK:
                continue  # a fork that has not loaded its program yet still counts its parent's memory
            total += process.memory_info().rss
            status = Path(f"/proc/{process.pid}/status").read_text()  # Linux knows the peak between two samples
            peaks = re.findall(r"VmHWM:\s+(\d+) kB", status)
            largest = max([largest, *(int(peak) * 1024 for peak in peaks)])
        except (psutil.Error, OSError):
            continue
    return total, largest


def kill(mark: str) -> None:
    """End every process that carries `mark`, those included that start meanwhile."""
    while processes := marked_processes(mark):
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=5)


def watch(process: subprocess.Popen[bytes], mark: str, timeout: float, stop: threading.Event) -> tuple[str | None, int]:
    """Wait for `process`. Return None, "timed out" or "interrupted", and the peak bytes."""
    peak, end = 0, time.monotonic() + timeout
    while process.poll() is None:
        peak = max(peak, *memory_of(marked_processes(mark)))
        if stop.is_set() or time.monotonic() > end:
            return ("interrupted" if stop.is_set() else "timed out"), peak
        try:
            process.wait(TICK)
        except subprocess.TimeoutExpired:
            continue
    return None, peak


def explain(executed: nbformat.NotebookNode | None, source: nbformat.NotebookNode, status: str, log: str) -> str:
    """Return which cell of `source` ended the run, and its traceback, else the last lines of papermill's `log`."""
    wanted = "running" if status != "failed" else "failed"
    where = {cell.id: number for number, cell in enumerate(source.cells, start=1)}
    for cell in executed.cells if executed else ():
        if cell.metadata.get("papermill", {}).get("status") == wanted:
            first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
            title = f"in cell {where.get(cell.id, '?')} of {len(source.cells)}, `{first_line}`"
            errors = [output for output in cell.outputs if output.output_type == "error"]
            trace = "\n".join(errors[0].traceback or [f"{errors[0].ename}: {errors[0].evalue}"]) if errors else ""
            return f"{title}\n{COLOUR.sub('', trace)}".rstrip()
    return "\n".join(log.strip().splitlines()[-5:])


def threads(jobs: int) -> dict[str, str]:
    """Return the settings by which each of `jobs` notebooks gets its share of the cores.

    Several BLAS pools of full size slow each other down: small matrix products became 500 times slower on two cores.
    """
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {name: os.environ.get(name, share) for name in names}


def environment(jobs: int, mark: str) -> dict[str, str]:
    """Return the variables under which papermill runs one notebook.

    The kernel is that of this Python, also where the user has registered another one of its name; papermill's log is
    UTF-8, whatever the terminal's encoding is.
    """
    own = {MARK: mark, "JUPYTER_PREFER_ENV_PATH": "1", "PYTHONIOENCODING": "utf-8"}
    return {**os.environ, **threads(jobs), **own}


def execute(
    path: Path, target: Path, log: Path, profile: str, jobs: int, timeout: float, stop: threading.Event
) -> tuple[str, int]:
    """Run papermill from `path` to `target`; return the status and the peak bytes. Leaves no process behind."""
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "papermill", path, target, "-p", "profile", profile, "--cwd", path.parent]
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*map(str, command), "--no-progress-bar"],
            env=environment(jobs, mark),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this program alone, which then ends all
        )
        try:
            stopped, peak = watch(process, mark, timeout, stop)
        finally:
            kill(mark)  # also what a finished notebook left behind
            process.wait()
    return stopped or ("failed" if process.returncode else "passed"), peak


def run_notebook(path: Path, folder: Path, profile: str, jobs: int, timeout: float, stop: threading.Event) -> Result:
    """Run the notebook at `path` into `folder` and return its Result; never raises for what the notebook does.

    Raises
    ------
    OSError
        Nothing can be written to `folder`.
    """
    result = Result(str(path))
    try:
        source = read_notebook(path)
    except ValueError as error:
        result.status, result.why = "unreadable", str(error)
        return result
    inside = Path.cwd() in path.resolve().parents
    target = folder / (path.resolve().relative_to(Path.cwd()) if inside else path.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)

    log, start = target.with_suffix(".log"), time.monotonic()
    result.status, peak = execute(path, target, log, profile, jobs, timeout, stop)
    result.seconds, result.peak_gib = round(time.monotonic() - start, 1), round(peak / 2**30, 2)
    try:
        executed = read_notebook(target)
    except ValueError:  # nothing written yet, or killed while writing
        executed = None
    if executed:
        result.points, result.possible, result.manual = count_points(executed)
        write_html(executed, target.with_suffix(".html"))
        result.html = quote(target.with_suffix(".html").relative_to(folder).as_posix())
    else:
        _, result.possible, result.manual = count_points(source)
    if result.status != "passed":
        result.why = explain(executed, source, result.status, log.read_text(encoding="utf-8", errors="replace"))
    else:
        log.unlink()
    return result


def outcome(future: Future[Result], path: Path) -> Result:
    """Return the Result of a finished run. What broke off one run is its own status and stops no other."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, OSError):
        why = f"cannot be written: {error.filename or path}: {error.strerror or error}"
    else:
        why = "could not be run, by a fault of the runner:\n" + "".join(traceback.format_exception(error))
    return Result(str(path), status="failed", why=why)


def run_all(paths: list[Path], folder: Path, profile: str, jobs: int, timeout: float) -> list[Result]:
    """Run the notebooks, `jobs` at a time, under a progress bar; return their Results in the order of `paths`."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(paths), unit="notebook", desc=profile) as bar:
        futures = {pool.submit(run_notebook, path, folder, profile, jobs, timeout, stop): path for path in paths}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                for result in (outcome(future, futures[future]) for future in done):
                    bar.update()
                    if result.status != "passed":
                        bar.write(f"\n{result.notebook} {result.status} {result.why}\n", file=sys.stderr)
                if sys.stderr.isatty():  # a log file gets one line a notebook, not one a second
                    bar.set_postfix_str(", ".join(futures[f].stem for f in futures if f.running()))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcome(future, path) for future, path in futures.items()]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    print_anything()
    parser = argparse.ArgumentParser(prog="python -m utils.course.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="files or patterns; default: all of the course"
    )
    parser.add_argument("--profile", choices=("fast", "full"), default="fast")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default 2)")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one notebook (default 1800)")
    parser.add_argument("--output", type=Path, default=Path("build/run"), help="folder (default build/run)")
    args = parser.parse_args(arguments)
    if args.jobs < 1 or args.timeout <= 0:
        parser.error("--jobs and --timeout take a number above zero")
    paths = find_notebooks(args.notebooks)
    folder = args.output / args.profile
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"Nothing can be written to {folder}: {error.strerror}. Name another folder with --output.")
    for number in (signal.SIGINT, signal.SIGTERM):  # a program started in the background inherits an ignored SIGINT
        signal.signal(number, interrupt)
    start = time.monotonic()
    try:
        results = run_all(paths, folder, args.profile, args.jobs, args.timeout)
    except KeyboardInterrupt:
        print("Interrupted; every process of the notebooks was ended. No report was written.", file=sys.stderr)
        return 130
    try:
        write_report(results, folder, args.profile, time.monotonic() - start)
    except OSError as error:
        print(f"The report cannot be written: {error.filename or folder}: {error.strerror}", file=sys.stderr)
        return 1
    return int(any(result.status != "passed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
