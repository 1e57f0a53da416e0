"""Who is who in the exports of learning platforms: two people are never merged, one is never split, nothing is lost."""

import zipfile

import corpus
from utils.course import intake, platforms, submissions
from utils.course.exercises import CourseError

import pytest

NB = b'{"cells": []}'
META = b"""---
submission_11:
  :submitters:
  - :name: Ada Lovelace
    :sid: '77'
    :email: ada@example.org
  - :name: Alan Turing
    :sid: '78'
    :email: alan@example.org
  :created_at: 2026-11-02 23:59:10.123456000 Z
submission_12:
  :submitters:
  - :name: Ada Lovelace
    :sid: '79'
    :email: other@example.org
  :created_at: 2026-11-01 10:00:00 Z
"""
MOODLE = "{}_assignsubmission_file_"
# Case -> ({path: content}, {student: notebooks}). The content makes no difference to who sent it.
CASES = {
    "folders": (["anna/01.ipynb", "bert/week 1/01.ipynb"], {"anna": 1, "bert": 1}),
    "moodle": (
        [MOODLE.format("Ada L_1") + "/01.ipynb", MOODLE.format("Alan T_2") + "/01.ipynb"],
        {"Ada L": 1, "Alan T": 1},
    ),
    "moodle_flat": (
        ["Ada L_1_assignsubmission_file_01.ipynb", "Alan T_2_assignsubmission_file_01.ipynb"],
        {"Ada L": 1, "Alan T": 1},
    ),
    "moodle_one_name": (
        [MOODLE.format("Ada L_1") + "/01.ipynb", MOODLE.format("Ada L_2") + "/01.ipynb"],
        {"Ada L (1)": 1, "Ada L (2)": 1},
    ),
    "moodle_two_weeks": (
        ["week1/" + MOODLE.format("Ada L_1") + "/01.ipynb", "week2/" + MOODLE.format("Ada L_9") + "/02.ipynb"],
        {"Ada L": 2},
    ),
    "canvas": (
        ["lovelaceada_1_5_01.ipynb", "lovelaceada_LATE_2_6_01.ipynb", "turing_3_7_01-1.ipynb"],
        {"lovelaceada (1)": 1, "lovelaceada (2)": 1, "turing": 1},
    ),
    "canvas_two_files": (["lovelaceada_1_5_01.ipynb", "lovelaceada_1_6_02.ipynb"], {"lovelaceada": 2}),
    "canvas_zip_of_a_student": ({"lovelaceada_1_5_work.zip": ["victim/01.ipynb"]}, {"lovelaceada": 1}),
    "brightspace": (
        [
            "12-3 - Ada L - Nov 2, 2026 1159 PM/01.ipynb",
            "12-3 - Ada L - Nov 3, 2026 900 AM/01.ipynb",
            "13-3 - Ada L - Nov 2, 2026 100 PM/01.ipynb",
        ],
        {"Ada L (12)": 2, "Ada L (13)": 1},
    ),
    "blackboard": (
        [
            "HW 1_a_smith_attempt_2026-11-02-23-59-10_01.ipynb",
            "HW 1_b_smith_attempt_2026-11-02-23-59-11_01.ipynb",
            "HW 1_b_smith_attempt_2026-11-02-23-59-11.txt",
        ],
        {"a_smith": 1, "b_smith": 1},
    ),
    "nbgrader": (
        [
            "anna+lectures+2026-11-02 23:59:10 UTC/01.ipynb",
            "anna+lectures+2026-11-03 10:00:00 UTC/01.ipynb",
            "bert+lectures+2026-11-02 23:59:10 UTC+x=/01.ipynb",
        ],
        {"anna": 2, "bert": 1},
    ),
    "gradescope": (
        {"submission_11/01.ipynb": NB, "submission_12/01.ipynb": NB, "submission_metadata.yml": META},
        {"Ada Lovelace (77)": 1, "Ada Lovelace (79)": 1, "Alan Turing": 1},
    ),
    "zip_each": ({"alice.zip": ["lectures/01.ipynb"], "bob.zip": ["lectures/01.ipynb"]}, {"alice": 1, "bob": 1}),
    "zip_alone": ({"alice.zip": ["lectures/01.ipynb", "assignment/02.ipynb"]}, {"alice": 2}),
    "zip_of_a_class": ({"class.zip": ["anna/01.ipynb", "bert/01.ipynb"]}, {"anna": 1, "bert": 1}),
    "zip_of_a_victim": (
        {"eve.zip": ["victim/01.ipynb", "other/01.ipynb"], "victim/01.ipynb": NB},
        {"eve": 2, "victim": 1},
    ),
    "zip_with_platform_names": (
        {"eve.zip": [MOODLE.format("Ann_1") + "/01.ipynb"], "ann.zip": ["01.ipynb"]},
        {"eve": 1, "ann": 1},
    ),
    "zip_of_moodle": (
        {"Course-HW 1-77.zip": [MOODLE.format("Ada L_1") + "/01.ipynb", MOODLE.format("Ada L_2") + "/01.ipynb"]},
        {"Ada L (1)": 1, "Ada L (2)": 1},
    ),
    "zips_of_moodle": (
        {"w1.zip": [MOODLE.format("Ada L_1") + "/01.ipynb"], "w2.zip": [MOODLE.format("Ada L_7") + "/02.ipynb"]},
        {"Ada L": 2},
    ),
    "zip_of_moodle_flat": (
        {"HW.zip": ["Ada L_1_assignsubmission_file_01.ipynb", "Alan T_2_assignsubmission_file_01.ipynb"]},
        {"Ada L": 1, "Alan T": 1},
    ),
    "zip_of_canvas": (
        {"submissions.zip": ["lovelaceada_1_5_01.ipynb", "turing_LATE_3_7_01.ipynb"]},
        {"lovelaceada": 1, "turing": 1},
    ),
    "zip_of_gradescope": (
        {"export.zip": {"a_export/submission_11/01.ipynb": NB, "a_export/submission_metadata.yml": META}},
        {"Ada Lovelace": 1, "Alan Turing": 1},
    ),
    "students_zip_in_the_export": (
        {
            "HW.zip": {
                MOODLE.format("Ada L_1") + "/work.zip": ["lectures/01.ipynb"],
                MOODLE.format("Alan T_2") + "/01.ipynb": NB,
            }
        },
        {"Ada L": 1, "Alan T": 1},
    ),
    "long_names": ([f"{'a' * 110}{end}/01.ipynb" for end in "xy"], 2),
    "unprintable_names": (["an\u200bna/01.ipynb", "an\u200dna/01.ipynb", "anna/01.ipynb"], 3),
    "dots": ([" ../01.ipynb", " .../01.ipynb", "Anna [B]/01.ipynb"], 3),
    "moodle_in_other_words": (
        [
            "Group A-Ada L_1_assignsubmission_file/01.ipynb",
            "Group A-Ada L_1_assignsubmission_onlinetext/onlinetext.html",
            "Participant_77_assignsubmission_file_/01.ipynb",
            "Participant_78_assignsubmission_file_/01.ipynb",
        ],
        {"Group A-Ada L": 1, "Participant (77)": 1, "Participant (78)": 1},
    ),
    "canvas_anonymous": (
        ["anon_4fGh2_123_01.ipynb", "anon_9xYz1_LATE_124_01-2.ipynb"],
        {"anon_4fGh2": 1, "anon_9xYz1": 1},
    ),
    "brightspace_flat": (
        ["12-3 - Ada - Lou S-J - Nov 2, 2026 1159 PM - 01.ipynb", "13-3 - Bo - 3 November, 2026 0001 - 01.ipynb"],
        {"Ada - Lou S-J": 1, "Bo": 1},
    ),
    "github_classroom": (
        {"hw1-ada/01.ipynb": NB, "hw1-ada/.git/config": b"x", "hw1-ada/README.md": b"x", "hw1-bo/01.ipynb": NB},
        {"hw1-ada": 1, "hw1-bo": 1},
    ),
    "teams": (
        ["Ada L/HW/Version 1/01.ipynb", "Ada L/HW/Version 2/01.ipynb", "Bo/HW/Version 1/01.ipynb"],
        {"Ada L": 2, "Bo": 1},
    ),
    "sakai": (
        [
            "HW/Lovelace, Ada(alove)/Submission attachment(s)/01.ipynb",
            "HW/Bo, Jo(jbo)/Submission attachment(s)/01.ipynb",
            "HW/grades.csv",
        ],
        {"Lovelace, Ada(alove)": 1, "Bo, Jo(jbo)": 1},
    ),
    "one_folder_too_high": (["class/anna/01.ipynb", "class/bert/01.ipynb"], {"anna": 1, "bert": 1}),
    "one_folder_too_high_in_a_zip": (
        {"all.zip": ["class/anna/01.ipynb", "class/bert/01.ipynb"]},
        {"anna": 1, "bert": 1},
    ),
    "one_student_alone": (["anna/week 1/01.ipynb", "anna/week 2/02.ipynb"], {"anna": 2}),
    "one_student_with_copies": (["anna/lectures/01.ipynb", "anna/backup/01.ipynb"], {"anna": 2}),
    "letters_of_windows": ({"Anna.ZIP": ["01.IPYNB"], "Bert.Zip": ["01.ipynb"]}, {"Anna": 1, "Bert": 1}),
    "team_names": (["team_1_2_a/01.ipynb", "team_1_2_b/01.ipynb"], {"team_1_2_a": 1, "team_1_2_b": 1}),
}


