"""Start of a notebook: quiet, seeded, and strict about the profile; gradients on both backends."""

import json
import os
import subprocess
import sys

from utils import runtime

import keras
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SNIPPET = """
from utils import autodiff, runtime
import keras, numpy as np
runtime.start("fast", seed=3)
w = keras.Variable(np.array([1.0, -2.0]), dtype="float32")
unused = keras.Variable(1.0)
value, gradients = autodiff.value_and_gradients(lambda: keras.ops.sum(w ** 3), [w, unused])
assert isinstance(value, float) and value == -7.0
assert [g.tolist() for g in gradients] == [[3.0, 12.0], 0.0], gradients
factor = keras.Variable(2.0)
loss = lambda x: factor * keras.ops.sum(w * x)
step = autodiff.make_step(loss, keras.optimizers.SGD(0.5), [w], others=[factor])
assert float(step(np.array([1.0, 3.0], dtype="float32"))) == -10.0
assert np.asarray(w).tolist() == [0.0, -5.0] and float(factor) == 2.0
factor.assign(4.0)  # another step may change what this one only reads
step(np.array([1.0, 0.0], dtype="float32"))
assert np.asarray(w).tolist() == [-2.0, -5.0]
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


# A start that does not depend on the machine's past


def start(tmp_path, code='from utils import runtime; runtime.start("fast", seed=0)', **environment):
    """Run code in a process of its own whose Keras home is `tmp_path`; return (status, stdout, last line of stderr)."""
    variables = {**os.environ, "KERAS_HOME": str(tmp_path), "PYTHONPATH": str(runtime.ROOT)}
    variables.pop("KERAS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables | environment, capture_output=True, text=True, cwd=tmp_path
    )
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [""])[-1]


def test_a_stale_keras_json_changes_nothing(tmp_path):
    stale = {"backend": "jax", "floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(stale))
    code = """
from utils import runtime
import keras
runtime.start("fast", seed=0)
print(keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(), keras.config.dtype_policy().name)
"""
    status, out, _ = start(tmp_path, code)
    assert status == 0 and out.splitlines()[1] == "float32 1e-07 channels_last float32"
    assert " on jax " in out  # which of the two backends is the reader's choice


@pytest.mark.parametrize("name", ["torch", "numpy", "Jax", "theano"])
def test_another_backend_is_refused_with_the_place_where_it_was_set(tmp_path, name):
    expected = f"This course runs on Keras's backends tensorflow and jax; found '{name}' in "
    assert f"{expected}the environment variable KERAS_BACKEND" in start(tmp_path, KERAS_BACKEND=name)[2]
    (tmp_path / "keras.json").write_text(json.dumps({"backend": name}))
    assert f"{expected}{tmp_path / 'keras.json'}" in start(tmp_path)[2]


def test_on_jax_an_import_does_not_import_tensorflow(tmp_path):
    code = """
import sys
from utils import autodiff, checks, datasets, plotting, runtime
assert "tensorflow" not in sys.modules
"""
    assert start(tmp_path, code, KERAS_BACKEND="jax")[::2] == (0, "")


def test_a_notebook_of_another_copy_is_told(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "runtime.py").write_text("")
    (tmp_path / "lectures").mkdir()
    with pytest.raises(RuntimeError, match=r"belongs to the course in .*, but `utils` was imported from"):
        runtime._check_folder(tmp_path / "lectures")
    runtime._check_folder(runtime.ROOT / "lectures")
    runtime._check_folder(runtime.ROOT.parent)  # a notebook outside of any course


def test_a_parameter_that_the_notebook_does_not_have_is_refused():
    runtime._check_parameters(['profile = "fast"', '# Parameters\nprofile = "full"\n'])
    with pytest.raises(ValueError, match="papermill set the parameter 'profil', which this notebook does not have"):
        runtime._check_parameters(['profile = "fast"', '# Parameters\nprofil = "full"\n'])


def test_what_the_full_profile_needs_is_looked_for_at_the_start(capsys):
    asked = []

    def load(profile):
        asked.append(profile)
        raise RuntimeError("the digits are missing")

    runtime.start("fast", seed=0, needs=[load])
    assert asked == []
    with pytest.raises(RuntimeError, match="digits are missing"):
        runtime.start("full", seed=0, needs=[load])
    assert asked == ["full"]


@pytest.mark.parametrize("backend", ["Agg", "TkAgg"])
def test_figures_show_in_a_kernel_whatever_mplbackend_says(backend, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", backend)
    source = """from utils import runtime
import matplotlib.pyplot as plt
runtime.start("fast", seed=0)
plt.plot([1, 2])
plt.show()"""
    notebook = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(runtime.ROOT)}}).execute()
    kinds = [kind for output in notebook.cells[0].outputs for kind in output.get("data", {})]
    assert "image/png" in kinds
