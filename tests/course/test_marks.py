"""Marks over time, faults of the machine, and what goes back to students: the pages and the files to upload."""

import csv
import os
import re
import resource
import signal
import subprocess
import time
import zipfile

import corpus
from test_grade import WALLS, command, points, run, statuses, write_tables
from utils.course import feedback, formulas, gradebook, intake, jobs, records, sandbox

import psutil
import pytest

STUB = "YOUR ANSWER HERE (double-click this cell to edit it)"
ADA, BERT = "Ada Lovelace_1_assignsubmission_file_", "Bert Brecht_2_assignsubmission_file_"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


def handed_in(course, tmp_path):
    """Write the work of four students from two platforms; return course, submissions and output."""
    folder, handed_out = course
    work = corpus.Submission(handed_out)
    work.answer(exam_double="<b>$x^2$</b> [go](javascript:alert(1)) https://example.org ![i](http://e.org/x.png)")
    work.write(tmp_path / "in" / ADA)
    corpus.Submission(handed_out).write(tmp_path / "in" / BERT)
    corpus.Submission(handed_out).write(tmp_path / "in", "curiemarie_LATE_3_4_01_sample.ipynb")
    (tmp_path / "in" / "dora").mkdir()
    (tmp_path / "in" / "dora" / "essay.pdf").write_bytes(b"%PDF")
    return folder, tmp_path / "in", tmp_path / "out"


@pytest.fixture
def batch(course, tmp_path):
    return handed_in(course, tmp_path)


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory):
    """The same, graded; `test_marks_over_time` goes on from here and is the last to use it."""
    made = handed_in(course, tmp_path_factory.mktemp("graded"))
    run(*made)
    return made


