"""The website: readers see no solution, a question and term leads somewhere, and nothing is loaded from outside."""

import csv
import importlib.util
import json
import re
import shutil
import subprocess

import notebooks
from utils.course import anchors, questions, site, slides
from utils.course.reader import FOLD, reader_view, revealed

import nbformat
import pytest

SAMPLE = ["lectures/03_convolutional_networks.ipynb", "lectures/05_gans_and_diffusion.ipynb"]
OF_CHROMIUM = (
    "google.com",
    "gvt1.com",
    "googleapis.com/chrome",
    "update.googleapis.com",
)  # what the browser asks for by itself
KNOWN = questions.course(notebooks.ROOT)
QUESTIONS = questions.read(notebooks.ROOT, "exam_questions.toml")


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_readers_see_no_solution(name):
    source = notebooks.load(name)
    view = reader_view(source, notebooks.student_version(source))
    assert revealed(source, view) == []
    graded = {cell.id for cell in source.cells if notebooks.is_graded(cell)}
    assert not [cell.id for cell in view.cells if cell.id in graded and cell.get("outputs")]
    folded = [cell for cell in view.cells if FOLD in cell.metadata.get("tags", ())]
    assert len(folded) > len(notebooks.exercises(source))
    assert any(cell.get("outputs") for cell in view.cells), "the figures are gone"


def test_a_solution_in_an_output_is_found():
    cell = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nreturn inputs @ weights + bias\n### END SOLUTION")
    cell.metadata["nbgrader"] = {"solution": True, "grade": False, "grade_id": "f"}
    shown = nbformat.v4.new_code_cell("show(f)", outputs=[nbformat.v4.new_output("stream", text="")])
    source = nbformat.v4.new_notebook(cells=[cell, shown])
    assert revealed(source, nbformat.v4.new_notebook(cells=[shown])) == []
    shown.outputs[0].text = "def f():\n    return inputs @ weights + bias"
    assert len(revealed(source, nbformat.v4.new_notebook(cells=[shown]))) == 1


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda entry: entry["question"][:50])
def test_each_question_leads_somewhere(entry):
    found = questions.where(entry, KNOWN)
    assert found["sections"] and entry["exam"] and len(entry["points"]) >= 2
    assert all(section.title for kind in found.values() for section in kind)


def test_each_term_leads_to_a_section():
    for entry in questions.read(notebooks.ROOT, "glossary.toml"):
        assert anchors.section_that_defines(KNOWN[entry["lecture"]], entry["term"]).title


@pytest.mark.parametrize("find", [anchors.section_about, anchors.section_that_defines, anchors.section_of_exercise])
def test_what_leads_nowhere_is_an_error(find):
    with pytest.raises(anchors.AnchorError, match="01_neural_networks"):
        find(KNOWN["01"], "no such thing")


def test_cards_open_as_csv():
    lines = questions.cards(QUESTIONS).splitlines()
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    assert [row[0] for row in rows] == [entry["question"] for entry in QUESTIONS]
    assert all(len(row) == 3 and "•" in row[1] and " " not in row[2] for row in rows)
    assert "•" not in questions.cards(QUESTIONS, self_checks=False)


