"""What the first check of a card says about parts that end, fail, or are stopped."""

import importlib.util

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
        (SPEAK_AND_WAIT, False, False, "FAILED: stopped after 3 s"),
        (SPEAK_AND_WAIT, True, True, "step 250\npart: stopped after 3 s"),
    ],
)
def test_a_part_is_judged_by_how_it_ends(tmp_path, monkeypatch, code, endless, good, last):
    monkeypatch.setattr(gpu_check, "REPORT", tmp_path / "report.txt")
    assert gpu_check.run("part", ["-c", code], 3.0 if code == SPEAK_AND_WAIT else 60.0, endless) == good
    assert (tmp_path / "report.txt").read_text() == f"part: {last}\n"
