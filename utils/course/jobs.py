"""One job: the answers of one student to one notebook go in as text, points and reasons come out as plain values."""

import contextlib
import math
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.course import protocol, review, sandbox, warm
from utils.course.cells import bound_names, global_names
from utils.course.exercises import ROOT, CourseError, Exercise, Lecture, fingerprint
from utils.course.protocol import Reply
from utils.course.records import ERROR, GRADED, REVIEW, ExerciseResult, Job, Status

MESSAGES = 1000  # of one child; a notebook needs three for each exercise
TICK = 0.05  # seconds between two looks at a job
Cells = list[tuple[str, str]]  # (exercise or "" for other cells, source)


@dataclass(frozen=True)
class Setting:
    """What the jobs of a batch share: where they work, and under which limits."""

    course: Path  # absolute, or beside the `utils` of the process that does a job
    lectures: tuple[str, ...]
    log: Path | None  # of the warm process; None: in a temporary folder
    limits: sandbox.Limits
    isolated: bool
    fingerprint: dict[str, str] = field(default_factory=dict)  # what a worker's course must have

    @property
    def text(self) -> str:
        """What a result may depend on besides the job."""
        return f"{self.limits.cell:g} s, {self.limits.memory >> 20} MiB, {'isolated' if self.isolated else 'open'}"


ENDED = "ended the process that ran it"
SAME = "Check out the same commit there, install its requirements.txt and start the worker again"
AGAIN = "What was graded is kept: run the command again."
# How a verdict reads where the student's code missed something that another machine may have: a module, a file, a
# function of another version of a library.
MISSED = re.compile(
    r" points\. (?:Your cell stopped: )?((?:ModuleNotFound|Import|OS|FileNotFound|FileExists|NotADirectory|Permission|"
    r"Connection\w*|URL|HTTP|SSL|Timeout|BlockingIO|Tcl|Pickling|IsADirectory)Error|gaierror|"
    r"AttributeError\b.*: module '[\w.]+' has no attribute)"
)


class Stopped(Exception):
    """The student's process did not get through a cell: it ended, or went over a limit."""


class MachineError(CourseError):
    """Something outside of the job has stopped it."""


class Child:
    """The controlling end of a room. What the answer room sends is untrusted."""

    def __init__(
        self,
        zygote: warm.Zygote,
        room: sandbox.Room,
        folder: Path,
        limits: sandbox.Limits,
        peer: socket.socket,
        tests: bool,
    ):
        self.room, self.limits, self.messages = room, limits, 0
        self.base: int | None = None  # bytes that the largest process had when it was first seen
        self.frames = protocol.Frames(limits.output)
        self.beside: Child | None = None  # the other room, to be watched as well
        order = protocol.Enter(str(folder), limits, room.entrance, tests)
        self.supervisor, self.link = zygote.fork(order, peer)
        self.link.settimeout(TICK)

    def send(self, order: protocol.Define | protocol.Test) -> None:
        self.link.settimeout(self.limits.cell)
        with contextlib.suppress(OSError):  # that it has ended is seen when it does not answer
            protocol.send(self.link, order)
        self.link.settimeout(TICK)

    def watch(self) -> int:
        """Return how many processes the job has; Stopped if it holds too many of them or too much memory."""
        found = self.room.processes(self.supervisor)
        if len(found) > self.limits.processes:
            raise Stopped(f"started more than {self.limits.processes} processes")
        sizes = [sandbox.resident(process) for process in found]
        if self.base is None and sizes:
            self.base = max(sizes)
        if sizes and sum(max(0, size - (self.base or 0)) for size in sizes) > self.limits.memory:
            raise Stopped(f"used more than {self.limits.memory / 2**20:.0f} MiB of memory")
        return len(found)

    def receive(self, end: float) -> Reply:
        """Return the next message, waiting until the time `end` of time.monotonic; Stopped if none comes."""
        late = False  # looked at before the last read: a machine that stood still has its answers waiting
        while True:
            try:
                if (data := self.frames.next()) is not None:
                    return self.read(data)
            except ValueError as error:
                raise Stopped(str(error)) from None
            if late:
                raise Stopped(f"gave no result within {self.limits.cell:g} s")
            late = time.monotonic() > end
            try:
                part = self.link.recv(65536)
            except TimeoutError:
                self.watch()
                if self.beside:
                    self.beside.watch()
                continue
            except OSError:
                part = b""
            if not part:
                self.check()
                raise Stopped(ENDED)
            self.frames.add(part)

    def check(self) -> None:
        """Raise MachineError if a room does not stand any more: no process inside can end it."""
        if not self.room.alive() or (self.beside and not self.beside.room.alive()):
            raise MachineError("the sandbox was ended from outside")

    def read(self, data: bytes) -> Reply:
        self.messages += 1
        if self.messages > MESSAGES:
            raise Stopped(f"sent more than {MESSAGES} messages")
        reply = protocol.read_reply(data)
        if reply.kind == protocol.FAILED:
            self.check()
            raise Stopped(f"could not be run: {reply.line[:300]}")
        if reply.kind == protocol.GONE:
            self.check()
            raise Stopped(ENDED if reply.line == "ended" else reply.line[:300])
        return reply


