"""Start of a notebook: quiet, seeded, and strict about the profile; gradients on both backends."""

import os
import subprocess
import sys

from utils import runtime

import keras
import numpy as np
import pytest

SNIPPET = """
from utils import autodiff, runtime
import keras, numpy as np
runtime.start("fast", seed=3)
w = keras.Variable(np.array([1.0, -2.0]), dtype="float32")
unused = keras.Variable(1.0)
value, gradients = autodiff.value_and_gradients(lambda: keras.ops.sum(w ** 3), [w, unused])
assert isinstance(value, float) and value == -7.0
assert [g.tolist() for g in gradients] == [[3.0, 12.0], 0.0], gradients
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_import_is_quiet_and_gradients_are_right(backend):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", SNIPPET], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("profile fast | Python ") and f"on {backend}" in done.stdout


def test_warnings_after_the_import_come_through():
    code = "import os, sys; from utils import runtime; os.write(2, b'from C'); print('from Python', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "from Cfrom Python\n"


def test_unknown_profile_is_named():
    with pytest.raises(ValueError, match=r"parameter profile: expected one of .*, got 'quick'"):
        runtime.start("quick", seed=0)


def test_start_seeds_everything(capsys):
    draws = []
    for _ in range(2):
        runtime.start("fast", seed=7)
        draws.append((np.random.rand(), float(keras.random.normal(()))))
    assert draws[0] == draws[1]