def pack(files):
    """Return a zip file with these entries; lists are names of notebooks, dictionaries hold contents or zip files."""
    data = corpus.io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in (files if isinstance(files, dict) else dict.fromkeys(files, NB)).items():
            archive.writestr(name, content if isinstance(content, bytes) else pack(content))
    return data.getvalue()


def write(folder, files):
    for name, content in (files if isinstance(files, dict) else dict.fromkeys(files, NB)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else pack(content))
    return folder


def students(files):
    found = {}
    for file in files:
        if not file.aside:
            assert not file.problem, file
            found[file.student] = found.get(file.student, 0) + 1
    return found


@pytest.mark.parametrize("name", CASES)
def test_who_is_who(name, tmp_path):
    files, wanted = CASES[name]
    found = students(submissions.collect(write(tmp_path, files)))
    assert (len(found) if isinstance(wanted, int) else found) == wanted
    assert not any("/" in student or student.startswith((".", " ")) for student in found)


def test_the_newest_attempt_counts(tmp_path):
    good = corpus.Submission(corpus.write_course(tmp_path / "course"))
    course = {
        "01": corpus.exercises.read_lecture(
            tmp_path / "course" / "lectures" / corpus.NAME, corpus.exercises.nbgrader_config(corpus.ROOT, tmp_path)
        )
    }
    first, second = good.text().encode(), good.answer(double="def double(x):\n    return 2").text().encode()
    names = ["12-3 - Ada L - Nov 10, 2026 1159 PM", "12-3 - Ada L - Nov 9, 2026 100 PM"]
    write(tmp_path / "in", {f"{names[0]}/01_sample.ipynb": second, f"{names[1]}/01_sample.ipynb": first})
    jobs, rejects = intake.take_in(submissions.collect(tmp_path / "in"), course, tmp_path / "log")
    assert not rejects and len(jobs) == 1
    begun = jobs[0].begun
    assert begun.handed_in == "2026-11-10 23:59:00" and "newest attempt counts" in "".join(begun.notes)
    assert dict(jobs[0].cells)["double"] == "def double(x):\n    return 2" and not begun.reasons
    assert (begun.platform, begun.person, begun.name) == ("Brightspace", "12", "Ada L")


