"""The warm process: it has imported what the lectures need, and forks one child for each job (see worker.py)."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from utils.course.exercises import ROOT, Course, CourseError, imported_modules, read_course
from utils.course.protocol import Enter, encode

KEEP = ("PATH", "LANG", "LC_ALL", "KERAS_BACKEND", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "HOME")
# The course's folder; names of the lectures that the warm process is for, () for all; its log.
Place = tuple[Path, tuple[str, ...], Path | None]
_made: dict[Place, "tuple[Course, Zygote]"] = {}
_lock = threading.Lock()


class Zygote:
    """The warm process that forks the jobs; shared by the threads of this process, started again when it ended."""

    def __init__(self, modules: list[str], log: Path | None):
        self.running: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self.failure = ""
        # Keras reads and writes its settings in a folder of its own: the user's must not decide about points.
        self.folder = tempfile.TemporaryDirectory(prefix="grading-")
        self.modules, self.lock = modules, threading.Lock()
        self.log = log or Path(self.folder.name, "warm.log")

    def environment(self) -> dict[str, str]:
        """Return the variables of the warm process: no secrets of the instructor's, one thread for each library."""
        kept = {name: os.environ[name] for name in KEEP if name in os.environ}
        kept |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
        path = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        kept |= {"PYTHONPATH": os.pathsep.join(path), "MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
        return kept | {"KERAS_HOME": self.folder.name}

    def start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start the process and wait until it has imported everything; CourseError if it cannot."""
        if self.failure:
            raise CourseError(self.failure)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(self.log, "ab") as log, theirs:
            begin = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "utils.course.worker", str(theirs.fileno()), *self.modules],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        if not ours.recv(16):
            process.wait()
            ours.close()
            said = self.log.read_bytes()[begin:].decode(errors="replace").strip().splitlines() or ["it said nothing"]
            self.failure = f"the warm process did not start: {said[-1]} (all its messages are in {self.log})"
            raise CourseError(self.failure)
        return process, ours

    def fork(self, order: Enter, peer: socket.socket) -> tuple[int, socket.socket]:
        """Fork a child for `order`; return its supervisor's process id and the socket to talk to it.

        `peer` is the child's end of the line to the other room.
        """
        ours, theirs = socket.socketpair()
        with self.lock, theirs, peer:
            for _ in range(2):  # without a sandbox a student's process can kill the warm one
                if self.running is None or self.running[0].poll() is not None:
                    self.running = self.start()
                process, control = self.running
                with contextlib.suppress(OSError, ValueError):
                    socket.send_fds(control, [encode(order)], [theirs.fileno(), peer.fileno()])
                    return int(control.recv(16)), ours
                process.wait()
        raise CourseError(f"the warm process ended twice; its messages are in {self.log}")

    def close(self) -> None:
        with self.lock:
            if self.running is not None:
                process, control = self.running
                control.close()
                process.terminate()
                process.wait()
                self.running = None
            self.folder.cleanup()


def this_process(place: Place) -> tuple[Course, Zygote]:
    """Return the course and the warm process of this process, made by the first of its threads that asks.

    A Dask worker makes its own at its first job.
    """
    with _lock:
        if place not in _made:
            course = read_course(place[0])
            lectures = [course[name] for name in place[1] or course]
            _made[place] = course, Zygote(imported_modules(lectures), place[2])
        return _made[place]


def close_all() -> None:
    """End the warm processes of this process."""
    with _lock:
        while _made:
            _made.popitem()[1][1].close()
