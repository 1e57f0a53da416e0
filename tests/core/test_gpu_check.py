"""What the first check of a card says about parts that end, fail, or are stopped, and what it returns."""

import importlib.util
import sys

import notebooks

import pytest

spec = importlib.util.spec_from_file_location("gpu_check", notebooks.ROOT / "scripts" / "gpu_check.py")
gpu_check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_check)

SPEAK_AND_WAIT = "import time; print('step 250', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("code", "endless", "good", "last"),
    [
        ("print('0.1 s')", False, True, "0.1 s"),
        ("raise SystemExit('no card')", False, False, "FAILED: no card"),
        ("raise SystemExit('no cache')", True, False, "FAILED: no cache"),
        (SPEAK_AND_WAIT, False, False, "FAILED: stopped after 6 s"),
        (SPEAK_AND_WAIT, True, True, "step 250\npart: stopped after 6 s"),
    ],
)
def test_a_part_is_judged_by_how_it_ends(tmp_path, monkeypatch, code, endless, good, last):
    monkeypatch.setattr(gpu_check, "REPORT", tmp_path / "report.txt")
    assert gpu_check.run("part", ["-c", code], 6.0 if code == SPEAK_AND_WAIT else 60.0, endless) == good
    assert (tmp_path / "report.txt").read_text() == f"part: {last}\n"


@pytest.mark.parametrize("broken", [[], ["right numbers"], ["pretraining"], ["export"], ["pretraining", "export"]])
def test_what_failed_is_named_and_only_the_pretraining_may_be_stopped(tmp_path, monkeypatch, capsys, broken):
    seen = {}

    def run(name, arguments, seconds, endless=False):
        seen[name.split(",")[0]] = endless
        if endless:
            assert int(arguments[arguments.index("--steps") + 1]) > 100_000, "the committed run's 6,500 are complete"
        return not name.startswith(tuple(broken))

    monkeypatch.setattr(gpu_check, "run", run)
    monkeypatch.setattr(gpu_check, "REPORT", tmp_path / "report.txt")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--tiny", "--cache", str(tmp_path)])
    assert gpu_check.main() == bool(broken)
    assert capsys.readouterr().out.strip().endswith(f"failed: {', '.join(broken)}" if broken else "report.txt")
    assert [name for name, endless in seen.items() if endless] == ["pretraining"]
    assert list(seen)[-2:] == ["pretraining", "export"]