def table(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_goes_back(graded):
    folder, _, output = graded
    write_tables(folder, output, "--course", str(folder))
    moodle = {line["Identifier"]: line for line in table(output / "upload" / "moodle_01_sample.csv")}
    assert set(moodle) == {"Participant 1", "Participant 2"}
    assert moodle["Participant 1"]["Grade"] == "" and moodle["Participant 1"]["Maximum Grade"] == "9.0", "not final"
    (top, marie) = table(output / "upload" / "canvas.csv")
    assert top["lectures/01_sample"] == "9.0" and marie["ID"] == "3"
    with zipfile.ZipFile(output / "upload" / "moodle_feedback_01_sample.zip") as archive:
        assert set(archive.namelist()) == {f"{ADA}/01_sample.html", f"{BERT}/01_sample.html"}
    page = (output / "feedback" / "Ada Lovelace" / "lectures" / "01_sample.html").read_text()
    book = (output / "gradebook.html").read_text()
    for text in (page, book):
        assert "width=device-width" in text and not re.search(r"(src|href)=.?http:|<script|cdn", text)
    assert "double: 2 of 2 points" in page and "<msup>" in page
    assert 'href="https://example.org"' in page and "<b>" not in page and 'href="javascript' not in page
    assert "share solved" in book and "difficulty" not in book.lower()
    shown = (output / "autograded" / "Ada Lovelace" / "lectures" / "01_sample.ipynb").read_text()
    assert "](javascript" not in shown.replace("\\\\](javascript", "") and "![i]" not in shown


def test_marks_over_time(graded):
    """Points of a person, an unreadable second version, a student who leaves: each is kept and told."""
    folder, submissions, output = graded
    with gradebook.open_gradebook(gradebook.settings(folder, output)) as book:
        assert {(s.id, s.first_name, s.last_name) for s in book.students} == {
            ("Ada Lovelace", "Ada", "Lovelace"),
            ("Bert Brecht", "Bert", "Brecht"),
            ("curiemarie", "", "curiemarie"),
        }
        row = book.find_submission_notebook("01_sample", "lectures", "Ada Lovelace")
        (grade,) = [grade for grade in row.grades if grade.cell.name == "exam_double"]
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        book.db.commit()
    corpus.Submission(corpus.released(folder)).answer(
        exam_double="YOUR ANSWER HERE (double-click this cell to edit it)"
    ).write(submissions / ADA)
    (submissions / BERT / "01_sample.ipynb").write_text("{")
    (submissions / "curiemarie_LATE_3_4_01_sample.ipynb").unlink()
    run(*graded)
    with gradebook.open_gradebook(gradebook.settings(folder, output)) as book:
        row = book.find_submission_notebook("01_sample", "lectures", "Ada Lovelace")
        (grade,) = [grade for grade in row.grades if grade.cell.name == "exam_double"]
        assert (grade.score, grade.needs_manual_grade) == (2.5, True), "a new version is marked for a second look"
        assert book.db.query(gradebook.Grade).count() == 3 * 4, "rows that belong to nothing"
    write_tables(folder, output, "--course", str(folder))
    lines = {line["student"]: line for line in table(output / "by_student.csv")}
    assert lines["Ada Lovelace"]["total"] == "8.5" and lines["Ada Lovelace"]["maximum"] == "9.0"
    assert "not valid JSON" in lines["Bert Brecht"]["note"] and lines["Bert Brecht"]["total"] == "6.0"
    assert records.REMOVED in lines["curiemarie"]["note"] and "late" in lines["curiemarie"]["note"]
    assert "holds no notebook" in lines["dora"]["note"] and lines["dora"]["total"] == "0"
    report = (output / "report.md").read_text()
    assert all(text in report for text in ("curiemarie", "no longer in the folder", "dora", "essay.pdf"))
    assert "not valid JSON" in (output / "gradebook.html").read_text()


@pytest.mark.parametrize(
    "text",
    [r"$\text{<img src=x onerror=alert(1)>}$", r"$\href{javascript:x}{y}$", r"$\style{x}{y}$", "<script>", "$<b>$"],
)
def test_an_answer_is_text(text):
    assert not re.search(r"<(?!/?(math|m\w+)\b)|\b(href|style|onerror)=\"", feedback.as_text(text))


def test_formulas_of_all_questions_become_mathml():
    from utils.course.exercises import read_course

    for lecture in read_course().values():
        for question in lecture.questions:
            source = feedback.asked(lecture, question.name)
            assert len(formulas.MATH.findall(source)) == feedback.as_page(source).count("<math")


def test_late_work_and_penalties(course, tmp_path, monkeypatch):
    folder, handed_out = course
    for name, day in (("anna", 1), ("bert", 3)):
        place = tmp_path / "in" / f"{name}+lectures+2026-11-0{day} 10:00:00 UTC"
        corpus.Submission(handed_out).write(place)
    settings = gradebook.settings

    def strict(*arguments):
        config = settings(*arguments)
        config.LateSubmissionPlugin.penalty_method = "zero"
        return config

    monkeypatch.setattr(gradebook, "settings", strict)
    run(folder, tmp_path / "in", tmp_path / "out", "--deadline", "2026-11-02T23:59")
    found = statuses(tmp_path / "out")
    assert [found[name]["late"] for name in ("anna", "bert")] == [False, True]
    write_tables(folder, tmp_path / "out")
    assert [line["total"] for line in table(tmp_path / "out" / "by_student.csv")] == ["6.0", "0.0"]


def test_the_reference_is_graded_first(batch, monkeypatch):
    wrong = records.Job(records.Status("", "lectures/01_sample"), (("double", "def double(x):\n    return 1"),), {})
    monkeypatch.setattr(intake, "reference", lambda lecture: wrong)
    code, _, _ = run(*batch)
    found = statuses(batch[2])["Bert Brecht"]
    assert code == 2 and found["status"] == records.ERROR and "the course's own solutions" in found["reasons"][0]
    monkeypatch.undo()
    assert run(*batch)[0] == 1 and points(statuses(batch[2])["Bert Brecht"]) == corpus.FULL


@pytest.mark.skipif(not WALLS, reason="bubblewrap is not installed or not allowed on this machine")
def test_a_sandbox_that_is_killed_from_outside_costs_nobody_anything(batch, monkeypatch):
    send, killed = jobs.Child.send, []

    def kill_once(child, order):
        if isinstance(order, jobs.protocol.Test) and len(killed) < 2:  # one of them may be the reference
            child.room.process.kill()
            killed.append(child)
        send(child, order)

    monkeypatch.setattr(jobs.Child, "send", kill_once)
    run(*batch, "--jobs", "1")
    found = statuses(batch[2])
    assert len(killed) == 2 and found["Bert Brecht"]["status"] in (records.GRADED, records.ERROR)
    assert not any("ended the process" in reason for status in found.values() for reason in status["reasons"])


def test_other_limits_are_another_try(course, tmp_path):
    slow = "import time\n\n\ndef double(x):\n    time.sleep(0.6)\n    return [2 * v for v in x]"
    corpus.Submission(course[1]).answer(double=slow).write(tmp_path / "in" / "anna")
    found = []
    for more in (("--seconds", "0.5"), ("--seconds", "0.5"), ("--retry", "--seconds", "0.5"), ()):
        code, out, _ = run(course[0], tmp_path / "in", tmp_path / "out", *more)
        found.append((code, "1 of 1 were run now" in out))
    assert found == [(1, True), (1, False), (1, True), (0, True)]


def test_a_lower_limit_of_the_machine_is_taken(monkeypatch):
    kept = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, value: kept.append(value))
    sandbox.limit_resources(sandbox.Limits())
    assert len(kept) == 5 and set(kept) == {(64, 64), (0, 0)}


def test_nothing_runs_on_when_the_batch_is_killed(course, tmp_path):
    corpus.Submission(course[1]).answer(double="while True:\n    pass").write(tmp_path / "in" / "anna")
    words = command(course[0], tmp_path / "in", tmp_path / "out", "--seconds", "60")
    words += [] if "--no-sandbox" in words else ["--no-sandbox"]
    process = subprocess.Popen(words, cwd=corpus.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found, end = [], time.monotonic() + 60
    while not any(child.cpu_times().user > 0.2 and child.ppid() != process.pid for child in found):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
        found = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(found, timeout=10)
    assert alive == []