def test_nothing_is_missing(tmp_path):
    write(tmp_path, {"anna/01.ipynb": NB, "anna/figure.png": b"x", "anna/.hidden/02.ipynb": NB, "anna/more.rar": b"x"})
    write(
        tmp_path, {"bert/essay.pdf": b"x", "work.tar.gz": b"x", "notes.py": b"x", "page.html": b"x", "lost.ipynb": NB}
    )
    write(
        tmp_path,
        {"carl.zip": {"01.ipynb": NB, "a/b.pdf": b"x", "deep.zip": {"x.zip": {"y.ipynb": NB}}}, ".dora/01.ipynb": NB},
    )
    write(tmp_path, {"01.ipynb.txt": NB, ".DS_Store": b"x", "empty/x": b""})
    files = submissions.collect(tmp_path)
    told = "\n".join(f"{f.student} {f.name} {f.problem} {' '.join(f.notes)}" for f in files)
    for name in (
        "figure.png",
        ".hidden",
        "more.rar",
        "essay.pdf",
        "work.tar.gz",
        "notes.py",
        "page.html",
        "lost.ipynb",
    ):
        assert name in told
    for name in ("carl", "a/b.pdf", "x.zip", ".dora", "01.ipynb.txt", ".DS_Store", "empty"):
        assert name in told
    problems = {file.student: file.problem for file in files if file.problem}
    assert "holds no notebook" in problems["bert"] and "holds no notebook" in problems["empty"]
    assert "archive of a kind" in problems["anna"]


