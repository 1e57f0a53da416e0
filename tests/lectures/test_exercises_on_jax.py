"""The same verdicts on JAX: `test_exercises.py` once more, in a process with that backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXERCISES = Path(__file__).with_name("test_exercises.py")


def run(*options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, EXERCISES]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"KERAS_BACKEND": "jax"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-1000:]


def test_reference_gets_full_points_on_jax():
    run("-k", "reference")


@pytest.mark.slow
def test_every_verdict_is_the_same_on_jax():
    run()
