"""Jobs on other machines: Dask's scheduler hands them out, and each thread of its workers does one at a time."""

import contextlib
import logging
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from utils.course import jobs
from utils.course.exercises import CourseError

PATIENCE = 15  # seconds to wait for the scheduler, and for its first worker


def parcel(call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Return a function that does `call(*arguments)` where it arrives, and needs nothing of the course to arrive.

    Importing the course takes seconds. The thread that opens the parcel spends them; the one in which a worker receives
    it goes on answering the scheduler, which would give a silent worker up.
    """
    data = pickle.dumps((call, arguments))

    def opened() -> Any:  # a function inside another one travels as code, not as a name to import
        import pickle

        call, arguments = pickle.loads(data)
        return call(*arguments)

    return opened


class Workers(Executor):
    """Dask's workers as an executor."""

    def __init__(self, client: Any):
        self.executor = client.get_executor(pure=False)

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        return self.executor.submit(parcel(call, *arguments), **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.executor.shutdown(wait)


@contextlib.contextmanager
def workers(address: str, setting: jobs.Setting) -> Iterator[Executor]:
    """Give an executor that has Dask's workers do the jobs.

    A job whose worker is lost is given to another one. What comes back is a status, as plain values.

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
            with Workers(client) as executor:
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
    question = parcel(jobs.problem_here, setting)

    async def ask() -> Any:
        import asyncio

        return await asyncio.to_thread(question)

    problems = []
    for worker, answer in client.run(ask, on_error="return").items():
        if isinstance(answer, OSError):
            continue  # lost meanwhile
        if isinstance(answer, Exception):  # its checkout lacks what this one asks for
            answer = f"has another version of the course, or none: {type(answer).__name__}: {answer}. {jobs.SAME}"
        if answer:
            problems.append(f"Worker {worker} {answer}")
    if problems:
        raise CourseError("\n".join([*sorted(problems), "Nothing was graded."]))