@pytest.mark.parametrize("folder", ["carl", MOODLE.format("Carl_3"), "13-3 - Carl - Nov 2, 2026 100 PM"])
def test_somebody_without_a_notebook_in_an_export_is_told(folder, tmp_path):
    others = [name.replace("Carl", "Ann").replace("carl", "ann").replace("3", "4") for name in [folder]]
    write(
        tmp_path,
        {
            "class.zip": {
                f"{folder}/essay.pdf": b"x",
                f"{others[0]}/01.ipynb": NB,
                "bert/01.ipynb": NB,
                "__MACOSX/._x": b"",
            }
        },
    )
    problems = {file.student.lower(): file.problem for file in submissions.collect(tmp_path) if file.problem}
    assert problems == {"carl": "holds no notebook (a file that ends in .ipynb)"}


def test_a_roster_decides(tmp_path):
    roster = tmp_path / "class.csv"
    roster.write_text(
        "\ufeffstudent;number;mail;name\nada1;1;ada@x.org;Ada L\nada2;2;al@x.org;Ada L\n", encoding="utf-8"
    )
    rules = submissions.Rules(platforms.read_roster(roster))
    names = [MOODLE.format("Ada L_1"), MOODLE.format("Ada L_2"), "AL@x.org", "zoe"]
    write(tmp_path / "in", [f"{name}/0{i}.ipynb" for i, name in enumerate(names)])
    files = submissions.collect(tmp_path / "in", rules)
    assert students(files) == {"ada1": 1, "ada2": 2, "zoe": 1}
    assert [file.student for file in files if "not in the roster" in file.notes] == ["zoe"]


def test_a_pattern_for_all_else(tmp_path):
    rules = submissions.Rules(pattern=platforms.read_pattern(r"^\d+ \[(?P<student>\w+)\] (?P<stamp>\S+)"))
    write(tmp_path, ["1 [ada] 2026-11-02.ipynb", "2 [ada] 2026-11-03/01.ipynb", "3 [bert] 2026-11-02.ipynb"])
    assert students(submissions.collect(tmp_path, rules)) == {"ada": 2, "bert": 1}
    for bad in ("(", "no group"):
        with pytest.raises(CourseError, match="--pattern"):
            platforms.read_pattern(bad)


@pytest.mark.parametrize("text", ["", "student,number\n", "student\n,1\n", "\xff"])
def test_a_bad_roster_is_a_clear_error(text, tmp_path):
    (tmp_path / "r.csv").write_text(text, encoding="latin-1")
    with pytest.raises(CourseError, match=r"The roster .*r\.csv"):
        platforms.read_roster(tmp_path / "r.csv")


def test_times_that_lie_beside_the_notebooks(tmp_path):
    """Sakai's file lies above them, nbgrader's beside them; both in zip files as well."""
    stamps = {
        "HW/Ada(a)/timestamp.txt": b"20261102235910123",
        "HW/Ada(a)/Submission attachment(s)/01.ipynb": NB,
        "HW/Bo(b)/01.ipynb": NB,
        "HW/Bo(b)/timestamp.txt": b"2026-11-02 23:59:11 UTC",
    }
    for place in ("plain", "packed"):
        write(tmp_path / place, stamps if place == "plain" else {"HW.zip": stamps})
        found = {file.student: file.sender.stamp for file in submissions.collect(tmp_path / place)}
        assert found == {"Ada(a)": "2026-11-02 23:59:10", "Bo(b)": "2026-11-02 23:59:11 UTC"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-02-23-59-10", "2026-11-02 23:59:10"),
        ("Nov 2, 2026 1159 PM", "2026-11-02 23:59:00"),
        ("2 November, 2026 2359", "2026-11-02 23:59:00"),
        ("2026-11-02 23:59:10.123456 UTC", "2026-11-02 23:59:10"),
        ("2026-11-02T23:59:10+00:00", "2026-11-02 23:59:10"),
        ("yesterday\x00", "yesterday"),
        (None, ""),
    ],
)
def test_stamps(text, wanted):
    assert platforms.read_stamp(text) == wanted
