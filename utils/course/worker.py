"""The warm process: it has imported TensorFlow, and forks one child for each job.

    python -m utils.course.worker SOCKET MODULE ...

It is started by grade.py and runs no student's code itself. A child joins its sandbox, runs the notebook's set-up and
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
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

from utils.course import integrity, sandbox

FORK_SAFE = {"jemalloc_bg_thd"}  # memory allocator of TensorFlow, has handlers for fork of its own


def send(link, message):
    data = json.dumps(message).encode()
    link.sendall(struct.pack("!I", len(data)) + data)


def receive(link):
    """Return the next message, None at the end of the connection."""
    data = b""
    wanted = 4
    while len(data) < wanted:
        part = link.recv(min(65536, wanted - len(data)))
        if not part:
            return None
        data += part
        if wanted == 4 and len(data) == 4:
            wanted = 4 + struct.unpack("!I", data)[0]
    return json.loads(data[4:])


class Output(io.TextIOBase):
    """Keeps the first characters that are written, forgets the rest."""

    def __init__(self, limit):
        self.limit, self.text = limit, ""

    def write(self, text):
        self.text += str(text)[: max(0, self.limit - len(self.text))]
        return len(text)

    def take(self):
        text, self.text = self.text, ""
        return text


def student(link, limits):
    """Do one job in the child: define what the student wrote, then test it."""
    order = receive(link)
    output = Output(limits["output"] // 8)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        space = {"__name__": "__main__", "__builtins__": __builtins__}
        send(link, {"at": None})
        for source in order["setup"]:
            integrity.run(source, space)
        guard = integrity.Guard(space)
        errors = {}
        for name, source in order["cells"]:
            send(link, {"at": name})
            try:
                integrity.run(source, space)
            except BaseException as error:  # SystemExit and KeyboardInterrupt are students' errors as well
                errors[name] = integrity.explain(error)
        output.take()
        send(link, {"defined": errors, "changed": guard.changes()})
        order = receive(link)  # from here on the hidden tests are in this process
        for name, source in order["tests"]:
            send(link, {"at": name})
            verdict = guard.test(name, source, space, output)
            send(link, {"tested": name, "word": order["word"], **verdict})


def confine(order, limits):
    """Shut this process in before it runs anything of a student's."""
    os.environ.update(HOME="/tmp", TMPDIR="/tmp", MPLCONFIGDIR="/tmp")
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order.get("scratch") or order["folder"])
    if "namespaces" in order:
        sandbox.drop_privileges()
    sandbox.limit_resources(limits)


def supervise(order, link):
    """Fork the process that runs the student's code, wait for it, and tell how it ended."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    link = socket.socket(fileno=os.dup2(link, 4))
    os.closerange(5, 4096)
    os.close(3)
    try:
        if "namespaces" in order:
            sandbox.join(order["namespaces"])
        sandbox.adopt_orphans()
    except OSError as error:
        send(link, {"failed": f"the sandbox cannot be entered: {error}"})
        return
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            try:
                confine(order, order["limits"])
                student(link, order["limits"])
            except BaseException as error:
                send(link, {"failed": integrity.explain(error)})
        os._exit(0)
    link.close()
    with contextlib.suppress(ChildProcessError):
        while True:  # orphans come to us as well
            os.wait()
    os._exit(0)


def threads():
    """Return the names of the threads of this process but one."""
    names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    return names[1:]


def warm(modules):
    """Import `modules`; RuntimeError if one starts threads, since a fork would be unsound after it."""
    for module in modules:
        importlib.import_module(module)
        if found := set(threads()) - FORK_SAFE:
            raise RuntimeError(
                f"importing {module} starts threads ({', '.join(sorted(found))}): it cannot be warmed up"
            )


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    warm(sys.argv[2:])
    gc.freeze()  # what was imported is garbage for no child: none has to look through it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.dup2(control.fileno(), 3)
    control.detach()
    control = socket.socket(fileno=3)
    control.send(b"ready")
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
        if not data:
            return
        child = os.fork()
        if child == 0:
            try:
                supervise(json.loads(data), descriptors[0])
            finally:
                os._exit(1)
        os.close(descriptors[0])
        control.send(json.dumps(child).encode())


if __name__ == "__main__":
    main()