def test_self_checks_can_be_left_out():
    assert "Self-check" in questions.questions_page(QUESTIONS, KNOWN, True)
    assert "elf-check" not in questions.questions_page(QUESTIONS, KNOWN, False)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Build the site of two notebooks; give its folder and Sphinx's warnings."""
    if not importlib.util.find_spec("myst_nb"):
        pytest.skip("the group `site` is not installed: pip install -r requirements/site.txt")
    folder = tmp_path_factory.mktemp("site")
    (folder / "learn.zip").write_bytes(b"made in test_learn.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.learn, "make", lambda root, solutions: folder / "learn.zip")
        site.gather(notebooks.ROOT, folder / "source", [notebooks.ROOT / name for name in SAMPLE], solutions=True)
    return folder / "html", site.build(folder / "source", folder / "html", reference=False)


def test_warnings_are_of_pages_that_the_sample_lacks(pages):
    others = [name for name in notebooks.NOTEBOOKS if name not in SAMPLE]
    unknown = [line for line in pages[1] if not any(name in line or name[:-6] in line for name in others)]
    assert [line for line in unknown if not re.search("reference|try_it|sketch_to_image|toctree", line)] == []


def test_pages_load_nothing_from_elsewhere(pages):
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]*src="(?:https?:)?//|<link(?![^>]*canonical)[^>]*href="(?:https?:)?//'
    )
    for path in pages[0].rglob("*.html"):
        assert not loads.search(path.read_text(encoding="utf-8")), path.name
    text = (pages[0] / "lectures/05_gans_and_diffusion.html").read_text(encoding="utf-8")
    assert "<math " in text and "Show the code" in text and "BEGIN SOLUTION" not in text


def test_home_offers_the_zip_to_learn_alone(pages):
    home = (pages[0] / "index.html").read_text(encoding="utf-8")
    link = re.search(r'href="(_downloads/[^"]+/deep-learning\.zip)"', home)
    assert link and (pages[0] / link[1]).exists() and "Hints come in steps" in home and "LEARN" not in home


def requests(log):
    """Return the addresses on the network in a log of Chromium, without those that it asks for by itself."""
    events = json.dumps(log.get("events", []))
    found = set(re.findall(r'"url": "(https?://[^"]+)"', events))
    return {url for url in found if not any(host in url for host in OF_CHROMIUM)}


def test_a_browser_asks_nobody(pages, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    page = pages[0] / "lectures/05_gans_and_diffusion.html"
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--dump-dom",
    ]
    command = [chromium, *options, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
    ran = subprocess.run(
        [*command, f"--log-net-log={tmp_path / 'log.json'}", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "</article>" in ran.stdout
    assert requests(json.loads((tmp_path / "log.json").read_text())) == set()


def test_a_request_is_found():
    assert requests({"events": [{"params": {"url": "https://cdn.example.org/x.js"}}]}) == {
        "https://cdn.example.org/x.js"
    }


def test_slides_hold_every_figure_and_no_code():
    source = notebooks.load(SAMPLE[1])
    view = reader_view(source, notebooks.student_version(source))
    made = slides.slides(view)
    pictures = sum("image/png" in out.get("data", {}) for cell in view.cells for out in cell.get("outputs", ()))
    assert sum(slide.count("<img") for slide in made) == pictures
    assert len(re.findall("<h2", "".join(made))) >= 5 and "import numpy" not in "".join(made)
    assert sum("What you should see." in slide and "<img" in slide for slide in made) >= 3


def test_a_text_stands_below_its_figure_and_ends_at_the_next_section():
    figure = nbformat.v4.new_output("display_data", {"image/png": "cG5n"})
    cells = [
        nbformat.v4.new_code_cell("draw()", outputs=[figure]),
        nbformat.v4.new_markdown_cell("It rises.\n\n## 2. Why?\n\n*4 min.*\n\n" + "word " * 200),
        nbformat.v4.new_code_cell("draw()", outputs=[figure]),
        nbformat.v4.new_code_cell("print()"),
        nbformat.v4.new_markdown_cell("**What you should see.** It falls.\n\n### Exercise `f`\n\nWrite it."),
    ]
    first, section, second = slides.slides(nbformat.v4.new_notebook(cells=cells))
    assert "<img" in first and "It rises." in first and "Why?" not in first
    assert "Why?" in section and section.count("word") == 200
    assert "It falls." in second and "Exercise" not in second


def test_formulas_of_slides_need_no_script():
    pytest.importorskip("latex2mathml")
    assert "<math" in slides.to_html("a $x_1$ b") and "$" not in slides.to_html("a $x_1$ b")
    assert slides.to_html("[a](b.ipynb) [c](https://d.org)").count("<a") == 1
