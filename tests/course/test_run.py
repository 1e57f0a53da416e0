"""The runner: both profiles, a notebook that fails, one that never ends, one that is no notebook, Ctrl-C."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import sample
from utils.course import run

import nbformat
import psutil
import pytest

ENDLESS = """\
import os, subprocess, time
helper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
open("pids", "w").write(f"{os.getpid()} {helper.pid} ")
time.sleep(1000)"""
SPIKE = 'large = b"x" * 400_000_000\ndel large'


def start(folder, *arguments):
    command = [sys.executable, "-m", "utils.course.run", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(folder, profile="fast"):
    summary = json.loads((folder / "build" / "run" / profile / "report.json").read_text(encoding="utf-8"))
    return {result["notebook"]: result for result in summary["notebooks"]}


def assert_all_ended(folder):
    pids = [int(pid) for pid in (folder / "lectures" / "pids").read_text().split()]
    assert len(pids) == 2 and not any(map(psutil.pid_exists, pids))


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A batch in which only the first notebook is sound: (folder, exit status, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("batch")
    sample.write(folder / "lectures" / "01_sound.ipynb", SPIKE)
    sample.write(folder / "lectures" / "02_failing.ipynb", "values = []\nvalues[3]")
    (folder / "lectures" / "03_text.ipynb").write_text("no JSON")
    (folder / "lectures" / "04_list.ipynb").write_text("[1]")
    process = start(folder)
    return folder, *process.communicate(timeout=300), process.returncode


def test_failing_notebook_names_cell_and_traceback_and_stops_no_other(batch):
    folder, out, err, status = batch
    results = report(folder)
    assert status == 1
    assert [r["status"] for r in results.values()] == ["passed", "failed", "unreadable", "unreadable"]
    for text in (err, results["lectures/02_failing.ipynb"]["why"]):
        assert "in cell 4 of 9, `values = []`" in text and "IndexError: list index out of range" in text
    for name in ("03_text", "04_list"):
        assert "is not a Jupyter notebook" in results[f"lectures/{name}.ipynb"]["why"]
    assert "1 of 4 notebooks passed" in out


def test_report_counts_points_time_and_memory(batch):
    folder, out, _, _ = batch
    sound, failing, *_ = report(folder).values()
    assert (sound["points"], sound["possible"], sound["manual"]) == (2, 2, 3)
    assert (failing["points"], failing["possible"]) == (0, 2), "a test cell that never ran earns nothing"
    assert 0.4e9 / 2**30 < sound["peak_gib"] < 1 and failing["peak_gib"] < 0.4, "the spike of 0.4 GB must be seen"
    assert 0.5 < sound["seconds"] < 300
    assert (folder / "build" / "run" / "fast" / "report.md").read_text(encoding="utf-8").count(
        "lectures/"
    ) == 4 + 3 + 2  # links
    assert "| lectures/01_sound.ipynb   | passed " in out and "2 of 2" in out


def test_executed_notebook_and_html_are_written(batch):
    results = batch[0] / "build" / "run" / "fast" / "lectures"
    executed = nbformat.read(results / "01_sound.ipynb", as_version=4)
    assert "size 1\n" in [output.get("text") for cell in executed.cells for output in cell.get("outputs", ())]
    assert "double: passed, 2 of 2 points" in (results / "01_sound.html").read_text(encoding="utf-8")
    assert (results / "02_failing.html").exists()


def test_profile_reaches_the_notebook(tmp_path):
    sample.write(tmp_path / "a b" / "one.ipynb")
    process = start(tmp_path, "a b/*.ipynb", "--profile", "full")
    assert process.communicate(timeout=300) and process.returncode == 0
    executed = nbformat.read(tmp_path / "build" / "run" / "full" / "a b" / "one.ipynb", as_version=4)
    assert "size 2\n" in [output.get("text") for cell in executed.cells for output in cell.get("outputs", ())]


def test_time_out_ends_the_whole_process_tree(tmp_path):
    sample.write(tmp_path / "lectures" / "endless.ipynb", ENDLESS)
    process = start(tmp_path, "--timeout", "25")
    _, err = process.communicate(timeout=120)
    result = report(tmp_path)["lectures/endless.ipynb"]
    assert process.returncode == 1 and result["status"] == "timed out" and 25 <= result["seconds"] < 40
    assert "endless.ipynb timed out in cell 4 of 9, `import os, subprocess, time`" in err
    assert_all_ended(tmp_path)


def test_interrupt_leaves_no_process_behind(tmp_path):
    sample.write(tmp_path / "lectures" / "endless.ipynb", ENDLESS)
    process, pids = start(tmp_path), tmp_path / "lectures" / "pids"
    deadline = time.monotonic() + 100
    while not (pids.exists() and pids.read_text().endswith(" ")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted" in err
    assert_all_ended(tmp_path)


def test_a_full_disk_costs_one_notebook_and_not_the_report(tmp_path, monkeypatch, capsys):
    for name in ("01_good", "02_full", "03_bug"):
        sample.write(tmp_path / "lectures" / f"{name}.ipynb")

    def execute(path, target, log, *rest):
        if "full" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        if "bug" in path.name:
            raise KeyError("our own fault")
        log.touch()
        return "passed", 0

    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.chdir(tmp_path)
    assert run.main([]) == 1
    good, full, bug = report(tmp_path).values()
    assert [good["status"], full["status"], bug["status"]] == ["passed", "failed", "failed"]
    assert "cannot be written: build/run/fast/lectures/02_full.ipynb: No space left on device" in full["why"]
    assert "fault of the runner" in bug["why"] and "our own fault" in bug["why"]
    monkeypatch.setattr(run, "write_report", lambda *_: execute(tmp_path / "full", tmp_path / "report.json", None))
    assert run.main([]) == 1
    assert "report.json: No space left on device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path, monkeypatch):
    sample.write(tmp_path / "lectures" / "one.ipynb")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="Nothing can be written to file/run/fast: Not a directory"):
        run.main(["--output", "file/run"])


def test_other_kernels_and_poor_terminals(tmp_path):
    """A kernel of the same name that the user registered for a Python that is gone; an encoding without ü."""
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = ["/no/such/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    sample.write(tmp_path / "lectures" / "01_größe.ipynb", "print('größe')")
    stale = {"JUPYTER_PREFER_ENV_PATH": "0", "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    command = [sys.executable, "-m", "utils.course.run"]
    environment = {**os.environ, **stale, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gr\\xf6\\xdfe.ipynb | passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such*.ipynb"], "No file matches 'no/such*.ipynb'"),
        ([], "No notebook found by lectures/*.ipynb or assignment/*.ipynb"),
        (["--profile", "slow"], "invalid choice: 'slow'"),
        (["--jobs", "0"], "a number above zero"),
    ],
)
def test_bad_arguments_are_clear_errors(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert message in capsys.readouterr().err + str(stopped.value)
    assert stopped.value.code not in (0, None)
