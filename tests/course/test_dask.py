"""Grading on several machines, played by processes on the loopback: whatever is lost on the way, no mark is."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import corpus
from test_grade import points, run, statuses
from utils.course import cluster, gradebook, jobs, records, sandbox
from utils.course.exercises import ROOT, fingerprint

import psutil
import pytest

SLOWLY = "import time\n\n\ndef double(x):\n    time.sleep(0.2)\n    return {}"  # each test calls it twice
SILENT = 10  # seconds after which the scheduler gives a worker up that says nothing; 300 if not set


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", port)

    def start(self, *words, path=ROOT):
        environment = {**os.environ, "PYTHONPATH": str(path), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{SILENT}s"}
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + words[0], *map(str, words[1:]), "--no-dashboard"],
            env=environment,
            cwd=self.folder,
            stderr=open(self.folder / f"log{len(self.processes)}", "w"),
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def worker(self, *words, path=ROOT):
        return self.start("worker", self.address, "--nthreads", 1, "--local-directory", self.folder, *words, path=path)

    def wait_for_workers(self, number):
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=60)

    def close(self):
        for process in self.processes:
            for found in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.Error):
                    found.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path):
    (tmp_path / "dask").mkdir()
    made = Cluster(tmp_path / "dask")
    yield made
    made.close()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


def class_of(course, folder, students):
    """Write a class whose solutions take a moment, every third of them wrong; return course, submissions, output."""
    for number in range(students):
        work = corpus.Submission(course[1]).answer(exam_double=f"by {number}")
        work.answer(double=SLOWLY.format("x" if number % 3 == 1 else "[2 * v for v in x]"))
        work.write(folder / "in" / f"student {number}")
    return course[0], folder / "in", folder / "out"


def marks(output):
    """Return everything that a batch found out, but for the time that it took."""
    return {name: {**status, "seconds": 0} for name, status in statuses(output).items()}


def busy(process):
    """Wait until a worker does a job, and return its process: its warm process has a child then."""

    def is_warm(found):
        return "utils.course.worker" in found.cmdline()

    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(psutil.Error):
            for found in psutil.Process(process.pid).children(recursive=True):
                if is_warm(found) and found.children() and not is_warm(found.parent()):
                    return found.parent()
        time.sleep(0.02)
    raise AssertionError("the worker has got no job")


def test_lost_and_slow_workers_cost_nobody_a_mark(machines, course, tmp_path):
    """One of four workers is killed and started again by its nanny, one stands still for a while, one for good."""
    killed = machines.worker("--nanny")
    slow, lost, _ = (machines.worker("--no-nanny") for _ in range(3))
    batch = class_of(course, tmp_path, 24)
    machines.wait_for_workers(4)
    done = []

    def sabotage():
        done.append(busy(lost).send_signal(signal.SIGSTOP))
        done.append(busy(killed).kill())  # its nanny stays
        done.append(busy(slow).send_signal(signal.SIGSTOP))
        time.sleep(2)
        slow.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=sabotage)
    thread.start()
    code, out, err = run(*batch, "--dask", machines.address)
    thread.join()
    assert code == 0 and len(done) == 3, out + err
    assert "24 graded, 0 in need of a review" in out and "24 of 24 were run now" in out
    run(*batch[:2], tmp_path / "here")
    assert marks(batch[2]) == marks(tmp_path / "here")
    with gradebook.open_gradebook(gradebook.settings(course[0], batch[2])) as book:
        assert book.db.query(gradebook.SubmittedNotebook).count() == 24


def test_a_scheduler_that_is_lost_loses_nothing(machines, course, tmp_path):
    machines.worker("--no-nanny")
    batch = class_of(course, tmp_path, 6)
    machines.wait_for_workers(1)

    def sabotage():
        while not list((tmp_path / "out" / "jobs").glob("student*.json")):
            time.sleep(0.02)
        machines.scheduler.kill()

    thread = threading.Thread(target=sabotage)
    thread.start()
    code, _, err = run(*batch, "--dask", machines.address)
    thread.join()
    last = err.splitlines()[-1]
    assert code == 2 and "Traceback" not in err
    assert last == f"The Dask scheduler at {machines.address} was lost. What was graded is kept: run the command again."
    kept = len(list((tmp_path / "out" / "jobs").glob("student*.json")))
    code, out, _ = run(*batch)
    assert code == 0 and 0 < kept < 6 and f"{6 - kept} of 6 were run now" in out


def test_workers_with_another_course_are_named(machines, course, tmp_path):
    """One has other tests' code, one a version that knows no such question; the third is as it should be."""
    for name, file, old, new in (
        ("changed", "checks.py", "import", "import  # changed\nimport"),
        ("old", "course/jobs.py", "def problem_here", "def problem_there"),
    ):
        shutil.copytree(ROOT / "utils", tmp_path / name / "utils", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "nbgrader_config.py", tmp_path / name)
        text = (tmp_path / name / "utils" / file).read_text()
        (tmp_path / name / "utils" / file).write_text(text.replace(f"\n{old}", f"\n{new}", 1))
        machines.worker("--no-nanny", "--name", name, path=tmp_path / name)
    machines.worker("--no-nanny")
    batch = class_of(course, tmp_path, 1)
    machines.wait_for_workers(3)
    code, _, err = run(*batch, "--dask", machines.address)
    lines = err.splitlines()
    assert code == 2 and len(lines) == 3 and lines[2] == "Nothing was graded.", err
    assert all("has another version of the course" in line and line.endswith(jobs.SAME) for line in lines[:2])
    wanted = fingerprint(course[0])["utils"]
    assert sum(f"wanted {wanted}" in line for line in lines) == 1 and sum("problem_here" in line for line in lines) == 1
    assert run(*batch)[0] == 0


