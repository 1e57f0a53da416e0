"""One job: the answers of one student to one notebook go in as text, points and reasons come out as plain values."""

import contextlib
import json
import math
import os
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from utils.course import exercises, review, sandbox

KEEP = ("PATH", "LANG", "LC_ALL", "KERAS_BACKEND", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "HOME")
GRADED, REVIEW = "graded", "needs review"
MESSAGES = 1000  # of one child; a notebook needs three for each exercise
TICK = 0.05  # seconds between two looks at a job


class CourseError(Exception):
    """The course itself, not a submission, keeps a notebook from being graded."""


class Zygote:
    """The warm process that forks the jobs; shared by the threads of this process, started again when it ended."""

    def __init__(self, modules, log):
        self.modules, self.log, self.lock, self.process = list(modules), log, threading.Lock(), None

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in KEEP if name in os.environ}  # no secrets of the instructor
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
        path = filter(None, (str(exercises.ROOT), os.environ.get("PYTHONPATH")))
        environment |= {"PYTHONPATH": os.pathsep.join(path), "MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "utils.course.worker", str(theirs.fileno()), *self.modules],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        if not ours.recv(16):
            self.process.wait()
            raise CourseError(f"the warm process did not start; its messages are in {self.log}")
        self.control = ours

    def fork(self, order):
        """Fork a child for `order`; return its supervisor's process id and the socket to talk to it."""
        ours, theirs = socket.socketpair()
        with self.lock, theirs:
            for _ in range(2):  # without a sandbox a student's process can kill the warm one
                if self.process is None or self.process.poll() is not None:
                    self.start()
                with contextlib.suppress(OSError, ValueError):
                    socket.send_fds(self.control, [json.dumps(order).encode()], [theirs.fileno()])
                    return int(self.control.recv(16)), ours
                self.process.wait()
        raise CourseError(f"the warm process ended twice; its messages are in {self.log}")

    def close(self):
        with self.lock:
            if self.process is not None:
                self.control.close()
                self.process.terminate()
                self.process.wait()
                self.process = None


class Stopped(Exception):
    """The student's process did not get through a cell: it ended, or went over a limit."""


class Child:
    """The controlling end of a student's process. Everything it receives is untrusted."""

    def __init__(self, zygote, room, folder, limits):
        self.room, self.limits, self.data, self.base, self.messages = room, limits, b"", None, 0
        order = {"folder": str(folder), "limits": asdict(limits), **room.arguments()}
        self.supervisor, self.link = zygote.fork(order)
        self.link.settimeout(TICK)

    def send(self, message):
        data = json.dumps(message).encode()
        self.link.settimeout(self.limits.cell)
        with contextlib.suppress(OSError):  # that it has ended is seen when it does not answer
            self.link.sendall(struct.pack("!I", len(data)) + data)
        self.link.settimeout(TICK)

    def watch(self):
        """Raise Stopped if the job holds too many processes or too much memory."""
        found = self.room.processes(self.supervisor)
        if len(found) > self.limits.processes:
            raise Stopped(f"started more than {self.limits.processes} processes")
        sizes = [sandbox.resident(process) for process in found]
        if self.base is None and sizes:
            self.base = max(sizes)
        if sizes and sum(max(0, size - self.base) for size in sizes) > self.limits.memory:
            raise Stopped(f"used more than {self.limits.memory / 2**20:.0f} MiB of memory")
        return len(found)

    def receive(self, end):
        """Return the next message, waiting until the time `end` of time.monotonic; Stopped if none comes."""
        while True:
            if len(self.data) >= 4:
                wanted = 4 + struct.unpack("!I", self.data[:4])[0]
                if wanted > self.limits.output:
                    raise Stopped("sent a message that is too long")
                if len(self.data) >= wanted:
                    text, self.data, self.messages = self.data[4:wanted], self.data[wanted:], self.messages + 1
                    if self.messages > MESSAGES:
                        raise Stopped(f"sent more than {MESSAGES} messages")
                    return checked(text)
            if time.monotonic() > end:
                raise Stopped(f"gave no result within {self.limits.cell:g} s")
            try:
                part = self.link.recv(65536)
            except TimeoutError:
                self.watch()
                continue
            except OSError:
                part = b""
            if not part:
                raise Stopped("ended the process that ran it")
            self.data += part


def checked(text):
    """Return a message of a student's process as a dict; Stopped if it is anything else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Stopped("sent something that is not a message")
    return message


@dataclass
class Verdict:
    """What became of one exercise. `suspicions` lead to a review, whatever the points."""

    score: float = 0.0
    status: str = "failed"
    line: str = ""
    suspicions: list = field(default_factory=list)


def texts(value):
    """Return `value` as a short list of short strings; it comes from a student's process."""
    return [str(item)[:200] for item in value[:10]] if isinstance(value, list) else []


def verdict(message, exercise, word, error):
    """Turn a message of a student's process into a Verdict: a value is believed only if it fits what was asked."""
    score, line = message.get("score"), str(message.get("line", ""))[:1000]
    result = Verdict(line=line)
    if message.get("word") != word:
        result.suspicions.append("the result was not sent by the tests")
        return result
    if changed := texts(message.get("changed")):
        result.suspicions.append(f"changed what the tests use: {', '.join(changed)}")
    result.suspicions += texts(message.get("odd"))
    start = f"{exercise.name}: "
    status = line.removeprefix(start).partition(",")[0] if line.startswith(start) else ""
    known = status in ("passed", "failed", "not attempted")
    fits = (
        isinstance(score, int | float) and math.isfinite(score) and (score == exercise.points) == (status == "passed")
    )
    if not (known and fits and score in (0, exercise.points)):
        result.suspicions.append(f"the test cell gave {score!r} with the line {line[:100]!r}")
        return result
    result.score, result.status = float(score), status
    if error and status != "passed":
        result.line = f"{exercise.name}: failed, 0 of {exercise.points:g} points. Your cell stopped: {error}"
        result.status = "failed" if status == "failed" else status
    return result


class Job:
    """Grades the answers to one lecture. `cells` are (exercise or "", source) in the order to run them in."""

    def __init__(self, lecture, cells, zygote, limits, isolated=True):
        self.lecture, self.cells, self.zygote, self.limits, self.isolated = lecture, cells, zygote, limits, isolated
        self.by_name = {e.name: e for e in lecture.exercises}
        self.verdicts, self.skip = {}, set()
        self.end = time.monotonic() + limits.job

    def run(self):
        """Return the verdict of every exercise that the cells answer, by name."""
        for cells, wanted in self.runs():
            while left := [name for name in wanted if name not in self.verdicts]:
                if time.monotonic() > self.end:
                    for name in left:
                        self.fail(name, f"was not tested: the notebook had used its {self.limits.job:g} s")
                    break
                self.attempt([cell for cell in cells if cell[0] not in self.skip], left)
        return self.verdicts

    def runs(self):
        """Yield (cells to define, exercises to test): once, unless a later cell defines an earlier one's name anew."""
        wanted = [e.name for e in self.lecture.exercises if any(e.name == name for name, _ in self.cells)]
        seen, clash = set(), False
        for _, source in self.cells:
            names = exercises.bound_names(source)
            clash, seen = clash or bool(seen & names), seen | names
        if not clash:
            yield self.cells, wanted
            return
        for name in wanted:
            last = max(i for i, cell in enumerate(self.cells) if cell[0] == name)
            yield self.cells[: last + 1], [name]

    def fail(self, name, why):
        exercise = self.by_name[name]
        line = f"{name}: failed, 0 of {exercise.points:g} points. Your code {why}"
        self.verdicts[name] = Verdict(line=line, suspicions=[why])

    def attempt(self, cells, wanted):
        """Run a child over `cells` and the tests of `wanted`, up to the first cell that stops it."""
        Room = sandbox.Sandbox if self.isolated else sandbox.OpenRoom
        at, phase = None, "set-up"
        with Room(self.lecture.path.parent, self.limits) as room:
            child = Child(self.zygote, room, self.lecture.path.parent, self.limits)
            try:
                child.send({"setup": self.lecture.setup, "cells": cells})
                message = {}
                while "defined" not in message:
                    message = self.next(child)
                    if message.get("at") in [name for name, _ in cells]:
                        at, phase = message["at"], "cells"
                errors = message["defined"] if isinstance(message["defined"], dict) else {}
                self.test(child, wanted, errors, texts(message.get("changed")))
            except Stopped as stop:
                why = str(stop)
                if getattr(stop, "exercise", None):
                    self.fail(stop.exercise, why)
                elif phase == "set-up":
                    raise CourseError(f"{self.lecture.name}: the set-up cells {why}") from None
                else:
                    self.stop_at(at, cells, why)
            finally:
                child.link.close()

    def stop_at(self, at, cells, why):
        """Leave out the cell that stopped the definitions; what it was to define has failed."""
        self.skip.add(at)
        if at in self.by_name:
            self.fail(at, why)
        else:
            for name in {name for name, _ in cells if name in self.by_name} - self.verdicts.keys():
                self.fail(name, f"needs a cell of yours that {why}")

    def next(self, child):
        message = child.receive(min(time.monotonic() + self.limits.cell, self.end + self.limits.cell))
        if "failed" in message:
            if "defined" not in message:
                raise Stopped(f"could not be run: {str(message['failed'])[:300]}")
        return message

    def test(self, child, wanted, errors, changed):
        """Have the child test `wanted` and note the verdicts; the tests are sent only now."""
        if changed:
            why = f"changed what the tests use: {', '.join(changed)}"
            for name in wanted:
                self.verdicts[name] = Verdict(line=f"{name}: not tested", suspicions=[why])
            return
        if child.watch() > 1:
            for name in wanted:
                self.verdicts[name] = Verdict(line=f"{name}: not tested", suspicions=["left a process running"])
            return
        word = secrets.token_hex(16)
        child.send({"tests": [[name, self.by_name[name].test] for name in wanted], "word": word})
        for name in wanted:
            try:
                message = {}
                while message.get("tested") != name:
                    message = self.next(child)
            except Stopped as stop:
                stop.exercise = name
                raise
            error = str(errors.get(name) or "")[:500]
            self.verdicts[name] = verdict(message, self.by_name[name], word, error)


@cache
def this_process(root, names, log):
    """Return (lectures, warm process) of this process; a Dask worker makes its own at its first job."""
    course = exercises.read_course(Path(root))
    return course, Zygote(exercises.imported_modules(course[name] for name in names), log)


def grade(job, root, names, log, limits, isolated):
    """Do one job and return its status. Runs in any process; its arguments and its result are plain values."""
    course, zygote = this_process(root, names, log)
    lecture, start = course[job["notebook"]], time.monotonic()
    status = {key: value for key, value in job.items() if key not in ("cells", "suspicions")}
    suspicions = job["suspicions"]
    cells = [tuple(cell) for cell in job["cells"]]
    if not isolated:  # without walls, what looks dangerous is not run at all
        unsafe = {name for name, source in cells if review.suspicious(source)}
        cells = [] if "" in unsafe else [cell for cell in cells if cell[0] not in unsafe]
    try:
        verdicts = Job(lecture, cells, zygote, sandbox.Limits(**limits), isolated).run()
    except Exception as error:
        if not isinstance(error, CourseError):  # a fault of ours: it must not stop the others, nor give points
            error = f"the grader stopped: {type(error).__name__}: {error}"
        return status | {"status": "error", "reasons": [str(error)], "exercises": {}, "key": ""}
    rows, sources = {}, dict(map(tuple, job["cells"]))
    for exercise in lecture.exercises:
        verdict = verdicts.get(exercise.name) or Verdict(line=f"{exercise.name}: not run")
        verdict.suspicions = list(dict.fromkeys(suspicions.get(exercise.name, []) + verdict.suspicions))
        row = asdict(verdict) | {"points": exercise.points}
        row |= {"provisional": verdict.score, "score": 0.0 if verdict.suspicions else verdict.score}
        rows[exercise.name] = row | {"source": sources.get(exercise.name, "")}
    reasons = status["reasons"] + [f"{name}: {why}" for name, row in rows.items() for why in row["suspicions"]]
    seconds = round(time.monotonic() - start, 2)
    verdict = REVIEW if reasons else GRADED
    return status | {"status": verdict, "reasons": reasons, "exercises": rows, "seconds": seconds}
