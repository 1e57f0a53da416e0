"""The hook that takes a run's notes out of notebooks and leaves the rest alone."""

import json
import subprocess
import sys

import notebooks

import pytest

HOOK = [sys.executable, "scripts/clean_notebooks.py"]


def clean(path):
    return subprocess.run([*HOOK, path], cwd=notebooks.ROOT, capture_output=True, text=True)


@pytest.fixture
def notebook():
    cell = {"cell_type": "code", "id": "a1", "execution_count": 1, "source": ["1"], "metadata": {"tags": ["setup"]}}
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["é\n"]}]
    return {"cells": [cell], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}


def test_a_clean_notebook_stays_byte_for_byte(tmp_path, notebook):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook, indent=3))
    before = path.read_bytes()
    assert clean(path).returncode == 0 and path.read_bytes() == before


def test_notes_of_a_run_go_and_outputs_and_ids_stay(tmp_path, notebook):
    path, wanted = tmp_path / "a.ipynb", json.loads(json.dumps(notebook))
    notebook["metadata"]["papermill"] = {"duration": 3}
    notebook["cells"][0]["metadata"]["execution"] = {"iopub.status.busy": "2026-01-01"}
    notebook["cells"][0]["metadata"]["lines_to_next_cell"] = 2
    path.write_text(json.dumps(notebook))
    assert clean(path).returncode == 0 and json.loads(path.read_text()) == wanted
    assert path.read_text().startswith('{\n "cells"') and "é" in path.read_text()  # as Jupyter writes it


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.jupyter.widget-view+json"])
def test_the_state_of_widgets_stays_where_an_output_shows_one(tmp_path, notebook, kind):
    path = tmp_path / "a.ipynb"
    notebook["metadata"]["widgets"] = {"state": {}}
    notebook["cells"][0]["outputs"] = [{"output_type": "display_data", "data": {kind: ""}, "metadata": {}}]
    path.write_text(json.dumps(notebook))
    assert clean(path).returncode == 0
    assert ("widgets" in json.loads(path.read_text())["metadata"]) == ("widget" in kind)


@pytest.mark.parametrize("text", ["/home/ada/x.png", "/lib/site-packages/keras.py:3: Warning"])
def test_a_path_of_one_machine_is_named(tmp_path, notebook, text):
    path = tmp_path / "a.ipynb"
    notebook["cells"][0]["outputs"][0]["text"] = [text]
    path.write_text(json.dumps(notebook))
    done = clean(path)
    assert done.returncode == 1 and "a path of one machine" in done.stdout


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_committed_notebooks_carry_no_notes_of_a_run(name):
    cells = notebooks.load(name).cells
    assert not [cell.id for cell in cells if {"execution", "papermill"} & set(cell.metadata)]
