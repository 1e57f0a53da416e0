"""What is not the student's fault: bugs of the grader, damaged or locked files, the instructor's machine."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile

import corpus
from test_grade import command, points, run, statuses, write_tables
from utils.course import class_report, gradebook, intake, jobs, platforms, records, warm, zip_files
from utils.course.exercises import CourseError

import pytest


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return folder, corpus.write_course(folder)


@pytest.fixture
def pair(course, tmp_path):
    """A batch of two good students, anna and bert; returns course, submissions and output."""
    folder, handed_out = course
    for name in ("anna", "bert"):
        corpus.Submission(handed_out).answer(exam_double=f"by {name}").write(tmp_path / "in" / name)
    return folder, tmp_path / "in", tmp_path / "out"


def broken(function, student):
    """Return `function`, but with a bug that shows for one student."""

    def call(*arguments):
        if f"by {student}" in repr(arguments):
            raise KeyError("a bug of ours")
        return function(*arguments)

    return call


def test_a_bug_of_the_grader_is_not_the_students(pair, monkeypatch):
    """Three bugs, each of which shows for one of three students, in the three places where work is done for one."""
    corpus.Submission(corpus.released(pair[0])).answer(exam_double="by carl").write(pair[1] / "carl")
    corpus.Submission(corpus.released(pair[0])).answer(exam_double="by dora").write(pair[1] / "dora")
    bugs = {"anna": (intake, "recognise"), "bert": (intake, "find_answers"), "carl": (jobs, "result")}
    with monkeypatch.context() as patch:
        for student, (module, name) in bugs.items():
            patch.setattr(module, name, broken(getattr(module, name), student))
        code, out, _ = run(*pair)
    found = statuses(pair[2])
    assert code == 2 and "1 graded, 0 in need of a review. 3 not graded" in out
    assert found.pop("dora")["status"] == records.GRADED
    log = (pair[2] / "errors.log").read_text()
    assert log.count("Traceback") == 3
    for student, status in found.items():
        assert status["status"] == records.ERROR and status["exercises"] == {}
        assert "KeyError: 'a bug of ours'. The traceback is in" in status["reasons"][0]
        assert f"{student} | lectures/01_sample" in log
    code, out, _ = run(*pair)
    assert code == 0 and "3 of 4 were run now" in out, "an error is tried again, a result is kept"
    assert {points(status) for status in statuses(pair[2]).values()} == {corpus.FULL}


def test_a_bug_in_the_batch_itself_ends_with_2(pair, monkeypatch):
    monkeypatch.setattr(class_report, "batch_report", lambda statuses: {}["bug"])
    code, _, err = run(*pair)
    assert code == 2 and "KeyError: 'bug'" in err and "fault of the grader, not of a submission" in err


def test_a_bug_while_a_zip_file_is_read(course, tmp_path, monkeypatch):
    (tmp_path / "in" / "anna").mkdir(parents=True)
    corpus.archive(tmp_path / "in" / "anna" / "work.zip", {corpus.NAME: corpus.Submission(course[1]).text()})
    monkeypatch.setattr(zip_files, "entry_name", lambda info: {}["bug"])
    code, _, _ = run(course[0], tmp_path / "in", tmp_path / "out")
    (status,) = statuses(tmp_path / "out").values()
    assert code == 2 and status["status"] == records.ERROR and "KeyError: 'bug'" in status["reasons"][0]
    assert "is not a zip file" not in json.dumps(status)


def test_a_damaged_zip_file_is_the_students(course, tmp_path):
    """300 archives with bytes changed at random: never an error of ours, whatever zipfile raises."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / f"{method}.zip", "w", method) as file:
            file.writestr(corpus.NAME, corpus.Submission(course[1]).text())
            file.writestr("weiß/notes.txt", "x" * 300)
    whole = [(tmp_path / f"{method}.zip").read_bytes() for method in (0, 8, 12, 14)]
    rng, problems = random.Random(0), set()
    for number in range(300):
        data = bytearray(whole[number % 4])
        for _ in range(rng.choice([1, 3, 20])):
            near_the_end = rng.random() < 0.5
            data[rng.randrange(len(data) - 250 if near_the_end else 0, len(data))] = rng.randrange(256)
        (tmp_path / "work.zip").write_bytes(data)
        for file in zip_files.read_zip(str(tmp_path / "work.zip"), platforms.Sender("anna")):
            assert file.error is None, f"archive {number}: {file.error!r}"
            problems.add(file.problem)
    assert len(problems) > 5