def test_a_worker_that_comes_late_with_another_course(course):
    setting = jobs.Setting(course[0], (), None, sandbox.Limits(), False, fingerprint={"utils": "other"})
    status = jobs.grade(records.Job(records.Status("anna", "lectures/01_sample"), (), {}), setting)
    assert status.status == records.ERROR and status.key == "" and not status.exercises
    assert "has another version of the course: utils" in status.reasons[0] and "wanted other" in status.reasons[0]


def test_no_scheduler_and_no_worker(machines, course, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 5)
    batch = class_of(course, tmp_path, 1)
    for address, line in (
        ("tcp://127.0.0.1:9", "No Dask scheduler at tcp://127.0.0.1:9: "),
        (machines.address, f"The Dask scheduler at {machines.address} has no worker. Start one: dask worker"),
    ):
        code, out, err = run(*batch, "--dask", address)
        assert code == 2 and out == "" and err.startswith(line) and err.count("\n") == 1, err
    assert run(*batch)[0] == 0
    assert {points(status) for status in statuses(batch[2]).values()} == {corpus.FULL}


def test_an_address_that_is_none(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run(tmp_path, tmp_path, tmp_path, "--dask", "host")
    assert end.value.code == 2


def test_a_machine_that_stood_still_has_its_answers_waiting():
    """The time of a cell is over, and its answer has come meanwhile: it counts."""
    ours, theirs = socket.socketpair()
    ours.settimeout(jobs.TICK)
    child = jobs.Child.__new__(jobs.Child)
    child.link, child.limits, child.messages = ours, sandbox.Limits(), 0
    child.frames, child.beside, child.watch = jobs.protocol.Frames(2**20), None, lambda: 1
    jobs.protocol.send(theirs, jobs.protocol.Reply("tested", "double", score=2))
    assert child.receive(time.monotonic() - 1).score == 2
    with pytest.raises(jobs.Stopped, match="gave no result"):
        child.receive(time.monotonic() - 1)