@dataclass
class Verdict:
    """What the tests said of one exercise. `suspicions` lead to a review, whatever the points."""

    score: float = 0.0
    status: str = "failed"
    line: str = ""
    suspicions: list[str] = field(default_factory=list)


def judge(reply: Reply, exercise: Exercise, error: str) -> Verdict:
    """Turn the test room's reply into a Verdict.

    `error` is how the cell of the exercise ended, "" where it ran through.
    """
    result = Verdict(line=reply.line)
    start, score = f"{exercise.name}: ", reply.score
    status = reply.line.removeprefix(start).partition(",")[0] if reply.line.startswith(start) else ""
    known = status in ("passed", "failed", "not attempted")
    if (
        score is None
        or not (known and math.isfinite(score) and score in (0, exercise.points))
        or (score == exercise.points) != (status == "passed")
    ):
        result.suspicions.append(f"the test cell gave {score!r} with the line {reply.line[:100]!r}")
        return result
    result.score, result.status = float(score), status
    if reply.uncrossed and status != "passed":
        result.suspicions.append(f"has a value that could not be handed to the test: {reply.uncrossed}")
    if error and status != "passed":
        result.line = f"{exercise.name}: failed, 0 of {exercise.points:g} points. Your cell stopped: {error}"
    return result


class Grader:
    """Grades the answers to one lecture: the cells, in the order to run them in."""

    def __init__(
        self,
        lecture: Lecture,
        cells: Cells,
        zygote: warm.Zygote,
        limits: sandbox.Limits,
        isolated: bool = True,
        helped: frozenset[str] = frozenset(),  # exercises that use cells which are not graded
        in_order: bool = False,  # test each exercise with the cells up to its own
    ):
        self.helped, self.in_order = helped, in_order
        self.lecture, self.cells, self.zygote, self.limits, self.isolated = lecture, cells, zygote, limits, isolated
        self.by_name = {e.name: e for e in lecture.exercises}
        self.verdicts: dict[str, Verdict] = {}
        self.skip: set[str] = set()
        self.again: set[str] = set()  # cells and tests that ended the process once, and are tried once more
        self.helper_error = ""  # how a cell that is not graded ended, "" where all ran through
        self.end = time.monotonic() + limits.job

    def run(self) -> dict[str, Verdict]:
        """Return the verdict of every exercise that the cells answer, by name."""
        for cells, wanted in self.runs():
            while left := [name for name in wanted if name not in self.verdicts]:
                if time.monotonic() > self.end:
                    for name in left:
                        self.fail(name, f"was not tested: the notebook had used its {self.limits.job:g} s")
                    break
                self.attempt([cell for cell in cells if cell[0] not in self.skip], left)
        return self.verdicts

    def runs(self) -> Iterator[tuple[Cells, list[str]]]:
        """Yield (cells to define, exercises to test): once, unless a later cell defines an earlier one's name anew."""
        wanted = [e.name for e in self.lecture.exercises if any(e.name == name for name, _ in self.cells)]
        seen: frozenset[str] = frozenset()
        clash = self.in_order
        for name, source in self.cells:
            names = bound_names(source)
            clash, seen = clash or bool(seen & names), seen | names if name else seen
        if not clash:
            yield self.cells, wanted
            return
        for name in wanted:
            last = max(i for i, cell in enumerate(self.cells) if cell[0] == name)
            cells = self.cells[: last + 1]
            for cell in self.cells[last + 1 :]:  # a function that stands lower down may be needed as well
                if cell[0] == "" and not bound_names(cell[1]) & frozenset().union(*(bound_names(s) for _, s in cells)):
                    cells.append(cell)
            yield cells, [name]

    def fail(self, name: str, why: str) -> None:
        exercise = self.by_name[name]
        line = f"{name}: failed, 0 of {exercise.points:g} points. Your code {why}"
        self.verdicts[name] = Verdict(line=line, suspicions=[why])

    def attempt(self, cells: Cells, wanted: list[str]) -> None:
        """Open two rooms, run `cells` in one and the tests of `wanted` in the other, up to the first that stops."""
        folder = self.lecture.path.parent
        ends = socket.socketpair()
        with contextlib.ExitStack() as stack:
            for end in ends:
                stack.enter_context(end)
            rooms: list[sandbox.Room] = []
            for _ in ends:
                room: Any = (sandbox.Sandbox if self.isolated else sandbox.OpenRoom)(folder, self.limits)
                rooms.append(stack.enter_context(room))
            answers, tests = (
                Child(self.zygote, room, folder, self.limits, end, tests=number == 1)
                for number, (room, end) in enumerate(zip(rooms, ends, strict=True))
            )
            tests.beside = answers
            stack.enter_context(answers.link)
            stack.enter_context(tests.link)
            tests.send(protocol.Define(list(self.lecture.setup), []))
            if (defined := self.define(answers, cells)) is not None:
                self.test(tests, cells, wanted, defined)

    def next(self, child: Child) -> Reply:
        return child.receive(min(time.monotonic() + self.limits.cell, self.end + self.limits.cell))

    def define(self, child: Child, cells: Cells) -> Reply | None:
        """Have the answer room run set-up and `cells`; return what it says at their end, None if a cell stopped it."""
        child.send(protocol.Define(list(self.lecture.setup), cells))
        at: str | None = None  # the cell that runs; None in the set-up
        try:
            while (reply := self.next(child)).kind != protocol.DEFINED:
                if reply.kind == protocol.AT and reply.name in [name for name, _ in cells]:
                    at = reply.name
            child.watch()
            return reply
        except Stopped as stop:
            if at is None:
                raise CourseError(f"{self.lecture.name}: the set-up cells {stop}") from None
            self.stop_at(at, cells, str(stop))
            return None

    def once_more(self, what: str, why: str) -> bool:
        """Tell whether `what` is to be tried again: a machine that is short of memory ends processes as well."""
        if why != ENDED or what in self.again:
            return False
        self.again.add(what)
        return True

    def stop_at(self, at: str, cells: Cells, why: str) -> None:
        """Leave out the cell that stopped the definitions; what it was to define has failed."""
        if self.once_more(f"cell {at}", why):
            return
        self.skip.add(at)
        if at in self.by_name:
            self.fail(at, why)
        else:
            self.helper_error = f"it {why}"
            for name in ({name for name, _ in cells} & self.by_name.keys() & self.helped) - self.verdicts.keys():
                self.fail(name, f"needs a cell of yours that {why}")

    def test(self, child: Child, cells: Cells, wanted: list[str], defined: Reply) -> None:
        """Have the test room test `wanted` and note the verdicts."""
        self.helper_error = self.helper_error or defined.errors.get("", "")
        try:
            while self.next(child).kind != protocol.DEFINED:
                pass
        except Stopped as stop:
            raise CourseError(f"{self.lecture.name}: the set-up cells {stop}") from None
        tests = [(name, self.by_name[name].test, sorted(global_names(self.by_name[name].test))) for name in wanted]
        child.send(protocol.Test(tests, [source for _, source in cells]))
        for name in wanted:
            try:
                while (reply := self.next(child)).kind != protocol.TESTED:
                    pass
            except Stopped as stop:
                if not self.once_more(f"test {name}", str(stop)):
                    self.fail(name, str(stop))
                return
            self.verdicts[name] = judge(reply, self.by_name[name], defined.errors.get(name, ""))


