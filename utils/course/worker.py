"""The warm process: it has imported TensorFlow, and forks one child for each job.

    python -m utils.course.worker SOCKET MODULE ...

It is started by warm.py and runs no student's code itself. A job has two children, each in a sandbox of its own: the
answer room runs the notebook's set-up and the student's solution cells, the test room the set-up and the tests. They
talk to each other by a socket (see rooms.py), and to the grader by another one. What that is worth is told in
docs/grading.md.

Forking is sound as long as nothing but this thread runs: threads of TensorFlow's pools would be missing in the child,
and its first parallel operation would wait for them for ever. `main` checks it. utils.runtime starts them (it asks
TensorFlow for the devices), so whatever belongs to `utils` is imported by the child.
"""

import contextlib
import fcntl
import gc
import importlib
import io
import os
import re
import signal
import socket
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.course import cells, rooms, sandbox
from utils.course.answer_room import AnswerRoom
from utils.course.protocol import AT, DEFINED, FAILED, GONE, SETUP, TESTED, Define, Enter, Reply, Test, receive, send
from utils.course.test_room import TestRoom

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


class ZMQInteractiveShell:
    """What `get_ipython()` returns: it has the name of a notebook's shell, and whatever it is told, it does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *values, **options: [] if name == "getoutput" else None


def answer_room(link: socket.socket, peer: socket.socket, limits: sandbox.Limits) -> None:
    """Define what the student wrote, and then compute what the tests ask for."""
    order = Define(**receive(link))
    output, errors_written = Output(limits.output // 8), Output(limits.output // 8)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors_written):
        namespace = prepared(link, order)
        before = dict(namespace)
        errors = define(link, order.cells, namespace)
        output.take()
        errors_written.take()
        send(link, Reply(DEFINED, errors=errors))
        with contextlib.suppress(rooms.Gone):
            AnswerRoom(peer, namespace, before, errors_written).serve_forever()


def define(link: socket.socket, wanted: list[tuple[str, str]], namespace: dict[str, Any]) -> dict[str, str]:
    """Run the student's cells; return how those ended that stopped, by exercise, "" for other cells.

    A cell that missed a name is run once more after the others: in the notebook it may have stood below them.
    """
    left, errors = list(enumerate(wanted)), dict[int, str]()
    for _ in range(3):
        missing = []
        for number, (name, source) in left:
            send(link, Reply(AT, name))
            errors.pop(number, None)
            try:
                cells.run(source, namespace, rooms.ANSWER_FILE.format(number))
            except BaseException as error:  # SystemExit and KeyboardInterrupt are students' errors as well
                errors[number] = cells.explain(error)
                if isinstance(error, NameError):
                    missing.append((number, (name, source)))
        left = missing
    return {wanted[number][0]: errors[number] for number in sorted(errors, reverse=True)}


def test_room(link: socket.socket, peer: socket.socket, limits: sandbox.Limits) -> None:
    """Run the tests on what the answer room has defined."""
    order = Define(**receive(link))
    output = Output(limits.output // 8)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        namespace = prepared(link, order)
        send(link, Reply(DEFINED))
        tests = Test(**receive(link))
        room = TestRoom(peer, namespace, tests.cells)
        for name, source, names in tests.tests:
            send(link, Reply(AT, name))
            output.take()
            try:
                reply = test(name, source, room.namespace_of(names), output)
                send(link, replace(reply, uncrossed=room.uncrossed))
            except rooms.Gone as end:
                send(link, Reply(GONE, name, line=str(end)))
                return


def prepared(link: socket.socket, order: Define) -> dict[str, Any]:
    """Run the set-up cells and return their names: those of the module `__main__`, as in a notebook."""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    namespace = vars(module)
    namespace |= {"__builtins__": __builtins__, "display": display, "get_ipython": ZMQInteractiveShell}
    send(link, Reply(SETUP))
    for source in order.setup:
        cells.run(source, namespace)
    return namespace


def test(name: str, source: str, namespace: dict[str, Any], output: Output) -> Reply:
    """Run the test cell of the exercise `name` and return its verdict."""
    score: float | None = None
    try:
        value = cells.run(source, namespace)
        score = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        line = result_line(output.take(), name)
    except rooms.Gone:
        raise
    except BaseException as error:
        line = f"the test cell itself stopped: {cells.explain(error)}"
    return Reply(TESTED, name, score=score, line=line[:1000])


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


def keep_only(link: int, peer: int) -> tuple[socket.socket, socket.socket]:
    """Close every file of this process but `link` and `peer`, which are returned as sockets; 0, 1, 2 become /dev/null.

    A fork inherits all open files: the socket to the grader (number 3), the warm process's log, sockets of jobs that
    run at the same time. Through any of them a student's code could reach what is not its own.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    first, second = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in (link, peer))
    kept = tuple(socket.socket(fileno=os.dup2(old, new)) for old, new in ((first, 4), (second, 5)))
    os.closerange(6, 4096)
    os.close(3)
    return kept  # type: ignore[return-value]


def supervise(order: Enter, descriptors: list[int], parent: int) -> None:
    """Fork the process that is one of the rooms, and wait for its end."""
    sandbox.end_with_parent(parent)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link, peer = keep_only(*descriptors)
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
                (test_room if order.tests else answer_room)(link, peer, order.limits)
            except BaseException as error:
                send(link, Reply(FAILED, line=cells.explain(error)))
        os._exit(0)
    link.close()
    peer.close()
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
        data, descriptors, _, _ = socket.recv_fds(control, 65536, 2)
        if not data:
            return
        own = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                supervise(Enter.read(data), descriptors, own)
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(child).encode())


if __name__ == "__main__":
    main()
