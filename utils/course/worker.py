"""The warm process: it has imported TensorFlow, and forks one child for each job.

    python -m utils.course.worker SOCKET MODULE ...

It is started by warm.py and runs no student's code itself. A child joins its sandbox, runs the notebook's set-up and
the student's solution cells, and only then receives the tests, which it did not hold before. It answers with values in
JSON. What the answers are worth, and what a child could do to them, is told in docs/grading.md.

Forking is sound as long as nothing but this thread runs: threads of TensorFlow's pools would be missing in the child,
and its first parallel operation would wait for them for ever. `main` checks it. utils.runtime starts them (it asks
TensorFlow for the devices), so whatever belongs to `utils` is imported by the child.
"""

import contextlib
import gc
import importlib
import io
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from utils.course import cells, sandbox
from utils.course.guard import Guard
from utils.course.protocol import AT, DEFINED, FAILED, SETUP, TESTED, Define, Enter, Reply, Test, receive, send

FORK_SAFE = {"jemalloc_bg_thd"}  # memory allocator of TensorFlow, has handlers for fork of its own


class Output(io.TextIOBase):
    """Keeps the last characters that are written, the verdict among them, and forgets what came before."""

    def __init__(self, limit: int):
        self.limit, self.text = limit, ""

    def write(self, text: str) -> int:
        self.text += str(text)[-self.limit :]
        if len(self.text) > 2 * self.limit:
            self.text = self.text[-self.limit :]
        return len(text)

    def take(self) -> str:
        text, self.text = self.text, ""
        return text


def display(*values: Any, **options: Any) -> None:
    """Print the values: what IPython's function of this name does where there is no front end."""
    print(*values, sep="\n")


def student(link: socket.socket, limits: sandbox.Limits) -> None:
    """Do one job in the child: define what the student wrote, then test it."""
    order = Define(**receive(link))
    output = Output(limits.output // 8)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__, "display": display}
        send(link, Reply(SETUP))
        for source in order.setup:
            cells.run(source, namespace)
        guard = Guard(namespace)
        errors: dict[str, str] = {}
        for name, source in order.cells:
            send(link, Reply(AT, name))
            try:
                cells.run(source, namespace)
            except BaseException as error:  # SystemExit and KeyboardInterrupt are students' errors as well
                errors.setdefault(name, cells.explain(error))
        output.take()
        send(link, Reply(DEFINED, errors=errors, changed=guard.changes()))
        tests = Test(**receive(link))  # from here on the hidden tests are in this process
        for name, source in tests.tests:
            send(link, Reply(AT, name))
            send(link, test(name, source, namespace, guard, output, tests.word))
        send(link, Reply(TESTED))  # that no second result follows the last one


def test(name: str, source: str, namespace: dict[str, Any], guard: Guard, output: Output, word: str) -> Reply:
    """Run the test cell of the exercise `name` and return its verdict."""
    covered, odd = guard.cover(namespace)
    sys.setrecursionlimit(1000)
    score: float | None = None
    try:
        value = cells.run(source, covered)
        score = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        line = result_line(output.take(), name)
    except BaseException as error:
        line = f"the test cell itself stopped: {cells.explain(error)}"
    return Reply(TESTED, name, changed=guard.changes(), odd=odd[:5], score=score, line=line[:1000], word=word)


def result_line(text: str, name: str) -> str:
    """Return the line that `checks.grade` printed, which may come after a prompt or prints of the student's."""
    found = re.findall(rf"{re.escape(name)}: (?:passed|failed|not attempted), .*", text)
    return found[-1] if found else text.strip()[:200]


def confine(order: Enter) -> None:
    """Shut this process in before it runs anything of a student's."""
    os.environ.update(HOME="/tmp", TMPDIR="/tmp", MPLCONFIGDIR="/tmp")
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order.entrance.scratch or order.folder)
    if order.entrance.namespaces is not None:
        sandbox.drop_privileges()
    sandbox.limit_resources(order.limits)


def keep_only(link: int) -> socket.socket:
    """Close every file of this process but `link`, which is returned as a socket; 0, 1 and 2 become /dev/null.

    A fork inherits all open files: the socket to the grader (number 3), the warm process's log, sockets of jobs that
    run at the same time. Through any of them a student's code could reach what is not its own.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    kept = socket.socket(fileno=os.dup2(link, 4))
    os.closerange(5, 4096)
    os.close(3)
    return kept


def supervise(order: Enter, descriptor: int, parent: int) -> None:
    """Fork the process that runs the student's code, wait for it, and tell how it ended."""
    sandbox.end_with_parent(parent)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link = keep_only(descriptor)
    try:
        if order.entrance.namespaces is not None:
            sandbox.join(order.entrance.namespaces)
        sandbox.adopt_orphans()
    except OSError as error:
        send(link, Reply(FAILED, line=f"the sandbox cannot be entered: {error}"))
        return
    own = os.getpid()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            try:
                sandbox.end_with_parent(own)
                confine(order)
                student(link, order.limits)
            except BaseException as error:
                send(link, Reply(FAILED, line=cells.explain(error)))
        os._exit(0)
    link.close()
    with contextlib.suppress(ChildProcessError):
        while True:  # orphans come to us as well
            os.wait()
    os._exit(0)


def threads() -> list[str]:
    """Return the names of the threads of this process but one."""
    names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    return names[1:]


def warm(modules: list[str]) -> None:
    """Import `modules`; RuntimeError if one starts threads, since a fork would be unsound after it."""
    for module in modules:
        importlib.import_module(module)
        if found := set(threads()) - FORK_SAFE:
            raise RuntimeError(
                f"importing {module} starts threads ({', '.join(sorted(found))}): it cannot be warmed up"
            )


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    warm(sys.argv[2:])
    gc.freeze()  # what was imported is garbage for no child: none has to look through it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.dup2(control.fileno(), 3)  # a number that keep_only knows
    control.detach()  # it may be number 3 already
    control = socket.socket(fileno=3)
    control.send(b"ready")
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
        if not data:
            return
        own = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                supervise(Enter.read(data), descriptors[0], own)
            finally:
                os._exit(1)
        os.close(descriptors[0])
        control.send(str(child).encode())


if __name__ == "__main__":
    main()