def test_a_zip_file_that_cannot_be_opened(tmp_path):
    (tmp_path / "work.zip").mkdir()
    (file,) = zip_files.read_zip(str(tmp_path / "work.zip"), platforms.Sender("anna"))
    assert file.problem == "cannot be read: Is a directory"


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "null", '{"student": 3}', '{"exercises": {"double": 1}}', '{"odd": 1}']
)
def test_a_status_file_of_another_shape_is_made_anew(course, tmp_path, text):
    job = records.Job(records.Status("anna", "lectures/01_sample", key="k"), (), {})
    path = records.status_path(tmp_path, "anna", "lectures/01_sample")
    assert records.finished(tmp_path, job) is None
    records.save(path, job.begun)
    assert records.finished(tmp_path, job) == job.begun
    path.write_text(text)
    assert records.finished(tmp_path, job) is None


def test_a_status_file_that_cannot_be_read_is_no_missing_one(pair):
    run(*pair)
    path = records.status_path(pair[2] / "jobs", "anna", "lectures/01_sample")
    path.unlink()
    path.mkdir()  # root may read everything, but not this
    code, _, err = run(*pair)
    assert code == 2 and f"{path}: Is a directory" in err


def test_a_damaged_list_of_what_is_merged(pair):
    run(*pair)
    (pair[2] / "merged.json").write_text("[1")
    code, _, err = run(*pair)
    assert code == 2 and f"{pair[2]}/merged.json is damaged" in err and "Delete it and grade once more" in err
    (pair[2] / "merged.json").unlink()
    assert run(*pair)[0] == 0


def test_a_locked_gradebook(pair):
    run(*pair)
    corpus.Submission(corpus.released(pair[0])).write(pair[1] / "carl")
    lock = sqlite3.connect(pair[2] / "gradebook.db", isolation_level=None)
    lock.execute("begin exclusive")
    code, out, err = run(*pair)
    assert code == 2 and "database is locked" in err and "close it there and run this command again" in err
    assert "3 graded" in out, "the report is printed all the same"
    with pytest.raises(SystemExit, match="database is locked"):
        write_tables(pair[0], pair[2])
    lock.close()
    with pytest.raises(SystemExit, match="carl's lectures/01_sample is graded and not in the gradebook yet"):
        write_tables(pair[0], pair[2])
    assert run(*pair)[0] == 0
    write_tables(pair[0], pair[2])
    assert "carl" in (pair[2] / "by_student.csv").read_text()


