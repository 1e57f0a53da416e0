"""Jobs on other machines: Dask's scheduler hands them out, and each thread of its workers does one at a time."""

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from typing import Any

from utils.course import jobs
from utils.course.exercises import CourseError

PATIENCE = 15  # seconds to wait for the scheduler, and for its first worker


@contextlib.contextmanager
def workers(address: str, setting: jobs.Setting) -> Iterator[Executor]:
    """Give an executor that has Dask's workers do the jobs.

    A job whose worker is lost is given to another one. What ends well is a status, as plain values, in this process.

    Raises
    ------
    CourseError
        There is no scheduler at the address, it has no workers, one of them cannot grade this course, or the scheduler
        was lost in the middle.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise CourseError("--dask needs Dask's scheduler: pip install -r requirements/cluster.txt") from None
    for logger in ("distributed", "distributed.client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # what goes wrong arrives here as an exception
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        first = str(error).split("\n")[0]
        raise CourseError(f"No Dask scheduler at {address}: {first}. Start one there: dask scheduler") from None
    try:
        with client:
            check(client, address, setting)
            with client.get_executor(pure=False) as executor:
                yield executor
    except CancelledError:
        raise CourseError(f"The Dask scheduler at {address} was lost. {jobs.AGAIN}") from None
    except KilledWorker as error:
        raise CourseError(f"{error} {jobs.AGAIN}") from None


def check(client: Any, address: str, setting: jobs.Setting) -> None:
    """Ask every worker whether it can grade this course; CourseError that names those that cannot."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise CourseError(f"The Dask scheduler at {address} has no worker. Start one: dask worker {address}") from None
    found = client.run(jobs.problem_here, setting, on_error="return")
    bad = [
        f"Worker {worker} {problem if isinstance(problem, str) else said(problem)}"
        for worker, problem in found.items()
        if problem
    ]
    if bad:
        raise CourseError("\n".join([*sorted(bad), "Nothing was graded."]))


def said(error: Exception) -> str:
    """Return what a worker's error means: it comes from a checkout that lacks what this one asks for."""
    return f"has another version of the course, or none: {type(error).__name__}: {error}. {jobs.SAME}"
