"""HTML copies of a run: formulas drawn by the browser, figures with their alt text, nothing loaded from elsewhere."""

import re

from utils.course import formulas, run_report
from utils.course.html_copy import write_html

import nbformat
import pytest

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    figure = nbformat.v4.new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})
    figure.metadata["image/png"] = {"width": 10, "height": 10, "alt": 'It rises. "loss" < 1'}
    slider = nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}})
    points = nbformat.v4.new_output("execute_result", {"text/html": "", "text/plain": "2"}, execution_count=1)
    cells = [
        nbformat.v4.new_markdown_cell("# 1. Neurons\n\nPay `$5` for $a' < b$ and\n\n$$\\sum_i x_i$$"),
        nbformat.v4.new_code_cell("draw()", outputs=[figure, slider, points], execution_count=1),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    path = tmp_path_factory.mktemp("copy") / "01.html"
    write_html(notebook, path)
    assert "widgets" in notebook.metadata and len(cells[1].outputs) == 3, "the notebook itself was changed"
    return path.read_text(encoding="utf-8")


def test_it_asks_nobody(page):
    assert not re.search(r"""(src|href)=["']?(https?:)?//|import [^;]*https?:|MathJax|require\.js""", page)


def test_formulas_are_mathml_and_code_is_code(page):
    assert page.count("<math ") == 2 and "<code>$5</code>" in page and "$$" not in page


def test_figures_have_their_alt_text_and_sliders_and_points_are_gone(page):
    assert "It rises." in page and "No description" not in page and 'width="10"' in page
    assert "widget-view" not in page and "Out[1]" not in page
    assert "<title>1. Neurons</title>" in page


def test_the_report_links_the_copies(tmp_path):
    results = [
        run_report.Result("lectures/01.ipynb", html="lectures/01.html"),
        run_report.Result("lectures/02.ipynb", status="unreadable", why="is not a Jupyter notebook"),
    ]
    run_report.write_report(results, tmp_path, "fast", 3.0)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<a ") == 1 and '<a href="lectures/01.html">lectures/01.ipynb</a>' in page and "<td>" in page


@pytest.mark.parametrize(
    ("tex", "wanted"),
    [
        ("n' \\sim N", ["<mo>&#x02032;</mo>", "<mo>&#x0223C;</mo>"]),
        (r"\begin{aligned} a &= b && \text{c}\\ d &= e \end{aligned}", ["<mtable", 'columnalign="left"']),
        ('a < "b"', ['alttext="a &lt; &quot;b&quot;"']),
    ],
)
def test_what_the_library_does_not_know(tex, wanted):
    made = formulas.to_mathml(tex)
    assert all(part in made for part in wanted) and "<mi>&</mi>" not in made