def test_a_full_disk(pair, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(records, "save", full)
    code, _, err = run(*pair)
    assert code == 2 and err.strip().endswith("No space left on device") and "Traceback" not in err


def test_a_terminal_that_knows_no_umlaut(pair):
    (pair[1] / "anna").rename(pair[1] / "Zoë")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(command(*pair), cwd=corpus.ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Zo\\xeb" in done.stdout


def test_folders_and_names_with_brackets(course, tmp_path):
    folder = tmp_path / "[DL] C++ (1)"
    corpus.write_course(folder)
    corpus.Submission(course[1]).write(tmp_path / "in" / "Anna [B]")
    code, out, err = run(folder, tmp_path / "in", folder / "build")
    assert code == 0, out + err
    write_tables(folder, folder / "build", "--course", str(folder))
    page = (folder / "build" / "feedback" / "Anna [B]" / "lectures" / "01_sample.html").read_text()
    assert "double: passed, 2 of 2 points" in page


def test_lateness_is_kept(course, tmp_path):
    folder, handed_out = course
    good = corpus.Submission(handed_out)
    good.write(tmp_path / "in", "noetheremmy_LATE_124_4568_01_sample.ipynb")
    good.write(tmp_path / "in", "turingalan_125_4569_01_sample.ipynb")
    good.write(tmp_path / "in" / "ada" / "lectures")
    (tmp_path / "in" / "ada" / "lectures" / "timestamp.txt").write_text("2026-11-02 23:59:10.123456 UTC\nmore\x00")
    corpus.archive(tmp_path / "in" / "export.zip", {"curiemarie_LATE_126_4570_01_sample.ipynb": good.text()})
    code, out, err = run(folder, tmp_path / "in", tmp_path / "out")
    found = statuses(tmp_path / "out")
    assert code == 0, out + err
    assert {name: (status["late"], status["handed_in"]) for name, status in found.items()} == {
        "ada": (False, "2026-11-02 23:59:10.123456 UTC"),
        "curiemarie": (True, ""),
        "noetheremmy": (True, ""),
        "turingalan": (False, ""),
    }
    lines = {line.split(" | ")[0]: line for line in out.splitlines() if line.startswith("| ")}
    assert "note: late" in lines["| noetheremmy"] and "handed in 2026-11-02 23:59:10" in lines["| ada"]
    assert "late" not in lines["| turingalan"]


def test_four_threads_share_one_warm_process(monkeypatch, tmp_path):
    made = []

    class Slow(warm.Zygote):
        def __init__(self, *arguments):
            time.sleep(0.1)
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(warm, "Zygote", Slow)
    monkeypatch.setattr(warm, "read_course", lambda root: {})
    found = []
    place = (tmp_path, (), tmp_path / "log")
    threads = [threading.Thread(target=lambda: found.append(warm.this_process(place)[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    warm.close_all()
    assert len(made) == 1 and found == made * 4


def test_a_warm_process_that_cannot_start_says_why(tmp_path):
    zygote = warm.Zygote(["no_such_module"], tmp_path / "log")
    for _ in range(2):
        with pytest.raises(CourseError, match="did not start: ModuleNotFoundError: No module named 'no_such_module'"):
            zygote.start()
    zygote.close()
    assert (tmp_path / "log").read_text().count("Traceback") == 1, "the second job does not try again"


def test_an_impossible_backend_is_told(course, pair, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    monkeypatch.setattr(warm, "imported_modules", lambda lectures: ["keras"])
    code, _, _ = run(*pair)
    (first, second) = (status["reasons"][0] for status in statuses(pair[2]).values())
    assert code == 2 and first == second and "theano" in first


def test_the_instructors_keras_settings_decide_nothing(monkeypatch, tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "jax"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    zygote = warm.Zygote([], tmp_path / "log")
    ask = "from keras import config as c; print(c.image_data_format(), c.floatx(), c.epsilon(), c.backend())"
    done = subprocess.run([sys.executable, "-c", ask], env=zygote.environment(), capture_output=True, text=True)
    zygote.close()
    assert done.stdout.split() == ["channels_last", "float32", "1e-07", "tensorflow"], done.stderr


def test_a_removed_exercise_is_a_clear_error(pair):
    run(*pair)
    course = {}

    class Gone:
        name, assignment = "lectures/01_sample", "lectures"
        path = pair[0] / "lectures" / "01_sample.ipynb"
        released = type("Notebook", (), {"cells": []})

    course["lectures/01_sample"] = Gone
    with pytest.raises(CourseError, match=r"test_double.*no longer in the notebook\. Give a new release a gradebook"):
        gradebook.merge(gradebook.results(pair[2]), course, pair[2])