def other_version(setting: Setting) -> str:
    """Return how the course of this process differs from the one that the batch is for, "" if it does not."""
    own = fingerprint(ROOT / setting.course) if setting.fingerprint else {}
    others = [
        f"{what} {own.get(what)}, wanted {has}" for what, has in setting.fingerprint.items() if own.get(what) != has
    ]
    return f"has another version of the course: {'; '.join(others)}. {SAME}" if others else ""


def check_sandbox(course: Path) -> None:
    """Make one sandbox and give it back; CourseError with what to do if that fails."""
    try:
        with sandbox.Sandbox(course / "lectures", sandbox.Limits()):
            return
    except sandbox.NoSandbox as error:
        raise CourseError(
            f"Grading runs students' code, and needs bubblewrap to shut it in. {error}\n"
            "Where that cannot be had, use a container or a machine of its own, and add --no-sandbox "
            "(make grade SANDBOX=no): students' code then runs with your own rights."
        ) from None


def problem_here(setting: Setting) -> str:
    """Return what keeps this process from doing jobs of a batch, "" if nothing does: a Dask worker is asked first."""
    try:
        if setting.isolated:
            check_sandbox(ROOT / setting.course)
        return other_version(setting)
    except CourseError as error:
        return f"cannot grade: {error}"


def grade(job: Job, setting: Setting) -> Status:
    """Do one job and return its status. Runs in any process; its arguments and its result are plain values."""
    if problem := other_version(setting):
        return replace(job.begun, status=ERROR, reasons=[f"{socket.gethostname()} {problem}"], key="")
    lectures = () if setting.fingerprint else setting.lectures  # a worker outlives the batch
    course, zygote = warm.this_process((ROOT / setting.course, lectures, setting.log))
    lecture, start = course[job.begun.notebook], time.monotonic()
    cells, limits = list(job.cells), setting.text
    if not setting.isolated:
        job = without_walls(job)
        cells = list(job.cells)
    for attempt in (1, 2):
        try:
            grader = Grader(lecture, cells, zygote, setting.limits, setting.isolated, job.helped, job.in_order)
            verdicts = grader.run()
            break
        except (CourseError, sandbox.NoSandbox, OSError) as error:  # must not stop the others, nor give points
            if attempt == 2 or not isinstance(error, MachineError | OSError):
                return replace(job.begun, status=ERROR, reasons=[str(error)], key="")
    for name in {*job.doubts, *(job.helped if grader.helper_error else ())} & verdicts.keys():
        if verdicts[name].status != "passed":
            verdicts[name].suspicions += job.doubts.get(name, [])
            if name in job.helped and grader.helper_error:
                why = f"uses a cell that is not graded, which stopped here: {grader.helper_error}"
                verdicts[name].suspicions.append(why)
    for verdict in verdicts.values():
        if verdict.status != "passed" and (match := MISSED.search(verdict.line)):
            verdict.suspicions.append(f"misses something that it may have had elsewhere: {match[1][:80]}")
    rows = {e.name: result(e, verdicts.get(e.name), job) for e in lecture.exercises}
    reasons = job.begun.reasons + [f"{name}: {why}" for name, row in rows.items() for why in row.suspicions]
    seconds = round(time.monotonic() - start, 2)
    return replace(
        job.begun, status=REVIEW if reasons else GRADED, reasons=reasons, exercises=rows, seconds=seconds, limits=limits
    )


def without_walls(job: Job) -> Job:
    """Return the job without the cells that reach the machine: they are not run, and a person looks at them."""
    suspicions = {name: list(why) for name, why in job.suspicions.items()}
    kept = []
    for name, source in job.cells:
        why = [f"not run without a sandbox: {reason}" for reason in review.needs_walls(source)]
        for owner in [name] if name else job.helped:
            suspicions.setdefault(owner, []).extend(why)
        if not why:
            kept.append((name, source))
    return replace(job, cells=tuple(kept), suspicions=suspicions)


def result(exercise: Exercise, verdict: Verdict | None, job: Job) -> ExerciseResult:
    """Return what the report and the gradebook hold of one exercise; None for `verdict`: it was not run."""
    verdict = verdict or Verdict(line=f"{exercise.name}: not run")
    suspicions = list(dict.fromkeys(job.suspicions.get(exercise.name, []) + verdict.suspicions))
    return ExerciseResult(
        verdict.status,
        verdict.line,
        suspicions,
        exercise.points,
        provisional=verdict.score,
        score=0.0 if suspicions else verdict.score,
        source=job.shown.get(exercise.name, dict(job.cells).get(exercise.name, "")),
    )
