"""Grading a class: every submission of the corpus gets what it must get, and nothing stops or distorts a batch."""

import contextlib
import csv
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import corpus
from utils.course import class_report, exercises, grade, gradebook, jobs, records, sandbox, warm

import pytest

SECONDS = 5  # for one cell; the corpus has cells that never end


def has_walls():
    try:
        with sandbox.Sandbox(corpus.ROOT / "lectures", sandbox.Limits()):
            return True
    except sandbox.NoSandbox:
        return False


WALLS = has_walls()
needs_walls = pytest.mark.skipif(not WALLS, reason="bubblewrap is not installed or not allowed on this machine")


def command(course, submissions, output, *more):
    words = [sys.executable, "-m", "utils.course.grade", submissions, "--output", output, "--course", course]
    words += ["--seconds", SECONDS, "--memory", 1024, "--jobs", 2, *more]
    return [str(word) for word in (words if WALLS else [*words, "--no-sandbox"])]


def run(*arguments):
    """Grade in this process; return the exit status and what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = grade.main(command(*arguments)[3:])
    return code, out.getvalue(), err.getvalue()


def statuses(output):
    return {status["student"]: status for status in json.loads((output / "report.json").read_text())}


def points(status):
    return sum(row["score"] for row in status["exercises"].values())


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


@pytest.fixture(scope="module")
def batch(course, tmp_path_factory):
    """The whole corpus as one batch; build/submissions.md gets its table."""
    folder, handed_out = course
    work = tmp_path_factory.mktemp("batch")
    goods = corpus.build(work / "submissions", handed_out)
    code, out, err = run(folder, work / "submissions", work / "out")
    assert code == 1, out[-2000:] + err[-2000:]
    result = statuses(work / "out")
    (corpus.ROOT / "build").mkdir(exist_ok=True)
    (corpus.ROOT / "build" / "submissions.md").write_text((work / "out" / "report.md").read_text())
    return result, goods


@pytest.mark.parametrize("number, name", list(enumerate(corpus.CASES)), ids=list(corpus.CASES))
def test_case(batch, number, name):
    case, status = corpus.CASES[name], batch[0][corpus.student(number, name)]
    words = "; ".join([*status["reasons"], *status["notes"]])
    wanted = case.status if WALLS else case.outside or case.status
    assert status["status"] == wanted, f"{status['status']}: {words}"
    if WALLS or not case.walls:
        assert points(status) == case.points, f"{points(status)} points: {words}"
        assert case.says in words
    if wanted == records.REVIEW:
        assert status["reasons"]


def test_every_good_student_gets_full_points(batch):
    found, goods = batch
    assert len(goods) == len(corpus.CASES) + 1
    assert {name: (found[name]["status"], points(found[name])) for name in goods} == dict.fromkeys(
        goods, (records.GRADED, corpus.FULL)
    )


@pytest.fixture
def small(course, tmp_path):
    """A batch of six students, one of whom needs a review; returns course, submissions and output."""
    folder, handed_out = course
    for number in range(5):
        corpus.Submission(handed_out).write(tmp_path / "submissions" / f"student {number}")
    wrong = corpus.Submission(handed_out).answer(double="!touch x\n\n\ndef double(x):\n    return x")
    wrong.answer(exam_double="<script>alert(1)</script> one & one").write(tmp_path / "submissions" / "wrong")
    return folder, tmp_path / "submissions", tmp_path / "out"


def contents(output):
    """Return every file that grading keeps, with its content; the database as its rows."""
    with sqlite3.connect(output / "gradebook.db") as database:
        tables = sorted(row[0] for row in database.execute("select name from sqlite_master where type = 'table'"))
        rows = {table: sorted(map(repr, database.execute(f"select * from {table}"))) for table in tables}
    files = {p: p.read_bytes() for p in output.rglob("*") if p.is_file() and p.suffix not in (".db", ".log")}
    return rows, files


def test_running_twice_changes_nothing(small):
    assert run(*small)[0] == 1
    before = contents(small[2])
    code, out, _ = run(*small)
    assert code == 1 and "0 of 6 were run now" in out
    assert contents(small[2]) == before


def test_a_killed_batch_goes_on_where_it_stopped(small):
    _, _, output = small
    process = subprocess.Popen(command(*small), cwd=corpus.ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (done := list((output / "jobs").glob("[!.]*.json"))):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in done}
    code, out, _ = run(*small)
    assert code == 1 and "5 graded, 1 in need of a review" in out
    assert {path: path.stat().st_mtime_ns for path in done} == kept, "a finished job was repeated"
    assert {points(status) for status in statuses(output).values()} == {4, 6}


@pytest.mark.slow
def test_twenty_kills_lose_nothing(small, tmp_path):
    """A batch killed at twenty random moments ends as one that ran through."""
    folder, submissions, output = small
    rng = random.Random(0)
    for _ in range(20):
        process = subprocess.Popen(command(*small), cwd=corpus.ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 6))
        process.kill()
        process.wait()
    assert run(*small)[0] == 1
    run(folder, submissions, tmp_path / "whole")
    scores = [{name: points(status) for name, status in statuses(o).items()} for o in (output, tmp_path / "whole")]
    assert scores[0] == scores[1] and len(scores[0]) == 6
    assert marks(folder, output) == marks(folder, tmp_path / "whole")


def marks(folder, output):
    """Return every graded cell of a gradebook, with its points and whether it waits."""
    with gradebook.open_gradebook(gradebook.settings(folder, output)) as book:
        rows = gradebook.grades(book, gradebook.results(output))
    return sorted((row.student, row.exercise, row.score, row.points, row.waiting) for row in rows)


def test_a_damaged_status_file_is_made_anew(small):
    run(*small)
    before = contents(small[2])
    next((small[2] / "jobs").glob("*.json")).write_text('{"student": "st')
    code, out, _ = run(*small)
    assert code == 1 and "1 of 6 were run now" in out
    assert contents(small[2])[0] == before[0]


def test_two_batches_at_once(small):
    both = [subprocess.Popen(command(*small), cwd=corpus.ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [1, 1]
    assert sorted(out.count("6 of 6 were run now") for out in outs) == [0, 1]
    assert {points(status) for status in statuses(small[2]).values()} == {4, 6}


def test_refuses_without_bubblewrap(small, monkeypatch, capsys):
    folder, submissions_folder, output = small
    monkeypatch.setenv("PATH", "/nonexistent")
    arguments = [str(submissions_folder), "--output", str(output), "--course", str(folder)]
    assert grade.main(arguments) == 2
    error = capsys.readouterr().err
    assert "bubblewrap is not installed" in error and "--no-sandbox" in error
    assert not output.exists()


def test_without_a_sandbox_cells_that_reach_the_machine_are_not_run(small):
    wrong = corpus.Submission(corpus.released(small[0]))
    wrong.answer(double="import subprocess\n\n\ndef double(x):\n    return x").write(small[1] / "wrong")
    code, out, err = run(*small, "--no-sandbox")
    wrong = statuses(small[2])["wrong"]
    assert code == 1 and "5 graded, 1 in need of a review" in out, err
    assert (points(wrong), wrong["exercises"]["double"]["line"]) == (4, "double: not run")


def test_names_of_students_and_platforms(course, tmp_path):
    folder, handed_out = course
    for name in corpus.NAMES:
        corpus.Submission(handed_out).write(tmp_path / "in" / name)
    files = dict.fromkeys(corpus.PLATFORMS, corpus.Submission(handed_out).text())
    corpus.archive(tmp_path / "in" / "export.zip", files)
    corpus.Submission(handed_out).write(tmp_path / "in", "lostperson.ipynb")
    code, out, err = run(folder, tmp_path / "in", tmp_path / "out")
    found = statuses(tmp_path / "out")
    lost = found.pop("")
    assert code == 1 and "outside a student's folder" in lost["reasons"][0], out + err
    assert set(found) == {*corpus.NAMES, *corpus.PLATFORMS.values()}
    assert {(status["status"], points(status)) for status in found.values()} == {(records.GRADED, corpus.FULL)}
    write_tables(folder, tmp_path / "out")
    table = (tmp_path / "out" / "by_student.csv").read_text()
    assert "\n'=cmd|" in table and "\n=cmd" not in table
    page = (tmp_path / "out" / "gradebook.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def write_tables(folder, output, *more):
    class_report.main(["--course", str(folder), "--output", str(output), *(more or ["--no-feedback"])])


def test_gradebook_holds_results_and_keeps_what_a_person_entered(small):
    folder, _, output = small
    run(*small)
    with gradebook.open_gradebook(gradebook.settings(folder, output)) as book:
        row = book.find_submission_notebook("01_sample", "lectures", "wrong")
        grades = {grade.cell.name: grade for grade in row.grades}
        assert {name: grade.auto_score for name, grade in grades.items()} == {
            "test_double": 0,
            "test_mean_square": 3,
            "test_debug": 1,
            "exam_double": None,
        }
        assert {name for name, grade in grades.items() if grade.needs_manual_grade} == {"test_double", "exam_double"}
        for name, score in (("test_double", 1.5), ("exam_double", 2)):
            grades[name].manual_score, grades[name].needs_manual_grade = score, False
        book.db.commit()
    run(*small)
    write_tables(folder, output, "--course", str(folder))
    lines = (output / "by_student.csv").read_text().splitlines()
    assert lines[0] == "student,lectures/01_sample,maximum of lectures/01_sample,total,maximum,waiting,note"
    assert lines[-1] == "wrong,7.5,9.0,7.5,9.0,0," and lines[1] == "student 0,6.0,9.0,6.0,9.0,1,"
    feedback = (output / "feedback" / "wrong" / "lectures" / "01_sample.html").read_text()
    assert "double: failed, 0 of 2 points" in feedback
    assert "wrong on [21]" not in feedback, "a hidden test in the feedback"
    assert "<script>alert" not in feedback and "Rubric: 3 points" not in feedback
    shown = (output / "autograded" / "wrong" / "lectures" / "01_sample.ipynb").read_text()
    assert "Rubric: 3 points" in shown, "the grader needs the rubric"


def test_page_shows_common_mistakes_and_difficulty(course, tmp_path):
    folder, handed_out = course
    for number in range(6):
        s = corpus.Submission(handed_out)
        if number < 4:
            s.answer(double=f"def double(x):\n    return [{number} for v in x]")
        s.write(tmp_path / "in" / f"student {number}")
    run(folder, tmp_path / "in", tmp_path / "out")
    write_tables(folder, tmp_path / "out")
    lines = list(csv.DictReader(open(tmp_path / "out" / "by_exercise.csv", encoding="utf-8")))
    rows = [gradebook.Row(**{**line, "score": float(line["score"]), "points": float(line["points"])}) for line in lines]
    item = {line["exercise"]: line for line in class_report.items(rows)}["double"]
    assert (item["students"], item["share solved"]) == (6, 0.33)
    (mistake,) = [line for line in class_report.wrong_answers(rows) if line["exercise"] == "double"]
    assert mistake["students"] == 4 and "multiply each value by two" in mistake["message"]
    assert "multiply each value by two" in (tmp_path / "out" / "gradebook.html").read_text()


def test_answers_that_wait_for_a_person_are_no_zeros():
    def row(student, exercise, score, waiting=False):
        return gradebook.Row(student, "n", exercise, score, points=2.0, result="passed", waiting=waiting)

    rows = [
        row("a", "one", 2.0),
        row("b", "one", 0.0, True),
        row("a", "exam", 0.0, True),
        row("b", "exam", 0.0, True),
    ]
    items = {item["exercise"]: item for item in class_report.items(rows)}
    assert [items["one"][k] for k in ("students", "share solved", "to review")] == [2, 1.0, 1]
    assert [items["exam"][k] for k in ("students", "share solved", "to review")] == [2, "", 2]
    assert "All answers wait" in class_report.histogram(rows[1:]) and "<img" in class_report.histogram(rows)


def test_clear_error_without_submissions(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        assert grade.main([str(tmp_path / name), "--output", str(tmp_path / "out"), "--no-sandbox"]) == 2
        assert "SUBMISSIONS: no" in capsys.readouterr().err


@needs_walls
def test_sandbox_shows_nothing_of_the_course_but_utils(course, tmp_path):
    """A process in the room sees no network, no other process, no notebook, and can write to /tmp only."""
    zygote = warm.Zygote([], tmp_path / "log")
    lecture = exercises.read_course(course[0])["lectures/01_sample"]
    hidden = [str(corpus.ROOT / name) for name in ("lectures", "tests", "build")] + ["/etc/passwd"]
    look = (
        "import os\n"
        f"seen = [p for p in {[*hidden, str(lecture.path)]!r} if os.path.exists(p)]\n"
        "seen += [p for p in os.listdir('/proc') if p.isdigit() and int(p) > os.getpid()]\n"
        "for path in ('/', '/dev', '/usr', os.path.dirname(os.__file__)):\n"
        "    try:\n        open(path + '/x', 'w')\n        seen.append('wrote ' + path)\n"
        "    except OSError:\n        pass\n"
        "seen += open('/proc/net/dev').read().split('\\n')[3:-1]\n"
        "seen += [k for k in os.environ if k == 'SECRET']\n"
        "seen += [l for l in open('/proc/self/status') if l.startswith('CapEff') and int(l.split()[1], 16)]\n"
        "def double(x):\n    raise ValueError(repr(seen))"
    )
    os.environ["SECRET"] = "1"
    verdicts = jobs.Grader(lecture, [("double", look)], zygote, sandbox.Limits(cell=20)).run()
    zygote.close()
    assert "`: []. " in verdicts["double"].line, verdicts["double"].line
